"""Files on the page of tasks: imports of other programs with preview and mapping, and the content of exports."""

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.routers.test_app import assert_accessible, browser, desk, filters, log_in, row, side
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage

__all__ = ["browser", "desk"]
pytestmark = pytest.mark.thorough


class File(NamedTuple):
    """A file of another program, the parts that the page says are left out, and a task that it becomes."""

    name: str
    text: str
    said: str
    left: tuple[str, ...]
    expected: dict[str, Any]
    number: int


TODOIST = """\ufeffTYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE
section,Errands,,,,,,,,
task,Buy paper @office @shop,A4,1,1,Ada (1),,2026-12-01,en,Europe/Paris
task,Post to eva@example.com,,4,2,Ada (1),,every day,en,Europe/Paris
note,The white one,,,,Ada (1),,,,
"""
GITHUB = [
    {
        "number": 7,
        "title": "Crash on start",
        "body": "Traceback",
        "state": "CLOSED",
        "labels": [{"name": "bug"}, {"name": "linux"}],
        "createdAt": "2026-01-05T09:00:00Z",
        "updatedAt": "2026-01-06T10:00:00Z",
        "closedAt": "2026-01-06T10:00:00Z",
        "url": "https://github.com/ada/engine/issues/7",
    }
]
JIRA = """Summary,Issue key,Status,Priority,Created,Resolved,Due date,Labels,Labels
"Login fails, sometimes",ABC-1,Done,High,12/Nov/26 9:30 AM,14/Nov/26 2:00 PM,,auth,web
Third,ABC-3,To Do,Lowest,13/Nov/26 9:30 AM,,someday,,
"""
TRELLO = {
    "name": "Garden",
    "lists": [{"id": "l1", "name": "Doing"}, {"id": "l2", "name": "Later"}],
    "cards": [
        {"id": "5f0000001111111111111111", "name": "Plant a tree", "desc": "An oak", "idList": "l1",
         "labels": [{"name": "green"}], "due": "2026-12-05T12:00:00.000Z", "attachments": [{"id": "a"}]},
        {"id": "5f0000002222222222222222", "name": "Water it", "idList": "l2", "dueComplete": True,
         "dateLastActivity": "2026-11-05T12:00:00.000Z", "labels": []},
    ],
    "checklists": [{"id": "c1"}, {"id": "c2"}],
    "actions": [{"type": "commentCard"}, {"type": "updateCard"}],
}  # fmt: skip
VIKUNJA = [
    {
        "title": "Inbox",
        "tasks": [
            {"title": "Renew the passport", "description": "", "done": False, "priority": 5,
             "labels": [{"title": "errands"}], "due_date": "2026-12-10T00:00:00Z", "done_at": "0001-01-01T00:00:00Z",
             "created": "2026-01-05T09:00:00Z", "updated": "2026-01-05T09:00:00Z"},
        ],
    },
    {"title": "Empty", "tasks": None},
]  # fmt: skip
FILES = [
    File(
        "todoist.csv", TODOIST, "Todoist, 2 rows",
        ("the column AUTHOR", "1 comments", "which task is below which", '"every day" in DATE is no time'),
        {"title": "Buy paper", "description": "A4", "priority": 4, "tags": ["Errands", "office", "shop"], "status": "pending"}, 2,
    ),
    File(
        "issues.json", json.dumps(GITHUB), "GitHub, 1 row",
        ("the column number", "the column url", "comments", "who is assigned", "milestones"),
        {"title": "Crash on start", "description": "Traceback", "status": "completed", "tags": ["bug", "linux"],
         "completed_at": "2026-01-06T10:00:00Z"}, 1,
    ),
    File(
        "jira.csv", JIRA, "Jira, 2 rows",
        ("the column Issue key", "comments and attachments", "links between issues", '"someday" in Due date'),
        {"title": "Login fails, sometimes", "status": "completed", "priority": 3, "tags": ["auth", "web"],
         "completed_at": "2026-11-14T14:00:00Z"}, 2,
    ),
    File(
        "board.json", json.dumps(TRELLO), "Trello, 2 rows", ("2 checklists", "1 comments", "1 attachments", "members of"),
        {"title": "Plant a tree", "description": "An oak", "status": "in_progress", "project": "Garden",
         "tags": ["green"], "due_at": "2026-12-05T12:00:00Z"}, 2,
    ),
    File(
        "data.json", json.dumps(VIKUNJA), "Vikunja, 1 row", ("comments", "buckets", "attachments", "repeating dates"),
        {"title": "Renew the passport", "priority": 4, "tags": ["errands"], "project": "Inbox", "status": "pending",
         "due_at": "2026-12-10T00:00:00Z", "completed_at": None}, 1,
    ),
    File(
        "sheet.csv", "Task;Owner;Deadline\nWrite;Ada;12/24/2026\n", "CSV, 1 row", ("the column Owner",),
        {"title": "Write", "due_at": "2026-12-24T00:00:00Z"}, 1,
    ),
    File(
        "days.csv", "title,due_at,created_at\nDraw,2026-02-30 10:00,\nLeap,,2028-02-29T12:00:00Z\nLate,30.01.2026 25:00,\n",
        "CSV, 3 rows", ('"2026-02-30 10:00" in due_at is no time', '"30.01.2026 25:00" in due_at is no time'),
        {"title": "Leap", "created_at": "2028-02-29T12:00:00Z"}, 3,
    ),
]  # fmt: skip


