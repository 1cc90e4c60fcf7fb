"""Converting texts to CSV cells that no spreadsheet takes for a formula, and back.

A spreadsheet may take `;`, TAB or `|` for the separator. It then begins a new cell after each of them, and a
new row after each line break, even within a cell that was written with commas. A text that would begin a
formula in any of these places gets an apostrophe there.
"""

import re

# Quotes and white space may precede the sign: spreadsheets skip white space, and differ in how they read
# quotes that do not begin a cell. The full-width signs count too.
_BEGINS_FORMULA = r"(?:['\"]|[^\S\t\r\n])*[=+\-@＝＋－＠]"
# An empty text gets an apostrophe as well, because an empty cell means that the field is left out.
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
    """The text from which `formula_free` made this cell."""
    if "'" not in cell:
        return cell
    if cell.startswith("'") and _FIRST.match(cell):
        cell = cell[1:]
    return _LATER_ESCAPED.sub(r"\1", cell)
