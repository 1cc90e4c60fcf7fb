"""Flow figures with a filter: they count the tasks that the filter finds, and no others."""

import os
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import time_machine

from config import settings
from database import database
from models import Caller
from services import task_service
from tests.support.api import Api, Person, assert_problem
from tests.support.filters import ZONES, Oracle, RandomFilters, random_task
from tests.support.flow import (
    HOUR,
    NEVER,
    STATUSES,
    Lives,
    approximately,
    assert_durations,
    edges_of_months,
    micro,
    midnight,
)

NOW = datetime(2026, 11, 27, 23, 59, 59, 999_999, tzinfo=UTC)
# The endpoints, with the parameters that each needs besides the filter and the period.
PATHS: dict[str, dict[str, object]] = {
    "flow": {},
    "throughput": {"interval": "month"},
    "cumulative-flow": {"interval": "month"},
    "burnup": {"interval": "month"},
    "time-in-status": {},
    "aging": {"limit": 500},
    "cycle-times": {"limit": 500},
}
FILTERS = int(os.environ.get("RANDOM_FLOW_FILTERS", "6"))
SEED = int(os.environ.get("RANDOM_SEED", "20261127"))
BEGAN = NOW - timedelta(days=70)
PERIODS = ((date(2024, 1, 1), date(2026, 11, 27)), (date(2026, 10, 20), date(2026, 11, 26)))


def lives_of(api: Api, chance: random.Random, now: Any) -> tuple[Person, list[Any], Lives]:
    """Somebody with tasks that were imported and then moved to and fro, and the lives of these tasks."""
    now.move_to(BEGAN)
    ada = api.person("ada")
    rows = [random_task(chance) for _ in range(80)]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    tasks = ada.get("/tasks?limit=500&sort_by=id&sort_order=asc").json()
    lives = []
    for row in rows:
        came, status = micro(datetime.fromisoformat(row["created_at"])), row["status"]
        life = [(came, "pending" if status == "completed" else status)]
        if status == "completed":
            life.append((micro(datetime.fromisoformat(row["completed_at"])), status))
        lives.append(life)
    caller = Caller(ada.id, ada.username, "", is_active=True, role="member", created_at=BEGAN)
    for minute in sorted(chance.sample(range(69 * 24 * 60), 150)):
        at = BEGAN + timedelta(minutes=minute)
        place, status = chance.randrange(len(rows)), chance.choice(STATUSES)
        life = lives[place]
        if status != life[-1][1] and micro(at) > life[-1][0]:
            now.move_to(at)
            task_id, fields = tasks[place]["id"], {"status": status}
            database.write(lambda db: task_service.update_task(db, caller, task_id, fields))  # noqa: B023
            life.append((micro(at), status))
    now.move_to(NOW)
    ada.token = api.log_in("ada")
    return ada, ada.get("/tasks?limit=500&sort_by=id&sort_order=asc").json(), Lives(lives)


