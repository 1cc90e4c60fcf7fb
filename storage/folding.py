"""Folding text, and LIKE patterns of it, so that every database ignores letter case the same way."""

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
    r"""The LIKE pattern of folded text that contains this one, its `%`, `_` and `\` ordinary characters."""
    folded = fold(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{folded}%"
