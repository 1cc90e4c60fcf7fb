"""Folding text, so that letter case does not matter the same way on every database."""

import unicodedata


def fold(text: str) -> str:
    """The text as it is searched and sorted by: Unicode's case folding between two normalisations (NFC).

    `STRASSE` and `straße` fold to the same; `resume` and `résumé` do not. Source: the Unicode Standard,
    section 3.13, canonical caseless matching.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def pattern(text: str) -> str:
    r"""The LIKE pattern of titles that contain the text, its `%`, `_` and `\` ordinary characters."""
    folded = fold(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{folded}%"
