"""A page in headless Chromium, cut off from every host but the one under test."""

import asyncio
import atexit
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Route,
    WebSocket,
    expect,
    sync_playwright,
)

from tests.support.waiting import SECONDS

# A busy machine takes many times longer than the usual five seconds.
expect.set_options(timeout=SECONDS * 1000)

_mark_running = asyncio._set_running_loop  # noqa: SLF001  # the only way to tell

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Pages are opened by a name instead of 127.0.0.1, because some behave differently on localhost. Swagger UI, for
# example, does not ask its online validator there.
SERVED_NAME = "task-platform.test"

# Chromium refuses a sandbox to root, and the pages are our own.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # The browser's own requests are kept off the network too.
    f"--host-resolver-rules=MAP {SERVED_NAME} 127.0.0.1,MAP * ~NOTFOUND,EXCLUDE 127.0.0.1",
)


class ChromiumUnavailable(Exception):
    """This machine has no Chromium; the message is the reason for skipping tests."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class BrowserPage:
    """A page, the hosts that it tried to reach, and the errors that it showed so far."""

    page: Page
    base_url: str
    foreign_requests: list[str] = field(default_factory=list)
    console_errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a path of the served host, and wait until the page has loaded."""
        self.page.goto(self.base_url + path, wait_until="load")

    def screenshot(self, path: Path) -> None:
        """Save the page in its whole height as a PNG."""
        self.page.screenshot(path=path, full_page=True)


def find_chromium() -> str:
    """The path of the browser; raises ChromiumUnavailable if there is no browser."""
    for program in PROGRAMS:
        path = shutil.which(program)
        if path is not None:
            return path
    raise ChromiumUnavailable(f"no Chromium: none of {', '.join(PROGRAMS)} is on the PATH")


class _Browser:
    """One Chromium for all tests of a process: starting it takes longer than most of them.

    Playwright leaves its event loop marked as running in the thread that started it. Outside of
    `browser_page` the mark is removed, so that other tests may run loops of their own.
    """

    def __init__(self) -> None:
        self._playwright = sync_playwright().start()
        self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self._browser = self._playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)

    @contextlib.contextmanager
    def new_context(self) -> Iterator[BrowserContext]:
        """A new profile, which is deleted at the end."""
        _mark_running(self._loop)
        try:
            if not self._browser.is_connected():
                self._browser = self._playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            with self._browser.new_context(
                viewport={"width": 1280, "height": 900}, service_workers="block", accept_downloads=True
            ) as context:
                yield context
        finally:
            _mark_running(None)

    def close(self) -> None:
        _mark_running(self._loop)
        self._browser.close()
        self._playwright.stop()
        _mark_running(None)


@lru_cache(maxsize=1)
def _browser() -> _Browser:
    find_chromium()
    browser = _Browser()
    _mark_running(None)
    atexit.register(browser.close)
    return browser


@contextlib.contextmanager
def browser_page(base_url: str, *, timeout_seconds: float = SECONDS) -> Iterator[BrowserPage]:
    """A new page with a profile of its own, for a server on 127.0.0.1 at `base_url`.

    Requests to any other host are blocked and listed in `foreign_requests`, including those that the page's own
    policy blocks. `console_errors` has errors on the console and uncaught exceptions. While the page is open,
    Playwright's event loop runs in this thread, so asyncio.run() works in other threads only.
    """
    port = urlsplit(base_url).port
    own_host = f"{SERVED_NAME}:{port}"
    with _browser().new_context() as context:
        context.set_default_timeout(timeout_seconds * 1000)
        page = context.new_page()
        result = BrowserPage(page, f"http://{own_host}")

        def is_own(url: str) -> bool:
            parts = urlsplit(url)
            return parts.scheme in {"data", "blob", "about"} or parts.netloc == own_host

        def note(request: Request) -> None:
            if not is_own(request.url):
                result.foreign_requests.append(request.url)

        def let_through(route: Route) -> None:
            if is_own(route.request.url):
                route.continue_()
            else:
                route.abort()

        def note_websocket(websocket: WebSocket) -> None:
            if not is_own(websocket.url):
                result.foreign_requests.append(websocket.url)

        def note_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                result.console_errors.append(f"{message.text} ({message.location['url']})")

        context.on("request", note)
        context.on("console", note_console)
        context.on("weberror", lambda error: result.console_errors.append(str(error.error)))
        page.on("websocket", note_websocket)
        context.route("**/*", let_through)
        yield result
