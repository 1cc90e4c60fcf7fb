"""People and their own accounts: passwords, email addresses, the stored data, and the removal."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select, update

from account_models import account_links, account_mails
from config import settings
from database import Base, database
from main import app
from models import Caller
from security.tokens import token_hash
from services.accounts import attempt as attempt_service
from services.accounts import export as account_export
from services.accounts import password_rules
from tables.history import task_history
from tables.webhooks import webhook_deliveries
from tests.routers.test_projects import add, project
from tests.support.api import PASSWORD, Api, Person
from tests.support.mail import MailCatcher, mail_catcher
from tests.support.openapi_check import CheckedClient

NEW = "another long battery"
# The columns that say whose a row is.
OWNERS = ("user_id", "owner_id", "previous_owner_id", "actor_id", "author_id", "created_by")


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailCatcher]:
    with mail_catcher() as catcher:
        monkeypatch.setattr(settings, "smtp_server", "127.0.0.1")
        monkeypatch.setattr(settings, "smtp_port", catcher.port)
        monkeypatch.setattr(settings, "smtp_security", "none")
        monkeypatch.setattr(settings, "smtp_from", "platform@example.com")
        monkeypatch.setattr(settings, "public_url", "https://tasks.example.com")
        yield catcher


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def link_in(message: EmailMessage) -> tuple[str, str]:
    """The address of a link without its token, and the token."""
    found = re.search(r"(https://\S+)#token=(\S+)", text_of(message))
    assert found is not None
    return found[1], found[2]


def log_in(client: TestClient, password: str, username: str = "ada") -> int:
    answer = client.post("/auth/login", data={"username": username, "password": password})
    return int(answer.status_code)


@pytest.mark.one_database
def test_changing_the_password_needs_the_old_one_and_ends_the_other_sessions(
    client: TestClient, api: Api
) -> None:
    ada = api.person()
    elsewhere = api.log_in("ada")
    wrong = ada.post("/auth/password", json={"current_password": "not it", "new_password": NEW})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    right = ada.post("/auth/password", json={"current_password": PASSWORD, "new_password": NEW})
    assert right.status_code == 200
    assert ada.get("/auth/me").status_code == 200
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {elsewhere}"}).status_code == 401
    assert (log_in(client, PASSWORD), log_in(client, NEW)) == (401, 200)


@pytest.mark.one_database
def test_a_session_left_open_is_not_for_guessing_the_password(api: Api) -> None:
    ada = api.person()
    body = {"current_password": "a guess", "new_password": NEW}
    answers = [ada.post("/auth/password", json=body) for _ in range(attempt_service.FREE["both"] + 1)]
    assert answers[0].status_code == 403
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too_many_attempts")


def test_a_forgotten_password_is_reset_by_a_link_that_was_mailed(
    client: TestClient, api: Api, mail: MailCatcher
) -> None:
    ada = api.person()
    ada.post("/auth/password/forgot", json={"email": "ADA@example.com"})
    message = mail.wait_for(1)[0]
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Reset your password")
    page, token = link_in(message)
    assert page == "https://tasks.example.com/reset-password"
    short = client.post("/auth/password/reset", json={"token": token, "new_password": "ADA@example.com"})
    assert (short.status_code, short.json()["errors"][0]["pointer"]) == (422, "#/new_password")
    assert client.post("/auth/password/reset", json={"token": token, "new_password": NEW}).status_code == 200
    assert ada.get("/auth/me").status_code == 401
    assert log_in(client, NEW) == 200
    assert mail.wait_for(2)[1]["Subject"] == "Your password was changed"


def test_nobody_is_told_whether_there_is_an_account(client: TestClient, api: Api, mail: MailCatcher) -> None:
    api.person()
    answers = [
        client.post("/auth/password/forgot", json={"email": f"{name}@example.com"}) for name in ("ada", "bob")
    ]
    assert answers[0].json() == answers[1].json()
    assert [message["To"] for message in mail.wait_for(1)] == ["ada@example.com"]


def test_an_expired_link_is_refused(client: TestClient, api: Api, mail: MailCatcher) -> None:
    api.person()
    client.post("/auth/password/forgot", json={"email": "ada@example.com"})
    _, token = link_in(mail.wait_for(1)[0])
    past = update(account_links).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    database.write(lambda db: db.execute(past))
    answer = client.post("/auth/password/reset", json={"token": token, "new_password": NEW})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_link")


def test_an_expired_link_is_deleted_when_a_new_one_is_made_and_one_that_is_good_stays(
    client: TestClient, api: Api, mail: MailCatcher
) -> None:
    api.person()
    forgotten = {"email": "ada@example.com"}
    client.post("/auth/password/forgot", json=forgotten)
    mail.wait_for(1)
    past = update(account_links).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    database.write(lambda db: db.execute(past))
    tokens = []
    for number in (2, 3):
        client.post("/auth/password/forgot", json=forgotten)
        _, token = link_in(mail.wait_for(number)[-1])
        tokens.append(token)
    kept = database.read(lambda db: set(db.execute(select(account_links.c.token_hash)).scalars()))
    assert kept == {token_hash(token) for token in tokens}


@pytest.mark.one_database
def test_an_email_is_changed_from_the_new_address_and_told_to_the_old(
    client: TestClient, api: Api, mail: MailCatcher
) -> None:
    ada = api.person()
    ada.post("/auth/password/forgot", json={"email": "ada@example.com"})
    _, reset = link_in(mail.wait_for(1)[0])
    change = {"email": "lovelace@example.com", "password": PASSWORD}
    assert ada.post("/auth/email", json=change | {"password": "not it"}).status_code == 403
    assert ada.post("/auth/email", json=change).status_code == 200
    assert ada.get("/auth/me").json()["email"] == "ada@example.com"
    message = mail.wait_for(2)[1]
    assert message["To"] == "lovelace@example.com"
    page, token = link_in(message)
    assert page == "https://tasks.example.com/verify-email"
    assert client.post("/auth/email/verify", json={"token": token}).status_code == 200
    assert ada.get("/auth/me").json()["email"] == "lovelace@example.com"
    told = mail.wait_for(3)[2]
    assert (told["To"], told["Subject"]) == ("ada@example.com", "Your email address was changed")
    # A link that was sent to the old address is no longer valid.
    answer = client.post("/auth/password/reset", json={"token": reset, "new_password": NEW})
    assert answer.status_code == 400
    assert client.post("/auth/email/verify", json={"token": token}).status_code == 400
    # A token for one purpose does nothing for another.
    ada.post("/auth/password/forgot", json={"email": "lovelace@example.com"})
    _, reset = link_in(mail.wait_for(4)[3])
    assert client.post("/auth/email/verify", json={"token": reset}).status_code == 400


@pytest.mark.one_database
def test_an_email_that_somebody_has_already_is_not_mailed_and_not_told(api: Api, mail: MailCatcher) -> None:
    ada, _ = api.person(), api.person("bob")
    free = ada.post("/auth/email", json={"email": "free@example.com", "password": PASSWORD})
    taken = ada.post("/auth/email", json={"email": "BOB@example.com", "password": PASSWORD})
    assert free.json() == taken.json()
    assert [message["To"] for message in mail.wait_for(1)] == ["free@example.com"]


def test_an_email_may_change_its_letter_cases(client: TestClient, api: Api, mail: MailCatcher) -> None:
    ada = api.person()
    ada.post("/auth/email", json={"email": "Ada@example.com", "password": PASSWORD})
    _, token = link_in(mail.wait_for(1)[0])
    assert client.post("/auth/email/verify", json={"token": token}).status_code == 200
    assert ada.get("/auth/me").json()["email"] == "Ada@example.com"


def test_an_email_that_was_taken_while_the_link_was_on_its_way(
    client: TestClient, api: Api, mail: MailCatcher
) -> None:
    ada = api.person()
    ada.post("/auth/email", json={"email": "bob@example.com", "password": PASSWORD})
    _, token = link_in(mail.wait_for(1)[0])
    api.person("bob")
    answer = client.post("/auth/email/verify", json={"token": token})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Email already registered")
    assert ada.get("/auth/me").json()["email"] == "ada@example.com"


@pytest.mark.one_database
def test_logging_in_can_require_a_confirmed_email(
    client: TestClient, mail: MailCatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "require_verified_email", True)
    account = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    assert client.post("/auth/register", json=account).status_code == 200
    _, first = link_in(mail.wait_for(1)[0])
    refused = client.post("/auth/login", data={"username": "ada", "password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (403, "email_not_verified")
    assert log_in(client, "wrong") == 401
    client.post("/auth/email/resend", json={"email": "ada@example.com"})
    _, second = link_in(mail.wait_for(2)[1])
    assert client.post("/auth/email/verify", json={"token": second}).status_code == 200
    assert log_in(client, PASSWORD) == 200
    assert client.post("/auth/email/verify", json={"token": first}).status_code == 200
    client.post("/auth/email/resend", json={"email": "ada@example.com"})
    assert len(mail.mails) == 2


def test_registration_can_be_closed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "registration_open", False)
    account = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    answer = client.post("/auth/register", json=account)
    assert (answer.status_code, answer.json()["code"]) == (403, "registration_closed")


@pytest.mark.one_database
def test_an_address_can_not_carry_another_header_into_a_mail(
    client: TestClient, api: Api, mail: MailCatcher
) -> None:
    ada = api.person()
    evil = [
        "x@example.com\r\nBcc: all@example.com",
        "x@example.com\nBcc: all@example.com",
        "x@example.com\r\n",
    ]
    for email in evil:
        body = {"email": email, "password": PASSWORD}
        answer = ada.post("/auth/email", json=body)
        assert answer.status_code == 422 or "\n" not in email.strip()
        account = {"username": "eve", "email": email, "password": PASSWORD}
        registered = client.post("/auth/register", json=account)
        assert registered.status_code in (200, 422)
        if registered.status_code == 200:
            assert registered.json()["email"] == email.strip()
    for message in mail.mails:
        assert message["Bcc"] is None
        assert message.keys().count("To") == 1


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("password", "refused", "refused_if_common_are"),
    [
        ("Ada.Lovelace", True, True),
        ("ADA@example.com", True, True),
        ("ada.lovelace-1815", False, True),
        ("mail me at ada@example.com", False, True),
        ("correct horse battery", False, False),
    ],
)
def test_a_password_may_not_be_the_username_or_email_nor_contain_them_where_that_is_set(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    password: str,
    refused: bool,  # noqa: FBT001
    refused_if_common_are: bool,  # noqa: FBT001
) -> None:
    account = {"username": "ada.lovelace", "email": "ada@example.com", "password": password}
    for setting, is_refused in ((True, refused_if_common_are), (False, refused)):
        monkeypatch.setattr(settings, "refuse_common_passwords", setting)
        answer = client.post("/auth/register", json=account)
        taken = not setting and not refused_if_common_are
        assert answer.status_code == (422 if is_refused else 400 if taken else 200)
        if is_refused:
            assert answer.json()["errors"][0]["pointer"] == "#/password"
            assert password not in answer.text


@pytest.mark.parametrize(
    ("password", "common"),
    [
        ("password", True),
        ("P@ssw0rd2024!", True),
        ("qwertyuiop", True),
        ("87654321", True),
        ("abababab", True),
        ("12-05-1987", True),
        ("iloveyou1", True),
        ("correct horse battery", False),
        ("gT7-vvrk_21x", False),
        ("Müllers Esel", False),
    ],
)
def test_common_passwords_are_recognised_however_they_are_dressed_up(password: str, common: bool) -> None:  # noqa: FBT001
    assert password_rules.is_common(password) is common


@pytest.mark.one_database
def test_common_passwords_are_refused_where_that_is_set(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = {"username": "ada", "email": "ada@example.com", "password": "P@ssw0rd2024!"}
    monkeypatch.setattr(settings, "refuse_common_passwords", True)
    assert client.post("/auth/register", json=account).status_code == 422
    monkeypatch.setattr(settings, "refuse_common_passwords", False)
    assert client.post("/auth/register", json=account).status_code == 200


def test_a_username_is_changed_and_stays_unique_in_any_letter_case(api: Api) -> None:
    ada, _ = api.person(), api.person("bob")
    assert ada.patch("/auth/me", json={"username": "Ada"}).json()["username"] == "Ada"
    answer = ada.patch("/auth/me", json={"username": "BOB"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Username already registered")
    assert ada.patch("/auth/me", json={}).json()["username"] == "Ada"


def test_deleting_the_account_needs_the_password_and_takes_all_with_it(client: TestClient, api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    ada.task("A private plan")
    given = bob.task("Bob's own words")
    bob.put(f"/tasks/{given['id']}/assign", params={"assigned_user_id": ada.id})
    handed_on = ada.task("Ada's words, now Bob's task")
    ada.put(f"/tasks/{handed_on['id']}/assign", params={"assigned_user_id": bob.id})
    assert ada.delete("/auth/me", json={"password": "wrong"}).status_code == 403
    assert ada.delete("/auth/me", json={"password": PASSWORD}).status_code == 200
    answer = ada.get("/auth/me")
    assert (answer.status_code, answer.json()["detail"]) == (401, "User not found")
    assert log_in(client, PASSWORD) == 401
    assert [task["title"] for task in bob.get("/tasks").json()] == ["Ada's words, now Bob's task"]
    kept = database.read(lambda db: db.execute(select(task_history).order_by(task_history.c.id)).all())
    assert "private plan" not in str(kept)
    assert "Ada's words" not in str(kept)
    assert {row.task_id for row in kept} == {1, 2, 3}
    assert [row.kind for row in kept if row.task_id == 1] == ["created", "deleted"]
    assert not Path(settings.cache_dir / f"cache_user_{ada.id}.json").exists()


def test_everything_kept_about_me_is_in_my_export(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_export, "PART", 2)
    ada, bob = api.person(), api.person("bob")
    titles = [f"Task {number}" for number in range(5)]
    for title in titles:
        ada.task(title)
    bob.task("None of hers")
    ada.post("/auth/tokens", json={"name": "nightly", "scopes": ["tasks:read"]})
    answer = ada.get("/auth/me/export")
    assert "attachment" in answer.headers["content-disposition"]
    export = answer.json()
    assert export["account"]["username"] == "ada"
    assert [task["title"] for task in export["tasks"]] == titles
    assert [row["task_id"] for row in export["task_history"]] == [task["id"] for task in export["tasks"]]
    assert [token["name"] for token in export["program_tokens"]] == ["nightly"]
    assert {event["kind"] for event in export["audit_events"]} >= {"login", "token_created"}
    assert "None of hers" not in answer.text


@pytest.mark.one_database
def test_the_long_rows_of_an_export_are_read_a_few_at_a_time(api: Api) -> None:
    ada = api.person()
    for number in range(6):
        ada.post("/tasks", json={"title": "t"}, headers={"Idempotency-Key": str(number)})
    caller = Caller(ada.id, ada.username, "", is_active=True, role="member", created_at=datetime.now(UTC))
    position = account_export.Position(list(account_export.LONG).index("idempotency_keys"), -1)
    first, following = database.read(lambda db: account_export.go_on(db, caller, position))
    assert following is not None
    last, end = database.read(lambda db: account_export.go_on(db, caller, following))
    assert end is None
    assert [b"".join(part).count(b'"used_rights"') for part in (first, last)] == [4, 2]


@pytest.mark.one_database
def test_an_export_holds_what_is_of_its_owner_and_nothing_of_others(api: Api) -> None:
    """Two people do the same, so that each table has rows of both."""
    ada, bob = api.person(), api.person("bob")
    now = datetime.now(UTC)
    for person, other in ((ada, bob), (bob, ada)):
        made = project(person, person.username)["id"]
        add(person, made, other)
        path = f"/tasks/{person.task('Write', project_id=made)['id']}"
        person.post("/tasks", json={"title": "Once"}, headers={"Idempotency-Key": "a"})
        other.patch(path, json={"priority": 4})
        person.task("For the other", project_id=made, user_id=other.id)
        person.post(f"{path}/comments", json={"text": "Soon"})
        person.post("/auth/tokens", json={"name": "nightly", "scopes": ["tasks:read"]})
        person.put("/notifications/preferences", json={"assigned": "daily"})
        view = person.post("/views", json={"name": "Open", "filter": "status = pending"}).json()["id"]
        assert person.post("/calendars", json={"view_id": view}).status_code == 201
        hook = {"url": "http://example.com/", "types": ["project.*"], "enabled": False}
        hook_id = person.post("/webhooks", json=hook).json()["id"]
        mail = {"user_id": person.id, "email": "x@example.com", "created_at": now}
        link = {"purpose": "reset", "token_hash": token_hash(person.username), "expires_at": now}
        delivery = {"webhook_id": hook_id, "type": "project.created", "state": "failed", "created_at": now}
        rows = (
            insert(webhook_deliveries).values(delivery | {"attempts": 1}),
            insert(account_links).values(mail | link),
            insert(account_mails).values(mail | {"kind": "reset", "attempts": 1}),
        )
        database.write(lambda db: [db.execute(row) for row in rows])  # noqa: B023
    exports = {person.id: person.get("/auth/me/export").json() for person in (ada, bob)}
    assert not any("secret" in each for export in exports.values() for each in export["webhooks"])
    hooks = {each["id"]: each["user_id"] for export in exports.values() for each in export["webhooks"]}
    for owner, export in exports.items():
        export["account"] = [{**export["account"], "user_id": export["account"]["id"]}]
        assert "credentials_version" not in export["account"][0]
        for name, rows in export.items():
            assert rows, name
            for row in rows:
                owners = [row[each] for each in OWNERS if each in row]
                assert owner in (owners or [hooks[row["webhook_id"]]]), (name, row)
                assert not [each for each in row if each.endswith("_hash")]
        # The account's changes of others' tasks are there, and others' changes of its tasks.
        changes = {
            (row["kind"], row["actor_id"] == owner, row["owner_id"] == owner)
            for row in export["task_history"]
        }
        assert changes >= {("updated", True, False), ("updated", False, True), ("created", False, True)}


@pytest.mark.one_database
def test_my_export_tells_no_addresses_of_others(client: TestClient, api: Api) -> None:
    ada, admin = api.person(), api.person("root", admin=True)
    admins, strangers, mine = (
        CheckedClient(app, api.client.portal, (address, 4000))
        for address in ("203.0.113.7", "203.0.113.8", "2001:db8::1")
    )
    wrong = {"username": "ada", "password": "a guess of somebody"}
    assert strangers.post("/auth/login", data=wrong).status_code == 401
    assert client.post("/auth/login", data=wrong).status_code == 401
    assert mine.post("/auth/login", data={"username": "ada", "password": PASSWORD}).status_code == 200
    admin_headers = {"Authorization": f"Bearer {admin.token}"}
    assert admins.delete(f"/users/{ada.id}/sessions", headers=admin_headers).status_code == 200
    token = api.log_in("ada")
    answer = client.get("/auth/me/export", headers={"Authorization": f"Bearer {token}"})
    events = [(event["kind"], event["address"]) for event in answer.json()["audit_events"]]
    assert ("sessions_ended", None) in events
    assert [address for kind, address in events if kind == "login_failed"] == [None, "testclient"]
    assert ("login", "2001:db8::1") in events
    assert "203.0.113." not in answer.text
    kept = admin.get("/audit", params={"kind": "sessions_ended"}).json()
    assert kept[0]["address"] == "203.0.113.7"


@pytest.mark.one_database
def test_my_export_tells_nothing_of_a_project_that_i_have_left(api: Api) -> None:
    ada, bob, admin = api.person(), api.person("bob"), api.person("root", admin=True)
    made = project(ada, "Research", description="What we find out")["id"]
    add(ada, made, bob, "manager")
    view = {"name": "Open", "filter": "status = pending", "project_id": made}
    view_id = ada.post("/views", json=view).json()["id"]
    ada.post("/views", json={"name": "Mine", "filter": "status = pending"})

    def exported(person: Person) -> Any:
        answer = person.get("/auth/me/export").json()
        return {(each["name"], each["created_by"]) for each in answer["projects"] + answer["views"]}

    assert exported(ada) == {("Research", ada.id), ("Open", ada.id), ("Mine", ada.id)}
    ada.delete(f"/projects/{made}/members/{ada.id}")
    secret = {"name": "Merger", "description": "Merger with a competitor"}
    assert bob.patch(f"/projects/{made}", json=secret).status_code == 200
    assert bob.patch(f"/views/{view_id}", json={"filter": 'title ~ "Merger"'}).status_code == 200
    answer = ada.get("/auth/me/export")
    assert "Merger" not in answer.text
    assert exported(ada) == {(None, ada.id), ("Mine", ada.id)}
    assert [each["id"] for each in answer.json()["projects"]] == [made]
    # A task that goes to a project takes its notifications along.
    task = ada.task("Handed on")["id"]
    ada.put(f"/tasks/{task}/assign?assigned_user_id={bob.id}")
    bob.patch(f"/tasks/{task}", json={"project_id": made})
    assert "Handed on" not in str(ada.get("/auth/me/export").json()["notifications"])
    # An admin sees all projects.
    assert admin.patch(f"/users/{ada.id}", json={"role": "admin"}).status_code == 200
    assert exported(ada) == {("Merger", ada.id), ("Open", ada.id), ("Mine", ada.id)}


def test_no_table_is_forgotten_in_the_export() -> None:
    exported = {"users", *account_export.SHORT, *account_export.LONG}
    # These tables say nothing about a person beyond the others.
    derived = {"attempts", "duration_counts", "feed_positions", "owner_counts", "project_counts"}
    derived |= {"project_states", "refresh_tokens", "system_counts", "task_tags"}
    assert exported | derived == set(Base.metadata.tables)
    assert not exported & derived
