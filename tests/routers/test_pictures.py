"""Charts as SVG, for logged-in callers and by signed links."""

import logging
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
import time_machine
from sqlalchemy import text

from database import database
from main import app
from tests.support.api import Api, Person, assert_problem
from tests.support.serving import served
from tests.support.tracker import issues

pytestmark = pytest.mark.one_database

SVG = "image/svg+xml"
QUESTIONS = {
    "throughput": {"from": "2017-08-01", "to": "2018-07-31", "interval": "month"},
    "cumulative-flow": {"from": "2015-08-01", "to": "2018-07-31"},
    "cycle-times": {"from": "2017-08-01", "to": "2018-07-31", "limit": "1000"},
    "time-in-status": {"from": "2017-08-01", "to": "2018-07-31"},
    "aging": {"from": "2017-08-01", "to": "2018-07-31"},
    "forecast": {"remaining": "50", "to": "2018-07-31"},
    "burnup": {"from": "2017-08-01", "to": "2018-07-31", "project": "docs"},
}
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def elements(picture: bytes) -> list[str]:
    """The names of the elements of a picture, which must be well-formed."""
    return [each.tag.rpartition("}")[2] for each in ET.fromstring(picture).iter()]  # noqa: S314  # our own


def share(person: Person, chart: str = "throughput", **query: Any) -> str:
    answer = person.post("/analytics/pictures", json={"chart": chart, "query": query})
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"from": "2026-02-01", "to": "2026-01-01"}, "#/query/from"),
        ({"from": "0001-01-01"}, "#/query/from"),
        ({"from": "2000-01-01", "to": "2026-01-01", "interval": "day"}, "#/query/interval"),
        ({"filter": "title ="}, "#/query/filter"),
        ({"colour": "red"}, "#/query/colour"),
        # Its link would be longer than the addresses that are taken.
        ({"filter": f'title = "{"я" * 1980}"'}, "#/query"),
    ],
)
@sqlite_only
def test_what_is_wrong_with_the_query_of_a_link_is_named_in_the_body(
    api: Api, query: dict[str, Any], pointer: str
) -> None:
    answer = api.person().post("/analytics/pictures", json={"chart": "throughput", "query": query})
    assert_problem(answer, 422, pointer=pointer)
    assert answer.json()["detail"].startswith(pointer)


@sqlite_only
def test_every_chart_is_a_picture_too(api: Api, tmp_path: Path) -> None:
    ada = api.person()
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    assert ada.post("/tasks/import", json=issues()).status_code == 201
    ada.task("<script>alert(1)</script> & more")
    for chart, query in QUESTIONS.items():
        answer = ada.get(f"/analytics/{chart}", params=query, headers={"Accept": SVG})
        assert (answer.status_code, answer.headers["content-type"]) == (200, SVG)
        drawn = elements(answer.content)
        assert {"path", "text", "title", "desc"} <= set(drawn)
        assert "script" not in drawn
        (folder / f"{chart}.svg").write_bytes(answer.content)
        shared = api.client.get(share(ada, chart, **query))
        assert (shared.status_code, elements(shared.content)) == (200, drawn)
    assert ada.get("/analytics/flow", headers={"Accept": SVG}).status_code == 406


def test_empty_charts_are_pictures(api: Api) -> None:
    ada = api.person()
    for chart in QUESTIONS.keys() - {"forecast"}:
        assert "text" in elements(ada.get(f"/analytics/{chart}", headers={"Accept": SVG}).content)


@sqlite_only
def test_a_chart_of_one_interval_shows_it(api: Api) -> None:
    ada = api.person()
    ada.task()
    today = datetime.now(UTC).date().isoformat()
    drawn = {
        chart: ada.get(f"/analytics/{chart}?format=svg&interval=month&from={today}").text
        for chart in ("throughput", "cumulative-flow", "burnup")
    }
    for chart, dots in (("throughput", 1), ("burnup", 2)):
        assert drawn[chart].count("<circle") == dots, chart
    (pending,) = re.findall('<path d="M([^"]*)Z" fill="#9fb4d0"', drawn["cumulative-flow"])
    assert len({point.split()[0] for point in pending.split("L")}) == 2


@sqlite_only
def test_a_chart_names_the_days_that_were_asked_for(api: Api) -> None:
    ada = api.person()
    for zone in ("Europe/Paris", "America/New_York"):
        asked = f"interval=month&from=2026-03-01&to=2026-03-31&tz={zone}"
        drawn = ada.get(f"/analytics/throughput?format=svg&{asked}").text
        assert " 2026-03-01 to 2026-03-31, as of" in drawn
        days = re.findall(r">(\d{4}-\d\d-\d\d)</text>", drawn)
        # The axis ends with the midnight behind the last day.
        assert (days[0], days[-1]) == ("2026-03-01", "2026-04-01")


@sqlite_only
def test_the_lines_of_percentiles_are_told_apart_by_their_legend(api: Api) -> None:
    ada = api.person()
    done = {"created_at": "2026-01-05T09:00:00Z", "completed_at": "2026-01-07T09:00:00Z"}
    ada.post("/tasks/import", json=[{"title": "a", "status": "completed", **done}])
    drawn = ada.get("/analytics/cycle-times?format=svg&from=2026-01-01&to=2026-01-31").text
    samples = re.findall(r'<path d="M\S+ \S+h24" (.*?)/><text[^>]*>(\d\d)%', drawn)
    assert {percent for _, percent in samples} == {"50", "85", "95"}
    assert len({look for look, _ in samples}) == 3


