"""The log's lines: written one by one or together, to a file that may be moved away, or to no file."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from logging import Formatter
from pathlib import Path

import httpx
import pytest

from config import settings
from logging_config import (
    TEXT_FORMAT,
    AppendingHandler,
    in_one_write,
    info_each,
    logger,
    one_line,
    redacted,
    setup_logging,
)
from main import app
from tests.support.openapi_check import resolved
from tests.support.server import ROOT, ServerProcess
from tests.support.waiting import SECONDS


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(settings, "log_file", tmp_path / "log" / "app.log")
    setup_logging()
    yield settings.log_file
    monkeypatch.undo()
    setup_logging()


def messages(log: Path) -> list[str]:
    return [line.split(" - ", 3)[3] for line in log.read_text().splitlines()]


def test_entries_of_a_block_are_written_at_its_end_in_their_order(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logging()
    logger.info("before")
    with in_one_write():
        logger.info("first\nline")
        with in_one_write():
            logger.info("second")
        assert messages(log) == ["before"]
    logger.info("after")
    assert messages(log) == ["before", "first\\nline", "second", "after"]
    assert capsys.readouterr().out == log.read_text()


def test_entries_of_a_block_that_fails_are_written(log: Path) -> None:
    def fail() -> None:
        with in_one_write():
            logger.info("so far")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    logger.info("and on")
    assert messages(log) == ["so far", "and on"]


def test_one_message_with_many_arguments_is_an_entry_for_each(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger.name):
        info_each("%s of %s", ("first", 1), ("second\nline", 2))
    with caplog.at_level("WARNING", logger.name):
        info_each("%s of %s", ("unwanted", 3))
    assert messages(log) == ["first of 1", "second\\nline of 2"]
    assert [entry.getMessage() for entry in caplog.records] == ["first of 1", "second\nline of 2"]
    assert caplog.records[0].created == caplog.records[1].created


def test_a_line_is_what_the_text_format_says(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger.name):
        logger.info("%s of %s", "first", 1)
        logger.error("failed", exc_info=ZeroDivisionError("no"))
    expected = [one_line(Formatter(TEXT_FORMAT).format(record)) for record in caplog.records]
    assert log.read_text().splitlines() == expected


def test_a_file_that_was_moved_away_is_begun_anew(log: Path) -> None:
    logger.info("old")
    log.rename(log.with_suffix(".1"))
    logger.info("new")
    assert messages(log) == ["new"]
    assert messages(log.with_suffix(".1")) == ["old"]


def test_a_log_that_can_not_be_written_is_said_once_and_tried_again(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.mkdir(parents=True)
    logger.info("lost")
    with in_one_write():
        logger.info("lost too")
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith(f"The log can't be written to {log}: ")] == said
    assert len(said) == 1
    os.rmdir(log)
    logger.info("back")
    assert messages(log) == ["back"]


def test_what_disguises_a_line_is_escaped(log: Path) -> None:
    logger.info("a\u202eb\u200bc\u2066d\ufeffe\u061cf\u00adg\u2028h\U000e0041i\x1b[2Jj\u0085k é 漢 🙂")
    assert messages(log) == [
        r"a\u202eb\u200bc\u2066d\ufeffe\u061cf\u00adg\u2028h\U000e0041i\x1b[2Jj\x85k é 漢 🙂"
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/analytics/pictures/x?signature=abc", "/analytics/pictures/x?signature=..."),
        ("/analytics/pictures/x?a=1&%73ignature=abc&b=2", "/analytics/pictures/x?a=1&%73ignature=...&b=2"),
        ("/analytics/pictures/x?%53IGNATUR%45=abc", "/analytics/pictures/x?%53IGNATUR%45=..."),
        ("/calendar/abc.ics", "/calendar/..."),
        ("/%63alendar/abc.ics?x=1", "/%63alendar/...?x=1"),
        ("/calendar%2Fabc.ics", "/calendar%2F..."),
        ("/api/calendar//abc.ics", "/api/calendar//..."),
        ("/tasks?token=abc&a=1", "/tasks?token=...&a=1"),
        ("/tasks?a=1&access_token=abc", "/tasks?a=1&access_token=..."),
        ("/tasks?a=1;signature[]=abc", "/tasks?a=1;signature[]=..."),
        ("/tasks?+signature=abc&new%5Fpa%73sword=abc", "/tasks?+signature=...&new%5Fpa%73sword=..."),
        ("/tasks?API_KEY=abc&client_secret=a=b", "/tasks?API_KEY=...&client_secret=..."),
        ("/tasks?pwd=abc&pass=abc&jwt=abc&apiKey=abc&x=1", "/tasks?pwd=...&pass=...&jwt=...&apiKey=...&x=1"),
        (f"/tasks?q=tp_{'a' * 40}", "/tasks?q=tp_..."),
        (f"/tasks/tr_{'a' * 40}?a=1", "/tasks/tr_...?a=1"),
        (f"/tasks/tb_{'a' * 40}?a=1", "/tasks/tb_...?a=1"),
        (f"/tasks?q=whsec_{'a' * 42}%3D&a=1", "/tasks?q=whsec_...&a=1"),
        (f"/tasks?q=whsec_a/b+c{'d' * 20}/e=&a=1", "/tasks?q=whsec_...&a=1"),
        (f"/tasks?q=whsec_a%2Fb%2Bc{'d' * 20}%2fe#f", "/tasks?q=whsec_...#f"),
        (f"/tasks?a=eyJ{'a' * 20}.eyJ{'b' * 20}.c-_&b=1", "/tasks?a=eyJ...&b=1"),
        ("/tasks?filter=title+~+token&query=password", "/tasks?filter=title+~+token&query=password"),
        ("/tasks?" + "token" * 12_000, "/tasks?" + "token" * 12_000),
        ("/tasks?filter=signature&status=pending", "/tasks?filter=signature&status=pending"),
        ("/calendars/7", "/calendars/7"),
    ],
)
def test_the_secret_of_an_address_is_not_said(path: str, said: str) -> None:
    assert redacted(path) == said


def test_only_the_signature_is_a_secret_among_the_parameters_of_the_api() -> None:
    document = app.openapi()
    operations = [each for path in document["paths"].values() for each in path.values()]
    declared = [resolved(document, each) for each in operations for each in each.get("parameters", [])]
    names = {each["name"] for each in declared if each["in"] == "query"}
    assert {name for name in names if "secretly" not in redacted(f"/tasks?{name}=secretly")} == {"signature"}


WRITER = """
import logging, sys
from pathlib import Path
from logging_config import AppendingHandler
handler = AppendingHandler(Path(sys.argv[1]), 10_000, 100)
for number in range(1000):
    handler.write(f"{sys.argv[2]} {number} {'x' * 80}\\n")
