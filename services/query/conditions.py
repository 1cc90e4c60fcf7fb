"""Turning a filter in its normal form into a condition for SQLAlchemy; every value is a parameter.

A filter is split into its shape and its values. The text of the SQL depends on the shape alone, so statements
are kept by their shape.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from models import task_tags, tasks
from services.query.elements import (
    ContainingAny,
    EscapedContainingAny,
    FoldedDescription,
    HasTag,
    NormalForm,
    Walked,
)
from services.query.fields import FIELDS
from services.query.normal import AllOf, AnyOf, Contains, Normal, OneOf, Present, Test
from storage.column_types import BytesOfText, IsOneOf, ValueList
from storage.folding import fold, pattern

# The tasks that are searched: with an owner or a project an index finds the tags.
Scope = Literal["owner", "project", "all"]
# ("and" | "or", parts) or (kind, field, so, names of its parameters)
Shape: TypeAlias = tuple[Any, ...]
# The shape of a filter that no task matches.
NEVER: Shape = ("or", ())

COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": tasks.c.id,
    "title": tasks.c.title,
    "description": tasks.c.description,
    "status": tasks.c.status,
    # The state of a private task is its status.
    "state": func.coalesce(tasks.c.state, tasks.c.status),
    "priority": tasks.c.priority,
    "project": tasks.c.project,
    "project_id": tasks.c.project_id,
    "due": tasks.c.due_at,
    "created": tasks.c.created_at,
    "updated": tasks.c.updated_at,
    "completed": tasks.c.completed_at,
    "owner": tasks.c.user_id,
    "blocked": tasks.c.blocked_at,
}


class Place(NamedTuple):
    """The tasks in question: an owner's, a project's, or without both everybody's."""

    owner_id: int | None = None
    project_id: int | None = None

    @property
    def scope(self) -> Scope:
        if self.project_id is not None:
            return "project"
        return "all" if self.owner_id is None else "owner"


class Shaped(NamedTuple):
    """A filter, split into its shape and its values by the names of their parameters."""

    shape: Shape
    values: dict[str, Any]


def shaped(normal: Normal, marks: Mapping[Normal, str] = MappingProxyType({})) -> Shaped:
    """Split a filter into its shape and its values.

    A test of tags may be marked: `frequent` if very many tasks have them, and `seen` if each task that is looked at
    is to be asked for its tags, which is for Postgres.
    """
    values: dict[str, Any] = {}

    def take(value: Any) -> str:
        name = f"f{len(values)}"
        values[name] = value
        return name

    return Shaped(_shape(normal, take, marks), values)


def _shape(normal: Normal, take: Callable[[Any], str], marks: Mapping[Normal, str]) -> Shape:
    if isinstance(normal, Test):
        kind, *more = _shape_of_test(normal, take)
        return (f"{marks[normal]} {kind}" if normal in marks else kind, *more)
    word = "and" if isinstance(normal, AllOf) else "or"
    return (word, tuple(_shape(part, take, marks) for part in sorted(normal.parts, key=_cost)))


def tests_only(shape: Shape, column: str) -> bool:
    """Whether a filter tests no other column than this."""
    if shape[0] in ("and", "or"):
        return all(tests_only(part, column) for part in shape[1])
    return shape[1] != "tag" and COLUMNS[shape[1]].key == column


def _cost(part: Normal) -> int:
    """The cost of a part for each task: databases check parts in their order, so cheap ones come first."""
    if isinstance(part, AllOf | AnyOf):
        return max((_cost(each) for each in part.parts), default=0) + 1
    name = part.fact.field.name
    if isinstance(part.fact, Contains):
        return 20 if name == "description" else 10
    return 5 if name == "tag" else 0


def _shape_of_test(test: Test, take: Callable[[Any], str]) -> Shape:
    fact, name, so = test.fact, test.fact.field.name, test.so
    if isinstance(fact, Present):
        return ("present", name, so)
    if isinstance(fact, Contains):
        like = pattern(fact.text)
        # An ESCAPE clause takes SQLite a third longer, so only patterns with an escaped letter have it.
        kind = _ESCAPED if "\\" in like else _CONTAINS
        return (kind, name, so, take(like))
    if isinstance(fact, OneOf):
        kind, values = ("equal", fact.values[0]) if len(fact.values) == 1 else ("in", list(fact.values))
        names = [take(values)]
        if fact.field.name in _FOLDED:
            folded = sorted({fold(value) for value in fact.values})
            names.append(take(folded[0] if kind == "equal" else folded))
        return (kind, name, so, *names)
    start = None if fact.start is None else take(fact.start)
    behind = None if fact.behind is None else take(fact.behind)
    return ("within", name, so, start, behind)


# -- SQL -------------------------------------------------------------------------------------------


# Texts that are stored as they were sent, so that comparisons use their normal form.
_FOLDED = ("title", "description")


def condition(shape: Shape, scope: Scope, *, of_few: bool = False) -> ColumnElement[bool]:
    """The condition of a shape for the tasks of an owner (`owner_id`), a project (`project_id`) or everybody.

    `of_few` is for few tasks: it looks for tags in these tasks, instead of finding all with the tags.
    """
    if shape[0] in ("and", "or"):
        parts = [condition(part, scope, of_few=of_few) for part in _together(shape)]
        if not parts:
            return true() if shape[0] == "and" else false()
        return and_(*parts) if shape[0] == "and" else or_(*parts)
    kind, name, so, *names = shape
    if name == "tag":
        return _tags(kind, names, scope, so=so, of_few=of_few)
    column = COLUMNS[name]
    if kind == "present":
        return column.is_not(None) if so else column.is_(None)
    found = _CONDITIONS[kind](name, column, names)
    if so:
        return found
    opposite = not_(found) if kind != "within" else _outside(column, names)
    return or_(opposite, column.is_(None)) if FIELDS[name].nullable else opposite


