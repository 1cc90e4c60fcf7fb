"""Strict input: a route that ignores no part of a request silently, and refuses a body that is too large.

`strict_query.py` checks the query, `strict_body.py` the body.
"""

import dataclasses
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

import auth
from errors import (
    AppError,
    ContentTooLarge,
    InvalidInput,
    UnsupportedMediaType,
    invalid_at,
)
from web import bounds, in_hand
from web.idempotency import SENT_KEYS
from web.strict_body import SMALL_BODY, check_media_type, valid_body, with_body_limit
from web.strict_query import (
    allowed_query,
    check_query,
    is_model,
    names_of,
    number_check,
    query_models,
    query_values,
    validated,
)

# An endpoint that needs a token has the first attribute; the scope has the claims under the second name.
NEEDS_TOKEN = "needs_token"  # noqa: S105  # a name
CLAIMS = "token_claims"
# An endpoint that takes an `Idempotency-Key` has a function under this name, which finds kept answers.
KEPT_ANSWER = "kept_answer"
PARSED = "parsed_models"
# The errors that may come before the caller's rights are known.
BEFORE_RIGHTS = (RequestValidationError, InvalidInput, ContentTooLarge, UnsupportedMediaType)
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
        check_numbers = number_check(self.dependant)
        whole = self.dependant
        models = query_models(whole) if hasattr(self.endpoint, NEEDS_TOKEN) else {}
        beside = {name: frozenset(allowed).difference(names_of(model)) for name, model in models.items()}
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
                    request = with_body_limit(request, self.body_limit, request.scope.get(CLAIMS))
                if refuses_tags:
                    _check_no_tag(request)
                if query_string := request.scope["query_string"]:
                    bounds.check_query(query_string)
                    check_query(request, allowed)
                if models:
                    query = query_values(request, allowed)
                    request.scope[PARSED] = {
                        name: validated(model, query, beside[name]) for name, model in models.items()
                    }
                check_numbers(request)
                if media_types:
                    check_media_type(request, media_types)
                if check_body is not None:
                    await check_body(request)
                return await handle(request)
            except (AppError, HTTPException, RequestValidationError) as error:
                return await self._after_refusal(request, error)
            finally:
                in_hand.leave(request.scope)

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
        if not is_own or self.media_types() != ("application/json",) or not is_model(model):
            return handle
        self.dependant, self.body_field = dataclasses.replace(declared, body_params=[]), None
        handle_without_body = super().get_route_handler()
        self.dependant, self.body_field = declared, field

        async def read(request: Request) -> Response:
            body = await valid_body(request, model)
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


def _check_no_tag(request: Request) -> None:
    """Refuse `If-Match` where nothing has an `ETag`: the client counts on a protection that is not there."""
    if request.headers.get("if-match", "*").strip() != "*":
        detail = "Nothing has an `ETag` here: leave the header out"
        raise invalid_at("header.If-Match", detail)
