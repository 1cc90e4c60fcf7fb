"""Deciding parts of a filter by the tags, states and projects that there are."""

from functools import cache
from typing import Any

from sqlalchemy.orm import Session

from models import STATUSES
from services.query.evaluate import matches
from services.query.facts import EVERYTHING, NOTHING, Contains, Normal, OneOf, Present, Test, tests_in
from services.query.joining import decided, replaced
from services.query.shapes import Place
from services.query.vocabulary import existing, known_texts
from storage.folding import fold

# The most tags, states or projects that are looked for in each task without knowing that some task has them.
MANY_NAMED = 6


def with_known_values(db: Session, normal: Normal, place: Place) -> Normal:
    """The same filter, in which everything that is known of all tasks in the place is decided.

    Texts within tags, states and projects are replaced by the known values that contain them.
    """
    of_all: dict[str, Any] = {"owner": place.owner_id, "project_id": place.project_id}

    @cache
    def known(name: str) -> list[str]:
        return list(STATUSES) if name == "status" else known_texts(db, name, place)

    def replace(test: Test) -> Normal:
        fact = test.fact
        name = fact.field.name
        if name == "project" and place.project_id is not None:
            # All tasks of a project have its name.
            of_all[name] = next(iter(known(name)), None)
        if of_all.get(name) is not None:
            return EVERYTHING if matches(test, {fact.field.of_task: of_all[name]}) else NOTHING
        if not isinstance(fact, Contains) or name not in ("tag", "project", "state", "status"):
            return test
        found = tuple(sorted(text for text in known(name) if fact.text in fold(text)))
        if not found:
            return decided(test, is_true=False)
        if len(found) == len(known(name)):
            # Gathering the tasks with any of all tags would take long.
            return Test(Present(fact.field), test.holds) if name == "tag" else decided(test, is_true=True)
        return Test(OneOf(fact.field, found), test.holds)

    return replaced(normal, replace)


def with_existing(db: Session, normal: Normal, place: Place) -> Normal:
    """The same filter without tags, states and projects that no task has; a filter that names few of them stays as it is."""
    named: dict[str, set[str]] = {}
    for test in tests_in(normal):
        if isinstance(test.fact, OneOf) and test.fact.field.name in ("tag", "state", "project"):
            named.setdefault(test.fact.field.name, set()).update(test.fact.values)
    known = {
        name: existing(db, name, values, place) for name, values in named.items() if len(values) > MANY_NAMED
    }

    def replace(test: Test) -> Normal:
        fact = test.fact
        if not isinstance(fact, OneOf) or fact.field.name not in known:
            return test
        left = tuple(value for value in fact.values if value in known[fact.field.name])
        if not left:
            return decided(test, is_true=False)
        return Test(OneOf(fact.field, left), test.holds)

    return replaced(normal, replace) if known else normal
