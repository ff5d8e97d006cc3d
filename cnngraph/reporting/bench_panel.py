"""One plot of a bench: dots, means with their spreads, and lines across, drawn into a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from cnngraph.reporting.bench_axes import Axis, Box, LabelPlacer, apart, short_count
from cnngraph.reporting.bench_marks import GREY, INK, Style, draw_mark, draw_ring

__all__ = ["HIGH", "WIDE", "Dot", "Interval", "Line", "Mean", "Panel", "draw_panel"]

WIDE, HIGH = 540.0, 400.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 462.0, 14.0, 352.0
_GRID = "#e3e6e8"
_LETTER = 6.6  # pixels of a letter, about
# How the lines across are dashed, and the colours of their bands; by their order.
_DASHES = ("", "7 4", "2 3")
_BANDS = ("#7f8c8d", "#7f8c8d", "#b59b6a")


@dataclass(frozen=True)
class Interval:
    """A mean, and what lies a standard deviation below and above it; all the same where there is no spread."""

    mean: float
    low: float
    high: float

    @property
    def is_wide(self) -> bool:
        """Whether there is a spread to draw."""
        return self.low < self.high


@dataclass(frozen=True)
class Dot:
    """One net: a small mark. ``title`` is shown under the pointer; ``pale``: of another budget."""

    style: Style
    x: float
    y: float
    title: str
    filled: bool = True
    pale: bool = False


@dataclass(frozen=True)
class Mean:
    """A method: a large mark with its name; ``ringed``: it stands at the weights that are not zero."""

    name: str
    style: Style
    x: Interval
    y: Interval
    title: str
    filled: bool = True
    ringed: bool = False


@dataclass(frozen=True)
class Line:
    """What methods are compared with: a line across, its spread as a band."""

    name: str
    y: Interval
    title: str


@dataclass(frozen=True)
class Panel:
    """What one plot shows.

    Attributes:
        label: of the horizontal axis. counts: its values are counts, written as 20k.
        whole: where the whole net stands, as a cross.
    """

    label: str
    counts: bool
    dots: Sequence[Dot]
    means: Sequence[Mean]
    lines: Sequence[Line]
    whole: tuple[float, float] | None = None


def draw_panel(panel: Panel) -> str:
    """The plot as SVG elements in a frame of :data:`WIDE` x :data:`HIGH`; "" where there is nothing to draw."""
    if not panel.dots and not panel.means:
        return ""
    across, up = _axes(panel)
    placer = LabelPlacer(Box(_LEFT + 3, _TOP, _RIGHT - 3, _BOTTOM - 3))
    parts = [_draw_axes(panel, across, up), _draw_lines(panel.lines, up)]
    if panel.whole is not None:
        place = across.place(panel.whole[0]), up.place(panel.whole[1])
        parts.append(_draw_whole(*place))
        placer.keep_free(*place, 6)
    for dot in sorted(panel.dots, key=lambda one: not one.pale):  # those of this budget over the others
        place = across.place(dot.x), up.place(dot.y)
        parts.append(draw_mark(dot.style, place, 3.6, filled=dot.filled, pale=dot.pale, title=dot.title))
    parts += [_draw_spread(mean, across, up) for mean in panel.means]
    places = [(across.place(mean.x.mean), up.place(mean.y.mean)) for mean in panel.means]
    for mean, place in zip(panel.means, places, strict=True):
        parts.append(draw_ring(place, 11) if mean.ringed else "")
        parts.append(draw_mark(mean.style, place, 7, filled=mean.filled, title=mean.title))
        placer.keep_free(*place, 8)
    parts += [_draw_name(mean.name, place, placer) for mean, place in zip(panel.means, places, strict=True)]
    return "".join(parts)


def _axes(panel: Panel) -> tuple[Axis, Axis]:
    """Axes that hold every dot, mean and line with its spread."""
    spreads = [mean.x for mean in panel.means]
    widths = [dot.x for dot in panel.dots] + [value for one in spreads for value in (one.mean, one.high)]
    widths += [one.low for one in spreads if one.low > 0]
    heights = [dot.y for dot in panel.dots]
    ups = [mean.y for mean in panel.means] + [line.y for line in panel.lines]
    heights += [value for one in ups for value in (one.low, one.high)]
    if panel.whole is not None:
        widths.append(panel.whole[0])
    return Axis.over(widths, _LEFT, _RIGHT, may_be_log=True), Axis.over(heights, _BOTTOM, _TOP)


def _draw_axes(panel: Panel, across: Axis, up: Axis) -> str:
    parts = []
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(f'<line x1="{_LEFT:g}" x2="{_RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 6:g}" y="{y + 4:.1f}" text-anchor="end" fill="{GREY}">{tick:g}</text>')
    for tick in across.ticks():
        x, said = across.place(tick), short_count(tick) if panel.counts else f"{tick:g}"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP:g}" y2="{_BOTTOM:g}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 17:g}" text-anchor="middle" fill="{GREY}">{said}</text>')
    label = escape(panel.label + (" (logarithmic)" if across.log else ""))
    middle, half = (_LEFT + _RIGHT) / 2, (_TOP + _BOTTOM) / 2
    parts.append(f'<text x="{middle:g}" y="{_BOTTOM + 37:g}" text-anchor="middle" fill="{INK}">{label}</text>')
    turned = f'transform="translate(15 {half:g}) rotate(-90)"'
    parts.append(f'<text {turned} text-anchor="middle" fill="{INK}">accuracy</text>')
    return "".join(parts)


def _draw_lines(lines: Sequence[Line], up: Axis) -> str:
    """Lines with their bands, their names at the right ends."""
    parts = []
    for number, one in enumerate(lines):
        if one.y.is_wide:
            top, bottom = up.place(one.y.high), up.place(one.y.low)
            parts.append(
                f'<rect class="band" x="{_LEFT:g}" y="{top:.1f}" width="{_RIGHT - _LEFT:g}" '
                f'height="{bottom - top:.1f}" fill="{_BANDS[number % len(_BANDS)]}" opacity="0.18"/>'
            )
    heights = apart([up.place(one.y.mean) for one in lines])
    for number, (one, height) in enumerate(zip(lines, heights, strict=True)):
        y, dashes = up.place(one.y.mean), _DASHES[number % len(_DASHES)]
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(
            f'<line class="beside" x1="{_LEFT:g}" x2="{_RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GREY}" '
            f'stroke-width="1.4"{dashed}><title>{escape(one.title)}</title></line>'
            f'<line x1="{_RIGHT:g}" y1="{y:.1f}" x2="{_RIGHT + 8:g}" y2="{height:.1f}" stroke="{GREY}"/>'
            f'<text x="{_RIGHT + 11:g}" y="{height + 4:.1f}" fill="{INK}">{escape(one.name)}</text>'
        )
    return "".join(parts)


def _draw_whole(x: float, y: float) -> str:
    """A cross where the whole net stands."""
    path = f"M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12"
    said = "<title>parent: the whole net</title>"
    return f'<path class="parent" d="{path}" stroke="#000000" stroke-width="2.4" fill="none">{said}</path>'


def _draw_spread(mean: Mean, across: Axis, up: Axis) -> str:
    """The standard deviations of a mean, both ways."""
    x, y, path = across.place(mean.x.mean), up.place(mean.y.mean), ""
    if mean.y.is_wide:
        low, high = up.place(mean.y.low), up.place(mean.y.high)
        path += f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"
    if mean.x.is_wide:
        low, high = across.place(max(mean.x.low, across.low)), across.place(mean.x.high)
        path += f"M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 4:.1f}v8M{high:.1f} {y - 4:.1f}v8"
    return f'<path class="spread" d="{path}" stroke="{INK}" fill="none"/>' if path else ""


def _draw_name(name: str, place: tuple[float, float], placer: LabelPlacer) -> str:
    label = placer.place(name, *place)
    if label is None:
        return ""
    line = ""
    if label.led:
        end = min(max(place[0], label.x), label.x + _LETTER * len(name))
        line = (
            f'<line x1="{place[0]:.1f}" y1="{place[1]:.1f}" x2="{end:.1f}" y2="{label.y - 4:.1f}" stroke="{GREY}" '
            'stroke-width="0.7"/>'
        )
    return (
        f'{line}<text class="name" x="{label.x:.1f}" y="{label.y:.1f}" fill="{INK}" stroke="#ffffff" stroke-width="3" '
        f'paint-order="stroke" stroke-linejoin="round">{escape(name)}</text>'
    )
