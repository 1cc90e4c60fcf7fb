"""Flow of histories that the tests make: started, reopened, deleted, assigned, imported."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from tests.support.api import Api, Person
from tests.support.flow import HOUR, assert_durations, figures


class Clock:
    """Somebody who makes calls at times that the test chooses."""

    def __init__(self, api: Api, start: datetime, travel: Callable[[datetime], None]) -> None:
        self.api, self.start, self._travel = api, start, travel
        self.people: dict[str, Person] = {}

    def at(self, hours: float, username: str = "ada", *, admin: bool = False) -> Person:
        """The person, logged in at this number of hours after the start."""
        self._travel(self.start + timedelta(hours=hours))
        if username not in self.people:
            self.people[username] = self.api.person(username, admin=admin)
        else:
            self.people[username].token = self.api.log_in(username)
        return self.people[username]


@pytest.fixture
def clock(api: Api) -> Any:
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)  # a Monday
    with time_machine.travel(start, tick=False) as traveller:
        yield Clock(api, start, traveller.move_to)


def move(person: Person, task: dict[str, Any], status: str) -> None:
    assert person.put(f"/tasks/{task['id']}", json={"status": status}).status_code == 200


@pytest.mark.one_database
def test_cycle_time_begins_with_the_first_in_progress(clock: Clock) -> None:
    ada = clock.at(0)
    worked_on, never_started = ada.task("worked on"), ada.task("never started")
    move(clock.at(10), worked_on, "in_progress")
    move(clock.at(20), worked_on, "pending")
    move(clock.at(25), worked_on, "in_progress")
    move(clock.at(40), worked_on, "completed")
    ada = clock.at(44)
    move(ada, never_started, "completed")
    found = figures(clock.at(50), "flow")["current"]
    assert_durations(found["cycle_time"], [30 * HOUR, 44 * HOUR])
    assert_durations(found["lead_time"], [40 * HOUR, 44 * HOUR])
    assert found["cycle_time"]["never_started"] == 1
    pending, in_progress, done = figures(ada, "time-in-status")["statuses"]
    assert_durations(pending, [15 * HOUR, 44 * HOUR])
    assert_durations(in_progress, [25 * HOUR])
    assert done["n"] == 0


@pytest.mark.one_database
def test_a_reopened_task_counts_when_it_is_completed_again(clock: Clock) -> None:
    task = clock.at(0).task()
    move(clock.at(2), task, "in_progress")
    move(clock.at(4), task, "completed")
    assert figures(clock.at(5), "flow")["current"]["throughput"] == 1
    move(clock.at(30), task, "in_progress")
    ada = clock.at(31)
    found = figures(ada, "flow")["current"]
    assert (found["throughput"], found["work_in_progress"]) == (0, 1)
    move(clock.at(50), task, "completed")
    ada = clock.at(51)
    assert_durations(figures(ada, "flow")["current"]["cycle_time"], [48 * HOUR])
    pending, in_progress, done = figures(ada, "time-in-status")["statuses"]
    assert_durations(pending, [2 * HOUR])
    assert_durations(in_progress, [22 * HOUR])
    assert_durations(done, [26 * HOUR])
    days = figures(ada, "cumulative-flow?interval=day&from=2026-03-02")["intervals"]
    # The task was completed at the first midnight, in progress at the second, and is completed now.
    assert [(day["in_progress"], day["completed"]) for day in days] == [(0, 1), (1, 0), (0, 1)]


@pytest.mark.one_database
def test_a_deleted_task_counts_until_then(clock: Clock) -> None:
    task = clock.at(0).task(project="Research")
    clock.at(20).delete(f"/tasks/{task['id']}")
    ada = clock.at(50)
    for narrowed, count in (("", 1), ("&project=Research", 1), ("&project=Other", 0)):
        days = figures(ada, f"cumulative-flow?interval=day&from=2026-03-02{narrowed}")
        assert [day["pending"] for day in days["intervals"]] == [count, 0, 0]
        day = figures(ada, f"cumulative-flow?from=2026-03-02&to=2026-03-03T03:00:00Z{narrowed}")
        assert [each["pending"] for each in day["intervals"]] == [count]
        assert day["n"] == count
        # The task was gone before these days.
        later = figures(ada, f"cumulative-flow?interval=day&from=2026-03-04{narrowed}")
        assert (later["at_start"]["pending"], later["n"]) == (0, 0)
    assert figures(ada, "throughput")["n_created"] == 0


@pytest.mark.one_database
def test_an_assigned_task_counts_for_each_while_it_is_theirs(clock: Clock) -> None:
    bob = clock.at(0, "bob")
    task = clock.at(0).task(project="Research", tags=["mine"])
    move(clock.at(10), task, "in_progress")
    ada = clock.at(20)
    assert ada.put(f"/tasks/{task['id']}/assign?assigned_user_id={bob.id}").status_code == 200
    bob = clock.at(30, "bob")
    bob.put(f"/tasks/{task['id']}", json={"project": "Elsewhere", "tags": []})
    move(clock.at(39, "bob"), task, "completed")
    ada, bob = clock.at(50), clock.at(50, "bob")

    def days(person: Person, narrowed: str = "") -> list[tuple[int, int]]:
        found = figures(person, f"cumulative-flow?interval=day&from=2026-03-02{narrowed}")
        return [(each["in_progress"], each["completed"]) for each in found["intervals"]]

    # The first midnight is 16 hours after the start, when the task is still hers.
    assert days(ada) == [(1, 0), (0, 0), (0, 0)]
    assert days(bob) == [(0, 0), (0, 1), (0, 1)]
    # For her the task counts with the values that it had when it left her.
    assert days(ada, "&project=Research&tag=mine") == days(ada)
    assert days(ada, "&project=Elsewhere") == [(0, 0)] * 3
    assert days(bob, "&project=Elsewhere") == days(bob)
    # The task was started while it was hers, and it counts in his throughput.
    assert_durations(figures(bob, "flow")["current"]["cycle_time"], [29 * HOUR])
    assert figures(ada, "flow")["n"] == 0


def test_an_import_that_is_reopened_keeps_its_past(clock: Clock) -> None:
    ada = clock.at(0)
    row = {"title": "old", "status": "completed"}
    row |= {"created_at": "2026-02-01T00:00:00Z", "completed_at": "2026-02-10T00:00:00Z"}
    ada.post("/tasks/import", json=[row])
    move(ada, {"id": 1}, "in_progress")
    found = figures(ada, "cumulative-flow?from=2026-01-31&to=2026-03-02&interval=day")["intervals"]
    by_day = {each["date"]: (each["pending"], each["in_progress"], each["completed"]) for each in found}
    assert by_day["2026-01-31"] == (0, 0, 0)
    assert by_day["2026-02-01"] == by_day["2026-02-09"] == (1, 0, 0)
    assert by_day["2026-02-10"] == by_day["2026-03-01"] == (0, 0, 1)
    assert by_day["2026-03-02"] == (0, 1, 0)


@pytest.mark.one_database
def test_the_oldest_open_task_comes_first_by_its_work_item_age(clock: Clock) -> None:
    ada = clock.at(0)
    started, waiting, past = ada.task("started late"), ada.task("waiting"), ada.task("past")
    move(clock.at(10), past, "completed")
    ada = clock.at(20)
    move(ada, started, "in_progress")
    found = figures(clock.at(26), "aging")
    assert [(task["title"], task["age_hours"], task["never_started"]) for task in found["tasks"]] == [
        ("waiting", 26.0, True),
        ("started late", 6.0, False),
    ]
    assert [task["age_percentile"] for task in found["tasks"]] == [100.0, 0.0]
    assert waiting["id"] == found["tasks"][0]["id"]


def test_figures_of_any_of_several_projects_tags_and_priorities(api: Api) -> None:
    ada = api.person()
    for number, tags in enumerate((["x"], ["y"], ["x", "y"], ["z"])):
        ada.task(str(number), tags=tags, priority=number, project=f"p{number}")
    gone = ada.task("gone", tags=["y"], project="p1")
    ada.delete(f"/tasks/{gone['id']}")
    for query, found, with_deleted in (
        ("tag=x&tag=y", 3, 1),
        ("tag=y&tag=x&tag=x", 3, 1),
        ("tag=x", 2, 0),
        ("project=p1&project=%20p3", 2, 1),
        ("priority=2&priority=3", 2, 0),
        ("tag=x&tag=y&project=p0&project=p1&priority=0&priority=4", 1, 1),
    ):
        answer = ada.get(f"/analytics/throughput?{query}&from=2026-01-01").json()
        assert answer["n_created"] == found, query
        everything = ada.get(f"/analytics/cumulative-flow?{query}").json()
        assert everything["n"] == found + with_deleted, query
        listed = ada.get(answer["links"]["created"]).json()
        assert len(listed) == found
    made = ada.post("/analytics/pictures", json={"chart": "aging", "query": {"tag": "x", "priority": [0, 2]}})
    assert ada.client.get(made.json()["url"]).status_code == 200


def test_a_task_that_comes_back_keeps_what_others_did_to_it(clock: Clock) -> None:
    bob, ada = clock.at(0, "bob"), clock.at(0)
    task = ada.task(tags=["mine"])
    assert clock.at(10).put(f"/tasks/{task['id']}/assign?assigned_user_id={bob.id}").status_code == 200
    move(clock.at(12, "bob"), task, "in_progress")
    assert clock.at(30, "bob").put(f"/tasks/{task['id']}/assign?assigned_user_id={ada.id}").status_code == 200
    ada = clock.at(40)
    (aging,) = figures(ada, "aging")["tasks"]
    assert (aging["age_hours"], aging["never_started"]) == (28.0, False)
    move(ada, task, "completed")
    ada = clock.at(41)
    assert_durations(figures(ada, "flow")["current"]["cycle_time"], [28 * HOUR])
    pending, in_progress, _ = figures(ada, "time-in-status")["statuses"]
    assert_durations(pending, [12 * HOUR])
    assert_durations(in_progress, [28 * HOUR])
    days = figures(ada, "cumulative-flow?interval=day&from=2026-03-02")["intervals"]
    # At the first midnight the task was bob's, and at the second it was not completed yet.
    counted = [(day["pending"], day["in_progress"], day["completed"]) for day in days]
    assert counted == [(0, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_a_task_that_came_back_is_chosen_by_what_it_is_now(clock: Clock) -> None:
    bob, ada = clock.at(0, "bob"), clock.at(0)
    task = ada.task(tags=["then"])
    assert ada.put(f"/tasks/{task['id']}/assign?assigned_user_id={bob.id}").status_code == 200
    assert bob.put(f"/tasks/{task['id']}/assign?assigned_user_id={ada.id}").status_code == 200
    assert ada.patch(f"/tasks/{task['id']}", json={"tags": ["now"]}).status_code == 200
    for tag, count in (("now", 1), ("then", 0)):
        found = figures(ada, f"burnup?tag={tag}")
        assert (found["n"], found["intervals"][-1]["scope"]) == (count, count)
        assert figures(ada, f"cumulative-flow?tag={tag}")["n"] == count
