"""The elements of conditions that SQLite and Postgres write in different ways."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from storage.column_types import Condition


class NormalForm(FunctionElement[str]):
    """SQL: a text in Unicode's normal form C. Every connection to SQLite registers the function."""

    inherit_cache = True
    type = String()
    name = "normal_form"


@compiles(NormalForm, "sqlite")
def _normal_form_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"normal_form({compiler.process(element.clauses, **options)})"


@compiles(NormalForm, "postgresql")
def _normal_form_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    return f"normalize({compiler.process(element.clauses, **options)}, NFC)"


class ContainingAny(Condition):
    """SQL: whether a text contains one of several texts, by their LIKE patterns; the text is computed once.

    Postgres compares bytes, which takes half as long: in UTF-8 they contain each other if the texts do. It would
    take the comparison for one that few tasks match, and then sort instead of walking a list: hence `coalesce`.
    """

    inherit_cache = False
    name = "is_containing_any"
    escape = ""


@compiles(ContainingAny, "sqlite")
def _containing_any_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    text, *likes = (compiler.process(each, **options) for each in element.clauses)
    return "(" + " OR ".join(f"{text} LIKE {like}{element.escape}" for like in likes) + ")"


@compiles(ContainingAny, "postgresql")
def _containing_any_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    text, *likes = (compiler.process(each, **options) for each in element.clauses)
    # The bytes are those that are sent to the program, whose connections use UTF-8.
    return f"coalesce(textsend({text}) LIKE ANY (ARRAY[{', '.join(likes)}]), false)"


class EscapedContainingAny(ContainingAny):
    """SQL: the same for texts with letters that have a meaning in patterns."""

    escape = " ESCAPE '\\'"


class Walked(FunctionElement[Any]):
    """SQL: a column for which SQLite uses no index, so that it walks the list in its order.

    SQLite would use an index for any range, however wide, and then sort all matches. Walking the list soon
    fills a page. Postgres knows how wide a range is, and chooses by itself.
    """

    inherit_cache = True
    name = "walked"


@compiles(Walked, "sqlite")
def _walked_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(Walked, "postgresql")
def _walked_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


class FoldedDescription(FunctionElement[str]):
    """SQL: the text that searches in descriptions use; see `Task.description_folded`."""

    inherit_cache = True
    type = String()
    name = "folded_description"


@compiles(FoldedDescription, "sqlite")
def _folded_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # LIKE ignores the case of ASCII letters by itself.
    folded, text = (compiler.process(each, **options) for each in element.clauses)
    return f"coalesce({folded}, {text})"


@compiles(FoldedDescription, "postgresql")
def _folded_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    folded, text = (compiler.process(each, **options) for each in element.clauses)
    return f'coalesce({folded}, lower({text} COLLATE "C"))'


class HasTag(Condition):
    """SQL: whether a task itself has a tag, or any of several."""

    inherit_cache = True
    name = "has_tag"


@compiles(HasTag, "sqlite")
def _has_tag_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    _, rows = element.clauses
    return str(compiler.process(rows, **options))


@compiles(HasTag, "postgresql")
def _has_tag_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    tags, _ = element.clauses
    return str(compiler.process(tags, **options))


class Implied(Condition):
    """SQL: a condition that others imply, which tells SQLite where an index has the row.

    Postgres would take it for one of its own, and expect hardly any row.
    """

    inherit_cache = True
    name = "implied"


@compiles(Implied, "sqlite")
def _implied_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(Implied, "postgresql")
def _implied_on_postgres(element: Any, compiler: Any, **options: Any) -> str:  # noqa: ARG001  # as all have them
    return "true"