@sqlite_only
def test_a_forecast_of_one_number_is_drawn_and_zero_is_a_number(api: Api) -> None:
    ada, today = api.person(), datetime.now(UTC).date()
    rows = [
        {
            "title": "a",
            "status": "completed",
            "created_at": f"{day}T08:00:00Z",
            "completed_at": f"{day}T09:00:00Z",
        }
        for day in (today - timedelta(days=7 * week + 3) for week in range(1, 15))
    ]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    # On this day of the week nothing was ever done.
    picture = ada.get(f"/analytics/forecast?until={today}&format=svg")
    assert picture.status_code == 200, picture.text
    assert "at least: 0 (50%), 0 (70%), 0 (85%), 0 (95%)." in picture.text
    assert elements(picture.content).count("circle") == 1
    numbers = re.findall(r'font-size="12">([\d,]+)</text>', picture.text)
    assert numbers == ["0"]


def test_a_link_shows_its_picture_to_strangers_until_it_expires(api: Api) -> None:
    ada = api.person()
    ada.task()
    url = share(ada)
    answer = api.client.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, SVG)
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert b"1 task created" in answer.content
    with time_machine.travel(datetime.now(UTC) + timedelta(days=31)):
        answer = api.client.get(url)
        assert (answer.status_code, answer.json()["code"]) == (403, "invalid_link")


def test_a_link_shows_nothing_else(api: Api) -> None:
    ada = api.person()
    signature = share(ada).partition("signature=")[2]
    for path in (
        f"/analytics/pictures/aging?signature={signature}",
        f"/analytics/pictures/throughput?signature={signature[:-4]}AAAA",
        f"/analytics/pictures/throughput?signature={ada.token}",
    ):
        assert api.client.get(path).status_code == 403
    assert (
        api.client.get(f"/analytics/pictures/throughput?signature={signature}&project=x").status_code == 422
    )
    headers = {"Authorization": f"Bearer {signature}"}
    assert api.client.get("/tasks", headers=headers).status_code == 401


def test_a_link_ends_with_the_account_and_its_rights(api: Api) -> None:
    root = api.person("root", admin=True)
    url = share(root, scope="all")
    assert api.client.get(url).status_code == 200
    for change in ("role = 'member'", "is_active = FALSE"):
        sql = text(f"UPDATE users SET {change}")
        database.write(lambda db, sql=sql: db.execute(sql))  # type: ignore[misc]
        assert api.client.get(url).status_code == 403


def test_a_link_is_made_only_to_what_the_caller_may_see(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    for query, status in (
        ({"user_id": bob.id}, 403),
        ({"scope": "all"}, 403),
        ({"interval": "year"}, 422),
        ({"from": "yesterday"}, 422),
        ({"colour": "red"}, 422),
    ):
        answer = ada.post("/analytics/pictures", json={"chart": "throughput", "query": query})
        assert answer.status_code == status
        if status == 422:
            assert answer.json()["errors"][0]["pointer"] == f"#/query/{next(iter(query))}"
    body = {"chart": "forecast", "query": {"remaining": 5}}
    assert ada.post("/analytics/pictures", json=body).status_code == 409
    both: dict[str, object] = {"remaining": 5, "until": "2030-01-01"}
    for asked, pointer in (({}, "#/query/remaining"), (both, "#/query/until")):
        answer = ada.post("/analytics/pictures", json={"chart": "forecast", "query": asked})
        assert_problem(answer, 422, "invalid_input", pointer)


@sqlite_only
def test_a_picture_is_well_formed_whatever_a_title_holds(api: Api) -> None:
    ada = api.person()
    for title in ("a\u0001b\u000b\u001f", "c\ufffe\uffffd", "<&\"'>\u0085\u2028", "\U0010ffff \ufdd0 漢"):
        task = ada.task(title, project=title)
        ada.patch(f"/tasks/{task['id']}", json={"status": "in_progress"})
    drawn = ada.get("/analytics/aging", headers={"Accept": SVG})
    texts = "".join(ET.fromstring(drawn.content).itertext())  # noqa: S314  # of our own making
    assert "a\ufffdb\ufffd\ufffd" in texts
    assert "c\ufffd\ufffdd" in texts
    assert "<&\"'>" in texts
    assert ada.get("/tasks?sort_by=id&sort_order=asc").json()[0]["title"] == "a\u0001b\u000b\u001f"


@sqlite_only
def test_no_log_has_the_signature(
    api: Api, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    url = share(api.person())
    with served(app) as base_url, caplog.at_level(logging.DEBUG, "uvicorn.access"):
        assert httpx.get(base_url + url).status_code == 200
    signature = url.partition("signature=")[2]
    assert any("signature=..." in record.getMessage() for record in caplog.records)
    assert all(signature not in record.getMessage() for record in caplog.records if record.name != "httpx")
    assert signature not in "".join(capfd.readouterr())
