"""Checks of the whole database after any writes: the rows of different tables must say the same."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Table, select, text
from sqlalchemy.orm import Session

from models import STATUSES, tasks
from services.tasks.fields import NAMES
from storage.column_types import rfc3339
from tables.history import TASK_KINDS, task_history

# Renaming a project changes these fields of its tasks without a row of history.
BY_RENAMING = ("project", "updated_at")
MOST = {"webhooks": 20, "calendars": 100, "program_tokens": 100}


def broken(db: Session) -> list[str]:
    """Sentences about everything that contradicts itself; empty if all is well."""
    return [f"{check.__name__}: {each}" for check in CHECKS for each in check(Rows(db))]


class Rows:
    """Reads rows."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def __call__(self, what: str | Table) -> list[Any]:
        """The rows of a table, in the order of their ids, or of a statement."""
        statement = text(what) if isinstance(what, str) else select(what).order_by(what.c.id)
        return list(self._db.execute(statement).all())


# -- counts and copies -----------------------------------------------------------------------------


def counts(rows: Rows) -> Iterator[str]:
    """The kept counts are those of the tasks."""
    right: dict[str, Counter[Any]] = defaultdict(Counter)
    for task in rows(tasks):
        right["owner_counts"][task.user_id, task.status] += 1
        right["project_counts"][task.user_id, task.project, task.status] += 1
        right["system_counts"][(task.status,)] += 1
        if task.completed_at is not None:
            right["duration_counts"][task.user_id, "count"] += 1
    for table, columns, numbers in (
        ("owner_counts", ["user_id"], STATUSES),
        ("project_counts", ["user_id", "project"], STATUSES),
        ("system_counts", [], STATUSES),
        ("duration_counts", ["user_id"], ["count"]),
    ):
        kept: Counter[Any] = Counter()
        for row in rows(f"SELECT {', '.join([*columns, *numbers])} FROM {table}"):
            for name in numbers:
                kept[*row[: len(columns)], name] += getattr(row, name) if name != "count" else row[-1]
        # A Counter equals another one that lacks its zeros.
        if kept != right[table]:
            yield f"{table} has {kept}, right is {right[table]}"


def tags(rows: Rows) -> Iterator[str]:
    """The copies of tags are those of the tasks."""
    right = {(task.id, task.user_id, task.project_id, tag) for task in rows(tasks) for tag in task.tags}
    kept = {tuple(row) for row in rows("SELECT task_id, user_id, project_id, tag FROM task_tags")}
    if kept != right:
        yield f"they differ in {kept ^ right}"


# -- projects --------------------------------------------------------------------------------------

Members = dict[int, dict[int, tuple[str, bool]]]


def _members(rows: Rows) -> Members:
    """The role of each member of each project, and whether the account is on."""
    found: Members = defaultdict(dict)
    for row in rows("SELECT m.*, u.is_active FROM project_members m JOIN users u ON u.id = m.user_id"):
        found[row.project_id][row.user_id] = row.role, bool(row.is_active)
    return found


