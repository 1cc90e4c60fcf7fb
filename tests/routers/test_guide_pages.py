"""The pages of the guide in Chromium, on a desk and on a phone."""

import pytest

from routers.guide import read_chapters
from tests.routers.test_app import assert_accessible, browser, desk
from tests.routers.test_dashboard import sqlite_only
from tests.support.chromium import BrowserPage

pytestmark = pytest.mark.thorough
__all__ = ["browser", "desk"]


@sqlite_only
def test_the_guide_is_accessible(browser: BrowserPage) -> None:  # the fixture
    for chapter in read_chapters():
        browser.open(f"/guide/{chapter}")
        assert_accessible(browser.page)
