"""Three people work on one project of thousands of tasks at once, and in the end their pages are alike.

`SOAK_SECONDS=300 python -m pytest -s -m thorough tests/routers/test_app_together.py` does it for five minutes.
"""

import asyncio
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright, expect

from tests.support.api import PASSWORD
from tests.support.chromium import FLAGS, SERVED_NAME, ChromiumUnavailable, find_chromium
from tests.support.colleagues import Colleague
from tests.support.server import ServerProcess

pytestmark = pytest.mark.thorough

SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))
SETTLE_SECONDS = 120
TASKS = 5_000
PEOPLE = {"ada": False, "grace": False, "linus": True}
TAGS = ["web", "urgent", "paper"]
# A colleague changed the task first, or has deleted it.
EXPECTED = (404, 409, 412)
# A page with the list holds no growing comments or history. Its memory varies by this much with the layout.
ROOM_MB = 40


def _in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a new thread's event loop: the browser of other tests may use the loop of this thread."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001  # raised again where the result is read
            future.set_exception(error)

    threading.Thread(target=run).start()
    return future.result()


def _prepared(url: str) -> int:
    """Make three people and their project with its tasks, and return the project's id."""
    with httpx.Client(base_url=url, timeout=120) as client:
        ids = []
        for name in PEOPLE:
            fields = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
            ids.append(client.post("/auth/register", json=fields).raise_for_status().json()["id"])
        form = {"username": "ada", "password": PASSWORD}
        token = client.post("/auth/login", data=form).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        project: int = client.post("/projects", json={"name": "Research"}).raise_for_status().json()["id"]
        for person in ids[1:]:
            client.put(f"/projects/{project}/members/{person}", json={"role": "member"}).raise_for_status()
        states = ["pending", "pending", "in_progress", "completed"]
        rows = [
            {"title": f"Task {number}", "status": states[number % 4], "tags": TAGS[: number % 4]}
            for number in range(TASKS)
        ]
        client.post(f"/tasks/import?project_id={project}", json=rows).raise_for_status()
        return project


def _in_the_database(home: Path, project: int) -> dict[int, tuple[Any, ...]]:
    with sqlite3.connect(f"file:{home / 'tasks.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT id, title, status, priority, user_id FROM tasks WHERE project_id = ?", (project,)
        )
        return {row[0]: row[1:] for row in rows}


def _from_the_api(url: str, project: int) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        token = client.post("/auth/login", data={"username": "ada", "password": PASSWORD}).json()[
            "access_token"
        ]
        client.headers["Authorization"] = f"Bearer {token}"
        address = f"/tasks?project_id={project}&limit=500"
        while address:
            page = client.get(address).raise_for_status()
            found |= {task["id"]: task for task in page.json()}
            address = page.links.get("next", {}).get("url", "")
    return found


def _difference(one: dict[int, Any], other: dict[int, Any]) -> list[Any]:
    return [
        (key, one.get(key), other.get(key))
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key)
    ]


def _tell(text: str) -> None:
    """Print the progress, which `-s` shows."""
    sys.stdout.write(f"{time.monotonic():.0f} {text}\n")
    sys.stdout.flush()


async def _settled(url: str, project: int, people: list[Colleague]) -> dict[str, list[Any]]:
    """The differences between each page and the server, once no request is on its way any more."""
    differ: dict[str, list[Any]] = {}
    for _ in range(SETTLE_SECONDS // 2):
        await asyncio.sleep(2)
        for person in people:
            await person.page.mouse.move(1, 1)
        truth = _from_the_api(url, project)
        differ = {person.name: _difference(await person.tasks(), truth) for person in people}
        toasts = sum([await person.page.locator(".toast").count() for person in people])
        _tell(f"{toasts} messages, differing { ({name: len(each) for name, each in differ.items()}) }")
        if not toasts and not any(differ.values()):
            break
    return differ


async def _work_together(server: ServerProcess, project: int) -> None:
    resolve = f"--host-resolver-rules=MAP {SERVED_NAME} 127.0.0.1"
    flags = [flag for flag in FLAGS if not flag.startswith("--host-resolver-rules")]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=[*flags, resolve, "--enable-precise-memory-info"]
        )
        base = f"http://{SERVED_NAME}:{server.port}"
        layouts = ["", "&layout=board", ""]
        people = [
            await Colleague.arrive(
                browser, base, name, f"/app?project={project}&status=all{layout}", changes=changes
            )
            for (name, changes), layout in zip(PEOPLE.items(), layouts, strict=True)
        ]
        loop = asyncio.get_running_loop()
        for person in people:
            await expect(person.page.locator("#count")).to_have_text(
                f"{TASKS:,}", timeout=SETTLE_SECONDS * 1000
            )
        # The memory of a page counts once it has drawn everything for a while.
        warm = loop.time() + SECONDS / 6
        await asyncio.gather(*(person.work(warm) for person in people))
        _tell("warm")
        before = [await person.memory() for person in people]
        until = loop.time() + SECONDS * 5 / 6
        await asyncio.gather(*(person.work(until) for person in people))
        _tell("done")
        after = [await person.memory() for person in people]
        differ = await _settled(server.url, project, people)
        for person, first, last in zip(people, before, after, strict=True):
            line = f"{person.name}: {dict(person.done)}, failed {dict(person.failed)}, refused {len(person.refused)}"
            _tell(f"{line}; bytes and nodes {first}, then {last}")
        assert not any(differ.values()), {name: (len(each), each[:3]) for name, each in differ.items()}
        database = _in_the_database(server.home, project)
        for person in people:
            held = {
                key: (task["title"], task["status"], task["priority"], task["user_id"])
                for key, task in (await person.tasks()).items()
            }
            assert _difference(held, database) == []
            assert await person.wrong_rows() == []
            assert person.errors == []
            assert [answer for answer in person.refused if answer[0] not in EXPECTED] == []
        # A step fails if a colleague is faster or the machine too slow, but most steps must succeed.
        assert sum(each.done.total() for each in people) > 2 * sum(each.failed.total() for each in people)
        grown = [last[0] - first[0] for first, last in zip(before, after, strict=True)]
        assert max(grown) < ROOM_MB * 1024 * 1024
        await browser.close()


def test_three_pages_end_up_alike_and_like_the_database(tmp_path: Path) -> None:
    try:
        find_chromium()
    except ChromiumUnavailable as error:
        pytest.skip(error.reason)
    with ServerProcess(tmp_path) as server:
        _in_a_thread(_work_together(server, _prepared(server.url)))
        assert "Traceback" not in server.output() + server.log()
        assert " ERROR " not in server.log()
