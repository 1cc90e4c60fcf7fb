"""The router whose endpoints are transactions.

An endpoint that takes `db: ReadSession` or `db: WriteSession` is a plain function: it is called in one
hop with a session, and for a write the commit comes before the response. What it returns (rows, dicts
or models) is written as JSON by the declared response model. `user: CurrentUser` is read in the same
transaction. Errors are declared in OpenAPI, and what no endpoint declares is refused: an unknown or
repeated query parameter, another media type.
"""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlencode

from fastapi import APIRouter, BackgroundTasks, Depends, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import Row
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.types import Message
from typing_extensions import TypedDict

import auth
from config import settings
from database import database, get_db
from errors import AppError, ContentTooLarge, UnsupportedMediaType, invalid_input
from models import Caller
from services.paging import PageOf
from web.problems import responses

SMALL_BODY = 1024 * 1024
# An attribute of endpoints that are closed to strangers, and where the claims of the token are kept.
NEEDS_TOKEN = "needs_token"  # noqa: S105  # a name
CLAIMS = "token_claims"
QUERY = "query_models"

# What the limits answer that the settings turn on, for every endpoint alike.
LIMITS = {
    status
    for status, limit in (
        (400, settings.allowed_hosts),
        (429, settings.rate_limit_per_minute),
        (503, settings.request_timeout_seconds),
    )
    if limit
}

T = TypeVar("T")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class _Access:
    """How an endpoint uses the database; a marker in the annotation of its session."""

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes


ReadSession = Annotated[Session, _Access(writes=False), Depends(get_db)]
WriteSession = Annotated[Session, _Access(writes=True), Depends(get_db)]


class JsonWriter:
    """Writes what an endpoint returned by its response model, without validating it again.

    Rows are written by the names of the model's fields. That what is sent is what is declared is for
    the tests to prove: they check every answer against the OpenAPI document.
    """

    def __init__(self, model: Any) -> None:
        self._item: type[BaseModel] | None = None
        self._fields: tuple[str, ...] = ()
        item = get_args(model)[0] if get_origin(model) is list else model
        if isinstance(item, type) and issubclass(item, BaseModel):
            self._item = item
            self._fields = tuple(item.model_fields)
            # A TypedDict of the same fields is written from plain dicts.
            shape: Any = TypedDict(item.__name__, get_type_hints(item, include_extras=True))  # type: ignore[misc]
            item = shape
        self._adapter: TypeAdapter[Any] = TypeAdapter(list[item] if get_origin(model) is list else item)  # type: ignore[valid-type]

    def dump(self, content: Any) -> bytes:
        """The JSON of a row, a dict, a model, or a list of them."""
        if self._item is not None:
            content = self._plain_list(content) if isinstance(content, list) else self._plain(content)
        return self._adapter.dump_json(content)

    def _plain_list(self, items: list[Any]) -> list[Any]:
        fields = self._fields
        # The usual case: rows whose columns stand in the order of the fields, with others behind them.
        if items and isinstance(items[0], Row) and items[0]._fields[: len(fields)] == fields:
            return [dict(zip(fields, item, strict=False)) for item in items]
        return [self._plain(item) for item in items]

    def _plain(self, item: Any) -> Any:
        if isinstance(item, Row):
            return {name: getattr(item, name) for name in self._fields}
        if isinstance(item, BaseModel):
            return item.__dict__
        return item._asdict() if isinstance(item, Caller) else item


