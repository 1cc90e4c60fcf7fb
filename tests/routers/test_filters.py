"""Lists with a filter: they find the tasks that a plain reading of the filter finds, in order, page by page."""

import functools
import os
import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from sqlalchemy.orm import Session

from database import database
from models import Caller
from schemas.tasks import TaskFilters
from services import task_service
from services.lists import on_postgres, planned, planning
from services.query import asking, guards, known_values, statement_cache, vocabulary
from services.query.fields import table
from services.query.shapes import Place, Shape
from tests.support.api import Api, Person, assert_problem
from tests.support.between import before_statement
from tests.support.filters import (
    PROJECTS,
    TAGS,
    ZONES,
    Oracle,
    RandomFilters,
    folded,
    random_moment,
    random_task,
)

# The minute before midnight, in a week in which nothing else is due.
NOW = datetime(2026, 11, 27, 23, 59, 59, 999_999, tzinfo=UTC)
# The benchmark tries more filters of the same kind: see benchmarks/filters.py.
STATES = [
    {"key": "pending", "name": "To do", "status": "pending"},
    {"key": "review", "name": "Review", "status": "in_progress"},
    {"key": "completed", "name": "Done", "status": "completed"},
]
SORTS = ("created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id")
FILTERS = int(os.environ.get("RANDOM_FILTERS", "120"))
SEED = int(os.environ.get("RANDOM_SEED", "20261127"))


def titles(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["title"] for task in answer.json()]


def found(person: Person, text: str, path: str = "/tasks", **params: Any) -> list[str]:
    return titles(person.get(path, params={"filter": text, "sort_by": "id", "sort_order": "asc", **params}))


def all_pages(person: Person, path: str, params: dict[str, Any]) -> list[int]:
    """The ids of a list, page by page along its links; each page has the total if it is asked for."""
    ids, totals = [], set()
    answer = person.get(path, params=params)
    while True:
        assert answer.status_code == 200, answer.text
        totals.add(answer.headers.get("x-total-count"))
        ids += [task["id"] for task in answer.json()]
        link = answer.headers.get("link")
        if link is None:
            assert totals == {str(len(ids)) if "total" in params else None}
            return ids
        match = re.fullmatch(r'<([^>]+)>; rel="next"', link)
        assert match is not None
        answer = person.get(match[1])


def in_order(tasks: list[Any], sort_by: str, *, descending: bool) -> list[int]:
    """The ids of tasks in the order of a list: equal tasks by id, nulls last."""
    there = [task for task in tasks if task[sort_by] is not None]
    missing = [task for task in tasks if task[sort_by] is None]

    def key(task: Any) -> Any:
        value = task[sort_by]
        if sort_by == "title":
            return folded(value), task["id"]
        return (datetime.fromisoformat(value) if isinstance(value, str) else value, task["id"])

    there.sort(key=key, reverse=descending)
    missing.sort(key=lambda task: task["id"], reverse=descending)
    return [task["id"] for task in there + missing]


