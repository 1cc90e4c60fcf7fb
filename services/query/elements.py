"""The elements of conditions that SQLite and Postgres write in different ways."""

from typing import Any, Literal, TypeAlias

from sqlalchemy import Dialect, LargeBinary, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from storage.column_types import Condition, Written
from storage.folding import pattern


class NormalForm(Written[str]):
    """SQL: a text in Unicode's normal form C. Every connection to SQLite registers the function."""

    inherit_cache = True
    type = String()
    name = "normal_form"
    on_sqlite = "normal_form({0})"
    on_postgres = "normalize({0}, NFC)"


Form: TypeAlias = Literal["text", "bytes", "pattern"]


class Sought(TypeDecorator[str]):
    """A folded text that is looked for, as a parameter: a LIKE pattern on SQLite, and one of three forms on Postgres."""

    impl = Text
    cache_ok = True

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type in this database."""
        is_text = dialect.name == "sqlite" or self.form == "text"
        return dialect.type_descriptor(Text() if is_text else LargeBinary())

    def bind_processor(self, dialect: Dialect) -> Any:
        """Convert a text for the driver."""
        if dialect.name == "sqlite":
            return pattern
        return {"text": None, "bytes": str.encode, "pattern": _pattern_in_bytes}[self.form]


def _pattern_in_bytes(text: str) -> bytes:
    return pattern(text).encode()


class ContainingAny(Condition):
    """SQL: whether a folded text contains one of several, which are parameters of the type `Sought`.

    Postgres looks in the bytes of a description, which takes half as long: in UTF-8 they contain each other if the texts
    do. In titles it looks for several texts by their patterns. It would expect few tasks to match these, and then sort
    instead of walking a list: `coalesce` hides the patterns from its guess.
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
    text, *sought = (compiler.process(each, **options) for each in element.clauses)
    form = list(element.clauses)[1].type.form
    if form == "text":
        return f"strpos({text}, {sought[0]}) > 0"
    # The bytes are those that are sent to the program, whose connections use UTF-8.
    if form == "bytes":
        return "(" + " OR ".join(f"position({each} in {text}) > 0" for each in sought) + ")"
    return f"coalesce({text} LIKE ANY (ARRAY[{', '.join(sought)}]), false)"


class EscapedContainingAny(ContainingAny):
    """SQL: the same for texts with letters that have a meaning in patterns."""

    escape = " ESCAPE '\\'"


class InBytes(Written[str]):
    """SQL: the bytes of a text on Postgres, and the text itself on SQLite."""

    inherit_cache = True
    type = String()
    name = "in_bytes"
    on_sqlite = "{0}"
    on_postgres = "textsend({0})"


class UnindexedOnSqlite(Written[Any]):
    """SQL: a column for which SQLite uses no index, so that it walks the list in its order.

    SQLite would use an index for any range, however wide, and then sort all matches. Walking the list soon
    fills a page. Postgres knows how wide a range is, and chooses by itself.
    """

    inherit_cache = True
    name = "unindexed_on_sqlite"
    on_sqlite = "+{0}"
    on_postgres = "{0}"


class UnindexedOnPostgres(Condition):
    """SQL: a condition with many alternatives, for which Postgres uses no index, so that it walks the list in its order.

    Postgres may guess that each of the alternatives finds few tasks. It would then look all of them up one after the
    other, even if each finds nearly all tasks.
    """

    inherit_cache = True
    name = "unindexed_on_postgres"
    on_sqlite = "({0})"
    on_postgres = "(({0}) IS TRUE)"


class FoldedDescription(Written[str]):
    """SQL: the text that searches in descriptions use; see `Task.description_folded`."""

    inherit_cache = True
    type = String()
    name = "folded_description"
    # LIKE ignores the case of ASCII letters by itself.
    on_sqlite = "coalesce({0}, {1})"
    on_postgres = 'coalesce({0}, lower({1} COLLATE "C"))'


class InDescription(Written[str]):
    """SQL: the folded description within a condition that prepares it: see `WithDescription`."""

    inherit_cache = True
    type = String()
    name = "in_description"
    on_sqlite = "{0}"
    on_postgres = "prepared.description"


class WithDescription(Condition):
    """SQL: a condition that looks for several texts in the description.

    Postgres prepares a long description as long as it searches it, so it does that once for all of them.
    """

    inherit_cache = False
    name = "with_description"
    on_sqlite = "({0})"
    # The offset keeps Postgres from putting the text into the condition.
    on_postgres = "(SELECT {0} FROM (SELECT {1} AS description OFFSET 0) AS prepared)"


class OfLength(Condition):
    """SQL: whether a text has one of these lengths in bytes, which tells Postgres soon that it is not in a list.

    Otherwise Postgres would read all of each long text. SQLite has no quick way to tell the length.
    """

    inherit_cache = True
    name = "of_length"
    on_sqlite = "true"
    on_postgres = "octet_length({0}) = ANY ({1})"


class Branch(Condition):
    """SQL: the second condition if the first is true, and else the third."""

    inherit_cache = True
    name = "branch"
    on_sqlite = on_postgres = "CASE WHEN {0} THEN {1} ELSE {2} END"


class HasTag(Condition):
    """SQL: whether a task itself has a tag, or any of several."""

    inherit_cache = True
    name = "has_tag"
    on_sqlite = "{1}"
    on_postgres = "{0}"


class Implied(Condition):
    """SQL: a condition that others imply, which tells SQLite where an index has the row, or is tested sooner.

    Postgres leaves it out: it would count it as one more condition, and expect hardly any row.
    """

    inherit_cache = True
    name = "implied"
    on_sqlite = "{0}"
    on_postgres = "true"


class IsNoted(Condition):
    """SQL: whether a task has one of the tags whose bits are given, on SQLite within `WithTags`."""

    inherit_cache = True
    name = "is_noted"
    on_sqlite = "((noted.tags & {0}) <> 0)"


class WithTags(Condition):
    """SQL: a condition that asks a task for many tags, whose bits are read from the task's own tags once, on SQLite."""

    inherit_cache = False
    name = "with_tags"
    # SQLite works out all parts of a condition that is a value, even if the first ones tell it.
    on_sqlite = (
        "EXISTS (SELECT 1 FROM (SELECT coalesce(sum({1}), 0) AS tags FROM task_tags AS own_tags"
        " WHERE own_tags.task_id = tasks.id) AS noted WHERE {0})"
    )
