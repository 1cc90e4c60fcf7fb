"""Flow figures asked with a filter: those of the tasks that it finds, and of no others."""

import os
import random
from datetime import UTC, datetime
from typing import Any

import time_machine

from tests.support.api import Api, assert_problem
from tests.support.filters import ZONES, Oracle, RandomFilters, random_task

NOW = datetime(2026, 11, 27, 23, 59, 59, 999_999, tzinfo=UTC)
# A share of what the benchmark tries.
FILTERS = int(os.environ.get("RANDOM_FLOW_FILTERS", "6"))
SEED = int(os.environ.get("RANDOM_SEED", "20261127"))
PERIOD = "from=2023-01-01&to=2026-11-27"
PATHS = (
    f"flow?{PERIOD}",
    f"throughput?{PERIOD}&interval=month",
    f"cumulative-flow?{PERIOD}&interval=month",
    f"time-in-status?{PERIOD}",
    f"aging?{PERIOD}",
    f"cycle-times?{PERIOD}",
    f"burnup?{PERIOD}&interval=month",
)


def without_ids(answer: Any) -> Any:
    """An answer without what tells two accounts with the same tasks apart."""
    if isinstance(answer, dict):
        kept = {name: part for name, part in answer.items() if name not in ("id", "links", "next_cursor")}
        return {name: without_ids(part) for name, part in kept.items()}
    if isinstance(answer, list):
        return sorted((without_ids(part) for part in answer), key=repr)
    return answer


def test_figures_with_a_filter_are_those_of_an_account_with_these_tasks_only(api: Api) -> None:
    chance = random.Random(SEED)  # noqa: S311  # a test that can be run again
    with time_machine.travel(NOW, tick=False):
        ada = api.person("ada")
        rows = [random_task(chance) for _ in range(80)]
        assert ada.post("/tasks/import", json=rows).status_code == 201
        tasks = ada.get("/tasks?limit=500&sort_by=id&sort_order=asc").json()
        filters = RandomFilters(chance)
        for number in range(FILTERS):
            wanted: list[Any] = []
            text, tz = "", ""
            while not 5 < len(wanted) < 75:
                text, tz = filters.filter(4), chance.choice(ZONES)
                oracle = Oracle(NOW, tz, ada.id, {"ada": ada.id})
                wanted = [row for row, task in zip(rows, tasks, strict=True) if oracle.finds(text, task)]
            other = api.person(f"other{number}")
            assert other.post("/tasks/import", json=wanted).status_code == 201
            for path in PATHS:
                asked = ada.get(f"/analytics/{path}", params={"filter": text, "tz": tz}).json()
                plain = other.get(f"/analytics/{path}", params={"tz": tz}).json()
                assert without_ids(asked) == without_ids(plain), (path, text, tz)


def test_a_figure_leads_to_its_tasks(api: Api) -> None:
    ada = api.person("ada")
    for number in range(3):
        task = ada.task(f"task {number}", tags=["urgent"] if number else [])
        ada.put(f"/tasks/{task['id']}", json={"status": "completed"})
    asked = ada.get("/analytics/flow", params={"filter": "tag = urgent", "tz": "Asia/Tokyo"}).json()
    assert asked["current"]["throughput"] == 2
    behind = ada.get(asked["current"]["links"]["completed"]).json()
    assert [task["title"] for task in behind] == ["task 2", "task 1"]


def test_tasks_that_have_left_are_chosen_by_what_they_were(api: Api) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    for title, tags in (("kept", ["a"]), ("given away", ["a"]), ("deleted", ["a"]), ("other", ["b"])):
        task = ada.task(title, tags=tags, due_at="2026-11-26T10:00:00Z")
        ada.put(f"/tasks/{task['id']}", json={"status": "in_progress"})
        if title == "given away":
            ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
        if title == "deleted":
            ada.delete(f"/tasks/{task['id']}")

    def ever(text: str) -> int:
        answer = ada.get("/analytics/cumulative-flow", params={"filter": text}).json()
        return int(answer["n"])

    assert ever("tag = a") == 3
    assert ever("owner = @me and due = 2026-11-26 and status = in_progress and tag ~ A") == 3
    assert ever("not tag = a") == 1
    assert ever("title = 'given away' or title ~ DELE") == 2
    assert ever("created > now-1h and updated <= now and id > 0 and blocked = false") == 4


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