"""


def test_a_full_file_is_put_aside_and_processes_that_write_it_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], cwd=ROOT)
        for number in range(2)
    ]
    assert [each.wait(SECONDS) for each in writers] == [0, 0]
    files = list(tmp_path.iterdir())
    assert len(files) > 10
    # Each of the processes may write one more line after the file is full.
    assert all(file.stat().st_size <= 10_000 + 2 * 100 for file in files)
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    assert sorted((int(who), int(number)) for who, number, _ in lines) == [
        (who, number) for who in range(2) for number in range(1000)
    ]


def test_only_so_many_former_files_are_kept_the_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    handler = AppendingHandler(path, 10, 2)
    for number in range(5):
        handler.write(f"number {number}\n")
    handler.write("longer than a file may be\n")
    handler.close()
    kept = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert kept == {
        "app.log": "longer than a file may be\n",
        "app.log.1": "number 4\n",
        "app.log.2": "number 3\n",
    }


def test_a_log_that_can_not_be_put_aside_or_is_no_file_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "app.log"
    (tmp_path / "app.log.1").mkdir()
    handler = AppendingHandler(path, 10, 1)
    for number in range(3):
        handler.write(f"number {number}\n")
    assert path.read_text().splitlines() == ["number 0", "number 1", "number 2"]
    assert capsys.readouterr().err.count("can't be put aside") == 1
    nothing = AppendingHandler(Path(os.devnull), 10, 1)
    nothing.write("number 0\n" * 3)
    nothing.write("number 1\n")
    assert not Path(f"{os.devnull}.1").exists()


@pytest.mark.parametrize("parser", ["httptools", pytest.param("h11", marks=pytest.mark.thorough)])
def test_every_line_of_a_server_is_json_with_what_was_asked_and_answered(tmp_path: Path, parser: str) -> None:
    server = ServerProcess(tmp_path, LOG_FORMAT="json", TRUSTED_PROXIES="127.0.0.1")
    server.start("--http", parser)
    for path in ("/health", "/ready", "/nowhere?a=b%20c&signature=secret"):
        httpx.get(f"{server.url}{path}", headers={"X-Request-ID": "mine", "X-Forwarded-For": "203.0.113.9"})
    httpx.head(f"{server.url}/docs/")
    # A file of a page has a line only if it is missing.
    assert httpx.get(f"{server.url}/guide/asking").status_code == 200
    assert httpx.get(f"{server.url}/guide/assets/guide.css").status_code == 200
    httpx.get(f"{server.url}/assets/nothing/like.js")
    # The server itself logs bytes that are no request.
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        connection.recv(1000)
    server.end()
    console = [json.loads(line) for line in server.output().splitlines()]
    assert console == [json.loads(line) for line in server.log().splitlines()]
    assert {"uvicorn.error", "task_platform.access"} <= {line["logger"] for line in console}
    assert "Invalid HTTP request received." in [line["message"] for line in console]
    first, second, *pages = [line for line in console if line["logger"] == "task_platform.access"]
    assert [line["path"] for line in pages] == ["/guide/asking", "/assets/nothing/like.js"]
    assert first["message"].startswith('203.0.113.9 "GET /nowhere?a=b%20c&signature=..." 404 ')
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert first["duration_ms"] >= 0
    assert (first["request_id"], first["address"], first["method"], first["path"], first["status"]) == (
        "mine",
        "203.0.113.9",
        "GET",
        "/nowhere?a=b%20c&signature=...",
        404,
    )
    assert (second["method"], second["path"], second["status"]) == ("HEAD", "/docs/", 200)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"LOG_LEVEL": "WARNING"}, marks=pytest.mark.thorough, id="level"),
        pytest.param({}, id="no-access-log"),
    ],
)
def test_lines_below_the_level_and_of_an_access_log_that_is_off_are_not_written(
    tmp_path: Path, options: dict[str, str]
) -> None:
    server = ServerProcess(tmp_path, LOG_FORMAT="json", REGISTRATON_OPEN="false", **options)
    server.start(*(() if options else ("--no-access-log",)))
    httpx.get(f"{server.url}/nowhere", headers={"X-Forwarded-For": "203.0.113.9"})
    httpx.get(f"{server.url}/nowhere", headers={"X-Forwarded-Proto": "https"})
    server.end()
    lines = [json.loads(line) for line in server.output().splitlines()]
    assert not [line for line in lines if "/nowhere" in line["message"]]
    warnings = [line["message"] for line in lines if line["level"] == "WARNING"]
    assert len(warnings) == 2
    assert "REGISTRATON_OPEN is no setting and is ignored: REGISTRATION_OPEN" in warnings[0]
    # The warning comes once.
    assert "X-Forwarded-For came from 127.0.0.1, which is not in TRUSTED_PROXIES" in warnings[1]
    if options:
        assert len(lines) == 2
