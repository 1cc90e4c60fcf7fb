"""Programs that followed the roadmap have endpoints of their own, with the dependencies that they import."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from auth import get_admin_user, get_current_user
from database import get_db
from models import Caller, Task
from tests.support.api import Api
from web.problems import install_error_handlers

Db = Annotated[Session, Depends(get_db)]
QuickDb = Annotated[Session, Depends(get_db, scope="function")]
User = Annotated[Caller, Depends(get_current_user)]
Admin = Annotated[Caller, Depends(get_admin_user)]


def own_program() -> FastAPI:
    program = FastAPI()

    @program.post("/made")
    def made(title: str, db: Db, user: User) -> dict[str, Any]:
        task = Task(title=title, user_id=user.id)
        db.add(task)
        db.commit()
        db.refresh(task)
        return {"id": task.id, "status": task.status, "title": task.title}

    @program.post("/made-later")
    async def made_later(title: str, user: User, db: QuickDb) -> dict[str, Any]:
        db.add(Task(title=title, user_id=user.id))
        return {"owner": user.username}

    @program.post("/failed")
    def failed(db: Db, user: User) -> None:
        db.add(Task(title="never", user_id=user.id))
        db.flush()
        raise LookupError

    @program.get("/admins")
    def admins(user: Admin, db: Db) -> int:
        return db.query(Task).count()

    return program


@pytest.fixture
def own() -> Iterator[TestClient]:
    with TestClient(own_program(), raise_server_exceptions=False) as client:
        yield client


def test_endpoints_of_another_program_read_write_and_know_the_caller(own: TestClient, api: Api) -> None:
    ada, root = api.person(), api.person("root", admin=True)
    headers = {"Authorization": f"Bearer {ada.token}"}
    made = own.post("/made?title=first", headers=headers).json()
    assert made == {"id": made["id"], "status": "pending", "title": "first"}
    assert own.post("/made-later?title=second", headers=headers).json() == {"owner": ada.username}
    assert own.post("/failed", headers=headers).status_code == 500
    assert {task["title"] for task in ada.get("/tasks").json()} == {"first", "second"}
    assert own.get("/admins", headers={"Authorization": f"Bearer {root.token}"}).json() == 2


def test_endpoints_of_another_program_refuse_as_fastapi_does(own: TestClient, api: Api) -> None:
    ada = api.person()
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        answer = own.post("/made?title=x", headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid token"})
        assert answer.headers["www-authenticate"] == "Bearer"
    answer = own.get("/admins", headers={"Authorization": f"Bearer {ada.token}"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Admin access required"})


@pytest.mark.one_database
def test_endpoints_beside_those_of_the_api_refuse_with_its_codes(api: Api) -> None:
    program = own_program()
    install_error_handlers(program)
    nonsense, member = ({"Authorization": f"Bearer {token}"} for token in ("nonsense", api.person().token))
    with TestClient(program) as own:
        answers = [own.post("/made?title=x"), own.post("/made?title=x", headers=nonsense)]
        answers.append(own.get("/admins", headers=member))
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (401, "not_authenticated"),
        (401, "invalid_token"),
        (403, "admin_required"),
    ]
    assert answers[0].headers["www-authenticate"] == "Bearer"
