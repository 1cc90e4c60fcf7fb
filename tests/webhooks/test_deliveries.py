"""Webhooks deliver signed events to a real receiver, whatever the receiver does."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import select, update

import manage
from account_models import account_mails
from config import settings
from configuration.addresses import networks
from database import database
from services.background_tasks.retention_tasks import hourly_round
from services.webhooks import dispatch, sending
from services.webhooks.delivery import QUICK_SECONDS
from services.webhooks.delivery import deliveries as deliveries_of_this_process
from tables.webhooks import webhook_deliveries, webhooks
from tests.support.api import PASSWORD, Api, Person, assert_problem
from tests.support.receiver import Receiver, receiver
from tests.support.waiting import SECONDS, wait_until

# Added to the pause before each further attempt, so that none is made while a test looks at the one before.
LONGER = timedelta(minutes=5)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(sending, "SCHEDULE", tuple(LONGER + pause for pause in sending.SCHEDULE))
    monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.0/8"))
    monkeypatch.setattr(settings, "webhook_timeout_seconds", 30.0)
    with receiver() as listening:
        yield listening


def made(person: Person, hook: Receiver, *types: str, **fields: Any) -> Any:
    answer = person.post("/webhooks", json={"url": hook.url, "types": list(types) or ["*"], **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def deliveries(person: Person, webhook: Any) -> list[Any]:
    answer = person.get(f"/webhooks/{webhook['id']}/deliveries")
    assert answer.status_code == 200, answer.text
    listed: list[Any] = answer.json()
    return listed


def settled(person: Person, webhook: Any, count: int, state: str = "delivered") -> list[Any]:
    """Wait until a number of deliveries are in this state and the webhook is free, and return all deliveries."""
    found: list[Any] = []

    def are_there() -> bool:
        found[:] = deliveries(person, webhook)
        return len([each for each in found if each["state"] == state]) >= count

    wait_until(are_there)
    return found


def make_due() -> None:
    """Make the next attempt due."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    waiting = webhook_deliveries.c.state == "waiting"
    database.write(
        lambda db: db.execute(update(webhook_deliveries).where(waiting).values(next_attempt_at=past))
    )
    database.write(lambda db: db.execute(update(webhooks).values(due_at=past)))
    deliveries_of_this_process.wake()


def test_an_event_arrives_signed_as_the_feed_tells_it(api: Api, hook: Receiver) -> None:
    ada = api.person()
    webhook = made(ada, hook, "task.created", "task.status_changed")
    task = ada.task("Write")
    ada.patch(f"/tasks/{task['id']}", json={"priority": 3})
    ada.patch(f"/tasks/{task['id']}", json={"status": "completed"})
    first, second = hook.wait_for(2)
    told = [each.verified(webhook["secret"]) for each in (first, second)]
    feed = ada.get("/events").json()
    assert told == [feed[0], feed[2]]
    assert [each["type"] for each in told] == ["task.created", "task.status_changed"]
    assert first.message_id != second.message_id
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"].startswith("TaskPlatform-Webhooks/")
    newest, oldest = settled(ada, webhook, 2)
    assert (oldest["event_id"], oldest["type"]) == (feed[0]["id"], "task.created")
    assert (newest["attempts"], newest["status_code"], newest["error"]) == (1, 200, None)
    assert newest["next_attempt_at"] is None
    assert api.person("bob").get(f"/webhooks/{webhook['id']}/deliveries").status_code == 404


def test_an_owner_before_gets_the_event_that_takes_the_task_away_as_the_last(
    api: Api, hook: Receiver
) -> None:
    ada, bob = api.person(), api.person("bob")
    webhook, bobs = made(ada, hook), made(bob, hook)
    task = ada.task()
    ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
    bob.delete(f"/tasks/{task['id']}")
    settled(bob, bobs, 2)
    settled(ada, webhook, 2)
    assert [each["type"] for each in deliveries(ada, webhook)] == ["task.assigned", "task.created"]
    assert [each["type"] for each in deliveries(bob, bobs)] == ["task.deleted", "task.assigned"]
    ids = [each.message_id for each in hook.wait_for(4)]
    assert len(set(ids)) == 4