@pytest.fixture
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists of some dozens of tasks read in the way of lists that are too long for a test."""
    monkeypatch.setattr(planning, "FEW_FOUND", 20)
    for name, value in (("MANY_TASKS", 30), ("FEW_IN_RANGE", 8), ("FEW_CHOSEN", 8)):
        monkeypatch.setattr(planning, name, value)
    for name, value in (("NEAR", 20), ("NEAR_COVERED", 8), ("NEAR_GATHERED", 10), ("NEAR_IN_INDEX", 10)):
        monkeypatch.setattr(planned, name, value)
    for name, value in (("MANY_IN_RANGE", 25), ("SAMPLE", 12)):
        monkeypatch.setattr(planned, name, value)
    for name, value in (("NEAR", 10), ("FARTHER", 60)):
        monkeypatch.setattr(on_postgres, name, value)
    monkeypatch.setattr(vocabulary, "FEW_TAGGED", 20)
    monkeypatch.setattr(known_values, "MANY_NAMED", 2)
    monkeypatch.setattr(asking, "FEW_TAG_TESTS", 1)
    monkeypatch.setattr(guards, "FEWEST_GUARDED", 1)


Lists = list[tuple[Person, dict[str, Any], list[Any]]]


def random_lists(api: Api, chance: random.Random) -> Lists:
    """Lists with their callers, parameters and tasks: own tasks with and without projects, and a project's tasks.

    Only the first list has tasks whose completion or last change lies before their creation.
    """
    ada, bob, cleo = (api.person(name) for name in ("ada", "bob", "cleo"))
    project = ada.post("/projects", json={"name": "Öffentlich", "states": STATES}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "viewer"})
    for person, count, params in ((ada, 80, {}), (ada, 40, {"project_id": project}), (cleo, 40, {})):
        rows = [random_task(chance, shared=bool(params)) for _ in range(count)]
        if count < 80:
            rows = [with_times_in_order(row) for row in rows]
        answer = person.post("/tasks/import", json=rows, params=params)
        assert answer.status_code == 201, answer.text
    lists = [
        (person, place, person.get("/tasks", params={"limit": 500, **place}).json())
        for person, place in ((ada, {}), (bob, {"project_id": project}), (cleo, {}))
    ]
    assert [len(tasks) for _, _, tasks in lists] == [120, 40, 40]
    return lists


def with_times_in_order(task: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ("created_at", "completed_at", "updated_at") if name in task]
    return task | dict(zip(names, sorted(task[name] for name in names), strict=True))


def random_way(chance: random.Random) -> dict[str, Any]:
    """An order and a way to page."""
    way: dict[str, Any] = {
        "sort_by": chance.choice(SORTS),
        "sort_order": chance.choice(("asc", "desc")),
        "limit": chance.choice((5, 50)),
    }
    if chance.random() < 0.3:
        way["total"] = True
    elif chance.random() < 0.2:
        way["skip"] = chance.choice((1, 4, 30))
    return way


def as_listed(tasks: list[Any], way: dict[str, Any]) -> list[int]:
    """The ids of tasks in their order, from the beginning of the first page."""
    ids = in_order(tasks, way["sort_by"], descending=way["sort_order"] == "desc")
    return ids[way.get("skip", 0) :]


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize("number", [40, pytest.param(FILTERS, marks=pytest.mark.thorough)])
def test_random_filters_find_what_a_plain_reading_finds(api: Api, number: int) -> None:
    chance = random.Random(SEED)  # noqa: S311  # a test that can be run again
    with time_machine.travel(NOW, tick=False):
        lists = random_lists(api, chance)
        accounts = {person.username: person.id for person, _, _ in lists}
        filters = RandomFilters(chance)
        sizes = set()
        for _ in range(number):
            text, tz = filters.filter(chance.choice((1, 3, 8))), chance.choice(ZONES)
            person, place, tasks = lists[chance.choice((0, 0, 1, 2))]
            oracle, way = Oracle(NOW, tz, person.id, accounts), random_way(chance)
            # Plain parameters count beside the filter.
            asked, tasks = random_parameters(chance, tasks) if chance.random() < 0.3 else ({}, tasks)
            expected = as_listed([task for task in tasks if oracle.finds(text, task)], way)
            params = {**asked, "filter": text, "tz": tz, **way, **place}
            assert all_pages(person, "/tasks", params) == expected, params
            sizes.add(len(expected))
    assert len(sizes) > 15
    assert statement_cache.kept.weight <= statement_cache.MOST_BYTES


def random_parameters(chance: random.Random, tasks: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Plain parameters, and the tasks that fit them."""
    asked: dict[str, Any] = {}
    for name in chance.sample((*CHOICES, *RANGES, "blocked"), chance.choice((1, 1, 2, 3))):
        if name == "blocked":
            asked[name] = so = chance.choice((True, False))
            tasks = [task for task in tasks if (task["blocked_at"] is not None) == so]
        elif name in CHOICES:
            asked[name] = wanted = chance.sample(CHOICES[name], chance.choice((1, 1, 2)))
            field = "tags" if name == "tag" else name
            tasks = [
                task for task in tasks if set(wanted) & set(task[field] if name == "tag" else [task[field]])
            ]
        else:
            field, side = f"{name[0]}_at", name[1]
            asked[f"{name[0]}_{side}"] = bound = random_moment(chance)
            there = [(task, task[field]) for task in tasks if task[field] is not None]
            at = datetime.fromisoformat(bound)
            tasks = [
                task for task, value in there if (datetime.fromisoformat(value) >= at) == (side == "after")
            ]
    return asked, tasks


