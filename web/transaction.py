"""Endpoints as transactions.

An endpoint that takes `db: ReadSession` or another of the sessions below is a plain function. It is called with a
session, in a single hop; a write is committed before the response leaves. `user: CurrentUser` is read in the same
transaction. With `portions: Portions` it may be called in several, one after the other. The endpoint returns rows, dicts or models, which are written as JSON by the declared response model.
"""

import asyncio
import functools
import inspect
import operator
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import BackgroundTasks, Depends, FastAPI, Request, Response
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

import auth
from database import database, get_db
from errors import AppError, ContentTooLarge
from models import Caller
from services.idempotency import Answer, kept_answer
from services.portions import Portions
from storage.direct_session import one_snapshot
from web.idempotency import SENT_KEYS, keyed, replay, respond_once, write_in_turn
from web.json_writer import JsonWriter
from web.large_answer import json_answer
from web.strict_input import CLAIMS, KEPT_ANSWER, NEEDS_TOKEN, PARSED
from web.time_limit import begin_again

T = TypeVar("T")


class Access:
    """An endpoint's use of the database, as a marker in the annotation of its session."""

    def __init__(self, *, writes: bool, one_snapshot: bool = False, is_long: bool = False) -> None:
        self.writes, self.one_snapshot, self.is_long = writes, one_snapshot, is_long


ReadSession = Annotated[Session, Access(writes=False), Depends(get_db)]
# A session whose reads all see the database at one moment, for figures that must agree with one another.
SnapshotSession = Annotated[Session, Access(writes=False, one_snapshot=True), Depends(get_db)]
WriteSession = Annotated[Session, Access(writes=True), Depends(get_db)]
# A session for a write that may change many tasks: see `Database.write_async`.
LongWriteSession = Annotated[Session, Access(writes=True, is_long=True), Depends(get_db)]


class ReadAgain(Exception):
    """Raised by an endpoint that reads: it is to be called again after a pause, during which it holds no connection."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Ahead:
    """Work on the body before a write's transaction, as a marker of the parameter that takes the result.

    SQLite's only writer is then busy for less time. If `pays` is true of the endpoint's `body`, `work` is called with a
    session that only reads, the caller and the body. Otherwise the result is None, as always on Postgres, which has many
    writers.
    """

    def __init__(self, pays: Callable[[Any], bool], work: Callable[[Session, Caller, Any], Any]) -> None:
        self.pays, self.work = pays, work


def _marked(signature: inspect.Signature, kind: type[T]) -> tuple[str, T] | None:
    """The parameter with a marker of this kind in its annotation: its name and the marker."""
    for parameter in signature.parameters.values():
        for note in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(note, kind):
                return parameter.name, note
    return None


def _annotated(signature: inspect.Signature, kind: type[Any]) -> str | None:
    """The name of the parameter of this type."""
    return next((name for name, each in signature.parameters.items() if each.annotation is kind), None)


def session_parameter(signature: inspect.Signature) -> tuple[str, Access] | None:
    """The name of the parameter that takes the session, and the endpoint's use of the database."""
    return _marked(signature, Access)


def caller_parameter(signature: inspect.Signature) -> tuple[str, bool] | None:
    """The name of the parameter that takes the caller, and whether the caller must be an admin."""
    for parameter in signature.parameters.values():
        if parameter.annotation in (auth.CurrentUser, auth.AdminUser):
            return parameter.name, parameter.annotation == auth.AdminUser
    return None


class NoOverrides(dict[Callable[..., Any], Callable[..., Any]]):
    """Stands in for `app.dependency_overrides`, and explains why an override would have no effect.

    An endpoint is called in a transaction that opens its own session and reads the caller in it. FastAPI
    never solves `get_db` or `get_current_user` for it.
    """

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "dependency_overrides has no effect here: the endpoints open their transactions themselves. Use another"
            " database by `database.switch(url)`, and act as an account by a token of `create_access_token({'sub': id})`"
        )

    __setitem__ = setdefault = update = __ior__ = _refuse


class Application(FastAPI):
    """Keeps `NoOverrides`: a program may assign an empty dict, as after a test, but no overrides."""

    _no_overrides = NoOverrides()

    @property
    def dependency_overrides(self) -> NoOverrides:
        return self._no_overrides

    @dependency_overrides.setter
    def dependency_overrides(self, overrides: dict[Callable[..., Any], Callable[..., Any]]) -> None:
        if overrides:
            self._no_overrides.update(overrides)


OnLoop = bool | Callable[[Mapping[str, Any]], bool]


