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

# Characters that a database can't keep in a text.
_UNFIT = re.compile("[\0\ud800-\udfff]")

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
# A day or a time with an offset, whose plus sign an address has turned into a space.
_LOST_PLUS = re.compile(
    r"(?ai)(?:now|today|yesterday|tomorrow)\s+[0-9]+(?:mo|[mhdwy])|[0-9]T[0-9:]{8}(?:\.[0-9]+)?\s[0-9]{2}:[0-9]{2}"
)
_PLUS_HINT = " (in an address a plus sign is written `%2B`)"


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
    if unfit := _UNFIT.search(text):
        what = "NUL character" if unfit[0] == "\0" else "lone surrogate"
        raise InvalidFilter(unfit.start(), f"met a {what}, which no text may hold")
    words: list[Token] = []
    parser = _parser.parse_interactive(text)
    try:
        for word in parser.iter_parse():
            words.append(word)  # noqa: PERF402  # an error leaves the words before it
        parsed: Any = parser.feed_eof()  # type: ignore[no-untyped-call]
    except UnexpectedInput as error:
        raise _refusal(text, words, error) from None
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
            _check_depth(opening, depth)
            inner = self.node(part, depth + 1)
            return Not(inner) if parsed.data == "negated" else inner
        return self._comparison(parsed.children)

    def check(self, tokens: list[Token]) -> None:
        """Check the words before the place where the parser stopped, so that the error names the first mistake.

        Raises InvalidFilter.
        """
        around: list[str] = []
        comparison: list[Token] = []
        is_listing = False
        for token in tokens:
            kind = token.type
            if kind == "FIELD":
                comparison = [token]
            elif comparison and (is_listing or kind not in ("AND", "OR", "RIGHT")):
                comparison.append(token)
                is_listing = kind == "LEFT" or (is_listing and kind != "RIGHT")
            elif kind in ("NOT", "LEFT"):
                _check_depth(token, len(around))
                around.append(kind)
            else:
                if comparison:
                    self._comparison(comparison)
                    comparison = []
                while around and around[-1] == "NOT":
                    around.pop()
                if kind == "RIGHT":
                    around.pop()
        if comparison:
            self._comparison(comparison)

    def _comparison(self, tokens: list[Token]) -> Comparison:
        """Read a comparison. If it is not complete, check the part that is there."""
        name, *rest = tokens
        place = _place(name)
        field = FIELDS.get(name.lower())
        if field is None:
            raise _no_field(name)
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise InvalidFilter(place, f"{met(name)}; a filter may have {MOST_COMPARISONS} comparisons")
        words = [token for token in rest if token.type in ("COMPARE", "NOT", "IN", "IS", "NULL")]
        operator = " ".join(token.lower() for token in words)
        is_whole = bool(words) and words[-1].type in ("COMPARE", "IN", "NULL")
        if is_whole and operator not in field.operators:
            allowed = choice(f"`{each}`" for each in field.operators)
            problem = f"met `{operator}`; after `{field.name}` could stand {allowed}"
            raise InvalidFilter(_place(words[0]), problem)
        if operator in ("~", "!~"):
            self._count_contains(field, name)
        given = [token for token in rest if token.type in ("WORD", "QUOTED", "OFFSET")]
        values = tuple(_value(field, operator, token) for token in given[:MOST_VALUES])
        if len(given) > MOST_VALUES:
            excess = given[MOST_VALUES]
            raise InvalidFilter(_place(excess), f"{met(excess)}; a list may have {MOST_VALUES} values")
        return Comparison(field, operator, values, place, tuple(_place(token) for token in given))

    def _count_contains(self, field: Field, name: Token) -> None:
        if field.name not in MOST_CONTAINS:
            return
        self._contains[field.name] += 1
        most = MOST_CONTAINS[field.name]
        if self._contains[field.name] > most:
            problem = f"{met(name)}; a filter may have {most} comparisons of `{field.name}` by `~` and `!~`"
            raise InvalidFilter(_place(name), problem)


def _check_depth(opening: Token, depth: int) -> None:
    """Raise InvalidFilter if too many parentheses and `not` are around this one."""
    if depth == DEEPEST:
        problem = f"{met(opening)}; parentheses and `not` may be {DEEPEST} deep"
        raise InvalidFilter(_place(opening), problem)


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
        hint = _PLUS_HINT if _LOST_PLUS.search(text) else ""
        raise InvalidFilter(_place(token), f"{met(token)}; {error}{hint}") from None


# -- errors ----------------------------------------------------------------------------------------


def _refusal(text: str, words: list[Token], error: UnexpectedInput) -> InvalidFilter:
    """The error at the place where the parser stopped; raises InvalidFilter for a mistake before it."""
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        place, found = _place(error.token), met(error.token)
        words = [word for word in words if _place(word) < place]
    elif isinstance(error, UnexpectedCharacters):
        # Lark types this attribute as None.
        place = vars(error)["pos_in_stream"]
        found = met(text[place])
    else:
        place, found = len(text), "met the end"
    _Reader().check(words)
    if isinstance(error, UnexpectedCharacters) and "QUOTED" in (error.allowed or ()) and text[place] in "\"'":
        broken = _BROKEN_QUOTE.match(text, place)
        if broken is not None and broken.end() < len(text):
            place = broken.end() - 1
            rule = "in quotes a backslash stands before a quote or another backslash"
            return InvalidFilter(place, f"{met(text[place : place + 2])}; {rule}")
        return InvalidFilter(place, f"{found}, a quote that nothing closes")
    lost = isinstance(error, UnexpectedToken) and any(
        each.start() < place < each.end() for each in _LOST_PLUS.finditer(text)
    )
    hint = _PLUS_HINT if lost else ""
    return InvalidFilter(place, f"{found}; {choice(_expected(words))} could stand there{hint}")


def _no_field(name: Token) -> InvalidFilter:
    problem = f"{met(name)}, which is no field; the fields are {', '.join(FIELDS)}"
    return InvalidFilter(_place(name), problem)


def _expected(words: list[Token]) -> list[str]:
    """The things that could follow these words."""
    field = FIELDS.get(words[-1].lower()) if words and words[-1].type == "FIELD" else None
    if field is not None:
        return [f"`{operator}`" for operator in field.operators]
    # The parser that has stopped has already put words together that the grammar would let go on.
    parser = _parser.parse_interactive("")
    for word in words:
        parser.feed_token(word)
    accepted: set[str] = parser.accepts()  # type: ignore[no-untyped-call]
    return [called for name, called in _NAMES.items() if name in accepted]
