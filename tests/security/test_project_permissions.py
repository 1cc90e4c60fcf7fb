"""The rights of every role in a shared project, as a table. Nobody outside sees anything of the project."""

import re
from typing import Any

import pytest

from main import app
from services import background_tasks, completion_times
from services.flow import history as flow_history
from tests.routers.test_projects import STATES, add, project
from tests.support.api import Api, Person, assert_problem
from tests.support.snapshot import Snapshot

# `theirs` owns the task and wrote the comment, and made the view and the calendar; `manager` made the webhook.
# `member` is another member. `former` was a member and made a calendar and a link to a picture meanwhile, `other`
# is the manager of another project, `admin` is no member.
ACTORS = "viewer member theirs manager former other admin"
# A word behind `#` tells apart calls with different bodies.
TABLE = """
GET    /projects                                 200 200 200 200 200 200 200
GET    /projects?scope=all                       403 403 403 403 403 403 200
POST   /projects                                 201 201 201 201 201 201 201
GET    /projects/{project_id}                    200 200 200 200 404 404 200
PATCH  /projects/{project_id}                    403 403 403 200 404 404 200
DELETE /projects/{project_id}?tasks=release      403 403 403 204 404 404 204
GET    /projects/{project_id}/members            200 200 200 200 404 404 200
PUT    /projects/{project_id}/members/{new_id}   403 403 403 200 404 404 200
DELETE /projects/{project_id}/members/{idle_id}  403 403 403 204 404 404 204

POST   /tasks                                    403 201 201 201 404 404 201
POST   /tasks/import?project_id={project_id}     403 201 201 201 404 404 409
POST   /tasks/batch#create                       403 200 200 200 404 404 200
POST   /tasks/batch#update                       403 200 200 200 404 404 200
POST   /tasks/batch#assign                       403 200 200 200 404 404 200
POST   /tasks/batch#delete                       403 403 200 200 404 404 200
PATCH  /tasks?filter=title~report&expected=1&project_id={project_id} 409 409 200 409 404 404 409
DELETE /tasks?filter=title~report&expected=1&project_id={project_id} 409 409 200 409 404 404 409
PATCH  /tasks?filter=title~report&expected=1     409 409 200 409 409 409 409
GET    /tasks?project_id={project_id}            200 200 200 200 404 404 200
GET    /tasks?view={view_id}                     200 200 200 200 404 404 200
GET    /tasks/search?query=e&project_id={project_id} 200 200 200 200 404 404 200
GET    /tasks/all?project_id={project_id}        403 403 403 403 403 403 200
GET    /tasks/admin/filter?project_id={project_id} 403 403 403 403 403 403 200
GET    /tasks/export?view={view_id}              200 200 200 200 404 404 200
GET    /tasks/{task_id}                          200 200 200 200 404 404 200
GET    /tasks/{task_id}/history                  200 200 200 200 404 404 200
PUT    /tasks/{task_id}                          403 200 200 200 404 404 200
PATCH  /tasks/{task_id}                          403 200 200 200 404 404 200
PATCH  /tasks/{task_id}#out                      403 403 200 200 404 404 200
PATCH  /tasks/{private_id}#in                    404 404 200 404 404 404 200
DELETE /tasks/{task_id}                          403 403 200 200 404 404 200
PUT    /tasks/{task_id}/assign?assigned_user_id={idle_id} 403 200 200 200 404 404 200
PUT    /tasks/{task_id}/blocked                  403 200 200 200 404 404 200
DELETE /tasks/{task_id}/blocked                  403 200 200 200 404 404 200
POST   /tasks/{task_id}/comments                 403 201 201 201 404 404 201
GET    /tasks/{task_id}/comments                 200 200 200 200 404 404 200
GET    /tasks/{task_id}/comments/{comment_id}    200 200 200 200 404 404 200
PATCH  /tasks/{task_id}/comments/{comment_id}    403 403 200 403 404 404 403
DELETE /tasks/{task_id}/comments/{comment_id}    403 403 204 204 404 404 204

POST   /views                                    403 201 201 201 404 404 201
GET    /views?project_id={project_id}            200 200 200 200 404 404 200
GET    /views/{view_id}                          200 200 200 200 404 404 200
PATCH  /views/{view_id}                          403 403 200 200 404 404 200
DELETE /views/{view_id}                          403 403 204 204 404 404 204
POST   /calendars                                201 201 201 201 404 404 201
GET    /calendars                                200 200 200 200 200 200 200
DELETE /calendars/{calendar_id}                  404 404 204 404 404 404 404
GET    /calendar/{token}.ics                     200 200 200 200 200 200 200
GET    /calendar/{former_token}.ics              404 404 404 404 404 404 404

GET    /analytics/flow?project_id={project_id}            200 200 200 200 404 404 200
GET    /analytics/throughput?project_id={project_id}      200 200 200 200 404 404 200
GET    /analytics/throughput?view={view_id}               200 200 200 200 404 404 200
GET    /analytics/cumulative-flow?project_id={project_id} 200 200 200 200 404 404 200
GET    /analytics/time-in-status?project_id={project_id}  200 200 200 200 404 404 200
GET    /analytics/aging?project_id={project_id}           200 200 200 200 404 404 200
GET    /analytics/cycle-times?project_id={project_id}     200 200 200 200 404 404 200
GET    /analytics/forecast?remaining=1&project_id={project_id} 409 409 409 409 404 404 409
GET    /analytics/burnup?project_id={project_id}          200 200 200 200 404 404 200
POST   /analytics/pictures                                201 201 201 201 404 404 201
GET    /analytics/pictures/throughput?signature={picture} 200 200 200 200 200 200 200
GET    /analytics/pictures/throughput?signature={former_picture} 404 404 404 404 404 404 404
GET    /analytics/user-completion-stats          200 200 200 200 200 200 200
GET    /analytics/project-stats                  200 200 200 200 200 200 200
GET    /analytics/completion-time-stats          200 200 200 200 200 200 200
GET    /analytics/all-users-stats                403 403 403 403 403 403 200
GET    /analytics/system-summary                 403 403 403 403 403 403 200

GET    /notifications                            200 200 200 200 200 200 200
GET    /notifications/{notification_id}          404 404 200 404 404 404 404
POST   /notifications/{notification_id}/read     404 404 200 404 404 404 404
GET    /events?project_id={project_id}           200 200 200 200 200 404 200
GET    /events?task_id={task_id}                 200 200 200 200 200 200 200
HEAD   /events/stream?project_id={project_id}    200 200 200 200 200 404 200
GET    /webhooks                                 200 200 200 200 200 200 200
POST   /webhooks                                 403 403 403 201 404 404 201
GET    /webhooks/{webhook_id}                    403 403 403 200 404 404 200
PATCH  /webhooks/{webhook_id}                    403 403 403 200 404 404 200
DELETE /webhooks/{webhook_id}                    403 403 403 204 404 404 204
POST   /webhooks/{webhook_id}/ping               403 403 403 202 404 404 202
POST   /webhooks/{webhook_id}/rotate             403 403 403 200 404 404 200
POST   /webhooks/{webhook_id}/replay             403 403 403 202 404 404 202
GET    /webhooks/{webhook_id}/deliveries         403 403 403 200 404 404 200
POST   /webhooks/{webhook_id}/deliveries/{delivery_id}/retry 403 403 403 202 404 404 202
"""
# The endpoints that have nothing to do with projects.
ELSEWHERE = re.compile(
    r"\S+ /(auth/.*|users.*|audit|sample-task|health|ready|metrics|test-background|analytics/definitions"
    r"|notifications/(preferences|read-all|failed.*))?"
)
HOOK = {"url": "https://nowhere.invalid/hook", "types": ["task.*"]}
BODIES: dict[str, Any] = {
    "POST /projects": {"name": "Another"},
    "PATCH /projects/{project_id}": {"description": "Other"},
    "PUT /projects/{project_id}/members/{new_id}": {"role": "viewer"},
    "POST /tasks": {"title": "x", "project_id": "project_id", "user_id": "idle_id"},
    "POST /tasks/import?project_id={project_id}": [{"title": "x"}],
    "POST /tasks/batch#create": {
        "operations": [
            {"op": "create", "task": {"title": "x", "project_id": "project_id", "user_id": "idle_id"}}
        ]
    },
    "POST /tasks/batch#update": {
        "operations": [{"op": "update", "id": "task_id", "task": {"title": "A report"}}]
    },
    "POST /tasks/batch#assign": {
        "operations": [{"op": "assign", "id": "task_id", "assigned_user_id": "idle_id"}]
    },
    "POST /tasks/batch#delete": {"operations": [{"op": "delete", "id": "task_id"}]},
    "PATCH /tasks?filter=title~report&expected=1&project_id={project_id}": {"priority": 2},
    "PATCH /tasks?filter=title~report&expected=1": {"priority": 2},
    "PUT /tasks/{task_id}": {"title": "y"},
    "PATCH /tasks/{task_id}": {"status": "in_progress"},
    "PATCH /tasks/{task_id}#out": {"project_id": None},
    "PATCH /tasks/{private_id}#in": {"project_id": "project_id"},
    "PUT /tasks/{task_id}/blocked": {"reason": "why"},
    "POST /tasks/{task_id}/comments": {"text": "so"},
    "PATCH /tasks/{task_id}/comments/{comment_id}": {"text": "no"},
    "POST /views": {"name": "Mine", "filter": "state = todo", "project_id": "project_id"},
    "PATCH /views/{view_id}": {"name": "Renamed"},
    "POST /calendars": {"view_id": "view_id"},
    "POST /analytics/pictures": {"chart": "throughput", "query": {"project_id": "project_id"}},
    "POST /webhooks": {**HOOK, "project_id": "project_id"},
    "PATCH /webhooks/{webhook_id}": {"description": "Tells the chat"},
    "POST /webhooks/{webhook_id}/replay": {"after": "event"},
}
# Calls that members may make and that are refused for another reason than the role.
NO_ROLE = re.compile(r"GET /(tasks/all|tasks/admin|projects\?|analytics)|PATCH /tasks/{task_id}/comments/")


