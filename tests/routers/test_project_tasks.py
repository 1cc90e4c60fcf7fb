"""Tasks in shared projects: moves, owners, limits of states, and blocks."""

import json
from typing import Any

import pytest

from config import settings
from services.lists import on_postgres, planning
from services.tasks import fields
from tests.routers.test_projects import STATES, add, history, project
from tests.support.api import Api, Person, assert_problem


class Team:
    """A project with its manager and a member, and somebody outside."""

    def __init__(self, api: Api, **settings: Any) -> None:
        self.ada, self.bob, self.eve = api.person(), api.person("bob"), api.person("eve")
        self.project = project(self.ada, states=STATES, **settings)["id"]
        add(self.ada, self.project, self.bob)

    def task(self, person: Person, title: str = "x", **fields: Any) -> Any:
        """Make a task in the project."""
        return person.task(title, project_id=self.project, **fields)


@pytest.fixture
def team(api: Api) -> Team:
    return Team(api)


# -- making ----------------------------------------------------------------------------------------


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("sent", "state", "status"),
    [
        ({}, "todo", "pending"),
        ({"status": "in_progress"}, "doing", "in_progress"),
        ({"state": "review"}, "review", "in_progress"),
        ({"state": "review", "status": "in_progress"}, "review", "in_progress"),
        ({"state": "done"}, "done", "completed"),
        ({"project": "Research", "user_id": 2}, "todo", "pending"),
    ],
)
def test_a_new_task_goes_to_the_state_that_is_asked_for(
    team: Team, sent: Any, state: str, status: str
) -> None:
    task = team.task(team.ada, **sent)
    assert (task["state"], task["status"], task["project"]) == (state, status, "Research")
    assert task["user_id"] == sent.get("user_id", team.ada.id)
    assert (task["completed_at"] is not None) == (status == "completed")
    assert team.bob.get(f"/tasks/{task['id']}").json() == task


@pytest.mark.one_database
def test_what_does_not_fit_together_is_refused(team: Team, api: Api) -> None:
    root = api.person("root", admin=True)
    for sent, pointer in (
        ({"state": "nowhere"}, "#/state"),
        ({"state": "done", "status": "pending"}, "#/status"),
        ({"project": "Other"}, "#/project"),
        ({"state": ""}, "#/state"),
        ({"project_id": 2**63}, "#/project_id"),
    ):
        answer = team.ada.post("/tasks", json={"title": "x", "project_id": team.project, **sent})
        assert_problem(answer, 422, None, pointer)
    # An admin creates tasks for others, as no member and as a viewer.
    for _ in range(2):
        answer = root.post("/tasks", json={"title": "x", "project_id": team.project})
        assert_problem(answer, 422, None, "#/user_id")
        add(team.ada, team.project, root, "viewer")
    assert_problem(
        team.ada.post("/tasks", json={"title": "x", "user_id": team.bob.id}), 422, None, "#/user_id"
    )
    for owner in (team.eve.id, root.id, 999):
        sent = {"title": "x", "project_id": team.project, "user_id": owner}
        assert_problem(team.ada.post("/tasks", json=sent), 404, "user_not_found")
    assert team.ada.task(state="in_progress", user_id=team.ada.id)["status"] == "in_progress"
    assert_problem(team.ada.post("/tasks", json={"title": "x", "state": "review"}), 422, None, "#/state")


@pytest.mark.one_database
def test_whoever_gets_a_new_task_is_told(team: Team) -> None:
    team.task(team.ada, "for bob", user_id=team.bob.id)
    assert [(each["kind"], each["task_title"]) for each in team.bob.get("/notifications").json()] == [
        ("assigned", "for bob"),
        ("added_to_project", None),
    ]
    assert [task["title"] for task in team.bob.get("/tasks").json()] == ["for bob"]
    assert team.ada.get("/tasks").json() == []
    assert [task["title"] for task in team.ada.get(f"/tasks?project_id={team.project}").json()] == ["for bob"]


# -- changing --------------------------------------------------------------------------------------


