"""Reading bodies: the program reads valid ones, and FastAPI describes the mistakes of others."""

import re
from typing import Any

import pytest

from main import app
from tests.support.api import Api, assert_problem

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("/tasks/none", b'{"title": "good"}', ["/{task_id}"]),
        ("/tasks/none", b'{"title": 5}', ["/{task_id}", "#/title"]),
        ("/tasks/1", b'{"title": 5, "priority": 9}', ["#/title", "#/priority"]),
        ("/tasks/1", b"null", ["#"]),
        ("/tasks/1", b"[]", ["#"]),
        ("/tasks/1", b'"text"', ["#"]),
        ("/tasks/1", b"", ["#"]),
    ],
)
def test_all_that_is_wrong_with_a_request_is_named(
    api: Api, path: str, body: bytes, pointers: list[str]
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.person().patch(path, content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == pointers


def test_an_unknown_field_is_told_what_is_allowed_in_its_place(shared_api: Api) -> None:
    ada = shared_api.person()
    states = [{"key": "todo", "name": "To do", "status": "pending", "limit": 3}]
    problems = assert_problem(ada.post("/projects", json={"name": "x", "states": states, "key": 1}), 422)[
        "errors"
    ]
    said = {each["pointer"]: each["detail"].partition("allowed: ")[2] for each in problems}
    assert said["#/states/0/limit"] == "key, name, status, wip_limit, wip_policy, waiting"
    assert said["#/key"] == "name, description, states, adopt_tasks"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"title": ', "Not valid JSON at character 10"),
        (b'{"title": "\xe4"}', "is not UTF-8"),
        (b"[" * 20_000, "is nested too deep"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(api: Api, body: bytes, reason: str) -> None:
    answer = api.person().post("/tasks", content=body, headers={"Content-Type": "application/json"})
    assert reason in assert_problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_json_is_read_whatever_its_type_is_called(api: Api, media_type: str) -> None:
    ada = api.person()
    answer: Any = ada.post("/tasks", content=b'{"title": "read"}', headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["title"]) == (201, "read")


def test_if_match_is_refused_where_nothing_has_an_etag(shared_api: Api) -> None:
    ada, refusing = shared_api.person("tagless", admin=True), []
    for path, operations in app.openapi()["paths"].items():
        for method in {"put", "patch", "delete"} & operations.keys():
            if {"$ref": "#/components/parameters/IfMatch"} in operations[method].get("parameters", ()):
                continue
            refusing.append(f"{method} {path}")
            address = re.sub("{.*?}", "1", path)
            answer = ada.call(method.upper(), address, headers={"If-Match": '"1-1"'})
            problem = assert_problem(answer, 422, "invalid_input")
            assert problem["errors"][0]["pointer"] == "header.If-Match", (method, path, problem)
    assert {"patch /tasks", "delete /views/{view_id}"} <= set(refusing)
    assert "patch /tasks/{task_id}" not in refusing
    view = ada.post("/views", json={"name": "v", "filter": "id > 0"}).json()["id"]
    assert ada.delete(f"/views/{view}", headers={"If-Match": "*"}).status_code == 204
