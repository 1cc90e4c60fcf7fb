"""The examples of the OpenAPI document are answers of the program.

After a change of an answer, or with a new operation, record them again:

    RECORD_EXAMPLES=1 python -m pytest -n 0 tests/contract/test_examples.py
"""

import itertools
import json
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine

from config import settings
from configuration.addresses import networks
from main import app
from routers import system
from security.tokens import forget_verified_tokens
from storage.column_types import rfc3339
from tests.support.api import PASSWORD, Api, Person
from tests.support.mail import MailCatcher, mail_catcher
from tests.support.openapi_check import resolved
from tests.support.receiver import Receiver, receiver
from tests.support.recorder import Recorder
from web.openapi.examples import FILE
from web.problems import PROBLEM_MEDIA_TYPE

BEGAN = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
# Their answers go on without an end, or depend on the machine.
WITHOUT = {"stream_events", "read_metrics", "read_ready", "page_login", "page_token", "page_logout"}
# A copy that was read before everything that happens here.
STALE = {"updated_at": "2026-11-26T09:00:00Z"}
TITLES = ("Read the sources", "Outline the report", "Draw the figures", "Write a draft", "Check the numbers")
PAST = [
    {
        "title": title if week < 4 else f"{title} again",
        "status": "completed",
        "priority": place % 5,
        "project": "Research",
        "tags": ["writing"],
        "created_at": rfc3339(BEGAN - timedelta(weeks=week, days=place + 2, hours=1)),
        "completed_at": rfc3339(BEGAN - timedelta(weeks=week, hours=9 * place)),
    }
    for week in (5, 4, 3, 2, 1)
    for place, title in enumerate(TITLES)
]


def mailed_token(mail: MailCatcher, subject: str) -> str:
    """The token of the link in the first mail with this subject."""
    message = next(
        mails[-1]
        for number in itertools.count(1)
        if (mails := mail.wait_for(number)[:number])[-1]["Subject"] == subject
    )
    part: Any = message.get_body(("plain",))
    found = re.search(r"#token=(\S+)", str(part.get_content()))
    assert found is not None
    return str(found[1])


def tasks(record: Recorder, ada: Person, bob: Person, root: Person) -> None:
    first = {"title": "Write the report", "project": "Research", "tags": ["writing"], "priority": 2}
    first |= {"description": "Two pages, with figures", "due_at": "2026-12-01T17:00:00Z"}
    record.call(ada, "POST", "/tasks", json=first)
    record.call(ada, "POST", "/tasks", json={"title": " "})
    record.call(ada, "GET", "/tasks/1")
    record.call(ada, "GET", "/tasks?status=pending&status=in_progress&tag=writing&limit=2&total=true")
    record.call(ada, "GET", "/tasks/search?query=report")
    record.call(ada, "GET", "/tasks/export?limit=2")
    record.call(ada, "GET", "/tasks/export?limit=2", headers={"Accept": "text/csv"})
    record.call(root, "GET", "/tasks/all?limit=2")
    record.call(root, "GET", f"/tasks/admin/filter?user_id={ada.id}&status=pending&limit=2")
    # A change without effect and the end of a block have the same answer, so the document shows it once.
    record.call(ada, "PUT", "/tasks/1", json={"title": "Write the report", "priority": 2})
    record.call(ada, "PATCH", "/tasks/1", json={"due_at": "2026-12-01T17:00:00Z"})
    record.call(ada, "PUT", "/tasks/1/blocked", json={"reason": "Waits for the figures"})
    record.call(ada, "DELETE", "/tasks/1/blocked")
    ada.put("/tasks/1", json={"status": "in_progress"})
    stale = {"title": "Write a report"} | STALE
    for method in ("PUT", "PATCH"):
        record.call(ada, method, "/tasks/1", json=stale)
        record.call(ada, method, "/tasks/1", json={"title": "x"}, headers={"If-Match": '"1-1"'})
        record.call(bob, method, "/tasks/1", json={"title": "x"})
    # The newest change concerns one field.
    record.call(ada, "GET", f"/tasks/1/history?skip={len(ada.get('/tasks/1/history').json()) - 1}")
    ada.task("Send the report to Bob", project="Research")
    record.call(ada, "PUT", "/tasks/2/assign", params={"assigned_user_id": bob.id})
    record.call(ada, "PUT", "/tasks/2/assign", params={"assigned_user_id": bob.id})
    record.call(ada, "PUT", "/tasks/1/assign", params={"assigned_user_id": 999})
    record.call(ada, "PUT", "/tasks/999/assign", params={"assigned_user_id": bob.id})
    ada.task("Not needed")
    record.call(ada, "DELETE", "/tasks/3")
    record.call(ada, "DELETE", "/tasks/3")
    record.call(ada, "POST", "/tasks/import", json=PAST[:2])
    ada.post("/tasks/import", json=PAST[2:])
    table = b"title,status\r\nWrite the report,completed\r\n"
    lines = b'{"title": "Write the report"}\n{"title": "Send it"}\n'
    for media_type, content in (
        ("text/csv", table),
        ("application/x-ndjson", lines),
        ("application/jsonl", lines),
    ):
        record.call(bob, "POST", "/tasks/import", content=content, headers={"Content-Type": media_type})
    record.call(bob, "POST", "/tasks/import", json=[{"title": "x", "status": "done"}])
    operations = [
        {"op": "create", "task": {"title": "Print the report"}},
        {"op": "update", "id": 1, "task": {"priority": 4}},
    ]
    record.call(ada, "POST", "/tasks/batch", json={"operations": operations})
    failing = {"operations": [operations[0], {"op": "delete", "id": 999}]}
    record.call(ada, "POST", "/tasks/batch", json=failing)
    record.call(
        ada, "PATCH", "/tasks", params={"filter": "title ~ print", "expected": 1}, json={"priority": 1}
    )
    record.call(ada, "PATCH", "/tasks", params={"filter": "title ~ print", "expected": 2}, json={})
    record.call(ada, "DELETE", "/tasks", params={"filter": "title ~ print", "expected": 2})
    record.call(ada, "DELETE", "/tasks", params={"filter": "title ~ print", "expected": 1})


