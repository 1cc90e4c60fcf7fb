"""The names and behaviours of libraries that the program relies on and that their authors do not promise.

An upgrade that changes one of them fails here, with a sentence that says which file relies on it.
"""

import asyncio
import inspect
import logging
from types import SimpleNamespace
from typing import Any

import httpcore
import httptools
import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import Row, create_engine, event, select
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.routing import Match, Route, compile_path
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as HttptoolsCycle

from logging_config import logger, setup_logging
from main import app
from models import Task, tasks, users
from web.route_index import RouteIndex
from web.strict_input import StrictRoute
from web.strict_query import UNREADABLE

# -- SQLAlchemy --------------------------------------------------------------------------------------


def test_a_compiled_statement_tells_its_columns_and_their_types() -> None:
    """`storage/prepared.py` makes rows of what the driver returns."""
    compiled = select(tasks.c.id, tasks.c.created_at).compile()
    found = [(entry.keyname, entry.type) for entry in compiled._result_columns]  # noqa: SLF001
    assert found == [("id", tasks.c.id.type), ("created_at", tasks.c.created_at.type)]


def test_an_engine_tells_whether_anyone_listens_to_its_statements() -> None:
    """`storage/direct_session.py` goes past SQLAlchemy only if no one listens."""
    engine = create_engine("sqlite://")
    assert not engine._has_events  # noqa: SLF001
    event.listen(engine, "before_cursor_execute", lambda *_: None)
    assert engine._has_events  # noqa: SLF001


def test_a_statement_tells_whether_it_loads_objects() -> None:
    """`storage/direct_session.py` sends a statement of objects through the session."""
    assert select(Task)._propagate_attrs  # noqa: SLF001
    assert not select(tasks)._propagate_attrs  # noqa: SLF001


def test_rows_can_be_made_from_plain_tuples() -> None:
    """`storage/prepared.py` builds the rows of a prepared statement itself."""
    rows: Any = IteratorResult(SimpleResultMetaData(["id", "title"]), iter([(1, "one")])).all()
    assert isinstance(rows[0], Row)
    assert (rows[0].id, rows[0].title, rows[0]._fields) == (1, "one", ("id", "title"))


def test_a_row_can_be_made_as_a_result_makes_it() -> None:
    """`storage/prepared.py` makes the first row without the rest of a result."""
    upper: Any = str.upper
    described = SimpleResultMetaData(["id", "title"], _processors=[None, upper])
    made: Any = Row(described, described._effective_processors, described._key_to_index, (1, "one"))  # noqa: SLF001
    assert made == IteratorResult(described, iter([(1, "one")])).first()
    assert (made.id, made.title, made._fields) == (1, "ONE", ("id", "title"))


def test_a_drivers_error_is_wrapped_by_a_class_method() -> None:
    """`storage/prepared.py` raises what SQLAlchemy would raise, without the values of the parameters."""
    error = DBAPIError.instance("SELECT ?", None, ValueError("no"), Exception, hide_parameters=True)
    assert "SELECT ?" in str(error)


def test_a_statement_made_from_another_takes_its_attributes_along() -> None:
    """`storage/prepared.py` compares the statement, so that a changed copy is not executed as the original."""
    statement = select(users.c.id)
    statement.marker = 1  # type: ignore[attr-defined]
    assert statement.where(users.c.id == 1).marker == 1  # type: ignore[attr-defined]