def _states(rows: Rows) -> dict[int, dict[str, str]]:
    """The states of each project, in their order, with their statuses."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for row in rows("SELECT * FROM project_states WHERE removed_at IS NULL ORDER BY project_id, position"):
        found[row.project_id][row.key] = row.status
    return found


def places(rows: Rows) -> Iterator[str]:
    """Each task in a project has its name, one of its states with the right status, and a member as its owner."""
    names = {row.id: row.name for row in rows("SELECT id, name FROM projects")}
    states, members = _states(rows), _members(rows)
    for task in rows(tasks):
        if task.project_id is None:
            continue
        here = members[task.project_id]
        if task.project != names.get(task.project_id):
            yield f"task {task.id} has the name {task.project}, its project {names.get(task.project_id)}"
        if states[task.project_id].get(task.state) != task.status:
            yield f"task {task.id} has the status {task.status} in the state {task.state}"
        role, is_on = here.get(task.user_id, (None, True))
        others = {user for user, (its, on) in here.items() if on and its != "viewer"} - {task.user_id}
        if role in (None, "viewer") or (others and not is_on):
            yield f"task {task.id}: its owner {task.user_id} is {role}, the members are {here}"


def managers(rows: Rows) -> Iterator[str]:
    """Each project has a manager, and the owners of its webhooks are managers or admins from elsewhere."""
    members = _members(rows)
    for project in rows("SELECT id FROM projects"):
        here = members[project.id]
        on = [role for role, is_on in here.values() if is_on]
        if not here or (on and "manager" not in on):
            yield f"project {project.id} has the members {here}"
    for hook in rows("SELECT id, project_id, user_id FROM webhooks WHERE project_id IS NOT NULL"):
        here = members[hook.project_id]
        if here.get(hook.user_id, ("manager", True))[0] != "manager" and ("manager", True) in here.values():
            yield f"webhook {hook.id}: its owner is {hook.user_id}, the members are {here}"


# -- history ---------------------------------------------------------------------------------------


def histories(rows: Rows) -> Iterator[str]:
    """Each change of a task begins where the one before ended, and the last one has what the task has."""
    there = {row.id: row for row in rows(tasks)}
    found: dict[int, list[Any]] = {task_id: [] for task_id in there}
    renamed: set[int] = set()
    for row in rows(task_history):
        if row.kind in TASK_KINDS:
            found.setdefault(row.task_id, []).append(row)
        elif row.kind == "project_updated" and "name" in row.changes:
            renamed.add(row.project_id)
    for task_id, changes in found.items():
        kinds = [change.kind for change in changes]
        if kinds[:1] not in (["created"], ["imported"]) or (kinds[-1] == "deleted") != (task_id not in there):
            yield f"task {task_id} is {'' if task_id in there else 'not '}there, its history {kinds}"
            continue
        ends = list(_links(changes))
        if (task := there.get(task_id)) is not None:
            ends += _last_values(task, changes, renamed)
        yield from (f"task {task_id}: {each}" for each in ends)


def _ends(change: Any) -> tuple[Any, ...]:
    return change.owner_id, change.status, change.project_id, change.state


def _begins(change: Any) -> tuple[Any, ...]:
    names = ("previous_owner_id", "previous_status", "previous_project_id", "previous_state")
    return tuple(getattr(change, name) for name in names)


def _links(changes: list[Any]) -> Iterator[str]:
    for before, after in pairwise(changes):
        if _ends(before) != _begins(after):
            yield f"{before.kind} ends with {_ends(before)}, {after.kind} begins with {_begins(after)}"
    known: dict[str, Any] = {}
    for change in changes:
        for name, values in change.changes.items():
            was = known.get(name, values["from"])
            known[name] = values["to"]
            if name not in (*BY_RENAMING, "state") and was != values["from"] and not _is_forgotten(values):
                yield f"{change.kind} changes {name} from {values['from']}, it was {was}"
            if _is_forgotten(values):
                del known[name]


def _is_forgotten(values: dict[str, Any]) -> bool:
    """Whether the texts of a change were forgotten with an account."""
    return values["from"] is None and values["to"] is None


def _last_values(task: Any, changes: list[Any], renamed: set[int]) -> Iterator[str]:
    if _ends(changes[-1]) != (task.user_id, task.status, task.project_id, task.state):
        yield f"it ends with {_ends(changes[-1])}, the task is {task}"
    fields = {name: getattr(task, name) for name in NAMES}
    fields["state"] = task.state or task.status
    now = {name: rfc3339(each) if isinstance(each, datetime) else each for name, each in fields.items()}
    last: dict[str, Any] = {}
    for change in changes:
        for name, values in change.changes.items():
            last[name] = now.get(name) if _is_forgotten(values) else values["to"]
    # A task may have left the renamed project since, with its new name.
    been_in = {change.project_id for change in changes}
    sources = (({**last, "state": now["state"]}, been_in), (changes[-1].snapshot or {}, {task.project_id}))
    for source, places in sources:
        unknown = BY_RENAMING if places & renamed else ()
        for name, value in source.items():
            if name in now and name not in unknown and value != now[name]:
                yield f"{name} ends with {value}, the task has {now[name]}"


def subjects(rows: Rows) -> Iterator[str]:
    """The events about projects, members and comments end with what there is."""
    told = _Told()
    for row in rows(task_history):
        told.hear(row)
    states = _states(rows)
    there = {
        "roles": {(row.project_id, row.user_id): row.role for row in rows("SELECT * FROM project_members")},
        "projects": {
            row.id: (row.name, row.description, list(states[row.id]))
            for row in rows("SELECT * FROM projects")
        },
        "comments": {row.id: row.text for row in rows("SELECT id, text FROM task_comments")},
    }
    # A task that is deleted takes its comments along without events of theirs.
    told.comments = {key: each for key, each in told.comments.items() if key in there["comments"]}
    for name, right in there.items():
        if getattr(told, name) != right:
            yield f"the events end with the {name} {getattr(told, name)}, there are {right}"


class _Told:
    """Things as the events tell of them."""

    def __init__(self) -> None:
        self.roles: dict[tuple[int, int], str] = {}
        self.projects: dict[int, tuple[Any, ...]] = {}
        self.comments: dict[int, str] = {}

    def hear(self, row: Any) -> None:
        subject = row.subject
        match row.kind:
            case "project_created" | "project_updated":
                keys = [state["key"] for state in subject["states"]]
                self.projects[row.project_id] = subject["name"], subject["description"], keys
                if row.kind == "project_created":
                    self.roles[row.project_id, row.owner_id] = "manager"
            case "project_deleted":
                del self.projects[row.project_id]
                self.roles = {key: role for key, role in self.roles.items() if key[0] != row.project_id}
            case "member_added" | "member_updated":
                self.roles[row.project_id, subject["user_id"]] = subject["role"]
            case "member_removed":
                del self.roles[row.project_id, row.previous_owner_id]
            case "comment_created" | "comment_updated":
                self.comments[subject["id"]] = subject["text"]
            case "comment_deleted":
                del self.comments[subject["id"]]


# -- accounts --------------------------------------------------------------------------------------


def accounts(rows: Rows) -> Iterator[str]:
    """No account has more than it may have, or is told of a project that it has left."""
    for row in rows(
        "SELECT n.id, n.user_id, n.project_id FROM notifications n JOIN projects p ON p.id = n.project_id"
        " LEFT JOIN project_members m ON m.user_id = n.user_id AND m.project_id = n.project_id"
        " WHERE n.kind = 'added_to_project' AND m.user_id IS NULL"
    ):
        yield f"notification {row.id} tells {row.user_id} of the project {row.project_id}"
    for table, most in MOST.items():
        for row in rows(f"SELECT user_id, count(*) AS number FROM {table} GROUP BY user_id"):
            if row.number > most:
                yield f"account {row.user_id} has {row.number} {table}"


CHECKS = (counts, tags, places, managers, histories, subjects, accounts)
