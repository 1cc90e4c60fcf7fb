"""Import and export: an export can be imported unchanged, and an import takes all rows or no row."""

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from database import database
from models import Caller
from schemas.tasks import ExportQuery
from security.callers import CALLER_BY_ID
from services.tasks import exporting, fields, import_files
from tests.support.api import Api, Person, assert_problem

TRACKER = Path(__file__).parents[1] / "data" / "issue_tracker.json.gz"
CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}
OWN = ("id", "user_id", "project_id")

ODD = [
    {"title": title, "description": description, "tags": tags, "project": title.strip()[:100]}
    for title, description, tags in [
        ("=1+1", "=cmd|' /C calc'!A0", ["=1", "+1", "-1", "@x"]),
        ("+1", "", []),
        ("-1", None, ["a,b", 'c"d', "e'f", "[g]", "h i"]),
        ("@SUM(A1)", "'", ["'=1"]),
        ("\tTab", "''", ["x"]),
        ("'=quoted", "'='", ["x"]),
        ("＝wide", "\r", ["ü", "日本", "🎉"]),
        ("two\nlines", "a\r\nb\rc\nd", ["\\", "%", "_"]),
        ('say "hi", ok; |', ",,,", ['"']),
        ("null", "null", ["null"]),
        (" leading and trailing ", " ", ["[]"]),
        ("0001", "1e5", ["0"]),
        ("\ufeffbom", "\u2028", ["x\u00a0y"]),
    ]
]