class _Transaction:
    """An endpoint, with everything that a call needs."""

    def __init__(
        self,
        endpoint: Callable[..., Any],
        write_json: Callable[[Any], bytes],
        status_code: int | None,
        on_loop: OnLoop,
        scope: str | None,
        secrets: Sequence[str] | None,
    ) -> None:
        signature = inspect.signature(endpoint, eval_str=True)
        session = session_parameter(signature)
        assert session is not None
        self.endpoint, self.write_json, self.status_code = endpoint, write_json, status_code
        self.on_loop, self.scope, self.secrets = on_loop, scope, secrets
        self.db_name, self.access = session
        self.caller = caller_parameter(signature)
        self.ahead = _marked(signature, Ahead)
        # An endpoint with this parameter may be called in several transactions: see `services/portions.py`.
        self.portions = _annotated(signature, Portions)
        given = {self.db_name, self.portions}
        given |= {each[0] for each in (self.caller, self.ahead) if each is not None}
        self.parameters = {
            name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in signature.parameters.items()
            if name not in given
        }
        self.background = _annotated(signature, BackgroundTasks)

    async def run(self, request: Request, response: Response, values: dict[str, Any]) -> Response:
        """Call the endpoint in its transaction, and return its response."""
        values |= request.scope.get(PARSED, {})
        key = await keyed(request) if self.secrets is not None and SENT_KEYS in request.scope else None

        def work(db: Session) -> bytes | Response:
            if self.background is not None:
                # The writer may call the work again, and background tasks must be added only once.
                values[self.background].tasks.clear()
            if self.caller is None:
                return call(db)
            name, is_for_admins = self.caller
            user = auth.authorize(db, request.scope[CLAIMS], admin=is_for_admins, scope=self.scope)
            values[name] = user
            if key is None:
                return call(db)
            return respond_once(db, user, key, lambda: self._respond(call(db), response), self.secrets or ())

        def call(db: Session) -> bytes | Response:
            with one_snapshot(db) if self.access.one_snapshot else nullcontext():
                result = self.endpoint(**{self.db_name: db}, **values)
            return result if isinstance(result, Response) else self.write_json(result)

        is_long = self.access.is_long
        if self.ahead is not None:
            name, ahead = self.ahead
            is_long = ahead.pays(values["body"])
            values[name] = await self._work_ahead(request, ahead, values["body"]) if is_long else None
        if key is not None:
            content = await write_in_turn(
                request.scope[CLAIMS], key, self._writer(request, values), work, is_long=is_long
            )
        elif self.access.writes:
            content = await self._writer(request, values)(work, is_long=is_long)
        else:
            content = await self._read(work, values)
        if self.caller is not None and "program" in request.scope[CLAIMS]:
            await auth.note_use(request.scope[CLAIMS])
        return self._respond(content, response)

    def _writer(self, request: Request, values: dict[str, Any]) -> Callable[..., Awaitable[Any]]:
        if self.portions is None:
            return database.write_async
        values[self.portions] = portions = Portions(partial(begin_again, request.scope))
        return portions.write

    async def _read(self, work: Callable[[Session], Any], values: Mapping[str, Any]) -> bytes | Response:
        on_loop = self.on_loop(values) if callable(self.on_loop) else self.on_loop
        while True:
            try:
                return await database.read_async(work, on_loop=on_loop)
            except ReadAgain as again:
                pause = again.seconds
            await asyncio.sleep(pause)

    async def _work_ahead(self, request: Request, ahead: Ahead, body: Any) -> Any:
        """The result of the work before the transaction, or None."""
        if not database.is_sqlite:
            return None

        def work(db: Session) -> Any:
            try:
                user = auth.authorize(db, request.scope[CLAIMS], admin=False, scope=self.scope)
            except AppError:
                return None  # The transaction raises it.
            return ahead.work(db, user, body)

        return await database.read_async(work)

    async def kept_answer(self, request: Request, error: Exception) -> Response | None:
        """The answer that is kept for a request which was refused, perhaps before its transaction began.

        Raises InvalidInput if the key was sent before with another request. The refused request then needs
        another key, whatever else is wrong with it.
        """
        try:
            key = await keyed(request, is_too_large=isinstance(error, ContentTooLarge))
        except (AppError, ClientDisconnect):
            return None
        assert self.caller is not None
        is_for_admins = self.caller[1]

        def find(db: Session) -> Answer | None:
            user = auth.authorize(db, request.scope[CLAIMS], admin=is_for_admins, scope=self.scope)
            return kept_answer(db, user, key)

        kept = await database.read_async(find, on_loop=True)
        return None if kept is None else replay(kept)

    def _respond(self, content: bytes | Response, given: Response) -> Response:
        """The endpoint's own response, or its JSON with the status and headers that it set on `given`."""
        if isinstance(content, Response):
            return content
        headers = {name: value for name, value in given.headers.items() if name != "content-length"}
        status = given.status_code or self.status_code or 200
        return json_answer(content, status, headers)


def in_transaction(
    endpoint: Callable[..., Any],
    response_model: Any,
    status_code: int | None,
    on_loop: OnLoop,
    scope: str | None,
    *,
    secrets: Sequence[str] | None,
) -> Callable[..., Any]:
    """Wrap an endpoint for FastAPI: without session and caller, async, and answering with bytes.

    `secrets` are given if the endpoint takes an `Idempotency-Key`; they are the fields that are not kept for
    a replay.
    """
    if session_parameter(inspect.signature(endpoint, eval_str=True)) is None:
        return endpoint
    if inspect.iscoroutinefunction(endpoint):
        raise TypeError(
            f"{endpoint.__name__}: a session is for plain functions, which are called in a transaction"
        )
    made = _Transaction(endpoint, JsonWriter(response_model).dump, status_code, on_loop, scope, secrets)
    parameters = made.parameters
    take_request = _injected(parameters, Request)
    take_response = _injected(parameters, Response)

    async def transaction(**values: Any) -> Response:
        return await made.run(take_request(values), take_response(values), values)

    functools.update_wrapper(transaction, endpoint)
    del transaction.__wrapped__  # type: ignore[attr-defined]
    transaction.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    setattr(transaction, NEEDS_TOKEN, made.caller is not None)
    if secrets is not None:
        setattr(transaction, KEPT_ANSWER, made.kept_answer)
    return transaction


def _injected(parameters: dict[str, inspect.Parameter], kind: type[T]) -> Callable[[dict[str, Any]], T]:
    """Return a function that takes the Request or Response, which FastAPI injects into one parameter only."""
    for name, parameter in parameters.items():
        if parameter.annotation is kind:
            return operator.itemgetter(name)
    name = f"_{kind.__name__.lower()}"
    parameters[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
    return lambda values: values.pop(name)
