"""The part of a text that is looked for before the whole text.

The databases go from one place of a text's first letter to the next, and compare the rest there. Most tasks do not have
a rare letter. So a text that begins with a frequent letter takes several times as long as its part that begins with a rare
one.
"""

# The letters of most languages in Latin script by their frequency, and the space.
_FREQUENT = " etaoinsrh"
_LESS_FREQUENT = "ldcumwfgypb0123456789"
_RARE = "vkjxqz"
_RANKS = {letter: rank for rank, letter in enumerate(_LESS_FREQUENT + _RARE)}


def rare_part(text: str) -> str | None:
    """The end of a folded text from its rarest letter on; None if that would not be found sooner than the text."""
    if not text or text[0] not in _FREQUENT:
        return None
    rank, place = max((_RANKS.get(letter, -1), -place) for place, letter in enumerate(text))
    part = text[-place:]
    # Nearly every long text has a letter by itself, unless that is rare.
    return part if part[0] in _RARE or (rank >= 0 and len(part) > 1) else None
