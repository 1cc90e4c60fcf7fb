"""Statements that are built once for each shape of a request, and kept up to a number of bytes.

Clients choose the shape: which filters, how many tags, which fields of a task change. A number of statements bounds
nothing, because some are a hundred times as large as others.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import BindParameter
from sqlalchemy.sql import visitors

from storage.bounded_cache import BoundedCache

P = ParamSpec("P")
S = TypeVar("S")

MOST_BYTES = 16 * 1024 * 1024
# The measured sizes, including those of the compiled form.
_STATEMENT = 20_000
_PARAMETER = 1_000


def _weigh(statement: Any) -> int:
    return _STATEMENT + _PARAMETER * sum(
        isinstance(part, BindParameter) for part in visitors.iterate(statement)
    )


shapes: BoundedCache[Any, Any] = BoundedCache(MOST_BYTES, weigh=_weigh)


def kept_by_shape(build: Callable[P, S]) -> Callable[P, S]:
    """Build a statement once for the same arguments; all statements that are kept in this way share one bound."""

    @functools.wraps(build)
    def get(*arguments: P.args, **named: P.kwargs) -> S:
        key = (build, arguments, *named.items())
        kept: S | None = shapes.get(key)
        if kept is None:
            kept = build(*arguments, **named)
            shapes.put(key, kept)
        return kept

    return get