class World:
    """A project, and an account of each kind of caller."""

    def __init__(self, api: Api) -> None:
        self.people = {name: api.person(name) for name in ACTORS.split() if name != "admin"}
        self.people["admin"] = api.person("admin", admin=True)
        manager, theirs, former = (self.people[name] for name in ("manager", "theirs", "former"))
        made = project(manager, states=STATES)["id"]
        project(self.people["other"], "Elsewhere")
        idle = api.person("idle")
        for name in ("viewer", "member", "theirs", "former"):
            add(manager, made, self.people[name], "viewer" if name == "viewer" else "member")
        add(manager, made, idle)
        task = theirs.task("Write the report", project_id=made)["id"]
        comment = self._made(theirs, f"/tasks/{task}/comments", text="Ready")["id"]
        view = self._made(theirs, "/views", name="Open", filter="state = todo", project_id=made)["id"]
        calendar = self._made(theirs, "/calendars", view_id=view)
        hook = self._made(manager, "/webhooks", **HOOK, project_id=made)["id"]
        self.ids: dict[str, Any] = {
            "project_id": made,
            "task_id": task,
            "private_id": theirs.task("Mine alone")["id"],
            "comment_id": comment,
            "idle_id": idle.id,
            "new_id": api.person("new").id,
            "view_id": view,
            "calendar_id": calendar["id"],
            "token": self._token(calendar),
            "former_token": self._token(self._made(former, "/calendars", view_id=view)),
            "picture": self._picture(theirs, made),
            "former_picture": self._picture(former, made),
            "notification_id": theirs.get("/notifications").json()[0]["id"],
            "webhook_id": hook,
            "delivery_id": self._made(manager, f"/webhooks/{hook}/ping")["id"],
            "event": manager.get("/events").json()[0]["id"],
        }
        assert manager.delete(f"/projects/{made}/members/{former.id}").status_code == 204

    @staticmethod
    def _made(person: Person, path: str, **body: Any) -> Any:
        answer = person.post(path, **({"json": body} if body else {}))
        assert answer.status_code in (201, 202), answer.text
        return answer.json()

    @staticmethod
    def _token(calendar: dict[str, Any]) -> str:
        return str(calendar["url"]).rpartition("/")[2].removesuffix(".ics")

    def _picture(self, person: Person, project_id: int) -> str:
        query = {"project_id": project_id}
        made = self._made(person, "/analytics/pictures", chart="throughput", query=query)
        return str(made["url"]).partition("signature=")[2]

    def call(self, actor: str, line: str) -> Any:
        """The answer to a call of the table by this actor."""
        method, path = line.partition("#")[0].split(" ", 1)
        options = {"json": self._filled(BODIES[line])} if line in BODIES else {}
        return self.people[actor].call(method, path.format(**self.ids), **options)

    def _filled(self, body: Any) -> Any:
        """The body with ids in the place of names."""
        if isinstance(body, dict):
            return {name: self._filled(value) for name, value in body.items()}
        if isinstance(body, list):
            return [self._filled(each) for each in body]
        return self.ids.get(body, body) if isinstance(body, str) else body


