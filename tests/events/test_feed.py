"""The feed: everybody reads each event that they may see, once, in order."""

import asyncio
import itertools
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import delete, select, update

from config import settings
from database import database
from services.background_tasks.retention_tasks import hourly_round
from services.events import feed, sight
from tables.history import task_history
from tests.support.api import Api, Person, assert_problem
from tests.support.waiting import SECONDS
from web.events import waiting


def follow(person: Person, address: str = "/events") -> tuple[list[Any], str]:
    """The events at an address, and the address of the next ones."""
    answer = person.get(address)
    assert answer.status_code == 200, answer.text
    link = answer.headers["link"]
    assert link.endswith('>; rel="next"')
    parts = urlsplit(link[1:].partition(">")[0])
    return answer.json(), f"{parts.path}?{parts.query}"


def pages(person: Person, address: str) -> list[Any]:
    """The events of all pages, which have at least one each."""
    found, following = follow(person, address)
    return found + pages(person, following) if found else []


def types(events: list[Any]) -> list[str]:
    return [each["type"] for each in events]


def test_it_tells_what_happened_oldest_first_with_the_task_as_it_was(api: Api) -> None:
    ada = api.person()
    answer = ada.post("/tasks", json={"title": "Write"}, headers={"X-Request-ID": "made-by-ada"})
    task = answer.json()
    done = ada.patch(f"/tasks/{task['id']}", json={"status": "completed"}).json()
    ada.delete(f"/tasks/{task['id']}")
    (made, completed, deleted), following = follow(ada)
    assert types([made, completed, deleted]) == ["task.created", "task.status_changed", "task.deleted"]
    assert made["id"] < completed["id"] < deleted["id"]
    assert (made["actor_id"], made["request_id"]) == (ada.id, "made-by-ada")
    assert made["timestamp"] == task["created_at"]
    assert made["data"]["task"] == task
    assert (completed["data"]["task"], deleted["data"]["task"]) == (done, done)
    assert completed["data"]["changes"]["status"] == {"from": "pending", "to": "completed"}
    assert {made["data"]["task_id"], deleted["data"]["task_id"]} == {task["id"]}
    assert follow(ada, following) == ([], following)
    ada.task("Another")
    assert types(follow(ada, following)[0]) == ["task.created"]
    assert follow(ada, f"/events?after={made['id']}")[0][0] == completed


