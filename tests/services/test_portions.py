"""Accounts and projects with very many tasks are deleted in several transactions, so that nobody waits for all of them."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import settings
from database import database
from models import tasks
from services import portions
from services.accounts import session
from services.tasks import many
from tables.history import task_history
from tests.routers.test_projects import add
from tests.routers.test_projects import project as make_project
from tests.support.api import PASSWORD, Api, Person, assert_problem
from tests.support.invariants import broken
from web import time_limit

PORTION, TASKS = 4, 11
SECRET = "zanzibar"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "TASKS", PORTION)
    monkeypatch.setattr(portions, "ROWS", 10)
    monkeypatch.setattr(many, "CHUNK", 2)


def count(*conditions: Any) -> int:
    found = select(func.count()).select_from(tasks).where(*conditions)
    return int(database.read(lambda db: db.execute(found).scalar_one()))


def at_commits(monkeypatch: pytest.MonkeyPatch, look: Callable[[], Any]) -> None:
    """Call `look` after each commit of this process."""
    before = database.after_commit

    def after_commit() -> None:
        look()
        before()

    monkeypatch.setattr(database, "after_commit", after_commit)


def numbers_at_commits(monkeypatch: pytest.MonkeyPatch, *conditions: Any) -> list[int]:
    """The number of the tasks that meet the conditions, now and after each commit from now on."""
    found = [count(*conditions)]
    at_commits(monkeypatch, lambda: found.append(count(*conditions)))
    return found


def with_tasks(person: Person, **fields: Any) -> None:
    for number in range(TASKS):
        made = person.task(f"{SECRET} {number}", description=SECRET, tags=[SECRET], **fields)
        person.post(f"/tasks/{made['id']}/comments", json={"text": SECRET})


def delete_me(person: Person) -> Any:
    return person.call("DELETE", "/auth/me", json={"password": PASSWORD})


def texts() -> str:
    columns = [task_history.c[name] for name in ("changes", "snapshot", "subject")]
    return str(database.read(lambda db: db.execute(select(*columns)).all()))


def went_in_portions(numbers: list[int]) -> bool:
    return numbers[0] >= TASKS and numbers[-1] == 0 and all(a - b <= PORTION for a, b in pairwise(numbers))


def test_an_account_goes_in_portions_and_leaves_no_words(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    boss, ada, bob = api.person("boss", admin=True), api.person(), api.person("bob")
    here = make_project(bob)["id"]
    add(bob, here, ada)
    shared = bob.task("Stays", project_id=here)["id"]
    ada.patch(f"/tasks/{shared}", json={"description": SECRET})
    bob.patch(f"/tasks/{shared}", json={"description": None})
    with_tasks(ada)
    boss.patch(f"/tasks/{ada.task()['id']}", json={"description": SECRET})
    numbers = numbers_at_commits(monkeypatch, tasks.c.user_id == ada.id)
    assert delete_me(ada).status_code == 200
    assert went_in_portions(numbers)
    assert SECRET not in texts().replace(f"'from': '{SECRET}', 'to': None", "")
    assert boss.get("/audit?kind=user_deleted").json()[0]["details"] == {
        "tasks": TASKS + 1,
        "transfer_to": None,
    }
    assert ada.get("/auth/me").status_code == 401
    assert database.read(broken) == []


def test_a_repeated_transaction_leaves_no_words(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = api.person(), api.person("bob")
    here = make_project(bob)["id"]
    add(bob, here, ada)
    shared = bob.task("Stays", project_id=here)["id"]
    for number in range(30):
        ada.patch(f"/tasks/{shared}", json={"description": f"{SECRET} {number}"})
    bob.patch(f"/tasks/{shared}", json={"description": None})
    write_async = database.write_async

    async def write_twice(work: Callable[[Session], Any], *, is_long: bool = False) -> Any:
        def repeated(db: Session) -> Any:
            with db.begin_nested() as undone:
                work(db)
                undone.rollback()
            return work(db)

        return await write_async(repeated, is_long=is_long)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(database, "write_async", write_twice)
        assert delete_me(ada).status_code == 200
    assert SECRET not in texts().replace(f"'from': '{SECRET} 29', 'to': None", "")
    assert database.read(broken) == []


def test_an_account_leaves_its_tasks_in_portions(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    boss, ada, bob = api.person("boss", admin=True), api.person(), api.person("bob")
    # Nobody else is in this project, so the heir gets it too.
    here = make_project(ada)["id"]
    with_tasks(ada, project_id=here)
    with_tasks(ada)
    numbers = numbers_at_commits(monkeypatch, tasks.c.user_id == ada.id)
    assert boss.delete(f"/users/{ada.id}?transfer_to={bob.id}").status_code == 200
    assert went_in_portions(numbers)
    assert count(tasks.c.user_id == bob.id) == 2 * TASKS
    told = bob.get("/notifications?limit=500").json()
    assert len({each["task_id"] for each in told if each["kind"] == "assigned"}) == 2 * TASKS
    assert bob.get(f"/projects/{here}").json()["role"] == "manager"
    assert database.read(broken) == []


def test_what_a_removal_did_is_kept_if_it_breaks_off_and_it_goes_on_when_it_is_repeated(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    with_tasks(ada)
    numbers = numbers_at_commits(monkeypatch, tasks.c.user_id == ada.id)
    ended: list[int] = []

    def end_session() -> None:
        if not ended and count(tasks.c.user_id == ada.id) < TASKS:
            ended.append(ada.id)
            database.write(lambda db: session.end_all(db, ada.id))

    with monkeypatch.context() as meanwhile:
        at_commits(meanwhile, end_session)
        assert delete_me(ada).status_code == 401
    assert numbers[-1] == TASKS - PORTION
    assert database.read(broken) == []
    ada.token = api.log_in("ada")
    assert len(ada.get("/tasks").json()) == TASKS - PORTION
    assert delete_me(ada).status_code == 200
    assert numbers[-1] == 0
    assert SECRET not in texts()
    assert database.read(broken) == []


def test_a_removal_that_is_refused_takes_no_task(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    add(ada, make_project(ada)["id"], bob)
    with_tasks(ada)
    assert_problem(delete_me(ada), 409, "last_manager")
    assert count(tasks.c.user_id == ada.id) == TASKS


def test_a_project_that_may_not_be_left_keeps_the_tasks_in_those_before_it(api: Api) -> None:
    boss, ada, bob = api.person("boss", admin=True), api.person(), api.person("bob")
    here = make_project(ada)["id"]
    add(ada, here, bob, "manager")
    with_tasks(ada, project_id=here)
    add(ada, make_project(ada, "Without another manager")["id"], bob)
    assert_problem(delete_me(ada), 409, "last_manager")
    assert_problem(boss.patch(f"/users/{ada.id}", json={"is_active": False}), 409, "last_manager")
    assert count(tasks.c.user_id == ada.id) == TASKS


@pytest.mark.parametrize("what", ["remove", "view", "switch off"])
def test_the_tasks_of_a_member_are_handed_over_in_portions(
    api: Api, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    boss, ada, bob = api.person("boss", admin=True), api.person(), api.person("bob")
    here = make_project(bob)["id"]
    add(bob, here, ada)
    with_tasks(ada, project_id=here)
    numbers = numbers_at_commits(monkeypatch, tasks.c.user_id == ada.id)
    member = f"/projects/{here}/members/{ada.id}?transfer_to={bob.id}"
    if what == "remove":
        assert bob.delete(member).status_code == 204
    elif what == "view":
        assert bob.put(member, json={"role": "viewer"}).json()["role"] == "viewer"
    else:
        assert boss.patch(f"/users/{ada.id}", json={"is_active": False}).json()["is_active"] is False
    assert went_in_portions(numbers)
    assert count(tasks.c.user_id == bob.id) == TASKS
    assert database.read(broken) == []


@pytest.mark.parametrize("what", ["delete", "release"])
def test_a_project_goes_in_portions_and_once_with_a_key(
    api: Api, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ada = api.person()
    here = make_project(ada)["id"]
    with_tasks(ada, project_id=here)
    numbers = numbers_at_commits(monkeypatch, tasks.c.project_id == here)
    path, key = f"/projects/{here}?tasks={what}", {"Idempotency-Key": "once"}
    assert ada.call("DELETE", path, headers={**key, "If-Match": '"1-0-x"'}).status_code == 412
    assert numbers[-1] == TASKS
    for is_replayed in (None, "true"):
        answer = ada.call("DELETE", path, headers=key)
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (204, is_replayed)
    assert went_in_portions(numbers)
    assert count() == (TASKS if what == "release" else 0)
    total = ada.get("/analytics/user-completion-stats").json()["total_tasks"]
    assert total == count()
    assert database.read(broken) == []


@pytest.mark.one_database
def test_a_portion_lets_its_request_take_the_whole_time_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "request_timeout_seconds", 3600)

    async def request() -> tuple[float | None, float | None]:
        scope: dict[str, Any] = {}
        async with time_limit.begin(scope) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 60)
            before = limit.when()
            time_limit.begin_again(scope)
            return before, limit.when()

    before, after = asyncio.run(request())
    assert before is not None
    assert after is not None
    assert after - before > 3000
