"""A write during which another change happens ends like the two one after the other, in one order or the other.

Before each statement of each call that writes, another connection commits a change, unless it waits for a lock of the
call. The answer and the whole database must then be those of the change before the call, or of the call before the
change. SQLite needs none of this: nobody else writes during a transaction that writes.
"""

import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import Base, database
from models import Caller
from security.callers import CALLER_BY_ID
from services import background_tasks, task_service
from services.accounts import account as account_service
from services.accounts import removal, user_admin
from services.portions import Portions
from services.projects import member, project
from services.query import view as view_service
from services.tasks import comment
from services.webhooks import webhook
from tests.routers.test_projects import STATES
from tests.security import test_project_permissions as rights
from tests.support.api import PASSWORD, Api
from tests.support.invariants import broken
from tests.support.serial import NEW, wrong_ends
from tests.support.snapshot import PostgresSnapshot

pytestmark = [pytest.mark.thorough, pytest.mark.parametrize("database_url", ["postgres"], indirect=True)]
# The number of changes that each call is tried with: all of them take an hour.
CHANGES_EACH = int(os.environ.get("CHANGES_EACH", "3"))
SEED = int(os.environ.get("RANDOM_SEED", "20261129"))
PARTS = 4

NEW_STATES = [
    {"wip_limit": None, "wip_policy": "warn", "waiting": False, **state, "key": f"new_{state['key']}"}
    for state in STATES
]
REPLACED = {state["key"]: f"new_{state['key']}" for state in STATES}
# Calls that the table of rights has no line for, with their bodies.
CALLS: dict[str, Any] = {
    "PATCH /tasks/{task_id}#move": {"project_id": "project_id", "status": "completed", "priority": 1},
    "PATCH /tasks/{task_id}#state": {"state": "doing", "title": "z"},
    "PATCH /tasks/{private_id}#all": {"title": "p", "status": "completed", "tags": ["x"]},
    "PUT /tasks/{private_id}/assign?assigned_user_id={idle_id}": None,
    "DELETE /tasks/{private_id}": None,
    "POST /tasks/{private_id}/comments": {"text": "@admin @idle"},
    "POST /tasks/{task_id}/comments#mention": {"text": "@admin @idle @viewer @new"},
    "POST /tasks#private": {"title": "x", "status": "completed"},
    "POST /tasks#state": {"title": "x", "project_id": "project_id", "state": "doing"},
    "POST /tasks/import": [{"title": "x"}, {"title": "y", "status": "completed"}],
    "POST /projects#adopt": {"name": "General", "adopt_tasks": True},
    "PATCH /projects/{project_id}#name": {"name": "Other name"},
    "PATCH /projects/{project_id}#archive": {"archived": True},
    "PATCH /projects/{project_id}#states": {"states": NEW_STATES, "replaced_states": REPLACED},
    "DELETE /projects/{project_id}?tasks=delete": None,
    "PUT /projects/{project_id}/members/{theirs_id}?transfer_to={idle_id}": {"role": "viewer"},
    "PUT /projects/{project_id}/members/{theirs_id}": {"role": "manager"},
    "DELETE /projects/{project_id}/members/{theirs_id}?transfer_to={idle_id}": None,
    "PATCH /users/{theirs_id}": {"is_active": False},
    "PATCH /users/{theirs_id}#role": {"role": "admin"},
    "DELETE /users/{theirs_id}?delete_tasks=true": None,
    "DELETE /users/{theirs_id}?transfer_to={idle_id}": None,
    "DELETE /users/{theirs_id}/sessions": None,
    "DELETE /auth/me": {"password": PASSWORD},
    "PATCH /auth/me": {"username": "changed"},
    "POST /auth/password": {"current_password": PASSWORD, "new_password": "another long battery"},
    "POST /auth/email": {"email": "changed@example.com", "password": PASSWORD},
    "POST /auth/tokens": {"name": "x", "scopes": ["tasks:read"]},
    "POST /auth/logout-all": None,
    "PUT /notifications/preferences": {"created": "never"},
    "POST /notifications/read-all": None,
    "POST /views#private": {"name": "Mine", "filter": "title ~ x"},
    "PATCH /views/{view_id}#out": {"project_id": None},
    "POST /webhooks#private": rights.HOOK,
    "PATCH /webhooks/{webhook_id}#off": {"enabled": False},
    "PATCH /tasks?filter=title~report&expected=1#state": {"state": "doing"},
    "POST /tasks/batch#many": {
        "atomic": False,
        "operations": [
            {"op": "update", "id": "private_id", "task": {"title": "A"}},
            {"op": "update", "id": "task_id", "task": {"state": "doing"}},
            {"op": "create", "task": {"title": "x", "project_id": "project_id", "state": "doing"}},
            {"op": "assign", "id": "task_id", "assigned_user_id": "idle_id"},
            {"op": "delete", "id": "private_id"},
        ],
    },
}
Work = Callable[[Session, Caller, dict[str, Any]], Any]


