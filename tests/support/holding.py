"""Requests of a page that wait until a test lets them go."""

import re
from dataclasses import dataclass, field

import httpx
from playwright.sync_api import Page, Request, Route

from tests.support.chromium import SERVED_NAME


def answer_to(request: Request) -> httpx.Response:
    """The server's answer, which the page has not got yet."""
    names = ("accept", "authorization", "content-type", "idempotency-key")
    headers = {name: value for name, value in request.headers.items() if name in names}
    address = request.url.replace(SERVED_NAME, "127.0.0.1")
    return httpx.request(request.method, address, headers=headers, content=request.post_data_buffer)


@dataclass
class Held:
    """The requests of a page that match a pattern, in their order."""

    page: Page
    method: str = "GET"
    routes: list[Route] = field(default_factory=list)
    is_open: bool = False

    def take(self, route: Route, request: Request) -> None:
        """Hold a request, unless the others have been let go."""
        if self.is_open or request.method != self.method:
            route.fallback()
        else:
            self.routes.append(route)

    def wait(self, number: int = 1) -> None:
        """Wait until this number of requests are held."""
        for _ in range(450):
            if len(self.routes) >= number:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{len(self.routes)} of {number} requests came")

    def let_go(self) -> None:
        """Send the held requests, and all that follow."""
        self.is_open = True
        for route in self.routes:
            route.continue_()

    def refuse(self, status: int = 503, detail: str = "Busy") -> None:
        """Answer the held requests with an error."""
        self.is_open = True
        for route in self.routes:
            route.fulfill(status=status, json={"detail": detail, "code": "busy"})


def hold(page: Page, pattern: str, method: str = "GET") -> Held:
    """Hold the requests whose address matches from now on."""
    held = Held(page, method)
    page.route(re.compile(pattern), held.take)
    return held