@pytest.mark.one_database
def test_what_fails_is_tried_again_with_the_same_id_and_given_up_after_ten_attempts(
    api: Api, hook: Receiver
) -> None:
    hook.answer = lambda _: (500, {}, b"")
    ada = api.person()
    webhook = made(ada, hook, "task.created")
    before = datetime.now(UTC)
    ada.task()
    hook.wait_for(1)
    pauses = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert tuple(LONGER + timedelta(seconds=pause) for pause in pauses) == sending.SCHEDULE
    for attempt, pause in enumerate(pauses, start=1):
        shortest = LONGER.total_seconds() + pause
        found = waiting(ada, webhook, attempt)
        delay = datetime.fromisoformat(found["next_attempt_at"]) - before
        assert shortest <= delay.total_seconds() <= shortest * 1.2 + 60
        assert (found["status_code"], found["error"]) == (
            500,
            "The receiver answered 500 (Internal Server Error)",
        )
        before = datetime.now(UTC)
        make_due()
        hook.wait_for(attempt + 1)
    (failed,) = settled(ada, webhook, 1, "failed")
    assert (failed["attempts"], failed["next_attempt_at"]) == (10, None)
    assert len({each.message_id for each in hook.received}) == 1
    hook.answer = lambda _: (204, {}, b"")
    answer = ada.post(f"/webhooks/{webhook['id']}/deliveries/{failed['id']}/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    assert settled(ada, webhook, 1)[0]["status_code"] == 204
    assert ada.post(f"/webhooks/{webhook['id']}/deliveries/999/retry").status_code == 404


def waiting(person: Person, webhook: Any, attempts: int) -> Any:
    def look() -> Any:
        (found,) = deliveries(person, webhook)
        return found if (found["attempts"], found["state"]) == (attempts, "waiting") else None

    return wait_until(look)


@pytest.mark.one_database
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_says_when_it_wants_to_be_asked_again(api: Api, hook: Receiver, form: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    hook.answer = lambda _: (429, {"Retry-After": "600" if form == "seconds" else date}, b"")
    ada = api.person()
    webhook = made(ada, hook)
    ada.task()
    hook.wait_for(1)
    found = waiting(ada, webhook, 1)
    delay = datetime.fromisoformat(found["next_attempt_at"]) - datetime.now(UTC)
    assert 540 <= delay.total_seconds() <= 601
    # Another event does not wait for this.
    hook.answer = lambda _: (200, {}, b"")
    ada.task()
    assert [each["attempts"] for each in settled(ada, webhook, 1)] == [1, 1]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: (302, {"Location": "http://127.0.0.1:1/"}, b""), "redirects are not followed"),
        (lambda _: None, "closed before the answer"),
    ],
    ids=["redirect", "closed"],
)
def test_what_is_no_answer_is_a_failure_that_says_why(
    api: Api, hook: Receiver, answer: Any, error: str
) -> None:
    hook.answer = answer
    assert_one_failure(api, hook, error)


# The program's clock ends a request, on both databases.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_receiver_that_does_not_answer_in_time_has_failed(
    api: Api, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "webhook_timeout_seconds", 1.0)
    is_over = threading.Event()

    def never(_: Any) -> None:
        is_over.wait(SECONDS)

    hook.answer = never
    assert_one_failure(api, hook, "did not answer within 1 seconds")
    is_over.set()