def test_pages_go_on_where_the_one_before_ended(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    for number in range(7):
        ada.task(f"Task {number}")
        bob.task("Another's")
    address, found = "/events?limit=3", []
    for expected in (3, 3, 1, 0):
        events, address = follow(ada, address)
        assert len(events) == expected
        found += events
    assert [each["data"]["task"]["title"] for each in found] == [f"Task {number}" for number in range(7)]


def test_types_projects_and_tasks_narrow_it(api: Api) -> None:
    ada = api.person()
    first, second = ada.task("first"), ada.task("second")
    ada.patch(f"/tasks/{first['id']}", json={"priority": 1})
    ada.patch(f"/tasks/{second['id']}", json={"status": "completed"})
    assert types(follow(ada, f"/events?task_id={first['id']}")[0]) == ["task.created", "task.updated"]
    wanted = "/events?types=task.updated&types=task.status_changed"
    assert types(follow(ada, wanted)[0]) == ["task.updated", "task.status_changed"]
    assert types(follow(ada, "/events?types=task.updated,task.status_changed")[0]) == types(
        follow(ada, wanted)[0]
    )
    assert len(follow(ada, "/events?types=task.*")[0]) == len(follow(ada, "/events?types=*")[0]) == 4
    # A page of one event finds a type that comes late all the same.
    events, following = follow(ada, "/events?types=task.status_changed&limit=1")
    assert types(events) == ["task.status_changed"]
    assert follow(ada, following)[0] == []
    assert follow(ada, "/events?types=comment.*")[0] == []


def test_no_page_is_empty_while_an_event_that_is_asked_for_follows(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_EXAMINED", 2)
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    task = ada.task()
    for priority in (1, 2, 3, 4, 3, 2):
        ada.patch(f"/tasks/{task['id']}", json={"priority": priority})
    ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
    of_task = f"/events?task_id={task['id']}"
    for person, address in (
        (ada, "/events?types=task.assigned&scope=own"),
        (bob, f"{of_task}&limit=1"),
        (root, f"{of_task}&types=task.assigned"),
        (root, "/events?scope=all&types=task.assigned"),
    ):
        events, following = follow(person, address)
        assert types(events) == ["task.assigned"]
        assert follow(person, following)[0] == []
        # An event that is there already is answered at once, wherever it stands in the feed.
        began = time.monotonic()
        assert follow(person, f"{address}&wait=30")[0] == events
        assert time.monotonic() - began < 25
    assert follow(ada, "/events?types=task.deleted")[0] == []
    newest = follow(ada)[0][-1]["id"]
    assert_problem(ada.get(f"/events?project_id=7&after={newest}"), 404, "project_not_found")


def test_the_task_of_an_event_is_the_task_after_it_wherever_it_went(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "manager"})
    own, shared, taken = ada.task(), ada.task(project_id=project), ada.task(project_id=project)
    moved = ada.patch(f"/tasks/{own['id']}", json={"project_id": project}).json()
    assert follow(ada)[0][-1]["data"]["task"] == moved
    bob.patch(f"/tasks/{taken['id']}", json={"project_id": None})
    ada.patch(f"/tasks/{own['id']}", json={"project_id": None, "priority": 4})
    future = {"title": "from elsewhere", "updated_at": "2999-01-01T00:00:00Z"}
    (imported,) = ada.post("/tasks/import", json=[future]).json()["ids"]
    assert root.delete(f"/users/{ada.id}", params={"transfer_to": bob.id}).status_code == 200
    told = {each["data"]["task_id"]: each["data"]["task"] for each in follow(bob)[0]}
    for task_id in (own["id"], shared["id"], taken["id"], imported):
        assert told[task_id] == bob.get(f"/tasks/{task_id}").json()
    # The time of the last change does not go back, so whoever asks for what changed since then misses nothing.
    assert told[imported]["updated_at"] == "2999-01-01T00:00:00Z"
    bob.delete(f"/tasks/{shared['id']}")
    last = follow(bob, f"/events?project_id={project}")[0][-1]
    assert (last["type"], last["data"]["project_id"]) == ("task.deleted", project)


def test_whoever_gives_a_task_away_sees_that_as_the_last_of_it(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    task = ada.task()
    ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
    bob.patch(f"/tasks/{task['id']}", json={"priority": 4})
    assert types(follow(ada)[0]) == ["task.created", "task.assigned"]
    assert types(follow(bob)[0]) == ["task.assigned", "task.updated"]
    assert follow(root)[0] == []
    assert types(follow(root, "/events?scope=all")[0]) == ["task.created", "task.assigned", "task.updated"]
    assert_problem(ada.get("/events?scope=all"), 403, "admin_required")


def test_what_can_not_be_gone_on_from_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = api.person()
    ada.task("A task")
    for priority in (1, 2):
        ada.patch("/tasks/1", json={"priority": priority})
    (first, second, third), _ = follow(ada)
    for unknown in (
        "nonsense",
        "",
        "evt_ffffffffffffffff",
        "evt_7fffffffffffffff",
        "evt_0000000000000000",
        "1",
    ):
        assert_problem(ada.get(f"/events?after={unknown}"), 422, pointer="?after")
    for query in ("wait=31", "limit=501", "types=task.exploded", "scope=mine", "cursor=x"):
        assert_problem(ada.get(f"/events?{query}"), 422)
    old = datetime.now(UTC) - timedelta(days=31)
    age = update(task_history).where(task_history.c.id <= int(second["id"][4:], 16)).values(created_at=old)
    database.write(lambda db: db.execute(age))
    assert_problem(ada.get(f"/events?after={first['id']}"), 410, "events_expired")
    assert follow(ada)[0] == [third]
    # The hourly job deletes the copies of tasks that nobody can read any more; the history stays.
    hourly_round()
    kept = database.read(
        lambda db: list(db.execute(select(task_history.c.snapshot).order_by(task_history.c.id)))
    )
    assert [row.snapshot is None for row in kept] == [True, True, False]
    assert follow(ada)[0] == [third]
    # The feed of an operator who keeps events for longer goes back as far at once.
    monkeypatch.setattr(settings, "retention_events_days", 40)
    assert [each["id"] for each in follow(ada)[0]] == [first["id"], second["id"], third["id"]]


def test_an_event_with_a_time_long_ago_is_gone_on_from_like_its_neighbours(api: Api) -> None:
    ada = api.person()
    ada.task("A task")
    for priority in (1, 2):
        ada.patch("/tasks/1", json={"priority": priority})
    events, _ = follow(ada)
    # The clock was behind for a moment.
    behind = update(task_history).where(task_history.c.id == int(events[1]["id"][4:], 16))
    long_ago = datetime.now(UTC) - timedelta(days=60)
    database.write(lambda db: db.execute(behind.values(created_at=long_ago)))
    assert [each["id"] for each in pages(ada, "/events?limit=1")] == [each["id"] for each in events]


def test_an_event_that_the_retention_of_history_deleted_is_gone(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    # This row is kept for ever, so that deleted rows lie between others.
    ada.post("/projects", json={"name": "Research"})
    ada.task("A task")
    ada.patch("/tasks/1", json={"priority": 1})
    (_, second, third), _ = follow(ada)
    old = datetime.now(UTC) - timedelta(days=41)
    database.write(lambda db: db.execute(update(task_history).values(created_at=old)))
    monkeypatch.setattr(settings, "retention_history_days", 40)
    hourly_round()
    for deleted in (second, third):
        assert_problem(ada.get(f"/events?after={deleted['id']}"), 410, "events_expired")
    assert_problem(ada.get("/events?after=nonsense"), 422, pointer="?after")
    ada.patch("/tasks/1", json={"priority": 2})
    # An operator who keeps the history again has the gap still.
    monkeypatch.setattr(settings, "retention_history_days", None)
    assert_problem(ada.get(f"/events?after={second['id']}"), 410, "events_expired")
    (newest,), _ = follow(ada)
    assert follow(ada, f"/events?after={newest['id']}")[0] == []


def test_waiting_is_answered_as_soon_as_there_is_an_event(api: Api) -> None:
    ada = api.person()
    ada.task("before")
    _, following = follow(ada)
    began = time.monotonic()
    assert follow(ada, f"{following}&wait=0.3")[0] == []
    assert time.monotonic() - began >= 0.3
    later = threading.Timer(0.3, lambda: ada.task("meanwhile"))
    later.start()
    began = time.monotonic()
    events, _ = follow(ada, f"{following}&wait=30")
    assert types(events) == ["task.created"]
    assert time.monotonic() - began < 25
    later.join()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_many_waiting_reads_look_seldom_however_much_is_written(api: Api) -> None:
    ada, looks, readers = api.person(), 0, 200

    async def look() -> bool:
        nonlocal looks
        looks += 1
        return False

    async def wait() -> float:
        reading = [asyncio.create_task(waiting.wait_for_events(look, SECONDS)) for _ in range(readers)]
        began = time.monotonic()
        await asyncio.to_thread(lambda: [ada.task() for _ in range(40)])
        waiting.end_all()
        await asyncio.gather(*reading)
        return time.monotonic() - began

    took = asyncio.run(wait())
    # The 2 are the first look and the one that ends the waiting.
    assert looks <= readers * (took / waiting.LONGEST_SPACING_SECONDS + 2)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_an_open_transaction_may_still_add_is_waited_for(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SETTLING_SECONDS", (0.01,))
    ada, root = api.person(), api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    task = ada.task("before", project_id=project)["id"]
    newest = follow(ada)[0][-1]["id"]
    # This event is decided.
    ada.put(f"/tasks/{task}/blocked", json={"reason": "waits"})
    assert types(follow(ada, f"/events?after={newest}")[0]) == ["task.blocked"]
    rare = "types=task.blocked,task.moved,task.unblocked"
    questions = [(ada, ""), (ada, f"task_id={task}"), (ada, rare), (ada, f"project_id={project}&{rare}")]
    questions += [(root, "scope=all"), (root, f"scope=all&{rare}"), (root, f"task_id={task}")]
    readings = [(person, f"/events?after={newest}&{asked}") for person, asked in questions]
    with psycopg.connect(database_url) as connection:
        # This transaction writes something else before its event, as the program's own transactions do.
        connection.execute("UPDATE users SET email_verified_at = now()")
        connection.execute(
            "INSERT INTO task_history"
            " (task_id, actor_id, kind, created_at, changes, owner_id, previous_project_id, status)"
            f" VALUES ({task}, {ada.id}, 'moved', now(), '{{}}', {ada.id}, {project}, 'pending')"
        )
        ada.delete(f"/tasks/{task}/blocked")
        for person, address in readings:
            assert types(follow(person, address)[0]) == ["task.blocked"]
        connection.commit()
    for person, address in readings:
        assert types(follow(person, address)[0]) == ["task.blocked", "task.moved", "task.unblocked"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_is_just_written_is_there_though_other_transactions_are_open_for_a_moment(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    _, following = follow(ada)
    monkeypatch.setattr(waiting, "SETTLING_SECONDS", [0.05] * 600)
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE held (id int)")
        ada.task("Written meanwhile")
        ending = threading.Timer(0.05, connection.rollback)
        ending.start()
        assert types(follow(ada, following)[0]) == ["task.created"]
        ending.join()


def test_members_see_a_project_from_the_event_that_made_them_one_to_the_one_that_ends_it(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    before = ada.task("Adopted", project="Launch")
    project = ada.post("/projects", json={"name": "Launch", "adopt_tasks": True}).json()
    earlier = ada.task("Before bob", project_id=project["id"])
    member = f"/projects/{project['id']}/members/{bob.id}"
    ada.put(member, json={"role": "member"})
    shared = ada.task("For both", project_id=project["id"])
    bob.post(f"/tasks/{shared['id']}/comments", json={"text": "I begin"})
    bob.put(f"/tasks/{shared['id']}/blocked", json={"reason": "waits"})
    ada.delete(member)
    later = ada.task("After bob", project_id=project["id"])
    ada.patch(f"/projects/{project['id']}", json={"description": "Ours"})
    ada.put(member, json={"role": "viewer"})
    ada.patch(f"/tasks/{before['id']}", json={"project_id": None})
    ada.patch(f"/tasks/{before['id']}", json={"priority": 2})
    assert ada.delete(f"/projects/{project['id']}?tasks=release").status_code == 204

    (first, *rest), _ = follow(bob)
    assert (first["type"], first["data"]["member"]["user_id"]) == ("member.added", bob.id)
    assert types(rest) == [
        *("task.created", "comment.created", "task.blocked", "member.removed"),
        *("member.added", "task.moved"),
        *["task.moved"] * 3,
        "project.deleted",
    ]
    assert rest[1]["data"]["comment"]["text"] == "I begin"
    assert rest[3]["data"]["changes"] == {"role": {"from": "member", "to": None}}
    assert (rest[1]["data"]["task_id"], rest[1]["data"]["project_id"]) == (shared["id"], project["id"])
    assert rest[1]["data"]["task"] == shared
    assert rest[-1]["data"]["project"]["name"] == "Launch"
    of_project = f"/events?project_id={project['id']}"
    assert follow(bob, of_project)[0] == [first, *rest]
    # These tasks were made next to a border of the membership, on its other side; their project's end was within.
    for task in (earlier, later):
        assert types(follow(bob, f"/events?task_id={task['id']}")[0]) == ["task.moved"]
    everything = follow(root, of_project)[0]
    assert types(everything)[0] == "project.created"
    assert [each for each in everything if each["data"]["task_id"] == shared["id"]] == [
        each
        for each in follow(ada, f"/events?task_id={shared['id']}")[0]
        if each["data"]["project_id"] is not None or each["type"] == "task.moved"
    ]
    # The owner sees what happened to the task before, within, and after the project.
    own = types(follow(ada, f"/events?task_id={before['id']}")[0])
    assert own == ["task.created", "task.moved", "task.moved", "task.updated"]
    assert_problem(api.person("eve").get(of_project), 404, "project_not_found")
    assert follow(root)[0] == []
    for person, address in ((ada, "/events?"), (bob, f"{of_project}&"), (root, "/events?scope=all&")):
        every = follow(person, f"{address}limit=500")[0]
        names = sorted({each["type"] for each in every})
        for asked in [*itertools.pairwise(names), *zip(names, names[4:], names[2:], strict=False)]:
            wanted = [each for each in every if each["type"] in asked]
            assert pages(person, f"{address}limit=2&types={','.join(asked)}") == wanted


def test_events_older_than_the_copies_of_tasks_have_the_task_too(api: Api) -> None:
    ada = api.person()
    task = ada.task("Write", tags=["a"], due_at="2030-01-01T00:00:00Z", priority=1)
    path = f"/tasks/{task['id']}"
    ada.patch(path, json={"title": "Write well", "description": "Two pages", "due_at": None})
    ada.patch(path, json={"status": "completed"})
    other = ada.task("Another")
    ada.delete(path)
    ada.post("/tasks/import", json=[{"title": "From elsewhere", "created_at": "2020-01-01T00:00:00Z"}])
    events = follow(ada)[0]
    database.write(lambda db: db.execute(update(task_history).values(snapshot=None)))
    # The history does not have the time that an import gave as that of the last change.
    events[-1]["data"]["task"]["updated_at"] = events[-1]["timestamp"]
    assert follow(ada)[0] == events
    # Events can't show a task if the history lacks the entry of its creation.
    database.write(lambda db: db.execute(delete(task_history).where(task_history.c.id == 1)))
    imported = events[-1]["data"]["task"]
    assert [each["data"]["task"] for each in follow(ada)[0]] == [None, None, other, None, imported]


def test_an_event_that_lost_its_texts_with_an_account_has_no_task(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Ship"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    task = bob.task("Write", project_id=project, tags=["a"])
    path = f"/tasks/{task['id']}"
    bob.patch(path, json={"priority": 2})
    bob.post(f"{path}/comments", json={"text": "Soon"})
    ada.patch(path, json={"title": "Write well"})
    address = f"/events?task_id={task['id']}"
    before = follow(ada, address)[0]
    assert root.delete(f"/users/{bob.id}?transfer_to={ada.id}").is_success
    tasks = [each["data"]["task"] for each in follow(ada, address)[0]]
    assert tasks == [None, None, None, before[3]["data"]["task"], ada.get(path).json()]


def test_a_page_with_long_texts_ends_early_and_none_is_missing(api: Api) -> None:
    ada = api.person()
    tasks = [{"title": str(number), "description": "x" * 60_000} for number in range(70)]
    ids = ada.post("/tasks/import", json=tasks).json()["ids"]
    # Those behind them are short, and the page that has the last long one is filled with them.
    ids += ada.post("/tasks/import", json=[{"title": "short"}] * 120).json()["ids"]
    first = ada.get("/events?limit=500")
    # Half of the characters are in the changes, and half in the tasks.
    assert len(first.json()) == feed.LONGEST_PAGE // 120_000 + 1
    assert [each["data"]["task_id"] for each in pages(ada, "/events?limit=500")] == ids


@pytest.mark.parametrize("asked", ["task.*", "task.created,task.updated", "member.added,task.moved"])
def test_many_projects_are_read_in_one_order(api: Api, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    query = "&".join(f"types={each}" for each in asked.split(","))
    ada, bob = api.person(), api.person("bob")
    projects = [ada.post("/projects", json={"name": f"Project {number}"}).json()["id"] for number in range(4)]
    for project in projects[1:]:
        ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    for turn in range(3):
        made = [ada.task(f"Turn {turn}", project_id=project)["id"] for project in projects]
        for task in made:
            ada.patch(f"/tasks/{task}", json={"priority": 1})
        ada.patch(f"/tasks/{made[-1]}", json={"project_id": projects[turn]})
        bob.task("His own")
    everything = pages(api.person("root", admin=True), f"/events?scope=all&limit=500&{query}")
    # All that happened is in one of Ada's projects, or in Bob's own list.
    hers = [each for each in everything if each["data"]["project_id"]]
    his = [each for each in everything if each["data"]["project_id"] not in projects[:1]]
    # A statement of so few parts is followed by others.
    monkeypatch.setattr(sight, "MOST_BRANCHES", 3)
    assert pages(ada, f"/events?limit=2&{query}") == hers
    # He also sees what goes from his projects into the one that he is not in.
    assert [each for each in pages(bob, f"/events?limit=2&{query}") if each in his] == his
