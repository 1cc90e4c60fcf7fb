"""The number of statements of a request, which is the same for one row as for a hundred."""

import pytest
from sqlalchemy import event

from database import database
from services import background_tasks
from tests.routers.test_projects import STATES, add, project
from tests.security.test_permissions import HOOK
from tests.support.api import Api, Person


@pytest.fixture
def statements() -> list[str]:
    """Every statement that is sent from now on."""
    return []


def sent_by(person: Person, path: str, statements: list[str]) -> int:
    """The number of statements that a request sends."""

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    person.get(path)
    engine = database._autocommit  # noqa: SLF001  # the engine behind every request
    event.listen(engine, "before_cursor_execute", note)
    try:
        del statements[:]
        assert person.get(path).status_code == 200
        return len(statements)
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_list_takes_two_statements_however_long_it_is(api: Api, statements: list[str]) -> None:
    ada, admin = api.person(), api.person("root", admin=True)
    ada.post("/tasks/import", json=[{"title": str(number), "tags": ["a"]} for number in range(100)])
    bob = api.person("bob")
    # The statements of work in the background would be counted too.
    background_tasks.stop()
    # One statement reads the caller, one the list. An order by a field that may be missing reads two parts.
    for path, most in (
        ("/tasks", 2),
        ("/tasks?tag=a&status=pending", 2),
        ("/tasks?sort_by=due_at", 3),
        # A search first reads the number of tasks, and the ids of the titles that contain the text.
        ("/tasks/search?query=1", 4),
        ("/analytics/user-completion-stats", 2),
        ("/analytics/project-stats", 2),
    ):
        assert sent_by(ada, path, statements) == sent_by(bob, path, statements) <= most, statements
    for path in (
        "/tasks/all?limit=1",
        "/tasks/all?limit=100",
        "/analytics/all-users-stats",
        "/analytics/system-summary",
    ):
        assert sent_by(admin, path, statements) <= 2, statements


def test_a_page_of_the_feed_takes_four_statements_however_long_it_is(api: Api, statements: list[str]) -> None:
    ada, root = api.person(), api.person("root", admin=True)
    made = project(ada)["id"]
    for number in range(5):
        ada.task(str(number), project_id=made)
    background_tasks.stop()
    first = ada.get("/events?limit=1").json()[0]["id"]
    # The caller, the end of the feed with the event to begin behind, a member's projects, and the page.
    for person, question, most in (
        (ada, "", 4),
        (ada, f"&project_id={made}", 4),
        (root, f"&project_id={made}", 3),
        (root, "&scope=all", 3),
    ):
        path = f"/events?after={first}{question}"
        one = sent_by(person, f"{path}&limit=1", statements)
        assert one == sent_by(person, f"{path}&limit=5", statements) <= most, (path, one, statements)


@pytest.mark.one_database
def test_projects_and_what_belongs_to_them_take_as_many_statements_however_many_they_are(
    api: Api, statements: list[str]
) -> None:
    ada, bob, admin = api.person(), api.person("bob"), api.person("root", admin=True)
    few = project(ada)["id"]
    for number in range(5):
        add(ada, project(ada, f"Project {number}", states=STATES)["id"], bob)
    for number in range(5):
        add(ada, few, api.person(f"member{number}"))
        view = {"name": "Open", "filter": "state = pending", "project_id": few}
        assert ada.post("/views", json=view).status_code == 201
        ada.task(str(number), project_id=few, due_at="2026-11-28T12:00:00Z")
        assert ada.post("/webhooks", json={**HOOK, "project_id": few}).status_code == 201
    task = ada.get(f"/tasks?project_id={few}&limit=1").json()[0]["id"]
    for number in range(5):
        ada.post(f"/tasks/{task}/comments", json={"text": f"{number} @member{number}"})
    background_tasks.stop()
    for person, path, most in (
        (ada, "/projects?", 3),
        (bob, "/projects?", 3),
        (admin, "/projects?scope=all&", 3),
        (ada, "/views?", 3),
        (ada, f"/views?project_id={few}&", 4),
        (ada, f"/projects/{few}/members?", 3),
        (ada, f"/tasks?project_id={few}&", 3),
        (ada, f"/tasks/{task}/comments?", 3),
        (ada, f"/tasks/{task}/history?", 3),
        (ada, "/webhooks?", 2),
    ):
        one = sent_by(person, f"{path}limit=1", statements)
        assert one == sent_by(person, f"{path}limit=5", statements) <= most, (path, one, statements)
