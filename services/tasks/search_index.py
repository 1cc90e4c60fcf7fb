"""SQLite's index of the titles' trigrams: how it is asked, and how it is kept.

Two letters are looked up as all the trigrams that begin with them. An owner's tasks stand together in it, so that what is rare with one is found among what is frequent with others.
Titles are added many at once, in the background; until then they are found among those that are new.
"""

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

TRIGRAM = 3
SHORTEST = 2
# Asking for more at once takes as long as reading an owner's titles.
MOST_TRIGRAMS = 200
# An owner has half of a row's number.
HIGHEST_OWNER = 2**31 - 1
# How many titles are indexed in one transaction, and for how many the index is touched at all.
ROUND = 5000
WORTHWHILE = 500

_NEW = text("SELECT task_id FROM task_search_changes LIMIT :limit")
# Of a pair of letters: all trigrams that begin with it. A mark ends each title, so that every pair begins one.
_BEGINNING = text(
    "SELECT trigram FROM task_search_trigrams WHERE trigram BETWEEN :pair AND :pair || char(1114111) LIMIT :limit"
)
# Whose titles stand in it together: each owner's, or each project's.
_MATCHING = {
    table: text(
        f"SELECT rowid & 4294967295 FROM {table} WHERE {table} MATCH :trigrams"  # names of ours
        " AND rowid BETWEEN :first_owner << 32 AND (:last_owner << 32 | 4294967295) LIMIT :limit"
    )
    for table in ("task_search_index", "task_search_projects")
}


def find(
    db: Session, owner_id: int | None, needle: str, limit: int, *, in_project: bool = False
) -> list[int] | None:
    """Tasks of an owner, or of everybody, that may have a text of two letters or more: so many, and one if more.

    `in_project`: of the project with this id. All that have it are among them, and everybody's whose titles are new; None where the index does not help.
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
        first, last = (0, HIGHEST_OWNER) if owner_id is None else (owner_id, owner_id)
        asked = {
            "trigrams": (" AND " if len(needle) >= TRIGRAM else " OR ").join(quoted),
            "first_owner": first,
            "last_owner": last,
            "limit": limit + 1,
        }
        found.update(
            db.execute(
                _MATCHING["task_search_projects" if in_project else "task_search_index"], asked
            ).scalars()
        )
    return sorted({*new, *found})


def _covering(needle: str) -> set[str]:
    """As few as the text consists of: each that is asked for takes time, and who lacks one of these is out."""
    places = {*range(0, len(needle) - TRIGRAM, TRIGRAM), len(needle) - TRIGRAM}
    return {needle[place : place + TRIGRAM] for place in places}


def _beginning(db: Session, pair: str) -> set[str]:
    return set(db.execute(_BEGINNING, {"pair": pair, "limit": MOST_TRIGRAMS + 1}).scalars())


_PENDING = text("SELECT count(*) FROM (SELECT 1 FROM task_search_changes LIMIT :limit)")
_LAST = text(
    "SELECT max(task_id) FROM (SELECT task_id FROM task_search_changes ORDER BY task_id LIMIT :round)"
)
_TITLES = text(
    "SELECT tasks.title_folded || char(3) FROM task_search_changes"
    " CROSS JOIN tasks ON tasks.id = task_search_changes.task_id WHERE task_search_changes.task_id <= :last"
)
_ADD_TRIGRAMS = text(
    "INSERT OR IGNORE INTO task_search_trigrams (trigram) SELECT value FROM json_each(:trigrams)"
)
_INDEX = (
    text(
        "INSERT INTO task_search_index (task_search_index, rowid, title) SELECT 'delete', owner_id << 32 | task_id, indexed || char(3)"
        " FROM task_search_changes WHERE task_id <= :last AND indexed IS NOT NULL ORDER BY owner_id, task_id"
    ),
    # In the order of the index, which otherwise writes a piece of its own for each. SQLite takes a CROSS JOIN in the
    # order in which it is written: otherwise it would go through all tasks, for they have that order already.
    text(
        "INSERT INTO task_search_index (rowid, title) SELECT tasks.user_id << 32 | tasks.id, tasks.title_folded || char(3)"
        " FROM task_search_changes CROSS JOIN tasks ON tasks.id = task_search_changes.task_id"
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
        " FROM task_search_changes CROSS JOIN tasks ON tasks.id = task_search_changes.task_id"
        " WHERE task_search_changes.task_id <= :last AND tasks.project_id IS NOT NULL"
        " ORDER BY tasks.project_id, tasks.id"
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
    if last is None:
        return
    titles = db.execute(_TITLES, {"last": last}).scalars()
    trigrams = {
        title[place : place + TRIGRAM] for title in titles for place in range(len(title) - TRIGRAM + 1)
    }
    db.execute(_ADD_TRIGRAMS, {"trigrams": to_json(sorted(trigrams)).decode()})
    for statement in _INDEX:
        db.execute(statement, {"last": last})
