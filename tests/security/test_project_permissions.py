"""Who may do what with a shared project, as a table, and that nothing of it is to be seen from outside."""

import re
from typing import Any

import pytest

from tests.routers.test_projects import STATES, add, project
from tests.support.api import Api, Person, assert_problem
from tests.support.snapshot import Snapshot

# `theirs` owns the task and wrote the comment; `member` is another member. `former` was a member, `other` is the
# manager of another project, `admin` is no member.
ACTORS = "viewer member theirs manager former other admin"
TABLE = """
GET    /projects/{project}                       200 200 200 200 404 404 200
PATCH  /projects/{project}                       403 403 403 200 404 404 200
DELETE /projects/{project}?tasks=release         403 403 403 204 404 404 204
GET    /projects/{project}/members               200 200 200 200 404 404 200
PUT    /projects/{project}/members/{new}         403 403 403 200 404 404 200
DELETE /projects/{project}/members/{idle}        403 403 403 204 404 404 204
POST   /tasks                                    403 201 201 201 404 404 201
POST   /tasks/import?project_id={project}        403 201 201 201 404 404 409
GET    /tasks?project_id={project}               200 200 200 200 404 404 200
GET    /tasks/search?query=e&project_id={project} 200 200 200 200 404 404 200
GET    /tasks/all?project_id={project}           403 403 403 403 403 403 200
GET    /tasks/{task}                             200 200 200 200 404 404 200
GET    /tasks/{task}/history                     200 200 200 200 404 404 200
PUT    /tasks/{task}                             403 200 200 200 404 404 200
PATCH  /tasks/{task}                             403 200 200 200 404 404 200
DELETE /tasks/{task}                             403 403 200 200 404 404 200
PUT    /tasks/{task}/assign?assigned_user_id={idle} 403 200 200 200 404 404 200
PUT    /tasks/{task}/blocked                     403 200 200 200 404 404 200
DELETE /tasks/{task}/blocked                     403 200 200 200 404 404 200
POST   /tasks/{task}/comments                    403 201 201 201 404 404 201
GET    /tasks/{task}/comments                    200 200 200 200 404 404 200
GET    /tasks/{task}/comments/{comment}          200 200 200 200 404 404 200
PATCH  /tasks/{task}/comments/{comment}          403 403 200 403 404 404 403
DELETE /tasks/{task}/comments/{comment}          403 403 204 204 404 404 204
"""
BODIES: dict[str, Any] = {
    "PATCH /projects/{project}": {"description": "Other"},
    "PUT /projects/{project}/members/{new}": {"role": "viewer"},
    "POST /tasks": {"title": "x", "project_id": "project", "user_id": "idle"},
    "POST /tasks/import?project_id={project}": [{"title": "x"}],
    "PUT /tasks/{task}": {"title": "y"},
    "PATCH /tasks/{task}": {"status": "in_progress"},
    "PUT /tasks/{task}/blocked": {"reason": "why"},
    "POST /tasks/{task}/comments": {"text": "so"},
    "PATCH /tasks/{task}/comments/{comment}": {"text": "no"},
}


class World:
    """A project with everybody who may come along."""

    def __init__(self, api: Api) -> None:
        self.people = {name: api.person(name, admin=name == "admin") for name in ACTORS.split()}
        manager, theirs = self.people["manager"], self.people["theirs"]
        made = project(manager, states=STATES)["id"]
        project(self.people["other"], "Elsewhere")
        idle = api.person("idle")
        for name in ("viewer", "member", "theirs", "former"):
            add(manager, made, self.people[name], "viewer" if name == "viewer" else "member")
        add(manager, made, idle)
        former = self.people["former"]
        assert manager.delete(f"/projects/{made}/members/{former.id}").status_code == 204
        task = theirs.task("Write the report", project_id=made)["id"]
        comment = theirs.post(f"/tasks/{task}/comments", json={"text": "Ready"}).json()["id"]
        self.ids = {
            "project": made,
            "task": task,
            "comment": comment,
            "idle": idle.id,
            "new": api.person("new").id,
        }

    def call(self, actor: str, line: str) -> Any:
        """The answer to somebody who makes a call of the table."""
        method, path = line.split(" ", 1)
        body = BODIES.get(line)
        if isinstance(body, dict):
            body = {name: self.ids.get(value, value) for name, value in body.items()}
        options = {} if body is None else {"json": body}
        return self.people[actor].call(method, path.format(**self.ids), **options)