CHOICES: dict[str, list[Any]] = {
    "status": ["pending", "in_progress", "completed"],
    "state": ["pending", "in_progress", "completed", "review", "nowhere"],
    "project": [*PROJECTS, "Nowhere", "Öffentlich"],
    "priority": [0, 1, 2, 3, 4],
    "tag": [*TAGS, "nowhere"],
}
RANGES = [(name, side) for name in ("created", "updated", "due", "completed") for side in ("after", "before")]


@pytest.mark.thorough
@pytest.mark.usefixtures("_few_are_many")
def test_random_parameters_find_what_a_plain_reading_finds(api: Api) -> None:
    chance = random.Random(SEED)  # noqa: S311  # a test that can be run again
    lists = random_lists(api, chance)
    sizes = set()
    for _ in range(FILTERS):
        person, place, tasks = chance.choice(lists)
        (asked, found), way = random_parameters(chance, tasks), random_way(chance)
        expected = as_listed(found, way)
        assert all_pages(person, "/tasks", {**asked, **way, **place}) == expected, (asked, way)
        sizes.add(len(expected))
    assert len(sizes) > 20


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize(
    ("name", "sort_by", "sort_order"),
    [
        ("updated_before", "created_at", "desc"),
        ("created_after", "updated_at", "asc"),
        ("completed_after", "updated_at", "asc"),
        ("updated_before", "completed_at", "desc"),
    ],
)
def test_a_task_whose_times_are_out_of_order_is_found(
    api: Api, name: str, sort_by: str, sort_order: str, *, is_shared: bool
) -> None:
    person = api.person()
    place = {"project_id": person.post("/projects", json={"name": "Here"}).json()["id"]} if is_shared else {}
    times = [f"2026-{month:02}-{day:02}T00:00:00Z" for month in (1, 2, 3) for day in range(1, 29)]
    rows = [
        {"title": at, "created_at": at, "updated_at": at, "status": "completed", "completed_at": at}
        for at in times
    ]
    assert person.post("/tasks/import", json=rows, params=place).status_code == 201
    asked = {name: "2026-02-10", "sort_by": sort_by, "sort_order": sort_order, "limit": 5, **place}
    nearest = titles(person.get("/tasks", params=asked))
    assert nearest[0] == ("2026-02-10T00:00:00Z" if sort_order == "asc" else "2026-02-09T00:00:00Z")
    odd = {"title": "odd", "created_at": "2026-04-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}
    if "completed" in name + sort_by:
        odd |= {"status": "completed", "completed_at": "2026-05-01T00:00:00Z"}
    assert person.post("/tasks/import", json=[odd], params=place).status_code == 201
    assert titles(person.get("/tasks", params=asked)) == ["odd", *nearest[:4]]


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize("way", [{"limit": 50}, {"limit": 7}, {"skip": 5}, {"limit": 7, "total": True}])
@pytest.mark.parametrize("name", ["created_after", "updated_before"])
def test_tasks_that_are_not_completed_end_a_list_that_begins_where_its_range_says(
    api: Api, name: str, way: dict[str, Any]
) -> None:
    person = api.person()
    days = [f"2026-{month:02}-{day:02}T00:00:00Z" for month in (1, 2) for day in range(1, 29)]
    rows = [
        {"title": day, "created_at": day, "updated_at": day}
        | ({"status": "completed", "completed_at": day} if number % 7 == 0 else {})
        for number, day in enumerate(days)
    ]
    assert person.post("/tasks/import", json=rows).status_code == 201
    tasks = person.get("/tasks", params={"limit": 500}).json()
    field, is_after = ("created_at", True) if name == "created_after" else ("updated_at", False)
    found = [task for task in tasks if (task[field] >= "2026-02-01") == is_after]
    assert len(found) == 28
    asked = {name: "2026-02-01", "sort_by": "completed_at", "sort_order": "asc" if is_after else "desc"}
    expected = in_order(found, "completed_at", descending=not is_after)
    assert all_pages(person, "/tasks", {**asked, **way}) == expected[way.get("skip", 0) :]


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize("text", ["tag != b or id = 0", "tag in (b, c) or id = 0"])
def test_a_list_of_a_tag_takes_a_filter_of_other_tags(api: Api, text: str) -> None:
    person = api.person()
    tags = [["a"], ["a", "b"], ["a", "c"], ["b"]]
    rows = [{"title": f"{number}", "tags": tags[number % 4]} for number in range(60)]
    assert person.post("/tasks/import", json=rows).status_code == 201
    found = titles(person.get("/tasks", params={"tag": "a", "filter": text, "limit": 40}))
    left = (0, 2) if "!=" in text else (1, 2)
    assert sorted(found, key=int) == [f"{number}" for number in range(60) if number % 4 in left]


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize("sort_by", ["created_at", "due_at", "title"])
def test_pages_by_number_are_those_of_the_whole_list(api: Api, sort_by: str) -> None:
    person = api.person()
    rows = [
        {
            "title": f"{number * 7 % 60}",
            "due_at": f"2026-11-{number % 28 + 1:02}T00:00:00Z" if number % 3 else None,
        }
        for number in range(60)
    ]
    assert person.post("/tasks/import", json=rows).status_code == 201
    asked = {"filter": "title !~ 5 and id > 0", "sort_by": sort_by, "limit": 10}
    whole = [each["id"] for each in person.get("/tasks", params={**asked, "limit": 500}).json()]
    for skip in (0, 15, 30, 100):
        for more in ({}, {"total": True}):
            page = person.get("/tasks", params={**asked, "skip": skip, **more})
            assert [each["id"] for each in page.json()] == whole[skip : skip + 10]
            assert page.headers.get("x-total-count") == (str(len(whole)) if more else None)


@pytest.fixture
def ada(api: Api) -> Person:
    """Somebody with tasks of every kind."""
    person = api.person("ada")
    person.task("plain", project="Research")
    person.task("tagged", tags=["urgent", "on hold"], priority=3, due_at="2026-11-26T22:30:00Z")
    person.task("Größe", description="A\u030angstro\u0308m", status="in_progress")
    person.task("done", status="completed", tags=["urgent"], due_at="2026-11-26T23:30:00Z")
    return person


FINDINGS: list[tuple[str, list[str]]] = [
    ("tag = urgent and not tag = 'on hold'", ["done"]),
    ("tag != urgent", ["plain", "Größe"]),
    ("tag not in (urgent, x)", ["plain", "Größe"]),
    ("tag is null", ["plain", "Größe"]),
    ("tag ~ 'ON H'", ["tagged"]),
    # Tags and projects are kept without spaces around them, and other texts as they are.
    ("tag in (' urgent ') and project != ' Research'", ["tagged", "done"]),
    ("tag ~ 'urgent ' or title = ' plain'", []),
    ("tag !~ e", ["plain", "Größe"]),
    ("project ~ RES", ["plain"]),
    ("status ~ PROG", ["Größe"]),
    ("status not in (pending, in_progress, completed)", []),
    ("status in (pending, in_progress, completed)", ["plain", "tagged", "Größe", "done"]),
    ("title ~ GRÖSS", ["Größe"]),
    ("description ~ 'ångSTRÖM'", ["Größe"]),
    ("description = 'Ångström'", ["Größe"]),
    ("description != 'Ångström'", ["plain", "tagged", "done"]),
    ("description is not null", ["Größe"]),
    ("not (due < 2026-11-27)", ["plain", "Größe"]),
    ("due = 2026-11-26", ["tagged", "done"]),
    ("due <= 2026-11-26T22:30:00Z", ["tagged"]),
    ("due in (2026-11-26T22:30:00.0000009Z, 2026-11-25)", ["tagged"]),
    ("due != 2026-11-26", ["plain", "Größe"]),
    # Days in any order, some next to each other and one twice.
    ("due in (2026-11-30, 2026-11-01, 2026-11-03, 2026-11-26, 2026-11-25, 2026-11-26)", ["tagged", "done"]),
    ("due not in (2026-11-30, 2026-11-01, 2026-11-03, 2026-11-05, 2026-11-26)", ["plain", "Größe"]),
    ("due in (2026-11-30, 2026-11-01, 2026-11-03, 2026-11-05) or due > 2026-11-26T23:00:00Z", ["done"]),
    ("completed >= today", ["done"]),
    ("owner = @me and owner = ADA", ["plain", "tagged", "Größe", "done"]),
    ("owner = nobody-here", []),
    ("owner not in (nobody-here)", ["plain", "tagged", "Größe", "done"]),
    ("priority = 40000 or priority > 99999 or priority < -40000", []),
    (
        "priority >= -9223372036854775808 and id <= 9223372036854775807",
        ["plain", "tagged", "Größe", "done"],
    ),
    ("blocked = true", []),
    ("blocked in (true, false)", ["plain", "tagged", "Größe", "done"]),
    ("state = in_progress", ["Größe"]),
    ("state ~ PEND or state ~ nowhere", ["plain", "tagged"]),
    ("state !~ e", []),
    ("state !~ n and state ~ e", ["done"]),
    ("description in (x, 'Ångström', größeres)", ["Größe"]),
    ("description not in (x, 'Ångström')", ["plain", "tagged", "done"]),
    # Several searches in descriptions, beside conditions and by themselves.
    ("(description ~ ÅNG and id > 0) or (description ~ x and id > 1)", ["Größe"]),
    (
        "(description !~ å and id > 0) or (description ~ strö and status = pending)",
        ["plain", "tagged", "done"],
    ),
    ("description ~ ång and (description !~ x or priority > 2) and not description ~ y", ["Größe"]),
    # More tests of tags than are looked up one by one.
    (
        " or ".join(f"(tag = urgent and tag != 'on hold' and id > {n} and tag != x{n})" for n in range(6)),
        ["done"],
    ),
    (" or ".join(f"(tag in (x{n}, 'on hold') and tag not in (y, urgent))" for n in range(6)), []),
    ("project_id is null and id is not null", ["plain", "tagged", "Größe", "done"]),
    ("title = '\"; DROP TABLE tasks; --'", []),
]


def test_what_filters_find(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tags of one task are many.
    monkeypatch.setattr(vocabulary, "FEW_TAGGED", 0)
    assert {text: found(ada, text) for text, _ in FINDINGS} == dict(FINDINGS)


def condition_of(person: Person, text: str, place: Place) -> Shape:
    """The condition that the database is asked for by a filter."""
    caller = Caller(person.id, person.username, "", is_active=True, role="member", created_at=NOW)

    def shape(db: Session) -> Shape:
        normal = asking.read(db, caller, text, None, "UTC").normal
        assert normal is not None
        return asking.as_shape(db, normal, place).shape

    return database.read(shape)


def test_many_names_that_no_task_has_are_not_looked_for(ada: Person) -> None:
    states = [{"key": key, "name": key, "status": key} for key in ("pending", "completed")]
    review = {"key": "review", "name": "Review", "status": "in_progress"}
    project = ada.post("/projects", json={"name": "Öffentlich", "states": [*states, review]}).json()["id"]
    ada.task("shared", project_id=project, state="review", tags=["ours"])
    names = [f"x{number}" for number in range(known_values.MANY_NAMED + 1)]
    places: list[tuple[dict[str, Any], Place]] = [
        ({}, Place(owner_id=ada.id)),
        ({"project_id": project}, Place(project_id=project)),
    ]
    for params, place in places:
        for listed in (",".join(names), ",".join([*names, "review", "ours", "Öffentlich"])):
            is_known = "review" in listed
            for field in ("state", "tag", "project"):
                text = f"priority > 8 or {field} in ({listed}) and id > 0"
                assert found(ada, text, **params) == (["shared"] if is_known else [])
                if not is_known and (field, place.scope) != ("project", "project"):
                    assert condition_of(ada, text, place) == condition_of(ada, "priority > 8", place)
        # To ask which of a few names there are is not worth it.
        text = f"priority > 8 or tag in ({','.join(names[1:])}) and id > 0"
        assert condition_of(ada, text, place) != condition_of(ada, "priority > 8", place)
    assert found(ada, f"state not in ({','.join(names)}, pending, completed)") == ["Größe", "shared"]


def test_days_are_those_of_the_zone_that_is_asked_for(ada: Person) -> None:
    assert found(ada, "due = 2026-11-26", tz="Europe/Berlin") == ["tagged"]
    assert found(ada, "due = 2026-11-27", tz="Europe/Berlin") == ["done"]
    assert found(ada, "due < 2026-11-27T00:00:00", tz="Europe/Berlin") == ["tagged"]
    for params in ({"filter": "due is null"}, {}):
        problem = assert_problem(ada.get("/tasks", params={**params, "tz": "Mars/Base"}), 422, pointer="?tz")
        assert "IANA" in problem["detail"]


def test_a_filter_and_plain_parameters_both_hold(ada: Person) -> None:
    assert found(ada, "tag = urgent", status="pending") == ["tagged"]
    assert found(ada, "status = pending", status="completed") == []
    assert found(ada, "title ~ a", title_contains="g") == ["tagged"]
    assert found(ada, "priority = 0", priority=3) == []
    assert found(ada, "tag = urgent", path="/tasks/search", query="DON") == ["done"]


def test_what_both_can_say_is_answered_with_the_same_bytes(ada: Person) -> None:
    for text, plain in [
        ("status in (pending, completed)", {"status": ["pending", "completed"]}),
        ("status != pending and priority = 0", {"status": ["in_progress", "completed"], "priority": 0}),
        (
            "tag = urgent and due < 2026-11-26T23:00:00Z",
            {"tag": "urgent", "due_before": "2026-11-26T23:00:00Z"},
        ),
        ("title ~ AGG", {"title_contains": "AGG"}),
    ]:
        asked = ada.get("/tasks", params={"filter": text})
        assert asked.content == ada.get("/tasks", params=plain).content
        assert len(asked.json()) > 0


def test_admins_ask_for_everybodys_tasks_by_owner_and_tag(api: Api, ada: Person) -> None:
    root, bob = api.person("root", admin=True), api.person("bob")
    bob.task("bobs", tags=["urgent", "Größe"])
    assert found(root, "tag = urgent and owner in (ada, bob)", "/tasks/all") == ["tagged", "done", "bobs"]
    assert found(root, f"owner = {bob.id} and tag ~ GRÖSSE", "/tasks/all") == ["bobs"]
    assert found(root, "project ~ sear", "/tasks/all") == ["plain"]
    assert found(root, "tag = urgent", "/tasks/admin/filter", user_id=bob.id) == ["bobs"]
    assert found(root, "owner = @me", "/tasks/all") == []
    assert found(bob, "owner = ada") == []


def test_a_username_that_looks_like_an_id_is_found_behind_an_at_sign(api: Api, ada: Person) -> None:
    root = api.person("root", admin=True)
    name = f"{ada.id:03}"
    api.person(name).task("of the number")
    assert found(root, f"owner = @{name}", "/tasks/all") == ["of the number"]
    assert found(root, f"owner in ('@{name}', nobody-here)", "/tasks/all") == ["of the number"]
    everything_of_ada = found(root, "owner = @ada", "/tasks/all")
    assert found(root, f"owner = {name}", "/tasks/all") == everything_of_ada == found(ada, "id > 0")
    for unknown in ("@nobody-here", "@@ada", "@"):
        assert found(root, f"owner = {unknown}", "/tasks/all") == []


def test_every_example_of_the_table_is_taken(ada: Person) -> None:
    everything = found(ada, "id > 0")
    for _, _, example in table():
        with_it = found(ada, example)
        # Each task is found by exactly one of a filter and its opposite.
        assert sorted(with_it + found(ada, f"not ({example})")) == sorted(everything), example


@pytest.mark.one_database
def test_what_can_not_be_read_finds_nothing_anywhere(api: Api) -> None:
    root = api.person("root", admin=True)
    for path in ("/tasks", "/tasks/search", "/tasks/all", "/tasks/admin/filter"):
        query = {"query": "x"} if path == "/tasks/search" else {}
        for text, place in (("", 0), ("  ", 2), ("status = done", 9), ("tag = x or", 10), ("a" * 2001, 2000)):
            answer = root.get(path, params={**query, "filter": text})
            problem = assert_problem(answer, 422, "invalid_filter", "?filter")
            assert problem["errors"][0]["position"] == place
            assert f"Position {place}: " in problem["detail"]


@pytest.mark.one_database
def test_statements_are_kept_in_bounded_memory(ada: Person) -> None:
    for number in range(40):
        texts = " or ".join(f"title ~ '{number}-{place}'" for place in range(number % 10 + 1))
        assert found(ada, f"({texts}) and id in ({','.join(map(str, range(number + 2)))})") == []
    assert 0 < statement_cache.kept.weight <= statement_cache.MOST_BYTES


def test_a_description_that_is_changed_is_found_by_what_it_says_now(ada: Person) -> None:
    task = ada.task("changing", description="ÄPFEL")
    assert found(ada, "description ~ äpfel") == ["changing"]
    ada.patch(f"/tasks/{task['id']}", json={"description": "Birnen"})
    assert (found(ada, "description ~ äpfel"), found(ada, "description ~ BIRNEN")) == ([], ["changing"])
    ada.patch(f"/tasks/{task['id']}", json={"description": None})
    assert found(ada, "description ~ birnen") == []
    ada.post("/tasks/import", json=[{"title": "imported", "description": "ÄRGER"}])
    assert found(ada, "description ~ ärger") == ["imported"]


def test_sessions_of_other_programs_ask_too(ada: Person) -> None:
    caller = Caller(ada.id, ada.username, "", is_active=True, role="member", created_at=NOW)
    filters = TaskFilters(filter="tag = urgent or title = plain", limit=1)
    with database.session_factory() as session:
        assert len(task_service.matching_ids(session, caller, filters, 10)) == 3
        assert len(task_service.matching_ids(session, caller, filters, 2)) == 2
        page = task_service.get_tasks_with_filters(session, caller, filters)
        assert [row.title for row in page.rows] == ["done"]


def test_exports_have_what_a_filter_finds(ada: Person) -> None:
    asked = {"filter": "tag = urgent or title = plain", "limit": 2}
    first = ada.get("/tasks/export", params=asked)
    following = ada.get(first.headers["link"].partition(">")[0].removeprefix("<"))
    assert titles(first) + titles(following) == ["plain", "tagged", "done"]
    csv = ada.get(
        "/tasks/export", params={"filter": "due = 2026-11-27", "tz": "Europe/Berlin", "format": "csv"}
    )
    assert [line.split(",")[1] for line in csv.text.splitlines()] == ["title", "done"]
    assert_problem(ada.get("/tasks/export", params={"filter": "tag ="}), 422, "invalid_filter", "?filter")
    assert_problem(ada.get("/tasks/export", params={"view": 77}), 404, "view_not_found")
    view = ada.post("/views", json={"name": "urgent", "filter": "tag = urgent"}).json()["id"]
    assert titles(ada.get("/tasks/export", params={"view": view, "filter": "priority = 3"})) == ["tagged"]


def test_a_task_that_gets_a_new_tag_meanwhile_is_not_lost(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_values, "MANY_NAMED", 1)
    ada = api.person()
    task, _ = ada.task(tags=["blue 0"]), ada.task(tags=["red"])
    for asked in ("tag in ({tags}) and id > 0 or priority > 8", "tag ~ blue"):
        for number in range(1, 20):
            tags = [f"blue {number - 1}", f"blue {number}"]
            ada.patch(f"/tasks/{task['id']}", json={"tags": tags[:1]})
            retag = functools.partial(ada.patch, f"/tasks/{task['id']}", json={"tags": tags[1:]})
            listed = ", ".join(f"'{tag}'" for tag in tags)
            with before_statement(number, retag) as made:
                found = ada.get("/tasks", params={"filter": asked.format(tags=listed), "sort_by": "priority"})
            assert [each["id"] for each in found.json()] == [task["id"]], (asked, number, made)
            if len(made) < number:
                assert number > 2
                break