def test_a_state_sets_the_status_and_a_status_the_state(team: Team) -> None:
    path = f"/tasks/{team.task(team.bob)['id']}"
    steps: list[tuple[dict[str, Any], str, str, list[tuple[str, Any]]]] = [
        (
            {"state": "review"},
            "review",
            "in_progress",
            [("status_changed", {"status": ("pending", "in_progress"), "state": ("todo", "review")})],
        ),
        ({"status": "in_progress"}, "review", "in_progress", []),
        ({"state": "doing"}, "doing", "in_progress", [("state_changed", {"state": ("review", "doing")})]),
        (
            {"status": "pending"},
            "todo",
            "pending",
            [("status_changed", {"status": ("in_progress", "pending"), "state": ("doing", "todo")})],
        ),
    ]
    for number, (sent, state, status, told) in enumerate(steps):
        before = len(history(team.bob, int(path.rsplit("/", 1)[1])))
        after = (team.ada if number % 2 else team.bob).patch(path, json=sent).json()
        assert (after["state"], after["status"]) == (state, status)
        rows = history(team.bob, after["id"])[before:]
        assert rows == [
            (kind, {name: {"from": old, "to": new} for name, (old, new) in changes.items()})
            for kind, changes in told
        ]
    assert_problem(
        team.ada.patch(path, json={"state": "review", "status": "completed"}), 422, None, "#/status"
    )
    assert_problem(team.ada.patch(path, json={"state": "gone"}), 422, None, "#/state")
    assert_problem(team.ada.patch(path, json={"project": "Other"}), 422, None, "#/project")


@pytest.mark.one_database
def test_get_edit_put_works_with_all_fields_together(team: Team) -> None:
    task = team.task(team.ada, state="review", tags=["x"])
    path = f"/tasks/{task['id']}"
    edited = team.bob.put(path, json={**task, "title": "edited"})
    assert edited.status_code == 200, edited.text
    assert edited.json() == task | {"title": "edited", "updated_at": edited.json()["updated_at"]}
    done = team.bob.put(path, json={**edited.json(), "status": "completed"}).json()
    assert (done["state"], done["status"]) == ("done", "completed")
    again = team.bob.put(path, json={**done, "state": "todo"}).json()
    assert (again["state"], again["status"], again["completed_at"]) == ("todo", "pending", None)
    private = team.ada.task("mine")
    moved = team.ada.put(f"/tasks/{private['id']}", json={**private, "project_id": team.project}).json()
    assert (moved["project"], moved["state"]) == ("Research", "todo")


def test_a_task_moves_in_and_out(team: Team, api: Api) -> None:
    zoe = api.person("zoe")
    other = project(team.bob, "Other")["id"]
    task = team.bob.task("mine", project="Home", status="in_progress")
    path = f"/tasks/{task['id']}"
    assert_problem(team.bob.patch(path, json={"project_id": 999}), 404, "project_not_found")
    assert_problem(
        team.bob.patch(path, json={"project_id": team.project, "project": "Else"}), 422, None, "#/project"
    )
    moved = team.bob.patch(path, json={"project_id": team.project, "state": "review", "title": "ours"}).json()
    assert (moved["project"], moved["state"], moved["title"]) == ("Research", "review", "ours")
    assert history(team.ada, task["id"])[1:] == [
        (
            "moved",
            {
                "project_id": {"from": None, "to": team.project},
                "project": {"from": "Home", "to": "Research"},
                "state": {"from": "in_progress", "to": "doing"},
            },
        ),
        ("state_changed", {"state": {"from": "doing", "to": "review"}}),
        ("updated", {"title": {"from": "mine", "to": "ours"}}),
    ]
    # Moving between projects takes the right to write in both, and an owner who is a member of the new one.
    assert_problem(team.ada.patch(path, json={"project_id": other}), 404, "project_not_found")
    add(team.bob, other, team.ada, "viewer")
    assert_problem(team.ada.patch(path, json={"project_id": other}), 403, "project_role")
    there = team.bob.patch(path, json={"project_id": other}).json()
    assert (there["project"], there["state"]) == ("Other", "in_progress")
    adas = team.task(team.ada)
    assert_problem(
        team.bob.patch(f"/tasks/{adas['id']}", json={"project_id": other}), 409, "owner_not_member"
    )
    # Its owner, a manager or an admin may move a task out of a project.
    add(team.bob, other, zoe)
    assert_problem(zoe.patch(path, json={"project_id": None}), 403, "project_role")
    stale = {"If-Match": '"0-0"'}
    assert_problem(zoe.patch(path, json={"project_id": None}, headers=stale), 403, "project_role")
    out = team.bob.patch(path, json={"project_id": None}).json()
    assert (out["project_id"], out["project"], out["state"], out["user_id"]) == (
        None,
        "Other",
        "in_progress",
        team.bob.id,
    )
    assert_problem(zoe.get(path), 404)
    bobs = team.task(team.bob)
    assert team.ada.patch(f"/tasks/{bobs['id']}", json={"project_id": None}).status_code == 200
    assert_problem(team.ada.get(f"/tasks/{bobs['id']}"), 404)


