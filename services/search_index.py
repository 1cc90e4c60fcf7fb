"""SQLite's index of the titles' trigrams: how it is asked, and how it is kept.

An owner's tasks stand together in it, so that what is rare with one is found among what is frequent with others.
Titles are added many at once, in the background; until then they are found among those that are new.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

TRIGRAM = 3
# An owner has half of a row's number.
HIGHEST_OWNER = 2**31 - 1
# How many titles are indexed in one transaction, and for how many the index is touched at all.
ROUND = 5000
WORTHWHILE = 500

_NEW = text("SELECT task_id FROM task_search_changes LIMIT :limit")
_MATCHING = text(
    "SELECT rowid & 4294967295 FROM task_search_index WHERE task_search_index MATCH :trigrams"
    " AND rowid BETWEEN :first_owner << 32 AND (:last_owner << 32 | 4294967295) LIMIT :limit"
)


def find(db: Session, owner_id: int | None, needle: str, limit: int) -> list[int] | None:
    """Tasks of an owner, or of everybody, that may have a text of three letters or more: so many, and one if more.

    All that have it are among them, and everybody's whose titles are new; None where too many of those wait.
    """
    new = db.execute(_NEW, {"limit": limit + 1}).scalars().all()
    if len(new) > limit:
        return None
    # As many as cover it: each that is asked for takes time, and who lacks one of these is out.
    places = {*range(0, len(needle) - TRIGRAM, TRIGRAM), len(needle) - TRIGRAM}
    trigrams = {needle[place : place + TRIGRAM].replace('"', '""') for place in places}
    first, last = (0, HIGHEST_OWNER) if owner_id is None else (owner_id, owner_id)
    asked = {
        "trigrams": " AND ".join(f'"{trigram}"' for trigram in sorted(trigrams)),
        "first_owner": first,
        "last_owner": last,
        "limit": limit + 1,
    }
    return sorted({*new, *db.execute(_MATCHING, asked).scalars()})


_PENDING = text("SELECT count(*) FROM (SELECT 1 FROM task_search_changes LIMIT :limit)")
_LAST = text(
    "SELECT max(task_id) FROM (SELECT task_id FROM task_search_changes ORDER BY task_id LIMIT :round)"
)
_INDEX = (
    text(
        "INSERT INTO task_search_index (task_search_index, rowid, title) SELECT 'delete', owner_id << 32 | task_id, indexed"
        " FROM task_search_changes WHERE task_id <= :last AND indexed IS NOT NULL ORDER BY owner_id, task_id"
    ),
    # In the order of the index, which otherwise writes a piece of its own for each. SQLite takes a CROSS JOIN in the
    # order in which it is written: otherwise it would go through all tasks, for they have that order already.
    text(
        "INSERT INTO task_search_index (rowid, title) SELECT tasks.user_id << 32 | tasks.id, tasks.title_folded"
        " FROM task_search_changes CROSS JOIN tasks ON tasks.id = task_search_changes.task_id"
        " WHERE task_search_changes.task_id <= :last ORDER BY tasks.user_id, tasks.id"
    ),
    text("DELETE FROM task_search_changes WHERE task_id <= :last"),
)


def waits(db: Session) -> bool:
    """Whether there are enough new titles to bring the index up to date."""
    if db.get_bind().dialect.name != "sqlite":
        return False
    waiting: int = db.execute(_PENDING, {"limit": WORTHWHILE}).scalar_one()
    return waiting >= WORTHWHILE


def index_titles(db: Session) -> None:
    """Bring the index up to date with the titles that have waited longest."""
    last = db.execute(_LAST, {"round": ROUND}).scalar_one()
    if last is not None:
        for statement in _INDEX:
            db.execute(statement, {"last": last})
