"""Checking in Python whether a task matches a filter, for tasks that are no longer in the table."""

from collections.abc import Mapping
from typing import Any

from services.query.facts import AllOf, AnyOf, Contains, Normal, OneOf, Present, Within
from storage.folding import fold, normal_form


def matches(normal: Normal, task: Mapping[str, Any]) -> bool:
    """Whether a task, given by the fields of an API answer, matches the filter."""
    if isinstance(normal, AllOf):
        return all(matches(part, task) for part in normal.parts)
    if isinstance(normal, AnyOf):
        return any(matches(part, task) for part in normal.parts)
    return _holds(normal.fact, task) == normal.holds


def _holds(fact: OneOf | Within | Contains | Present, task: Mapping[str, Any]) -> bool:
    field = fact.field
    value = task.get(field.of_task)
    if field.kind == "tags":
        tags = [normal_form(tag) for tag in value or ()]
        if isinstance(fact, OneOf):
            return not set(tags).isdisjoint(fact.values)
        return any(fact.text in fold(tag) for tag in tags) if isinstance(fact, Contains) else bool(tags)
    if value is None or isinstance(fact, Present):
        return value is not None
    if isinstance(fact, OneOf):
        return (normal_form(value) if isinstance(value, str) else value) in fact.values
    if isinstance(fact, Contains):
        return fact.text in fold(value)
    return (fact.start is None or fact.start <= value) and (fact.behind is None or value < fact.behind)