def figures(record: Recorder, ada: Person, root: Person) -> None:
    for path in ("user-completion-stats", "project-stats", "completion-time-stats", "definitions"):
        record.call(ada, "GET", f"/analytics/{path}")
    record.call(ada, "GET", "/tasks/all?limit=2")
    for path in ("all-users-stats", "system-summary"):
        record.call(root, "GET", f"/analytics/{path}")
        record.call(ada, "GET", f"/analytics/{path}")
    # Answers for short periods and pages are short and say as much as long ones.
    period = "from=2026-11-16&to=2026-11-22&tz=Europe/Paris"
    for path in ("flow", "time-in-status", "cycle-times?limit=1", "aging?limit=1"):
        record.call(ada, "GET", f"/analytics/{path}{'&' if '?' in path else '?'}{period}")
    for path in ("throughput", "cumulative-flow", "burnup"):
        record.call(ada, "GET", f"/analytics/{path}?{period}&interval=week")
    record.call(ada, "GET", f"/analytics/throughput?{period}&interval=week", headers={"Accept": "text/csv"})
    record.call(ada, "GET", "/analytics/forecast?remaining=3&from=2026-10-12")
    made = record.call(
        ada,
        "POST",
        "/analytics/pictures",
        json={"chart": "throughput", "query": {"interval": "month"}, "expires_in_days": 30},
    )
    record.call(ada, "GET", made.json()["url"])
    record.call(ada, "GET", "/analytics/pictures/throughput?signature=nonsense")


