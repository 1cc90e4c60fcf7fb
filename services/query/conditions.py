"""Turning the shape of a filter into a condition for SQLAlchemy; every value is a parameter."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from models import task_tags, tasks
from services.query.elements import (
    Branch,
    ContainingAny,
    EscapedContainingAny,
    FoldedDescription,
    Form,
    HasTag,
    Implied,
    InBytes,
    InDescription,
    IsNoted,
    NormalForm,
    OfLength,
    Sought,
    UnindexedOnSqlite,
    WithDescription,
    WithTags,
)
from services.query.fields import FIELDS
from services.query.shapes import (
    CONTAINING,
    ESCAPED,
    FOLDED,
    Scope,
    Shape,
    texts_in_descriptions,
)
from storage.column_types import IsOneOf, ValueList

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


def tests_only(shape: Shape, column: str) -> bool:
    """Whether a filter tests no other column than this."""
    if shape[0] in ("and", "or"):
        return all(tests_only(part, column) for part in shape[1])
    return shape[1] != "tag" and COLUMNS[shape[1]].key == column


def condition(
    shape: Shape, scope: Scope, *, of_few: bool = False, is_within: bool = False
) -> ColumnElement[bool]:
    """The condition of a shape for the tasks of an owner (`owner_id`), a project (`project_id`) or everybody.

    `of_few` is for few tasks: it looks for tags in these tasks, instead of finding all with the tags. `is_within` is
    for a part of a condition that prepares the description for all its parts.
    """
    if shape[0] in ("and", "or"):
        return _joined(shape, scope, of_few=of_few, is_within=is_within)
    kind, name, holds, *names = shape
    if kind == "noting":
        return WithTags(condition(names[1], scope), _notes(names[0]))
    if name == "tag":
        return _tags(kind, names, scope, holds=holds, of_few=of_few)
    column = COLUMNS[name]
    if kind == "present":
        return column.is_not(None) if holds else column.is_(None)
    if kind in CONTAINING:
        found = _contains(kind, name, column, names, is_within=is_within)
    else:
        found = _CONDITIONS[kind](name, column, names)
    if holds:
        return found
    opposite = not_(found) if kind != "within" else _outside(column, names)
    return or_(opposite, column.is_(None)) if FIELDS[name].nullable else opposite


def _joined(shape: Shape, scope: Scope, *, of_few: bool, is_within: bool) -> ColumnElement[bool]:
    word, parts = shape
    if not parts:
        return true() if word == "and" else false()
    join = and_ if word == "and" else or_
    searching = [part for part in parts if texts_in_descriptions(part)]
    if is_within or texts_in_descriptions(shape) < 2:
        return join(*(condition(part, scope, of_few=of_few, is_within=is_within) for part in parts))
    others = [condition(part, scope, of_few=of_few) for part in parts if part not in searching]
    within = join(*(condition(part, scope, of_few=of_few, is_within=True) for part in searching))
    return join(*others, WithDescription(within, _DESCRIPTION))


def _tags(kind: str, names: list[str], scope: Scope, *, holds: bool, of_few: bool) -> ColumnElement[bool]:
    if kind == "present":
        empty = tasks.c.tags == bindparam("no_tags", [], type_=tasks.c.tags.type)
        return not_(empty) if holds else empty
    if kind == "noted":
        is_noted = IsNoted(bindparam(names[0], type_=BigInteger()))
        return is_noted if holds else not_(is_noted)
    first, _, last = kind.rpartition(" ")
    if of_few or first == "seen":
        found = _has_tag(last, names[0])
        return found if holds else not_(found)
    # Without its index SQLite goes through the tasks, instead of looking up each task with the tag.
    row_id = type_coerce(UnindexedOnSqlite(tasks.c.id), BigInteger) if first else tasks.c.id
    tagged = select(task_tags.c.task_id).where(_compared(last, task_tags.c.tag, names[0]))
    if scope == "owner":
        tagged = tagged.where(task_tags.c.user_id == bindparam("owner_id"))
    elif scope == "project":
        tagged = tagged.where(task_tags.c.project_id == bindparam("project_id"))
    return row_id.in_(tagged) if holds else row_id.not_in(tagged)


# A name of its own, because a list of a tag is read along the table.
_own_tags = task_tags.alias("own_tags")


def _notes(names: Sequence[str]) -> ColumnElement[int]:
    """The bit of one of a task's own tags: the place of the tag in the list says which."""
    # A column of the table would add the table to the statement.
    tag: ColumnElement[str] = literal_column("own_tags.tag", String())
    bits: list[tuple[ColumnElement[bool], ColumnElement[int]]] = [
        (tag == bindparam(name), literal_column(str(1 << place))) for place, name in enumerate(names)
    ]
    return case(*bits, else_=literal_column("0"))


