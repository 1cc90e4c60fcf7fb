"""The log's lines: written one by one or together, to a file that may be moved away or be none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import settings
from logging_config import logger, redacted, setup_logging, together


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
    with together():
        logger.info("first\nline")
        with together():
            logger.info("second")
        assert messages(log) == ["before"]
    logger.info("after")
    assert messages(log) == ["before", "first\\nline", "second", "after"]
    assert capsys.readouterr().out == log.read_text()


def test_entries_of_a_block_that_fails_are_written(log: Path) -> None:
    def fail() -> None:
        with together():
            logger.info("so far")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    logger.info("and on")
    assert messages(log) == ["so far", "and on"]


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
    with together():
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
        ("/tasks?filter=signature&status=pending", "/tasks?filter=signature&status=pending"),
        ("/calendars/7", "/calendars/7"),
    ],
)
def test_the_secret_of_an_address_is_not_said(path: str, said: str) -> None:
    assert redacted(path) == said
