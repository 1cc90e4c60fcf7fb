"""Tasks and accounts that other programs write as objects, with only the fields that the API shows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from database import database
from errors import NotFound
from models import Task, User
from services import task_service
from tests.support.api import Api


def test_a_task_written_as_an_object_is_found_and_changed_like_any(api: Api) -> None:
    ada = api.person()
    begun = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # a naive time, as many programs write it
    with database.session_factory.begin() as session:
        session.add(Task(title="STRASSE", description="Größe", user_id=ada.id, created_at=begun))
        session.add(Task(title="Done", status="completed", user_id=ada.id))
    done, street = ada.get("/tasks?sort_by=title&sort_order=asc").json()
    assert street["created_at"] == street["updated_at"] == "2026-01-02T03:04:05Z"
    assert done["completed_at"] == done["updated_at"] is not None
    path = f"/tasks/{street['id']}"
    tag = ada.get(path).headers["ETag"]
    assert [each["id"] for each in ada.get("/tasks/search?query=straße").json()] == [street["id"]]
    assert len(ada.get("/tasks", params={"filter": "description ~ GRÖSSE"}).json()) == 1

    with database.session_factory.begin() as session:
        task = session.get_one(Task, street["id"])
        task.title, task.status = "Route", "completed"
        session.get_one(Task, done["id"]).status = "pending"
    changed = ada.get(path)
    assert changed.headers["ETag"] != tag
    assert changed.json()["completed_at"] == changed.json()["updated_at"] > street["updated_at"]
    assert ada.get(f"/tasks/{done['id']}").json()["completed_at"] is None
    assert ada.get("/tasks/search?query=straße").json() == []
    assert len(ada.get("/tasks/search?query=ROUTE").json()) == 1
    assert ada.get("/analytics/user-completion-stats").json()["completed_tasks"] == 1


@pytest.mark.one_database
def test_a_blocked_task_that_is_completed_as_an_object_is_blocked_no_more(api: Api) -> None:
    ada = api.person()
    path = f"/tasks/{ada.task()['id']}"
    ada.put(f"{path}/blocked", json={"reason": "Waits for Bob"})
    with database.session_factory.begin() as session:
        session.query(Task).one().status = "completed"
    read = ada.get(path).json()
    assert (read["status"], read["blocked_at"], read["blocked_reason"]) == ("completed", None, None)


def test_a_task_that_is_only_read_as_an_object_stays_as_it_is(api: Api) -> None:
    ada = api.person()
    before = ada.task()
    with database.session_factory.begin() as session:
        task = session.get_one(Task, before["id"])
        task.title = before["title"]
    assert ada.get(f"/tasks/{before['id']}").json() == before


def test_an_account_written_as_an_object_can_log_in_by_its_email(api: Api) -> None:
    ada = api.person()
    with database.session_factory.begin() as session:
        hashed = session.get_one(User, ada.id).password_hash
        session.add(User(username="bob", email="Bob@Example.com", password_hash=hashed))
    with database.session_factory() as session:
        assert session.query(User).filter(User.username == "bob").one().created_at.tzinfo == UTC
    assert api.log_in("bob@example.com")


def test_services_take_an_account_as_an_object(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    theirs = bob.task("Mine")["id"]
    with database.session_factory.begin() as session:
        account: Any = session.get_one(User, ada.id)
        made = task_service.create_task(session, account, {"title": "New"})
        task_service.update_task(session, account, made.id, {"status": "completed"})
        with pytest.raises(NotFound):
            task_service.get_task(session, account, theirs)
        account.role = "admin"
        task_service.delete_task(session, account, theirs)
    assert [each["status"] for each in ada.get("/tasks").json()] == ["completed"]
    assert bob.get("/tasks").json() == []