def updated(name: str, **values: Any) -> Work:
    return lambda db, who, ids: task_service.update_task(db, who, ids[name], values)


def reworked(**values: Any) -> Work:
    return lambda db, who, ids: project.update_project(db, who, ids["project_id"], values)


def role_of(name: str, role: str, heir: str | None = None) -> Work:
    return lambda db, who, ids: member.put_member(
        db, who, ids["project_id"], ids[name], role, None if heir is None else ids[heir]
    )


def hand_over(db: Session, who: Caller, ids: dict[str, Any]) -> None:
    role_of("theirs_id", "manager")(db, who, ids)
    role_of("manager_id", "member")(db, who, ids)


def leave(db: Session, who: Caller, _: Any) -> None:
    removal.delete_account(db, who, who, None, Portions(lambda: None))


# The changes in the middle of a call, each with the account that makes it.
CHANGES: dict[str, tuple[str, Work]] = {
    "a task is changed": ("theirs", updated("task_id", title="Report 2", state="doing")),
    "a task goes out": ("theirs", updated("task_id", project_id=None)),
    "a task is deleted": ("theirs", lambda db, who, ids: task_service.delete_task(db, who, ids["task_id"])),
    "a task is assigned": (
        "theirs",
        lambda db, who, ids: task_service.assign_task(db, who, ids["task_id"], ids["idle_id"]),
    ),
    "a task is made": ("theirs", lambda db, who, _: task_service.create_task(db, who, {"title": "Report"})),
    "a task comes in": (
        "theirs",
        lambda db, who, ids: task_service.update_task(
            db, who, ids["private_id"], {"project_id": ids["project_id"]}
        ),
    ),
    "a private task is changed": ("theirs", updated("private_id", title="A report", tags=["y"])),
    "a private task is given": (
        "theirs",
        lambda db, who, ids: task_service.assign_task(db, who, ids["private_id"], ids["idle_id"]),
    ),
    "a private task is got": (
        "idle",
        lambda db, who, ids: task_service.assign_task(db, who, ids["idles_id"], ids["theirs_id"]),
    ),
    "a state is filled": (
        "idle",
        lambda db, who, ids: [
            task_service.create_task(
                db, who, {"title": "x", "project_id": ids["project_id"], "state": "doing"}
            )
            for _ in range(2)
        ],
    ),
    "a project is released": (
        "manager",
        lambda db, who, ids: project.delete_project(
            db, who, ids["project_id"], "release", Portions(lambda: None)
        ),
    ),
    "a project is deleted": (
        "manager",
        lambda db, who, ids: project.delete_project(
            db, who, ids["project_id"], "delete", Portions(lambda: None)
        ),
    ),
    "a project is archived": ("manager", reworked(archived=True)),
    "a project is renamed": ("manager", reworked(name="Renamed")),
    "the states are replaced": ("manager", reworked(states=NEW_STATES, replaced_states=REPLACED)),
    "a member is removed": (
        "manager",
        lambda db, who, ids: member.remove_member(
            db, who, ids["project_id"], ids["theirs_id"], ids["idle_id"]
        ),
    ),
    "a member is made a viewer": ("manager", role_of("theirs_id", "viewer", "idle_id")),
    "another is made a viewer": ("manager", role_of("idle_id", "viewer")),
    "a member is added": ("manager", role_of("new_id", "member")),
    "the manager is replaced": ("admin", hand_over),
    "a member joins elsewhere": (
        "other",
        lambda db, who, ids: member.put_member(db, who, ids["other_project_id"], ids["theirs_id"], "member"),
    ),
    "an account is deleted": ("theirs", leave),
    "another account is deleted": ("idle", leave),
    "another account is switched off": (
        "admin",
        lambda db, who, ids: user_admin.update_user(db, who, ids["idle_id"], {"is_active": False}),
    ),
    "an account is renamed": (
        "theirs",
        lambda db, who, _: account_service.rename(db, who, "renamed"),
    ),
    "a comment is deleted": (
        "theirs",
        lambda db, who, ids: comment.delete_comment(db, who, ids["task_id"], ids["comment_id"]),
    ),
    "a view is deleted": ("theirs", lambda db, who, ids: view_service.delete_view(db, who, ids["view_id"])),
    "a webhook is deleted": (
        "manager",
        lambda db, who, ids: webhook.remove(db, who, ids["webhook_id"], None),
    ),
    "a secret is rotated": ("manager", lambda db, who, ids: webhook.rotate(db, who, ids["webhook_id"])),
}