class Expected:
    """The figures of the chosen tasks in a period, by NumPy; each method checks an answer."""

    def __init__(self, lives: Lives, chosen: Any, days: tuple[date, date], tz: str, ids: Any) -> None:
        self.lives, self.chosen, self.ids = lives, chosen, ids
        self.first, self.behind, self.tz = days[0], days[1] + timedelta(days=1), tz
        self.start, self.end = midnight(self.first, tz), midnight(self.behind, tz)
        self.done = lives.completed_within(chosen, self.start, self.end)
        self.edges = edges_of_months(self.first, self.behind, tz, NEVER)
        self.past_edges = edges_of_months(self.first, self.behind, tz, micro(NOW) + 1)

    def flow(self, answer: Any) -> None:
        start_before = midnight(self.first - (self.behind - self.first), self.tz)
        for name, start, end in (
            ("current", self.start, self.end),
            ("previous", start_before, self.start),
        ):
            part, done = answer[name], self.lives.completed_within(self.chosen, start, end)
            assert part["throughput"] == done.sum()
            at = self.lives.codes_before([min(end, micro(NOW) + 1)])[self.chosen]
            assert part["work_in_progress"] == (at == 1).sum()
            if done.any():
                assert_durations(part["lead_time"], (self.lives.completed - self.lives.created)[done] / 1e6)
                assert_durations(part["cycle_time"], self.lives.cycle_seconds(done))
            assert part["cycle_time"]["never_started"] == (self.lives.started[done] == NEVER).sum()

    def throughput(self, answer: Any) -> None:
        for name, times in (("created", self.lives.created), ("completed", self.lives.completed)):
            counts = np.histogram(times[self.chosen & (times < self.end)], [*self.edges[:-1], self.end])[0]
            assert [each[name] for each in answer["intervals"]] == counts.tolist()
        assert (answer["n"], answer["n_created"]) == (
            self.done.sum(),
            (self.chosen & (self.lives.created >= self.start) & (self.lives.created < self.end)).sum(),
        )

    def cumulative_flow(self, answer: Any) -> None:
        codes = self.lives.codes_before(self.past_edges)[self.chosen]
        counts = [
            [int((codes[:, place] == code).sum()) for code in range(3)] for place in range(codes.shape[1])
        ]
        told = [answer["at_start"], *answer["intervals"]]
        assert [[each[status] for status in STATUSES] for each in told] == counts

    def burnup(self, answer: Any) -> None:
        codes = self.lives.codes_before(self.past_edges[1:])[self.chosen]
        assert [each["scope"] for each in answer["intervals"]] == (codes >= 0).sum(axis=0).tolist()
        assert [each["completed"] for each in answer["intervals"]] == (codes == 2).sum(axis=0).tolist()

    def time_in_status(self, answer: Any) -> None:
        assert answer["n"] == self.done.sum()
        for code, part in enumerate(answer["statuses"]):
            seconds = self.lives.seconds_in(code, self.done)
            assert part["n"] == len(seconds)
            if seconds:
                assert_durations(part, seconds)

    def aging(self, answer: Any) -> None:
        opened = np.flatnonzero(self.chosen & self.lives.is_open)
        order = opened[np.lexsort((self.ids[opened], self.lives.since[opened]))]
        assert [task["id"] for task in answer["tasks"]] == self.ids[order].tolist()
        ages = np.maximum(micro(NOW) - self.lives.since[order], 0) / 1e6
        assert [task["age_hours"] for task in answer["tasks"]] == approximately((ages / HOUR).tolist())
        if self.done.any():
            past = self.lives.cycle_seconds(self.done)
            shares = [100 * float((past <= age).mean()) for age in ages]
            assert [task["age_percentile"] for task in answer["tasks"]] == approximately(shares)

    def cycle_times(self, answer: Any) -> None:
        done = np.flatnonzero(self.done)
        order = done[np.lexsort((self.ids[done], self.lives.completed[done]))[::-1]]
        assert [task["id"] for task in answer["tasks"]] == self.ids[order].tolist()
        seconds = (self.lives.completed - self.lives.since)[order] / 1e6
        assert [task["cycle_time_hours"] for task in answer["tasks"]] == approximately(
            (seconds / HOUR).tolist()
        )


def test_figures_with_a_filter_are_what_numpy_makes_of_the_tasks_it_finds(api: Api) -> None:
    chance = random.Random(SEED)  # noqa: S311  # a test that can be run again
    with time_machine.travel(NOW, tick=False) as now:
        ada, tasks, lives = lives_of(api, chance, now)
        ids = np.array([task["id"] for task in tasks])
        filters = RandomFilters(chance)
        narrowed = 0
        for _ in range(FILTERS):
            text, tz, days = filters.filter(4), chance.choice(ZONES), chance.choice(PERIODS)
            oracle = Oracle(NOW, tz, ada.id, {"ada": ada.id})
            chosen = np.array([oracle.finds(text, task) for task in tasks])
            narrowed += 5 < chosen.sum() < 75
            expected = Expected(lives, chosen, days, tz, ids)
            query: dict[str, object] = {"filter": text, "tz": tz, "from": f"{days[0]}", "to": f"{days[1]}"}
            for path, more in PATHS.items():
                answer = ada.get(f"/analytics/{path}", params=query | more)
                assert answer.status_code == 200, answer.text
                getattr(expected, path.replace("-", "_"))(answer.json())
        assert narrowed > FILTERS / 10