def told(record: Recorder, ada: Person, bob: Person, root: Person, hook: Receiver) -> None:
    record.call(bob, "POST", "/notifications/read-all")
    record.call(bob, "GET", "/notifications")
    first = bob.get("/notifications").json()[0]["id"]
    record.call(bob, "GET", f"/notifications/{first}")
    record.call(bob, "POST", f"/notifications/{first}/read")
    record.call(bob, "GET", "/notifications/999")
    record.call(bob, "POST", "/notifications/999/read")
    record.call(bob, "PUT", "/notifications/preferences", json={"assigned": "daily"})
    record.call(bob, "GET", "/notifications/preferences")
    record.call(root, "GET", "/notifications/failed")
    record.call(root, "POST", "/notifications/failed/retry")
    kinds = {each["type"]: each["id"] for each in ada.get("/events").json()}
    record.call(ada, "GET", f"/events?after={kinds['task.unblocked']}&limit=1")
    record.call(ada, "GET", "/events?after=nonsense")
    record.call(ada, "GET", "/events/stream?after=nonsense")
    wanted = {"url": hook.url, "types": ["task.created", "comment.*"], "description": "Tells the chat"}
    record.call(ada, "POST", "/webhooks", json=wanted)
    record.call(ada, "POST", "/webhooks", json=wanted | {"url": "http://10.0.0.1/hook"})
    record.call(ada, "GET", "/webhooks")
    record.call(ada, "GET", "/webhooks/1")
    record.call(ada, "PATCH", "/webhooks/1", json={"description": "Tells the chat"})
    record.call(ada, "PATCH", "/webhooks/1", json={"enabled": True}, headers={"If-Match": '"1-1"'})
    record.call(ada, "PATCH", "/webhooks/1", json=STALE)
    record.call(ada, "POST", "/webhooks/1/rotate")
    record.call(ada, "POST", "/webhooks/1/ping")
    hook.wait_for(1)
    while (state := ada.get("/webhooks/1/deliveries").json()[0]["state"]) != "delivered":
        assert state == "waiting"
        threading.Event().wait(0.02)
    delivered = record.call(ada, "GET", "/webhooks/1/deliveries").json()[0]["id"]
    record.call(ada, "POST", f"/webhooks/1/deliveries/{delivered}/retry")
    first_event = ada.get("/events").json()[0]["id"]
    record.call(ada, "POST", "/webhooks/1/replay", json={"after": first_event})
    record.call(ada, "PATCH", "/webhooks/1", json={"enabled": False})
    record.call(ada, "POST", "/webhooks/1/ping")
    record.call(ada, "POST", f"/webhooks/1/deliveries/{delivered}/retry")
    record.call(bob, "GET", "/webhooks/1")
    record.call(ada, "DELETE", "/webhooks/1")


def together(record: Recorder, ada: Person, bob: Person) -> None:
    record.call(bob, "PUT", "/tasks/1/blocked", json={"reason": "Waits for the figures"})
    wanted = {"name": "Research", "description": "What we find out together", "adopt_tasks": True}
    record.call(ada, "POST", "/projects", json=wanted)
    record.call(ada, "GET", "/projects")
    record.call(ada, "GET", "/projects/1")
    record.call(bob, "GET", "/projects/1")
    record.call(ada, "PUT", f"/projects/1/members/{bob.id}", json={"role": "member"})
    record.call(ada, "PUT", "/projects/1/members/999", json={"role": "member"})
    record.call(bob, "PATCH", "/projects/1", json={"name": "Ours"})
    record.call(ada, "PATCH", "/projects/1", json={"description": wanted["description"]})
    record.call(ada, "GET", "/projects/1/members")
    record.call(bob, "POST", "/tasks/1/comments", json={"text": "Ready for a look, @ada"})
    record.call(bob, "GET", "/tasks/1/comments")
    record.call(bob, "GET", "/tasks/1/comments/1")
    record.call(bob, "PATCH", "/tasks/1/comments/1", json={"text": "Ready for a second look, @ada"})
    record.call(ada, "PATCH", "/tasks/1/comments/1", json={"text": "Not mine"})
    record.call(ada, "DELETE", "/tasks/1/comments/1")
    record.call(ada, "DELETE", "/tasks/1/comments/1")
    record.call(ada, "DELETE", f"/projects/1/members/{ada.id}")
    record.call(bob, "DELETE", f"/projects/1/members/{bob.id}")
    view = {"name": "Due this week", "filter": "due < today+7d and status != completed"}
    view |= {"sort_by": "due_at", "sort_order": "asc"}
    record.call(ada, "POST", "/views", json=view)
    record.call(ada, "POST", "/views", json=view | {"filter": "due <"})
    record.call(ada, "GET", "/views")
    record.call(ada, "GET", "/views/1")
    record.call(ada, "PATCH", "/views/1", json={"sort_order": "asc"})
    record.call(ada, "PATCH", "/views/1", json=STALE)
    record.call(bob, "GET", "/views/1")
    made = record.call(ada, "POST", "/calendars", json={"view_id": 1, "tz": "Europe/Berlin"})
    record.call(ada, "GET", "/calendars")
    record.call(ada, "GET", urlsplit(made.json()["url"]).path)
    record.call(ada, "DELETE", "/calendars/1")
    record.call(ada, "DELETE", "/views/1")
    record.call(ada, "DELETE", "/projects/1?tasks=release")


