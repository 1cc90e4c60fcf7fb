"""Calendars: the tasks that an address shows, its readers, and its end."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import icalendar
import pytest
import time_machine
import vobject  # type: ignore[import-untyped]  # it has no types
from sqlalchemy import select

from config import settings
from database import database
from services.calendars import calendar
from tables.views import calendars
from tests.support.api import Api, Person, assert_problem

HOST = "http://testserver"


def make(person: Person, **values: object) -> tuple[int, str]:
    """A new calendar: its id, and the path of its file."""
    answer = person.post("/calendars", json=values)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["url"].startswith(f"{HOST}/calendar/")
    assert made["url"].endswith(".ics")
    return made["id"], made["url"].removeprefix(HOST)


def events(api: Api, path: str) -> list[Any]:
    answer = api.client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    # Lines end as the standard says, and no line is longer than 75 bytes.
    lines = answer.content.split(b"\r\n")
    assert lines[-1] == b""
    assert max(map(len, lines)) <= 75
    return list(icalendar.Calendar.from_ical(answer.content).walk("VEVENT"))


@pytest.mark.one_database
def test_the_address_is_one_at_which_the_program_is_reached(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person("ada")

    def address() -> str:
        made = ada.post("/calendars", json={}, headers={"Host": "127.0.0.1:9000"})
        found: str = made.json()["url"].partition("/calendar/")[0]
        return found

    assert address() == "http://127.0.0.1:9000"
    monkeypatch.setattr(settings, "root_path", "/tasks-api")
    assert address() == "http://127.0.0.1:9000/tasks-api"
    monkeypatch.setattr(settings, "public_url", "https://tasks.example.com/tasks-api")
    assert address() == "https://tasks.example.com/tasks-api"


@pytest.mark.one_database
def test_tasks_that_change_while_a_calendar_is_read_leave_it_whole(api: Api) -> None:
    ada = api.person("ada")
    done, put_off, left = (ada.task(title, due_at="2026-11-26T11:00:00Z")["id"] for title in "abc")
    _, path = make(ada)
    token = path.removeprefix("/calendar/").removesuffix(".ics")
    feed = database.read(lambda db: calendar.open_feed(db, token))
    ada.patch(f"/tasks/{done}", json={"status": "completed"})
    ada.patch(f"/tasks/{put_off}", json={"due_at": None})
    written = database.read(lambda db: calendar.read_entries(db, feed, [done, put_off, left]))
    assert written.count(b"BEGIN:VEVENT") == 1
    assert b"SUMMARY:c" in written


@pytest.mark.one_database
def test_a_backslash_before_an_n_begins_no_line(api: Api) -> None:
    ada = api.person("ada")
    ada.task(
        "C:\\News; \\n",
        due_at="2026-11-26T11:00:00Z",
        description="D:\\Notes,\nE:\\new",
        tags=["F:\\N", "a,b"],
    )
    view = ada.post("/views", json={"name": "G:\\Next", "filter": "status = pending"}).json()
    _, path = make(ada, view_id=view["id"])
    lines = api.client.get(path).text.splitlines()
    assert "X-WR-CALNAME:G:\\\\Next" in lines
    assert "SUMMARY:C:\\\\News\\; \\\\n" in lines
    assert "DESCRIPTION:D:\\\\Notes\\,\\nE:\\\\new" in lines
    assert "CATEGORIES:F:\\\\N,a\\,b" in lines
    (event,) = vobject.readOne(api.client.get(path).text).vevent_list
    assert event.summary.value == "C:\\News; \\n"
    assert event.description.value == "D:\\Notes,\nE:\\new"


@pytest.mark.one_database
def test_open_tasks_are_shown_at_the_time_they_are_due(api: Api) -> None:
    ada = api.person("ada")
    long = "Ä" * 200
    ada.task(
        "at noon, \\;\n", due_at="2026-11-26T11:00:00Z", description=f"a\x01b\r\n{long}", tags=["x,y", "z"]
    )
    ada.task("all day", due_at="2026-11-26T23:00:00Z", priority=4)
    ada.task("never")
    ada.task("done", status="completed", due_at="2026-11-26T11:00:00Z")
    _, path = make(ada, tz="Europe/Berlin")
    noon, whole = events(api, path)
    # Some programs refuse a title of two lines.
    assert noon["summary"] == "at noon, \\; "
    assert noon["description"] == f"ab\n{long}"
    assert noon["dtstart"].dt == datetime(2026, 11, 26, 11, tzinfo=UTC)
    assert [str(each) for each in noon["categories"].cats] == ["x,y", "z"]
    assert whole["dtstart"].dt == date(2026, 11, 27)
    assert "dtend" not in whole
    assert (whole["priority"], whole["transp"]) == (1, "TRANSPARENT")
    assert noon["dtstamp"].dt == noon["last-modified"].dt
    assert b"PRODID:" in api.client.get(path).content
    assert noon["uid"] != whole["uid"]
    # Another library reads the same events.
    others = vobject.readOne(api.client.get(path).text).vevent_list
    assert [each.dtstart.value for each in others] == [noon["dtstart"].dt, whole["dtstart"].dt]
    assert [each.summary.value for each in others] == [str(noon["summary"]), "all day"]
    assert [each.sequence.value for each in others] == ["0", "0"]
    assert str(noon["uid"]).endswith("@localhost")


@pytest.mark.one_database
def test_a_long_description_is_cut(api: Api) -> None:
    """Ten thousand descriptions of the greatest length would be hundreds of megabytes, and minutes of work."""
    ada = api.person("ada")
    _, path = make(ada)
    for length in (2000, 2001, 65_536):
        ada.task(f"{length}", description="ä" * length, due_at="2026-11-26T11:00:00Z")
    fits, *cut = (str(event["description"]) for event in events(api, path))
    assert fits == "ä" * 2000
    assert cut == ["ä" * 1999 + "…"] * 2


@pytest.mark.one_database
def test_changes_are_seen_and_what_is_done_is_gone(api: Api) -> None:
    ada = api.person("ada")
    task = ada.task("report", due_at="2026-11-26T11:00:00Z")
    _, path = make(ada)
    (before,) = events(api, path)
    tag = api.client.get(path).headers["etag"]
    same = api.client.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    ada.patch(f"/tasks/{task['id']}", json={"title": "the report"})
    (after,) = events(api, path)
    assert after["uid"] == before["uid"]
    assert after["sequence"] == before["sequence"] + 1
    assert after["last-modified"].dt >= before["last-modified"].dt
    changed = api.client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    ada.put(f"/tasks/{task['id']}", json={"status": "completed"})
    assert events(api, path) == []
    assert api.client.head(path).status_code == 200


@pytest.mark.one_database
def test_a_calendar_shows_its_view(api: Api) -> None:
    ada = api.person("ada")
    ada.task("urgent", tags=["urgent"], due_at="2026-11-26T11:00:00Z")
    ada.task("other", due_at="2026-11-26T11:00:00Z")
    view = ada.post("/views", json={"name": "Now!", "filter": "tag = urgent"}).json()["id"]
    _, path = make(ada, view_id=view)
    assert [str(event["summary"]) for event in events(api, path)] == ["urgent"]
    assert b"X-WR-CALNAME:Now!" in api.client.get(path).content
    ada.patch(f"/views/{view}", json={"filter": "due < now+9999y"})
    # A calendar whose view can't be read any more says so, and shows no tasks.
    assert events(api, path) == []
    assert b"X-WR-CALDESC:The view can't be read" in api.client.get(path).content
    ada.delete(f"/views/{view}")
    assert_problem(api.client.get(path), 404, "calendar_not_found")
    assert ada.get("/calendars").json() == []
    assert_problem(ada.post("/calendars", json={"view_id": view}), 404, "view_not_found")
    # The days of a view are those of the calendar's zone: at 11:00 in UTC the next day has begun in Auckland.
    view = ada.post("/views", json={"name": "A day", "filter": "due = 2026-11-27"}).json()["id"]
    found = [events(api, make(ada, view_id=view, tz=tz)[1]) for tz in ("UTC", "Pacific/Auckland")]
    assert [len(each) for each in found] == [0, 2]


@pytest.mark.one_database
def test_an_account_has_a_number_of_calendars_at_most(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar, "MOST_CALENDARS", 2)
    ada, bob = api.person("ada"), api.person("bob")
    made = [[make(person)[0] for _ in range(2)] for person in (ada, bob)]
    for person in (ada, bob):
        assert_problem(person.post("/calendars", json={}), 409, "too_many_calendars")
    assert bob.delete(f"/calendars/{made[1][0]}").status_code == 204
    make(bob)
    assert len(ada.get("/calendars").json()) == len(bob.get("/calendars").json()) == 2


def test_calendars_end(api: Api) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    root = api.person("root", admin=True)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    expiring, until = make(ada, expires_at=soon)
    deleted, short = make(ada)
    _, longest = make(ada)
    assert [each["id"] for each in ada.get("/calendars").json()] == [expiring + 2, deleted, expiring]
    assert all("url" not in each for each in ada.get("/calendars").json())
    assert_problem(bob.delete(f"/calendars/{deleted}"), 404, "calendar_not_found")
    assert ada.delete(f"/calendars/{deleted}").status_code == 204
    assert_problem(api.client.get(short), 404, "calendar_not_found")
    with time_machine.travel(datetime.now(UTC) + timedelta(days=2)):
        assert_problem(api.client.get(until), 404, "calendar_not_found")
        assert events(api, longest) == []
    past = ada.post("/calendars", json={"expires_at": "2020-01-01T00:00:00Z"})
    assert_problem(past, 422, pointer="#/expires_at")
    root.patch(f"/users/{ada.id}", json={"is_active": False})
    assert_problem(api.client.get(longest), 404, "calendar_not_found")
    root.patch(f"/users/{ada.id}", json={"is_active": True})
    root.delete(f"/users/{ada.id}", params={"delete_tasks": "true"})
    assert_problem(api.client.get(longest), 404, "calendar_not_found")
    for path in ("/calendar/x.ics", "/calendar/.ics", "/calendar/" + "x" * 300 + ".ics"):
        assert api.client.get(path).status_code in (404, 422)


def test_only_the_hash_of_a_token_is_stored_and_a_replay_does_not_show_it(api: Api) -> None:
    ada = api.person("ada")
    headers = {"Idempotency-Key": "a calendar"}
    first = ada.post("/calendars", json={}, headers=headers).json()
    again = ada.post("/calendars", json={}, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == {**first, "url": None}
    token = first["url"].rpartition("/")[2].removesuffix(".ics")
    row = database.read(lambda db: db.execute(select(calendars)).one())
    assert token not in str(row)
    assert len(row.token_hash) == 64
