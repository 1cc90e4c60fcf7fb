"""Filters that can't be read are refused at the place of the first mistake, whichever endpoint gets them."""

import os
import random
import re
from typing import Any

import pytest

from tests.support.api import Api, Person, assert_problem
from tests.support.broken_filters import BrokenFilters, first_mistake

FILTERS = int(os.environ.get("BROKEN_FILTERS", "100"))
SEED = int(os.environ.get("RANDOM_SEED", "20261127"))
READS = (
    "/tasks?",
    "/tasks/search?query=Task&",
    "/tasks/all?",
    "/tasks/admin/filter?",
    "/tasks/export?",
    "/analytics/flow?",
    "/analytics/throughput?",
    "/analytics/aging?",
)
# There are fewer tasks, so a filter that is valid by chance changes nothing.
EXPECTED = 10_000


def ask(person: Person, chance: random.Random, text: str, address: str) -> tuple[Any, str]:
    """Send a filter to a random endpoint, and return the answer and the name of the filter in its error."""
    kind = chance.randrange(10)
    if kind == 0:
        return person.delete(f"/tasks?expected={EXPECTED}&filter={address}"), "?filter"
    if kind == 1:
        changes = {"priority": 4}
        return person.patch(f"/tasks?expected={EXPECTED}&filter={address}", json=changes), "?filter"
    # The length of a view's filter is limited by its schema, and JSON holds no other bytes than UTF-8.
    if kind == 2 and len(text) <= 2000 and not re.search("[\udc80-\udcff]", text):
        return person.post("/views", json={"name": "broken", "filter": text}), "#/filter"
    return person.get(f"{chance.choice(READS)}filter={address}"), "?filter"


@pytest.mark.one_database
def test_broken_filters_are_refused_at_their_first_mistake(api: Api) -> None:
    chance = random.Random(SEED)  # noqa: S311  # a test that can be run again
    root = api.person("root", admin=True)
    root.post("/tasks/import", json=[{"title": f"Task {number}"} for number in range(5)])
    broken = BrokenFilters(chance)
    refused = 0
    for _ in range(FILTERS):
        text, address = broken.address()
        place = first_mistake(text)
        answer, pointer = ask(root, chance, text, address)
        if place is not None:
            problem = assert_problem(answer, 422, None, pointer)
            assert problem["code"] == "invalid_filter", (text, problem, answer.request.url)
            assert problem["errors"][0]["position"] == place, (text, problem)
            refused += 1
        elif answer.status_code == 422:
            assert "the calendar ends" in answer.json()["detail"], text
        else:
            assert answer.status_code in (200, 201, 409), (text, answer.text)
    assert refused > FILTERS / 2
    assert [task["priority"] for task in root.get("/tasks").json()] == [0] * 5
