"""Bad input: each is refused in the one shape, names the place, and never becomes a 500.

These tests store nothing, so each database is made once for all of them.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from main import app
from security.tokens import PROGRAM_TOKEN_PREFIX
from tests.support.api import Api, Person, assert_problem
from tests.support.openapi_check import resolved

HUGE = 2**63


@pytest.fixture(scope="module")
def ada(shared_api: Api) -> Person:
    """Somebody with one task."""
    ada = shared_api.person()
    ada.task()
    return ada


# -- bodies ----------------------------------------------------------------------------------------

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", "#"),
        (b"{", "#"),
        (b"nonsense", "#"),
        (b'{"title": "x"', "#"),
        (b"\xff\xfe", "#"),
        (b'{"title": "\xff"}', "#"),
        (b'{"title": "\xed\xa0\x80"}', "#/title"),
        (b"[" * 100_000, "#"),
        (b'{"title": "x", "tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "#"),
        (b"[]", "#"),
        (b"null", "#"),
        (b'"title"', "#"),
        (b"1" * 5000, "#"),
        (b"{}", "#/title"),
        (b'{"title": null}', "#/title"),
        (b'{"title": 1}', "#/title"),
        (b'{"title": ["x"]}', "#/title"),
        (b'{"title": ""}', "#/title"),
        (b'{"title": " \\n\\t "}', "#/title"),
        (b'{"title": "a\\u0000b"}', "#/title"),
        (b'{"title": "\\ud800"}', "#/title"),
        (b'{"title": "x", "description": "\\u0000"}', "#/description"),
        (b'{"title": "x", "description": "\\udfff"}', "#/description"),
        (b'{"title": "x", "description": 5}', "#/description"),
        (b'{"title": "x", "project": "\\u0000"}', "#/project"),
        (b'{"title": "x", "project": ""}', "#/project"),
        (b'{"title": "x", "project": null}', "#/project"),
        (b'{"title": "x", "tags": ["\\u0000"]}', "#/tags/0"),
        (b'{"title": "x", "tags": ["a", "\\ud83d"]}', "#/tags/1"),
        (b'{"title": "x", "tags": [""]}', "#/tags/0"),
        (b'{"title": "x", "tags": "a"}', "#/tags"),
        (b'{"title": "x", "tags": null}', "#/tags"),
        (b'{"title": "x", "tags": {"a": 1}}', "#/tags"),
        (b'{"title": "x", "status": "done"}', "#/status"),
        (b'{"title": "x", "status": "\\u0000"}', "#/status"),
        (b'{"title": "x", "status": 0}', "#/status"),
        (b'{"title": "x", "priority": 5}', "#/priority"),
        (b'{"title": "x", "priority": -1}', "#/priority"),
        (b'{"title": "x", "priority": "1"}', "#/priority"),
        (b'{"title": "x", "priority": 1.5}', "#/priority"),
        (b'{"title": "x", "priority": true}', "#/priority"),
        (b'{"title": "x", "priority": NaN}', "#/priority"),
        (b'{"title": "x", "priority": 1e999}', "#/priority"),
        (b'{"title": "x", "priority": 9223372036854775808}', "#/priority"),
        (b'{"title": "x", "priority": ' + b"9" * 5000 + b"}", "#"),
        (b'{"title": "x", "due_at": "tomorrow"}', "#/due_at"),
        (b'{"title": "x", "due_at": 1700000000}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-02-30T00:00:00Z"}', "#/due_at"),
        (b'{"title": "x", "due_at": "0000-01-01T00:00:00Z"}', "#/due_at"),
        (b'{"title": "x", "due_at": "0001-01-01T00:00:00+01:00"}', "#/due_at"),
        (b'{"title": "x", "due_at": "9999-12-31T23:59:59-01:00"}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-01-01T00:00:00+99:99"}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-01-01T00:00:00Z\\u0000"}', "#/due_at"),
        (b'{"title": "x", "due_at": "10000-01-01T00:00:00Z"}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-01-01T23:59:60Z"}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-01-01T24:00:00Z"}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-01-01T00:00:00+24:00"}', "#/due_at"),
        (b'{"title": "x", "due_at": "2026-01-01T00:00:00+05:60"}', "#/due_at"),
        (b'{"title": "x", "title": "y"}', "#/title"),
        (b'{"title": "x", "tags": ["a"], "tags": ["b"]}', "#/tags"),
        (b'{"title": {"a": 1, "a": 1}}', "#/title/a"),
        (b'{"title": "x", "\\ud800": 1, "\\ud800": 1}', "#/\\ud800"),
        (b"{" + b'"title": "x",' * 200 + b'"title": "x"}', "#/title"),
        ('{"title": "x"}'.encode("utf-16"), "#"),
        ('{"title": "x"}'.encode("utf-32-le"), "#"),
        (b'{"title": "x", "nothing": 1}', "#/nothing"),
        (b'{"title": "x", "a/b~c": 1}', "#/a~1b~0c"),
        (b'{"title": "x", "\\ud800": 1}', None),
        (b'{"title": "x", "\\u0000": 1}', None),
        (b'{"title": "x", "user_id": 999}', "#/user_id"),
        (b'{"title": "x", "id": 1}', "#/id"),
    ],
    ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else "",
)
def test_a_body_that_is_not_a_task_is_422_and_says_where(
    ada: Person, body: bytes, pointer: str | None
) -> None:
    answer = ada.post("/tasks", content=body, headers=JSON)
    problem = assert_problem(answer, 422, "invalid_input", pointer)
    assert problem["errors"][0]["pointer"] in problem["detail"] or problem["errors"][0]["pointer"] == "#"
    answer = ada.put("/tasks/1", content=body, headers=JSON)
    assert answer.status_code in (200, 422)


@pytest.mark.one_database
def test_a_field_that_stands_twice_is_named_wherever_it_stands(ada: Person) -> None:
    for path, body, pointer in (
        (
            "/tasks/batch",
            '{"operations": [{"op": "create", "task": {"title": "x", "title": "y"}}]}',
            "#/operations/0/task/title",
        ),
        ("/tasks/import", '[{"title": "x"}, {"title": "x", "title": "y"}]', "#/1/title"),
        ("/tasks/import", '[{"title": "x", "title": ""}]', "#/0/title"),
    ):
        answer = ada.post(path, content=body, headers=JSON)
        problem = assert_problem(answer, 422, "invalid_input", pointer)
        assert "Given more than once" in [each["detail"] for each in problem["errors"]]


@pytest.mark.one_database
def test_an_unknown_field_is_told_the_known_ones(ada: Person) -> None:
    problem = assert_problem(ada.post("/tasks", json={"title": "x", "colour": "red"}), 422, None, "#/colour")
    assert "title, description, status" in problem["errors"][0]["detail"]


@pytest.mark.one_database
def test_what_was_sent_is_not_repeated_for_it_may_be_a_secret(ada: Person) -> None:
    account = {"username": "a b", "email": "nonsense", "password": "hunter2"}
    answer = ada.client.post("/auth/register", json=account)
    problem = assert_problem(answer, 422)
    assert {each["pointer"] for each in problem["errors"]} == {"#/username", "#/email", "#/password"}
    assert "hunter2" not in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize("length", [501, 100_000])
def test_texts_that_are_too_long_are_422(ada: Person, length: int) -> None:
    assert_problem(ada.post("/tasks", json={"title": "x" * length}), 422, None, "#/title")
    tags = [str(number) for number in range(length)]
    assert_problem(ada.post("/tasks", json={"title": "x", "tags": tags}), 422, None, "#/tags")
    assert_problem(
        ada.put("/tasks/1", json={"description": "x" * (length + 65_036)}), 422, None, "#/description"
    )


@pytest.mark.one_database
def test_a_body_over_a_mebibyte_is_413_told_or_found_out(ada: Person) -> None:
    body = json.dumps({"title": "x", "description": "x" * 1024 * 1024}).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    assert_problem(ada.post("/tasks", content=body, headers=JSON), 413, "content_too_large")
    assert_problem(ada.post("/tasks", content=pieces(), headers=JSON), 413, "content_too_large")
    told = {**JSON, "Content-Length": "9" * 5000}
    assert_problem(ada.post("/tasks", content=b"{}", headers=told), 413, "content_too_large")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    login = b"username=ada&password=" + b"x" * 1024 * 1024
    assert_problem(ada.post("/auth/login", content=login, headers=form), 413, "content_too_large")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "path", "sent", "taken"),
    [
        ("POST", "/tasks", "text/plain", "application/json"),
        ("POST", "/tasks", "application/x-www-form-urlencoded", "application/json"),
        ("POST", "/tasks", None, "application/json"),
        ("PUT", "/tasks/1", "application/xml", "application/json"),
        ("PATCH", "/tasks/1", "multipart/form-data; boundary=x", "application/json"),
        ("POST", "/auth/register", "text/json", "application/json"),
        ("POST", "/auth/login", "application/json", "application/x-www-form-urlencoded"),
        ("POST", "/tasks/import", "application/xml", "text/csv"),
    ],
)
def test_another_media_type_is_415_and_told_the_one_to_use(
    ada: Person, method: str, path: str, sent: str | None, taken: str
) -> None:
    headers = {"Content-Type": sent} if sent else {}
    answer = ada.call(method, path, content=b'{"title": "x"}', headers=headers)
    assert taken in assert_problem(answer, 415, "unsupported_media_type")["detail"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("path", "sent", "body"),
    [
        ("/tasks", "Application/JSON", b'{"title": "x"}'),
        ("/tasks", "APPLICATION/JSON; Charset=UTF-8", b'{"title": "x"}'),
        ("/tasks", "application/Merge-Patch+JSON", b'{"title": "x"}'),
        ("/tasks/import", "Application/Json", b'[{"title": "x"}]'),
        ("/tasks/import", "Text/CSV", b"title\nx\n"),
        ("/tasks/import", "TEXT/CSV;header=present", b"title\nx\n"),
        (
            "/auth/login",
            "Application/X-WWW-Form-URLEncoded",
            b"username=ada&password=correct%20horse%20battery",
        ),
        (
            "/auth/login",
            "Multipart/Form-Data; Boundary=Mixed",
            b'--Mixed\r\nContent-Disposition: form-data; name="username"\r\n\r\nada\r\n'
            b'--Mixed\r\nContent-Disposition: form-data; name="password"\r\n\r\n'
            b"correct horse battery\r\n--Mixed--\r\n",
        ),
    ],
)
def test_media_types_have_no_letter_case(ada: Person, path: str, sent: str, body: bytes) -> None:
    answer = ada.post(path, content=body, headers={"Content-Type": sent})
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.one_database
@pytest.mark.parametrize("encoding", ["gzip", "GZip", "br", "gzip, br", "x\u00e9" * 500])
def test_an_encoded_body_is_415_that_names_the_encoding(ada: Person, encoding: str) -> None:
    headers = {b"Content-Encoding": encoding.encode("latin-1")}
    for path, sent in (("/tasks", "application/json"), ("/tasks/import", "text/csv")):
        answer = ada.post(path, content=b"\x1f\x8b\x08", headers={b"Content-Type": sent.encode(), **headers})
        problem = assert_problem(answer, 415, "unsupported_media_type")
        assert f"Content-Encoding '{encoding.lower()[:50]}'" in problem["detail"]
        assert answer.headers["accept-encoding"] == "identity"
    taken = ada.post("/tasks", json={"title": "x"}, headers={"Content-Encoding": "identity"})
    assert taken.status_code == 201
    form = {b"Content-Type": b"application/x-www-form-urlencoded", **headers}
    assert_problem(ada.client.post("/auth/login", content=b"x", headers=form), 415)


def texts_of(schema: dict[str, Any]) -> Iterator[str]:
    """The fields of a body that take a text of any kind."""
    document = app.openapi()
    for name, field in resolved(document, schema).get("properties", {}).items():
        kinds = [resolved(document, each) for each in resolved(document, field).get("anyOf", [field])]
        if any("string" in each.get("type", ()) and "enum" not in each for each in kinds):
            yield name


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_body_brings_in_a_text_that_no_database_keeps(api: Api) -> None:
    root = api.person("root", admin=True)
    root.task()
    for path, body in (
        ("/projects", {"name": "p"}),
        ("/tasks/1/comments", {"text": "x"}),
        ("/views", {"name": "v", "filter": "id = 1"}),
        ("/webhooks", {"url": "https://93.184.215.14/", "types": ["task.*"]}),
    ):
        assert root.post(path, json=body).status_code == 201
    tried = 0
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            example = content.get("example", {})
            for name in texts_of(content.get("schema", {})) if isinstance(example, dict) else ():
                for text in ("\ud800", "a\0b"):
                    sent = json.dumps({**example, name: text})
                    where = re.sub(r"\{\w+\}", "1", path)
                    answer = root.call(method.upper(), where, content=sent, headers=JSON)
                    assert answer.status_code in (401, 403, 404, 409, 422, 429), (method, path, name, text)
                    tried += 1
    assert tried > 60


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["Content-Type", "Content-Encoding"])
def test_a_second_line_of_a_header_is_not_ignored(ada: Person, name: str) -> None:
    first, second = {"Content-Type": (JSON["Content-Type"], "text/csv")}.get(name, ("identity", "gzip"))
    for values in ((first, second), (second, first)):
        headers = [(name, value) for value in values]
        if name != "Content-Type":
            headers += JSON.items()
        answer = ada.client.post(
            "/tasks", content=b'{"title": "x"}', headers=[*headers, ("Authorization", f"Bearer {ada.token}")]
        )
        assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.one_database
def test_a_body_is_not_ignored_where_none_is_taken(ada: Person) -> None:
    path = f"/tasks/{ada.task()['id']}/assign?assigned_user_id={ada.id}"
    for body in ({"assigned_user_id": 999}, {"f": 1, "assigned_user_id": 2}):
        pointers = [f"#/{name}" for name in body]
        problem = assert_problem(ada.put(path, json=body), 422, "invalid_input", pointers[0])
        assert [each["pointer"] for each in problem["errors"]] == pointers
    for content in (b"assigned_user_id=2", b"[1]", b"{" * 500_000, b'{"a": 1}' + b" " * 20_000):
        assert_problem(ada.put(path, content=content), 422, "invalid_input", "#")
    for content in (b"", b"{}", b" { }\r\n", b"null"):
        assert ada.put(path, content=content).status_code == 200
    assert_problem(ada.post("/notifications/read-all", json={"id": 1}), 422, "invalid_input", "#/id")
    assert ada.call("GET", "/tasks", content=b"{1}").status_code == 200


# -- logging in is a form --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        b"username=ada%00&password=x",
        b"username=%00&password=%00",
        b"username=%ED%A0%80&password=%ED%A0%80",
        b"username=%FF&password=%FF",
        b"username=ada&password=" + b"x" * 5000,
        b"username=" + b"a" * 5000 + b"&password=x",
        "username=ada&password=\u00fc".encode(),
    ],
)
def test_odd_characters_in_the_login_form_are_wrong_credentials(ada: Person, form: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ada.client.post("/auth/login", content=form, headers=headers)
    assert answer.status_code in (401, 422)
    assert_problem(answer, answer.status_code)


@pytest.mark.one_database
@pytest.mark.parametrize("form", [b"", b"username=ada", b"password=x", b"&&&", b"=", b"a=1&" * 2000])
def test_a_login_form_without_its_fields_is_422(ada: Person, form: bytes) -> None:
    assert_problem(ada.client.post("/auth/login", content=form, headers=FORM), 422)


@pytest.mark.one_database
def test_a_field_of_the_login_form_that_stands_twice_is_422(ada: Person) -> None:
    """OAuth2 forbids it, because another program might take the other value."""
    for form in (b"username=bob&username=ada", b"username=ada&user%6eame=ada", b"x=1&x=2&username=ada"):
        answer = ada.client.post("/auth/login", content=form + b"&password=x", headers=FORM)
        pointer = "#/x" if form.startswith(b"x") else "#/username"
        assert_problem(answer, 422, "invalid_input", pointer)


@pytest.mark.one_database
def test_a_login_form_is_utf_8_percent_encoded_or_not(ada: Person) -> None:
    ada.client.post(
        "/auth/register",
        json={"username": "pyotr", "email": "p@example.com", "password": "\u043f\u0430\U0001f600 +%9-long"},
    )
    for password in (
        b"\xd0\xbf\xd0\xb0\xf0\x9f\x98\x80+%2B%259-long",
        b"%D0%BF\xd0\xb0%F0%9F%98%80%20%2b%259-long",
    ):
        form = b"username=pyotr&password=" + password
        assert ada.client.post("/auth/login", content=form, headers=FORM).status_code == 200
        broken = ada.client.post("/auth/login", content=form + b"\xd0", headers=FORM)
        assert_problem(broken, 422, "invalid_input", "#/password")
        broken = ada.client.post("/auth/login", content=form + b"%FF", headers=FORM)
        assert_problem(broken, 422, "invalid_input", "#/password")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "content", [b"nonsense", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"]
)
def test_a_broken_multipart_form_is_422(ada: Person, content: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
        answer = ada.client.post("/auth/login", content=content, headers={"Content-Type": kind})
        assert_problem(answer, 422)


def multipart(*fields: tuple[str, bytes]) -> bytes:
    parts = (
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (n.encode(), v) for n, v in fields
    )
    return b"".join(parts) + b"--x--\r\n"


@pytest.mark.one_database
def test_a_multipart_login_form_is_read_like_a_plain_one(ada: Person) -> None:
    password = "\u00fc & \u00fc & &-long"
    name = ("username", b"ulla")
    ada.client.post(
        "/auth/register", json={"username": "ulla", "email": "u@example.com", "password": password}
    )
    right = ("password", password.encode())
    for kind in ("multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=x"):
        headers = {"Content-Type": kind}
        for form, pointer in (
            (multipart(name, right), None),
            (multipart(("username", b"bob"), name, right), "#/username"),
            (multipart(name, ("password", password.encode("latin-1"))), "#"),
        ):
            answer = ada.client.post("/auth/login", content=form, headers=headers)
            if pointer is None:
                assert answer.status_code == 200, answer.text
            else:
                assert_problem(answer, 422, "invalid_input", pointer)


# -- paths and queries -----------------------------------------------------------------------------


@pytest.mark.one_database
@pytest.mark.parametrize(
    "task_id", [str(HUGE), "9" * 5000, "-1", "x", "%00", "%ED%A0%80", "%FF", "1.5", "1e3", "٣x"]
)
def test_an_id_that_is_none_is_422(ada: Person, task_id: str) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/history"),
        ("PUT", "/assign?assigned_user_id=1"),
        ("DELETE", ""),
    ):
        assert_problem(ada.call(method, f"/tasks/{task_id}{path}"), 422, None, "/{task_id}")


def test_the_largest_id_is_just_not_there(ada: Person) -> None:
    assert_problem(ada.get(f"/tasks/{HUGE - 1}"), 404, "task_not_found")
    assert_problem(ada.get("/tasks/0"), 404, "task_not_found")
    assert_problem(ada.put(f"/tasks/1/assign?assigned_user_id={HUGE - 1}"), 404, "user_not_found")
    assert_problem(ada.put(f"/tasks/1/assign?assigned_user_id={HUGE}"), 422, None, "?assigned_user_id")
    assert_problem(ada.put("/tasks/1/assign"), 422, None, "?assigned_user_id")
    assert_problem(ada.put("/tasks/1", json={"id": HUGE}), 422, None, "#/id")
    assert_problem(ada.put("/tasks/1", json={"user_id": HUGE}), 422, None, "#/user_id")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("colour=red", "?colour"),
        ("%00=1", "?\0"),
        ("%ED%A0%80=1", None),
        ("limit=0", "?limit"),
        ("limit=501", "?limit"),
        ("limit=-1", "?limit"),
        ("limit=x", "?limit"),
        ("limit=", "?limit"),
        ("limit=1&limit=2", "?limit"),
        (f"limit={HUGE}", "?limit"),
        ("skip=-1", "?skip"),
        (f"skip={HUGE}", "?skip"),
        ("skip=" + "9" * 5000, "?skip"),
        ("limit=5_0", "?limit"),
        ("limit=%D9%A5", "?limit"),
        ("skip=+5", "?skip"),
        ("priority=1&priority=%2B2", "?priority"),
        ("sort_by=colour", "?sort_by"),
        ("sort_by=user_id", "?sort_by"),
        ("sort_by=", "?sort_by"),
        ("sort_order=up", "?sort_order"),
        ("status=done", None),
        ("status=%00", None),
        ("priority=5", "?priority"),
        ("priority=x", "?priority"),
        (f"priority={HUGE}", "?priority"),
        ("title_contains=", "?title_contains"),
        ("title_contains=%00", "?title_contains"),
        ("title_contains=" + "x" * 501, "?title_contains"),
        ("project=%00", "?project"),
        ("tag=%00", "?tag"),
        ("title_contains=%FF", "?title_contains"),
        ("project=a%C3", "?project"),
        ("tag=ok&tag=%ED%A0%80", "?tag"),
        ("limit=1&%FF=1", "?\ufffd"),
        ("created_after=yesterday", "?created_after"),
        ("created_before=0001-01-01T00:00:00%2B01:00", "?created_before"),
        ("due_after=9999-12-31T23:59:59-01:00", "?due_after"),
        ("due_before=2026-13-01T00:00:00Z", "?due_before"),
        ("completed_after=%00", "?completed_after"),
        ("completed_before=1", "?completed_before"),
        ("cursor=", "?cursor"),
        ("cursor=nonsense", "?cursor"),
        ("cursor=%00", "?cursor"),
        ("cursor=%C3%BC", "?cursor"),
        ("cursor=" + "W" * 1999, "?cursor"),
        ("cursor=bnVsbA", "?cursor"),
        ("cursor=WzEsMiwzLDRd", "?cursor"),
        ("cursor=W251bGwsbnVsbCxudWxsLG51bGxd", "?cursor"),
    ],
)
def test_a_query_that_says_nothing_good_is_422_and_named(
    ada: Person, query: str, pointer: str | None
) -> None:
    assert_problem(ada.get(f"/tasks?{query}"), 422, "invalid_input", pointer)
    assert_problem(ada.get(f"/tasks/search?query=x&{query}"), 422, "invalid_input", pointer)


def addresses_with_numbers() -> Iterator[tuple[str, str, str, str]]:
    """Each number in the address of each operation: the method, the path, the query, and the number's pointer."""
    required = {"filter": "id = 1", "expected": "0", "query": "x", "tasks": "delete", "assigned_user_id": "1"}
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            declared = [resolved(document, each) for each in operation.get("parameters", [])]
            needed = {each["name"] for each in declared if each["in"] == "query" and each.get("required")}
            for each in declared:
                name, values = each["name"], {name: required[name] for name in needed & required.keys()}
                if not {"integer", "number"} & {
                    each["schema"].get("type"),
                    each["schema"].get("items", {}).get("type"),
                }:
                    continue
                is_of_path = each["in"] == "path"
                filled = path.replace(f"{{{name}}}", "1_0") if is_of_path else path
                query = urlencode(values if is_of_path else values | {name: "1_0"})
                pointer = f"/{{{name}}}" if is_of_path else f"?{name}"
                yield method.upper(), re.sub(r"\{\w+\}", "1", filled), query, pointer