def accounts(record: Recorder, ada: Person, root: Person, mail: MailCatcher) -> None:
    eve = Person(ada.client, 0, "eve", "")
    account = {"username": "eve", "email": "eve@example.com", "password": PASSWORD}
    record.call(eve, "POST", "/auth/register", json=account)
    record.call(eve, "POST", "/auth/register", json=account)
    record.call(eve, "POST", "/auth/register", json=account | {"username": "eva"})
    tokens = record.call(eve, "POST", "/auth/login", data={"username": "eve", "password": PASSWORD}).json()
    eve.token = tokens["access_token"]
    record.call(eve, "GET", "/auth/me")
    record.call(eve, "GET", "/auth/me/export")
    record.call(eve, "POST", "/auth/login", data={"username": "eve", "password": "wrong"})
    refresh = {"refresh_token": tokens["refresh_token"]}
    record.call(eve, "POST", "/auth/refresh", json=refresh)
    record.call(eve, "POST", "/auth/refresh", json={"refresh_token": "nonsense"})
    record.call(eve, "PATCH", "/auth/me", json={"username": "eve"})
    eve.patch("/auth/me", json={"username": "evelyn"})
    record.call(eve, "PATCH", "/auth/me", json={"username": "ada"})
    sessions = record.call(eve, "GET", "/auth/sessions").json()
    record.call(eve, "DELETE", f"/auth/sessions/{max(each['id'] for each in sessions) + 99}")
    wanted = {"name": "nightly import", "scopes": ["tasks:read", "tasks:write"]}
    made = record.call(eve, "POST", "/auth/tokens", json=wanted).json()
    record.call(eve, "GET", "/auth/tokens")
    record.call(eve, "DELETE", f"/auth/tokens/{made['id']}")
    record.call(eve, "DELETE", f"/auth/tokens/{made['id']}")
    record.call(
        eve, "POST", "/auth/password", json={"current_password": "wrong", "new_password": "another long one"}
    )
    changed = {"current_password": PASSWORD, "new_password": "another long battery"}
    record.call(eve, "POST", "/auth/password", json=changed)
    record.call(eve, "POST", "/auth/password/forgot", json={"email": "eve@example.com"})
    token = mailed_token(mail, "Reset your password")
    reset = {"token": token, "new_password": PASSWORD}
    record.call(eve, "POST", "/auth/password/reset", json=reset)
    record.call(eve, "POST", "/auth/password/reset", json=reset)
    eve.token = Api(ada.client).log_in("evelyn")
    email = {"email": "evelyn@example.com", "password": PASSWORD}
    record.call(eve, "POST", "/auth/email", json=email)
    confirm = {"token": mailed_token(mail, "Confirm your new email address")}
    record.call(eve, "POST", "/auth/email/verify", json=confirm)
    record.call(eve, "POST", "/auth/email/resend", json={"email": "eve@example.com"})
    record.call(eve, "POST", "/auth/email/verify", json={"token": "nonsense"})
    record.call(root, "GET", "/users/lookup?username=ada")
    record.call(root, "GET", "/users/lookup?username=nobody")
    record.call(ada, "GET", "/users")
    eve.id = root.get("/users/lookup?username=evelyn").json()["id"]
    record.call(root, "PATCH", f"/users/{eve.id}", json={"role": "admin"})
    record.call(root, "GET", "/users?search=eve")
    record.call(root, "GET", f"/users/{eve.id}")
    record.call(root, "GET", "/audit?limit=2")
    record.call(root, "DELETE", f"/users/{eve.id}/sessions")
    record.call(root, "DELETE", f"/users/{eve.id}?delete_tasks=true")
    record.call(root, "DELETE", f"/users/{eve.id}?delete_tasks=true")


