"""Tasks over HTTP."""

from tests.support.api import Api


def test_a_created_task_comes_back_with_its_defaults(api: Api) -> None:
    ada = api.person()
    answer = ada.post("/tasks", json={"title": "Write the report"})
    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    assert task | {"created_at": 0, "updated_at": 0} == {
        "id": 1,
        "title": "Write the report",
        "description": None,
        "status": "pending",
        "state": "pending",
        "priority": 0,
        "project": "General",
        "project_id": None,
        "tags": [],
        "due_at": None,
        "blocked_at": None,
        "blocked_reason": None,
        "created_at": 0,
        "updated_at": 0,
        "completed_at": None,
        "user_id": ada.id,
    }
    assert ada.get(f"/tasks/{task['id']}").json() == task


def test_stranger_gets_404_for_my_task(api: Api) -> None:
    task = api.person().task()
    answer = api.person("bob").get(f"/tasks/{task['id']}")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Task not found")
