"""Writes on Postgres are right whatever others commit between their statements.

`test_between_writes.py` tries every write with every change, which takes long. SQLite needs none of this: nobody else
writes during a transaction that writes.
"""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from database import database
from models import Caller
from security.callers import CALLER_BY_ID
from services import task_service
from services.accounts import removal
from services.calendars import calendar
from services.portions import Portions
from services.projects import member, project
from tests.routers.test_projects import add
from tests.routers.test_projects import project as make_project
from tests.storage.test_races import WAITS, count
from tests.support.api import PASSWORD, Api, Person, assert_problem
from tests.support.between import before_statement, changed_beside
from tests.support.invariants import broken
from tests.support.waiting import SECONDS, wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
# More statements than any call here has.
MOST = 60


def caller(db: Session, person: Person) -> Caller:
    return Caller(*db.execute(CALLER_BY_ID, {"user_id": person.id}).one())


def moments(
    call: Callable[[], Any], change: Callable[[Session], Any], prepare: Callable[[], Any] = lambda: None
) -> Iterator[Any]:
    """The answers to a call that is made again and again, with the change before its second, third, ... statement.

    A change that has to wait for a lock of the call would wait for all later statements too, so it is the last.
    """
    came = False
    for number in range(2, MOST):
        prepare()
        happened: list[bool] = []
        with before_statement(number, lambda: happened.append(changed_beside(change))):  # noqa: B023
            answer = call()
        if happened != [True]:
            break
        came = True
        yield answer
    assert came


def test_a_task_that_leaves_its_project_meanwhile_is_found(api: Api) -> None:
    ada = api.person()
    ids: dict[str, int] = {}

    def prepare() -> None:
        ids["project"] = make_project(ada)["id"]
        ids["task"] = ada.task(project_id=ids["project"])["id"]

    def call() -> Any:
        return ada.patch(f"/tasks/{ids['task']}", json={"title": "y"})

    def release(db: Session) -> None:
        task_service.update_task(db, caller(db, ada), ids["task"], {"project_id": None})

    def delete(db: Session) -> None:
        project.delete_project(db, caller(db, ada), ids["project"], "release", Portions(lambda: None))

    for change in (release, delete):
        for answer in moments(call, change, prepare):
            assert (answer.status_code, answer.json()["title"]) == (200, "y"), change
    assert database.read(broken) == []


class Leaving:
    """Accounts that an admin deletes, each a member of a project, with a private task; another has a task too."""

    def __init__(self, api: Api) -> None:
        self.root, self.ada, self._api = api.person("root", admin=True), api.person(), api
        self.here = make_project(self.ada)["id"]
        self.people: list[Person] = []

    def prepare(self) -> None:
        self.bob = self._api.person(f"bob{len(self.people)}")
        self.people.append(self.bob)
        add(self.ada, self.here, self.bob)
        self.his, self.hers = self.bob.task()["id"], self.ada.task()["id"]

    def take(self, db: Session) -> None:
        task_service.assign_task(db, caller(db, self.root), self.his, self.ada.id)

    def give(self, db: Session) -> None:
        task_service.assign_task(db, caller(db, self.root), self.hers, self.bob.id)

    def rename(self, db: Session) -> None:
        task_service.update_task(db, caller(db, self.root), self.his, {"title": "Renamed"})

    def delete(self, db: Session) -> None:
        removal.delete_account(db, caller(db, self.root), caller(db, self.bob), None, Portions(lambda: None))


def test_an_account_is_deleted_with_the_tasks_that_it_has_at_the_end(api: Api) -> None:
    world = Leaving(api)

    def call() -> Any:
        return world.root.delete(f"/users/{world.bob.id}?delete_tasks=true")

    for change in (world.take, world.rename):
        for answer in moments(call, change, world.prepare):
            assert answer.status_code == 200, (change, answer.text)
    for answer in moments(call, world.delete, world.prepare):
        assert_problem(answer, 404, "user_not_found")
    assert database.read(broken) == []
    history = database.read(lambda db: db.execute(text("SELECT changes FROM task_history")).scalars().all())
    assert "Renamed" not in str(history)


def test_an_account_hands_on_the_tasks_that_it_has_at_the_end(api: Api) -> None:
    world = Leaving(api)

    def call() -> Any:
        return world.root.delete(f"/users/{world.bob.id}?transfer_to={world.ada.id}")

    for answer in moments(call, world.give, world.prepare):
        assert answer.status_code == 200, answer.text
    assert database.read(broken) == []


@pytest.mark.parametrize("deleted", [True, False])
def test_an_account_leaves_a_project_from_which_it_is_being_removed(api: Api, *, deleted: bool) -> None:
    world = Leaving(api)
    world.prepare()
    path = f"/users/{world.bob.id}"

    def call() -> Any:
        if deleted:
            return world.root.delete(f"{path}?delete_tasks=true")
        return world.root.patch(path, json={"is_active": False})

    with ThreadPoolExecutor(1) as pool:
        with database.session_factory.begin() as removing:
            member.remove_member(removing, caller(removing, world.ada), world.here, world.bob.id)
            answer = pool.submit(call)
            wait_until(lambda: count(WAITS) == 1)
        assert answer.result(SECONDS).status_code == 200
    assert database.read(broken) == []


