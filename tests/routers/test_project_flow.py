"""The flow of a shared project: the same for every member, by its states, and true to its history."""

from typing import Any

import pytest

from tests.routers.test_projects import STATES, add, history, project
from tests.support.api import Api, Person, assert_problem
from tests.support.tracker import issues

CALLS = (
    "flow",
    "throughput?interval=month",
    "cumulative-flow?interval=month",
    "time-in-status",
    "aging",
    "cycle-times",
    "forecast?remaining=20",
    "burnup?interval=month",
)


# The fields that depend on the moment of the call.
NOW = ("as_of", "links", "states", "period", "age_hours", "age_percentile", "starts_at", "ends_at")
WITHOUT_FORECAST = tuple(call for call in CALLS if not call.startswith(("forecast", "burnup")))


def figures(person: Person, query: str, *, but: tuple[str, ...], calls: tuple[str, ...] = CALLS) -> list[Any]:
    """The answers to flow calls, without the fields that depend on the moment and the caller."""
    found = []
    for call in calls:
        answer = person.get(f"/analytics/{call}{'&' if '?' in call else '?'}{query}")
        assert answer.status_code == 200, answer.text
        found.append(without(answer.json(), but))
    return found


def without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: without(part, names) for name, part in value.items() if name not in names}
    return [without(part, names) for part in value] if isinstance(value, list) else value


@pytest.mark.one_database
def test_the_tracker_in_a_project_gives_every_member_the_owners_figures(api: Api) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    alone = api.person("alone")
    rows = issues()
    made = project(ada)["id"]
    add(ada, made, bob, "viewer")
    for start in range(0, len(rows), 10_000):
        some = rows[start : start + 10_000]
        assert alone.post("/tasks/import", json=some).status_code == 201
        assert ada.post(f"/tasks/import?project_id={made}", json=some).status_code == 201
    period = "from=2015-01-01&to=2016-12-31"
    own = figures(
        alone, period, but=("as_of", "links", "states", "id", "project", "next_cursor", "age_hours")
    )
    for person in (ada, bob):
        theirs = figures(
            person,
            f"{period}&project_id={made}",
            but=("as_of", "links", "states", "id", "project", "next_cursor", "age_hours"),
        )
        assert theirs == own
    assert_problem(eve.get(f"/analytics/flow?project_id={made}"), 404, "project_not_found")


def test_states_are_told_as_they_were_though_they_are_renamed_replaced_and_reordered(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada, states=STATES)["id"]
    add(ada, made, bob)
    task = ada.task("one", project_id=made)["id"]
    for state in ("review", "doing", "done"):
        assert ada.patch(f"/tasks/{task}", json={"state": state}).status_code == 200
    waits = ada.task("two", project_id=made, state="review")["id"]

    def by_state(call: str) -> dict[str, Any]:
        rows = bob.get(f"/analytics/{call}?project_id={made}").json()["states"]
        return {row["state"]: (row["n"] if "n" in row else row["counts"][-1]) for row in rows}

    assert by_state("cumulative-flow") == {"todo": 0, "doing": 0, "review": 1, "done": 1}
    assert by_state("time-in-status") == {"todo": 1, "doing": 1, "review": 1, "done": 0}
    before = figures(bob, f"project_id={made}", but=NOW, calls=WITHOUT_FORECAST)
    others = [
        {**STATES[3], "name": "Finished"},
        {**STATES[0], "name": "Later"},
        {"key": "look", "name": "Look at it", "status": "in_progress"},
    ]
    answer = ada.patch(
        f"/projects/{made}", json={"states": others, "replaced_states": {"review": "look", "doing": "look"}}
    )
    assert answer.status_code == 200, answer.text
    assert bob.get(f"/tasks/{waits}").json()["state"] == "look"
    assert history(ada, waits)[-1] == ("state_changed", {"state": {"from": "review", "to": "look"}})
    assert by_state("cumulative-flow") == {"done": 1, "todo": 0, "look": 1}
    times = bob.get(f"/analytics/time-in-status?project_id={made}").json()["states"]
    assert {row["state"]: (row["name"], row["n"]) for row in times} == {
        "done": ("Finished", 0),
        "todo": ("Later", 1),
        "look": ("Look at it", 0),
        "doing": ("Doing", 1),
        "review": ("In review", 1),
    }
    aged = without(before, ("state",))
    assert (
        without(
            figures(bob, f"project_id={made}", but=NOW, calls=WITHOUT_FORECAST),
            ("state",),
        )
        == aged
    )


