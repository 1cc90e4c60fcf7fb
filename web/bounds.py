"""Bounds of a request's size, checked by counting before anything is decoded, parsed or validated.

A body of a megabyte can hold a hundred thousand fields. Validating them and describing every error took a
second of the event loop and an answer of nine megabytes.
"""

import codecs
import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote_from_bytes, unquote_plus, unquote_to_bytes

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from errors import InvalidInput, input_problems, invalid_at, invalid_input, pointer_part
from schemas.common import MOST_CHOICES
from services.query.refusal import InvalidFilter
from storage.json_objects import MOST_ELEMENTS, MOST_FIELDS, Repeat, each_field_once
from storage.threads import Threads

T = TypeVar("T")

# The bound of all headers of a request. Each counts as some bytes more than it has, because it takes time by itself.
LONGEST_HEADERS = 64 * 1024
BYTES_OF_A_HEADER = 32
LONGEST_QUERY = 64 * 1024
MOST_PARAMETERS = 100
# A body of this size is handled by another thread, however few values it has.
LARGE = 256 * 1024
# The error names the fields of a refused body up to this size.
LONGEST_NAMED = 10_000
# The bound of a whole body, over all its objects and arrays. A thousand tasks have fewer values.
MOST_VALUES = 40_000

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")

_parsing = Threads(1, "parsing")


def are_too_long(headers: Collection[tuple[bytes, bytes]]) -> bool:
    """Whether the headers of a request are too long; uvicorn itself has no limit."""
    left = LONGEST_HEADERS - BYTES_OF_A_HEADER * len(headers)
    return left < 0 or sum([len(name) + len(value) for name, value in headers]) > left


def headers_too_long() -> InvalidInput:
    """The error for headers that are too long."""
    bound = f"{LONGEST_HEADERS:,} bytes, and {BYTES_OF_A_HEADER} fewer for each header"
    return invalid_at("header", f"The headers may have at most {bound}")


def check_query(query: bytes) -> None:
    """Raise InvalidInput for too many parameters, with one problem however many there are."""
    if len(query) > LONGEST_QUERY:
        raise invalid_at("?", f"The query may have at most {LONGEST_QUERY:,} bytes")
    if query.count(b"&") < MOST_CHOICES:
        return
    names = [part.partition(b"=")[0] for part in query.split(b"&") if part]
    if len(names) > MOST_PARAMETERS:
        raise invalid_at("?", f"There may be at most {MOST_PARAMETERS} parameters; these are {len(names):,}")
    for name, times in Counter(unquote_plus(name.decode("latin-1")) for name in names).items():
        if times > MOST_CHOICES:
            raise invalid_at(f"?{name}", f"May be given at most {MOST_CHOICES} times, not {times}")