def test_a_session_can_be_bound_to_a_connection_that_stays_open() -> None:
    """`storage/direct_session.py` keeps one connection for each session."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        session = Session(connection)
        session.execute(select(1))
        session.rollback()
        assert not connection.closed
    engine.dispose()


def test_a_session_tells_of_new_and_deleted_objects_without_making_a_set() -> None:
    """`storage/direct_session.py` looks at both after every read."""
    session = Session(create_engine("sqlite://"))
    assert (len(session._new), len(session._deleted)) == (0, 0)  # noqa: SLF001
    session.add(Task(title="new"))
    assert len(session._new) == len(session.new) == 1  # noqa: SLF001
    session.expunge_all()
    assert not session._new  # noqa: SLF001


# -- FastAPI and Starlette ---------------------------------------------------------------------------


def test_a_request_keeps_its_body() -> None:
    """`routers/transfer.py` puts it there."""
    request = Request({"type": "http"})
    request._body = b"x"  # noqa: SLF001
    assert asyncio.run(request.body()) == b"x"


def test_a_route_reads_its_handler_once_from_its_own_method() -> None:
    """`web/strict_input.py` wraps the handler and hides the models of query parameters while it is made."""
    calls = []

    class Counted(APIRoute):
        def get_route_handler(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            calls.append(self.dependant)
            return super().get_route_handler()

    client_app = FastAPI()
    client_app.router.route_class = Counted
    client_app.get("/")(lambda: {"fine": True})
    client = TestClient(client_app)
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 200]
    assert len(calls) == 1
    assert isinstance(calls[0], Dependant)
    assert {"query_params", "dependencies"} <= set(Dependant.__dataclass_fields__)


def test_a_route_can_be_called_without_its_router() -> None:
    """`web/route_index.py` calls the application of a route with the values of its path."""
    route = next(each for each in app.routes if isinstance(each, StrictRoute))
    assert callable(route.app)
    assert list(inspect.signature(route.app).parameters) == ["scope", "receive", "send"]
    assert compile_path("/tasks/{task_id}")[0].match("/tasks/7").groupdict() == {"task_id": "7"}  # type: ignore[union-attr]


def test_the_routers_stack_can_be_replaced() -> None:
    """`main.py` puts the route index in front of the router."""
    assert isinstance(app.router.middleware_stack, RouteIndex)


def test_the_error_of_a_models_validation_can_be_raised_as_fastapis() -> None:
    """`web/strict_query.py` validates the models of query parameters itself."""

    class Query(BaseModel):
        limit: int

    with pytest.raises(Exception, match="limit") as caught:
        Query.model_validate({"limit": "many"})
    problems = caught.value.errors()  # type: ignore[attr-defined]
    assert RequestValidationError(problems).errors() == problems


def test_fastapis_limit_of_a_body_answers_plain_text() -> None:
    """The program has a limit of its own as long as this is so: see docs/decisions."""
    limited = FastAPI()

    @limited.exception_handler(413)
    async def problem(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"code": "content_too_large"}, 413)

    @limited.post("/", max_body_size=10)
    async def take(request: Request) -> int:
        return len(await request.body())

    answer = TestClient(limited).post("/", content=b"x" * 100)
    assert (answer.status_code, answer.text) == (413, "Content Too Large")


# -- the route index answers like Starlette's routing -----------------------------------------------


def _example(path: str) -> str:
    return path.replace("{", "").replace("}", "").replace(":path", "")


def test_the_route_index_finds_the_route_that_starlette_finds() -> None:
    index = app.router.middleware_stack
    assert isinstance(index, RouteIndex)
    routes = [each for each in app.routes if isinstance(each, Route)]
    paths = {_example(route.path) for route in routes} | {"/tasks/7", "/tasks/7/history", "/nothing", "/"}
    for path in sorted(paths):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            scope: dict[str, Any] = {
                "type": "http",
                "path": path,
                "method": method,
                "root_path": "",
                "headers": [],
            }
            full = [
                (route, child)
                for route in routes
                for match, child in [route.matches(scope)]
                if match == Match.FULL
            ]
            methods, values = index._find(path)  # noqa: SLF001
            found = (methods or {}).get(method)
            if found is not None:
                assert full, (method, path)
                # A literal path goes before one with parameters; Starlette takes the first that fits.
                literal = [route for route, _ in full if not route.param_convertors]
                assert found is (literal or [route for route, _ in full])[0], (method, path)
                assert values == (
                    {} if literal else {name: str(value) for name, value in full[0][1]["path_params"].items()}
                )
            else:
                assert not [route for route, _ in full if isinstance(route, StrictRoute)] or (
                    methods is not None
                ), (method, path)


# -- uvicorn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycle", [H11Cycle, HttptoolsCycle])
def test_the_receive_of_a_request_belongs_to_what_holds_the_connection(cycle: Any) -> None:
    """`web/middleware.py` asks the connection for the address at its other end."""
    assert "self.transport = transport" in inspect.getsource(cycle.__init__)
    assert inspect.iscoroutinefunction(cycle.receive)
    assert "self.scope, self.receive, self.send" in inspect.getsource(cycle.run_asgi)


def test_a_connection_collects_the_headers_of_a_request_until_its_path_is_known() -> None:
    """`web/arrival.py` counts the bytes of a head, and keeps what comes behind a body out of the headers."""
    source = inspect.getsource(HttpToolsProtocol)
    for line in (
        '"headers": self.headers,',
        "self.headers.append((name, value))",
        'self.scope["path"] = full_path',
        "self.parser.feed_data(data)",
        "def send_400_response(self, msg: str)",
    ):
        assert line in source
    assert "self.response_complete" in inspect.getsource(HttptoolsCycle.__init__)


def test_a_wish_to_upgrade_ends_the_reading_of_a_request() -> None:
    """`web/arrival.py` reads the head again without the wish, when uvicorn tells that it does not fulfil it."""
    source = inspect.getsource(HttpToolsProtocol)
    for line in (
        "self.parser = httptools.HttpRequestParser(self)",
        "self.parser.set_dangerous_leniencies(lenient_data_after_close=True)",
        "except httptools.HttpParserUpgrade:",
        "self._unsupported_upgrade_warning()",
        'upgrade == b"websocket" and self._should_upgrade_to_ws()',
    ):
        assert line in source
    parser = httptools.HttpRequestParser(SimpleNamespace())
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        parser.feed_data(head + b"body")
    assert raised.value.args == (len(head),)


@pytest.mark.parametrize("protocol", [H11Protocol, HttpToolsProtocol])
def test_a_connection_knows_its_request_and_whether_the_server_waits_for_another(protocol: Any) -> None:
    """`web/arrival.py` closes a connection that brings no head, but leaves one to uvicorn that is quiet after an answer."""
    source = inspect.getsource(protocol)
    for line in (
        "self.loop = _loop",
        "self.cycle = RequestResponseCycle(",
        "self.timeout_keep_alive_task = self.loop.call_later(",
        "self.timeout_keep_alive_task = None",
    ):
        assert line in source


# -- Starlette ---------------------------------------------------------------------------------------


def test_a_request_keeps_the_json_that_was_parsed() -> None:
    """`web/bounds.py` parses a large body off the event loop, and puts it where FastAPI looks for it."""
    request = Request({"type": "http", "headers": []})
    request._json = {"title": "parsed already"}  # noqa: SLF001
    assert asyncio.run(request.json()) == {"title": "parsed already"}


def test_a_form_is_read_from_the_body_that_a_request_keeps() -> None:
    """`web/bounds.py` encodes characters beyond ASCII in a form, because Starlette reads them as Latin-1."""
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]

    async def read(request: Request) -> object:
        return (await request.form())["name"]

    for body, name in ((b"name=\xc3\xa9", "\xc3\xa9"), (b"name=%C3%A9", "\xe9")):
        request = Request({"type": "http", "headers": headers})
        request._body = body  # noqa: SLF001
        assert asyncio.run(read(request)) == name


def test_a_query_has_a_sign_in_place_of_what_is_not_utf_8() -> None:
    """`web/strict_query.py` looks for the sign first, and then at the bytes."""
    request = Request({"type": "http", "headers": [], "query_string": b"a=%FF&%C3=b"})
    assert request.query_params.multi_items() == [("a", UNREADABLE), (UNREADABLE, "b")]


# -- logging -----------------------------------------------------------------------------------------


def test_logging_looks_for_no_place_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`logging_config.py` sets what the logging HOWTO names, so that an entry is not searched for its caller."""
    found = []

    def find_caller(*_: Any) -> tuple[str, int, str, None]:
        found.append(True)
        return "", 0, "", None

    monkeypatch.setattr(logging.Logger, "findCaller", find_caller)
    setup_logging()
    logger.info("without a place")
    assert not found
    monkeypatch.setattr(logging, "_srcfile", logging.__file__)
    logger.info("with a place")
    assert found


# -- httpx -------------------------------------------------------------------------------------------


def test_a_transport_of_httpx_has_a_pool_of_httpcore() -> None:
    """`services/webhooks/fence.py` puts a pool in its place that connects to addresses it has checked only."""
    with httpx.HTTPTransport() as transport:
        assert type(transport._pool) is httpcore.ConnectionPool  # noqa: SLF001
    source = inspect.getsource(httpx.HTTPTransport.handle_request)
    assert "self._pool.handle_request(" in source
    backend = inspect.signature(httpcore.ConnectionPool).parameters["network_backend"]
    assert backend.default is None
    assert list(inspect.signature(httpcore.SyncBackend.connect_tcp).parameters) == [
        *("self", "host", "port", "timeout", "local_address", "socket_options"),
    ]