def _has_tag(kind: str, name: str) -> ColumnElement[bool]:
    wanted = bindparam(name, type_=ValueList(String()) if kind == "in" else String())
    # By the index of the tag SQLite would look at all tasks that have it, for each task.
    tag = type_coerce(UnindexedOnSqlite(_own_tags.c.tag), String())
    rows = exists().where(_own_tags.c.task_id == tasks.c.id, _compared(kind, tag, name))
    return HasTag(tasks.c.tags.bool_op("?|" if kind == "in" else "?")(wanted), rows)


def _compared(kind: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    item = String() if isinstance(column.type, String) else BigInteger()
    if kind == "equal":
        return column == bindparam(name, type_=item)
    return IsOneOf(column, bindparam(name, type_=ValueList(item)))


def _equal(kind: str, name: str, column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    if name not in FOLDED:
        return _compared(kind, column, names[0])
    exactly = _compared(kind, NormalForm(column), names[0])
    if name == "title":
        return and_(_compared(kind, tasks.c.title_folded, names[1]), exactly)
    # Only descriptions with a folded form may differ from their normal form, so only these are normalized.
    folded = tasks.c.description_folded
    same = [_compared(kind, column, names[0])]
    same_folded = [folded.is_not(None), _compared(kind, folded, names[1]), exactly]
    if kind == "in":
        lengths = [bindparam(name, type_=ValueList(Integer())) for name in names[2:]]
        same.insert(0, OfLength(column, lengths[0]))
        same_folded.insert(1, OfLength(folded, lengths[1]))
    return or_(and_(*same), and_(*same_folded))


def _bounds(column: ColumnElement[Any], names: list[str]) -> tuple[Any, Any]:
    # A small integer column may be compared with larger numbers, so the parameter is a BigInteger.
    type_ = BigInteger() if isinstance(column.type, Integer) else column.type
    start, behind = (bindparam(name, type_=type_) if name else None for name in names)
    return start, behind


def _within(column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    start, behind = _bounds(column, names)
    value = type_coerce(UnindexedOnSqlite(column), column.type)
    parts = [] if start is None else [value >= start]
    return and_(*parts, *([] if behind is None else [value < behind]))


def _outside(column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    start, behind = _bounds(column, names)
    value = type_coerce(UnindexedOnSqlite(column), column.type)
    parts = [] if start is None else [value < start]
    return or_(*parts, *([] if behind is None else [value >= behind]))


def _within_any(column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    """Whether the column is within one of many ranges, which are in their order."""
    return and_(_within(column, [names[0], names[-1]]), _by_halves(column, names))


def _by_halves(column: ColumnElement[Any], names: list[str]) -> ColumnElement[bool]:
    """The same with few comparisons for each task: one range after the other would take long."""
    if len(names) == 2:
        return _within(column, names)
    half = len(names) // 4 * 2
    start, _ = _bounds(column, names[half : half + 2])
    parts = (_by_halves(column, each) for each in (names[:half], names[half:]))
    return Branch(type_coerce(UnindexedOnSqlite(column), column.type) < start, *parts)


_DESCRIPTION = InBytes(FoldedDescription(tasks.c.description_folded, tasks.c.description))


def _contains(
    kind: str, name: str, column: ColumnElement[Any], names: list[Sequence[str]], *, is_within: bool
) -> ColumnElement[bool]:
    """Whether the column contains any of the rare parts, if there are some, and any of the texts."""
    containing = EscapedContainingAny if kind == ESCAPED else ContainingAny

    def contains(texts: Sequence[str]) -> ColumnElement[bool]:
        text, form = _searched(name, column, several=len(texts) > 1, is_within=is_within)
        return containing(text, *(bindparam(each, type_=Sought(form)) for each in texts))

    rare, texts = names
    if not rare:
        return contains(texts)
    if name == "description" and not is_within:
        # Postgres would prepare the description twice.
        return and_(Implied(contains(rare)), contains(texts))
    return and_(contains(rare), contains(texts))


def _searched(
    name: str, column: ColumnElement[Any], *, several: bool, is_within: bool
) -> tuple[ColumnElement[Any], Form]:
    """The text that is searched, and the form of texts that are looked for in it."""
    if name == "description":
        return (InDescription(_DESCRIPTION) if is_within else _DESCRIPTION), "bytes"
    text = tasks.c.title_folded if name == "title" else column
    return (InBytes(text), "pattern") if several else (text, "text")


_CONDITIONS: Mapping[str, Callable[[str, ColumnElement[Any], list[str]], ColumnElement[bool]]] = {
    "equal": partial(_equal, "equal"),
    "in": partial(_equal, "in"),
    "within": lambda _, column, names: _within(column, names),
    "within any": lambda _, column, names: _within_any(column, names),
}
