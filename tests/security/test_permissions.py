"""The rights of every kind of caller at every endpoint, as a table.

An endpoint that has no row fails `test_every_endpoint_has_its_row`.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from account_models import sessions
from config import settings
from database import AnyRow, database
from main import app
from models import Caller, users
from schemas.accounts import ProgramTokenCreate
from schemas.tasks import TaskCreate
from schemas.views import CalendarCreate, ViewCreate
from schemas.webhooks import WebhookCreate
from security.passwords import hash_password
from security.tokens import create_access_token
from services import task_service
from services.accounts import link as link_service
from services.accounts import program_token
from services.accounts import session as session_service
from services.accounts import user as user_service
from services.calendars import calendar as calendar_service
from services.events import event_id
from services.flow import pictures
from services.projects import member as member_service
from services.projects import project as project_service
from services.query import view as view_service
from services.tasks import comment as comment_service
from services.webhooks import webhook
from tables.history import task_history
from tables.notifications import notifications
from tests.support.api import PASSWORD
from tests.support.snapshot import Snapshot

# `owner` owns the task, session, token or notification that the path names, `member` is somebody else.
# `disabled`, `expired` and `ended` are the owner again, with an account that is switched off, an access token
# that is too old, and one whose session has ended. The last four are programs: the owner's tokens, each with
# the scope it is named for, and an admin's for `admin`.
ACTORS = (
    "anonymous member owner admin disabled expired ended tasks:read tasks:write analytics:read admin:token"
)
TABLE = """
POST   /tasks                                    401 201 201 201  401 401 401  403 201 403 403
GET    /tasks                                    401 200 200 200  401 401 401  200 403 403 403
GET    /tasks/search                             401 200 200 200  401 401 401  200 403 403 403
GET    /tasks/all                                401 403 403 200  401 401 401  403 403 403 200
GET    /tasks/admin/filter                       401 403 403 200  401 401 401  403 403 403 200
POST   /tasks/batch                              401 200 200 200  401 401 401  403 200 403 403
PATCH  /tasks                                    401 200 200 200  401 401 401  403 200 403 403
DELETE /tasks                                    401 200 200 200  401 401 401  403 200 403 403
POST   /tasks/import                             401 201 201 201  401 401 401  403 201 403 403
GET    /tasks/export                             401 200 200 200  401 401 401  200 403 403 403
GET    /tasks/{task_id}                          401 404 200 200  401 401 401  200 403 403 403
PUT    /tasks/{task_id}                          401 404 200 200  401 401 401  403 200 403 403
PATCH  /tasks/{task_id}                          401 404 200 200  401 401 401  403 200 403 403
DELETE /tasks/{task_id}                          401 404 200 200  401 401 401  403 200 403 403
GET    /tasks/{task_id}/history                  401 404 200 200  401 401 401  200 403 403 403
PUT    /tasks/{task_id}/assign                   401 403 200 200  401 401 401  403 200 403 403
PUT    /tasks/{task_id}/blocked                  401 404 200 200  401 401 401  403 200 403 403
DELETE /tasks/{task_id}/blocked                  401 404 200 200  401 401 401  403 200 403 403
POST   /tasks/{task_id}/comments                 401 404 201 201  401 401 401  403 201 403 403
GET    /tasks/{task_id}/comments                 401 404 200 200  401 401 401  200 403 403 403
GET    /tasks/{task_id}/comments/{comment_id}    401 404 200 200  401 401 401  200 403 403 403
PATCH  /tasks/{task_id}/comments/{comment_id}    401 404 200 403  401 401 401  403 200 403 403
DELETE /tasks/{task_id}/comments/{comment_id}    401 404 204 204  401 401 401  403 204 403 403

POST   /projects                                 401 201 201 201  401 401 401  403 201 403 403
GET    /projects                                 401 200 200 200  401 401 401  200 403 403 403
GET    /projects/{project_id}                    401 404 200 200  401 401 401  200 403 403 403
PATCH  /projects/{project_id}                    401 404 200 200  401 401 401  403 200 403 403
DELETE /projects/{project_id}                    401 404 204 204  401 401 401  403 204 403 403
GET    /projects/{project_id}/members            401 404 200 200  401 401 401  200 403 403 403
PUT    /projects/{project_id}/members/{user_id}  401 404 200 200  401 401 401  403 200 403 403
DELETE /projects/{project_id}/members/{user_id}  401 404 204 204  401 401 401  403 204 403 403

