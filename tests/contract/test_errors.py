"""Errors: all have one shape, none is a 500, and no input is ignored silently."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from main import app
from services import task_service
from tests.support.api import PASSWORD, Api, assert_problem
from tests.support.openapi_check import CheckedClient


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/sample-task"),
        ("GET", "/tasks"),
        ("GET", "/tasks/search?query=report"),
        ("GET", "/tasks/1"),
        ("GET", "/tasks/1/history"),
        ("GET", "/tasks/export"),
        ("GET", "/auth/me"),
        ("GET", "/users/lookup?username=ada"),
        ("GET", "/analytics/project-stats"),
        ("GET", "/openapi.json"),
        ("PUT", "/tasks/1/assign?assigned_user_id=1"),
    ],
)
def test_paths_answer_with_and_without_a_trailing_slash(api: Api, method: str, path: str) -> None:
    ada = api.person()
    ada.task()
    path, _, query = path.partition("?")
    answers = [
        ada.call(method, f"{each}?{query}" if query else each, follow_redirects=False)
        for each in (path, path.rstrip("/") + "/")
    ]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].content == answers[1].content


@pytest.mark.one_database
def test_a_body_is_taken_with_a_trailing_slash_too(api: Api) -> None:
    ada = api.person()
    for path in ("/tasks", "/tasks/"):
        assert ada.post(path, json={"title": "x"}, follow_redirects=False).status_code == 201
    document = ada.get("/openapi.json").json()
    assert not [path for path in document["paths"] if path.endswith("/") and path != "/"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/tasks/1/nothing", "/tasks//", "/docs/nothing", "/Tasks", "/%00"]
)
def test_an_unknown_path_is_404(path: str) -> None:
    assert_problem(CheckedClient(app).get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/tasks", "DELETE, GET, HEAD, PATCH, POST"),
        ("/tasks/", "DELETE, GET, HEAD, PATCH, POST"),
        ("/tasks/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/tasks/1/assign", "PUT"),
        ("/tasks/search", "GET, HEAD"),
        ("/tasks/all", "GET, HEAD"),
        ("/tasks/export", "GET, HEAD"),
        ("/tasks/import", "POST"),
        ("/tasks/import/", "POST"),
        ("/auth/login", "POST"),
        ("/analytics/system-summary", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_405_and_names_those_it_takes(path: str, methods: str) -> None:
    client = CheckedClient(app)
    for method in ("DELETE", "PUT", "PATCH", "GET", "POST", "HEAD", "OPTIONS", "TRACE", "BREW"):
        if method in methods.split(", "):
            continue
        answer = client.request(method, path)
        assert answer.status_code == 405, method
        assert sorted(answer.headers["allow"].split(", ")) == methods.split(", ")
        if method != "HEAD":
            assert method in assert_problem(answer, 405, "method_not_allowed")["detail"]


@pytest.mark.one_database
def test_head_answers_like_get_without_a_body(api: Api) -> None:
    ada = api.person()
    task = ada.task()
    get, head = (ada.call(method, f"/tasks/{task['id']}") for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["content-length"] == get.headers["content-length"]


# -- request ids -----------------------------------------------------------------------------------


@pytest.mark.one_database
def test_every_answer_has_a_request_id_the_callers_if_it_is_sane(api: Api) -> None:
    client = api.client
    assert client.get("/", headers={"X-Request-ID": "abc-123"}).headers["x-request-id"] == "abc-123"
    made = {client.get("/").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    for odd in ("", "two words", "x" * 129, "a\tb", "é", "a;b", "<script>"):
        answer = client.get("/nothing", headers={b"X-Request-ID": odd.encode()})
        assert answer.headers["x-request-id"] not in {odd, ""}
        assert_problem(answer, 404)


@pytest.mark.one_database
def test_a_500_says_nothing_of_the_inside_and_has_the_id_of_its_log_line(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(task_service, "get_task", broken)
    answer = ada.get("/tasks/1")
    problem = assert_problem(answer, 500, "internal_error")
    assert "inside" not in answer.text
    lines = [record for record in caplog.records if problem["request_id"] in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].exc_info


# -- who is calling --------------------------------------------------------------------------------


@pytest.mark.one_database
def test_a_token_that_is_missing_or_wrong_is_401(api: Api) -> None:
    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer a",
        "Bearer a.b.c",
        "Basic YTpi",
        "Bearer \xff.a.b",
    ):
        headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
        answer = api.client.get("/auth/me", headers=headers)
        is_there = header is not None and header.startswith("Bearer ") and header != "Bearer "
        problem = assert_problem(answer, 401, "invalid_token" if is_there else "not_authenticated")
        assert problem["detail"] == "Invalid token"
        assert answer.headers["www-authenticate"] == "Bearer"


# -- bodies ----------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}


@pytest.mark.one_database
def test_import_takes_32_mebibytes_and_no_more(api: Api) -> None:
    ada = api.person()
    rows = [{"title": "x", "description": "ü" * 10_000}] * 100
    body = json.dumps(rows, ensure_ascii=False).encode()
    assert len(body) > 1024 * 1024
    assert ada.post("/tasks/import", content=body, headers=JSON).json()["imported"] == 100

    def pieces() -> Iterator[bytes]:
        for _ in range(33):
            yield b" " * 1024 * 1024

    assert_problem(ada.post("/tasks/import", content=b"".join(pieces()), headers=JSON), 413)
    assert_problem(ada.post("/tasks/import", content=pieces(), headers=JSON), 413)
    assert len(ada.get("/tasks?limit=500").json()) == 100


@pytest.mark.one_database
def test_json_is_taken_under_its_other_names(api: Api) -> None:
    ada = api.person()
    task = ada.task()
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
        answer = ada.patch(f"/tasks/{task['id']}", content=b'{"title": "y"}', headers={"Content-Type": kind})
        assert answer.status_code == 200


@pytest.mark.one_database
def test_the_login_form_ignores_fields_that_it_does_not_know(api: Api) -> None:
    api.person()
    form = {"username": "ada", "password": PASSWORD, "grant_type": "password", "scope": "", "x": "y"}
    assert api.client.post("/auth/login", data=form).status_code == 200
    parts = {name: (None, value) for name, value in form.items()}
    assert api.client.post("/auth/login", files=parts).status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("path", "body", "change"),
    [
        ("/tasks", {"title": "Write the report"}, {"priority": 2}),
        ("/projects", {"name": "Research"}, {"description": "Together"}),
        ("/views", {"name": "all", "filter": "id > 0"}, {"sort_by": "title"}),
        (
            "/webhooks",
            {"url": "http://93.184.215.14/", "types": ["*"], "enabled": False},
            {"types": ["task.*"]},
        ),
    ],
)
def test_an_older_copy_is_told_so_whatever_it_is_a_copy_of(
    api: Api, path: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    ada = api.person()
    one = ada.post(path, json=body).headers["location"]
    old = ada.get(one).json()
    new = ada.patch(one, json=change).json()
    problem = assert_problem(ada.patch(one, json=old), 409, "stale_copy")
    assert "get it again, or leave the read-only fields out" in problem["detail"]
    assert ada.get(one).json() == new
    future = {"updated_at": "9999-01-01T00:00:00Z"}
    assert_problem(ada.patch(one, json=future), 422, "invalid_input", "#/updated_at")
    assert ada.patch(one, json=new).json() == new


def test_an_older_copy_of_a_comment_is_told_by_the_time_of_its_last_edit(api: Api) -> None:
    ada = api.person()
    path = f"/tasks/{ada.task()['id']}/comments"
    one = ada.post(path, json={"text": "first"}).headers["location"]
    never_edited = ada.get(one).json()
    edited = ada.patch(one, json=never_edited | {"text": "second"}).json()
    for edit in ("third", "fourth"):
        assert_problem(ada.patch(one, json=never_edited | {"text": edit}), 409, "stale_copy")
    newer = ada.patch(one, json=edited | {"text": "third"}).json()
    assert_problem(ada.patch(one, json=edited | {"text": "fourth"}), 409, "stale_copy")
    future = newer | {"edited_at": "9999-01-01T00:00:00Z"}
    assert_problem(ada.patch(one, json=future), 422, "invalid_input", "#/edited_at")
    assert ada.patch(one, json=newer).json() == newer
