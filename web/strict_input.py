"""Strict input: no part of a request is ignored silently, and no body is larger than its endpoint allows."""

import dataclasses
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard, get_args, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import Message

import auth
from errors import (
    AppError,
    ContentTooLarge,
    InvalidInput,
    UnsupportedMediaType,
    input_problems,
    invalid_at,
    invalid_input,
)
from web import bounds
from web.idempotency import SENT_KEYS

SMALL_BODY = 1024 * 1024
# An endpoint that needs a token has the first attribute; the scope has the claims under the second name.
NEEDS_TOKEN = "needs_token"  # noqa: S105  # a name
CLAIMS = "token_claims"
# An endpoint that takes an `Idempotency-Key` has a function under this name, which finds kept answers.
KEPT_ANSWER = "kept_answer"
PARSED = "parsed_models"
# The errors that may come before the caller's rights are known.
BEFORE_RIGHTS = (RequestValidationError, InvalidInput, ContentTooLarge, UnsupportedMediaType)
# The character that Starlette puts in the place of bytes that are not UTF-8.
UNREADABLE = "\ufffd"
# How numbers are written in an address, and the problem with any other text. Pydantic reads more as numbers:
# `5_0` as 50, and `+5`, whose plus sign is decoded as a space, as 5.
NUMBERS = {
    int: (re.compile(r"-?\d+(?:\.0+)?", re.ASCII), "integer, unable to parse string as an integer"),
    float: (re.compile(r"-?\d+(?:\.\d+)?", re.ASCII), "number, unable to parse string as a number"),
}
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route that ignores no part of a request silently, and refuses a body that is too large."""

    body_limit = SMALL_BODY
    # The parameter for the caller, and whether the caller must be an admin; then the scope that a program's
    # token needs.
    caller: tuple[str, bool] | None = None
    scope: str | None = None

    def get_route_handler(self) -> Handler:
        """The route's handler, after checks of the token, the query and the media type."""
        closed = getattr(self.endpoint, NEEDS_TOKEN, False) or any(
            each.call is auth.signed_in for each in self.dependant.dependencies
        )
        allowed = dict(allowed_query(self.dependant))
        check_numbers = _number_check(self.dependant)
        whole = self.dependant
        models = query_models(whole) if hasattr(self.endpoint, NEEDS_TOKEN) else {}
        beside = {name: frozenset(allowed).difference(_names(model)) for name, model in models.items()}
        # FastAPI takes a quarter of a list's time for a model of parameters. So FastAPI only declares the
        # model, and this module reads it.
        declared = [field for field in whole.query_params if field.name not in models]
        self.dependant = dataclasses.replace(whole, query_params=declared)
        handle = self._handler()
        self.dependant = whole
        media_types = self.media_types()
        check_body = self._body_check()
        has_tag = any(field.alias == "if-match" for field in whole.header_params)
        refuses_tags = not has_tag and bool({"PUT", "PATCH", "DELETE"} & (self.methods or set()))

        async def strict(request: Request) -> Response:
            if closed:
                # The token is checked before anything that a stranger sent is read. A dependency would cost
                # as much as a query.
                request.scope[CLAIMS] = auth.claims_of(request)
            try:
                if request.method != "GET":
                    request = _with_body_limit(request, self.body_limit)
                if refuses_tags:
                    _check_no_tag(request)
                if query_string := request.scope["query_string"]:
                    bounds.check_query(query_string)
                    _check_query(request, allowed)
                if models:
                    query = _query_values(request, allowed)
                    request.scope[PARSED] = {
                        name: _validated(model, query, beside[name]) for name, model in models.items()
                    }
                check_numbers(request)
                if media_types:
                    _check_media_type(request, media_types)
                if check_body is not None:
                    await check_body(request)
                return await handle(request)
            except (AppError, HTTPException, RequestValidationError) as error:
                return await self._after_refusal(request, error)

        return strict

    async def _after_refusal(self, request: Request, error: Exception) -> Response:
        """The answer that is kept for the request, if it has an `Idempotency-Key`; otherwise raises the error.

        A caller without the right to call is told that, not what is wrong with the request.
        """
        if isinstance(error, HTTPException) and isinstance(error.__cause__, AppError):
            # FastAPI turns every error while reading a body into a 400.
            error = error.__cause__
        if CLAIMS in request.scope and isinstance(error, BEFORE_RIGHTS):
            is_for_admins, scope = (False, None) if self.caller is None else (self.caller[1], self.scope)
            await auth.check_caller(request.scope[CLAIMS], admin=is_for_admins, scope=scope)
        find_kept_answer = getattr(self.endpoint, KEPT_ANSWER, None)
        kept: Response | None = None
        if find_kept_answer is not None and SENT_KEYS in request.scope:
            kept = await find_kept_answer(request, error)
        if kept is None:
            # The cause is kept, because the log tells it of a fault of the database.
            raise error from error.__cause__
        return kept

    def _handler(self) -> Handler:
        """FastAPI's handler, except that a model in a JSON body is read here.

        FastAPI takes longer to find out how a body is to be read than to read it. So a body that is valid is read
        here, and FastAPI describes what is wrong with any other.
        """
        handle = super().get_route_handler()
        declared, field = self.dependant, self.body_field
        if field is None or self._embed_body_fields or not hasattr(self.endpoint, NEEDS_TOKEN):
            return handle
        # A dependency may take the body too, so only the endpoint's own parameter is read here.
        is_own = [each.name for each in declared.body_params] == [field.name] and not declared.dependencies
        name, model = field.name, field.field_info.annotation
        if not is_own or self.media_types() != ("application/json",) or not _is_model(model):
            return handle
        self.dependant, self.body_field = dataclasses.replace(declared, body_params=[]), None
        handle_without_body = super().get_route_handler()
        self.dependant, self.body_field = declared, field

        async def read(request: Request) -> Response:
            body = await _valid_body(request, model)
            if body is None:
                return await handle(request)
            request.scope[PARSED] = {**request.scope.get(PARSED, {}), name: body}
            return await handle_without_body(request)

        return read

    def _body_check(self) -> Callable[[Request], Coroutine[Any, Any, None]] | None:
        """Return the check of a body before its validation.

        It is None for a GET, and for an endpoint that reads the body itself.
        """
        if self.body_field is not None:
            return partial(bounds.check_body, is_form=any("form" in each for each in self.media_types()))
        return None if self.media_types() or self.methods == {"GET"} else bounds.check_no_body

    def media_types(self) -> tuple[str, ...]:
        """The media types that the endpoint accepts as a body."""
        if self.body_field is not None:
            taken = getattr(self.body_field.field_info, "media_type", "application/json")
            return (taken, "multipart/form-data") if "form" in taken else (taken,)
        extra = (self.openapi_extra or {}).get("requestBody", {})
        return tuple(extra.get("content", ()))


