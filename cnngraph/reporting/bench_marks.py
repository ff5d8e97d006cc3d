"""How each method of a bench is drawn: a colour that is told apart with and without colour blindness, and a shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from math import cos, pi, sin

__all__ = ["GREY", "INK", "Style", "draw_mark", "draw_ring", "styles_of"]

INK, GREY = "#222222", "#555555"


@dataclass(frozen=True)
class Style:
    """The colour of a method, and the shape of its marks: a name of :data:`_SHAPES`."""

    colour: str
    shape: str


# The palettes of Okabe and Ito (2008) and, from the eighth on, of Tol ("muted", 2021). No two marks share a shape, so
# that they are told apart in print without colours too.
_STYLES = {
    "multilayer": Style("#0072b2", "circle"),
    "filters": Style("#e69f00", "square"),
    "car": Style("#009e73", "triangle"),
    "progressive": Style("#cc79a7", "diamond"),
    "imp": Style("#332288", "star"),
    "similarity": Style("#56b4e9", "wedge"),
    "triage": Style("#d55e00", "pentagon"),
    "random": Style("#888888", "cross"),
    "scratch": Style("#000000", "saltire"),
}
_MORE = (
    Style("#882255", "hexagon"),
    Style("#999933", "bar"),
    Style("#44aa99", "post"),
    Style("#aa4499", "kite"),
)


def _ring(count: int, turn: float = 0.0, inner: float | None = None) -> list[tuple[float, float]]:
    """Corners on a circle of radius 1, the first one up; every second one at ``inner`` where that is given."""
    corners = count if inner is None else 2 * count
    radii = [1.0 if inner is None or number % 2 == 0 else inner for number in range(corners)]
    angles = [2 * pi * number / corners + turn for number in range(corners)]
    return [(radius * sin(angle), -radius * cos(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _plus(turn: float) -> list[tuple[float, float]]:
    """A cross of two bars, turned."""
    arm = [(-0.32, -1.05), (0.32, -1.05), (0.32, -0.32)]
    corners = []
    for quarter in range(4):
        angle = quarter * pi / 2 + turn
        corners += [(x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)) for x, y in arm]
    return corners


_SHAPES = {
    "circle": _ring(24),
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": _ring(3),
    "wedge": _ring(3, pi),
    "diamond": _ring(4),
    "pentagon": _ring(5),
    "hexagon": _ring(6),
    "star": _ring(5, inner=0.45),
    "cross": _plus(0.0),
    "saltire": _plus(pi / 4),
    "bar": [(-1.1, -0.5), (1.1, -0.5), (1.1, 0.5), (-1.1, 0.5)],
    "post": [(-0.5, -1.1), (0.5, -1.1), (0.5, 1.1), (-0.5, 1.1)],
    "kite": _ring(4, inner=0.4),
}


def styles_of(methods: Iterable[str]) -> dict[str, Style]:
    """A style for each method; the known ones look alike on every page.

    >>> styles_of(["car"])["car"].shape, styles_of(["mine", "car"])["mine"].shape
    ('triangle', 'hexagon')
    """
    names = list(dict.fromkeys(methods))
    others = [name for name in names if name not in _STYLES]
    more = {name: _MORE[number % len(_MORE)] for number, name in enumerate(others)}
    return {name: _STYLES.get(name) or more[name] for name in names}


def draw_mark(
    style: Style, at: tuple[float, float], radius: float, *, filled: bool = True, pale: bool = False, title: str = ""
) -> str:
    """A mark as an SVG element; hollow where it is not ``filled``, ``title`` is shown under the pointer."""
    corners = " ".join(f"{at[0] + radius * x:.1f},{at[1] + radius * y:.1f}" for x, y in _SHAPES[style.shape])
    paint = (
        f'fill="{style.colour}" stroke="{INK}" stroke-width="{0.1 * radius:.2g}"'
        if filled
        else f'fill="#ffffff" stroke="{style.colour}" stroke-width="1.6"'
    )
    fade = ' opacity="0.3"' if pale else ""
    said = f"<title>{escape(title)}</title>" if title else ""
    return f'<polygon points="{corners}" {paint} stroke-linejoin="round"{fade}>{said}</polygon>'


def draw_ring(at: tuple[float, float], radius: float) -> str:
    """The ring around a mark that stands at the weights that are not zero, as an SVG element."""
    place = f'cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}"'
    return f'<circle class="nonzero" {place} fill="none" stroke="{INK}" stroke-width="1.2"/>'
