"""Broken filters for tests, and a second parser of the language that finds the first mistake.

The parser is written by hand and reads letter by letter. It shares only the fields and their values with the grammar.
"""

import random
import re
from urllib.parse import quote, quote_from_bytes

from services.query.fields import FIELDS, Field
from services.query.literals import read_value
from storage.folding import normal_form
from tests.support.filters import LANGUAGE, RandomFilters

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"""[^\s()"',=<>!~]+""")
_OPERATOR = re.compile(r"!=|!~|<=|>=|=|<|>|~")
_OFFSET = re.compile(
    r"""(?ai:now|today|yesterday|tomorrow)\s*[+-]\s*[0-9]+\s*(?ai:mo|[mhdwy])(?![^\s()"',=<>!~])"""
)


class _Mistake(Exception):
    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


def first_mistake(text: str) -> int | None:
    """The place of the first mistake in a filter; None if the filter is right."""
    unfit = re.search("[\0\udc80-\udcff]", text)
    if unfit and unfit[0] != "\0":
        return unfit.start()
    if len(text) > 2000:
        return 2000
    if unfit:
        return unfit.start()
    try:
        _Reading(text).whole()
    except _Mistake as mistake:
        return mistake.place
    return None


class _Reading:
    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0
        self.comparisons = 0
        self.contains = {"title": 10, "description": 3}

    def whole(self) -> None:
        self.some_of(0)
        if self.space() < len(self.text):
            raise _Mistake(self.place)

    def space(self) -> int:
        found = _SPACE.match(self.text, self.place)
        assert found is not None
        self.place = found.end()
        return self.place

    def ahead(self) -> str:
        """The letter that comes next, or nothing at the end."""
        return self.text[self.space() :][:1]

    def word(self) -> str:
        """The word that comes next, or nothing."""
        found = _WORD.match(self.text, self.space())
        return found[0] if found else ""

    def took(self, wanted: str) -> bool:
        """Whether this word of the language comes next; if so, the position moves behind it."""
        word = self.word()
        if not word.isascii() or word.lower() != wanted:
            return False
        self.place += len(word)
        return True

    def some_of(self, depth: int) -> None:
        self.all_of(depth)
        while self.took("or"):
            self.all_of(depth)

    def all_of(self, depth: int) -> None:
        self.one(depth)
        while self.took("and"):
            self.one(depth)

    def one(self, depth: int) -> None:
        start = self.space()
        enclosed = self.ahead() == "("
        if not enclosed and not self.took("not"):
            self.comparison()
            return
        if depth == 20:
            raise _Mistake(start)
        if not enclosed:
            self.one(depth + 1)
            return
        self.place += 1
        self.some_of(depth + 1)
        self.closing()

    def closing(self) -> None:
        if self.ahead() != ")":
            raise _Mistake(self.place)
        self.place += 1

    def comparison(self) -> None:
        word, start = self.word(), self.place
        field = FIELDS.get(word.lower()) if word.isascii() else None
        self.comparisons += 1
        if field is None or self.comparisons > 50:
            raise _Mistake(start)
        self.place += len(word)
        at = self.space()
        operator = self.operator()
        if operator not in field.operators:
            raise _Mistake(at)
        if "~" in operator and field.name in self.contains:
            self.contains[field.name] -= 1
            if self.contains[field.name] < 0:
                raise _Mistake(start)
        if operator.endswith("in"):
            self.values(field, operator)
        elif not operator.endswith("null"):
            self.value(field, operator)

    def operator(self) -> str:
        found = _OPERATOR.match(self.text, self.place)
        if found:
            self.place = found.end()
            return found[0]
        if self.took("is"):
            negated = self.took("not")
            if not self.took("null"):
                raise _Mistake(self.place)
            return "is not null" if negated else "is null"
        negated = self.took("not")
        if not self.took("in"):
            raise _Mistake(self.place)
        return "not in" if negated else "in"

    def values(self, field: Field, operator: str) -> None:
        if self.ahead() != "(":
            raise _Mistake(self.place)
        self.place += 1
        for number in range(101):
            if number == 100:
                raise _Mistake(self.space())
            self.value(field, operator)
            if self.ahead() != ",":
                break
            self.place += 1
        self.closing()

    def value(self, field: Field, operator: str) -> None:
        mark, start = self.ahead(), self.place
        if mark and mark in "\"'":
            said = self.quoted(mark)
        else:
            offset = _OFFSET.match(self.text, start)
            said = offset[0] if offset else self.word()
            if not said or (said.isascii() and said.lower() in LANGUAGE):
                raise _Mistake(start)
            self.place += len(said)
        try:
            read_value(field, operator, normal_form(said))
        except ValueError:
            raise _Mistake(start) from None

    def quoted(self, mark: str) -> str:
        start, said = self.place, ""
        self.place += 1
        while self.place < len(self.text):
            letter = self.text[self.place]
            self.place += 1
            if letter == mark:
                return said
            if letter == "\\" and self.place < len(self.text):
                letter = self.text[self.place]
                if letter not in "\\\"'":
                    raise _Mistake(self.place - 1)
                self.place += 1
            said += letter
        raise _Mistake(start)


