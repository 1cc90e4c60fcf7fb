"""Downloads and streams that their readers take long for: they end when the reader loses the right to them."""

import contextlib
import re
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from main import app
from routers import calendars
from services.accounts import export as account_export
from services.tasks import exporting
from tests.events.test_stream_faults import open_streams
from tests.routers.test_projects import add, project
from tests.support.api import Api, Person
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until
from web.events import event_stream, stream_hub

# So much that neither side's buffers take it. A calendar has 2,000 characters of a description.
TASKS, DESCRIPTION = 400, "x" * 2_000
SMALL = 4096
LATER = "Written after the reader had to go"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "EXPORT_CHUNK", 20)
    monkeypatch.setattr(exporting, "LIST_PAGE", 20)
    monkeypatch.setattr(account_export, "PART", 20)
    monkeypatch.setattr(calendars, "ENTRIES_AT_ONCE", 20)


class Download:
    """An answer of which only the beginning is read at first."""

    def __init__(self, url: str, path: str, token: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._socket.settimeout(SECONDS)
        self._socket.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._parts = [self._socket.recv(100)]
        assert b" 200 " in self._parts[0]

    def rest(self) -> str:
        """All that comes until the server closes the connection."""
        with contextlib.suppress(ConnectionError):
            while part := self._socket.recv(2**20):
                self._parts.append(part)
        self._socket.close()
        return b"".join(self._parts).decode()


def removed(manager: Person, reader: Person, _admin: Person, project_id: int) -> None:
    assert manager.delete(f"/projects/{project_id}/members/{reader.id}").status_code == 204


def switched_off(_manager: Person, reader: Person, admin: Person, _project_id: int) -> None:
    assert admin.patch(f"/users/{reader.id}", json={"is_active": False}).status_code == 200


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("what", "lost"),
    [
        *((what, removed) for what in ("list", "part")),
        *(
            pytest.param(*each, marks=pytest.mark.one_database)
            for each in (("csv", removed), ("view", removed), ("calendar", removed), ("list", switched_off))
        ),
        *(
            pytest.param(what, switched_off, marks=pytest.mark.thorough)
            for what in ("csv", "view", "part", "calendar")
        ),
    ],
)
def test_a_download_ends_when_its_reader_may_see_no_more_of_it(
    api: Api, what: str, lost: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    made = project(ada)["id"]
    add(ada, made, bob, "viewer")
    view = {
        "name": "All",
        "filter": "id is not null",
        "sort_by": "id",
        "sort_order": "asc",
        "project_id": made,
    }
    view_id = ada.post("/views", json=view).json()["id"]
    fields = {"title": "Early", "description": DESCRIPTION, "due_at": "2030-01-01T12:00:00Z"}
    last = ada.post(f"/tasks/import?project_id={made}", json=[fields] * TASKS).json()["ids"][-1]
    calendar = bob.post("/calendars", json={"view_id": view_id}).json()["url"]
    path = {
        "list": f"/tasks/export?project_id={made}",
        "csv": f"/tasks/export?format=csv&project_id={made}",
        "view": f"/tasks/export?view={view_id}",
        "part": f"/tasks/export?limit={TASKS}&project_id={made}",
        "calendar": re.sub("^.*(?=/calendar/)", "", calendar),
    }[what]
    with served(app, send_buffer=SMALL) as url:
        download = Download(url, path, bob.token)
        lost(ada, bob, root, made)
        assert ada.patch(f"/tasks/{last}", json={"title": LATER}).status_code == 200
        text = download.rest()
        assert LATER not in text
        # Chunks without their end tell the client that the answer is not whole.
        assert not text.endswith("0\r\n\r\n")
    assert "is broken off" in caplog.text
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.usefixtures("small_parts")
def test_the_export_of_an_account_ends_with_its_session(api: Api) -> None:
    ada = api.person()
    ada.post("/tasks/import", json=[{"title": "Early", "description": DESCRIPTION}] * TASKS)
    last = ada.get("/tasks?limit=1").json()[0]["id"]
    with served(app, send_buffer=SMALL) as url:
        other = Person(api.client, ada.id, ada.username, api.log_in("ada"))
        download = Download(url, "/auth/me/export", ada.token)
        assert ada.post("/auth/logout").status_code == 200
        assert other.patch(f"/tasks/{last}", json={"title": LATER}).status_code == 200
        text = download.rest()
        assert LATER not in text


@pytest.mark.usefixtures("small_parts")
def test_a_calendar_shows_no_task_that_was_given_away_meanwhile(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    fields: dict[str, Any] = {"description": DESCRIPTION, "due_at": "2030-01-01T12:00:00Z"}
    last = ada.post("/tasks/import", json=[{"title": "Early", **fields}] * TASKS).json()["ids"][-1]
    path = re.sub("^.*(?=/calendar/)", "", ada.post("/calendars", json={}).json()["url"])
    with served(app, send_buffer=SMALL) as url:
        download = Download(url, path, ada.token)
        assert ada.put(f"/tasks/{last}/assign?assigned_user_id={bob.id}").status_code == 200
        assert bob.patch(f"/tasks/{last}", json={"title": LATER}).status_code == 200
        text = download.rest()
        assert LATER not in text
        assert text.count("BEGIN:VEVENT") == TASKS - 1
        assert text.endswith("0\r\n\r\n")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "asked",
    [
        "scope=all",
        *(
            pytest.param(each, marks=pytest.mark.thorough)
            for each in ("project_id={project_id}", "task_id={task_id}")
        ),
    ],
)
def test_a_stream_that_has_not_caught_up_ends_with_the_role_of_an_admin(
    api: Api, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(event_stream, "PAGE", 5)
    ada, bob, root = api.person(), api.person("bob", admin=True), api.person("root", admin=True)
    made = project(ada)["id"]
    task = ada.task("Early", project_id=made, description=DESCRIPTION)["id"]
    oldest = ada.get("/events").json()[0]["id"]
    for number in range(100):
        ada.patch(f"/tasks/{task}", json={"description": f"{number} {DESCRIPTION * 5}"})
    path = f"/events/stream?after={oldest}&{asked.format(project_id=made, task_id=task)}"
    with served(app, send_buffer=SMALL) as url:
        # Another stream keeps up, so the slow one has to.
        headers = {"Authorization": f"Bearer {ada.token}"}
        with httpx.stream("GET", f"{url}/events/stream", headers=headers) as other:
            lines = other.iter_lines()
            assert next(lines).startswith(":")
            download = Download(url, path, bob.token)
            ada.patch(f"/tasks/{task}", json={"priority": 1})
            assert any(line.startswith("id:") for line in lines)
            assert root.patch(f"/users/{bob.id}", json={"role": "member"}).status_code == 200
            wait_until(lambda: [each for each in open_streams() if each.user.id == bob.id and each.is_ended])
            ada.patch(f"/tasks/{task}", json={"title": LATER})
            text = download.rest()
    assert "task.updated" in text
    assert LATER not in text
    assert text.endswith("0\r\n\r\n")
