"""Strict queries: no parameter of an address is unknown, repeated or read in another notation."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from errors import invalid_input
from web import bounds

# The character that Starlette puts in the place of bytes that are not UTF-8.
UNREADABLE = "\ufffd"
# How numbers are written in an address, and the problem with any other text. Pydantic reads more as numbers:
# `5_0` as 50, and `+5`, whose plus sign is decoded as a space, as 5.
NUMBERS = {
    int: (re.compile(r"-?\d+(?:\.0+)?", re.ASCII), "integer, unable to parse string as an integer"),
    float: (re.compile(r"-?\d+(?:\.\d+)?", re.ASCII), "number, unable to parse string as a number"),
}


def allowed_query(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The names of all query parameters, and whether each may be given only once."""
    for name, annotation in _parameters(dependant, "query_params"):
        yield name, not _is_list(annotation)


def _parameters(dependant: Dependant, kind: str) -> Iterator[tuple[str, Any]]:
    """The names and types of all parameters of a kind, also of those in models and dependencies."""
    for field in getattr(dependant, kind):
        annotation = field.field_info.annotation
        if is_model(annotation):
            for name, info in zip(names_of(annotation), annotation.model_fields.values(), strict=True):
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


def names_of(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields in a request."""
    return [info.alias or name for name, info in model.model_fields.items()]


def query_models(dependant: Dependant) -> dict[str, type[BaseModel]]:
    """The parameters whose type is a model of query parameters, by name."""
    found = {}
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if is_model(annotation):
            found[field.name] = annotation
    return found


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a type is a model of Pydantic."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def query_values(request: Request, allowed: Mapping[str, bool]) -> dict[str, Any]:
    """The values of a query by name: a text for a parameter that is given once, or else all of them."""
    query = request.query_params
    return {name: query[name] if allowed[name] else query.getlist(name) for name in query}


def validated(model: type[BaseModel], query: dict[str, Any], beside: frozenset[str]) -> BaseModel:
    """Validate the model of a query, which may have parameters besides the model."""
    if not beside.isdisjoint(query):
        query = {name: value for name, value in query.items() if name not in beside}
    try:
        return model.model_validate(query)
    except ValidationError as error:
        problems = [{**problem, "loc": ("query", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems) from None


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_holds(part, kind) for part in get_args(annotation))


def number_check(dependant: Dependant) -> Callable[[Request], None]:
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


def check_query(request: Request, allowed: Mapping[str, bool]) -> None:
    """Raise InvalidInput for parameters that are unknown, given too often or not UTF-8."""
    problems = []
    seen = set()
    for name, value in request.query_params.multi_items():
        if UNREADABLE in value and name == "filter" and name in allowed:
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
