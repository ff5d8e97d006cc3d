"""The plots of a comparison, as SVG elements that stand in the page itself: the curve over depth and the heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["CurvePoint", "colour_of", "draw_curve", "draw_heat_map", "ink_on", "legend"]

# Cividis at ten places (Nunez et al., "Optimizing colormaps ...", 2018): read alike with and without colour blindness.
_CIVIDIS = (
    (0, 34, 78),
    (18, 53, 112),
    (59, 73, 108),
    (87, 93, 109),
    (112, 113, 115),
    (138, 134, 120),
    (165, 156, 116),
    (195, 179, 105),
    (225, 204, 85),
    (254, 232, 56),
)
_UNDEFINED = "#ffffff"
_WRITTEN = 20  # layers up to which a cell's value is written into it
_NAMED = 120  # layers up to which rows and columns are named


@dataclass(frozen=True)
class CurvePoint:
    """A pair of layers: where the first stands (0..1 of its net's MACs), their similarity, and its null."""

    label: str
    depth: float
    value: float | None
    null: float | None


def colour_of(value: float | None) -> str:
    """The colour of a similarity, dark for 0 and light for 1; white where it is not defined.

    >>> colour_of(0.0), colour_of(1.0), colour_of(None)
    ('#00224e', '#fee838', '#ffffff')
    """
    if value is None:
        return _UNDEFINED
    place = min(max(value, 0.0), 1.0) * (len(_CIVIDIS) - 1)
    low = min(int(place), len(_CIVIDIS) - 2)
    mixed = (
        round(one + (other - one) * (place - low)) for one, other in zip(_CIVIDIS[low], _CIVIDIS[low + 1], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def ink_on(value: float | None) -> str:
    """Black or white, whichever stands out more from the colour of a similarity."""
    colour = colour_of(value)
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    light = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    return "#fff" if luminance < 0.179 else "#000"


def legend() -> str:
    """The colours from 0 to 1, as an SVG element."""
    steps = 20
    cells = "".join(
        f'<rect x="{20 + 12 * step}" y="2" width="12" height="14" fill="{colour_of(step / (steps - 1))}"/>'
        for step in range(steps)
    )
    return (
        '<svg class="legend" role="img" aria-label="Colours of similarity: dark is 0, light is 1" width="300" '
        f'height="20" viewBox="0 0 300 20"><text x="4" y="14">0</text>{cells}'
        f'<text x="{26 + 12 * steps}" y="14">1</text></svg>'
    )


def draw_curve(points: Sequence[CurvePoint]) -> str:
    """Similarity over depth beside its null, as an SVG element; "" without a value."""
    if not any(point.value is not None for point in points):
        return ""
    wide, high, left, top = 720, 240, 44, 10
    known = [one for point in points for one in (point.value, point.null) if one is not None]
    lowest = min(0.0, *known)

    def x(depth: float) -> float:
        return left + depth * wide

    def y(value: float) -> float:
        return top + (1 - value) / (1 - lowest) * high

    marks = [
        f'<line x1="{left}" x2="{left + wide}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>'
        f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in (0, 0.25, 0.5, 0.75, 1)
    ]
    for series, values in (("null", [one.null for one in points]), ("value", [one.value for one in points])):
        for run in _runs([(point.depth, value) for point, value in zip(points, values, strict=True)]):
            path = " ".join(f"{x(depth):.1f},{y(value):.1f}" for depth, value in run)
            marks.append(f'<polyline points="{path}" class="{series}"/>')
        marks += [
            f'<circle cx="{x(point.depth):.1f}" cy="{y(value):.1f}" r="3.5" class="{series}">'
            f"<title>{escape(point.label)}: {series} {value:.3f}</title></circle>"
            for point, value in zip(points, values, strict=True)
            if value is not None
        ]
    return (
        '<svg class="curve" role="img" aria-label="Similarity over depth" '
        f'viewBox="0 0 {left + wide + 20} {high + 56}">'
        f'{"".join(marks)}<text x="{left}" y="{high + 34}">input</text>'
        f'<text x="{left + wide}" y="{high + 34}" text-anchor="end">output</text>'
        f'<text x="{left + wide / 2}" y="{high + 34}" text-anchor="middle">depth of a, by multiply-accumulates</text>'
        "</svg>"
    )


def draw_heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Mapping[tuple[str, str], float | None],
    pairs: set[tuple[str, str]],
) -> str:
    """All layers of one net against all of the other, as an SVG element.

    Args:
        rows, columns: layers of the first and of the second net. values: by pair; one that is missing stays white.
        pairs: the counterparts, which get a frame.
    """
    most = max(len(rows), len(columns))
    side = 30 if most <= _WRITTEN else max(4, 600 // most)
    names = most <= _NAMED
    left = 10 + (6.2 * max(map(len, rows), default=0) if names else 0)
    top = 10 + (6.2 * max(map(len, columns), default=0) if names else 0)
    size = min(11, side)
    marks: list[str] = []
    for i, row in enumerate(rows):
        y = top + i * side
        if names:
            marks.append(f'<text x="{left - 4:.1f}" y="{y + side * 0.7:.1f}" text-anchor="end">{escape(row)}</text>')
        for j, column in enumerate(columns):
            if (row, column) not in values:
                continue
            value, x = values[row, column], left + j * side
            said = "not defined" if value is None else f"{value:.3f}"
            framed = ' stroke="#c0392b" stroke-width="2"' if (row, column) in pairs else ""
            marks.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{side}" height="{side}" fill="{colour_of(value)}"{framed}>'
                f"<title>{escape(row)} ~ {escape(column)}: {said}</title></rect>"
            )
            if most <= _WRITTEN:
                shown = "-" if value is None else f"{value:.2f}".replace("0.", ".", 1)
                marks.append(
                    f'<text x="{x + side / 2:.1f}" y="{y + side * 0.63:.1f}" text-anchor="middle" '
                    f'style="fill: {ink_on(value)}">{shown}</text>'
                )
    if names:
        marks += [
            f'<text transform="translate({left + j * side + side * 0.7:.1f} {top - 4:.1f}) rotate(-90)">'
            f"{escape(column)}</text>"
            for j, column in enumerate(columns)
        ]
    wide, high = left + len(columns) * side + 10, top + len(rows) * side + 10
    return (
        f'<svg class="heat" role="img" aria-label="All layers against all" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}" font-size="{size}">{"".join(marks)}</svg>'
    )


def _runs(places: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for depth, value in places:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((depth, value))
    return [run for run in runs if len(run) > 1]