def without_owner(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks without their ids and owners."""
    return [{name: value for name, value in task.items() if name not in OWN} for task in tasks]


def past() -> list[dict[str, Any]]:
    """Tasks that have a value in every field."""
    return [
        {
            **each,
            "status": status,
            "state": status,
            "priority": number % 5,
            "blocked_at": "2029-01-01T00:00:00Z" if status == "pending" else None,
            "blocked_reason": "=1+1" if status == "pending" else None,
            "due_at": "9999-12-31T23:59:59.999999Z" if number % 2 else None,
            "created_at": f"20{number + 10}-01-02T03:04:05.000006Z",
            "updated_at": "2030-01-01T00:00:00Z",
            "completed_at": "2029-12-31T23:59:59.999999Z" if status == "completed" else None,
        }
        for number, each in enumerate(ODD)
        for status in ("pending", "completed")
    ]


@pytest.mark.one_database
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_export_import_export_again_is_the_same_but_for_ids_and_owner(api: Api, kind: str) -> None:
    ada, bob = api.person(), api.person("bob")
    assert ada.post("/tasks/import", json=past()).json()["imported"] == 26
    exported = ada.get(f"/tasks/export?format={kind}")
    media_type = {"json": "application/json", "csv": "text/csv"}[kind]
    assert exported.headers["content-type"].partition(";")[0] == media_type
    assert exported.headers["content-disposition"] == f'attachment; filename="tasks.{kind}"'
    imported = bob.post("/tasks/import", content=exported.content, headers={"Content-Type": media_type})
    assert (imported.status_code, imported.json()) == (201, {"imported": 26, "ids": list(range(27, 53))})
    first, second = ada.get("/tasks/export").json(), bob.get("/tasks/export").json()
    assert (
        without_owner(first)
        == without_owner(second)
        == [{name: each[name] for name in first[0] if name not in OWN} for each in past()]
    )
    assert {task["user_id"] for task in second} == {bob.id}
    again = bob.get(f"/tasks/export?format={kind}").content
    if kind == "csv":
        rows, others = (
            list(csv.DictReader(io.StringIO(each.decode()))) for each in (exported.content, again)
        )
        assert without_owner(rows) == without_owner(others)


@pytest.mark.one_database
def test_no_cell_begins_a_formula(api: Api) -> None:
    ada = api.person()
    ada.post("/tasks/import", json=past())
    cells = [
        cell
        for row in csv.reader(io.StringIO(ada.get("/tasks/export?format=csv").text, newline=""))
        for cell in row
    ]
    assert len(cells) == 27 * len(fields.NAMES)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))]


def test_an_export_has_every_task_in_the_order_they_were_made(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    api.person("bob").task("not hers")
    assert ada.get("/tasks/export").json() == []
    assert ada.get("/tasks/export?format=csv").text.splitlines() == [",".join(import_files.CSV_COLUMNS)]
    ada.post("/tasks/import", json=[{"title": str(number)} for number in range(2500)])
    for kind in ("json", "csv"):
        answer = ada.get(f"/tasks/export?format={kind}")
        rows = answer.json() if kind == "json" else list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["title"] for row in rows] == [str(number) for number in range(2500)]
    assert_problem(ada.get("/tasks/export?format=xml"), 422, None, "?format")


def test_an_export_of_a_view_is_in_its_order(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "LIST_PAGE", 2)
    ada, bob = api.person(), api.person("bob")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "viewer"})
    for number, title in enumerate(("c", "É" * 490, "B", "d", "a", "B", "left out")):
        due_at = f"2026-01-0{number + 1}T00:00:00Z" if number % 2 else None
        ada.task(title, project_id=project, priority=int(number < 6), due_at=due_at)
    wanted = {"title": "aBBcdÉ", "due_at": "ÉdBcBa", "": "cÉBdaB"}
    for order, titles in wanted.items():
        view = {"name": "v", "filter": "priority = 1", "project_id": project}
        if order:
            view |= {"sort_by": order, "sort_order": "asc"}
        path = f"/tasks/export?view={ada.post('/views', json=view).json()['id']}"
        assert "".join(task["title"][0] for task in bob.get(path).json()) == titles
        listed = f"{path.replace('/export', '')}&sort_by={order or 'id'}&sort_order=asc"
        assert bob.get(path).json() == bob.get(listed).json()
        rows = csv.DictReader(io.StringIO(bob.get(f"{path}&format=csv").text))
        assert "".join(row["title"][0] for row in rows) == titles
        for limit, sizes in ((1, [1] * 6), (3, [3, 3]), (4, [4, 2]), (6, [6]), (10_000, [6])):
            following, parts = f"{path}&limit={limit}", []
            while following:
                answer = bob.get(following)
                parts.append(answer.json())
                following = answer.links.get("next", {}).get("url", "")
            assert [len(part) for part in parts] == sizes
            assert "".join(task["title"][0] for part in parts for task in part) == titles
        assert_problem(bob.get(f"{path}&cursor=nonsense"), 422, "invalid_input", "?cursor")


@pytest.mark.parametrize("sort_by", ["priority", "due_at", "id of no view"])
@pytest.mark.parametrize("changed", ["c", "new"])
def test_parts_of_an_export_fit_together_if_its_tasks_change_while_they_are_sent(
    api: Api, monkeypatch: pytest.MonkeyPatch, sort_by: str, changed: str
) -> None:
    for size in ("LIST_PAGE", "EXPORT_CHUNK"):
        monkeypatch.setattr(exporting, size, 2)
    ada = api.person()
    tasks = {}
    for place, title in enumerate(("a", "b", "c", "new", "d", "e", "f", "g")):
        due_at = f"2026-01-{10 + place}T00:00:00Z" if place < 5 else None
        values = {"priority": place // 2, "due_at": due_at, "tags": [] if title == "new" else ["x"]}
        tasks[title] = ada.task(title, **values)["id"]
    asked: dict[str, Any] = {"limit": 5}
    if sort_by == "id of no view":
        asked["filter"] = "tag = x"
    else:
        view = {"name": "v", "filter": "tag = x", "sort_by": sort_by, "sort_order": "asc"}
        asked["view"] = ada.post("/views", json=view).json()["id"]
    caller = Caller(*database.read(lambda db: db.execute(CALLER_BY_ID, {"user_id": ada.id}).one()))
    begun = database.read(lambda db: exporting.export_page(db, caller, ExportQuery(**asked)))
    sent, following = [row.title for row in begun.first.rows], begun.following
    ada.patch(f"/tasks/{tasks[changed]}", json={"tags": ["x"] if changed == "new" else []})
    while following is not None:
        part = database.read(following)
        sent += [row.title for row in part.rows]
        following = part.following
    assert len(sent) <= 5
    rest = ada.get("/tasks/export", params={**asked, "cursor": begun.first.next_cursor}).json()
    there = [title for title in "abcdefg" if title != changed]
    assert [*sent, *(row["title"] for row in rest)] == there
    assert changed not in sent


def test_an_export_of_a_project_has_the_tasks_of_all_its_members(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    project, other = (
        ada.post("/projects", json={"name": name}).json()["id"] for name in ("Research", "Other")
    )
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "viewer"})
    ada.task("Write", project_id=project, tags=["a"])
    ada.task("Read", project_id=project)
    ada.task("Mine")
    for query, titles in (("", ["Write", "Read"]), ("&filter=tag = a", ["Write"]), ("&limit=1", ["Write"])):
        answer = bob.get(f"/tasks/export?project_id={project}{query}")
        assert [task["title"] for task in answer.json()] == titles
    part = bob.get(f"/tasks/export?project_id={project}&limit=1")
    assert [task["title"] for task in bob.get(part.links["next"]["url"]).json()] == ["Read"]
    assert bob.get("/tasks/export").json() == []
    view = ada.post("/views", json={"name": "v", "filter": "id > 0", "project_id": project}).json()["id"]
    assert len(ada.get(f"/tasks/export?project_id={project}&view={view}").json()) == 2
    assert ada.get(f"/tasks/export?project_id={other}&view={view}").json() == []
    assert_problem(bob.get(f"/tasks/export?project_id={other}"), 404, "project_not_found")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "text/csv", "text/csv"),
        ("", "Text/CSV; charset=utf-8, application/json;q=0.9", "text/csv"),
        ("", "application/json;q=0.5, text/csv;q=0.9", "text/csv"),
        ("", "text/csv;q=0.5, application/json", "application/json"),
        ("", "*/*", "application/json"),
        ("?format=csv", "application/json", "text/csv"),
        ("?format=json", "text/csv", "application/json"),
        ("?format=csv", "image/png", "text/csv"),
        ("", "image/png", None),
    ],
)
def test_csv_is_asked_for_in_the_same_two_ways_everywhere(
    api: Api, query: str, accept: str, kind: str | None
) -> None:
    ada = api.person()
    ada.task(status="completed")
    for path in ("/tasks/export", "/analytics/flow", "/analytics/cycle-times"):
        answer = ada.get(f"{path}{query}", headers={"Accept": accept})
        if kind is None:
            assert_problem(answer, 406, "not_acceptable")
        else:
            assert answer.headers["content-type"].partition(";")[0] == kind, path
            assert answer.headers["vary"] == "Accept"
    drawn = ada.get("/analytics/cycle-times?format=svg", headers={"Accept": accept})
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    for path in ("/tasks/export?format=svg", "/analytics/flow?format=svg", "/analytics/aging?format=xml"):
        assert_problem(ada.get(path), 422, "invalid_input", "?format")


@pytest.mark.parametrize("kind", ["json", pytest.param("csv", marks=pytest.mark.one_database)])
def test_an_export_comes_in_parts_that_import_takes(api: Api, kind: str) -> None:
    ada, bob = api.person(), api.person("bob")
    bob.task("not hers")
    rows = [{"title": str(number), "created_at": f"20{number % 90 + 10}-01-01"} for number in range(2500)]
    rows = [{**row, "created_at": f"{row['created_at']}T00:00:00Z"} for row in rows]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    path, sizes = f"/tasks/export?limit=1200&format={kind}", []
    while path:
        answer = ada.get(path)
        sent = {"Content-Type": answer.headers["content-type"]}
        sizes.append(bob.post("/tasks/import", content=answer.content, headers=sent).json()["imported"])
        path = answer.links.get("next", {}).get("url", "")
        if len(sizes) == 1:
            # The task that a part of an export begins behind may be deleted when the part is read.
            ada.delete("/tasks/1201")
            ada.delete("/tasks/1202")
    assert sizes == [1200, 1200, 99]
    kept = [row for number, row in enumerate(rows) if number != 1200]
    exported = bob.get("/tasks/export").json()[1:]
    assert [(task["title"], task["created_at"]) for task in exported] == [
        (row["title"], row["created_at"]) for row in kept
    ]
    assert "link" not in ada.get("/tasks/export?limit=2499").headers
    assert "link" in ada.get("/tasks/export?limit=1").headers
    for query in ("limit=0", "limit=10001", "limit=x", "cursor=nonsense", "cursor=bnVsbA"):
        assert_problem(ada.get(f"/tasks/export?{query}"), 422, "invalid_input", f"?{query.partition('=')[0]}")


@pytest.mark.one_database
def test_the_roadmaps_file_and_little_more(api: Api) -> None:
    ada = api.person()
    rows: list[dict[str, Any]] = [
        {"title": "Learn", "status": "completed"},
        {"title": "Build", "status": "pending"},
        {"title": "Mine", "id": 1, "user_id": 999, "created_at": "2020-01-01T00:00:00"},
        {"title": "Old", "status": "completed", "completed_at": "2020-01-01T00:00:00Z"},
        {"title": "Older", "status": "completed", "updated_at": "2019-01-01T00:00:00Z"},
    ]
    assert ada.post("/tasks/import", json=rows).json()["imported"] == 5
    learned, built, mine, old, older = ada.get("/tasks/export").json()
    assert learned["created_at"] == learned["completed_at"] == learned["updated_at"]
    assert (built["status"], built["project"], built["completed_at"]) == ("pending", "General", None)
    assert (mine["user_id"], mine["created_at"]) == (ada.id, "2020-01-01T00:00:00Z")
    assert old["created_at"] == old["completed_at"] == old["updated_at"] == "2020-01-01T00:00:00Z"
    assert older["completed_at"] == older["created_at"] == "2019-01-01T00:00:00Z"
    assert ada.post("/tasks/import", json=[]).json()["imported"] == 0
    history = ada.get(f"/tasks/{learned['id']}/history").json()
    assert [row["kind"] for row in history] == ["imported"]
    assert history[0]["changes"]["title"] == {"from": None, "to": "Learn"}
    told = text("SELECT count(*) FROM notifications")
    assert database.read(lambda db: db.execute(told).scalar()) == 0


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("place", "row", "pointer"),
    [
        (17, {"title": ""}, "#/17/title"),
        (0, {}, "#/0/title"),
        (999, {"title": "x" * 501}, "#/999/title"),
        (3, {"title": "x", "status": "done"}, "#/3/status"),
        (3, {"title": "x", "tags": ["a", ""]}, "#/3/tags/1"),
        (3, {"title": "x", "colour": 1}, "#/3/colour"),
        (3, {"title": "\0"}, "#/3/title"),
        (3, {"title": "\ud800"}, "#/3/title"),
        (3, {"title": "x", "created_at": "0001-01-01T00:00:00+01:00"}, "#/3/created_at"),
        (3, {"title": "x", "status": "pending", "completed_at": "2020-01-01T00:00:00Z"}, "#/3/completed_at"),
        (
            3,
            {
                "title": "x",
                "status": "completed",
                "created_at": "2020-01-02T00:00:00Z",
                "completed_at": "2020-01-01T00:00:00Z",
            },
            "#/3/completed_at",
        ),
        # A state without a status leaves the status to the workflow, and contradicts other fields all the same.
        (3, {"title": "x", "state": "pending", "blocked_at": "2020-01-01T00:00:00Z"}, "#/3/blocked_reason"),
        (3, {"title": "x", "state": "unknown", "blocked_reason": "Waits"}, "#/3/blocked_at"),
        (
            3,
            {
                "title": "x",
                "state": "completed",
                "created_at": "2020-01-02T00:00:00Z",
                "completed_at": "2020-01-01T00:00:00Z",
            },
            "#/3/completed_at",
        ),
        (3, {"title": "x", "state": "pending", "completed_at": "2020-01-01T00:00:00Z"}, "#/3/completed_at"),
        (3, {"title": "x", "state": "unknown", "completed_at": "2020-01-01T00:00:00Z"}, "#/3/completed_at"),
        (
            3,
            {
                "title": "x",
                "state": "completed",
                "blocked_at": "2020-01-01T00:00:00Z",
                "blocked_reason": "Waits",
            },
            "#/3/blocked_at",
        ),
        (3, "a string", "#/3"),
        (3, None, "#/3"),
        (3, ["x"], "#/3"),
    ],
)
def test_one_bad_row_is_named_and_nothing_is_imported(api: Api, place: int, row: Any, pointer: str) -> None:
    ada = api.person()
    rows: list[Any] = [{"title": str(number)} for number in range(1000)]
    rows[place] = row
    answer = ada.post("/tasks/import", content=json.dumps(rows), headers=JSON)
    problem = assert_problem(answer, 422, "invalid_input", pointer)
    assert pointer in problem["detail"]
    assert ada.get("/tasks").json() == []
    assert ada.get("/analytics/user-completion-stats").json()["total_tasks"] == 0


@pytest.fixture(scope="module")
def refused_bodies() -> list[tuple[bytes, dict[str, str], str]]:
    """Bodies that are no tasks, each with a word of its error."""
    return [
        (b"", JSON, "JSON"),
        (b"{}", JSON, "array"),
        (b"null", JSON, "array"),
        (b"[", JSON, "JSON"),
        (b"[,]", JSON, "JSON"),
        (b'[{"title": "x"},]', JSON, "JSON"),
        (b'[{"title": "x"}]]', JSON, "behind"),
        (b'[{"title": "x"} {"title": "y"}]', JSON, "`,`"),
        (b'[{"title": "x"}', JSON, "`,`"),
        (b'[{"title": "\xff"}]', JSON, "UTF-8"),
        (b"[" * 100_000, JSON, "deep"),
        (b"[" + b"9" * 5000 + b"]", JSON, "number"),
        (b"[" + b"1," * 500_000 + b"1]", JSON, "10,000"),
        (b'[{"title": "' + b"x" * 2_000_000 + b'"}]', JSON, "longer than"),
        (json.dumps([{"title": "x"}] * 10_001).encode(), JSON, "10,000"),
        (b"title\n" + b"x\n" * 10_001, CSV, "10,000"),
        (b"", CSV, "name the columns"),
        (b"status\npending\n", CSV, "title"),
        (b"title,colour\nx,red\n", CSV, "colour"),
        (b"title,title\nx,y\n", CSV, "title"),
        (b"title,status\nx\n", CSV, "#/0"),
        (b"title\nx\n\ny,z\n", CSV, "#/1"),
        (b'title\n"x\n', CSV, "CSV"),
        (b'title\n"x"y\n', CSV, "CSV"),
        (b"title\n\xff\n", CSV, "UTF-8"),
        ("title\nA\n".encode("utf-16"), CSV, "UTF-8"),
        ("title\nA\n".encode("utf-16-le"), CSV, "UTF-8"),
        (b"title\n\0\n", CSV, "NUL"),
        (b"title\n" + b"x" * 2_000_000, CSV, "longer than"),
        (b'title\n"' + b"x\n" * 1_000_000 + b'"', CSV, "limit"),
        (b'title\n"' + b'\n","' * 500_000, CSV, "longer than"),
        (b"title,priority\nx,high\n", CSV, "#/0/priority"),
        (b"title,priority\nx,9223372036854775808\n", CSV, "#/0/priority"),
        (b"title,tags\nx,[1]\n", CSV, "#/0/tags/0"),
        (b"title,tags\nx,[\n", CSV, "#/0/tags"),
        (b"title,due_at\nx,soon\n", CSV, "#/0/due_at"),
        (b"title,status\nx,\ny,done\n", CSV, "#/1/status"),
    ]


@pytest.mark.one_database
def test_what_is_no_list_of_tasks_is_refused_with_the_reason(
    api: Api, refused_bodies: list[tuple[bytes, dict[str, str], str]]
) -> None:
    ada = api.person()
    for body, headers, reason in refused_bodies:
        answer = ada.post("/tasks/import", content=body, headers=headers)
        assert reason in assert_problem(answer, 422, "invalid_input")["detail"], body[:60]
    assert ada.get("/tasks").json() == []


@pytest.mark.one_database
def test_csv_is_read_as_people_write_it(api: Api) -> None:
    ada = api.person()
    body = (
        "\ufeffpriority,title,tags,description,status,due_at\r\n"
        '2.0,"Write, then read","a, b,",,completed,2030-01-01T00:00:00Z\r\n'
        "\r\n"
        ',\'tis,[P1],"many\nlines",,\r\n'
        ',\'@home first,"[""a,b""]",\',in_progress,2030-01-01 00:00:00\r\n'
    )
    assert ada.post("/tasks/import", content=body.encode(), headers=CSV).json()["imported"] == 3
    first, second, third = ada.get("/tasks/export").json()
    assert (first["title"], first["tags"], first["priority"]) == ("Write, then read", ["a", "b"], 2)
    assert (first["description"], first["status"]) == (None, "completed")
    assert (second["title"], second["description"], second["status"]) == ("'tis", "many\nlines", "pending")
    assert second["tags"] == ["[P1]"]
    # Only exports of the program have added apostrophes, so in other files they belong to the text.
    assert (third["title"], third["tags"], third["description"]) == ("'@home first", ["a,b"], "'")
    assert third["due_at"] == "2030-01-01T00:00:00Z"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "titles"),
    [
        ("title;status\r\nA;pending\r\nB;completed", ["A", "B"]),
        ("title\tstatus\nA;b,c\tpending\n", ["A;b,c"]),
        ("status|title\npending|A\n", ["A"]),
        ("title\nA;b\tc|d\n", ["A;b\tc|d"]),
        ('"title";"status"\n"A;\nb";pending\n', ["A;\nb"]),
        ("sep=;\r\ntitle;status\r\nA,b;pending\r\n", ["A,b"]),
        ("\ufefftitle;status\nA;pending\n", ["A"]),
        (" Title ,STATUS\nA,pending\n", ["A"]),
        ("title,status\nA,pending\n,\n,,\n\n", ["A"]),
        ("title,status,,\nA,pending,,\nB,pending,,,,\n,,,\n", ["A", "B"]),
        (",title,\n,A,\n", ["A"]),
        ("title,id,user_id\nA,TASK-1,somebody\n", ["A"]),
        (',\r\n"";\r\n\r\ntitle;status\r\nA;pending\r\n', ["A"]),
        (
            "title, status, priority, due_at, tags\nA, pending, 2, , a\nB, , 2.0 , 2030-01-01 00:00:00Z,\n",
            ["A", "B"],
        ),
    ],
)
def test_the_csv_of_spreadsheets_and_other_programs_is_read(api: Api, body: str, titles: list[str]) -> None:
    ada = api.person()
    answer = ada.post("/tasks/import", content=body.encode(), headers=CSV)
    assert answer.status_code == 201, answer.text
    assert [task["title"] for task in ada.get("/tasks/export").json()] == titles
    assert answer.json()["ids"] == [task["id"] for task in ada.get("/tasks/export").json()]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ("title,title\nx,y\n", "#", "The column `title` is named twice"),
        ("title;tags;tags\nx;y;z\n", "#", "The column `tags` is named twice"),
        ("status,tags\npending,x\n", "#", "The column `title` is missing: the first line names status, tags"),
        ("name;status\nx;pending\n", "#", "Unknown column 'name'; allowed: title"),
        ("title, Due Date\nx,\n", "#", "Unknown column 'Due Date'; allowed: title"),
        ("title,status\nA\n", "#/0", "Has 1 cell where the first line names 2 columns (row 2 of the file)"),
        (",\n\ntitle,status\nA,done\n", "#/0/status", "(row 4 of the file)"),
        ('[{"title": "A"}]', "#", "This is JSON, not CSV: send it as application/json"),
        ('\ufeff\n{"title": "A"}\n{"title": "B"}\n', "#", "or as application/x-ndjson"),
        ("title,status\nA,pending\n,\n\n,done\n", "#/1/title", "(row 5 of the file)"),
        ("title,status\nA,pending\n,\n\n,done\n", "#/1/status", "(row 5 of the file)"),
        ('title,status\n"A\nb",pending\nB,done\n', "#/1/status", "(row 3 of the file)"),
        ("title,\nA,\nB,x\n", "#/1", "names no column for cell 2, which is not empty (row 3"),
        ("title\nA\nB,,x\n", "#/1", "names no column for cell 3, which is not empty (row 3"),
        ('title\nA\n"B\n', "#", "(row 3 of the file)"),
        ("sep=;\ntitle;status\nA;done\n", "#/0/status", "(row 3 of the file)"),
        ('sep="\ntitle"status\nA"done\n', "#", "Unknown column"),
        ('title,tags\nA,"[""a"",]"\n', "#/0/tags", "list"),
    ],
)
def test_what_is_wrong_with_a_csv_is_named_with_the_row_of_the_file(
    api: Api, body: str, pointer: str, said: str
) -> None:
    ada = api.person()
    answer = ada.post("/tasks/import", content=body.encode(), headers=CSV)
    problem = assert_problem(answer, 422, "invalid_input", pointer)
    assert any(said in each["detail"] for each in problem["errors"] if each["pointer"] == pointer), problem
    assert ada.get("/tasks").json() == []


NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ('{"title": "A"}\n{"title": "B"}\n', NDJSON),
        ('\ufeff{"title": "A"}\r\n\r\n{"title": "B"}', {"Content-Type": "Application/JSONL"}),
        ('{"title": "A"}\n{"title": "B"}\n', {"Content-Type": "application/NDJSON; charset=utf-8"}),
        ('{"title": "A"}\n{"title": "B"}\n', JSON),
        ('[{"title": "A"}, {"title": "B"}]', NDJSON),
    ],
)
def test_a_json_object_on_each_line_is_taken(api: Api, body: str, headers: dict[str, str]) -> None:
    ada = api.person()
    assert ada.post("/tasks/import", content=body.encode(), headers=headers).json()["imported"] == 2
    assert [task["title"] for task in ada.get("/tasks/export").json()] == ["A", "B"]
    assert ada.post("/tasks/import", content=b'{"title": "C"}\n', headers=NDJSON).json()["ids"] == [3]
    bad = ada.post("/tasks/import", content=b'{"title": "D"}\n\n{"titel": "E"}\n', headers=NDJSON)
    problem = assert_problem(bad, 422, "invalid_input", "#/1/titel")
    assert all("(line 3 of the file)" in each["detail"] for each in problem["errors"])
    for kind in (NDJSON, JSON):
        bad = ada.post(
            "/tasks/import", content=b'{"title": "D"}\n{"title": "E"\n{"title": "F"}\n', headers=kind
        )
        assert "Not valid JSON" in assert_problem(bad, 422)["detail"]
        assert "(line 2 of the file)" in bad.json()["detail"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"tasks": [{"title": "x"}]}', "with a list in `tasks`"),
        (b'\xef\xbb\xbf {"issues":[' + b'{"title": "x"},' * 100_000 + b"1]}", "with a list in `issues`"),
        (b'{"id": "5f", "name": "Board", "cards": [], "lists": []}', "This is a Trello board"),
        (b'{"title": "x"}', "This is one JSON object. A JSON array is expected"),
        (
            b'{"version": 2, "tasks": [{"title": "x"}]}',
            "This is one JSON object with a list in `tasks`. A JSON array",
        ),
        (b'"title"', "This is one JSON text. A JSON array is expected"),
        (b" null ", "This is one JSON value. A JSON array is expected"),
        (b"title,status", "Not valid JSON at character 0: a JSON array is expected. CSV is sent as text/csv"),
        (
            b'\xef\xbb\xbf"Status";"Title"\nx;y',
            "Not valid JSON at character 0: a JSON array is expected. CSV is",
        ),
        (b"17 18", "Not valid JSON at character 0: a JSON array is expected"),
        (b"[1]", "#/0: A JSON object is expected"),
        (b'["x"]', "#/0: A JSON object is expected"),
    ],
)
def test_another_programs_json_is_told_what_it_is_and_what_is_expected(
    api: Api, body: bytes, said: str
) -> None:
    answer = api.person().post("/tasks/import", content=body, headers=JSON)
    detail = assert_problem(answer, 422, "invalid_input")["detail"]
    assert said in detail
    assert "Not valid JSON" in said or "Not valid JSON" not in detail
    assert "TaskImport" not in detail


FORMULAS = [
    "x;=1+1;y",
    'x;"=1+1',
    "x;'=1",
    "x\t=1",
    "x|+1",
    "x\n-1\n\n@2",
    ";;=1",
    "x; =1",
    '"=1',
    " =1",
    ";\t=1;",
]


@pytest.mark.one_database
@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_no_cell_begins_a_formula_whatever_separates_the_cells(api: Api, separator: str) -> None:
    ada, bob = api.person(), api.person("bob")
    sent = [
        {"title": text, "description": text, "tags": [text.replace("\n", ";")], "project": text.strip()}
        for text in FORMULAS
    ]
    assert ada.post("/tasks/import", json=sent).status_code == 201
    exported = ada.get("/tasks/export?format=csv")
    rows = csv.reader(io.StringIO(exported.text, newline=""), delimiter=separator)
    cells = [cell.lstrip(" \"'") if separator != "," else cell for row in rows for cell in row]
    begun = [cell for cell in cells if cell.startswith(("=", "+", "-", "@")) and separator == ","]
    raw = [piece for piece in re.split(r"[;\t|\r\n]", exported.text) if re.match(r'[ "]*[=+\-@]', piece)]
    assert (begun, raw) == ([], [])
    assert bob.post("/tasks/import", content=exported.content, headers=CSV).status_code == 201
    # A spreadsheet has saved the file again, with its own separator.
    again = io.StringIO(newline="")
    plain = csv.reader(io.StringIO(exported.text, newline=""))
    csv.writer(again, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(plain)
    assert bob.post("/tasks/import", content=again.getvalue().encode(), headers=CSV).status_code == 201
    first, both = without_owner(ada.get("/tasks/export").json()), bob.get("/tasks/export").json()
    assert without_owner(both) == first + first
    flow = ada.get("/analytics/aging?from=2020-01-01", headers={"Accept": "text/csv"}).text
    assert not [piece for piece in re.split(r"[;\t|\r\n]", flow) if re.match(r'[ "]*[=+\-@]', piece)]


@pytest.mark.thorough
def test_ten_thousand_tasks_go_in_and_out_in_one_call_each(api: Api) -> None:
    ada = api.person()
    rows = [
        {
            "title": f"Task {number} ü",
            "status": ("pending", "in_progress", "completed")[number % 3],
            "tags": [f"t{number % 7}", "all"],
            "project": f"p{number % 11}",
        }
        for number in range(10_000)
    ]
    answer = ada.post("/tasks/import", json=rows)
    assert (answer.status_code, answer.json().get("imported")) == (201, 10_000), answer.text[:1000]
    exported = ada.get("/tasks/export").json()
    assert [{name: task[name] for name in rows[0]} for task in exported] == rows
    assert ada.get("/analytics/user-completion-stats").json()["completed_tasks"] == 3333
    assert len(ada.get("/tasks?tag=t3&limit=500&project=p1").json()) == len(
        [row for row in rows if row["tags"][0] == "t3" and row["project"] == "p1"]
    )
    count = text("SELECT count(*) FROM task_history WHERE kind = 'imported'")
    assert database.read(lambda db: db.execute(count).scalar()) == 10_000


@pytest.fixture
def tracker() -> list[dict[str, Any]]:
    """The tasks of a real issue tracker, 2012 to 2018."""
    tasks: list[dict[str, Any]] = json.loads(gzip.decompress(TRACKER.read_bytes()))
    return tasks


def test_the_body_of_an_import_takes_one_turn_of_a_thread(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, turns, run = api.person(), list[Any](), database.threads.run

    def counted(work: Any) -> Any:
        turns.append(work)
        return run(work)

    monkeypatch.setattr(database.threads, "run", counted)
    assert ada.post("/tasks/import", json=[{"title": "A task"}]).status_code == 201
    # On Postgres two more ask for the right to import, and write.
    assert len(turns) == (1 if database.is_sqlite else 3)


@pytest.mark.one_database
def test_a_real_tracker_goes_in_and_is_found_again(api: Api, tracker: list[dict[str, Any]]) -> None:
    ada = api.person()
    answer = ada.post("/tasks/import", json=tracker)
    assert (answer.status_code, answer.json().get("imported")) == (201, len(tracker)), answer.text[:1000]

    def titles(person: Person, path: str) -> list[str]:
        found = []
        while path:
            answer = person.get(path)
            found += [task["title"] for task in answer.json()]
            path = answer.links.get("next", {}).get("url", "")
        return sorted(found)

    def expected(wanted: Any) -> list[str]:
        return sorted(task["title"] for task in tracker if wanted(task))

    assert titles(ada, "/tasks?limit=500") == expected(lambda _: True)
    assert titles(ada, "/tasks/search?query=PERL&limit=200") == expected(
        lambda task: "perl" in task["title"].casefold()
    )
    for status in ("pending", "completed"):
        assert titles(ada, f"/tasks?status={status}&limit=300") == expected(
            lambda task, status=status: task["status"] == status
        )
    year = "created_after=2015-01-01T00:00:00Z&created_before=2016-01-01T00:00:00Z"
    assert titles(ada, f"/tasks?{year}&project=build") == expected(
        lambda task: task["created_at"].startswith("2015") and task["project"] == "build"
    )
    assert titles(ada, "/tasks?tag=build&limit=500") == expected(lambda task: "build" in task.get("tags", []))
    assert titles(ada, "/tasks?completed_after=2018-01-01T00:00:00Z") == expected(
        lambda task: task.get("completed_at", "") >= "2018"
    )


@pytest.mark.one_database
def test_nothing_is_completed_before_it_was_made(api: Api) -> None:
    ada = api.person()
    made, before = "2019-05-01T00:00:00Z", "2018-05-01T00:00:00Z"
    earlier = {"title": "x", "status": "completed", "created_at": made, "completed_at": before}
    answer = ada.post("/tasks/import", json=[{"title": "good"}, earlier])
    assert_problem(answer, 422, None, "#/1/completed_at")
    # A task whose only other time is a last change before its creation counts as completed at its creation.
    changed = {"title": "changed before", "status": "completed", "created_at": made, "updated_at": before}
    answer = ada.post("/tasks/import", json=[changed])
    if answer.status_code == 201:
        task = ada.get(f"/tasks/{answer.json()['ids'][0]}").json()
        assert task["completed_at"] == task["created_at"] == made
    else:
        assert_problem(answer, 422)
    same = {"title": "at once", "status": "completed", "created_at": made, "completed_at": made}
    assert ada.post("/tasks/import", json=[same]).status_code == 201
