"""The limits of a request's parts, and the size of the answers to larger ones."""

import asyncio
import gc
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from errors import InvalidInput
from main import app
from storage.shape_cache import shapes
from tests.support.api import Api, Person, assert_problem
from tests.support.growth import MOST, growth
from web import bounds

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SMALL = 10_000


@pytest.fixture(scope="module")
def ada(shared_api: Api) -> Person:
    return shared_api.person()


def the_one_problem(answer: Any, pointer: str) -> str:
    """The text of the only problem of a 422, whose answer is small."""
    problem = assert_problem(answer, 422, "invalid_input")
    assert [each["pointer"] for each in problem["errors"]] == [pointer]
    assert len(answer.content) < SMALL
    said: str = problem["errors"][0]["detail"]
    return said


def fields(number: int) -> dict[str, int]:
    return {f"f{each}": each for each in range(number)}


# -- queries -----------------------------------------------------------------------------------------


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/health", "/tasks", "/nowhere-of-mine"])
def test_more_than_a_hundred_parameters_are_one_problem(ada: Person, path: str) -> None:
    for query in ("&".join(f"a{each}=1" for each in range(101)), "a&" * 30_000, "&" * 50 + "b=1&" * 101):
        answer = ada.get(f"{path}?{query}")
        if path.startswith("/nowhere"):
            assert (answer.status_code, len(answer.content) < SMALL) == (404, True)
        else:
            assert "100" in the_one_problem(answer, "?")


@pytest.mark.one_database
def test_a_parameter_more_than_twenty_times_is_one_problem(ada: Person) -> None:
    assert "21" in the_one_problem(ada.get("/tasks?" + "&".join(["status=pending"] * 21)), "?status")
    encoded = "&".join(["status=pending"] * 15 + ["%73tatus=completed"] * 6)
    assert "21" in the_one_problem(ada.get(f"/tasks?{encoded}"), "?status")
    assert "25" in the_one_problem(ada.get("/health?" + "&".join(["x=1"] * 25)), "?x")
    assert ada.get("/tasks?" + "&".join(["status=pending"] * 20)).status_code == 200
    assert ada.get("/tasks?" + "&&&&" * 200 + "status=pending").status_code == 200


@pytest.mark.one_database
def test_a_hundred_unknown_parameters_are_told_each(ada: Person) -> None:
    problem = assert_problem(ada.get("/health?" + "&".join(f"a{each}=1" for each in range(100))), 422)
    assert len(problem["errors"]) == 100
    assert "99 more" in problem["detail"]


@pytest.mark.one_database
def test_a_long_query_and_a_long_name_make_a_small_answer(ada: Person) -> None:
    for query in ("a" * 60_000, "a" * 60_000 + "=1234"):
        the_one_problem(ada.get(f"/health?{query}"), "?" + "a" * 999 + "...")
    with pytest.raises(InvalidInput, match="65,536"):
        bounds.check_query(b"a" * 65_537)


# -- headers -----------------------------------------------------------------------------------------


@pytest.mark.one_database
@pytest.mark.parametrize(
    "headers",
    [
        [("X-Long", "a" * 65_600)],
        [("A", "b")] * 3_000,
        [("If-None-Match", '"a"')] * 2_000,
        [("Cookie", 'a="' + '\\"' * 40_000)],
    ],
    ids=["one", "many", "many lines", "cookie"],
)
def test_headers_are_bounded_as_a_whole(ada: Person, headers: list[tuple[str, str]]) -> None:
    client: TestClient = ada.client
    for method, path in (("GET", "/health"), ("POST", "/auth/page/token"), ("GET", "/nowhere")):
        answer = client.request(method, path, headers=headers)
        assert "65,536" in the_one_problem(answer, "header")
        assert answer.headers["X-Request-ID"]
    assert ada.get("/tasks", headers={"X-Long": "a" * 60_000}).status_code == 200


