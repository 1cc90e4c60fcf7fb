"""Checking in Python whether a task matches a filter, for tasks that are no longer in the table."""

from collections.abc import Mapping
from typing import Any

from services.query.facts import AllOf, AnyOf, Contains, Fact, Normal, OneOf, Present, Within
from storage.folding import fold, normal_form


def matches(normal: Normal, task: Mapping[str, Any]) -> bool:
    """Whether a task, given by the fields of an API answer, matches the filter."""
    if isinstance(normal, AllOf):
        return all(matches(part, task) for part in normal.parts)
    if isinstance(normal, AnyOf):
        return any(matches(part, task) for part in normal.parts)
    return _holds(normal.fact, task) == normal.holds


def _holds(fact: Fact, task: Mapping[str, Any]) -> bool:
    value = task.get(fact.field.of_task)
    values = (value or ()) if fact.field.kind == "tags" else () if value is None else (value,)
    if isinstance(fact, Present):
        return len(values) > 0
    return any(_is_true_of(fact, each) for each in values)


def _is_true_of(fact: OneOf | Within | Contains, value: Any) -> bool:
    if isinstance(fact, OneOf):
        return (normal_form(value) if isinstance(value, str) else value) in fact.values
    if isinstance(fact, Contains):
        return fact.text in fold(value)
    return (fact.start is None or fact.start <= value) and (fact.behind is None or value < fact.behind)