def test_tasks_are_given_to_members_only(team: Team) -> None:
    path = f"/tasks/{team.task(team.ada)['id']}/assign?assigned_user_id="
    assert team.bob.put(f"{path}{team.bob.id}").json() == {"message": "Task assigned successfully"}
    assert_problem(team.ada.put(f"{path}{team.eve.id}"), 404, "user_not_found")
    assert_problem(team.eve.put(f"{path}{team.eve.id}"), 404, "task_not_found")
    assert team.ada.put(f"{path}{team.ada.id}").status_code == 200


# -- limits ----------------------------------------------------------------------------------------


def test_a_full_state_that_blocks_takes_no_more(team: Team) -> None:
    first, second = (team.task(team.ada, str(number), state="doing") for number in range(2))
    for answer in (
        team.bob.post("/tasks", json={"title": "x", "project_id": team.project, "state": "doing"}),
        team.bob.post("/tasks", json={"title": "x", "project_id": team.project, "status": "in_progress"}),
        team.bob.patch(f"/tasks/{team.task(team.bob)['id']}", json={"state": "doing"}),
        team.bob.patch(
            f"/tasks/{team.bob.task(status='in_progress')['id']}", json={"project_id": team.project}
        ),
    ):
        problem = assert_problem(answer, 409, "wip_limit_reached")
        assert all(part in problem["detail"] for part in ("doing", "2"))
    assert team.ada.patch(f"/tasks/{first['id']}", json={"title": "still here"}).status_code == 200
    team.ada.patch(f"/tasks/{second['id']}", json={"state": "review"})
    team.task(team.bob, state="doing")
    # These are allowed beyond the limit: an import, a limit below the number of tasks, and a limit that only warns.
    imported = team.ada.post(
        f"/tasks/import?project_id={team.project}",
        json=[{"title": "i", "state": "doing"}, {"title": "u", "state": "?"}],
    )
    rows = {task["title"]: task["state"] for task in team.ada.get(f"/tasks?project_id={team.project}").json()}
    assert (imported.status_code, rows["i"], rows["u"]) == (201, "doing", "todo")
    states = [{**STATES[0]}, {**STATES[1], "wip_limit": 1}, *STATES[2:]]
    assert team.ada.patch(f"/projects/{team.project}", json={"states": states}).status_code == 200
    states[1]["wip_policy"] = "warn"
    assert team.ada.patch(f"/projects/{team.project}", json={"states": states}).status_code == 200
    assert team.task(team.bob, state="doing")["state"] == "doing"


def test_a_state_in_use_is_not_taken_out_unless_its_tasks_go_elsewhere(team: Team) -> None:
    task = team.task(team.bob, state="review")
    others = [team.task(team.bob, state="doing"), team.bob.task(status="in_progress")]
    team.bob.put(f"/tasks/{task['id']}/blocked", json={"reason": "waits"})
    path = f"/projects/{team.project}"
    without = [STATES[1], STATES[3], STATES[0]]
    assert_problem(team.ada.patch(path, json={"states": without}), 409, "state_in_use")
    turned = [*STATES[:2], {**STATES[2], "status": "pending"}, STATES[3]]
    assert_problem(team.ada.patch(path, json={"states": turned}), 409, "state_in_use")
    for replaced, pointer in (
        ({"review": "nowhere"}, "#/replaced_states/review"),
        ({"doing": "todo"}, "#/replaced_states/doing"),
        ({"a/b": "todo"}, "#/replaced_states/a~1b"),
    ):
        answer = team.ada.patch(path, json={"states": without, "replaced_states": replaced})
        assert_problem(answer, 422, None, pointer)
    assert_problem(
        team.ada.patch(path, json={"replaced_states": {"review": "done"}}), 422, None, "#/replaced_states"
    )
    answer = team.ada.patch(path, json={"states": without, "replaced_states": {"review": "done"}})
    assert [state["key"] for state in answer.json()["states"]] == ["doing", "done", "todo"]
    assert team.ada.get("/projects").json()[0]["states"] == answer.json()["states"]
    assert [team.bob.get(f"/tasks/{other['id']}").json() for other in others] == others
    after = team.bob.get(f"/tasks/{task['id']}").json()
    assert (after["state"], after["status"], after["blocked_at"]) == ("done", "completed", None)
    assert after["completed_at"] is not None
    assert [kind for kind, _ in history(team.bob, task["id"])][-2:] == ["status_changed", "unblocked"]