def allowed_query(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names of all query parameters, and whether each may be given only once."""
    for name, annotation in _parameters(dependant, "query_params"):
        yield name, not _is_list(annotation)


def _parameters(dependant: Dependant, kind: str) -> Iterator[tuple[str, Any]]:
    """The names and types of all parameters of a kind, also of those in models and dependencies."""
    for field in getattr(dependant, kind):
        annotation = field.field_info.annotation
        if _is_model(annotation):
            for name, info in zip(_names(annotation), annotation.model_fields.values(), strict=True):
                yield name, info.annotation
        else:
            yield field.alias, annotation
    for dependency in dependant.dependencies:
        yield from _parameters(dependency, kind)


def _numbers(dependant: Dependant, kind: str) -> dict[str, type]:
    """The types of the parameters of a kind that are numbers, by name."""
    return {
        name: number
        for name, annotation in _parameters(dependant, kind)
        for number in NUMBERS
        if _holds(annotation, number)
    }


def _names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def query_models(dependant: Dependant) -> dict[str, type[BaseModel]]:
    """The parameters whose type is a model of query parameters, by name."""
    found = {}
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if _is_model(annotation):
            found[field.name] = annotation
    return found


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _query_values(request: Request, allowed: Mapping[str, bool]) -> dict[str, Any]:
    query = request.query_params
    return {name: query[name] if allowed[name] else query.getlist(name) for name in query}


def _validated(model: type[BaseModel], query: dict[str, Any], beside: frozenset[str]) -> BaseModel:
    """Validate the model of a query, which may have parameters besides the model."""
    if not beside.isdisjoint(query):
        query = {name: value for name, value in query.items() if name not in beside}
    try:
        return model.model_validate(query)
    except ValidationError as error:
        problems = [{**problem, "loc": ("query", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None


async def _valid_body(request: Request, model: type[BaseModel]) -> BaseModel | None:
    """The model that the body holds; None if there is no body, or if anything in it is wrong.

    FastAPI validates a wrong body once more to describe it, and names what is wrong in the address too. That would
    hold up the event loop for a large body, so this raises InvalidInput for such a one.
    """
    body = await request.body()
    if not body:
        return None
    try:
        content = await request.json()
        if bounds.is_large(body):
            return await bounds.off_the_loop(body, lambda: _valid_or_described(model, content))
        return model.model_validate(content, from_attributes=True)
    except (ValueError, RecursionError):
        return None


def _valid_or_described(model: type[BaseModel], content: Any) -> BaseModel:
    try:
        return model.model_validate(content, from_attributes=True)
    except ValidationError as error:
        problems = (
            {**problem, "loc": ("body", *problem["loc"])}
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise invalid_input(input_problems(problems, model)) from None


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_holds(part, kind) for part in get_args(annotation))


def _number_check(dependant: Dependant) -> Callable[[Request], None]:
    """Return a check of a request's address, which raises RequestValidationError for a number in another notation."""
    of_path, of_query = _numbers(dependant, "path_params"), _numbers(dependant, "query_params")

    def check(request: Request) -> None:
        sent = [("path", name, request.path_params[name], kind) for name, kind in of_path.items()]
        if of_query and request.scope["query_string"]:
            sent += [
                ("query", name, value, of_query[name])
                for name, value in request.query_params.multi_items()
                if name in of_query
            ]
        problems = [
            {
                "type": "number_parsing",
                "loc": (place, name),
                "msg": f"Input should be a valid {NUMBERS[kind][1]}",
            }
            for place, name, value, kind in sent
            if not NUMBERS[kind][0].fullmatch(value) and _python_reads(value)
        ]
        if problems:
            raise RequestValidationError(problems)

    return check


def _python_reads(text: str) -> bool:
    """Whether Python takes a text for a number; FastAPI describes what is wrong with any other text."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_query(request: Request, allowed: Mapping[str, bool]) -> None:
    problems = []
    seen = set()
    for name, value in request.query_params.multi_items():
        if UNREADABLE in value and name == "filter":
            bounds.check_filter(request.scope["query_string"])
        elif UNREADABLE in name or UNREADABLE in value:
            bounds.check_utf_8(request.scope["query_string"], "?")
        if name not in allowed:
            known = f"allowed: {', '.join(allowed)}" if allowed else "this endpoint takes none"
            problems.append({"pointer": f"?{name}", "detail": f"Unknown query parameter; {known}"})
        elif name in seen and allowed[name]:
            problems.append({"pointer": f"?{name}", "detail": "Given more than once"})
        seen.add(name)
    if problems:
        raise invalid_input(problems)


def _check_no_tag(request: Request) -> None:
    """Refuse `If-Match` where nothing has an `ETag`: the client counts on a protection that is not there."""
    if request.headers.get("if-match", "*").strip() != "*":
        detail = "Nothing has an `ETag` here: leave the header out"
        raise invalid_at("header.If-Match", detail)


def media_type(request: Request) -> str:
    """The media type of a request's body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_media_type(request: Request, taken: Sequence[str]) -> None:
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding[:50]!r} is not taken: send the body as it is",
            headers={"Accept-Encoding": "identity"},
        )
    sent = media_type(request)
    if sent in taken or (
        "application/json" in taken and sent.startswith("application/") and sent.endswith("+json")
    ):
        return
    raise UnsupportedMediaType(f"Send the body as {' or '.join(taken)}")


def _with_body_limit(request: Request, limit: int) -> Request:
    """The request with a limit for its body, which raises ContentTooLarge.

    If the length is known, it is checked before the body is read. A `Content-Length` beside `Transfer-Encoding` is
    ignored, because a body in chunks ends with its last chunk, whatever that header says.
    """
    length = request.headers.get("content-length", "")
    if "transfer-encoding" not in request.headers:
        if length and not (length.isdecimal() and len(length) <= 15 and int(length) <= limit):
            raise _too_large(limit)
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