POST   /views                                    401 201 201 201  401 401 401  403 201 403 403
GET    /views                                    401 200 200 200  401 401 401  200 403 403 403
GET    /views/{view_id}                          401 404 200 404  401 401 401  200 403 403 403
PATCH  /views/{view_id}                          401 404 200 404  401 401 401  403 200 403 403
DELETE /views/{view_id}                          401 404 204 404  401 401 401  403 204 403 403
POST   /calendars                                401 201 201 201  401 401 401  403 201 403 403
GET    /calendars                                401 200 200 200  401 401 401  200 403 403 403
DELETE /calendars/{calendar_id}                  401 404 204 404  401 401 401  403 204 403 403
GET    /calendar/{token}.ics                     200 200 200 200  404 200 200  200 200 200 200

GET    /analytics/user-completion-stats          401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/all-users-stats                401 403 403 200  401 401 401  403 403 403 200
GET    /analytics/project-stats                  401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/completion-time-stats          401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/system-summary                 401 403 403 200  401 401 401  403 403 403 200
GET    /analytics/definitions                    401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/flow                           401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/throughput                     401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/cumulative-flow                401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/time-in-status                 401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/aging                          401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/cycle-times                    401 200 200 200  401 401 401  403 403 200 403
GET    /analytics/forecast                       401 409 409 409  401 401 401  403 403 409 403
GET    /analytics/burnup                         401 200 200 200  401 401 401  403 403 200 403
POST   /analytics/pictures                       401 201 201 201  401 401 401  403 403 201 403
GET    /analytics/pictures/{chart}               200 200 200 200  403 200 200  200 200 200 200

GET    /notifications                            401 200 200 200  401 401 401  200 403 403 403
GET    /notifications/preferences                401 200 200 200  401 401 401  200 403 403 403
PUT    /notifications/preferences                401 200 200 200  401 401 401  403 200 403 403
POST   /notifications/read-all                   401 200 200 200  401 401 401  403 200 403 403
GET    /notifications/failed                     401 403 403 200  401 401 401  403 403 403 200
POST   /notifications/failed/retry               401 403 403 200  401 401 401  403 403 403 200
GET    /notifications/{notification_id}          401 404 200 404  401 401 401  200 403 403 403
POST   /notifications/{notification_id}/read     401 404 200 404  401 401 401  403 200 403 403

GET    /events                                   401 200 200 200  401 401 401  200 403 403 403
GET    /events/stream                            401 200 200 200  401 401 401  200 403 403 403
GET    /webhooks                                 401 200 200 200  401 401 401  200 403 403 403
POST   /webhooks                                 401 201 201 201  401 401 401  403 201 403 403
GET    /webhooks/{webhook_id}                    401 404 200 404  401 401 401  200 403 403 403
PATCH  /webhooks/{webhook_id}                    401 404 200 404  401 401 401  403 200 403 403
DELETE /webhooks/{webhook_id}                    401 404 204 404  401 401 401  403 204 403 403
POST   /webhooks/{webhook_id}/ping               401 404 202 404  401 401 401  403 202 403 403
POST   /webhooks/{webhook_id}/rotate             401 404 200 404  401 401 401  403 200 403 403
POST   /webhooks/{webhook_id}/replay             401 404 202 404  401 401 401  403 202 403 403
GET    /webhooks/{webhook_id}/deliveries         401 404 200 404  401 401 401  200 403 403 403
POST   /webhooks/{webhook_id}/deliveries/{delivery_id}/retry 401 404 202 404  401 401 401  403 202 403 403

POST   /auth/register                            200 200 200 200  200 200 200  200 200 200 200
POST   /auth/login                               200 200 200 200  403 200 200  200 200 200 200
POST   /auth/refresh                             200 200 200 200  401 200 200  200 200 200 200
POST   /auth/page/token                          401 401 401 401  401 401 401  401 401 401 401
POST   /auth/page/login                          200 200 200 200  403 200 200  200 200 200 200
POST   /auth/page/logout                         200 200 200 200  200 200 200  200 200 200 200
POST   /auth/logout                              401 200 200 200  401 401 401  403 403 403 403
POST   /auth/logout-all                          401 200 200 200  401 401 401  403 403 403 403
GET    /auth/sessions                            401 200 200 200  401 401 401  403 403 403 403
DELETE /auth/sessions/{session_id}               401 404 200 404  401 401 401  403 403 403 403
GET    /auth/me                                  401 200 200 200  401 401 401  403 403 403 403
PATCH  /auth/me                                  401 200 200 200  401 401 401  403 403 403 403
DELETE /auth/me                                  401 200 200 200  401 401 401  403 403 403 403
GET    /auth/me/export                           401 200 200 200  401 401 401  403 403 403 403
POST   /auth/password                            401 200 200 200  401 401 401  403 403 403 403
POST   /auth/password/forgot                     200 200 200 200  200 200 200  200 200 200 200
POST   /auth/password/reset                      200 200 200 200  400 200 200  200 200 200 200
POST   /auth/email                               401 200 200 200  401 401 401  403 403 403 403
POST   /auth/email/verify                        200 200 200 200  400 200 200  200 200 200 200
POST   /auth/email/resend                        200 200 200 200  200 200 200  200 200 200 200
GET    /auth/tokens                              401 200 200 200  401 401 401  403 403 403 403
POST   /auth/tokens                              401 201 201 201  401 401 401  403 403 403 403
DELETE /auth/tokens/{token_id}                   401 404 200 404  401 401 401  403 403 403 403

