"""The normal form of texts that hold more marks than letters."""

import random
import unicodedata

import pytest

from storage.folding import fold, normal_form
from tests.support.growth import MOST, growth

# Marks below, above and beside a letter, two marks that consist of others, letters, a sign and a space.
CHARACTERS = "\u0301\u0315\u0323\u0344\u0345\u0f73\u3099\U0001d165aé\u03b1か가☃ "


def test_the_normal_form_is_that_of_unicode() -> None:
    chance = random.Random(7)  # noqa: S311  # for texts, not for secrets
    for _ in range(300):
        marks = "".join(chance.choices(CHARACTERS[:8], k=chance.randrange(100)))
        text = "".join(chance.choices(CHARACTERS, k=20)) + marks + "".join(chance.choices(CHARACTERS, k=20))
        assert normal_form(text) == unicodedata.normalize("NFC", text)
        assert fold(text) == unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


@pytest.mark.parametrize("marks", ["\u0344\u0315", "\u0f73", "\u0301\u0323\u0345"])
def test_a_long_text_of_marks_takes_no_longer_than_others(marks: str) -> None:
    assert growth(lambda size: fold("a" + marks * (size // len(marks))), 65_535) < MOST
