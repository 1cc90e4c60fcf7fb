"""Cursors: their content, and texts that are no cursors."""

import base64
from typing import Any

import pytest

from errors import InvalidInput
from services.paging import decode_cursor, encode_cursor

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    "key", [(0,), (-LARGEST,), (LARGEST,), ("Ärger über ☃\\",), ("", 1), ("x" * 500, 7, -7)]
)
def test_a_page_goes_on_after_whatever_its_last_row_was(key: tuple[Any, ...]) -> None:
    cursor = encode_cursor(*key)
    assert decode_cursor(cursor, *map(type, key)) == list(key)
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_of_letters_with_accents_is_no_longer_than_it_must_be() -> None:
    # Each answer with a next page carries a cursor, and a title may have hundreds of such letters.
    assert len(encode_cursor("ä" * 300, 1)) == len(encode_cursor("aa" * 300, 1))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"[{LARGEST + 1}]", (int,)),
        (f"[{-LARGEST - 1}]", (int,)),
        ("[true]", (int,)),
        ("[1]", (str,)),
        ("[null]", (int,)),
        ("[1,2]", (int,)),
        ("[1]", (int, int)),
        ('{"0":1}', (str,)),
        ('["\\u0000"]', (str,)),
        ('["\\ud800"]', (str,)),
        ("[" * 100_000, (int,)),
        ("nonsense", (int,)),
    ],
)
def test_a_cursor_that_no_list_made_is_an_error_of_the_caller(text: str, kinds: tuple[type, ...]) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_cursor(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="), *kinds)
    assert [error["pointer"] for error in refused.value.errors or ()] == ["?cursor"]
