"""Texts as cells of CSV that no spreadsheet takes for a formula, and back.

A spreadsheet that takes `;`, TAB or `|` for the separator begins a new cell behind each of them, and a new row
behind each line break, wherever these stand in a cell that was written with commas. A text that would begin a
formula in any of these places gets an apostrophe there.
"""

import re

# What may stand before the sign: spreadsheets skip white space, and read quotes that do not begin a cell in ways
# of their own. The full-width signs count too.
_BEGINS_FORMULA = r"(?:['\"]|[^\S\t\r\n])*[=+\-@＝＋－＠]"
# At the beginning, an empty text gets an apostrophe as well: an empty cell is a field that is left out.
_FIRST = re.compile(rf"'*(?:$|[\t\r\n])|{_BEGINS_FORMULA}")
_LATER = re.compile(rf"([;\t|\r\n])(?={_BEGINS_FORMULA})")
_LATER_ESCAPED = re.compile(rf"([;\t|\r\n])'(?={_BEGINS_FORMULA})")
_MAY_BE_LATER = re.compile(r"[;\t|\r\n]")


def formula_free(value: str) -> str:
    """The text as a cell that begins no formula, whatever character separates the cells."""
    if _MAY_BE_LATER.search(value):
        value = _LATER.sub(r"\1'", value)
    return f"'{value}" if _FIRST.match(value) else value


def plain(cell: str) -> str:
    """The text that `formula_free` made this cell of."""
    if "'" not in cell:
        return cell
    if cell.startswith("'") and _FIRST.match(cell):
        cell = cell[1:]
    return _LATER_ESCAPED.sub(r"\1", cell)
