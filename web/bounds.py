"""How much a request may bring: checked by counting, before anything is decoded, parsed or validated.

A body of a megabyte can hold a hundred thousand fields. To validate them, and to tell what is wrong with each, took a
second of the event loop and an answer of nine megabytes.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from errors import InvalidInput, invalid_input
from storage.threads import Threads

LONGEST_QUERY = 64 * 1024
MOST_PARAMETERS = 100
MOST_REPEATS = 20
# Of one object, and of a form.
MOST_FIELDS = 100
MOST_ELEMENTS = 1000
# Of a whole body, all objects and arrays together: a thousand tasks have fewer.
MOST_VALUES = 40_000

_parsing = Threads(1, "parsing")


def _too_much(pointer: str, detail: str) -> InvalidInput:
    return invalid_input([{"pointer": pointer, "detail": detail}])


def check_query(query: bytes) -> None:
    """Raise InvalidInput for a query of too many parameters, with one problem however many there are."""
    if len(query) > LONGEST_QUERY:
        raise _too_much("?", f"The query may have at most {LONGEST_QUERY:,} bytes")
    if query.count(b"&") < MOST_REPEATS:
        return
    names = [part.partition(b"=")[0] for part in query.split(b"&") if part]
    if len(names) > MOST_PARAMETERS:
        raise _too_much("?", f"There may be at most {MOST_PARAMETERS} parameters; these are {len(names):,}")
    for name, times in Counter(unquote_plus(name.decode("latin-1")) for name in names).items():
        if times > MOST_REPEATS:
            raise _too_much(f"?{name}", f"May be given at most {MOST_REPEATS} times, not {times}")


async def check_body(request: Request, *, is_form: bool) -> None:
    """Read the body, and parse a large one off the event loop; raises InvalidInput for too many fields."""
    try:
        body = await request.body()
    except ClientDisconnect:
        raise HTTPException(400) from None
    if is_form:
        if (fields := body.count(b"&")) >= MOST_FIELDS and "multipart" not in request.headers["content-type"]:
            raise _too_much("#", f"A form may have at most {MOST_FIELDS} fields; this one has {fields + 1:,}")
    elif body.count(b",") >= MOST_FIELDS:
        # Where FastAPI looks for it.
        request._json = await _parsing.run(lambda: _parsed(body))  # noqa: SLF001


def _parsed(body: bytes) -> Any:
    """What a body of JSON holds, which is not validated yet; raises InvalidInput for too much of it."""
    if body.count(b",") >= MOST_VALUES and _fields_and_brackets(body) >= MOST_VALUES:
        raise _too_much("#", f"A body may have at most {MOST_VALUES:,} fields, objects and arrays")
    try:
        content = json.loads(body)
    except json.JSONDecodeError as error:
        problem = {"type": "json_invalid", "loc": ("body", error.pos), "ctx": {"error": error.msg}}
        raise RequestValidationError([{**problem, "msg": "JSON decode error", "input": {}}]) from None
    except (ValueError, RecursionError) as error:
        raise HTTPException(400) from error
    if isinstance(content, dict | list):
        _check_number(content)
    return content


def _fields_and_brackets(body: bytes) -> int:
    """How many there are outside of texts, in steps whose time grows evenly with the body."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 16 * MOST_VALUES:
        return MOST_VALUES
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b":") + outside.count(b"[") + outside.count(b"{")


def _check_number(content: Any) -> None:
    """Raise InvalidInput for an object of too many fields or an array of too many elements, and say where it is."""
    waiting = [("#", content)]
    inner: Iterable[tuple[Any, Any]]
    while waiting:
        place, each = waiting.pop()
        if isinstance(each, dict):
            most, inner, what = MOST_FIELDS, each.items(), "An object may have at most {:,} fields"
        else:
            most, inner, what = MOST_ELEMENTS, enumerate(each), "An array may have at most {:,} elements"
        if len(each) > most:
            raise _too_much(place, f"{what.format(most)}; this one has {len(each):,}")
        for name, value in inner:
            if isinstance(value, dict | list):
                waiting.append((f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}", value))