GET    /users/lookup                             401 200 200 200  401 401 401  200 403 403 403
GET    /users                                    401 403 403 200  401 401 401  403 403 403 200
GET    /users/{user_id}                          401 403 403 200  401 401 401  403 403 403 200
PATCH  /users/{user_id}                          401 403 403 200  401 401 401  403 403 403 200
DELETE /users/{user_id}                          401 403 403 200  401 401 401  403 403 403 200
DELETE /users/{user_id}/sessions                 401 403 403 200  401 401 401  403 403 403 200
GET    /audit                                    401 403 403 200  401 401 401  403 403 403 200

GET    /                                         200 200 200 200  200 200 200  200 200 200 200
GET    /sample-task                              200 200 200 200  200 200 200  200 200 200 200
GET    /health                                   200 200 200 200  200 200 200  200 200 200 200
GET    /ready                                    200 200 200 200  200 200 200  200 200 200 200
GET    /metrics                                  403 403 403 403  403 403 403  403 403 403 403
POST   /test-background                          200 200 200 200  200 200 200  200 200 200 200
"""
# The call takes five seconds, and its answer does not depend on the caller.
NOT_CALLED = {"POST /test-background"}
# Its answer does not end, so only its headers are read.
ENDLESS = {"GET /events/stream"}


@pytest.fixture(autouse=True)
def _without_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no webhook: there is no receiver, and looking for it takes seconds."""
    monkeypatch.setattr(settings, "webhook_delivery", False)


@cache
def password_hash() -> str:
    return hash_password(PASSWORD)


class World:
    """All accounts that a call may concern, and the things that they own."""

    number = 0

    def __init__(self) -> None:
        World.number += 1
        self.number = World.number
        self.tokens: dict[str, str | None] = {"anonymous": None}
        database.write(self._make)

    def disable_the_owner(self) -> None:
        off = update(users).where(users.c.id == self.owner.id).values(is_active=False)
        database.write(lambda db: db.execute(off))

    def _account(self, db: Session, name: str, role: str = "member") -> AnyRow:
        username = f"{name}{self.number}"
        return user_service.create_user(db, username, f"{username}@example.com", password_hash(), role)

    def _make(self, db: Session) -> None:
        self.owner, self.member = self._account(db, "owner"), self._account(db, "member")
        self.admin = self._account(db, "admin", "admin")
        owner = Caller(*self.owner)
        self.task = task_service.create_task(
            db, owner, TaskCreate(title="Write the report", tags=[]).model_dump(exclude_unset=True)
        )
        self.comment = comment_service.create_comment(db, owner, self.task.id, "Ready").id
        self.project = project_service.create_project(db, owner, {"name": "Research"})["id"]
        self.colleague = self._account(db, "colleague")
        member_service.put_member(db, owner, self.project, self.colleague.id, "manager")
        self.notification = db.execute(
            select(notifications.c.id).where(notifications.c.user_id == owner.id)
        ).scalar_one()
        saved = ViewCreate(name="Reports", filter="title ~ report").model_dump()
        self.view = view_service.create_view(db, owner, saved)["id"]
        shown = CalendarCreate().model_dump()
        self.calendar = calendar_service.create_calendar(db, owner, shown, settings.public_url)
        issued = session_service.start(db, owner.id)
        self.session, self.refresh_token = issued.session_id, issued.refresh_token
        self.links = {
            purpose: link_service.make(db, self.owner.id, purpose, self.owner.email).partition("token=")[2]
            for purpose in ("reset", "verify")
        }
        self.webhook = webhook.create(db, owner, WebhookCreate(**HOOK).model_dump())["id"]
        self.delivery = webhook.ping(db, owner, self.webhook)["id"]
        self.event = event_id.encode(db.execute(select(func.max(task_history.c.id))).scalar_one())
        made = pictures.make_link(db, owner, "throughput", {}, 1)
        self.picture = made["url"].partition("signature=")[2]
        for actor, account in (("owner", self.owner), ("member", self.member), ("admin", self.admin)):
            claims = self._session(db, account)
            self.tokens[actor] = create_access_token(claims)
        claims = self._session(db, self.owner)
        self.tokens["disabled"] = create_access_token(claims)
        self.tokens["expired"] = create_access_token(claims, timedelta(seconds=-1))
        ended = self._session(db, self.owner)
        db.execute(delete(sessions).where(sessions.c.id == ended["sid"]))
        self.tokens["ended"] = create_access_token(ended)
        for scope in ("tasks:read", "tasks:write", "analytics:read"):
            made = program_token.create(db, owner, ProgramTokenCreate(name="a program", scopes=[scope]))
            self.tokens[scope], self.program_token = made["token"], made["id"]
        wanted = ProgramTokenCreate(name="a program", scopes=["admin"])
        self.tokens["admin:token"] = program_token.create(db, Caller(*self.admin), wanted)["token"]

    @staticmethod
    def _session(db: Session, account: AnyRow) -> dict[str, Any]:
        return {"sub": str(account.id), "sid": session_service.start(db, account.id).session_id}


