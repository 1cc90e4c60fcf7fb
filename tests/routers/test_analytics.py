"""Figures: each equals a figure that a few lines of plain Python compute from the tasks themselves."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import mean, quantiles
from typing import Any

import pytest
from sqlalchemy import text

from database import database
from tests.routers.test_transfer import tracker  # noqa: F401  # a fixture
from tests.support.api import Api, Person, assert_problem

STATUSES = ("pending", "in_progress", "completed")


def counted(tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Tasks by status."""
    counts = Counter(task["status"] for task in tasks)
    total = len(tasks)
    return {
        "total_tasks": total,
        **{f"{status}_tasks": counts[status] for status in STATUSES},
        "completion_rate": round(counts["completed"] / total * 100, 2) if total else 0,
    }


def by_project(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = sorted({task["project"] for task in tasks})
    return [
        {"project": name, **counted([task for task in tasks if task["project"] == name])} for name in names
    ]


def check(person: Person) -> None:
    """Compare the figures about a person with their tasks as they are exported."""
    tasks = person.get("/tasks/export").json()
    assert person.get("/analytics/user-completion-stats").json() == {
        "user_id": person.id,
        "username": person.username,
        **counted(tasks),
    }
    assert person.get("/analytics/project-stats").json() == by_project(tasks)
    hours = [
        (datetime.fromisoformat(task["completed_at"]) - datetime.fromisoformat(task["created_at"]))
        / timedelta(hours=1)
        for task in tasks
        if task["completed_at"]
    ]
    stats = person.get("/analytics/completion-time-stats").json()
    assert stats["total_completed_tasks"] == len(hours)
    if hours:
        percentiles = quantiles(hours, n=100, method="inclusive") if len(hours) > 1 else hours * 99
        wanted = {
            "average": mean(hours),
            "fastest": min(hours),
            "slowest": max(hours),
            "median": percentiles[49],
            "p85": percentiles[84],
            "p95": percentiles[94],
        }
        for name, value in wanted.items():
            key = (
                f"{name}_completion_hours"
                if name in {"fastest", "slowest"}
                else f"{name}_completion_time_hours"
            )
            assert stats[key] == pytest.approx(value, abs=0.00501)
            assert stats[key] == round(stats[key], 2)


def test_figures_of_a_real_tracker(api: Api, tracker: list[dict[str, Any]]) -> None:  # noqa: F811
    ada, bob = api.person(), api.person("bob", admin=True)
    ada.post("/tasks/import", json=tracker)
    bob.post("/tasks/import", json=tracker[:100])
    check(ada)
    check(bob)
    summary = bob.get("/analytics/system-summary").json()
    both = counted([*tracker, *tracker[:100]])
    assert summary == {
        "total_users": 2,
        "active_users": 2,
        **{name: both[name] for name in both if name != "completion_rate"},
        "avg_tasks_per_user": round(both["total_tasks"] / 2, 2),
        "overall_completion_rate": both["completion_rate"],
        "recent_tasks_7_days": 0,
        "generated_at": summary["generated_at"],
    }
    age = datetime.now(UTC) - datetime.fromisoformat(summary["generated_at"])
    assert age < timedelta(minutes=5)


def test_figures_of_somebody_without_tasks(api: Api) -> None:
    ada = api.person()
    assert ada.get("/analytics/user-completion-stats").json() == {
        "user_id": ada.id,
        "username": "ada",
        "total_tasks": 0,
        "completed_tasks": 0,
        "pending_tasks": 0,
        "in_progress_tasks": 0,
        "completion_rate": 0,
    }
    assert ada.get("/analytics/project-stats").json() == []
    assert ada.get("/analytics/completion-time-stats").json() == {
        "total_completed_tasks": 0,
        "average_completion_time_hours": None,
        "fastest_completion_hours": None,
        "slowest_completion_hours": None,
        "median_completion_time_hours": None,
        "p85_completion_time_hours": None,
        "p95_completion_time_hours": None,
        "message": "No completed tasks found",
    }


def test_a_figure_counts_every_write_that_was_answered_before(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    check(ada)
    first = ada.task(project="a")["id"]
    check(ada)
    second = ada.task(status="completed", project="b")["id"]
    check(ada)
    for path, change in (
        (first, {"status": "in_progress"}),
        (first, {"project": "c"}),
        (first, {"status": "completed", "project": "b"}),
        (second, {"status": "pending"}),
        (second, {"title": "only the title"}),
    ):
        ada.put(f"/tasks/{path}", json=change)
        check(ada)
    ada.put(f"/tasks/{first}/assign?assigned_user_id={bob.id}")
    check(ada)
    check(bob)
    bob.delete(f"/tasks/{first}")
    ada.delete(f"/tasks/{second}")
    check(ada)
    check(bob)
    assert ada.get("/analytics/project-stats").json() == []


def test_every_users_figures_by_id_those_without_tasks_included(api: Api) -> None:
    people = [api.person(name) for name in ("ann", "ben", "cyd", "dee", "eve")]
    admin = api.person("root", admin=True)
    people[1].task()
    people[1].task(status="completed")
    people[3].task(status="in_progress")
    own = [person.get("/analytics/user-completion-stats").json() for person in [*people, admin]]
    assert admin.get("/analytics/all-users-stats").json() == own
    followed, path = [], "/analytics/all-users-stats?limit=2"
    while path:
        answer = admin.get(path)
        assert len(answer.json()) == 2
        followed += answer.json()
        path = answer.links.get("next", {}).get("url", "")
    assert followed == own
    assert admin.get("/analytics/all-users-stats?skip=2&limit=3").json() == own[2:5]
    assert admin.get("/analytics/all-users-stats?skip=99").json() == []
    for query in ("limit=0", "limit=501", "skip=-1", "cursor=x", "sort_by=id"):
        assert_problem(admin.get(f"/analytics/all-users-stats?{query}"), 422)
    for path in ("/analytics/all-users-stats", "/analytics/system-summary"):
        assert assert_problem(people[0].get(path), 403, "admin_required")["detail"] == "Admin access required"


def test_the_summary_counts_accounts_and_recent_tasks(api: Api) -> None:
    admin, ada = api.person("root", admin=True), api.person()
    now = datetime.now(UTC)
    ages = [timedelta(days=6.9), timedelta(days=7.1), timedelta(0), timedelta(days=-1)]
    ada.post("/tasks/import", json=[{"title": "x", "created_at": (now - age).isoformat()} for age in ages])
    sql = text("UPDATE users SET is_active = false WHERE username = 'ada'")
    database.write(lambda db: db.execute(sql))
    summary = admin.get("/analytics/system-summary").json()
    assert (summary["total_users"], summary["active_users"]) == (2, 1)
    assert summary["recent_tasks_7_days"] == 2
    assert summary["avg_tasks_per_user"] == 2.0
    answer = ada.get("/analytics/user-completion-stats")
    assert assert_problem(answer, 401)["detail"] == "Invalid token"


def test_rates_and_hours_are_rounded_to_two_decimals(api: Api) -> None:
    ada = api.person()
    start = datetime(2020, 1, 1, tzinfo=UTC)
    durations = [timedelta(seconds=1), timedelta(hours=1, seconds=20), timedelta(days=400, microseconds=1)]
    rows = [
        {
            "title": "x",
            "status": "completed",
            "created_at": start.isoformat(),
            "completed_at": (start + duration).isoformat(),
        }
        for duration in durations
    ]
    ada.post("/tasks/import", json=[*rows, {"title": "y"}, {"title": "z"}, {"title": "w"}, {"title": "v"}])
    assert ada.get("/analytics/user-completion-stats").json()["completion_rate"] == 42.86
    check(ada)


def test_each_request_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    admin = api.person("root", admin=True)
    caplog.clear()
    stats = admin.get("/analytics/user-completion-stats").json()
    lines = [record.getMessage() for record in caplog.records if record.name == "task_platform"]
    assert "User root requested completion stats" in lines
    returned = next(line for line in lines if line.startswith("Returned stats for user root: {"))
    assert json.loads(returned.partition(": ")[2].replace("'", '"')) == stats
    for path in ("project-stats", "completion-time-stats", "system-summary", "all-users-stats"):
        caplog.clear()
        admin.get(f"/analytics/{path}")
        lines = [record.getMessage() for record in caplog.records if record.name == "task_platform"]
        assert any(line.startswith("User root requested ") for line in lines)
        assert any(line.startswith("Returned ") and "user root" in line for line in lines)


def test_figures_of_projects_come_in_pages_by_name(api: Api) -> None:
    ada = api.person()
    names = sorted([f"Project {number:03}" for number in range(505)] + ["Ärger", "zebra"])
    ada.post("/tasks/import", json=[{"title": "x", "project": name} for name in names])
    first = ada.get("/analytics/project-stats")
    assert [each["project"] for each in first.json()] == names[:500]
    rest = ada.get(first.links["next"]["url"])
    assert [each["project"] for each in rest.json()] == names[500:]
    assert "link" not in rest.headers
    found: list[str] = []
    address = "/analytics/project-stats?limit=200"
    while address:
        page = ada.get(address)
        found += [each["project"] for each in page.json()]
        address = page.links.get("next", {}).get("url", "")
    assert found == names
    assert [each["project"] for each in ada.get("/analytics/project-stats?skip=500").json()] == names[500:]
    assert ada.get("/analytics/project-stats?limit=501").status_code == 422