def test_a_task_that_is_completed_with_its_state_is_not_completed_before_it_was_made(team: Team) -> None:
    made = "9999-12-30T00:00:00Z"
    team.bob.post("/tasks/import", json=[{"title": "x", "created_at": made}])
    team.bob.put("/tasks/1", json={"project_id": team.project, "state": "review"})
    elsewhere = {"states": [*STATES[:2], STATES[3]], "replaced_states": {"review": "done"}}
    assert team.ada.patch(f"/projects/{team.project}", json=elsewhere).status_code == 200
    assert team.bob.get("/tasks/1").json()["completed_at"] == made
    assert history(team.bob, 1)[-1][1]["completed_at"] == {"from": None, "to": made}


@pytest.mark.one_database
def test_owners_of_tasks_that_are_completed_with_their_state_are_told(team: Team) -> None:
    task = team.task(team.bob, state="review")["id"]
    elsewhere = {"states": [*STATES[:2], STATES[3]], "replaced_states": {"review": "done"}}
    assert team.ada.patch(f"/projects/{team.project}", json=elsewhere).status_code == 200
    told = [(each["kind"], each["task_id"]) for each in team.bob.get("/notifications").json()]
    assert told.count(("completed", task)) == 1
    cached = json.loads((settings.cache_dir / f"cache_user_{team.bob.id}.json").read_text())
    assert cached["stats"] == team.bob.get("/analytics/user-completion-stats").json()
    assert cached["stats"]["completed_tasks"] == 1


# -- blocks ----------------------------------------------------------------------------------------