@pytest.mark.one_database
def test_the_work_for_cookies_grows_no_faster_than_they_do(ada: Person) -> None:
    client: TestClient = ada.client

    def read(size: int) -> None:
        headers = {"Cookie": 'a="' + '\\"' * (size // 2) + '"'}
        assert client.post("/auth/page/token", json={}, headers=headers).status_code == 401

    assert growth(read, 60_000) < MOST


# -- bodies ------------------------------------------------------------------------------------------


@pytest.mark.one_database
@pytest.mark.parametrize("number", [101, 5_000, 60_000])
def test_too_many_fields_are_one_problem(ada: Person, number: int) -> None:
    body = json.dumps(fields(number))
    for method, path in (("POST", "/auth/register"), ("POST", "/tasks"), ("PATCH", "/tasks/1")):
        assert "at most" in the_one_problem(ada.call(method, path, content=body, headers=JSON), "#")


@pytest.mark.one_database
def test_a_hundred_fields_are_told_each_and_more_problems_are_counted(ada: Person) -> None:
    problem = assert_problem(ada.post("/tasks", json=fields(100)), 422)
    assert len(problem["errors"]) == 100
    assert "100 more" in problem["detail"]
    tags = assert_problem(ada.post("/tasks", json={"title": "x", "tags": list(range(900))}), 422)
    assert len(tags["errors"]) <= 100


@pytest.mark.one_database
def test_a_batch_tells_a_hundred_problems_and_the_number_of_all(ada: Person) -> None:
    def tried(task: Any, *, atomic: bool) -> Any:
        operations = [{"op": "update", "id": 1, "task": task}] * 200
        return ada.post("/tasks/batch", json={"atomic": atomic, "operations": operations})

    problem = assert_problem(tried(fields(30), atomic=True), 422)
    assert len(problem["errors"]) == 100
    assert "5,999 more" in problem["detail"]
    each = [result["error"] for result in tried(fields(30), atomic=False).json()["results"]]
    # Each operation says by itself what is wrong with it, so those behind the first hundred name one problem.
    assert [len(one["errors"]) for one in each] == [30, 30, 30, 10, *[1] * 196]
    assert all("29 more" in one["detail"] for one in each)


@pytest.mark.one_database
def test_an_operations_unknown_fields_are_told_each_and_many_by_their_number(ada: Person) -> None:
    one = assert_problem(ada.post("/tasks/batch", json={"operations": [{"op": "delete"} | fields(90)]}), 422)
    assert len(one["errors"]) == 90
    operations = [{"op": "delete", "id": 1} | fields(30)] * 1000
    answer = ada.post("/tasks/batch", json={"operations": operations})
    assert "32,000" in the_one_problem(answer, "#/operations")


@pytest.mark.one_database
def test_an_import_tells_a_hundred_problems_and_the_number_of_all(ada: Person) -> None:
    rows: list[Any] = [{"title": "", "priority": 9}] * 80 + [5] * 20 + [{"title": "x", "blocked_reason": "y"}]
    problem = assert_problem(ada.post("/tasks/import", json=rows), 422)
    assert len(problem["errors"]) == 100
    assert "180 more" in problem["detail"]
    assert "80 more" in assert_problem(ada.post("/tasks/import", json=rows[40:81]), 422)["detail"]


@pytest.mark.one_database
def test_a_row_of_an_import_is_bounded_like_any_object(ada: Person) -> None:
    for row, pointer in (
        (fields(50_000), "#/1"),
        ({"title": "x", "tags": [1] * 200_000}, "#/1/tags"),
        ({"title": "x", "~/": [1] * 1_001}, "#/1/~0~1"),
    ):
        the_one_problem(ada.post("/tasks/import", json=[{"title": "x"}, row]), pointer)
    cells = 'title,tags\nx,"' + "a," * 1_001 + '"\n'
    headers = {"Content-Type": "text/csv"}
    the_one_problem(ada.post("/tasks/import", content=cells, headers=headers), "#/0/tags")


@pytest.mark.one_database
def test_the_rows_of_a_csv_file_are_bounded_with_the_empty_ones(ada: Person) -> None:
    def read(rows: int) -> Any:
        file = b"title\n" + b"\n" * (rows - 2) + b"x\n"
        return ada.post("/tasks/import", content=file, headers={"Content-Type": "text/csv"})

    assert read(1_048_576).status_code == 201
    the_one_problem(read(1_048_577), "#")


@pytest.mark.one_database
def test_too_much_further_in_is_named_where_it_is(ada: Person) -> None:
    query = {"chart": "throughput", "query": fields(101)}
    the_one_problem(ada.post("/analytics/pictures", json=query), "#/query")
    the_one_problem(ada.post("/tasks", json={"title": "x", "tags": ["a"] * 1001}), "#/tags")
    the_one_problem(ada.post("/tasks", json={"title": "x", "~/": {"a": fields(101)}}), "#/~0~1/a")


MEGABYTE = 1024 * 1024 - 10
LARGE_BODIES: list[Callable[[int], bytes]] = [
    lambda most: b'{"title": ' + b"[]," * (most // 4),
    lambda most: b"[" + b"{}," * (most // 3 - 3) + b"1]",
    lambda most: b'{"' + b"x" * (most - 20) + b'": 1}',
    lambda most: b'"' * most,
    lambda most: b'{"a": "' + b'\\"' * (most // 2 - 10) + b'"}',
    lambda most: b'"\\' * (most // 2),
    lambda most: b"[" * most,
    lambda most: b'{"a":' * (most // 5),
    lambda most: b"1" * most,
    lambda most: b"," * most,
    lambda most: json.dumps({"title": "x", "tags": ["y"] * (most // 10)}).encode(),
    lambda most: b'{"title": "' + b"\\ud800," * (most // 8) + b'"}',
]


@pytest.mark.one_database
@pytest.mark.parametrize("body", LARGE_BODIES, ids=[repr(make(50)[:12]) for make in LARGE_BODIES])
def test_a_megabyte_of_anything_is_refused_shortly_by_work_that_grows_no_faster(
    ada: Person, body: Callable[[int], bytes]
) -> None:
    def refuse(size: int) -> None:
        answer = ada.post("/tasks", content=body(size), headers=JSON)
        assert answer.status_code == 422
        assert len(answer.content) < SMALL

    assert growth(refuse, MEGABYTE) < MOST


@pytest.mark.one_database
def test_commas_in_a_text_are_not_fields(ada: Person) -> None:
    text = 'a,"b":[{\\' * 6_000
    assert ada.post("/tasks", json={"title": "x", "description": text}).json()["description"] == text


@pytest.mark.one_database
def test_a_form_is_bounded_too(ada: Person) -> None:
    client: TestClient = ada.client
    answer = client.post("/auth/login", content=b"a&" * 200, headers=FORM)
    the_one_problem(answer, "#")
    huge = client.post("/auth/login", content=b"username=" + b"%" * 1_000_000, headers=FORM)
    assert_problem(huge, 413, "content_too_large")


@pytest.mark.one_database
def test_an_answer_is_what_it_was_for_a_body_that_is_no_json(ada: Person) -> None:
    broken = b'{"title": "x", "tags": [' + b'"a",' * 150
    problem = assert_problem(ada.post("/tasks", content=broken, headers=JSON), 422, None, "#")
    assert "Not valid JSON at character" in problem["detail"]


# -- statements kept by the shapes of requests ---------------------------------------------------------


@pytest.mark.one_database
def test_choices_are_a_set(ada: Person) -> None:
    ada.get("/tasks?status=pending&status=completed")
    before = len(shapes)
    for repeats in range(2, 19):
        assert (
            ada.get("/tasks?" + "&".join(["status=pending"] * repeats + ["status=completed"])).status_code
            == 200
        )
    assert len(shapes) == before


@pytest.mark.one_database
@pytest.mark.thorough
def test_what_is_kept_by_shape_is_bounded_in_bytes(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_limit", 300_000)
    chance = random.Random(1)  # noqa: S311  # a test that is the same each time

    def ask(times: int) -> None:
        for _ in range(times):
            choices = {"tag": 20, "project": 20, "priority": 4}
            query = [
                (name, str(each)) for name, most in choices.items() for each in range(chance.randint(0, most))
            ]
            query += [("sort_by", chance.choice(["created_at", "title", "due_at"]))]
            assert ada.get("/tasks", params=query).status_code == 200

    ask(12)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ask(40)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert shapes.weight <= 300_000
    assert grown < 1_000_000


# -- the event loop ----------------------------------------------------------------------------------


def longest_hold(person: Person, path: str, body: bytes = b"", *, status: int = 200) -> float:
    """The longest part of a request's CPU time that held the event loop without a break."""
    holds, total = holds_of(person, path, body, status=status)
    return max(holds) / total


def holds_of(
    person: Person, path: str, body: bytes = b"", *, status: int = 200, key: bytes = b""
) -> tuple[list[float], float]:
    """How long a request held the event loop, each time, and its whole CPU time."""
    holds, total = [0.0], 0.0
    requests: list[dict[str, Any]] = []
    run = asyncio.Handle._run  # noqa: SLF001  # all that a loop runs goes through it

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        holds.append(time.thread_time() - began)

    async def receive() -> dict[str, Any]:
        # After the request no more messages come, because the client stays.
        return requests.pop() if requests else await asyncio.Future()

    async def send(message: Any) -> None:
        assert message.get("status", status) == status
        # Handing a larger part to a connection at once takes too long.
        assert len(message.get("body", b"")) <= 1024 * 1024

    async def ask() -> None:
        plain, _, query = path.partition("?")
        headers = [(b"authorization", f"Bearer {person.token}".encode())]
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += [(b"idempotency-key", key)] if key else []
        method = "POST" if body else "GET"
        scope = {"type": "http", "method": method, "path": plain, "raw_path": plain.encode(), "root_path": ""}
        server = {"scheme": "http", "server": ("testserver", 80), "client": ("testclient", 1)}
        await app({**scope, **server, "query_string": query.encode(), "headers": headers}, receive, send)

    with pytest.MonkeyPatch.context() as patch:
        for timed_now in (False, True):
            requests = [{"type": "http.request", "body": body, "more_body": False}]
            if timed_now:
                patch.setattr(asyncio.Handle, "_run", timed)
            began = time.process_time()
            asyncio.run(ask())
            total = time.process_time() - began
    return holds, total


def test_an_answer_of_many_megabytes_does_not_hold_the_event_loop(api: Api) -> None:
    ada = api.person()
    long = [{"title": f"{each}", "description": f"{each}," * 12_000} for each in range(100)]
    assert ada.post("/tasks/import", json=long).status_code == 201
    for path in (
        "/tasks?limit=500",
        "/tasks/export",
        "/tasks/export?format=csv",
        "/auth/me/export",
        "/events?limit=500",
    ):
        assert longest_hold(ada, path) < 0.2, path


@pytest.mark.one_database
def test_a_large_body_that_is_refused_does_not_hold_the_event_loop(ada: Person) -> None:
    task = {"title": "x", "tags": [f"e\u0301{each}" for each in range(20)]}
    operations = [{"op": "create", "task": task}] * 500 + [{"op": "none"}]
    body = json.dumps({"operations": operations}).encode()
    assert longest_hold(ada, "/tasks/batch", body, status=422) < 0.2


@pytest.mark.one_database
def test_the_hash_of_a_large_body_does_not_hold_the_event_loop(ada: Person) -> None:
    body = b'[{"title": ""}]' + b" " * (31 * 1024 * 1024)
    holds, total = holds_of(ada, "/tasks/import", body, status=422, key=b"large")
    assert sum(holds) / total < 0.28


@pytest.mark.one_database
def test_the_work_for_a_long_header_with_tags_grows_no_faster_than_the_header(ada: Person) -> None:
    path = f"/tasks/{ada.task()['id']}"

    def read(size: int) -> None:
        answer = ada.get(path, headers={"If-None-Match": '"1' + "-gzip" * (size // 5) + 'x"'})
        assert answer.status_code == 200

    assert growth(read, 60_000) < MOST


def test_the_work_for_a_name_of_a_megabyte_of_marks_grows_no_faster_than_the_name(ada: Person) -> None:
    def refuse(size: int) -> None:
        for field in ({"tags": ["\u0344\u0315" * (size // 2)]}, {"project": "\u0f73" * size}):
            assert ada.post("/tasks", json={"title": "a", **field}).status_code == 422

    assert growth(refuse, 170_000) < MOST
