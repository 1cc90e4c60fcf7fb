"""The calls that most tests begin with: people who are logged in, and their tasks."""

import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from database import database
from request_context import Origin, origin_var
from security.passwords import hash_password
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service
from services.accounts import session as session_service
from services.accounts import user as user_service
from services.accounts.session import Issued

PASSWORD = "correct horse battery"


@dataclass
class Person:
    """Somebody with an account, logged in."""

    client: TestClient
    id: int
    username: str
    token: str

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Make a request with the person's token."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def put(self, path: str, **options: Any) -> Any:
        return self.call("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        return self.call("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.call("DELETE", path, **options)

    def task(self, title: str = "Write the report", **fields: Any) -> Any:
        """Create a task and return it."""
        answer = self.post("/tasks", json={"title": title, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()


@lru_cache(maxsize=1)
def _password_hash() -> str:
    return hash_password(PASSWORD)


def _registered(db: Session, username: str, role: str) -> Issued:
    here = origin_var.set(Origin("testclient", "testclient"))
    try:
        row = user_service.create_user(db, username, f"{username}@example.com", _password_hash(), role)
        attempt_service.know_address(db, row.id)
        issued = session_service.start(db, row.id)
        audit_service.record(db, "login", actor_id=row.id, user_id=row.id, session_id=issued.session_id)
        return issued
    finally:
        origin_var.reset(here)


class Api:
    """Makes people."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def person(self, username: str = "ada", *, admin: bool = False) -> Person:
        """Somebody with an account who has logged in. Most tests begin with this, so it calls the services directly."""
        issued = database.write(lambda db: _registered(db, username, "admin" if admin else "member"))
        token: str = session_service.as_tokens(issued)["access_token"]
        return Person(self.client, issued.user_id, username, token)

    def log_in(self, username: str, password: str = PASSWORD) -> str:
        """Log in, and return the access token."""
        answer = self.client.post("/auth/login", data={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token


def assert_problem(answer: Any, status: int, code: str | None = None, pointer: str | None = None) -> Any:
    """Check that an answer is an error in the API's one shape, and return it."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "about:blank"
    old_names = {413: "Content Too Large", 422: "Unprocessable Content"}
    assert problem["title"] == old_names.get(status, HTTPStatus(status).phrase)
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem["code"])
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "code", "request_id"}
    if code is not None:
        assert problem["code"] == code
    if status == 422:
        assert problem["errors"]
    if pointer is not None:
        assert pointer in [each["pointer"] for each in problem["errors"]], problem
    return problem
