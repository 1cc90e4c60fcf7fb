"""The guide's commands run as they stand there, chapter by chapter, on one server; its answers are true."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient
from markdown_it import MarkdownIt

from routers.guide import read_chapters
from services.flow import definitions
from tests.support.api import Api
from tests.support.server import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "docs" / "guide").glob("[0-9]*.md"))
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The script notes the status of each answer; a `refused` block expects a status of 400 or more.
CURL = """
curl() { command curl --max-time 60 -w '%{stderr}status %{http_code}\\n' "$@"; }
"""
MARK = "=== block "


class Block(NamedTuple):
    """One fenced block of a chapter."""

    chapter: str
    language: str
    note: str
    text: str


def blocks() -> list[Block]:
    """All blocks, in the order in which a reader meets them."""
    return [
        Block(path.name, language, note.strip(), text)
        for path in CHAPTERS
        for language, note, text in BLOCK.findall(path.read_text())
    ]


def shape(value: Any) -> Any:
    """Keys and kinds of a value: ids, times and texts differ from run to run."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return (
        "null" if value is None else type(value).__name__.replace("float", "number").replace("int", "number")
    )


def answers_in(text: str) -> list[Any]:
    """The JSON values in what a block printed."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while (
        start := min((at for at in (text.find("{", place), text.find("[", place)) if at >= 0), default=-1)
    ) >= 0:
        try:
            value, place = decoder.raw_decode(text, start)
            found.append(value)
        except json.JSONDecodeError:
            place = start + 1
    return found


@pytest.fixture(scope="module")
def printed_blocks(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Block, str]]:
    """Each shell block of the guide with what it printed, all run in one shell."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    folder = tmp_path_factory.mktemp("guide")
    shell = [block for block in blocks() if block.language == "sh"]
    script = CURL + "".join(
        f"echo '{MARK}{number}'; echo '{MARK}{number}' >&2\n{block.text}"
        for number, block in enumerate(shell)
    )
    with ServerProcess(folder, RETENTION_AUDIT_DAYS="365", WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as server:
        script = script.replace("localhost:8000", f"127.0.0.1:{server.port}")
        ended = subprocess.run(
            ["bash", "-uo", "pipefail", "-c", script],
            cwd=folder,
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        python = "\n".join(block.text for block in blocks() if block.language == "python")
        python = python.replace("localhost:8000", f"127.0.0.1:{server.port}")
        ran = subprocess.run(
            [sys.executable, "-c", python],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert ran.returncode == 0, ran.stderr[-2000:]
    out, noted = (part.split(MARK)[1:] for part in (ended.stdout, ended.stderr))
    assert len(out) == len(shell), ended.stderr[-2000:]
    for block, statuses in zip(shell, noted, strict=True):
        codes = [int(code) for code in re.findall(r"^status (\d+)$", statuses, re.MULTILINE)]
        refused = [code for code in codes if code >= 400]
        assert bool(refused) == (block.note == "refused"), (block.chapter, block.text, codes, out)
    return list(zip(shell, out, strict=True))


def test_the_chapters_commands_run_and_their_answers_are_true(
    printed_blocks: list[tuple[Block, str]],
) -> None:
    everything = iter(printed_blocks)
    output = ""
    compared = 0
    for block in blocks():
        if block.language == "sh":
            output = next(everything)[1]
        elif block.language == "json":
            expected = shape(json.loads(block.text))
            found = [shape(answer) for answer in answers_in(output)]
            assert expected in found, (block.chapter, block.text, output)
            compared += 1
    assert compared


@pytest.mark.one_database
def test_the_guide_is_served_as_pages(api: Api) -> None:
    chapters = read_chapters()
    assert len(chapters) == len(CHAPTERS) + 1
    for name, chapter in chapters.items():
        page = api.client.get(f"/guide/{name}".rstrip("/"))
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert f"<h1>{chapter.title}</h1>" in page.text
        for link in re.findall(r'href="/guide/([^"#]*)', page.text):
            assert link in chapters or link.startswith("assets/"), (name, link)
    assert api.client.get("/guide/nothing-like-this").status_code == 404
    assert api.client.get("/guide/assets/guide.css").status_code == 200


@pytest.mark.one_database
def test_links_within_the_guide_lead_below_the_root_path(client: TestClient) -> None:
    below = TestClient(client.app, root_path="/tasks-api")
    linked: dict[str, str] = {}
    for name in read_chapters():
        page = below.get(f"/guide/{name}".rstrip("/"))
        assert page.status_code == 200
        for link in re.findall(r'href="(/[^"#]*)', page.text):
            assert link.startswith("/tasks-api/"), (name, link)
            linked.setdefault(link, name)
    # Every chapter links to all others, and each is asked for once.
    for link, name in linked.items():
        assert below.get(link.removeprefix("/tasks-api")).status_code == 200, (name, link)


@pytest.mark.one_database
def test_the_chapters_are_written_beside_the_event_loop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request writes all chapters, in which time the event loop would serve nobody."""
    writers, render = set(), MarkdownIt.render

    def noting(self: MarkdownIt, text: str) -> str:
        writers.add(threading.current_thread().name)
        written: str = render(self, text)
        return written

    read_chapters.cache_clear()
    monkeypatch.setattr(MarkdownIt, "render", noting)
    assert api.client.get("/guide").status_code == 200
    assert writers
    assert all(name.startswith("AnyIO worker thread") for name in writers), writers


def test_every_chapter_is_named_on_the_front_page() -> None:
    front = (ROOT / "docs" / "guide" / "README.md").read_text()
    assert {path.name for path in CHAPTERS} == set(re.findall(r"\((\d\d-[a-z-]+\.md)\)", front))


def test_every_chapter_shows_its_calls_by_curl_and_in_python() -> None:
    shown: dict[str, set[str]] = {}
    for block in blocks():
        shown.setdefault(block.chapter, set()).add(block.language)
    # The lines that turn another program's file into an import are in Python anyway.
    lines_of_python = {"13-coming-from.md"}
    assert {name for name, languages in shown.items() if not {"sh", "python"} <= languages} == lines_of_python
    assert {*shown} == {path.name for path in CHAPTERS}


def test_the_chapters_are_those_of_a_first_day() -> None:
    topics = (
        *("accounts-and-tokens", "tasks", "paging", "asking", "working-together", "retrying", "many-at-once"),
        *("following-what-happens", "webhooks", "flow", "import-and-export", "errors", "coming-from"),
    )
    assert tuple(name for name in read_chapters() if name) == topics


def test_the_chapter_about_flow_explains_every_figure() -> None:
    assert definitions.markdown() in (ROOT / "docs" / "guide" / "10-flow.md").read_text(encoding="utf-8")