def test_blocking_and_unblocking(api: Api) -> None:
    ada = api.person()
    path = f"/tasks/{ada.task()['id']}"
    blocked = ada.put(f"{path}/blocked", json={"reason": "Waits for the figures"})
    task = blocked.json()
    assert (task["blocked_reason"], task["blocked_at"]) == ("Waits for the figures", task["updated_at"])
    again = ada.put(f"{path}/blocked", json={"reason": "Waits for the figures"})
    assert (again.json(), again.headers["etag"]) == (task, blocked.headers["etag"])
    other = ada.put(f"{path}/blocked", json={"reason": "Waits for Bob"}).json()
    assert (other["blocked_at"], other["blocked_reason"]) == (task["blocked_at"], "Waits for Bob")
    assert [each["id"] for each in ada.get("/tasks?blocked=true").json()] == [task["id"]]
    assert ada.get("/tasks?blocked=false").json() == []
    free = ada.task("free")
    assert [each["id"] for each in ada.get("/tasks?blocked=true").json()] == [task["id"]]
    assert ada.get("/tasks?blocked=false").json() == [free]
    free = ada.delete(f"{path}/blocked").json()
    assert (free["blocked_at"], free["blocked_reason"]) == (None, None)
    assert ada.delete(f"{path}/blocked").json() == free
    for reason in ("", " ", "x" * 501, None):
        assert_problem(ada.put(f"{path}/blocked", json={"reason": reason}), 422, None, "#/reason")
    ada.put(f"{path}/blocked", json={"reason": "again"})
    assert_problem(ada.put(path, json={"blocked_reason": "other"}), 422, None, "#/blocked_reason")
    done = ada.put(path, json={"status": "completed"}).json()
    assert done["blocked_at"] is None
    assert_problem(ada.put(f"{path}/blocked", json={"reason": "x"}), 409, "task_completed")
    changes = history(ada, task["id"])[1:]
    assert [kind for kind, _ in changes] == [
        *("blocked", "blocked", "unblocked", "blocked"),
        *("status_changed", "unblocked"),
    ]
    reasons = [each["blocked_reason"] for kind, each in changes if kind != "status_changed"]
    assert [(reason["from"], reason["to"]) for reason in reasons] == [
        (None, "Waits for the figures"),
        ("Waits for the figures", "Waits for Bob"),
        ("Waits for Bob", None),
        (None, "again"),
        ("again", None),
    ]
    assert_problem(ada.put(f"{path}/blocked", json={"reason": "x"}, headers={"If-Match": '"1-1"'}), 412)


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sort_by",
    [
        *("due_at", "title"),
        *(
            pytest.param(each, marks=pytest.mark.thorough)
            for each in ("created_at", "updated_at", "completed_at", "priority", "id")
        ),
    ],
)
def test_a_project_is_listed_with_every_filter_order_and_page(
    team: Team, sort_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A few tasks are read in the way of many.
    monkeypatch.setattr(planning, "MANY_TASKS", 10)
    monkeypatch.setattr(on_postgres, "NEAR", 4)
    monkeypatch.setattr(on_postgres, "FARTHER", 12)
    rows = [
        {
            "title": f"T{number * 7 % 10}",
            "state": STATES[number % 4]["key"],
            "priority": number % 5,
            "tags": ["even"] if number % 2 == 0 else ["odd", "x"],
            "due_at": f"2030-01-{number + 1:02}T00:00:00Z" if number % 3 else None,
            "created_at": f"2026-01-{number + 1:02}T00:00:00Z",
        }
        for number in range(20)
    ]
    assert team.ada.post(f"/tasks/import?project_id={team.project}", json=rows).status_code == 201
    team.bob.task("private", tags=["even"])
    everything = {
        task["id"]: task for task in team.bob.get(f"/tasks?project_id={team.project}&limit=500").json()
    }
    assert len(everything) == 20
    kinds: list[tuple[str, Any]] = [
        ("", lambda _: True),
        ("state=review", lambda task: task["state"] == "review"),
        ("state=review&state=done", lambda task: task["state"] in ("review", "done")),
        ("status=in_progress", lambda task: task["status"] == "in_progress"),
        ("tag=even", lambda task: "even" in task["tags"]),
        ("tag=even&tag=x", lambda _: True),
        ("due_before=2030-01-08T00:00:00Z", lambda task: (task["due_at"] or "9") < "2030-01-08T00:00:00Z"),
        ("title_contains=t4", lambda task: "T4" in task["title"]),
        ("due_after=2030-01-08T00:00:00Z", lambda task: (task["due_at"] or "0") >= "2030-01-08T00:00:00Z"),
        ("created_before=2026-01-09T00:00:00Z", lambda task: task["created_at"] < "2026-01-09T00:00:00Z"),
        ("updated_after=2026-01-09T00:00:00Z", lambda task: task["updated_at"] >= "2026-01-09T00:00:00Z"),
        ("state=todo&state=review", lambda task: task["state"] in ("todo", "review")),
        ("priority=3", lambda task: task["priority"] == 3),
        ("priority=3&priority=1", lambda task: task["priority"] in (1, 3)),
        ("blocked=false", lambda _: True),
        ("project=Research", lambda _: True),
        ("project=Other&project=Else", lambda _: False),
        ("filter=project+~+SEAR+and+project+!%3D+Other", lambda _: True),
        ("project=Research&filter=not+project+%3D+Research", lambda _: False),
        (
            "filter=state+%3D+review+and+priority+%3E+1",
            lambda task: task["state"] == "review" and task["priority"] > 1,
        ),
    ]
    for order in ("asc", "desc"):
        for query, fits in kinds:
            wanted = {task_id for task_id, task in everything.items() if fits(task)}
            found: list[Any] = []
            address = f"/tasks?project_id={team.project}&sort_by={sort_by}&sort_order={order}&limit=6&total=true&{query}"
            while address:
                answer = team.bob.get(address)
                assert answer.status_code == 200, answer.text
                assert answer.headers["x-total-count"] == str(len(wanted)), query
                found += answer.json()
                address = answer.links.get("next", {}).get("url", "")
            assert [task["id"] for task in found] == list(dict.fromkeys(task["id"] for task in found))
            assert {task["id"] for task in found} == wanted, query
            values = [task[sort_by] for task in found if task[sort_by] is not None]
            assert values == sorted(values, reverse=order == "desc")
    assert len(team.bob.get(f"/tasks/search?query=t&project_id={team.project}").json()) == 20


def test_own_lists_by_state_know_private_and_shared_tasks(team: Team) -> None:
    team.task(team.ada, "shared", state="review")
    team.ada.task("private", status="in_progress")
    assert [task["title"] for task in team.ada.get("/tasks?state=review").json()] == ["shared"]
    assert [task["title"] for task in team.ada.get("/tasks?state=in_progress").json()] == ["private"]
    assert {task["title"] for task in team.ada.get("/tasks?status=in_progress").json()} == {
        "shared",
        "private",
    }


def pages(person: Person, address: str) -> list[dict[str, Any]]:
    """The rows of a list, page by page."""
    rows: list[dict[str, Any]] = []
    while address:
        answer = person.get(address)
        rows += answer.json()
        address = answer.links.get("next", {}).get("url", "")
    return rows


# -- comments --------------------------------------------------------------------------------------


def test_comments_are_said_changed_and_deleted(team: Team) -> None:
    path = f"/tasks/{team.task(team.ada)['id']}/comments"
    made = team.bob.post(path, json={"text": "One"})
    assert (made.status_code, made.headers["location"]) == (201, f"{path}/1")
    comment = made.json()
    assert comment == {
        "id": 1,
        "task_id": 1,
        "author_id": team.bob.id,
        "author": "bob",
        "text": "One",
        "created_at": comment["created_at"],
        "edited_at": None,
    }
    for text in ("", "  \n", "x" * 10_001):
        assert_problem(team.bob.post(path, json={"text": text}), 422, None, "#/text")
    for number in range(4):
        team.ada.post(path, json={"text": str(number)})
    texts = [each["text"] for each in pages(team.bob, f"{path}?limit=2")]
    assert texts == ["One", "0", "1", "2", "3"]
    newest_first = [each["text"] for each in pages(team.bob, f"{path}?limit=2&sort_order=desc")]
    assert newest_first == texts[::-1]
    # A cursor goes on in its own order only.
    for order, other in (("asc", "desc"), ("desc", "asc")):
        further = team.bob.get(f"{path}?limit=2&sort_order={order}").links["next"]["url"]
        assert_problem(team.bob.get(further.replace(order, other)), 422, None, "?cursor")
    assert_problem(team.bob.get(f"{path}?sort_order=newest"), 422, None, "?sort_order")
    assert_problem(team.ada.patch(f"{path}/1", json={"text": "x"}), 403, "not_author")
    changed = team.bob.patch(f"{path}/1", json={"text": "Two"}).json()
    assert (changed["text"], changed["edited_at"] is not None) == ("Two", True)
    assert_problem(team.bob.delete(f"{path}/2"), 403, "project_role")
    assert team.ada.delete(f"{path}/1").status_code == 204
    assert_problem(team.bob.get(f"{path}/1"), 404, "comment_not_found")
    assert [kind for kind, _ in history(team.ada, 1)] == ["created"]
    team.ada.delete("/tasks/1")
    assert_problem(team.ada.get(path), 404, "task_not_found")


def test_mentions_and_owners_are_told_once_a_comment(team: Team, api: Api) -> None:
    dot = api.person("dot.dot")
    add(team.ada, team.project, dot, "viewer")
    path = f"/tasks/{team.task(team.ada, 'T')['id']}/comments"

    def told(person: Person) -> list[str]:
        return [
            each["kind"]
            for each in reversed(person.get("/notifications?limit=500").json())
            if each["comment_id"] is not None
        ]

    team.bob.post(path, json={"text": "Look @ada and @BOB, @ada! @eve, not mail@dot.dot"})
    assert (told(team.ada), told(team.bob), told(team.eve), told(dot)) == (["mentioned"], [], [], [])
    team.bob.post(path, json={"text": "Just so, @dot.dot."})
    assert (told(team.ada), told(dot)) == (["mentioned", "commented"], ["mentioned"])
    team.ada.post(path, json={"text": "Well, (@bob)"})
    assert (told(team.ada), told(team.bob)) == (["mentioned", "commented"], ["mentioned"])
    team.ada.patch(f"{path}/3", json={"text": "Well, @bob and @dot.dot"})
    assert (told(team.bob), told(dot)) == (["mentioned"], ["mentioned", "mentioned"])
    private = team.eve.task()["id"]
    team.eve.post(f"/tasks/{private}/comments", json={"text": "@ada @bob @eve"})
    assert told(team.ada) == ["mentioned", "commented"]


@pytest.mark.one_database
def test_signs_behind_a_name_belong_to_it_or_to_the_sentence(team: Team, api: Api) -> None:
    names = ("bob_", "b-b.", "a" * 50)
    people = [team.bob, *(api.person(name) for name in names)]
    for person in people[1:]:
        add(team.ada, team.project, person, "viewer")
    path = f"/tasks/{team.task(team.ada, 'T')['id']}/comments"

    def told(text: str) -> list[str]:
        comment = team.ada.post(path, json={"text": text}).json()["id"]
        return [
            person.username
            for person in people
            if any(each["comment_id"] == comment for each in person.get("/notifications").json())
        ]

    assert told("@bob_.") == ["bob_"]
    assert told("@bob_-._, @bob-.") == ["bob", "bob_"]
    assert told("@b-b..., @b-b") == ["b-b."]
    assert told(f"@{'a' * 50}---") == ["a" * 50]
    assert told(f"@{'a' * 51}") == []


# -- fields ----------------------------------------------------------------------------------------


def test_every_field_is_in_the_history_the_export_and_the_import(team: Team) -> None:
    """A new field of a task fails here until it is in the table of fields, in the schemas and in this test."""
    task = team.ada.task("t", status="in_progress")
    path = f"/tasks/{task['id']}"
    changed: dict[str, Any] = {
        "title": "other",
        "description": "d",
        "status": "completed",
        "priority": 3,
        "tags": ["x"],
        "due_at": "2030-01-01T00:00:00Z",
    }
    team.ada.put(f"{path}/blocked", json={"reason": "why"})
    blocked = team.ada.get("/tasks/export").json()[0]
    team.ada.put(path, json=changed)
    team.ada.put(path, json={"project": "Home"})
    team.ada.put(path, json={"project_id": team.project})
    team.ada.put(f"{path}/assign?assigned_user_id={team.bob.id}")
    told = {name for kind, changes in history(team.bob, task["id"])[1:] for name in changes}
    assert told == set(fields.IN_HISTORY)
    (exported,) = team.bob.get("/tasks/export").json()
    assert tuple(exported) == fields.NAMES
    assert exported == team.bob.get(path).json()
    for each in (exported, blocked):
        assert team.eve.post("/tasks/import", json=[each]).status_code == 201
        imported = team.eve.get("/tasks?sort_by=id").json()[0]
        kept = [name for name in fields.IMPORTED if name != "state"]
        assert {name: imported[name] for name in kept} == {name: each[name] for name in kept}
        (row,) = team.eve.get(f"/tasks/{imported['id']}/history").json()
        values = {name: change["to"] for name, change in row["changes"].items()}
        assert all(values.get(name) == imported[name] for name in fields.IN_HISTORY if name != "state")
    assert {name for name in fields.NAMES if exported[name] is None} == {"blocked_at", "blocked_reason"}


def test_what_was_told_about_a_task_is_hidden_once_it_goes_where_its_reader_sees_nothing(
    team: Team, api: Api
) -> None:
    boss = api.person("boss", admin=True)

    def told(person: Person) -> list[str]:
        return [each["task_title"] for each in person.get("/notifications").json()]

    for maker, title in ((boss, "Plan"), (team.eve, "Secret")):
        task = maker.task(title)["id"]
        maker.put(f"/tasks/{task}/assign?assigned_user_id={team.bob.id}")
        assert told(maker) == [title]
        assert team.bob.put(f"/tasks/{task}", json={"project_id": team.project}).status_code == 200
    # An admin sees every project.
    assert (told(boss), told(team.eve)) == (["Plan"], [])
    assert set(told(team.bob)) >= {"Plan", "Secret"}


def test_what_is_hidden_stays_unread_when_all_is_marked_as_read(team: Team) -> None:
    task = team.eve.task("Secret")["id"]
    team.eve.put(f"/tasks/{task}/assign?assigned_user_id={team.bob.id}")
    team.eve.task("Seen")
    team.bob.put(f"/tasks/{task}", json={"project_id": team.project})
    assert team.eve.post("/notifications/read-all").json() == {"read": 1}
    team.bob.put(f"/tasks/{task}", json={"project_id": None})
    unread = team.eve.get("/notifications?unread=true").json()
    assert [each["task_title"] for each in unread] == ["Secret"]