# Nobody listens there.
HOOK: dict[str, Any] = {"url": "https://nowhere.invalid/hook", "types": ["task.*"]}
NEW_PASSWORD = "another long battery"
# The parameters and body of each call, with which a caller with the right to make it succeeds.
CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "POST /tasks": lambda _: {"json": {"title": "Write another"}},
    "POST /tasks/batch": lambda _: {"json": {"operations": [{"op": "create", "task": {"title": "Another"}}]}},
    "PATCH /tasks": lambda _: {"params": {"filter": "id = 0", "expected": 0}, "json": {"title": "Another"}},
    "DELETE /tasks": lambda _: {"params": {"filter": "id = 0", "expected": 0}},
    "GET /tasks/search": lambda _: {"params": {"query": "report"}},
    "POST /tasks/import": lambda _: {"json": [{"title": "Done long ago", "status": "completed"}]},
    "PUT /tasks/{task_id}": lambda _: {"json": {"title": "Write it well"}},
    "PATCH /tasks/{task_id}": lambda _: {"json": {"title": "Write it well"}},
    "PUT /tasks/{task_id}/assign": lambda world: {"params": {"assigned_user_id": world.member.id}},
    "PUT /tasks/{task_id}/blocked": lambda _: {"json": {"reason": "Waits for the figures"}},
    "POST /tasks/{task_id}/comments": lambda _: {"json": {"text": "Ready"}},
    "PATCH /tasks/{task_id}/comments/{comment_id}": lambda _: {"json": {"text": "Really ready"}},
    "POST /projects": lambda _: {"json": {"name": "Findings"}},
    "PATCH /projects/{project_id}": lambda _: {"json": {"name": "Findings"}},
    "DELETE /projects/{project_id}": lambda _: {"params": {"tasks": "release"}},
    "PUT /projects/{project_id}/members/{user_id}": lambda _: {"json": {"role": "viewer"}},
    "POST /views": lambda _: {"json": {"name": "Urgent", "filter": "tag = urgent"}},
    "PATCH /views/{view_id}": lambda _: {"json": {"name": "All reports"}},
    "POST /calendars": lambda _: {"json": {}},
    "PUT /notifications/preferences": lambda _: {"json": {"created": "never"}},
    "POST /webhooks": lambda _: {"json": HOOK},
    "PATCH /webhooks/{webhook_id}": lambda _: {"json": {"description": "Tells the chat"}},
    "POST /webhooks/{webhook_id}/replay": lambda world: {"json": {"after": world.event}},
    "POST /auth/register": lambda world: {
        "json": {
            "username": f"new{world.number}",
            "email": f"new{world.number}@example.com",
            "password": PASSWORD,
        }
    },
    "POST /auth/login": lambda world: {"data": {"username": world.owner.username, "password": PASSWORD}},
    "POST /auth/page/login": lambda world: {"json": {"username": world.owner.username, "password": PASSWORD}},
    "POST /auth/page/token": lambda _: {"json": {}},
    "POST /auth/page/logout": lambda _: {"json": {}},
    "POST /auth/refresh": lambda world: {"json": {"refresh_token": world.refresh_token}},
    "PATCH /auth/me": lambda world: {"json": {"username": f"renamed{world.number}"}},
    "DELETE /auth/me": lambda _: {"json": {"password": PASSWORD}},
    "POST /auth/password": lambda _: {"json": {"current_password": PASSWORD, "new_password": NEW_PASSWORD}},
    "POST /auth/password/forgot": lambda world: {"json": {"email": world.owner.email}},
    "POST /auth/password/reset": lambda world: {
        "json": {"token": world.links["reset"], "new_password": NEW_PASSWORD}
    },
    "POST /auth/email": lambda world: {
        "json": {"email": f"changed{world.number}@example.com", "password": PASSWORD}
    },
    "POST /auth/email/verify": lambda world: {"json": {"token": world.links["verify"]}},
    "POST /auth/email/resend": lambda world: {"json": {"email": world.owner.email}},
    "POST /auth/tokens": lambda _: {"json": {"name": "nightly import", "scopes": ["tasks:read"]}},
    "GET /analytics/forecast": lambda _: {"params": {"remaining": 1}},
    "POST /analytics/pictures": lambda _: {"json": {"chart": "throughput"}},
    "GET /analytics/pictures/{chart}": lambda world: {"params": {"signature": world.picture}},
    "GET /users/lookup": lambda world: {"params": {"username": world.member.username}},
    "PATCH /users/{user_id}": lambda _: {"json": {"role": "admin"}},
    "DELETE /users/{user_id}": lambda _: {"params": {"delete_tasks": "true"}},
}