def rows() -> dict[str, list[int]]:
    """The table: the statuses by method and path."""
    found = {}
    for line in filter(None, TABLE.split("\n")):
        method, path, *statuses = line.split()
        found[f"{method} {path}"] = [int(status) for status in statuses]
    return found


def shape(endpoint: str) -> str:
    """An endpoint without the names of its parameters."""
    method, path = re.split("[?#]", endpoint)[0].split()
    if path.startswith("/analytics/pictures/"):
        path = "/analytics/pictures/{chart}"
    return f"{'GET' if method == 'HEAD' else method} {re.sub('{.*?}', '{}', path)}"


def test_every_endpoint_has_its_cells() -> None:
    paths = app.openapi()["paths"]
    endpoints = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    about_projects = {shape(each) for each in endpoints if not ELSEWHERE.fullmatch(each)}
    assert about_projects == {shape(each) for each in rows()}


# Rights are decided by the same code on both databases, so one database is enough for the long table.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_everybody_may_do_in_a_project_what_the_table_says(api: Api, database_url: str) -> None:
    wrong, world = [], World(api)
    background_tasks.stop()
    snapshot = Snapshot(database_url)
    for endpoint, statuses in rows().items():
        for actor, expected in zip(ACTORS.split(), statuses, strict=True):
            answer = world.call(actor, endpoint)
            if answer.status_code != expected:
                wrong.append(
                    f"{endpoint} by {actor}: {answer.status_code} for {expected}: {answer.text[:200]}"
                )
            if answer.status_code == 403 and not NO_ROLE.match(endpoint):
                problem = assert_problem(answer, 403, "project_role")
                assert re.search(r"\b(member|manager)\b", problem["detail"])
            if answer.status_code < 300 and not endpoint.startswith(("GET", "HEAD")):
                background_tasks.stop()
                snapshot.restore()
                # Figures are kept by versions, and the restored database repeats versions.
                completion_times.kept.clear()
                flow_history.clear()
    snapshot.close()
    assert wrong == []