async def _nothing(*_: Any) -> None:
    """Do nothing after an answer: its statements are no part of the call."""


@pytest.fixture
def world(api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[rights.World]:
    made = rights.World(api)
    made.ids |= {
        f"{name}_id": made.people[name].id for name in ("theirs", "manager", "admin", "other", "viewer")
    }
    made.ids["other_project_id"] = made.people["other"].get("/projects").json()[0]["id"]
    bodies = {line: body for line, body in CALLS.items() if body is not None}
    monkeypatch.setattr(rights, "BODIES", rights.BODIES | bodies)
    for name in ("after_change", "after_many_changes", "after_webhook_change", "send_mails"):
        monkeypatch.setattr(background_tasks, name, _nothing)
    background_tasks.stop()

    def prepare(db: Session) -> None:
        idle = Caller(*db.execute(CALLER_BY_ID, {"user_id": made.ids["idle_id"]}).one())
        made.ids["idles_id"] = task_service.create_task(db, idle, {"title": "Idle's"}).id
        number_from(db, NEW)

    database.write(prepare)
    yield made
    database.write(partial(number_from, number=1))


def number_from(db: Session, number: int) -> None:
    """Give the next row of each table this number."""
    for table in Base.metadata.sorted_tables:
        if "id" in table.c and table.c.id.identity is not None:
            db.execute(text(f"ALTER TABLE {table.name} ALTER COLUMN id RESTART WITH {number}"))


def lines() -> list[str]:
    """The calls that write."""
    of_table = [line for line in rights.rows() if not line.startswith(("GET ", "HEAD "))]
    return [line for line in (*of_table, *CALLS) if "pictures" not in line]


def changed_by(world: rights.World, name: str, db: Session) -> None:
    """Make the change with this name."""
    who, work = CHANGES[name]
    work(db, Caller(*db.execute(CALLER_BY_ID, {"user_id": world.ids[f"{who}_id"]}).one()), world.ids)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_write_and_a_change_in_the_middle_come_one_after_the_other(world: rights.World, part: int) -> None:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    snapshot, chance, wrong = PostgresSnapshot(url), random.Random(SEED + part), []  # noqa: S311

    def called(actor: str, line: str) -> tuple[int, str]:
        answer = world.call(actor, line)
        return answer.status_code, answer.text

    for line in lines()[part::PARTS]:
        for actor in ("theirs", "manager", "admin"):
            snapshot.restore()
            status, _ = called(actor, line)
            if status < 300:
                break
        else:
            raise AssertionError(f"nobody may {line}")
        for name in chance.sample(list(CHANGES), CHANGES_EACH):
            found = wrong_ends(
                snapshot, partial(called, actor, line), partial(changed_by, world, name), broken
            )
            wrong += [f"{line} while {name}, {each}" for each in found]
    snapshot.close()
    assert wrong == []