def ends(record: Recorder, api: Api) -> None:
    leaver = api.person("leaver")
    record.call(leaver, "POST", "/auth/logout-all")
    again = Person(api.client, leaver.id, "leaver", api.log_in("leaver"))
    mine = again.get("/auth/sessions").json()
    record.call(again, "DELETE", f"/auth/sessions/{mine[0]['id']}")
    again = Person(api.client, leaver.id, "leaver", api.log_in("leaver"))
    record.call(again, "POST", "/auth/logout")
    again = Person(api.client, leaver.id, "leaver", api.log_in("leaver"))
    record.call(again, "DELETE", "/auth/me", json={"password": PASSWORD})
    for method, path in (("GET", "/"), ("GET", "/sample-task"), ("GET", "/health")):
        record.call(leaver, method, path)
    record.call(leaver, "POST", "/test-background")


@pytest.fixture
def new_answers(api: Api, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The answers of the program, by operation."""
    with mail_catcher() as mail, receiver() as hook, time_machine.travel(BEGAN, tick=False) as clock:
        monkeypatch.setattr(system, "SLOW_SECONDS", 0.0)
        monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.0/8"))
        monkeypatch.setattr(settings, "smtp_server", "127.0.0.1")
        monkeypatch.setattr(settings, "smtp_port", mail.port)
        monkeypatch.setattr(settings, "smtp_security", "none")
        monkeypatch.setattr(settings, "smtp_from", "tasks@example.com")
        monkeypatch.setattr(settings, "public_url", "https://tasks.example.com")
        forget_verified_tokens()
        record = Recorder(app.openapi())
        ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
        for step in (
            partial(tasks, record, ada, bob, root),
            partial(figures, record, ada, root),
            partial(together, record, ada, bob),
            partial(told, record, ada, bob, root, hook),
            partial(accounts, record, ada, root, mail),
            partial(ends, record, api),
        ):
            clock.shift(timedelta(minutes=1))
            step()
    return json.loads(json.dumps(record.found))


@pytest.mark.one_database
def test_every_example_is_what_the_program_answers(new_answers: dict[str, Any]) -> None:
    if os.environ.get("RECORD_EXAMPLES"):
        FILE.write_text(json.dumps(new_answers, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    kept = json.loads(FILE.read_text())
    for name in sorted({*kept, *new_answers}):
        assert new_answers.get(name) == kept.get(name), f"{name}: record the examples again, as said above"


def an_example(media: dict[str, Any]) -> Any:
    """The only example, which several operations may share."""
    if "example" in media:
        return media["example"]
    (example,) = media["examples"].values()
    return resolved(app.openapi(), example)["value"]


def test_the_document_shows_what_was_recorded() -> None:
    kept = json.loads(FILE.read_text())
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            found = kept.get(operation["operationId"], {})
            for status, answers in found.get("responses", {}).items():
                content = resolved(app.openapi(), operation["responses"][status]).get("content", {})
                if status < "300":
                    shown = {media_type: an_example(content[media_type]) for media_type in answers}
                    assert shown == answers
                elif len(answers) > 1:
                    examples = content[PROBLEM_MEDIA_TYPE]["examples"]
                    assert {code: each["value"] for code, each in examples.items()} == answers
                else:
                    assert [content[PROBLEM_MEDIA_TYPE]["example"]] == [*answers.values()]
            for media_type, body in found.get("request", {}).items():
                if media_type in operation["requestBody"]["content"]:
                    assert operation["requestBody"]["content"][media_type]["example"] == body


def test_every_operation_shows_a_request_and_an_answer() -> None:
    shown = json.loads(FILE.read_text())
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            name = operation["operationId"]
            if name in WITHOUT:
                continue
            assert name in shown, f"{name}: record an example of it, as said above"
            answers = shown[name]["responses"]
            declared = [resolved(app.openapi(), each) for each in operation["responses"].values()]
            if any("application/json" in each.get("content", {}) for each in declared):
                assert any(status < "300" for status in answers), name
            if "requestBody" in operation:
                assert shown[name].get("request"), name
            for status in (each for each in answers if each >= "400"):
                said = operation["responses"][status]
                assert "$ref" in said or PROBLEM_MEDIA_TYPE in said["content"]
