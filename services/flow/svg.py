"""Charts as SVG: axes, lines, areas, bars and dots, with nothing but text."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape as escape_markup

WIDTH, HEIGHT = 900, 420
LEFT, RIGHT, TOP, BOTTOM = 72, 20, 64, 64

Point = tuple[float, float]
Mark = tuple[float, str]

INK, MUTED, LINE, PAPER = "#1b2430", "#5a6675", "#dfe3e8", "#ffffff"
BLUE, RED, GREEN, AMBER, GREY = "#2563a8", "#b4451f", "#6aa684", "#e0a63c", "#9fb4d0"


# Characters that XML can't hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Escape a text for XML; characters that XML forbids become U+FFFD."""
    return escape_markup(_FORBIDDEN.sub("\ufffd", text))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def steps(highest: float) -> list[Mark]:
    """About five round numbers from zero to the highest."""
    step = 10 ** math.floor(math.log10(max(highest, 1) / 4))
    step *= next((factor for factor in (1, 2, 5) if highest / (step * factor) <= 6), 10)
    step = max(step, 1)
    return [(at * step, f"{round(at * step):,}") for at in range(math.ceil(highest / step) + 1)]


@dataclass
class Chart:
    """A picture of a given size with its axes; later drawings lie on top of earlier ones."""

    title: str
    subtitle: str
    x: tuple[float, float]
    y: tuple[float, float]
    scale: Callable[[float], float] = float
    _parts: list[str] = field(default_factory=list)
    # Each name with its colour, and with the dashes of its line unless it names an area.
    _legend: list[tuple[str, str, str | None]] = field(default_factory=list)

    def place(self, point: Point) -> Point:
        """The position of a point in the picture, in pixels."""
        (x0, x1), (y0, y1) = self.x, (self.scale(self.y[0]), self.scale(self.y[1]))
        return (
            LEFT + (point[0] - x0) / ((x1 - x0) or 1) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (self.scale(point[1]) - y0) / ((y1 - y0) or 1) * (HEIGHT - TOP - BOTTOM),
        )

    def _path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in map(self.place, points))

    def grid(self, x_marks: Sequence[Mark], y_marks: Sequence[Mark]) -> None:
        """Draw grid lines and their numbers."""
        for value, text in y_marks:
            _, y = self.place((self.x[0], value))
            self._parts.append(f'<path d="M{LEFT} {_number(y)}H{WIDTH - RIGHT}" stroke="{LINE}"/>')
            self._text(LEFT - 8, y + 4, text, "end", MUTED)
        for value, text in x_marks:
            x, _ = self.place((value, self.y[0]))
            # A label at the edge must not be cut off.
            anchor = "start" if x < LEFT + 1 else "end" if x > WIDTH - RIGHT - 1 else "middle"
            self._text(x, HEIGHT - BOTTOM + 20, text, anchor, MUTED)

    def _text(self, x: float, y: float, text: str, anchor: str, colour: str, size: int = 12) -> None:
        self._parts.append(
            f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">'
            f"{escape(text)}</text>"
        )

    def line(self, points: Sequence[Point], colour: str, name: str = "", dash: str = "") -> None:
        """Draw a line through points; a single point becomes a dot."""
        if len(points) == 1:
            x, y = self.place(points[0])
            self._parts.append(f'<circle cx="{_number(x)}" cy="{_number(y)}" r="3" fill="{colour}"/>')
        elif points:
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            self._parts.append(
                f'<path d="{self._path(points)}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
            )
        if name:
            self._legend.append((colour, name, dash))

    def area(self, points: Sequence[Point], colour: str, name: str) -> None:
        """Draw the area below a line."""
        if points:
            floor = [(points[-1][0], self.y[0]), (points[0][0], self.y[0])]
            self._parts.append(f'<path d="{self._path([*points, *floor])}Z" fill="{colour}"/>')
        self.name(colour, name)

    def bar(self, start: float, end: float, height: float, colour: str) -> None:
        """Draw a bar that stands on the axis."""
        (left, top), (right, floor) = self.place((start, height)), self.place((end, self.y[0]))
        self._parts.append(
            f'<rect x="{_number(left)}" y="{_number(top)}" width="{_number(max(right - left, 0.5))}"'
            f' height="{_number(max(floor - top, 0))}" fill="{colour}"/>'
        )

    def dot(self, point: Point, colour: str, about: str) -> None:
        """Draw a dot with a tooltip."""
        x, y = self.place(point)
        self._parts.append(
            f'<circle cx="{_number(x)}" cy="{_number(y)}" r="3" fill="{colour}" fill-opacity="0.6">'
            f"<title>{escape(about)}</title></circle>"
        )

    def name(self, colour: str, name: str) -> None:
        """Add a colour and its name to the legend."""
        self._legend.append((colour, name, None))

    def render(self) -> bytes:
        """The finished picture, as SVG."""
        drawn, self._parts = self._parts, []
        self._text(LEFT, 26, self.title, "start", INK, 17)
        self._text(LEFT, 46, self.subtitle, "start", MUTED)
        x = float(LEFT)
        for colour, name, dash in self._legend:
            if dash is None:
                width = 12
                self._parts.append(
                    f'<rect x="{_number(x)}" y="{HEIGHT - 24}" width="{width}" height="12" fill="{colour}"/>'
                )
            else:
                width = 24
                sample = f'<path d="M{_number(x)} {HEIGHT - 18}h{width}" stroke="{colour}" stroke-width="2"'
                self._parts.append(sample + (f' stroke-dasharray="{dash}"/>' if dash else "/>"))
            self._text(x + width + 5, HEIGHT - 14, name, "start", INK)
            x += width + 28 + 7 * len(name)
        head, self._parts = self._parts, drawn
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
            f' role="img" font-family="system-ui, Liberation Sans, sans-serif">'
            f"<title>{escape(self.title)}</title><desc>{escape(self.subtitle)}</desc>"
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>{"".join(drawn)}{"".join(head)}</svg>\n'
        ).encode()