def rows() -> dict[str, list[int]]:
    """The table, by method and path."""
    found = {}
    for line in TABLE.split("\n"):
        if line:
            method, path, *statuses = line.split()
            found[f"{method} {path}"] = [int(status) for status in statuses]
    return found


def test_every_endpoint_has_its_row() -> None:
    paths = app.openapi()["paths"]
    endpoints = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert endpoints == set(rows())


# Rights are decided by the same code on both databases, so one database is enough for the long table.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_everybody_may_call_what_the_table_says(client: TestClient, database_url: str) -> None:
    # This world's admin stays, so no row of the table is about the last admin.
    World()
    world, wrong = World(), []
    with closing(Snapshot(database_url)) as before:
        for endpoint, statuses in rows().items():
            for actor, expected in zip(ACTORS.split(), statuses, strict=True):
                if endpoint in NOT_CALLED:
                    continue
                if actor == "disabled":
                    world.disable_the_owner()
                got = call(client, endpoint, world, actor)
                if got != expected:
                    wrong.append(f"{endpoint} by {actor}: {got} for {expected}")
                if actor == "disabled" or (got < 300 and not endpoint.startswith("GET")):
                    before.restore()  # The call may have deleted something.
    assert wrong == []


def call(client: TestClient, endpoint: str, world: World, actor: str) -> int:
    """Make the call as this actor, and return its status."""
    method, template = endpoint.split()
    path = template.format(
        task_id=world.task.id,
        comment_id=world.comment,
        project_id=world.project,
        notification_id=world.notification,
        view_id=world.view,
        calendar_id=world.calendar["id"],
        token=world.calendar["url"].rpartition("/")[2].removesuffix(".ics"),
        session_id=world.session,
        token_id=world.program_token,
        webhook_id=world.webhook,
        delivery_id=world.delivery,
        chart="throughput",
        user_id=world.colleague.id if "/projects" in template else world.owner.id,
    )
    options = CALLS[endpoint](world) if endpoint in CALLS else {}
    if endpoint in ENDLESS:
        method = "HEAD"
    status: int = client.request(method, path, headers=bearer(world, actor), **options).status_code
    return status


def bearer(world: World, actor: str) -> dict[str, str]:
    token = world.tokens[actor]
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.mark.one_database
def test_a_missing_scope_is_named(client: TestClient) -> None:
    answer = client.post("/tasks", json={"title": "No"}, headers=bearer(World(), "tasks:read"))
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert answer.json()["detail"] == "The token lacks the scope `tasks:write`"


@pytest.mark.one_database
def test_an_admins_program_without_the_scope_for_it_sees_only_the_admins_own_tasks(
    client: TestClient,
) -> None:
    world = World()
    wanted = ProgramTokenCreate(name="reader", scopes=["tasks:read"])
    made = database.write(lambda db: program_token.create(db, Caller(*world.admin), wanted))
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert client.get(f"/tasks/{world.task.id}", headers=headers).status_code == 404
    assert client.get(f"/tasks/{world.task.id}", headers=bearer(world, "admin")).status_code == 200