# -- breaking --------------------------------------------------------------------------------------

_PIECES = (
    *("(", ")", '"', "'", "=", "!", "~", ",", "\\", "\0", " ", "\n", "é", "İ", "😀", "\u0301", "%", ";"),
    *(
        " and ",
        " or ",
        " not ",
        " in ",
        " is ",
        " null ",
        "<",
        ">=",
        "title",
        "due",
        "9" * 20,
        "today+",
        "--",
    ),
    *("\u202e", "\ufffd", "\x1f", "\x7f", "\u2028", "((", "))", "''", "{", "}", "%s", ":x", "$1", "tag ~ ''"),
)
BOMBS = (
    "(" * 2000,
    ")" * 2000,
    "(" * 998 + "id=1" + ")" * 998,
    "not " * 499 + "id=1",
    "not(" * 400 + "id=1" + ")" * 400,
    '"\\' * 1000,
    "'" * 1999,
    "id in (" + "1," * 996,
    "id in (" + ",".join("1" * 900) + ")",
    "id=1 and " * 222,
    "x" * 20_000,
    "id=" + "9" * 1990,
    "due<today+" + "9" * 1980 + "d",
    "title~a or " * 181 + "id=1",
    " " * 2000,
    "id=1 " * 400,
    "!" * 2000,
    "is null " * 250,
    "\u0301" * 2000,
    "description!~'" + "ﷺ" * 1980 + "'" + ")",
)


class BrokenFilters:
    """Makes random filters and breaks most of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self._filters = chance, RandomFilters(chance)

    def filter(self) -> str:
        """A filter that is broken as people and attackers break them."""
        chance, kind = self.chance, self.chance.randrange(20)
        if kind == 0:
            return chance.choice(BOMBS)
        if kind == 1:
            return "".join(chance.choice(_PIECES) for _ in range(chance.randint(0, 40)))
        if kind == 2:
            points = (chance.randrange(1, chance.choice((0x80, 0x800, 0xD800))) for _ in range(40))
            return "".join(map(chr, points))
        text = self._filters.filter(8)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            text = self._mutated(text)
        return text

    def address(self) -> tuple[str, str]:
        """A filter, and its form in an address; a few have bytes that are no text, shown as surrogates."""
        text = self.filter()
        if self.chance.random() < 0.05:
            raw = bytearray(text[:2000].encode())
            for _ in range(self.chance.randint(1, 4)):
                raw.insert(self.chance.randrange(len(raw) + 1), self.chance.randrange(0x80, 0x100))
            return raw.decode(errors="surrogateescape"), quote_from_bytes(bytes(raw), safe="")
        return text, quote(text, safe="")

    def _mutated(self, text: str) -> str:
        chance = self.chance
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 1, 1, 2, 5)))
        kind = chance.randrange(6)
        if kind == 0:  # break off
            return text[:start]
        if kind == 1:  # leave out
            return text[:start] + text[end:]
        if kind == 2:  # say twice
            return text[:end] + text[start:]
        if kind == 3:  # turn round
            return text[:start] + text[start:end][::-1] + text[end:]
        return text[:start] + chance.choice(_PIECES) + text[end if kind == 4 else start :]
