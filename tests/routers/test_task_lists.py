"""Lists: filters, orders and pages of tasks that tie, lack values and are not ASCII."""

import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from services.paging import encode_cursor
from tests.support.api import Api, Person, assert_problem

START = datetime(2025, 1, 1, tzinfo=UTC)
SORTS = ("created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id")
TITLES = (
    "Zebra",
    "apple",
    "Äpfel",
    "Banane",
    "éclair",
    "straße",
    "STRASSE",
    "日本",
    "🎉",
    "_",
    "%",
    "a\\b",
    "ﬃ",
)


def at(hours: int | None) -> str | None:
    return None if hours is None else (START + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def ada(shared_api: Api) -> Person:
    """Somebody with sixty tasks that tie in everything but their ids; somebody else has some as well."""
    random = Random(7)  # noqa: S311  # no secret
    rows = []
    for _ in range(60):
        status = random.choice(["pending", "in_progress", "completed"])
        made = random.randrange(5)
        rows.append(
            {
                "title": random.choice(TITLES),
                "status": status,
                "priority": random.randrange(5),
                "project": random.choice(["General", "Café", "b"]),
                "tags": random.sample(["x", "y", "ü"], random.randrange(3)),
                "due_at": at(random.choice([None, 1, 2, 3])),
                "created_at": at(made),
                "updated_at": at(made + random.randrange(3)),
                "completed_at": at(made + random.randrange(3)) if status == "completed" else None,
            }
        )
    ada = shared_api.person()
    for person, part in ((ada, rows[:30]), (shared_api.person("bob"), rows[:10]), (ada, rows[30:])):
        assert person.post("/tasks/import", json=part).status_code == 201
    return ada


@pytest.fixture(scope="module")
def all_tasks(ada: Person) -> list[dict[str, Any]]:
    """Ada's tasks."""
    tasks: list[dict[str, Any]] = ada.get("/tasks?limit=500").json()
    assert len(tasks) == 60
    assert {task["user_id"] for task in tasks} == {ada.id}
    return tasks


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def in_order(tasks: list[dict[str, Any]], sort_by: str, *, descending: bool) -> list[dict[str, Any]]:
    """The tasks in the order that the contract promises, by plain Python."""

    def key(task: dict[str, Any]) -> Any:
        return (folded(task["title"]) if sort_by == "title" else task[sort_by]), task["id"]

    there = [task for task in tasks if task[sort_by] is not None]
    missing = [task for task in tasks if task[sort_by] is None]
    missing.sort(key=lambda task: task["id"], reverse=descending)
    return sorted(there, key=key, reverse=descending) + missing


def whole(person: Person, path: str) -> list[dict[str, Any]]:
    """All tasks of a list, page by page."""
    return list(chain.from_iterable(pages(person, path)))


def pages(person: Person, path: str) -> Iterator[list[dict[str, Any]]]:
    """Each page of a list, by following `Link` unchanged."""
    while path:
        answer = person.get(path)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        path = answer.links.get("next", {}).get("url", "")


@pytest.mark.parametrize("sort_order", ["asc", "desc"])
@pytest.mark.parametrize("sort_by", SORTS)
def test_each_order_both_ways_at_once_by_pages_and_by_skip(
    ada: Person, all_tasks: list[dict[str, Any]], sort_by: str, sort_order: str
) -> None:
    wanted = in_order(all_tasks, sort_by, descending=sort_order == "desc")
    path = f"/tasks?sort_by={sort_by}&sort_order={sort_order}"
    assert ada.get(f"{path}&limit=500").json() == wanted
    followed = list(pages(ada, f"{path}&limit=7"))
    assert list(chain.from_iterable(followed)) == wanted
    assert {len(page) for page in followed[:-1]} == {7}
    assert ada.get(f"{path}&limit=13&skip=17").json() == wanted[17:30]
    assert whole(ada, f"{path}&limit=20&skip=30") == wanted[30:]
    completed = [task for task in wanted if task["status"] == "completed"]
    assert whole(ada, f"{path}&limit=4&status=completed") == completed


def test_newest_first_and_a_hundred_by_default(api_of_many: Person) -> None:
    first = api_of_many.get("/tasks")
    assert [task["title"] for task in first.json()] == [str(number) for number in range(104, 4, -1)]
    assert [task["title"] for task in api_of_many.get(first.links["next"]["url"]).json()] == list("43210")
    assert "link" not in api_of_many.get("/tasks?limit=105").headers
    assert "link" not in api_of_many.get("/tasks?skip=5").headers
    assert api_of_many.get("/tasks?skip=105").json() == []
    assert api_of_many.get(f"/tasks?skip={2**63 - 1}").json() == []


@pytest.fixture(scope="module")
def api_of_many(shared_api: Api) -> Person:
    """Somebody with 105 tasks."""
    many = shared_api.person("many")
    rows = [{"title": str(number), "created_at": at(number)} for number in range(105)]
    assert many.post("/tasks/import", json=rows).status_code == 201
    return many


Filter = Callable[[dict[str, Any]], bool]
FILTERS: list[tuple[str, Filter]] = [
    ("status=pending", lambda task: task["status"] == "pending"),
    ("status=pending&status=completed", lambda task: task["status"] != "in_progress"),
    ("project=Caf%C3%A9", lambda task: task["project"] == "Café"),
    ("project=caf%C3%A9", lambda _: False),
    ("project=", lambda _: False),
    ("tag=%C3%BC", lambda task: "ü" in task["tags"]),
    ("tag=nothing", lambda _: False),
    ("priority=0", lambda task: task["priority"] == 0),
    ("title_contains=STRASSE", lambda task: "strasse" in folded(task["title"])),
    ("title_contains=%C3%A4", lambda task: "ä" in folded(task["title"])),
    ("title_contains=A", lambda task: "a" in folded(task["title"])),
    ("title_contains=%25", lambda task: "%" in task["title"]),
    ("title_contains=_", lambda task: "_" in task["title"]),
    ("title_contains=%5C", lambda task: "\\" in task["title"]),
    (f"created_after={at(2)}", lambda task: task["created_at"] >= at(2)),
    (f"created_before={at(2)}", lambda task: task["created_at"] < at(2)),
    (f"due_after={at(2)}", lambda task: task["due_at"] is not None and task["due_at"] >= at(2)),
    (f"due_before={at(2)}", lambda task: task["due_at"] is not None and task["due_at"] < at(2)),
    (f"completed_after={at(3)}", lambda task: (task["completed_at"] or "") >= str(at(3))),
    (
        f"completed_before={at(3)}",
        lambda task: task["completed_at"] is not None and task["completed_at"] < at(3),
    ),
    ("status=pending&status=pending&status=in_progress", lambda task: task["status"] != "completed"),
    ("project=b&project=General", lambda task: task["project"] in ("b", "General")),
    ("project=b&project=%20b&project=nothing", lambda task: task["project"] == "b"),
    ("tag=x&tag=y", lambda task: bool({"x", "y"} & {*task["tags"]})),
    ("tag=x&tag=y&tag=%C3%BC&tag=x", lambda task: bool(task["tags"])),
    ("priority=1&priority=3&priority=4", lambda task: task["priority"] in (1, 3, 4)),
    (
        "tag=x&tag=y&project=b&project=General&priority=0&priority=1&status=pending&status=completed",
        lambda task: (
            bool({"x", "y"} & {*task["tags"]})
            and task["project"] != "Café"
            and task["priority"] < 2
            and task["status"] != "in_progress"
        ),
    ),
    (f"updated_after={at(3)}", lambda task: task["updated_at"] >= at(3)),
    (
        f"updated_before={at(4)}&updated_after={at(2)}",
        lambda task: str(at(2)) <= task["updated_at"] < str(at(4)),
    ),
    ("created_after=2025-01-01", lambda _: True),
    ("created_before=2025-01-01", lambda _: False),
    ("created_after=2025-01-01&tz=Atlantic/Azores", lambda task: task["created_at"] >= at(1)),
    ("due_before=2025-01-01&tz=America/Noronha", lambda task: (task["due_at"] or "9") < str(at(2))),
    ("updated_before=2025-01-01&tz=America/Sao_Paulo", lambda task: task["updated_at"] < at(3)),
    (
        "completed_after=2025-01-01&tz=Atlantic/Azores",
        lambda task: (task["completed_at"] or "") >= str(at(1)),
    ),
    ("created_after=2025-01-01T02:00:00&tz=America/Sao_Paulo", lambda task: task["created_at"] >= at(2)),
    ("created_after=2025-01-01T04:00:00%2B02:00", lambda task: task["created_at"] >= at(2)),
    ("created_after=0001-01-01T00:00:00Z", lambda _: True),
    ("created_before=9999-12-31T23:59:59Z", lambda _: True),
]


@pytest.mark.parametrize(("query", "wanted"), FILTERS, ids=[query for query, _ in FILTERS])
def test_each_filter(ada: Person, all_tasks: list[dict[str, Any]], query: str, wanted: Filter) -> None:
    expected = [task for task in all_tasks if wanted(task)]
    assert ada.get(f"/tasks?{query}&limit=500").json() == expected
    assert whole(ada, f"/tasks?{query}&limit=9") == expected
    counted = ada.get(f"/tasks?{query}&limit=1&skip=2&total=true")
    assert counted.headers["x-total-count"] == str(len(expected))
    by_due = in_order(expected, "due_at", descending=False)
    assert whole(ada, f"/tasks?{query}&limit=9&sort_by=due_at&sort_order=asc") == by_due
    found = [task for task in expected if "e" in folded(task["title"])]
    assert whole(ada, f"/tasks/search?query=E&{query}&limit=6") == found


def test_a_list_tells_how_many_there_are_on_all_its_pages(
    ada: Person, all_tasks: list[dict[str, Any]]
) -> None:
    assert "x-total-count" not in ada.get("/tasks?total=false").headers
    path = "/tasks?total=true&limit=25"
    while path:
        answer = ada.get(path)
        assert answer.headers["x-total-count"] == "60"
        path = answer.links.get("next", {}).get("url", "")
    found = [task for task in all_tasks if "e" in folded(task["title"])]
    for query in ("", "&sort_by=due_at", "&sort_by=title&status=completed"):
        answer = ada.get(f"/tasks/search?query=e&total=true&limit=1{query}")
        expected = [task for task in found if "status" not in query or task["status"] == "completed"]
        assert answer.headers["x-total-count"] == str(len(expected))
    admin = Api(ada.client).person("counting", admin=True)
    assert admin.get("/tasks?total=true").headers["x-total-count"] == "0"
    for query in ("?", "?status=pending&", "?tag=x&", "?tag=x&tag=y&", "?title_contains=e&"):
        listed = len(whole(admin, f"/tasks/all{query}"))
        assert admin.get(f"/tasks/all{query}total=true&limit=1").headers["x-total-count"] == str(listed)
    owned = admin.get(f"/tasks/admin/filter?user_id={ada.id}&total=true&limit=1")
    assert owned.headers["x-total-count"] == "60"


@pytest.mark.one_database
def test_a_time_that_lost_its_plus_is_told_how_to_write_it(ada: Person) -> None:
    for name in ("due_after", "created_before", "updated_after"):
        problem = assert_problem(ada.get(f"/tasks?{name}=2026-09-25T00:00:00+02:00"), 422, None, f"?{name}")
        assert "%2B" in problem["detail"]
    assert "%2B" in assert_problem(ada.get("/analytics/flow?from=2026-09-25T00:00:00+02:00"), 422)["detail"]
    for wrong in (
        "2026-9-25",
        "2026-02-30",
        "today",
        "20260925",
        "2026-09-25T00:00",
        "0001-01-01&tz=Asia/Tokyo",
    ):
        assert_problem(ada.get(f"/tasks?due_after={wrong}"), 422, "invalid_input", "?due_after")
    for zone in ("Mars/Base", "", "../UTC", "%00", "x" * 65, "right/Europe/Paris", "localtime"):
        assert_problem(ada.get(f"/tasks?due_after=2026-09-25&tz={zone}"), 422, "invalid_input", "?tz")


def test_an_admin_asks_the_audit_trail_by_day_as_well(ada: Person) -> None:
    auditor = Api(ada.client).person("auditor", admin=True)
    found = auditor.get("/audit?created_after=2026-01-01&tz=Europe/Paris&limit=3")
    assert len(found.json()) == 3
    assert auditor.get("/audit?created_before=2026-01-01").json() == []


def test_filters_combine_with_and(ada: Person, all_tasks: list[dict[str, Any]]) -> None:
    chosen = [FILTERS[place] for place in (0, 2, 5, 10)]
    for first, second in pairwise([*chosen, chosen[0]]):
        expected = [task for task in all_tasks if first[1](task) and second[1](task)]
        joined = f"{first[0]}&{second[0]}"
        assert ada.get(f"/tasks?{joined}").json() == expected
        assert whole(ada, f"/tasks?{joined}&limit=2&sort_by=title") == in_order(
            expected, "title", descending=True
        )


def test_an_admin_lists_everybodys_and_by_owner(ada: Person, all_tasks: list[dict[str, Any]]) -> None:
    admin = Api(ada.client).person("root", admin=True)
    assert admin.get("/tasks").json() == []
    everybodys = whole(admin, "/tasks/all?limit=50")
    assert everybodys == in_order(everybodys, "created_at", descending=True)
    assert [task for task in everybodys if task["user_id"] == ada.id] == all_tasks
    assert len(everybodys) >= 70
    path = f"/tasks/admin/filter?user_id={ada.id}"
    assert whole(admin, f"{path}&limit=11") == all_tasks
    assert whole(admin, "/tasks/admin/filter?limit=50") == everybodys
    pending = [task for task in all_tasks if task["status"] == "pending"]
    assert admin.get(f"{path}&status=pending&limit=500").json() == pending
    assert admin.get("/tasks/admin/filter?user_id=777").json() == []
    tagged = [task for task in everybodys if "x" in task["tags"]]
    assert whole(admin, "/tasks/all?tag=x&limit=13") == tagged
    for closed in ("/tasks/all", "/tasks/admin/filter"):
        assert assert_problem(ada.get(closed), 403)["detail"] == "Admin access required"


@pytest.mark.parametrize(
    "sort_by",
    [
        "created_at",
        "due_at",
        *(pytest.param(each, marks=pytest.mark.thorough) for each in ("title", "completed_at")),
    ],
)
def test_no_page_repeats_or_skips_a_row_while_others_come_and_go(shared_api: Api, sort_by: str) -> None:
    busy = shared_api.person(f"busy.{sort_by.replace('_', '-')}")
    rows = [
        {"title": f"{number % 4}", "due_at": at(number % 3 or None), "created_at": at(number % 5)}
        for number in range(40)
    ]
    rows += [{**row, "status": "completed", "completed_at": at(6)} for row in rows[:8]]
    busy.post("/tasks/import", json=rows)
    before = {task["id"] for task in busy.get("/tasks?limit=500").json()}
    seen: list[int] = []
    deleted = set()
    path = f"/tasks?limit=6&sort_by={sort_by}&sort_order=asc"
    for number, page in enumerate(pages(busy, path)):
        seen += [task["id"] for task in page]
        busy.post("/tasks/import", json=[{"title": str(number % 4), "created_at": at(number % 5)}])
        gone = page[-1]["id"]
        busy.delete(f"/tasks/{gone}")
        deleted.add(gone)
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


@pytest.mark.one_database
def test_a_link_keeps_the_query_and_its_cursor_is_of_this_list_only(ada: Person) -> None:
    query = f"title_contains={quote('a&b=ü')}&status=pending&status=completed&limit=1"
    assert ada.get(f"/tasks?{query}").json() == []
    answer = ada.get("/tasks/?status=pending&status=completed&limit=1&sort_by=title")
    url = answer.links["next"]["url"]
    assert url.startswith(
        "http://testserver/tasks?status=pending&status=completed&limit=1&sort_by=title&cursor="
    )
    cursor = url.partition("cursor=")[2]
    assert_problem(ada.get(f"/tasks?sort_by=due_at&cursor={cursor}"), 422, None, "?cursor")
    assert_problem(ada.get(f"/tasks?sort_by=title&sort_order=asc&cursor={cursor}"), 422, None, "?cursor")
    assert_problem(ada.get(f"/tasks?sort_by=title&skip=1&cursor={cursor}"), 422, None, "?cursor")
    for end in range(1, len(cursor)):
        assert ada.get(f"/tasks?sort_by=title&cursor={cursor[:-end]}").status_code in (200, 422)
        assert ada.get(f"/tasks?cursor={cursor[end:]}").status_code == 422


@pytest.mark.one_database
@pytest.mark.parametrize("priority", [-1, 5, 40_000, 2**62])
def test_a_cursor_with_a_priority_that_no_task_has_is_422(ada: Person, priority: int) -> None:
    cursor = encode_cursor("priority", "desc", priority, 1)
    assert_problem(ada.get(f"/tasks?sort_by=priority&cursor={cursor}"), 422, None, "?cursor")


@pytest.mark.parametrize(
    "letter", ["日", "\U0001d160", "\x01"], ids=["three bytes", "folds to three", "escaped"]
)
def test_a_list_by_title_goes_on_after_the_longest_titles(shared_api: Api, letter: str) -> None:
    reader = shared_api.person(f"reader.{ord(letter)}")
    reader.post("/tasks/import", json=[{"title": letter * 500} for _ in range(3)])
    view = {"name": "by title", "filter": "id > 0", "sort_by": "title"}
    view_id = reader.post("/views", json=view).json()["id"]
    for path in ("/tasks?sort_by=title&limit=1", f"/tasks/export?view={view_id}&limit=1"):
        found = [task["title"] for page in pages(reader, path) for task in page]
        assert found == [letter * 500] * 3


# -- search ----------------------------------------------------------------------------------------

FOUND = [
    ("STRASSE", "Die straße", True),
    ("straße", "DIE STRASSE", True),
    ("ß", "strasse", True),
    ("ÉCOLE", "école", True),
    ("école", "E\u0301COLE", True),
    ("e\u0301cole", "École", True),
    ("ecole", "école", False),
    ("résumé", "resume", False),
    ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
    ("ПРИВЕТ", "привет, мир", True),
    ("日本", "東京、日本", True),
    ("🎉", "party 🎉🎉", True),
    ("🎉", "party 🎊", False),
    ("👩‍🚀", "the 👩‍🚀 flies", True),
    ("%", "100% done", True),
    ("%", "all done", False),
    ("_", "snake_case", True),
    ("_", "camelCase", False),
    ("\\", "back\\slash", True),
    ("\\", "slash/", False),
    ("\\%", "a\\%b", True),
    ("\\%", "a%b", False),
    ("a%b", "axxb", False),
    ("'; --", "it's '; -- here", True),
    ("ﬃ", "OFFICE", True),
    ("ǅ", "ǆ", True),
    ("İ", "i\u0307", True),
    ("ı", "i", False),
    ("*", "a*b", True),
    ("?", "what?", True),
    ("[a]", "[a] list", True),
    ("[a]", "a", False),
    ("  ", "two  spaces", True),
    (" ", "none", False),
    ("x", "x", True),
    ("longer than it", "longer", False),
    ("\n", "two\nlines", True),
]


def test_search_is_right_in_unicode(shared_api: Api) -> None:
    eve = shared_api.person("eve")
    titles = {title: eve.task(title)["id"] for _, title, _ in FOUND}
    for query, title, is_found in FOUND:
        for path in (f"/tasks/search?query={quote(query)}", f"/tasks?title_contains={quote(query)}"):
            ids = {task["id"] for task in eve.get(f"{path}&limit=500").json()}
            assert (titles[title] in ids) == is_found, (query, title)


def test_search_follows_a_title_that_changes(shared_api: Api) -> None:
    fay = shared_api.person("fay")
    task = fay.task("Überall")
    assert len(fay.get("/tasks/search?query=%C3%9CBER").json()) == 1
    fay.put(f"/tasks/{task['id']}", json={"title": "nirgends"})
    assert fay.get("/tasks/search?query=%C3%BCber").json() == []
    assert len(fay.get("/tasks/search?query=NIRGENDS").json()) == 1
    fay.delete(f"/tasks/{task['id']}")
    assert fay.get("/tasks/search?query=nirgends").json() == []


@pytest.mark.one_database
def test_an_empty_or_missing_query_is_422(ada: Person) -> None:
    assert_problem(ada.get("/tasks/search?query="), 422, "invalid_input", "?query")
    assert_problem(ada.get("/tasks/search"), 422, "invalid_input", "?query")
    assert_problem(ada.get("/tasks?query=x"), 422, "invalid_input", "?query")


def test_the_longest_query_is_taken(ada: Person) -> None:
    assert ada.get(f"/tasks/search?query={quote('ΐ' * 200)}").json() == []
    assert ada.get(f"/tasks/search?query={'%25' * 200}").json() == []