@pytest.mark.one_database
def test_every_number_of_an_address_is_written_in_digits(shared_api: Api, ada: Person) -> None:
    root = shared_api.person("root", admin=True)
    addresses = list(addresses_with_numbers())
    assert len(addresses) > 100
    for method, path, query, pointer in addresses:
        assert_problem(root.call(method, f"{path}?{query}"), 422, "invalid_input", pointer)
    assert ada.get("/tasks?limit=2.0&skip=00").status_code == ada.get("/tasks/1.0").status_code == 200


def test_the_sign_that_stands_for_what_is_not_utf_8_may_be_sought(ada: Person) -> None:
    task = ada.task("Odd \ufffd")
    assert ada.get("/tasks", params={"title_contains": "\ufffd"}).json() == [task]
    assert ada.get("/tasks", params={"filter": "title ~ \ufffd and title ~ '\ufffd'"}).json() == [task]
    assert ada.post("/views", json={"name": "odd", "filter": "title ~ '\ufffd'"}).status_code == 201


@pytest.mark.parametrize(("query", "position"), [("title+~+%C3%A9%FF", 9), ("id+=%EF%BF%BD%FF%00", 5)])
def test_bytes_of_a_filter_that_are_not_utf_8_are_told_by_their_place(
    ada: Person, query: str, position: int
) -> None:
    for path in ("/tasks?", "/tasks/export?", "/analytics/flow?view=1&"):
        problem = assert_problem(ada.get(f"{path}filter={query}"), 422, "invalid_filter", "?filter")
        assert problem["errors"][0]["position"] == position


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/auth/me", "/tasks/1", "/health"])
def test_a_filter_where_none_is_taken_is_refused_like_any_parameter(ada: Person, path: str) -> None:
    for value in ("%FF", "x"):
        assert_problem(ada.get(f"{path}?filter={value}"), 422, "invalid_input", "?filter")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "path",
    [
        "/tasks/1",
        "/auth/me",
        "/tasks/1/history",
        "/analytics/user-completion-stats",
        "/health",
        "/",
        "/users/lookup",
    ],
)
def test_an_unknown_query_parameter_is_422_everywhere(ada: Person, path: str) -> None:
    separator = "?username=ada&" if path == "/users/lookup" else "?"
    assert_problem(ada.get(f"{path}{separator}colour=red"), 422, None, "?colour")


