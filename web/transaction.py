"""An endpoint as a transaction.

An endpoint that takes `db: ReadSession` or `db: WriteSession` is a plain function. It is called in one hop, with a
session; a write is committed before the response leaves. `user: CurrentUser` is read in the same transaction. The
endpoint returns rows, dicts or models, which are written as JSON by the declared response model.
"""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import BackgroundTasks, Depends, Request, Response
from sqlalchemy.orm import Session

import auth
from database import database, get_db
from web.json_writer import JsonWriter
from web.strict_input import CLAIMS, NEEDS_TOKEN, QUERY

T = TypeVar("T")


class Access:
    """How an endpoint uses the database; a marker in the annotation of its session."""

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes


ReadSession = Annotated[Session, Access(writes=False), Depends(get_db)]
WriteSession = Annotated[Session, Access(writes=True), Depends(get_db)]


def session_parameter(signature: inspect.Signature) -> tuple[str, Access] | None:
    for parameter in signature.parameters.values():
        for note in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(note, Access):
                return parameter.name, note
    return None


def caller_parameter(signature: inspect.Signature) -> tuple[str, bool] | None:
    """The name of the parameter that takes the caller, and whether it must be an admin."""
    for parameter in signature.parameters.values():
        if parameter.annotation in (auth.CurrentUser, auth.AdminUser):
            return parameter.name, parameter.annotation == auth.AdminUser
    return None


Short = bool | Callable[[Mapping[str, Any]], bool]


def in_transaction(
    endpoint: Callable[..., Any],
    response_model: Any,
    status_code: int | None,
    short: Short,
    scope: str | None = None,
) -> Callable[..., Any]:
    """The endpoint as FastAPI is to see it: without its session and caller, async, answering with bytes."""
    signature = inspect.signature(endpoint, eval_str=True)
    session = session_parameter(signature)
    if session is None:
        return endpoint
    if inspect.iscoroutinefunction(endpoint):
        raise TypeError(
            f"{endpoint.__name__}: a session is for plain functions, which are called in a transaction"
        )
    db_name, access = session
    caller = caller_parameter(signature)
    write_json = JsonWriter(response_model).dump
    parameters = {
        name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != db_name and (caller is None or name != caller[0])
    }
    take_request = _injected(parameters, Request)
    take_response = _injected(parameters, Response)
    background = next(
        (name for name, parameter in parameters.items() if parameter.annotation is BackgroundTasks), None
    )

    async def transaction(**values: Any) -> Response:
        request, response = take_request(values), take_response(values)
        values |= request.scope.get(QUERY, {})

        def work(db: Session) -> bytes | Response:
            if background is not None:
                # The work may be done again: what is put off until after the answer is so once.
                values[background].tasks.clear()
            if caller is not None:
                claims = request.scope[CLAIMS]
                values[caller[0]] = auth.authorize(db, claims, admin=caller[1], scope=scope)
            result = endpoint(**{db_name: db}, **values)
            return result if isinstance(result, Response) else write_json(result)

        if access.writes:
            content = await database.write_async(work)
        else:
            content = await database.read_async(work, short=short(values) if callable(short) else short)
        if caller is not None and "program" in request.scope[CLAIMS]:
            await auth.note_use(request.scope[CLAIMS])
        if isinstance(content, Response):
            return content
        headers = {key: value for key, value in response.headers.items() if key != "content-length"}
        status = response.status_code or status_code or 200
        return Response(content, status, headers, "application/json")

    functools.update_wrapper(transaction, endpoint)
    del transaction.__wrapped__  # type: ignore[attr-defined]
    transaction.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    setattr(transaction, NEEDS_TOKEN, caller is not None)
    return transaction


def _injected(parameters: dict[str, inspect.Parameter], kind: type[T]) -> Callable[[dict[str, Any]], T]:
    """Have FastAPI hand in a Request or a Response, which it does for one parameter only; how to take it."""
    for name, parameter in parameters.items():
        if parameter.annotation is kind:
            return operator.itemgetter(name)
    name = f"_{kind.__name__.lower()}"
    parameters[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
    return lambda values: values.pop(name)