def choose(page: Page, folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    page.locator("#import-file").set_input_files(path)


@sqlite_only
def test_files_of_other_programs_are_seen_before_they_are_taken(
    api: Api, browser: BrowserPage, tmp_path: Path
) -> None:
    ada = api.person()
    page = log_in(browser, "/app?page=import")
    for file in FILES:
        choose(page, tmp_path, file.name, file.text)
        page.get_by_role("heading", name=f"{file.name}: {file.said}").wait_for()
        for text in file.left:
            expect(page.locator(".left")).to_contain_text(text)
        expect(page.get_by_role("region", name="The first rows")).to_contain_text(file.expected["title"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert ada.get("/tasks", params={"title_contains": file.expected["title"]}).json() == []
        page.get_by_role("button", name=f"Import {file.number} task").click()
        page.wait_for_url("**status=all")
        row(page, file.expected["title"]).wait_for()
        (task,) = ada.get("/tasks", params={"title_contains": file.expected["title"]}).json()
        assert {name: task[name] for name in file.expected} == file.expected
        side(page).get_by_role("link", name="Import").click()
        page.locator("#import-file").wait_for()
    assert len(ada.get("/tasks").json()) == sum(file.number for file in FILES)
    assert browser.console_errors == []


@sqlite_only
def test_the_meaning_of_a_column_can_be_changed_and_a_bad_file_says_why(
    api: Api, browser: BrowserPage, tmp_path: Path
) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    page = log_in(browser, f"/app?page=import&project={project}")
    for name, text, message in (
        ("empty.csv", "", "has no rows"),
        ("broken.json", '[{"title": ', "This is not JSON"),
        ("other.json", '{"name": "x"}', "No list of tasks"),
        ("board.json", '{"lists": [null], "cards": []}', "A part of"),
    ):
        choose(page, tmp_path, name, text)
        page.get_by_role("alert").get_by_text(message).wait_for()
    choose(page, tmp_path, "own.csv", "What,Kind,Weight\nWrite,paper,high\nRead,book,low\n")
    page.get_by_text("say which column is the title").wait_for()
    expect(page.get_by_role("button", name="Import 0 tasks")).to_be_disabled()
    page.get_by_label("What means").select_option("Title")
    page.get_by_label("Kind means").select_option("Tags")
    expect(page.locator(".left")).to_have_text("the column Weight")
    page.get_by_label("Weight means").select_option("Priority")
    page.get_by_text("Everything is taken.").wait_for()
    assert_accessible(page)
    page.get_by_role("button", name="Import 2 tasks").click()
    page.wait_for_url(f"**project={project}**")
    expect(page.locator(".row")).to_have_count(2)
    found = {
        task["title"]: (task["tags"], task["priority"])
        for task in ada.get(f"/tasks?project_id={project}").json()
    }
    assert found == {"Write": (["paper"], 3), "Read": (["book"], 1)}


def exported(page: Page, which: str, kind: str) -> str:
    """The content of the file that an export saves."""
    side(page).get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export")
    dialog.get_by_label("Which tasks").select_option(which)
    with page.expect_download() as download:
        dialog.get_by_role("button", name=kind).click()
    dialog.wait_for(state="detached")
    assert download.value.suggested_filename == f"tasks.{kind.lower()}"
    return download.value.path().read_text(encoding="utf-8")


@sqlite_only
def test_an_export_has_what_was_asked_for(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.task("Write it", tags=["a", 'b "quoted"'], description="=1+1", priority=3)
    ada.task("Done long ago", status="completed")
    ada.task("Together", project_id=project, tags=["a"])
    page = log_in(browser)
    row(page, "Write it").wait_for()
    everything = json.loads(exported(page, "all", "JSON"))
    assert [task["title"] for task in everything] == ["Write it", "Done long ago", "Together"]
    assert everything == ada.get("/tasks/export").json()
    rows = list(csv.DictReader(io.StringIO(exported(page, "all", "CSV"))))
    assert [each["title"] for each in rows] == ["Write it", "Done long ago", "Together"]
    assert json.loads(rows[0]["tags"]) == ["a", 'b "quoted"']

    # The shown tasks are open ones, narrowed by the filters of the page.
    assert [task["title"] for task in json.loads(exported(page, "shown", "JSON"))] == ["Write it", "Together"]
    filters(page).locator("[name=tag]").fill("a")
    page.keyboard.press("Enter")
    filters(page).locator("[name=priority]").select_option("High")
    expect(page.locator(".row")).to_have_count(1)
    assert [task["title"] for task in json.loads(exported(page, "shown", "JSON"))] == ["Write it"]
    side(page).get_by_role("link", name="Research").click()
    row(page, "Together").wait_for()
    assert [task["title"] for task in json.loads(exported(page, "shown", "JSON"))] == ["Together"]
    assert browser.console_errors == []
