"""SQLite's index of the trigrams in titles: searching it, and keeping it up to date.

Two letters are looked up as all trigrams that begin with them. An owner's tasks stand together in the index,
so that a text which is rare with one owner is found quickly although it is frequent with others. New titles
are indexed in the background, many at once. Until then searches take all new titles as possible matches.
"""

import numpy as np
from pydantic_core import to_json
from sqlalchemy import Integer, text
from sqlalchemy.orm import Session

from services.query.shapes import Place
from storage.direct_session import is_sqlite
from storage.prepared import prepared

TRIGRAM = 3
SHORTEST = 2
# Looking up more trigrams takes as long as reading an owner's titles.
MOST_TRIGRAMS = 200
# An owner's id takes half of the bits of a rowid.
HIGHEST_OWNER = 2**31 - 1
# The number of titles that one transaction indexes, and the least number that is worth touching the index.
ROUND = 5000
WORTHWHILE = 500

_NEW = text("SELECT task_id FROM task_search_changes LIMIT :limit")
# All trigrams that begin with a pair of letters. A mark ends each title, so that every pair begins a trigram.
_BEGINNING = text(
    "SELECT trigram FROM task_search_trigrams WHERE trigram BETWEEN :pair AND :pair || char(1114111) LIMIT :limit"
)
# One index keeps the titles of each owner together, the other those of each project.
_MATCHING = {
    scope: text(
        f"SELECT rowid & 4294967295 FROM {table} WHERE {table} MATCH :trigrams"
        " AND rowid BETWEEN :first << 32 AND (:last << 32 | 4294967295) LIMIT :limit"
    )
    for scope, table in (
        ("owner", "task_search_index"),
        ("all", "task_search_index"),
        ("project", "task_search_projects"),
    )
}


def find(db: Session, place: Place, needle: str, limit: int) -> list[int] | None:
    """The tasks that may contain a text of two letters or more, up to `limit` + 1.

    The result has all matching tasks, and all tasks of everybody with new titles. None means that the index does
    not help.
    """
    new = db.execute(_NEW, {"limit": limit + 1}).scalars().all()
    if len(new) > limit:
        return None
    trigrams = _covering(needle) if len(needle) >= TRIGRAM else _beginning(db, needle)
    if len(trigrams) > MOST_TRIGRAMS:
        return None
    found: set[int] = set()
    if trigrams:
        quoted = ['"' + trigram.replace('"', '""') + '"' for trigram in sorted(trigrams)]
        here = place.owner_id if place.project_id is None else place.project_id
        first, last = (0, HIGHEST_OWNER) if here is None else (here, here)
        asked = {
            "trigrams": (" AND " if len(needle) >= TRIGRAM else " OR ").join(quoted),
            "first": first,
            "last": last,
            "limit": limit + 1,
        }
        found.update(db.execute(_MATCHING[place.scope], asked).scalars())
    return sorted({*new, *found})


def _covering(needle: str) -> set[str]:
    """The fewest trigrams that cover the text: each lookup takes time, and every match has all of these."""
    places = {*range(0, len(needle) - TRIGRAM, TRIGRAM), len(needle) - TRIGRAM}
    return {needle[place : place + TRIGRAM] for place in places}


def _beginning(db: Session, pair: str) -> set[str]:
    return set(db.execute(_BEGINNING, {"pair": pair, "limit": MOST_TRIGRAMS + 1}).scalars())


_PENDING = prepared(
    text("SELECT count(*) FROM (SELECT 1 FROM task_search_changes LIMIT :limit)").columns(waiting=Integer)
)
_LAST = text(
    "SELECT max(task_id) FROM (SELECT task_id FROM task_search_changes ORDER BY task_id LIMIT :round)"
)
# All titles in one text, between characters that no title has.
_TITLES = text(
    "SELECT group_concat(tasks.title_folded || char(3), char(0)) FROM task_search_changes"
    " CROSS JOIN tasks NOT INDEXED ON tasks.id = task_search_changes.task_id WHERE task_search_changes.task_id <= :last"
)
_ADD_TRIGRAMS = text(
    "INSERT OR IGNORE INTO task_search_trigrams (trigram) SELECT value FROM json_each(:trigrams)"
)
_INDEX = (
    text(
        "INSERT INTO task_search_index (task_search_index, rowid, title) SELECT 'delete', owner_id << 32 | task_id, indexed || char(3)"
        " FROM task_search_changes WHERE task_id <= :last AND indexed IS NOT NULL ORDER BY owner_id, task_id"
    ),
    # The rows come in the order of the index, which would otherwise write a segment for each row. SQLite
    # reads a CROSS JOIN in the written order. With another join it would read all tasks, because they have
    # that order already. Without `NOT INDEXED` it may read all for each row, if ANALYZE counted them when they were few.
    text(
        "INSERT INTO task_search_index (rowid, title) SELECT tasks.user_id << 32 | tasks.id, tasks.title_folded || char(3)"
        " FROM task_search_changes CROSS JOIN tasks NOT INDEXED ON tasks.id = task_search_changes.task_id"
        " WHERE task_search_changes.task_id <= :last ORDER BY tasks.user_id, tasks.id"
    ),
    text(
        "INSERT INTO task_search_projects (task_search_projects, rowid, title)"
        " SELECT 'delete', project_id << 32 | task_id, indexed || char(3) FROM task_search_changes"
        " WHERE task_id <= :last AND indexed IS NOT NULL AND project_id IS NOT NULL ORDER BY project_id, task_id"
    ),
    text(
        "INSERT INTO task_search_projects (rowid, title)"
        " SELECT tasks.project_id << 32 | tasks.id, tasks.title_folded || char(3)"
        " FROM task_search_changes CROSS JOIN tasks NOT INDEXED ON tasks.id = task_search_changes.task_id"
        " WHERE task_search_changes.task_id <= :last AND tasks.project_id IS NOT NULL"
        " ORDER BY tasks.project_id, tasks.id"
    ),
    text("DELETE FROM task_search_changes WHERE task_id <= :last"),
)


def _trigrams(titles: str) -> list[str]:
    """The trigrams of the titles, each once. NumPy finds them in a third of the time of a set."""
    letters = np.frombuffer(titles.encode("utf-32-le"), "<u4").astype(np.uint64)
    # A letter has 21 bits, so three letters are one number.
    numbers = np.unique(letters[:-2] << 42 | letters[1:-1] << 21 | letters[2:])
    threes = np.stack((numbers >> 42, numbers >> 21 & 0x1FFFFF, numbers & 0x1FFFFF), axis=1)
    found = threes.astype("<u4").tobytes().decode("utf-32-le")
    trigrams = (found[place : place + TRIGRAM] for place in range(0, len(found), TRIGRAM))
    return [trigram for trigram in trigrams if "\0" not in trigram]


def waits(db: Session) -> bool:
    """Whether there are enough new titles to bring the index up to date."""
    if not is_sqlite(db):
        return False
    waiting: int = db.execute(_PENDING, {"limit": WORTHWHILE}).scalar_one()
    return waiting >= WORTHWHILE


def index_titles(db: Session) -> None:
    """Bring the index up to date with the titles that have waited longest."""
    last = db.execute(_LAST, {"round": ROUND}).scalar_one()
    if last is None:
        return
    titles = db.execute(_TITLES, {"last": last}).scalar()
    if titles is not None:
        db.execute(_ADD_TRIGRAMS, {"trigrams": to_json(_trigrams(titles)).decode()})
    for statement in _INDEX:
        db.execute(statement, {"last": last})