def assert_one_failure(api: Api, hook: Receiver, error: str) -> None:
    ada = api.person()
    webhook = made(ada, hook)
    ada.task()
    hook.wait_for(1)
    found = waiting(ada, webhook, 1)
    assert error in found["error"]
    assert len(hook.received) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_large_or_endless_answer_costs_nothing(
    api: Api, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def never_end(handler: Any) -> Any:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n.")
        is_over.wait(SECONDS)

    answers: Iterator[Any] = iter(
        [lambda _: (200, {}, b"x" * 10_000_000), never_end, lambda _: (200, {}, b"")]
    )

    def in_turn(handler: Any) -> Any:
        return next(answers)(handler)

    hook.answer = in_turn
    ada = api.person()
    webhook = made(ada, hook)
    for number, seconds in enumerate((SECONDS, 1.0, SECONDS)):
        monkeypatch.setattr(settings, "webhook_timeout_seconds", seconds)
        ada.task(f"Task {number}")
        hook.wait_for(number + 1)
    found = settled(ada, webhook, 3)
    assert {each["status_code"] for each in found} == {200}
    is_over.set()


@pytest.mark.one_database
def test_410_switches_it_off_with_a_mail_and_what_happens_then_can_be_replayed(
    api: Api, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A long replay takes several steps.
    monkeypatch.setattr(dispatch, "BATCH", 1)
    ada = api.person()
    webhook = made(ada, hook, "task.*")
    ada.task("first")
    hook.wait_for(1)
    settled(ada, webhook, 1)
    hook.answer = lambda _: (410, {}, b"")
    ada.task("gone")
    hook.wait_for(2)
    path = f"/webhooks/{webhook['id']}"
    wait_until(lambda: not ada.get(path).json()["enabled"])
    assert ada.get(path).json()["disabled_reason"] == "gone"
    assert database.read(lambda db: db.execute(select(account_mails.c.kind)).scalars().all()) == [
        "webhook_disabled"
    ]
    ada.task("while it is off")
    assert ada.post(f"{path}/ping").status_code == 409
    hook.answer = lambda _: (200, {}, b"")
    first = ada.get("/events").json()[0]
    changed = ada.patch(path, json={"enabled": True})
    assert (changed.json()["enabled"], changed.json()["disabled_reason"]) == (True, None)
    ada.post(f"{path}/ping")
    assert hook.wait_for(3)[-1].verified(webhook["secret"])["type"] == "webhook.ping"
    answer = ada.post(f"{path}/replay", json={"after": first["id"]})
    assert answer.status_code == 202, answer.text
    arrived = [each for each in hook.wait_for(5) if "ping" not in each.message_id]
    settled(ada, webhook, 4)
    told = [each.verified(webhook["secret"])["data"]["task"]["title"] for each in arrived]
    assert told[:2] == ["first", "gone"]
    assert set(told[2:]) == {"gone", "while it is off"}
    # A receiver drops repeats by their ids, so the event that it refused comes again with the same id.
    assert len({each.message_id for each in arrived}) == 3
    assert ada.post(f"{path}/replay", json={"after": "evt_0"}).status_code == 422


def test_five_days_without_success_switch_it_off(api: Api, hook: Receiver) -> None:
    hook.answer = lambda _: (500, {}, b"")
    ada = api.person()
    webhook = made(ada, hook)
    ada.task()
    hook.wait_for(1)
    waiting(ada, webhook, 1)
    long_ago = datetime.now(UTC) - timedelta(days=5)
    database.write(lambda db: db.execute(update(webhooks).values(failing_since=long_ago)))
    make_due()
    hook.wait_for(2)
    waiting(ada, webhook, 2)
    now = ada.get(f"/webhooks/{webhook['id']}").json()
    assert (now["enabled"], now["disabled_reason"]) == (False, "failing")


@pytest.mark.one_database
def test_after_a_rotation_both_secrets_sign_for_a_day(api: Api, hook: Receiver) -> None:
    ada = api.person()
    webhook = made(ada, hook)
    path = f"/webhooks/{webhook['id']}"
    rotated = ada.post(f"{path}/rotate")
    assert rotated.status_code == 200
    secret = rotated.json()["secret"]
    assert secret != webhook["secret"]
    ping = ada.post(f"{path}/ping")
    assert (ping.status_code, ping.json()["type"]) == (202, "webhook.ping")
    (received,) = hook.wait_for(1)
    for each in (secret, webhook["secret"]):
        sent = received.verified(each)
        assert (sent["type"], sent["id"]) == ("webhook.ping", ping.json()["event_id"])
    past = datetime.now(UTC) - timedelta(seconds=1)
    database.write(lambda db: db.execute(update(webhooks).values(previous_secret_until=past)))
    settled(ada, webhook, 1)
    ada.post(f"{path}/ping")
    _, received = hook.wait_for(2)
    assert received.verified(secret)
    with pytest.raises(Exception, match="No matching signature"):
        received.verified(webhook["secret"])


@pytest.mark.one_database
def test_slow_receivers_delay_no_other(api: Api, hook: Receiver) -> None:
    is_over = threading.Event()

    def answer(handler: Any) -> Any:
        if "slow" in handler.path:
            is_over.wait(SECONDS)
        return 200, {}, b""

    hook.answer = answer
    ada = api.person()
    for number in range(5):
        made(ada, hook, description=f"slow {number}", url=f"{hook.url}/slow{number}")
    webhook = made(ada, hook)
    ada.task()
    # The other deliveries are still under way.
    settled(ada, webhook, 1)
    is_over.set()
    hook.wait_for(6)


@pytest.mark.one_database
def test_the_deliveries_of_a_switched_off_account_wait(api: Api, hook: Receiver) -> None:
    hook.answer = lambda _: (500, {}, b"")
    ada, root = api.person(), api.person("root", admin=True)
    webhook = made(ada, hook, "task.created")
    ada.task()
    hook.wait_for(1)
    waiting(ada, webhook, 1)
    root.patch(f"/users/{ada.id}", json={"is_active": False})
    hook.answer = lambda _: (200, {}, b"")
    make_due()
    roots = made(root, hook, "task.imported")
    root.post(f"/webhooks/{roots['id']}/ping")
    settled(root, roots, 1)
    assert len([each for each in hook.received if "ping" not in each.message_id]) == 1
    root.patch(f"/users/{ada.id}", json={"is_active": True})
    make_due()
    settled(Person(api.client, ada.id, "ada", api.log_in("ada")), webhook, 1)


@pytest.mark.one_database
def test_an_answer_from_the_url_before_tells_nothing_of_the_new_one(api: Api, hook: Receiver) -> None:
    ada = api.person()
    webhook = made(ada, hook, "task.created")
    path = f"/webhooks/{webhook['id']}"

    def answer(handler: Any) -> Any:
        if "moved" in handler.path:
            return 200 if len(hook.received) > 2 else 500, {}, b""
        assert ada.patch(path, json={"url": f"{hook.url}/moved"}).status_code == 200
        return 410, {}, b""

    hook.answer = answer
    # The receiver has been failing for days, and a process has died that had claimed the webhook.
    times = {"failing_since": datetime.now(UTC) - timedelta(days=6), "claimed_until": datetime.now(UTC)}
    database.write(lambda db: db.execute(update(webhooks).values(times)))
    ada.task()
    for attempts in (1, 2):
        hook.wait_for(attempts)
        waiting(ada, webhook, attempts)
        now = ada.get(path).json()
        assert (now["enabled"], now["disabled_reason"]) == (True, None)
        make_due()
    settled(ada, webhook, 1)
    # It is served when it is switched on, though there is nothing to send.
    for enabled in (False, True):
        ada.patch(path, json={"enabled": enabled})
    is_free = select(webhooks.c.due_at.is_(None), webhooks.c.claimed_until.is_(None))
    wait_until(lambda: all(database.read(lambda db: db.execute(is_free).one())))


@pytest.mark.one_database
def test_a_projects_webhook_is_its_managers(api: Api, hook: Receiver) -> None:
    ada, bob, cy, eve = (api.person(name) for name in ("ada", "bob", "cyril", "eve"))
    project = ada.post("/projects", json={"name": "Launch"}).json()
    members = f"/projects/{project['id']}/members"
    assert ada.put(f"{members}/{bob.id}", json={"role": "manager"}).status_code == 200
    assert ada.put(f"{members}/{cy.id}", json={"role": "member"}).status_code == 200
    body = {"url": hook.url, "types": ["*"], "project_id": project["id"]}
    assert_problem(eve.post("/webhooks", json=body), 404, "project_not_found")
    assert_problem(cy.post("/webhooks", json=body), 403, "project_role")
    webhook = ada.post("/webhooks", json=body).json()
    path = f"/webhooks/{webhook['id']}"
    assert bob.get("/webhooks").json() == [bob.get(path).json()]
    # Eve is a manager too, but of another project.
    eve.post("/projects", json={"name": "Eve's"})
    assert cy.get("/webhooks").json() == eve.get("/webhooks").json() == []
    assert_problem(cy.get(path), 403, "project_role")
    assert_problem(eve.get(path), 404, "webhook_not_found")

    private = cy.task("Nobody else's")
    task = cy.task("For all", project_id=project["id"])
    cy.post(f"/tasks/{task['id']}/comments", json={"text": "Soon"})
    ada.put(f"{members}/{eve.id}", json={"role": "viewer"})
    told = [each.verified(webhook["secret"]) for each in hook.wait_for(3)]
    assert {each["type"] for each in told} == {"task.created", "comment.created", "member.added"}
    comment = next(each for each in told if each["type"] == "comment.created")
    assert comment["data"]["comment"]["text"] == "Soon"
    assert private["id"] not in {each["data"]["task_id"] for each in told}

    # The maker of the webhook leaves. The webhook belongs to the project, and stays.
    settled(bob, webhook, 3)
    assert ada.delete(f"{members}/{ada.id}").status_code == 204
    assert_problem(ada.get(path), 404, "webhook_not_found")
    assert ada.delete("/auth/me", json={"password": PASSWORD}).status_code == 200
    assert bob.get(path).json()["user_id"] == bob.id
    assert bob.delete(f"/projects/{project['id']}?tasks=delete").status_code == 204
    types = {each.verified(webhook["secret"])["type"] for each in hook.wait_for(6)}
    assert {"member.removed", "task.deleted", "project.deleted"} <= types


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_asked_for_again_during_an_attempt_that_fails_is_sent_again_at_once(
    api: Api, hook: Receiver, number: int
) -> None:
    ada, attempts = api.person(), list[int]()
    webhook = made(ada, hook, "task.created")

    def answer(_: Any) -> Any:
        attempts.append(1)
        if len(attempts) == number:
            [waiting] = deliveries(ada, webhook)
            retried = ada.post(f"/webhooks/{webhook['id']}/deliveries/{waiting['id']}/retry")
            assert retried.status_code == 202
        return (200 if len(attempts) > number else 503, {"Retry-After": "3600"}, b"")

    hook.answer = answer
    ada.task()
    if number == 2:
        wait_until(lambda: [each["attempts"] for each in deliveries(ada, webhook)] == [1])
        make_due()
    [delivered] = settled(ada, webhook, 1)
    assert (delivered["attempts"], len(attempts)) == (1, number + 1)


@pytest.mark.one_database
def test_operators_see_and_retry_what_was_given_up(
    api: Api, hook: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.answer = lambda _: (500, {}, b"")
    ada = api.person()
    webhook = made(ada, hook)
    ada.task()
    hook.wait_for(1)
    waiting(ada, webhook, 1)
    database.write(lambda db: db.execute(update(webhook_deliveries).values(attempts=9)))
    make_due()
    (failed,) = settled(ada, webhook, 1, "failed")
    assert manage.main(["webhooks"]) == 0
    said = capsys.readouterr().out
    assert "webhooks: 1 on, 0 switched off by the program" in said
    assert "deliveries: 0 waiting, 1 failed" in said
    assert f"webhook {webhook['id']} (user {ada.id}, {hook.url}): failing since" in said
    assert f"failed {failed['id']} (task.created, webhook {webhook['id']}, 10 attempts)" in said
    assert manage.main(["webhooks", "retry", "--id", "999"]) == 1
    hook.answer = lambda _: (200, {}, b"")
    assert manage.main(["webhooks", "retry"]) == 0
    assert "Delivered again: 1" in capsys.readouterr().out
    deliveries_of_this_process.wake()
    settled(ada, webhook, 1)
    # Deliveries are deleted after a month.
    old = datetime.now(UTC) - timedelta(days=31)
    database.write(lambda db: db.execute(update(webhook_deliveries).values(created_at=old)))
    hourly_round()
    assert deliveries(ada, webhook) == []


@pytest.mark.one_database
def test_a_receiver_that_takes_its_time_is_sent_several_at_once(api: Api, hook: Receiver) -> None:
    lock, under_way, first = threading.Lock(), 0, threading.Event()
    are_several = threading.Event()

    def answer(_: Any) -> Any:
        nonlocal under_way
        with lock:
            under_way += 1
            if under_way > 1:
                are_several.set()
        # The first answer shows that the receiver is slow. Each other delivery waits for one beside it.
        if first.is_set():
            are_several.wait(SECONDS)
        else:
            first.set()
            time.sleep(QUICK_SECONDS)
        with lock:
            under_way -= 1
        return 200, {}, b""

    hook.answer = answer
    ada = api.person()
    webhook = made(ada, hook, "task.imported")
    ada.post("/tasks/import", json=[{"title": f"Task {number}"} for number in range(21)])
    settled(ada, webhook, 21)
    assert are_several.is_set()
    assert len({each.message_id for each in hook.received}) == 21