class StrictRoute(APIRoute):
    """A route that ignores nothing silently, and takes no more than it can use."""

    body_limit = SMALL_BODY

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind checks of the token, the query's names and the body's media type."""
        closed = getattr(self.endpoint, NEEDS_TOKEN, False)
        allowed = dict(_query_names(self.dependant))
        whole = self.dependant
        models = _query_models(whole) if hasattr(self.endpoint, NEEDS_TOKEN) else {}
        # FastAPI takes a quarter of a list's time to read a model of parameters: here it only declares them.
        declared = [field for field in whole.query_params if field.name not in models]
        self.dependant = dataclasses.replace(whole, query_params=declared)
        handle = super().get_route_handler()
        self.dependant = whole
        media_types = self._media_types()

        async def strict(request: Request) -> Response:
            if closed:
                # Before anything of a stranger's is read; a dependency for it would cost as much as a query.
                request.scope[CLAIMS] = auth.claims_of(request)
            if request.scope["query_string"]:
                _check_query(request, allowed)
            if models:
                query = _query_values(request, allowed)
                request.scope[QUERY] = {name: _validated(model, query) for name, model in models.items()}
            if media_types:
                _check_media_type(request, media_types)
            if request.method != "GET":
                request = _with_body_limit(request, self.body_limit)
            try:
                return await handle(request)
            except HTTPException as error:
                # FastAPI makes a 400 of whatever ends the reading of a body.
                if isinstance(error.__cause__, AppError):
                    raise error.__cause__ from None
                raise

        return strict

    def _media_types(self) -> tuple[str, ...]:
        if self.body_field is not None:
            taken = getattr(self.body_field.field_info, "media_type", "application/json")
            return (taken, "multipart/form-data") if "form" in taken else (taken,)
        extra = (self.openapi_extra or {}).get("requestBody", {})
        return tuple(extra.get("content", ()))


def _query_names(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names of all query parameters, those within models too; and whether each is single."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, info in annotation.model_fields.items():
                yield info.alias or name, not _is_list(info.annotation)
        else:
            yield field.alias, not _is_list(annotation)
    for dependency in dependant.dependencies:
        yield from _query_names(dependency)


def _query_models(dependant: Dependant) -> dict[str, type[BaseModel]]:
    """The parameters that are models of query parameters, by name."""
    found = {}
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found[field.name] = annotation
    return found


def _query_values(request: Request, allowed: Mapping[str, bool]) -> dict[str, Any]:
    query = request.query_params
    return {name: query[name] if allowed[name] else query.getlist(name) for name in query}


def _validated(model: type[BaseModel], query: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate(query)
    except ValidationError as error:
        problems = [{**problem, "loc": ("query", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


def _check_query(request: Request, allowed: Mapping[str, bool]) -> None:
    problems = []
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in allowed:
            known = f"allowed: {', '.join(allowed)}" if allowed else "this endpoint takes none"
            problems.append({"pointer": f"?{name}", "detail": f"Unknown query parameter; {known}"})
        elif name in seen and allowed[name]:
            problems.append({"pointer": f"?{name}", "detail": "Given more than once"})
        seen.add(name)
    if problems:
        raise invalid_input(problems)


def _check_media_type(request: Request, taken: Sequence[str]) -> None:
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    sent = headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent in taken or (
        "application/json" in taken and sent.startswith("application/") and sent.endswith("+json")
    ):
        return
    raise UnsupportedMediaType(f"Send the body as {' or '.join(taken)}")


def _with_body_limit(request: Request, limit: int) -> Request:
    """The request, whose body raises ContentTooLarge beyond the limit, before it is read where its length is told."""
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        if len(length) > 15 or int(length) > limit:
            raise _too_large(limit)
        return request
    if "transfer-encoding" not in request.headers:
        return request
    receive, received = request.receive, 0

    async def receive_within_limit() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return Request(request.scope, receive_within_limit)


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The body may have at most {limit:,} bytes here")


def _session_parameter(signature: inspect.Signature) -> tuple[str, _Access] | None:
    for parameter in signature.parameters.values():
        for note in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(note, _Access):
                return parameter.name, note
    return None


def _caller_parameter(signature: inspect.Signature) -> tuple[str, bool] | None:
    """The name of the parameter that takes the caller, and whether it must be an admin."""
    for parameter in signature.parameters.values():
        if parameter.annotation in (auth.CurrentUser, auth.AdminUser):
            return parameter.name, parameter.annotation == auth.AdminUser
    return None


def link_next(request: Request, response: Response, page: PageOf[T]) -> list[T]:
    """The rows of a page, and in the header `Link` the address of the next one, where there is more."""
    if page.next_cursor is not None:
        query = [
            (key, value) for key, value in request.query_params.multi_items() if key not in ("skip", "cursor")
        ]
        url = request.url.replace(query=urlencode([*query, ("cursor", page.next_cursor)]))
        response.headers["Link"] = f'<{url}>; rel="next"'
    return page.rows


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
    session = _session_parameter(signature)
    if session is None:
        return endpoint
    if inspect.iscoroutinefunction(endpoint):
        raise TypeError(
            f"{endpoint.__name__}: a session is for plain functions, which are called in a transaction"
        )
    db_name, access = session
    caller = _caller_parameter(signature)
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


def _usual_errors(signature: inspect.Signature, options: Mapping[str, Any]) -> set[int]:
    """The errors that follow from an endpoint's parameters, whatever it does."""
    statuses = {422, 500, *LIMITS}
    caller = _caller_parameter(signature)
    notes = [
        note
        for parameter in signature.parameters.values()
        for note in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(note, params.Depends)
    ]
    if caller is not None or any(note.dependency is auth.signed_in for note in notes):
        # 403: a program's token may lack the scope, and a member is no admin.
        statuses |= {401, 403}
    if session := _session_parameter(signature):
        statuses |= {503, 507} if session[1].writes else {503}
    if "GET" not in options["methods"]:
        statuses |= {413, 415}
    return statuses


