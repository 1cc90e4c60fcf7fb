"""Parsing the text of a filter into its tree, by the grammar in `grammar.lark`, and explaining its errors.

Places are counted in characters from 0, in the text as it was sent.
"""

import re
from pathlib import Path
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from services.query.fields import FIELDS, Field
from services.query.literals import read_value
from services.query.refusal import InvalidFilter, choice, met
from services.query.tree import And, Comparison, Node, Not, Or
from storage.bounded_cache import BoundedCache
from storage.folding import normal_form

LONGEST = 2000
MOST_COMPARISONS = 50
MOST_VALUES = 100
DEEPEST = 20
# The most comparisons by `~` and `!~` for each field that takes long to search.
MOST_CONTAINS = {"title": 10, "description": 3}

GRAMMAR = (Path(__file__).parent / "grammar.lark").read_text(encoding="utf-8")
# The grammar is read when the program starts, because that would take too long in the first request.
_parser = Lark(GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False)
# A tree takes about 100 bytes for each character of its text.
TREE_BYTES = 100
_kept: BoundedCache[str, tuple[int, Node]] = BoundedCache(2 * 1024 * 1024, weigh=lambda entry: entry[0])

# The names in messages of the grammar's words.
_NAMES = {
    "AND": "`and`",
    "OR": "`or`",
    "NOT": "`not`",
    "IN": "`in`",
    "IS": "`is`",
    "NULL": "`null`",
    "LEFT": "`(`",
    "RIGHT": "`)`",
    "COMMA": "`,`",
    "COMPARE": "an operator such as `=`",
    "FIELD": "a field",
    "WORD": "a value",
    "$END": "the end",
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BROKEN_QUOTE = re.compile(r"""(["'])(?:[^\\]|\\["'\\])*?\\(?!["'\\])""", re.DOTALL)
# The rest of an offset whose plus sign an address has turned into a space.
_LOST_PLUS = re.compile(r"(?ai:now|today|yesterday|tomorrow)\s+\Z")
_AMOUNT = re.compile(r"[0-9]+(?ai:mo|[mhdwy])\Z")


def parse(text: str) -> Node:
    """The tree of a filter; raises InvalidFilter."""
    kept = _kept.get(text)
    if kept is None:
        kept = (500 + TREE_BYTES * len(text), _read(text))
        _kept.put(text, kept)
    return kept[1]


def _read(text: str) -> Node:
    if len(text) > LONGEST:
        raise InvalidFilter(LONGEST, f"the filter goes on; it may have {LONGEST:,} characters")
    nul = text.find("\0")
    if nul >= 0:
        raise InvalidFilter(nul, "met a NUL character, which no text may hold")
    try:
        parsed = _parser.parse(text)
    except UnexpectedInput as error:
        raise _refusal(text, error) from None
    return _Reader().node(parsed.children[0], 0)


def check_together(nodes: list[Node]) -> None:
    """Raise InvalidFilter if combined filters look for more texts than a single filter may."""
    if len(nodes) < 2:
        return
    for name, most in MOST_CONTAINS.items():
        found = [place for node in nodes for place in _places_of_contains(node, name)]
        if len(found) > most:
            problem = f"with the view there are more than {most} comparisons of `{name}` by `~` and `!~`"
            raise InvalidFilter(found[-1], problem)


def _places_of_contains(node: Node, name: str) -> list[int]:
    if isinstance(node, Not):
        return _places_of_contains(node.part, name)
    if isinstance(node, Comparison):
        return [node.place] if node.field.name == name and "~" in node.operator else []
    return [place for part in node.parts for place in _places_of_contains(part, name)]


class _Reader:
    """Makes a tree of the parser's result, and enforces the limits."""

    def __init__(self) -> None:
        self._comparisons = 0
        self._contains = dict.fromkeys(MOST_CONTAINS, 0)

    def node(self, parsed: Any, depth: int) -> Node:
        """The tree of a part; `depth` is the number of parentheses and `not` around it."""
        if parsed.data in ("any", "all"):
            joined = Or if parsed.data == "any" else And
            return joined(tuple(self.node(part, depth) for part in parsed.children if isinstance(part, Tree)))
        if parsed.data in ("negated", "enclosed"):
            opening, part = parsed.children[:2]
            if depth == DEEPEST:
                problem = f"{met(opening)}; parentheses and `not` may be {DEEPEST} deep"
                raise InvalidFilter(_place(opening), problem)
            inner = self.node(part, depth + 1)
            return Not(inner) if parsed.data == "negated" else inner
        return self._comparison(parsed)

    def _comparison(self, parsed: Any) -> Comparison:
        name, *rest = parsed.children
        place = _place(name)
        field = FIELDS.get(name.lower())
        if field is None:
            raise _no_field(name)
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise InvalidFilter(place, f"{met(name)}; a filter may have {MOST_COMPARISONS} comparisons")
        words = [token for token in rest if token.type in ("COMPARE", "NOT", "IN", "IS", "NULL")]
        operator = " ".join(token.lower() for token in words)
        if operator not in field.operators:
            allowed = choice(f"`{each}`" for each in field.operators)
            problem = f"met `{operator}`; after `{field.name}` could stand {allowed}"
            raise InvalidFilter(_place(words[0]), problem)
        if operator in ("~", "!~"):
            self._count_contains(field, name)
        values = [token for token in rest if token.type in ("WORD", "QUOTED", "OFFSET")]
        if len(values) > MOST_VALUES:
            excess = values[MOST_VALUES]
            raise InvalidFilter(_place(excess), f"{met(excess)}; a list may have {MOST_VALUES} values")
        return Comparison(
            field,
            operator,
            tuple(_value(field, operator, token) for token in values),
            place,
            tuple(_place(token) for token in values),
        )

    def _count_contains(self, field: Field, name: Token) -> None:
        if field.name not in MOST_CONTAINS:
            return
        self._contains[field.name] += 1
        most = MOST_CONTAINS[field.name]
        if self._contains[field.name] > most:
            problem = f"{met(name)}; a filter may have {most} comparisons of `{field.name}` by `~` and `!~`"
            raise InvalidFilter(_place(name), problem)


def _place(token: Token) -> int:
    assert token.start_pos is not None
    return token.start_pos


def _value(field: Field, operator: str, token: Token) -> Any:
    text = str(token)
    if token.type == "QUOTED":
        text = _ESCAPE.sub(r"\1", text[1:-1])
    # The text is normalized after parsing, so that places are those in the text as it was sent.
    text = normal_form(text)
    try:
        return read_value(field, operator, text)
    except ValueError as error:
        raise InvalidFilter(_place(token), f"{met(token)}; {error}") from None


# -- errors ----------------------------------------------------------------------------------------


def _refusal(text: str, error: UnexpectedInput) -> InvalidFilter:
    """The error at the place where the parser stopped, or at an unknown field before it."""
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        place, found = _place(error.token), met(error.token)
    elif isinstance(error, UnexpectedCharacters):
        # Lark types this attribute as None.
        place = vars(error)["pos_in_stream"]
        found = met(text[place])
    else:
        place, found = len(text), "met the end"
    state: Any = _parser.parse_interactive(text[:place])
    last: Token | None = None
    for last in state.iter_parse():
        if last.type == "FIELD" and last.lower() not in FIELDS:
            return _no_field(last)
    if place < len(text) and text[place] in "\"'" and isinstance(error, UnexpectedCharacters):
        broken = _BROKEN_QUOTE.match(text, place)
        if broken is not None and broken.end() < len(text):
            place = broken.end() - 1
            rule = "in quotes a backslash stands before a quote or another backslash"
            return InvalidFilter(place, f"{met(text[place : place + 2])}; {rule}")
        if broken is not None or "QUOTED" in (error.allowed or ()):
            return InvalidFilter(place, f"{found}, a quote that nothing closes")
    hint = ""
    if _LOST_PLUS.search(text[:place]) and isinstance(error, UnexpectedToken) and _AMOUNT.match(error.token):
        hint = " (in an address a plus sign is written `%2B`)"
    return InvalidFilter(
        place, f"{found}; {choice(_expected(last, state.accepts()))} could stand there{hint}"
    )


def _no_field(name: Token) -> InvalidFilter:
    problem = f"{met(name)}, which is no field; the fields are {', '.join(FIELDS)}"
    return InvalidFilter(_place(name), problem)


def _expected(last: Token | None, accepted: set[str]) -> list[str]:
    """The things that could follow the last word, by the kinds of words that the grammar accepts."""
    field = FIELDS.get(last.lower()) if last is not None and last.type == "FIELD" else None
    if field is not None:
        return [f"`{operator}`" for operator in field.operators]
    return [called for name, called in _NAMES.items() if name in accepted]
