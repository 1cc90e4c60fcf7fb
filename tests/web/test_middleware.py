"""The middleware of every request, as far as no endpoint's own tests show it."""

import pytest

from config import settings
from configuration.addresses import networks
from main import app
from tests.support.api import Api
from tests.support.openapi_check import CheckedClient

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("trusted", "scheme"),
    [("10.83.47.0/24", "https"), ("192.0.2.1", "http"), ("", "http")],
)
def test_next_page_has_the_scheme_that_a_trusted_proxy_says_the_client_came_by(
    database_url: str, monkeypatch: pytest.MonkeyPatch, trusted: str, scheme: str
) -> None:
    monkeypatch.setattr(settings, "trusted_proxies", networks(trusted))
    ada = Api(CheckedClient(app, client=("10.83.47.3", 50000))).person("ada")
    for title in ("One", "Two"):
        ada.post("/tasks", json={"title": title})
    page = ada.get("/tasks?limit=1", headers={"X-Forwarded-Proto": "https"})
    assert page.headers["Link"].startswith(f"<{scheme}://")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_lines_of_a_header_are_one_list(api: Api) -> None:
    ada = api.person()
    path, tag = f"/tasks/{ada.task()['id']}", '"1-1"'

    def answer(method: str, *lines: tuple[str, str], token: str = ada.token) -> int:
        headers = [("Authorization", f"Bearer {token}"), *lines]
        found = api.client.request(method, path, headers=headers, json={} if method == "PUT" else None)
        return found.status_code

    for tags in (('"x"', tag), (tag, '"x"'), ('"x", "y"', f'"z", W/{tag}')):
        assert answer("GET", *(("If-None-Match", each) for each in tags)) == 304
        assert answer("PUT", *(("If-Match", each) for each in tags)) == 200
    assert answer("PUT", ("If-Match", '"x"'), ("If-Match", '"y"')) == 412
    # A header for one value is ignored if it comes twice.
    assert answer("GET", ("Authorization", f"Bearer {ada.token}")) == 401
    headers = [("Authorization", f"Bearer {ada.token}"), ("Accept", "text/plain"), ("Accept", "text/csv")]
    assert api.client.get("/tasks/export", headers=headers).headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([("X-Forwarded-Proto", "https,http")], "https://testserver/"),
        ([("X-Forwarded-Proto", " HTTPS , http")], "https://testserver/"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], "https://testserver/"),
        ([("X-Forwarded-Proto", "http,https")], "http://testserver/"),
        ([("X-Forwarded-Proto", "javascript")], "http://testserver/"),
        ([("X-Forwarded-Host", "tasks.example.com, inner")], "http://tasks.example.com/"),
        (
            [("X-Forwarded-Host", "Tasks.example.com:8443"), ("X-Forwarded-Proto", "https")],
            "https://Tasks.example.com:8443/",
        ),
        ([("X-Forwarded-Host", "[2001:db8::1]:80")], "http://[2001:db8::1]:80/"),
        ([("X-Forwarded-Host", "evil.example/x")], "http://testserver/"),
        ([("X-Forwarded-Host", 'a">b')], "http://testserver/"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_first_scheme_and_host_that_a_trusted_proxy_names_are_in_links(
    database_url: str, monkeypatch: pytest.MonkeyPatch, headers: list[tuple[str, str]], address: str
) -> None:
    monkeypatch.setattr(settings, "trusted_proxies", networks("10.83.47.0/24"))
    # A socket for both versions of IP shows an IPv4 address in this form.
    clients = [CheckedClient(app, client=(proxy, 50000)) for proxy in ("10.83.47.3", "::ffff:10.83.47.3")]
    ada = Api(clients[0]).person()
    for title in ("One", "Two"):
        ada.task(title)
    headers = [("Authorization", f"Bearer {ada.token}"), *headers]
    for client in clients:
        page = client.get("/tasks?limit=1", headers=headers)
        assert page.headers["Link"].startswith(f"<{address}tasks?")
    page = CheckedClient(app, client=("10.83.48.3", 50000)).get("/tasks?limit=1", headers=headers)
    assert page.headers["Link"].startswith("<http://testserver/tasks?")