def test_an_import_was_in_the_first_pending_state_though_that_gets_another_status(api: Api) -> None:
    ada = api.person()
    made = project(ada, states=[STATES[0], {**STATES[0], "key": "next"}, *STATES[1:]])["id"]
    row = {"title": "a", "status": "completed", "created_at": "2026-01-01T00:00:00Z"}
    row["completed_at"] = "2026-01-03T00:00:00Z"
    answer = ada.post(f"/tasks/import?project_id={made}", json=[row])
    assert answer.status_code == 201, answer.text

    def waited() -> list[str]:
        asked = f"/analytics/time-in-status?from=2026-01-01&to=2026-01-31&project_id={made}"
        return [state["state"] for state in ada.get(asked).json()["states"] if state["n"]]

    assert waited() == ["todo"]
    others = [{**STATES[0], "status": "in_progress"}, {**STATES[0], "key": "next"}, *STATES[1:]]
    assert ada.patch(f"/projects/{made}", json={"states": others}).status_code == 200
    assert waited() == ["next"]


@pytest.mark.one_database
def test_links_behind_the_figures_lead_to_lists_of_the_project(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    add(ada, made, bob, "viewer")
    for number in range(3):
        ada.task(str(number), project_id=made, status="completed")
    ada.task("open", project_id=made)
    ada.task("private", status="completed")
    flow = bob.get(f"/analytics/flow?project_id={made}").json()
    assert flow["current"]["throughput"] == 3
    behind = bob.get(flow["current"]["links"]["completed"]).json()
    assert sorted(task["title"] for task in behind) == ["0", "1", "2"]
    aging = bob.get(f"/analytics/aging?project_id={made}").json()
    assert [(task["title"], task["state"]) for task in aging["tasks"]] == [("open", "pending")]
    assert [task["title"] for task in bob.get(aging["links"]["open"]).json()] == ["open"]
    for query in ("user_id=1", "scope=all"):
        assert_problem(
            ada.get(f"/analytics/flow?project_id={made}&{query}"), 422, None, f"?{query.split('=')[0]}"
        )


def test_a_task_that_is_handed_on_or_leaves_counts_while_it_is_there(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    add(ada, made, bob)
    moved = ada.task("moved", status="in_progress")["id"]
    ada.patch(f"/tasks/{moved}", json={"project_id": made})
    ada.put(f"/tasks/{moved}/assign?assigned_user_id={bob.id}")
    here = bob.get(f"/analytics/cumulative-flow?project_id={made}&interval=day").json()
    assert here["intervals"][-1]["in_progress"] == 1
    assert here["n"] == 1
    bob.patch(f"/tasks/{moved}", json={"project_id": None})
    gone = ada.get(f"/analytics/cumulative-flow?project_id={made}&interval=day").json()
    assert gone["intervals"][-1]["in_progress"] == 0
    assert gone["n"] == 1
    deleted = ada.task("deleted", project_id=made)["id"]
    ada.delete(f"/tasks/{deleted}")
    assert ada.get(f"/analytics/cumulative-flow?project_id={made}&interval=day").json()["n"] == 2


def test_a_task_that_comes_back_keeps_what_happened_outside(api: Api) -> None:
    ada = api.person()
    made = project(ada)["id"]
    task = ada.task("Write", project_id=made, tags=["then"])["id"]
    changes = ({"project_id": None}, {"status": "in_progress"}, {"status": "pending"}, {"project_id": made})
    for change in (*changes, {"tags": ["now"]}):
        assert ada.patch(f"/tasks/{task}", json=change).status_code == 200
    changed = ada.get(f"/tasks/{task}/history").json()
    started = next(each for each in changed if each["kind"] == "status_changed")
    (aging,) = ada.get(f"/analytics/aging?project_id={made}").json()["tasks"]
    assert (aging["never_started"], aging["since"]) == (False, started["created_at"])
    for tag, count in (("then", 0), ("now", 1)):
        assert ada.get(f"/analytics/burnup?project_id={made}&tag={tag}").json()["n"] == count


@pytest.mark.one_database
def test_a_picture_of_a_project_is_there_as_long_as_its_maker_is(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    add(ada, made, bob, "viewer")
    link = bob.post("/analytics/pictures", json={"chart": "cumulative-flow", "query": {"project_id": made}})
    assert link.status_code == 201
    assert api.client.get(link.json()["url"]).status_code == 200
    ada.delete(f"/projects/{made}/members/{bob.id}")
    assert_problem(api.client.get(link.json()["url"]), 404, "project_not_found")
