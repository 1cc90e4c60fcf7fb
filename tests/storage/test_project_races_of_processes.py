"""The races of shared projects again, with the calls spread over several processes on one database."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, cycle
from typing import Any

import httpx
import pytest

from database import database
from tests.storage.test_project_races import (  # noqa: F401  # pytest collects them here again
    AT_ONCE,
    test_a_project_is_deleted_beside_everything,
    test_a_project_keeps_a_manager_whoever_leaves_at_once,
    test_nobody_owns_a_task_where_they_are_no_member,
    test_nothing_is_written_once_a_project_is_archived,
    test_one_of_thirty_two_gets_the_last_place_of_a_state,
)
from tests.support.api import Api, Person
from tests.support.server import ServerProcess
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.thorough

PROCESSES = 3
_numbers = count()


class Spread(httpx.Client):
    """Sends each request to the next of several servers."""

    def __init__(self, urls: list[str]) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE * len(urls))
        super().__init__(timeout=SECONDS, limits=limits)
        self._urls = cycle(urls)

    def request(self, method: str, url: Any, **options: Any) -> httpx.Response:
        return super().request(method, f"{next(self._urls)}{url}", **options)


class ApiWithUniqueNames(Api):
    """Makes people with names that no other test has, because all tests use the same database."""

    def __init__(self, api: Api) -> None:
        super().__init__(api.client)
        self._number = next(_numbers)

    def person(self, username: str = "ada", *, admin: bool = False) -> Person:
        return super().person(f"{username}-{self._number}", admin=admin)


@pytest.fixture(scope="module")
def server(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of several real servers, which share the database."""
    url = database.url.render_as_string(hide_password=False)
    with ExitStack() as stack:
        servers = [
            ServerProcess(tmp_path_factory.mktemp("server"), DATABASE_URL=url, DATABASE_POOL_SIZE="12")
            for _ in range(PROCESSES)
        ]
        # The servers start at the same time.
        for each in servers:
            each.run()
            stack.push(each.__exit__)
        for each in servers:
            each.wait()
        yield stack.enter_context(Spread([each.url for each in servers]))


@pytest.fixture
def api(shared_api: Api) -> Api:
    return ApiWithUniqueNames(shared_api)
