"""Folding text, and LIKE patterns of it, so that every database ignores letter case the same way."""

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

# Longer runs of these characters hold more marks above and below a letter than any language writes: marks are
# neither letters nor digits nor white space.
_LONG_RUN = re.compile(r"[^\w\s\x00-\u02ff]{30,}")


def normal_form(text: str) -> str:
    """The text in Unicode's normal form C, in which texts that look equal are equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", _LONG_RUN.sub(_with_marks_in_order, text))


def _with_marks_in_order(run: re.Match[str]) -> str:
    """The same characters decomposed, with the marks of each letter in the order of the normal form.

    Python moves each mark to its place by exchanging neighbours: with 65,536 marks behind one letter that took half
    a minute, in which nothing else ran.
    """
    apart = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    ordered: list[str] = []
    for _, characters in groupby(apart, key=_is_mark):
        ordered.extend(sorted(characters, key=unicodedata.combining))
    return "".join(ordered)


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) > 0


def fold(text: str) -> str:
    """The form of a text for searching and sorting: Unicode's case folding between two normalisations (NFC).

    `STRASSE` and `straße` fold to the same text; `resume` and `résumé` do not. Source: the Unicode Standard,
    section 3.13, canonical caseless matching.
    """
    if text.isascii():
        return text.lower()
    return normal_form(normal_form(text).casefold())


def pattern(text: str) -> str:
    r"""The LIKE pattern for folded texts that contain this one; `%`, `_` and `\` are ordinary characters."""
    folded = fold(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{folded}%"


# A change of thousands of tasks gives all of them the same text, and folding takes up to 50 ms.
@lru_cache(maxsize=1)
def folded_where_different(text: str | None) -> str | None:
    """The folded form of a long text, if the databases can't make it by themselves; otherwise None.

    The databases lower the capitals of ASCII. Most texts need no more, so they are not stored twice. A text that is
    not in its normal form always has its folded form beside it.
    """
    if text is None or text.isascii():
        return None
    folded = fold(text)
    return None if folded == _ascii_lower(text) and normal_form(text) == text else folded


def _ascii_lower(text: str) -> str:
    return text.translate(_SMALL_LETTERS)


_SMALL_LETTERS = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}
