"""Write many tasks into the database, in bulk through the driver, past the API.

The program's triggers keep the tables that derive from `tasks`, so only `users`, `tasks` and the history are
written here. If the table `tasks` changes, change `TASK_COLUMNS` and `task_values` too.
"""

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg.types.json import Jsonb

from database import Database
from services.lists import search_index

Connection: TypeAlias = sqlite3.Connection | psycopg.Connection[Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 20_000

TASK_COLUMNS = (
    "user_id",
    "title",
    "title_folded",
    "description",
    "status",
    "priority",
    "project",
    "tags",
    "due_at",
    "created_at",
    "updated_at",
    "completed_at",
    "version",
    "project_id",
    "state",
)


@dataclass(frozen=True, slots=True)
class TaskRow:
    user_id: int
    title: str
    description: str | None
    status: str
    priority: int
    project: str
    tags: list[str]
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    # The shared project, whose states are named like the statuses.
    project_id: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as a row of an import's body."""
        times = ("due_at", "created_at", "updated_at", "completed_at")
        found = {
            name: getattr(self, name) for name in self.__slots__ if name not in ("user_id", "project_id")
        }
        return found | {name: found[name] and found[name].isoformat() for name in times}


# ---- the schema ----------------------------------------------------------------------------------


def connect(url: str) -> Connection:
    """The driver's own connection to the database of a SQLAlchemy URL, in one transaction."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        return connection
    return psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1))


def _time(connection: Connection, value: datetime | None) -> datetime | int | None:
    """A time as the database keeps it: SQLite as microseconds since 1970, Postgres as a time."""
    if value is None or not isinstance(connection, sqlite3.Connection):
        return value
    return (value - EPOCH) // timedelta(microseconds=1)


def task_values(connection: Connection, row: TaskRow) -> tuple[object, ...]:
    """One row in the order of TASK_COLUMNS, as this database's driver takes it."""
    on_sqlite = isinstance(connection, sqlite3.Connection)
    return (
        row.user_id,
        row.title,
        row.title.lower(),  # Titles made here are ASCII, so folding them only lowers them.
        row.description,
        row.status,
        row.priority,
        row.project,
        json.dumps(row.tags) if on_sqlite else Jsonb(row.tags),
        _time(connection, row.due_at),
        _time(connection, row.created_at),
        _time(connection, row.updated_at),
        _time(connection, row.completed_at),
        1,
        row.project_id,
        None if row.project_id is None else row.status,
    )


def insert_statement(connection: Connection) -> str:
    """One row of `tasks`, with the placeholders of the driver."""
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    marks = ", ".join([mark] * len(TASK_COLUMNS))
    return f"INSERT INTO tasks ({', '.join(TASK_COLUMNS)}) VALUES ({marks})"


def insert_tasks(connection: Connection, rows: Sequence[TaskRow]) -> None:
    """Insert in the driver's fastest way; the caller commits."""
    values = (task_values(connection, row) for row in rows)
    if isinstance(connection, sqlite3.Connection):
        connection.executemany(insert_statement(connection), values)
        return
    with connection.cursor() as cursor:
        statement = f"COPY tasks ({', '.join(TASK_COLUMNS)}) FROM STDIN"
        with cursor.copy(statement.encode()) as copy:
            for value in values:
                copy.write_row(value)


def insert_users(connection: Connection, count: int) -> list[int]:
    """Insert accounts that nobody logs in to, and return their ids."""
    columns = (
        "username",
        "email",
        "email_folded",
        "password_hash",
        "is_active",
        "role",
        "created_at",
    )
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    marks = ", ".join([mark] * len(columns))
    now = _time(connection, datetime.now(UTC))
    values = []
    for number in range(count):
        name = f"filler{number}"
        mail = f"{name}@example.com"
        values.append((name, mail, mail, "!", True, "member", now))
    cursor = connection.cursor()
    cursor.executemany(f"INSERT INTO users ({', '.join(columns)}) VALUES ({marks})", values)
    cursor.execute("SELECT id FROM users WHERE username LIKE 'filler%' ORDER BY id")
    return [row[0] for row in cursor.fetchall()]


def insert_history(connection: Connection) -> None:
    """Insert the entry of an import for each task that has no history yet."""
    connection.cursor().execute(
        "INSERT INTO task_history"
        " (task_id, actor_id, kind, created_at, changes, owner_id, status, task_created_at, task_completed_at,"
        " project_id, state)"
        " SELECT id, user_id, 'imported', created_at, '{}', user_id, status, created_at, completed_at,"
        " project_id, state FROM tasks"
        " WHERE NOT EXISTS (SELECT 1 FROM task_history WHERE task_id = tasks.id)"
    )


# ---- the rows ------------------------------------------------------------------------------------

RARE, COMMON, SHORT = "zanzibar", "report", "qx"
RARE_EACH = 5  # tasks with the rare word, and with the short one, of each owner that is measured
PROJECTS, TAGS = 8, 30

_VERBS = [
    "write",
    "read",
    "check",
    "send",
    "plan",
    "draft",
    "review",
    "update",
    "fix",
    "file",
    "order",
    "book",
    "call",
    "mend",
    "test",
]
_NOUNS = [
    "invoice",
    "contract",
    "budget",
    "garden",
    "window",
    "server",
    "letter",
    "survey",
    "minutes",
    "licence",
    "poster",
    "ticket",
    "schedule",
    "manual",
    "backup",
    "archive",
    "printer",
    "meeting",
    "visit",
    "training",
    "delivery",
    "warehouse",
    "summary",
    "newsletter",
    "database",
    "password",
    "calendar",
    "keyboard",
    "bicycle",
    "kitchen",
    "insurance",
    "passport",
    "travel",
]
_SOURCES = [
    "spring",
    "summer",
    "autumn",
    "winter",
    "north",
    "south",
    "east",
    "west",
    "city",
    "school",
    "office",
]


def make_rows(owners: Sequence[tuple[int, int]], start: datetime, seed: int) -> Iterator[TaskRow]:
    """The tasks of each (owner, count), oldest first and mixed as if all owners had worked side by side."""
    choice = random.Random(seed)  # noqa: S311  # the same rows each time
    turns = [owner for owner, count in owners for _ in range(count)]
    choice.shuffle(turns)
    rare = {owner: _spread(count, RARE_EACH) for owner, count in owners}
    met = dict.fromkeys(rare, 0)
    step = (datetime.now(UTC) - timedelta(hours=1) - start) / max(1, len(turns))
    for number, owner in enumerate(turns):
        met[owner] += 1
        words = [choice.choice(_VERBS), "the", choice.choice(_NOUNS)]
        if number % 3 == 0:
            words.append(COMMON)
        words += ["for", choice.choice(_SOURCES), str(choice.randrange(10_000))]
        if met[owner] in rare[owner]:
            words += [RARE, SHORT]
        created = start + step * number
        status = choice.choices(("pending", "in_progress", "completed"), (25, 15, 60))[0]
        later = created + timedelta(hours=choice.expovariate(1 / 72))
        done = min(later, datetime.now(UTC)) if status == "completed" else None
        due = created + timedelta(days=choice.randrange(1, 60)) if choice.random() < 0.5 else None
        yield TaskRow(
            owner,
            " ".join(words).capitalize(),
            "What was done and what was not." if number % 2 else None,
            status,
            choice.randrange(5),
            f"Project {choice.randrange(PROJECTS)}",
            sorted({f"tag-{choice.randrange(TAGS)}", f"tag-{choice.randrange(TAGS)}"}),
            due,
            created,
            done or created,
            done,
        )


def _spread(count: int, wanted: int) -> frozenset[int]:
    """The numbers of an owner's tasks with a rare word: as many for each owner, evenly apart."""
    return frozenset(count * (2 * at + 1) // (2 * wanted) + 1 for at in range(min(count, wanted)))


def fill(
    url: str,
    owners: Sequence[tuple[int, int]],
    bystanders: int,
    others: int,
    projects: Mapping[int, tuple[int, str]] | None = None,
) -> None:
    """Give the owners their tasks, and share `others` among this number of further accounts.

    `projects` gives an owner a shared project by its id and name, and all of the owner's tasks are in it.
    """
    connection = connect(url)
    if isinstance(connection, sqlite3.Connection):
        # Nobody minds losing the file while it is being filled.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
    fillers = insert_users(connection, bystanders)
    shares = [
        (user, others * (at + 1) // bystanders - others * at // bystanders) for at, user in enumerate(fillers)
    ]
    start = datetime.now(UTC) - timedelta(days=730)
    batch: list[TaskRow] = []
    for row in make_rows([*owners, *shares], start, seed=7):
        shared = projects and projects.get(row.user_id)
        batch.append(replace(row, project_id=shared[0], project=shared[1]) if shared else row)
        if len(batch) == BATCH:
            insert_tasks(connection, batch)
            connection.commit()
            batch.clear()
    insert_tasks(connection, batch)
    insert_history(connection)
    connection.commit()
    if isinstance(connection, sqlite3.Connection):
        _index_titles(url)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        # Autovacuum would do this by itself a minute later.
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
    connection.close()


def _index_titles(url: str) -> None:
    """Index all titles at once. The program indexes them by and by, as they come in."""
    database = Database(url)
    while database.read(search_index.waits):
        database.write(search_index.index_titles)
    database.close()