def may_have_body(request: Request) -> bool:
    """Whether the headers of a request announce a body."""
    headers = request.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def _whole_body(request: Request) -> bytes:
    """The body of a request; raises HTTPException if the client goes away while it is read."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(400) from None


async def check_body(request: Request, *, is_form: bool) -> None:
    """Read the body, and parse a large one off the event loop; raises InvalidInput for too many fields."""
    body = await _whole_body(request)
    if is_form:
        if "multipart" in request.headers.get("content-type", "").lower():
            form = await request.form()
            _check_names(name for name, _ in form.multi_items())
            try:
                body.decode()
            except UnicodeDecodeError:
                raise invalid_at("#", "Is not UTF-8") from None
        else:
            _check_form(body)
            # Starlette would read a byte beyond ASCII as Latin-1. Such a form is UTF-8, as `curl -d` sends it.
            request._body = _BEYOND_ASCII.sub(_percent_encoded, body)  # noqa: SLF001
    elif body:
        # FastAPI looks for the parsed body in this attribute.
        request._json = await off_the_loop(body, lambda: _parsed(body))  # noqa: SLF001


def is_large(body: bytes) -> bool:
    """Whether a body may take too long for the event loop."""
    return len(body) >= LARGE or body.count(b",") >= MOST_FIELDS


async def off_the_loop(body: bytes, work: Callable[[], T]) -> T:
    """Do work that takes as long as the body is large: for a large one in another thread."""
    return await _parsing.run(work) if is_large(body) else work()


def _check_form(body: bytes) -> None:
    """Raise InvalidInput for a form with too many fields, or with a field that stands twice."""
    if (fields := body.count(b"&")) >= MOST_FIELDS:
        raise invalid_at("#", f"A form may have at most {MOST_FIELDS} fields; this one has {fields + 1:,}")
    _check_names(
        unquote_plus(field.partition(b"=")[0].decode("latin-1")) for field in body.split(b"&") if field
    )
    check_utf_8(body, "#/")


def _check_names(names: Iterable[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise invalid_at(f"#/{pointer_part(name)}", "Given more than once")


def check_utf_8(parameters: bytes, place: str) -> None:
    """Raise InvalidInput for a parameter whose name or value is not UTF-8."""
    for parameter in parameters.split(b"&"):
        try:
            unquote_to_bytes(parameter).decode()
        except UnicodeDecodeError:
            name = unquote_plus(parameter.partition(b"=")[0].decode("latin-1"))
            raise invalid_at(f"{place}{pointer_part(name)}", "Is not UTF-8") from None


def check_filter(query: bytes) -> None:
    """Raise InvalidFilter, with the place of the first, for bytes of a filter that are not UTF-8."""
    for parameter in query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        if unquote_to_bytes(name) == b"filter":
            filter_bytes = unquote_to_bytes(value)
            try:
                filter_bytes.decode()
            except UnicodeDecodeError as error:
                before = filter_bytes[: error.start].decode()
                # Reading the filter stops at a NUL character that stands before the bytes.
                if "\0" not in before:
                    problem = "met a character that is not UTF-8, which no text may hold"
                    raise InvalidFilter(len(before), problem) from None


def _percent_encoded(text: re.Match[bytes]) -> bytes:
    return quote_from_bytes(text[0]).encode()


async def check_no_body(request: Request) -> None:
    """Raise InvalidInput for a body that the endpoint would ignore; an empty object is allowed."""
    if not may_have_body(request):
        return
    body = await _whole_body(request)
    if body.translate(None, b" \t\r\n") in (b"", b"{}", b"null"):
        return
    content = None
    if len(body) <= LONGEST_NAMED:
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(body)
    if isinstance(content, dict):
        problems = [{"type": "extra_forbidden", "loc": ("body", name), "msg": ""} for name in content]
        raise invalid_input(input_problems(problems))
    raise invalid_at("#", "This endpoint takes no body")


def _parsed(body: bytes) -> Any:
    """Parse a JSON body without validating it; raises InvalidInput if it has too many fields."""
    if body.count(b",") >= MOST_VALUES and _fields_and_brackets(body) >= MOST_VALUES:
        raise invalid_at("#", f"A body may have at most {MOST_VALUES:,} fields, objects and arrays")
    repeats: list[Repeat] = []
    try:
        # Other encodings than UTF-8 are not JSON for other programs, and would escape the counts above.
        content = json.loads(
            body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogatepass"),
            object_pairs_hook=each_field_once(repeats),
        )
    except json.JSONDecodeError as error:
        problem = {"type": "json_invalid", "loc": ("body", error.pos), "ctx": {"error": error.msg}}
        raise RequestValidationError([{**problem, "msg": "JSON decode error", "input": {}}]) from None
    except (ValueError, RecursionError) as error:
        raise HTTPException(400) from error
    if repeats or (is_large(body) and _has_too_large(content)):
        _check_objects(content, {id(each.fields): each.name for each in repeats})
    return content


def _fields_and_brackets(body: bytes) -> int:
    """Count fields and brackets outside of strings, in time linear to the length of the body."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 16 * MOST_VALUES:
        return MOST_VALUES
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b":") + outside.count(b"[") + outside.count(b"{")


def _has_too_large(content: Any) -> bool:
    """Whether an object or an array is too large. Few are, and finding none takes less without the places."""
    waiting: list[Iterable[Any]] = [[content]]
    while waiting:
        for each in waiting.pop():
            kind = type(each)
            if kind is dict:
                if len(each) > MOST_FIELDS:
                    return True
                waiting.append(each.values())
            elif kind is list:
                if len(each) > MOST_ELEMENTS:
                    return True
                waiting.append(each)
    return False


def _check_objects(content: Any, repeated: Mapping[int, str]) -> None:
    """Raise InvalidInput, with the place, for an object or array that is too large, and for a repeated field."""
    waiting = [("#", content)]
    inner: Iterable[tuple[Any, Any]]
    while waiting:
        place, each = waiting.pop()
        if isinstance(each, dict):
            if (repeat := repeated.get(id(each))) is not None:
                raise invalid_at(f"{place}/{pointer_part(repeat)}", "Given more than once")
            most, inner, what = MOST_FIELDS, each.items(), "An object may have at most {:,} fields"
        else:
            most, inner, what = MOST_ELEMENTS, enumerate(each), "An array may have at most {:,} elements"
        if len(each) > most:
            raise invalid_at(place, f"{what.format(most)}; this one has {len(each):,}")
        for name, value in inner:
            if isinstance(value, dict | list):
                waiting.append((f"{place}/{pointer_part(name)}", value))
