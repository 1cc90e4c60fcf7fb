"""Deciding a dear filter for all tasks of an owner or a project at once, in NumPy and not in SQL.

The databases test one task after the other: they go through its description for each text, ask for its tags for each
test of tags, and compare its state with each list of states. With many such tests that takes long. Reading each
column once takes the same time for any number of tests, and NumPy decides a test for all tasks in a few milliseconds.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.orm import Session

from models import task_tags, tasks
from services.bulk_numbers import (
    MISSING,
    Joined,
    MomentOrMissing,
    in_bulk,
    numbers,
    read_numbers,
)
from services.flow.statistics import Integers
from services.query import statements
from services.query.facts import (
    EVERYTHING,
    NOTHING,
    AllOf,
    Contains,
    Fact,
    Normal,
    OneOf,
    Test,
    Within,
    tests_in,
)
from services.query.fields import FIELDS
from services.query.rare_parts import begins_with_frequent
from services.query.shapes import Place, Scope, tags_of
from storage.column_types import IsOneOf, ValueList, microseconds
from storage.folding import normal_form
from storage.prepared import prepared

# The time that each test takes SQLite at the most, and the time that it takes here, for 100,000 tasks in milliseconds.
_TESTS: Mapping[tuple[type, str], tuple[float, float]] = {
    (Contains, "title"): (6, 3),
    (Contains, "description"): (10, 15),
    (OneOf, "description"): (3, 0),
    (OneOf, "tag"): (10, 1),
    (OneOf, "state"): (4.5, 0),
    (OneOf, "project"): (4.5, 0),
}
# The time that SQLite takes for all descriptions, and then for a text of frequent letters; and that Postgres takes for a
# test of tags.
DESCRIPTIONS, FREQUENT_LETTERS, TAG_ON_POSTGRES = 75, 55, 5
# The time to read the ids, the rows, and each column: texts that are searched or compared, numbers and tags.
IDS, ROWS, NUMBERS, COMPARED = 10, 68, 10, 30
_READ = {"id": 0, "tags": 25, "title folded": 12, "description folded": 50, "description plain": 50}
# A filter is decided here if that is so many times as fast as the slowest that the database may be.
FASTER = 1.3
# If there are more tasks, all is left to the database.
MOST_TASKS = 250_000
# So many tasks are read at once, the second number with their descriptions, and about so many bytes are searched at
# once. A title has at most 500 letters, and a description 65,536.
TASKS_AT_ONCE, DESCRIPTIONS_AT_ONCE, BYTES_AT_ONCE = 20_000, 500, 200_000
_ID = FIELDS["id"]
# A letter that no other letter joins in the normal form.
_FRONT = "\x01"
# Whether something is true of each of the tasks.
Found: TypeAlias = NDArray[np.bool_]


def is_dear(db: Session, normal: Normal) -> bool:
    """Whether the database may take long to look at very many tasks, and reading their fields once is faster."""
    facts = [test.fact for test in tests_in(normal)]
    columns = {_column(fact) for fact in facts}
    if db.get_bind().dialect.name == "sqlite":
        in_database = sum(map(_on_sqlite, facts)) + DESCRIPTIONS * ("description folded" in columns)
    elif any(" " in name for name in columns):
        # Postgres would have to send all texts, which takes longer than searching them.
        return False
    else:
        in_database = TAG_ON_POSTGRES * sum(_column(fact) == "tags" for fact in facts)
    reading = sum(_READ.get(name, COMPARED if " " in name else NUMBERS) for name in columns)
    here = IDS + reading + ROWS * bool(columns - {"id", "tags"}) + sum(_cost(fact)[1] for fact in facts)
    return in_database >= FASTER * here


def _on_sqlite(fact: Fact) -> float:
    if isinstance(fact, Contains) and fact.field.name == "description" and begins_with_frequent(fact.text):
        return FREQUENT_LETTERS
    return _cost(fact)[0]


def _cost(fact: Fact) -> tuple[float, float]:
    return _TESTS.get((type(fact), fact.field.name), (0, 0))


def decided(db: Session, normal: Normal, place: Place) -> Normal:
    """The filter as a test of ids; it holds as long as no task changes."""
    facts = list(dict.fromkeys(test.fact for test in tests_in(normal)))
    ids = np.sort(read_numbers(db, _ids(place.scope), {**place._asdict(), "limit": MOST_TASKS + 1})[0])
    if not 0 < len(ids) <= MOST_TASKS:
        return normal
    known = dict(_of_tags(db, place, ids, [fact for fact in facts if _column(fact) == "tags"]))
    known |= _of_columns(db, place, ids, [fact for fact in facts if fact not in known])
    found = _decided(normal, known, len(ids))
    these, others = ids[found], ids[~found]
    if not len(these) or not len(others):
        return EVERYTHING if len(these) else NOTHING
    so = len(these) <= len(others)
    return Test(OneOf(_ID, tuple((these if so else others).tolist())), so)


def _decided(normal: Normal, known: Mapping[Fact, Found], count: int) -> Found:
    if isinstance(normal, Test):
        return known[normal.fact] if normal.so else ~known[normal.fact]
    is_all = isinstance(normal, AllOf)
    found = np.full(count, is_all)
    for part in normal.parts:
        if is_all:
            found &= _decided(part, known, count)
        else:
            found |= _decided(part, known, count)
    return found


# -- reading -----------------------------------------------------------------------------------------


def _column(fact: Fact) -> str:
    """The name of the column that decides a fact; the names of texts have two words."""
    name = fact.field.name
    if isinstance(fact, Contains):
        return f"{name} folded"
    if isinstance(fact, OneOf) and name == "tag":
        return "tags"
    return f"{name} plain" if isinstance(fact, OneOf) and fact.field.kind == "text" else name


def _or_missing(is_missing: ColumnElement[bool]) -> ColumnElement[int]:
    return case((is_missing, literal(MISSING, BigInteger)), else_=literal(0, BigInteger))


def _beginning(text: ColumnElement[str]) -> ColumnElement[str]:
    """The beginning of a text that may differ from the normal form: it tells whether the text is one of those asked for."""
    return func.substr(text, 1, bindparam("most_letters", type_=BigInteger()))


_COLUMNS: Mapping[str, Any] = {
    "id": tasks.c.id,
    "priority": tasks.c.priority,
    "project_id": func.coalesce(tasks.c.project_id, literal(MISSING, BigInteger)),
    "owner": tasks.c.user_id,
    "due": MomentOrMissing(tasks.c.due_at),
    "created": MomentOrMissing(tasks.c.created_at),
    "updated": MomentOrMissing(tasks.c.updated_at),
    "completed": MomentOrMissing(tasks.c.completed_at),
    "blocked": _or_missing(tasks.c.blocked_at.is_(None)),
    "tag": _or_missing(tasks.c.tags == bindparam("no_tags", [], type_=tasks.c.tags.type)),
    "description": _or_missing(tasks.c.description.is_(None)),
    "title folded": tasks.c.title_folded,
    "title plain": _beginning(tasks.c.title),
    # Descriptions without a folded form are folded by lowering ASCII.
    "description folded": func.coalesce(tasks.c.description_folded, tasks.c.description, ""),
    # The letter in front tells an empty description from a missing one.
    "description plain": func.coalesce(literal(_FRONT) + _beginning(tasks.c.description), ""),
    "status plain": tasks.c.status,
    "state plain": func.coalesce(tasks.c.state, tasks.c.status),
    "project plain": tasks.c.project,
}


def _mine(table: Any, scope: Scope) -> ColumnElement[bool]:
    if scope == "project":
        mine: ColumnElement[bool] = table.c.project_id == bindparam("project_id")
    else:
        mine = table.c.user_id == bindparam("owner_id")
    return mine


def _joined_texts(text: ColumnElement[str]) -> ColumnElement[bytes]:
    """The texts of a column between characters that no text has, on SQLite."""
    return cast(func.group_concat(text, func.char(0)), LargeBinary)


@cache
def _ids(scope: Scope) -> Select[Any]:
    return prepared(in_bulk(select(tasks.c.id).where(_mine(tasks, scope)).limit(bindparam("limit"))))


@cache
def _tagged(scope: Scope) -> Select[Any]:
    wanted = IsOneOf(task_tags.c.tag, bindparam("tags", type_=ValueList(String())))
    found = select(task_tags.c.tag, Joined(task_tags.c.task_id)).where(_mine(task_tags, scope), wanted)
    return prepared(found.group_by(task_tags.c.tag))


def _rows(
    db: Session, place: Place, ids: Integers, columns: tuple[str, ...], most_letters: int
) -> Iterator[tuple[Integers, Mapping[str, Any]]]:
    """Read the columns of some tasks after the other: their places among the ids, and the joined values by column."""

    def build() -> Select[Any]:
        joined = [(_joined_texts if " " in name else Joined)(_COLUMNS[name]) for name in ("id", *columns)]
        some = tasks.c.id.between(bindparam("first_id"), bindparam("last_id"))
        return select(*joined).where(_mine(tasks, place.scope), some)

    has_descriptions = any(name.startswith("description ") for name in columns)
    count = DESCRIPTIONS_AT_ONCE if has_descriptions else TASKS_AT_ONCE
    for first in range(0, len(ids) if columns else 0, count):
        some = ids[first : first + count]
        bounds = {"first_id": int(some[0]), "last_id": int(some[-1])}
        asked = {**place._asdict(), **bounds, "most_letters": most_letters}
        key = ("decided", place.scope, columns)
        these, *joined = statements.execute(db, key, build, asked).one()
        if these is not None:
            yield _places(ids, numbers((these,))[0]), dict(zip(columns, joined, strict=True))


def _places(ids: Integers, these: Integers) -> Integers:
    """The places of some tasks among the ids; the end for tasks that were added since the ids were read."""
    places = np.searchsorted(ids, these)
    places[ids.take(places, mode="clip") != these] = len(ids)
    return places


# -- deciding ----------------------------------------------------------------------------------------


def _of_tags(db: Session, place: Place, ids: Integers, facts: Iterable[Fact]) -> Iterator[tuple[Fact, Found]]:
    wanted = sorted({tag for fact in facts for tag in tags_of(Test(fact))})
    rows = db.execute(_tagged(place.scope), {**place._asdict(), "tags": wanted}) if wanted else ()
    tagged = {row[0]: _places(ids, numbers(row[1:])[0]) for row in rows}
    for fact in facts:
        found = np.zeros(len(ids) + 1, np.bool_)
        for tag in tags_of(Test(fact)):
            if tag in tagged:
                found[tagged[tag]] = True
        yield fact, found[:-1]


def _of_columns(db: Session, place: Place, ids: Integers, facts: list[Fact]) -> dict[Fact, Found]:
    by_column: dict[str, list[Any]] = {}
    for fact in facts:
        by_column.setdefault(_column(fact), []).append(fact)
    searches = {
        name: _Searches(len(ids), some) for name, some in by_column.items() if name.endswith("folded")
    }
    # Texts that are compared as a whole become numbers: only those that are asked for are told apart.
    codes = {name: _codes(some) for name, some in by_column.items() if name.endswith("plain")}
    values = {name: np.full(len(ids) + 1, MISSING) for name in by_column if name not in searches}
    longest = max((len(text) for each in codes.values() for text in each), default=0)
    # Four letters at most become one in the normal form.
    for places, joined in _rows(db, place, ids, tuple(sorted(by_column)), 4 * longest + 4):
        for name, texts in joined.items():
            if name in searches:
                searches[name].add(places, texts)
            elif name in codes:
                values[name][places] = _coded(texts, codes[name])
            else:
                values[name][places] = numbers((texts,))[0]
    known = {fact: found for each in searches.values() for fact, found in each.found().items()}
    for name, column in values.items():
        known |= {fact: _of_values(fact, column[:-1], codes.get(name)) for fact in by_column[name]}
    return known


def _codes(facts: Iterable[OneOf]) -> dict[str, int]:
    texts = {_marked(fact, value) for fact in facts for value in fact.values}
    return {text: number for number, text in enumerate(texts)}


def _marked(fact: OneOf, value: str) -> str:
    return _FRONT + value if fact.field.name == "description" else value


def _coded(texts: bytes, codes: Mapping[str, int]) -> Integers:
    each = normal_form(texts.decode()).split("\0")
    return np.fromiter(map(codes.get, each, repeat(MISSING)), np.int64, len(each))


def _of_values(fact: Fact, values: Integers, codes: Mapping[str, int] | None) -> Found:
    found: Found = values != MISSING
    if isinstance(fact, OneOf):
        wanted = fact.values if codes is None else [codes[_marked(fact, value)] for value in fact.values]
        is_one = np.zeros(len(values), np.bool_)
        for value in wanted:
            is_one |= values == value
        found &= is_one
    elif isinstance(fact, Within):
        start, behind = (
            microseconds(each) if fact.field.kind == "time" and each is not None else each
            for each in (fact.start, fact.behind)
        )
        if start is not None:
            found &= values >= start
        if behind is not None:
            found &= values < behind
    return found


class _Searches:
    """Searches in the folded texts of all tasks, in as many at once as takes the least time."""

    def __init__(self, count: int, facts: Iterable[Contains]) -> None:
        self._found = {fact: np.zeros(count + 1, np.bool_) for fact in facts}
        self._places: list[Integers] = []
        self._texts: list[bytes] = []
        self._bytes = 0

    def add(self, places: Integers, texts: bytes) -> None:
        """Search the texts of some tasks, at once or together with those of the next."""
        self._places.append(places)
        self._texts.append(texts)
        self._bytes += len(texts)
        if self._bytes > BYTES_AT_ONCE:
            self._search()

    def found(self) -> dict[Fact, Found]:
        """Whether each task has the text."""
        if self._texts:
            self._search()
        return {fact: found[:-1] for fact, found in self._found.items()}

    def _search(self) -> None:
        places = np.concatenate(self._places)
        letters = np.frombuffer(b"\0".join([b"", *self._texts, b""]).lower(), np.uint8)
        ends = np.flatnonzero(letters == 0)
        for fact, found in self._found.items():
            at = _containing(letters, fact.text.encode())
            found[places] = np.diff(np.searchsorted(at, ends)) > 0
        self._places, self._texts, self._bytes = [], [], 0


def _containing(letters: NDArray[np.uint8], sought: bytes) -> Integers:
    """The places at which a text is found."""
    count, first = len(letters) - len(sought) + 1, min(len(sought), 3)
    if count < 1:
        return np.zeros(0, np.int64)
    found = letters[:count] == sought[0]
    for place in range(1, first):
        found &= letters[place : count + place] == sought[place]
    at = np.flatnonzero(found)
    # Few places are left, so that the rest is compared there only.
    for place in range(first, len(sought)):
        at = at[letters[at + place] == sought[place]]
    return at
