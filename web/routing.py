"""The program's router. Endpoints are transactions, refuse unknown input, and declare their errors.

`web/transaction.py` calls an endpoint in its transaction; `web/strict_input.py` checks the input.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.models import Dependant

import auth
from config import settings
from database import get_db
from services.paging import PageOf
from web import idempotency
from web.problems import responses
from web.strict_body import SMALL_BODY
from web.strict_input import StrictRoute
from web.transaction import OnLoop, caller_parameter, in_transaction

# Every endpoint can give these errors, if the settings turn the limits on.
LIMITS = {
    status
    for status, limit in ((400, settings.allowed_hosts), (429, settings.rate_limit_per_minute))
    if limit
}

# A longer page may hold too many long texts to be read on the event loop.
MOST_ON_EVENT_LOOP = 100

T = TypeVar("T")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def is_short(values: Mapping[str, Any]) -> bool:
    """Whether the `page` of an endpoint may be read on the event loop: it has few rows, and none are skipped."""
    page = values["page"]
    return page.limit <= MOST_ON_EVENT_LOOP and not page.skip


def link_next(request: Request, response: Response, page: PageOf[T]) -> list[T]:
    """The rows of a page. Sets `Link` to the address of the next page and `X-Total-Count` to the total."""
    if page.next_cursor is not None:
        query = [
            (key, value) for key, value in request.query_params.multi_items() if key not in ("skip", "cursor")
        ]
        url = request.url.replace(query=urlencode([*query, ("cursor", page.next_cursor)]))
        response.headers["Link"] = f'<{url}>; rel="next"'
    if page.total is not None:
        response.headers["X-Total-Count"] = str(page.total)
    return page.rows


def _usual_errors(signature: inspect.Signature, options: Mapping[str, Any]) -> set[int]:
    """The errors below 500 that follow from an endpoint's parameters."""
    statuses = {422, *LIMITS}
    caller = caller_parameter(signature)
    notes = [
        note
        for parameter in signature.parameters.values()
        for note in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(note, params.Depends)
    ]
    if caller is not None or any(note.dependency is auth.signed_in for note in notes):
        # 403, because a program's token may lack the scope, and a member is not an admin.
        statuses |= {401, 403}
    if "GET" not in options["methods"]:
        statuses |= {413, 415}
    return statuses


def _check_transactions(dependant: Dependant, name: str) -> None:
    """Raise TypeError for an endpoint with a dependency that opens a transaction of its own.

    FastAPI would call such a dependency separately, in another transaction and without support for program
    tokens.
    """
    for each in dependant.dependencies:
        if each.call in (auth.get_current_user, auth.get_admin_user, get_db):
            raise TypeError(
                f"{name}: take `db: ReadSession` or `db: WriteSession` beside the caller, or be async and take "
                "`user: SignedIn`; a dependency can't take the caller or the session itself"
            )
        _check_transactions(each, name)


class Router(APIRouter):
    """An APIRouter whose endpoints are transactions, check input strictly, and declare their errors.

    `errors` are the statuses of an endpoint besides those that follow from its parameters. `on_loop` says that the
    endpoint reads by an index and at most one page, always or for certain parameters; on SQLite it is then called on
    the event loop. Without `on_loop` it is called in a thread, which is always correct.

    `reads` and `writes` are the scopes that a program's token needs: `reads` for GET, `writes` for the other
    methods. An endpoint may name another scope by `scope`. Endpoints for admins always need the scope `admin`;
    other endpoints without a scope refuse program tokens.

    `secrets` are fields of an answer that are shown only once. A replay by `Idempotency-Key` has null in
    their place.
    """

    def __init__(self, *, reads: str | None = None, writes: str | None = None, **options: Any) -> None:
        self._reads, self._writes = reads, writes
        super().__init__(route_class=StrictRoute, redirect_slashes=False, **options)

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add an endpoint."""
        errors: Sequence[int] = options.pop("errors", ())
        on_loop: OnLoop = options.pop("on_loop", False)
        body_limit: int = options.pop("body_limit", SMALL_BODY)
        scope = options.pop("scope", self._reads if options["methods"] == ["GET"] else self._writes)
        signature = inspect.signature(endpoint, eval_str=True)
        options["responses"] = {
            **responses(*errors, *_usual_errors(signature, options)),
            **(options.get("responses") or {}),
        }
        options.setdefault("operation_id", endpoint.__name__)
        summary, _, description = (inspect.getdoc(endpoint) or "").partition("\n\n")
        options.setdefault("summary", " ".join(summary.split()).removesuffix("."))
        options.setdefault("description", description)
        if caller_parameter(signature) is not None:
            closed: dict[str, Any] = {"security": [{auth.bearer.scheme_name: []}]}
            options["openapi_extra"] = closed | (options.get("openapi_extra") or {})
        options.setdefault("response_model", None)
        secrets = self._declare_key(path, signature, options)
        wrapped = in_transaction(
            endpoint, options["response_model"], options.get("status_code"), on_loop, scope, secrets=secrets
        )
        super().add_api_route(path, wrapped, **options)
        route = self.routes[-1]
        assert isinstance(route, StrictRoute)
        _check_transactions(route.dependant, endpoint.__name__)
        route.body_limit, route.scope, route.caller = body_limit, scope, caller_parameter(signature)

    def _declare_key(
        self, path: str, signature: inspect.Signature, options: dict[str, Any]
    ) -> Sequence[str] | None:
        """Declare the `Idempotency-Key` of a write; returns its `secrets`, or None without a key."""
        secrets: Sequence[str] = options.pop("secrets", ())
        is_of_auth = (self.prefix + path).startswith("/auth")
        if options["methods"] == ["GET"] or is_of_auth or caller_parameter(signature) is None:
            return None
        idempotency.declare(options)
        return secrets

    def _decorator(self, method: str, path: str, options: dict[str, Any]) -> Callable[[Endpoint], Endpoint]:
        def decorate(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, methods=[method], **options)
            return endpoint

        return decorate

    def get(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that reads."""
        return self._decorator("GET", path, options)

    def post(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that creates or starts something."""
        return self._decorator("POST", path, options)

    def put(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that changes something."""
        return self._decorator("PUT", path, options)

    def patch(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that changes a part of something."""
        return self._decorator("PATCH", path, options)

    def delete(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Add an endpoint that removes something."""
        return self._decorator("DELETE", path, options)
