"""What every request passes through, where no endpoint's own tests show it."""

import pytest

from config import settings
from main import app
from tests.support.api import Api
from tests.support.openapi_check import CheckedClient


@pytest.mark.parametrize(
    ("trusted", "scheme"),
    [(["10.83.47.0/24"], "https"), (["192.0.2.1"], "http"), ([], "http")],
)
def test_next_page_has_the_scheme_that_a_trusted_proxy_says_the_client_came_by(
    database_url: str, monkeypatch: pytest.MonkeyPatch, trusted: list[str], scheme: str
) -> None:
    monkeypatch.setattr(settings, "trusted_proxies", trusted)
    ada = Api(CheckedClient(app, client=("10.83.47.3", 50000))).person("ada")
    for title in ("One", "Two"):
        ada.post("/tasks", json={"title": title})
    page = ada.get("/tasks?limit=1", headers={"X-Forwarded-Proto": "https"})
    assert page.headers["Link"].startswith(f"<{scheme}://")
