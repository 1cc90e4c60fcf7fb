"""The guide's chapter of errors explains every code that the program answers with.

After a new code, explain it in `web/error_codes.py`, and write the chapter again:

    python -m web.error_codes
"""

import json
import re

from main import app
from web.error_codes import EXPLAINED, PAGE, collect, page

AGAIN = "write the chapter again, as said above"


def test_every_code_is_explained_and_no_other() -> None:
    codes = collect().keys()
    assert codes - EXPLAINED.keys() == set(), "explain these in web/error_codes.py"
    assert EXPLAINED.keys() - codes == set(), "no error has these any more"


def test_the_chapter_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), AGAIN


def test_the_document_shows_no_code_that_is_never_answered() -> None:
    shown = set(re.findall(r'"code": "(\w+)"', json.dumps(app.openapi())))
    assert len(shown) > 50
    assert shown - EXPLAINED.keys() == set()
