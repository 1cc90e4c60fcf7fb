"""The answer of `/`: JSON for programs, a page for browsers."""

import pytest
from fastapi.testclient import TestClient

from tests.support.api import Api

pytestmark = pytest.mark.one_database

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "application/json, text/html", "image/png"]
)
def test_programs_get_json(client: TestClient, accept: str | None) -> None:
    answer = client.get("/", headers={} if accept is None else {"Accept": accept})
    assert answer.json() == {"message": "Task API is running"}
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "application/json;q=0.5, text/html"])
def test_browsers_get_a_page_that_leads_on(client: TestClient, api: Api, accept: str) -> None:
    page = client.get("/", headers={"Accept": accept})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept"
    assert "unsafe" not in page.headers["content-security-policy"]
    for path in ("/app", "/dashboard", "/docs"):
        assert f'href="{path}"' in page.text
        assert client.get(path).status_code == 200
    assert "{" not in page.text
    assert "There is no admin yet" in page.text
    assert "create-admin" in page.text
    api.person("grace", admin=True)
    assert "no admin" not in client.get("/", headers={"Accept": accept}).text


def test_there_is_an_icon(client: TestClient) -> None:
    icon = client.get("/favicon.ico")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