class Router(APIRouter):
    """An APIRouter whose endpoints are transactions, strict, and declare the errors they can give.

    `errors` are the statuses an endpoint gives besides the usual ones. `short` says that it reads by an
    index and no more than a page, always or for certain parameters; on SQLite it is then called on the
    event loop. Left out, it is called in a thread, which is never wrong.

    `reads` and `writes` are the scopes that a program's token needs for the endpoints that get something and
    for the others; an endpoint may name its own by `scope`. Where none is named no such token is taken, and
    what is for admins takes the scope for that.
    """

    def __init__(self, *, reads: str | None = None, writes: str | None = None, **options: Any) -> None:
        self._reads, self._writes = reads, writes
        super().__init__(route_class=StrictRoute, redirect_slashes=False, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add an endpoint."""
        errors: Sequence[int] = options.pop("errors", ())
        short: Short = options.pop("short", False)
        body_limit: int = options.pop("body_limit", SMALL_BODY)
        scope = options.pop("scope", self._reads if options["methods"] == ["GET"] else self._writes)
        signature = inspect.signature(endpoint, eval_str=True)
        options["responses"] = {
            **responses(*errors, *_usual_errors(signature, options)),
            **(options.get("responses") or {}),
        }
        options.setdefault("operation_id", endpoint.__name__)
        if _caller_parameter(signature) is not None:
            closed: dict[str, Any] = {"security": [{auth.bearer.scheme_name: []}]}
            options["openapi_extra"] = closed | (options.get("openapi_extra") or {})
        options.setdefault("response_model", None)
        wrapped = in_transaction(
            endpoint, options["response_model"], options.get("status_code"), short, scope
        )
        super().add_api_route(path, wrapped, **options)
        route = self.routes[-1]
        assert isinstance(route, StrictRoute)
        route.body_limit = body_limit

    def _decorator(self, method: str, path: str, options: dict[str, Any]) -> Callable[[Endpoint], Endpoint]:
        def decorate(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, methods=[method], **options)
            return endpoint

        return decorate

    def get(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that reads."""
        return self._decorator("GET", path, options)

    def post(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that makes something."""
        return self._decorator("POST", path, options)

    def put(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that changes something."""
        return self._decorator("PUT", path, options)

    def patch(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that changes a part of something."""
        return self._decorator("PATCH", path, options)

    def delete(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that takes something away."""
        return self._decorator("DELETE", path, options)