@pytest.mark.one_database
def test_a_limit_over_the_maximum_says_what_is_allowed(ada: Person) -> None:
    assert "500" in assert_problem(ada.get("/tasks?limit=501"), 422)["detail"]
    detail = assert_problem(ada.get("/tasks?sort_by=colour"), 422)["detail"]
    assert "'created_at'" in detail
    assert "'priority'" in detail
    detail = assert_problem(ada.get("/tasks?colour=red"), 422)["detail"]
    assert "title_contains" in detail
    assert "sort_order" in detail


@pytest.mark.parametrize("username", ["%00", "ada%00", "%ED%A0%80", "%FF", "x" * 254, "%F0%9F%98%80"])
def test_looking_up_odd_names_finds_nobody(ada: Person, username: str) -> None:
    answer = ada.get(f"/users/lookup?username={username}")
    assert_problem(answer, 404 if username.startswith(("x", "%F0")) else 422)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "value", [b"\xff", b'"\xed\xa0\x80"', b"", b",,,", b'"1-1-zip"', b"1-1", b"x" * 5000]
)
def test_odd_entity_tags_match_nothing(ada: Person, value: bytes) -> None:
    assert_problem(ada.put("/tasks/1", json={"title": "y"}, headers={"If-Match": value}), 412)
    assert ada.get("/tasks/1", headers={"If-None-Match": b"\xff"}).status_code == 200