@pytest.mark.one_database
def test_the_lists_of_others_have_nothing_of_it(api: Api) -> None:
    people = World(api).people
    lists = ("/tasks", "/tasks/search?query=e", "/calendars", "/views", "/webhooks", "/notifications")
    for actor, paths in (("other", lists), ("admin", lists), ("former", lists[3:]), ("member", lists[:3])):
        for path in paths:
            assert people[actor].get(path).json() == [], (actor, path)
    for path in ("/projects", "/events"):
        assert people["admin"].get(path).json() == []
    (own,) = people["other"].get("/projects").json()
    (event,) = people["other"].get("/events").json()
    assert (own["name"], event["data"]["project_id"]) == ("Elsewhere", own["id"])


def answers_to(person: Person, paths: list[str]) -> list[tuple[int, Any]]:
    """The answers to this person, without the ids of the requests."""
    answers = [person.get(path) for path in paths]
    return [
        (
            answer.status_code,
            {**answer.json(), "request_id": ""} if answer.status_code > 400 else answer.json(),
        )
        for answer in answers
    ]


@pytest.mark.one_database
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
    assert answers_to(bob, there) == answers_to(bob, not_there)
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
    # A task that goes to a project takes its notifications along.
    private = bob.task("Mine")["id"]
    bob.put(f"/tasks/{private}/assign?assigned_user_id={ada.id}")
    ada.patch(f"/tasks/{private}", json={"project_id": made})
    assert bob.get("/notifications").json() == []


@pytest.mark.one_database
def test_a_refusal_names_the_role_that_suffices(api: Api) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    made = project(ada)["id"]
    add(ada, made, bob)
    add(ada, made, eve, "viewer")
    path = f"/tasks/{ada.task(project_id=made)['id']}"
    comment = f"{path}/comments/{ada.post(f'{path}/comments', json={'text': 'x'}).json()['id']}"
    for person in (bob, eve):
        for method, where, options in (
            ("DELETE", path, {}),
            ("PATCH", path, {"json": {"project_id": None}}),
            ("DELETE", comment, {}),
        ):
            refused = assert_problem(person.call(method, where, **options), 403, "project_role")
            assert "the role manager" in refused["detail"]
        assert_problem(person.patch(comment, json={"text": "y"}), 403, "not_author")
    refused = assert_problem(eve.post(f"{path}/comments", json={"text": "y"}), 403, "project_role")
    assert "the role member" in refused["detail"]
