"""The browser notes every request and error of a page, because other tests rely on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page, find_chromium
from tests.support.serving import served

PAGE = """<!DOCTYPE html><title>Curious</title><link rel="icon" href="data:,">
<h1>Curious</h1>
<img src="http://picture.example/1.png">
<script>
const inWorker = "fetch('http://worker.example/').catch(() => 0).finally(() => postMessage(1))";
const worker = new Worker(URL.createObjectURL(new Blob([inWorker])));
worker.onmessage = async () => {
  await fetch("http://127.0.0.1:9/").catch(() => 0);
  new WebSocket("ws://socket.example/");
  console.error("a complaint");
  await fetch("/own");
  document.title = "done";
  throw new Error("a mishap");
};
</script>"""


async def show(request: Request) -> Response:
    policy = request.query_params.get("policy")
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": policy} if policy else None)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with served(Starlette(routes=[Route("/", show), Route("/own", show)])) as url:
        yield url


@pytest.fixture
def browser(base_url: str) -> Iterator[BrowserPage]:
    try:
        with browser_page(base_url) as browser:
            yield browser
    except ChromiumUnavailable as error:
        pytest.skip(error.reason)


def test_every_request_to_another_host_is_noted(browser: BrowserPage, tmp_path: Path) -> None:
    browser.open("/")
    browser.page.wait_for_function("document.title == 'done'")
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(browser.foreign_requests) == [
        "http://127.0.0.1:9/",
        "http://picture.example/1.png",
        "http://worker.example/",
        "ws://socket.example/",
    ]
    assert any("a complaint" in error for error in browser.console_errors)
    assert any("a mishap" in error for error in browser.console_errors)


def test_requests_that_a_policy_forbids_are_noted_too(browser: BrowserPage) -> None:
    browser.open("/?policy=img-src%20'self'")
    browser.page.wait_for_function("document.title == 'done'")
    assert any("picture.example" in error for error in browser.console_errors)
    assert "http://picture.example/1.png" in browser.foreign_requests


def test_the_reason_is_clear_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ChromiumUnavailable, match="no Chromium: none of chromium"):
        find_chromium()