# -- strangers -------------------------------------------------------------------------------------


def answers_to_bad_requests(
    client: TestClient, headers: dict[str, str], *, good_too: bool = False
) -> Iterator[tuple[str, str, int]]:
    """Call each endpoint that needs a token with all kinds of mistakes: method, address, status.

    With `good_too` those without a body are called without a mistake of the query too.
    """
    document = app.openapi()
    assert document["paths"]["/tasks"]["get"]["security"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not operation.get("security"):
                continue
            address = re.sub(r"\{\w+\}", "abc", path)
            bad: dict[str, Any] = {}
            if method in {"post", "put", "patch"}:
                bad = {"content": b"{", "headers": JSON}
            for query in ("", "?nope=1") if bad or good_too else ("?nope=1",):
                sent = {**bad, "headers": headers | bad.get("headers", {})}
                yield method, address, client.request(method, address + query, **sent).status_code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.one_database
def test_a_stranger_is_told_to_log_in_whatever_is_wrong_with_the_request(ada: Person) -> None:
    unknown = f"{PROGRAM_TOKEN_PREFIX}{'x' * 43}"
    for headers in ({}, bearer(unknown)):
        told = answers_to_bad_requests(ada.client, headers, good_too=True)
        assert [each for each in told if each[2] != 401] == []


@pytest.mark.one_database
def test_a_caller_without_the_right_is_told_so_whatever_is_wrong_with_the_request(api: Api) -> None:
    root, ada = api.person("root", admin=True), api.person()
    made = ada.post("/auth/tokens", json={"name": "p", "scopes": ["analytics:read"]}).json()["token"]
    opened = {
        address for _, address, status in answers_to_bad_requests(api.client, bearer(made)) if status != 403
    }
    assert opened
    assert all(each.startswith("/analytics/") for each in opened)
    for_admins = {
        (method, address)
        for method, address, status in answers_to_bad_requests(api.client, bearer(ada.token))
        if status == 403
    }
    assert {("get", "/tasks/all"), ("patch", "/users/abc")} <= for_admins
    root.patch(f"/users/{ada.id}", json={"is_active": False})
    told = answers_to_bad_requests(api.client, bearer(ada.token))
    assert [each for each in told if each[2] != 401] == []