# Who may do what is decided by the same code on both databases, so one of them will do for the long table.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_everybody_may_do_in_a_project_what_the_table_says(api: Api, database_url: str) -> None:
    wrong = []
    world = World(api)
    before = Snapshot(database_url)
    for line in TABLE.strip().splitlines():
        method, path, *statuses = line.split()
        endpoint = f"{method} {path}"
        for actor, expected in zip(ACTORS.split(), map(int, statuses), strict=True):
            answer = world.call(actor, endpoint)
            if answer.status_code != expected:
                wrong.append(
                    f"{endpoint} by {actor}: {answer.status_code} for {expected}: {answer.text[:200]}"
                )
            if (
                answer.status_code == 403
                and "/all" not in endpoint
                and not endpoint.startswith("PATCH /tasks/{task}/c")
            ):
                problem = assert_problem(answer, 403, "project_role")
                assert re.search(r"\b(member|manager)\b", problem["detail"])
            if answer.status_code < 300 and not endpoint.startswith("GET"):
                before.restore()
    before.close()
    assert wrong == []


def seen(person: Person, paths: list[str]) -> list[tuple[int, Any]]:
    """What somebody is answered, but for the ids of the requests."""
    answers = [person.get(path) for path in paths]
    return [
        (
            answer.status_code,
            {**answer.json(), "request_id": ""} if answer.status_code > 400 else answer.json(),
        )
        for answer in answers
    ]


def test_a_project_and_one_that_there_is_not_look_the_same_from_outside(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada, "Secret")["id"]
    task = ada.task("Hidden", project_id=made, tags=["x"])["id"]
    there, not_there = (
        [
            f"/projects/{project_id}",
            f"/projects/{project_id}/members",
            f"/tasks?project_id={project_id}",
            f"/tasks?project_id={project_id}&total=true",
            f"/tasks/search?query=Hidden&project_id={project_id}",
            f"/tasks/{task_id}",
            f"/tasks/{task_id}/history",
            f"/tasks/{task_id}/comments",
            f"/tasks/{task_id}/comments/1",
            f"/analytics/flow?project_id={project_id}",
        ]
        for project_id, task_id in ((made, task), (987, 987))
    )
    assert seen(bob, there) == seen(bob, not_there)
    for method, path, options in (
        ("PATCH", "/tasks/{}", {"json": {"title": "x"}, "headers": {"If-Match": '"1-1"'}}),
        ("DELETE", "/tasks/{}", {"headers": {"If-Match": '"1-1"'}}),
        ("PUT", "/tasks/{}/assign?assigned_user_id=1", {}),
        ("PUT", "/tasks/{}/blocked", {"json": {"reason": "x"}}),
        ("POST", "/tasks/{}/comments", {"json": {"text": "x"}}),
    ):
        problems = [
            {**bob.call(method, path.format(task_id), **options).json(), "request_id": ""}
            for task_id in (task, 987)
        ]
        assert problems[0] == problems[1], path
    for project_id in (made, 987):
        assert_problem(
            bob.post("/tasks", json={"title": "x", "project_id": project_id}), 404, "project_not_found"
        )
    for search in (
        "/tasks?tag=x",
        "/tasks/search?query=Hidden",
        "/tasks?state=pending",
        "/tasks?title_contains=H",
    ):
        assert bob.get(search).json() == []


def test_whoever_leaves_hears_no_more_of_it(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    add(ada, made, bob)
    task = ada.task("Secret plan", project_id=made)["id"]
    ada.post(f"/tasks/{task}/comments", json={"text": "Look, @bob"})
    assert [each["kind"] for each in bob.get("/notifications").json()] == ["mentioned", "added_to_project"]
    ada.delete(f"/projects/{made}/members/{bob.id}")
    assert bob.get("/notifications").json() == []
    ada.delete(f"/tasks/{task}")
    assert bob.get("/notifications").json() == []
    # A task that goes to a project takes along what is told of it.
    private = bob.task("Mine")["id"]
    bob.put(f"/tasks/{private}/assign?assigned_user_id={ada.id}")
    ada.patch(f"/tasks/{private}", json={"project_id": made})
    assert bob.get("/notifications").json() == []