def test_an_account_that_gets_a_project_while_it_is_deleted_waits_for_nobody_who_waits_for_it(
    api: Api,
) -> None:
    world = Leaving(api)
    world.prepare()
    elsewhere, bob = make_project(world.ada)["id"], world.bob.id
    is_held, is_locked = threading.Event(), threading.Event()
    deleting: list[int] = []

    def write_there() -> None:
        """Write in a project a row that refers to the account, as others do."""
        with database.engine.begin() as connection:
            connection.execute(text(f"SELECT FROM projects WHERE id = {elsewhere} FOR UPDATE"))
            is_held.set()
            assert is_locked.wait(SECONDS)
            connection.execute(text(f"SELECT FROM users WHERE id = {bob} FOR KEY SHARE"))

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not deleting and re.search(r"FROM users\s+WHERE users.id = \S+ FOR UPDATE$", statement):
            deleting.append(threading.get_ident())
            add(world.ada, elsewhere, world.bob)
            writing.append(pool.submit(write_there))
            assert is_held.wait(SECONDS)
        elif [threading.get_ident()] == deleting and not is_locked.is_set():
            is_locked.set()
            wait_until(lambda: count(WAITS) == 1)

    writing: list[Any] = []
    engine = database._autocommit  # noqa: SLF001  # the engine behind every request
    event.listen(engine, "before_cursor_execute", note)
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = world.root.delete(f"/users/{bob}?delete_tasks=true")
            # Postgres ends one of two that wait for each other.
            writing[0].result(SECONDS)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert answer.status_code == 200
    assert database.read(broken) == []


def test_an_heir_takes_over_a_project_with_the_events_for_it(api: Api) -> None:
    root, ada, bob = api.person("root", admin=True), api.person(), api.person("bob")
    made = make_project(bob)["id"]
    bob.task(project_id=made)
    assert root.delete(f"/users/{bob.id}?transfer_to={ada.id}").status_code == 200
    assert [each["type"] for each in ada.get(f"/events?project_id={made}").json()][-3:] == [
        "member.added",
        "member.removed",
        "task.assigned",
    ]
    assert database.read(broken) == []


def test_an_account_that_is_deleted_meanwhile_gets_no_new_name(api: Api) -> None:
    root, people = api.person("root", admin=True), list[Person]()

    def delete(db: Session) -> None:
        removal.delete_account(db, caller(db, root), caller(db, people[-1]), None, Portions(lambda: None))

    for answer in moments(
        lambda: people[-1].patch("/auth/me", json={"username": "renamed"}),
        delete,
        lambda: people.append(api.person(f"bob{len(people)}")),
    ):
        assert_problem(answer, 401, "user_not_found")


def test_a_webhook_of_a_project_that_is_deleted_meanwhile_is_not_found(api: Api) -> None:
    ada = api.person()
    ids: dict[str, Any] = {}

    def prepare() -> None:
        ids["project"] = make_project(ada)["id"]
        body = {"url": "https://nowhere.invalid/", "types": ["task.*"], "project_id": ids["project"]}
        ids["hook"] = ada.post("/webhooks", json=body | {"enabled": False}).json()["id"]
        ids["event"] = ada.get("/events").json()[0]["id"]

    for answer in moments(
        lambda: ada.post(f"/webhooks/{ids['hook']}/replay", json={"after": ids["event"]}),
        lambda db: project.delete_project(
            db, caller(db, ada), ids["project"], "release", Portions(lambda: None)
        ),
        prepare,
    ):
        assert_problem(answer, 404, "webhook_not_found")


def test_a_login_counts_though_another_one_ends_the_count(api: Api) -> None:
    ada = api.person()
    form = {"username": ada.username, "password": PASSWORD}
    for answer in moments(
        lambda: ada.client.post("/auth/login", data=form),
        lambda db: db.execute(text("DELETE FROM attempts")),
        lambda: ada.client.post("/auth/login", data={**form, "password": "another one"}),
    ):
        assert answer.status_code == 200


def test_two_calls_at_once_share_the_last_free_place_of_a_calendar(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    monkeypatch.setattr(calendar, "MOST_CALENDARS", 1)
    values = {"view_id": None, "tz": "UTC", "expires_at": None}

    def prepare() -> None:
        database.write(lambda db: db.execute(text("DELETE FROM calendars")))

    for answer in moments(
        lambda: ada.post("/calendars", json={}),
        lambda db: calendar.create_calendar(db, caller(db, ada), values, "http://localhost"),
        prepare,
    ):
        assert_problem(answer, 409, "too_many_calendars")
    assert len(ada.get("/calendars").json()) == 1