def _together(shape: Shape) -> list[Shape]:
    """The parts, with all searches in the same texts as one part: a text is then prepared for them only once."""
    parts: dict[Any, list[Shape]] = {}
    for place, part in enumerate(shape[1]):
        is_search = part[0] in _CONTAINING and part[2] == (shape[0] == "or")
        parts.setdefault(part[1] if is_search else place, []).append(part)
    return [_joined(same) if len(same) > 1 else same[0] for same in parts.values()]


def _joined(searches: list[Shape]) -> Shape:
    kind = _ESCAPED if any(part[0] == _ESCAPED for part in searches) else _CONTAINS
    return (kind, *searches[0][1:3], *(like for part in searches for like in part[3:]))


_CONTAINS, _ESCAPED = _CONTAINING = ("contains", "contains escaped")


def _tags(kind: str, names: list[str], scope: Scope, *, so: bool, of_few: bool) -> ColumnElement[bool]:
    if kind == "present":
        empty = tasks.c.tags == bindparam("no_tags", [], type_=tasks.c.tags.type)
        return not_(empty) if so else empty
    first, _, last = kind.rpartition(" ")
    if of_few or first == "seen":
        found = _has_tag(last, names[0])
        return found if so else not_(found)
    # Without its index SQLite goes through the tasks, instead of looking up each task with the tag.
    row_id = type_coerce(Walked(tasks.c.id), BigInteger) if first else tasks.c.id
    tagged = select(task_tags.c.task_id).where(_compared(last, task_tags.c.tag, names[0]))
    if scope == "owner":
        tagged = tagged.where(task_tags.c.user_id == bindparam("owner_id"))
    elif scope == "project":
        tagged = tagged.where(task_tags.c.project_id == bindparam("project_id"))
    return row_id.in_(tagged) if so else row_id.not_in(tagged)


# A name of its own, because a list of a tag is read along the table.
_own_tags = task_tags.alias("own_tags")


def _has_tag(kind: str, name: str) -> ColumnElement[bool]:
    wanted = bindparam(name, type_=ValueList(String()) if kind == "in" else String())
    # By the index of the tag SQLite would look at all tasks that have it, for each task.
    tag = type_coerce(Walked(_own_tags.c.tag), String())
    rows = exists().where(_own_tags.c.task_id == tasks.c.id, _compared(kind, tag, name))
    return HasTag(tasks.c.tags.bool_op("?|" if kind == "in" else "?")(wanted), rows)


def _compared(kind: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    item = String() if isinstance(column.type, String) else BigInteger()
    if kind == "equal":
        return column == bindparam(name, type_=item)
    return IsOneOf(column, bindparam(name, type_=ValueList(item)))


def _equal(name: str, column: ColumnElement[Any], names: list[str], kind: str) -> ColumnElement[bool]:
    if name not in _FOLDED:
        return _compared(kind, column, names[0])
    exactly = _compared(kind, NormalForm(column), names[0])
    if name == "title":
        return and_(_compared(kind, tasks.c.title_folded, names[1]), exactly)
    # Only descriptions with a folded form may differ from their normal form, so only these are normalized.
    folded = and_(_compared(kind, tasks.c.description_folded, names[1]), exactly)
    return or_(_compared(kind, column, names[0]), and_(tasks.c.description_folded.is_not(None), folded))


def _bounds(column: ColumnElement[Any], names: list[str]) -> tuple[Any, Any]:
    # A small integer column may be compared with larger numbers, so the parameter is a BigInteger.
    type_ = BigInteger() if isinstance(column.type, Integer) else column.type
    start, behind = (bindparam(name, type_=type_) if name else None for name in names)
    return start, behind


def _within(_: str, column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    start, behind = _bounds(column, names)
    walked = type_coerce(Walked(column), column.type)
    parts = [] if start is None else [walked >= start]
    return and_(*parts, *([] if behind is None else [walked < behind]))


def _outside(column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    start, behind = _bounds(column, names)
    walked = type_coerce(Walked(column), column.type)
    parts = [] if start is None else [walked < start]
    return or_(*parts, *([] if behind is None else [walked >= behind]))


def _contains(
    name: str, column: ColumnElement[Any], likes: list[str], containing: type[ContainingAny] = ContainingAny
) -> ColumnElement[bool]:
    searched = column
    if name == "title":
        searched = tasks.c.title_folded
    elif name == "description":
        searched = FoldedDescription(tasks.c.description_folded, column)
    return containing(searched, *(bindparam(each, type_=BytesOfText()) for each in likes))


_CONDITIONS: Mapping[str, Callable[[str, ColumnElement[Any], list[str]], ColumnElement[bool]]] = {
    "equal": lambda name, column, names: _equal(name, column, names, "equal"),
    "in": lambda name, column, names: _equal(name, column, names, "in"),
    "within": _within,
    _CONTAINS: _contains,
    _ESCAPED: lambda name, column, likes: _contains(name, column, likes, EscapedContainingAny),
}