@pytest.mark.one_database
def test_a_figure_leads_to_its_tasks(api: Api) -> None:
    ada = api.person("ada")
    for number in range(3):
        task = ada.task(f"task {number}", tags=["urgent"] if number else [])
        ada.put(f"/tasks/{task['id']}", json={"status": "completed"})
    asked = ada.get("/analytics/flow", params={"filter": "tag = urgent", "tz": "Asia/Tokyo"}).json()
    assert asked["current"]["throughput"] == 2
    behind = ada.get(asked["current"]["links"]["completed"]).json()
    assert [task["title"] for task in behind] == ["task 2", "task 1"]


@pytest.mark.one_database
def test_a_figure_leads_to_its_tasks_below_the_path_of_a_proxy(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "root_path", "/tasks-api")
    ada = api.person()
    links = ada.get("/analytics/throughput").json()["links"]
    assert [link.partition("?")[0] for link in links.values()] == ["/tasks-api/tasks"] * 2
    table = ada.get("/analytics/throughput?format=csv")
    assert table.links["describedby"]["url"] == "/tasks-api/analytics/definitions"


def test_tasks_that_have_left_are_chosen_by_what_they_were(api: Api) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    titles = {"kept": "a", "given away": "a", "deleted": "a", "other": "b", "deleted alone": "lonely"}
    for title, tag in titles.items():
        task = ada.task(title, tags=[tag], due_at="2026-11-26T10:00:00Z")
        ada.put(f"/tasks/{task['id']}", json={"status": "in_progress"})
        if title == "given away":
            ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
        if title.startswith("deleted"):
            ada.delete(f"/tasks/{task['id']}")

    def ever(text: str) -> int:
        answer = ada.get("/analytics/cumulative-flow", params={"filter": text}).json()
        return int(answer["n"])

    assert ever("tag = a") == 3
    assert ever("owner = @me and due = 2026-11-26 and status = in_progress and tag ~ A") == 3
    assert ever("not tag = a") == 2
    assert ever("tag ~ LONE") == ever("tag = lonely") == 1
    assert ever("title = 'given away' or title ~ DELE") == 3
    assert ever("created > now-1h and updated <= now and id > 0 and blocked = false") == 5


def test_a_task_that_has_left_has_the_time_and_the_project_that_it_had(api: Api) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    project = ada.post("/projects", json={"name": "Old"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    given, taken_out, commented = (ada.task(title, project_id=project)["id"] for title in ("a", "b", "c"))
    ada.post(f"/tasks/{commented}/comments", json={"text": "This changes no task."})
    before_comment = ada.get(f"/tasks/{commented}").json()["updated_at"]
    ada.delete(f"/tasks/{commented}")
    for name in ("Older", "New"):
        assert ada.patch(f"/projects/{project}", json={"name": name}).status_code == 200
    ada.patch(f"/tasks/{taken_out}", json={"project_id": None})
    renamed = ada.get(f"/tasks/{given}").json()["updated_at"]
    for task in (given, taken_out):
        ada.put(f"/tasks/{task}/assign", params={"assigned_user_id": bob.id})
    ada.patch(f"/projects/{project}", json={"name": "Newest"})

    def ever(**asked: str) -> int:
        return int(ada.get("/analytics/cumulative-flow", params=asked).json()["n"])

    assert ever(project="New") == ever(filter="project = New") == 2
    assert ever(project="Old") == 1
    assert ever(project="Older") == ever(project="Newest") == 0
    assert ever(filter=f"updated <= {before_comment}") == 1
    assert ever(filter=f"title = a and updated = {renamed}") == 1
    assert ever(filter="project = New", project_id=str(project)) == 1


@pytest.mark.one_database
def test_what_can_not_be_read_is_said(api: Api) -> None:
    ada = api.person("ada")
    answer = ada.get("/analytics/flow", params={"filter": "tag ="})
    assert assert_problem(answer, 422, "invalid_filter", "?filter")["errors"][0]["position"] == 5
    link = {"chart": "throughput", "query": {"filter": "tag ="}}
    assert_problem(ada.post("/analytics/pictures", json=link), 422, "invalid_filter", "#/query/filter")
    link["query"] = {"filter": "tag = urgent or due < now"}
    made = ada.post("/analytics/pictures", json=link)
    assert made.status_code == 201
    assert ada.client.get(made.json()["url"]).status_code == 200
