"""The plots of a bench as SVG elements: accuracy against milliseconds and against parameters, all points kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from cnngraph.errors import OptionError
from cnngraph.files import write_text
from cnngraph.reporting.bench_marks import GREY, INK, Style, draw_mark, draw_ring, styles_of
from cnngraph.reporting.bench_panel import HIGH, WIDE, Dot, Interval, Line, Mean, Panel, draw_panel
from cnngraph.reporting.bench_points import CONTROL, SCRATCH, BenchPoint
from cnngraph.reporting.bench_rows import BenchRow, Spread, in_order, read_rows

__all__ = ["AGAINST", "KeyEntry", "draw_plot", "key_of", "require_svg", "write_picture"]

# The horizontal axes: what is drawn against, and how it is called.
AGAINST = {"latency_ms": "milliseconds a forward pass: the whole net's over the speed-up", "weights": "parameters"}
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_COLUMNS = 4  # of the key in the picture


@dataclass(frozen=True)
class KeyEntry:
    """A line of the key of two plots: a mark as an SVG element, and what it stands for."""

    mark: str
    name: str


def draw_plot(result: Mapping[str, Any], budget: str, against: str) -> str:
    """Accuracy against ``against`` (see :data:`AGAINST`) as an SVG element; "" where no point has both.

    The points of ``budget`` stand out: the mean of each method with its standard deviations, and its seeds; the points
    of other budgets are pale. A method that does not meet the budget is hollow.
    """
    drawn = draw_panel(_panel(result, budget, against))
    if not drawn:
        return ""
    said = escape(f"Accuracy against {AGAINST[against]} under {budget}")
    return f'<svg class="bench" role="img" aria-label="{said}" viewBox="0 0 {WIDE:g} {HIGH:g}" {_FONT}>{drawn}</svg>'


def key_of(result: Mapping[str, Any], budget: str) -> list[KeyEntry]:
    """What the marks of a budget's plots stand for, in the order of its table."""
    rows, panel = _rows(result, budget), _panel(result, budget, "weights")
    styles = _styles(result)
    drawn = [row for row in rows if row.accuracy.mean is not None]
    entries = [
        KeyEntry(_small(draw_mark(styles[row.method], (9, 9), 6, filled=_is_filled(row))), row.method) for row in drawn
    ]
    plain = Style(GREY, "circle")
    if any(not mean.filled for mean in panel.means) or any(not dot.filled for dot in panel.dots):
        entries.append(KeyEntry(_small(draw_mark(plain, (9, 9), 6, filled=False)), "hollow: does not meet the budget"))
    if any(mean.ringed for mean in panel.means):
        mark = draw_mark(plain, (9, 9), 4) + draw_ring((9, 9), 7.5)
        entries.append(KeyEntry(_small(mark), "ringed: at its weights that are not zero"))
    if any(dot.pale for dot in panel.dots):
        entries.append(KeyEntry(_small(draw_mark(plain, (9, 9), 4, pale=True)), "pale: of other budgets or seeds"))
    return entries


def require_svg(path: str | Path) -> None:
    """Return if a picture can be written to ``path``, by its suffix; raises OptionError."""
    if Path(path).suffix.lower() != ".svg":
        raise OptionError(f"{{picture={path}}} is no .svg file.", "Name a file such as bench.svg.")


def write_picture(path: str | Path, result: Mapping[str, Any]) -> Path:
    """Write the plots of all budgets that were asked for as one SVG, atomically; what it shows is inside the file.

    Raises:
        OptionError: another suffix than .svg.
    """
    require_svg(path)
    parts, top = [], 0.0
    for budget in result["budgets"]:
        title = escape(f"{result['model']}: {budget}")
        parts.append(f'<text x="12" y="{top + 24:g}" font-size="16">{title}</text>')
        top += 36
        for number, against in enumerate(AGAINST):
            drawn = draw_panel(_panel(result, budget, against))
            parts.append(f'<g transform="translate({number * WIDE:g} {top:g})">{drawn}</g>')
        top += HIGH
        entries = key_of(result, budget)
        for number, entry in enumerate(entries):
            x, y = 40 + 262 * (number % _COLUMNS), top + 24 * (number // _COLUMNS)
            said = f'<text x="24" y="13">{escape(entry.name)}</text>'
            parts.append(f'<g transform="translate({x} {y:g})">{entry.mark}{said}</g>')
        top += 24 * -(-len(entries) // _COLUMNS) + 20
    size = f'width="{2 * WIDE:g}" height="{top:g}" viewBox="0 0 {2 * WIDE:g} {top:g}"'
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT} fill="{INK}">{ground}{"".join(parts)}</svg>\n'
    return write_text(path, svg)


def _panel(result: Mapping[str, Any], budget: str, against: str) -> Panel:
    """What the plot of ``budget`` shows."""
    styles, parent = _styles(result), result["parent"]
    points = [BenchPoint.read(said) for said in result["points"]]
    seeds = range(result["seed"], result["seed"] + result["seeds"])
    dots = [
        Dot(styles[one.method], x, one.accuracy, _point_in_words(one), one.meets or one.method == SCRATCH, pale=pale)
        for one in points
        if one.method != CONTROL and one.accuracy is not None and (x := _value(one, parent, against)) is not None
        for pale in (one.budget not in (budget, None) or one.seed not in seeds,)
    ]
    means = []
    for row in _rows(result, budget):
        wide, high = _across(row, parent, against), _interval(row.accuracy)
        if wide is not None and high is not None:
            ringed = against == "weights" and _has_mask(row)
            means.append(Mean(row.method, styles[row.method], wide, high, _row_in_words(row), _is_filled(row), ringed))
    whole = _weights(parent) if against == "weights" else parent.get(against)
    place = None if whole is None or parent.get("accuracy") is None else (whole, parent["accuracy"])
    return Panel(AGAINST[against], against == "weights", dots, means, _lines(result, budget), place)


def _lines(result: Mapping[str, Any], budget: str) -> list[Line]:
    """Parent, control and the net from scratch, as far as they are there."""
    accuracies = {"parent": Spread(result["parent"].get("accuracy"))}
    rows = [row for _, row in in_order(read_rows(result), budget)]
    accuracies |= {name: row.accuracy for name in (CONTROL, SCRATCH) for row in rows if row.method == name}
    return [
        Line(name, interval, f"{name}: accuracy {spread.written('{:.4f}')}")
        for name, spread in accuracies.items()
        if (interval := _interval(spread)) is not None
    ]


def _rows(result: Mapping[str, Any], budget: str) -> list[BenchRow]:
    """The rows that have a mark: the control is a line alone, since it is as large as the parent."""
    return [row for _, row in in_order(read_rows(result), budget) if row.method != CONTROL]


def _styles(result: Mapping[str, Any]) -> dict[str, Style]:
    return styles_of(said["method"] for said in (*result["table"], *result["points"]))


def _interval(spread: Spread) -> Interval | None:
    if spread.mean is None:
        return None
    return Interval(spread.mean, spread.mean - (spread.sd or 0.0), spread.mean + (spread.sd or 0.0))


def _across(row: BenchRow, parent: Mapping[str, Any], against: str) -> Interval | None:
    """Where a mean stands: at its weights, or at the milliseconds of the whole net over its speed-up."""
    if against == "weights":
        return _interval(row.spread("nonzero" if _has_mask(row) else "parameters"))
    whole, speedup = parent.get("latency_ms"), _interval(row.spread("speedup"))
    if whole is None or speedup is None or speedup.low <= 0:
        return None
    return Interval(whole / speedup.mean, whole / speedup.high, whole / speedup.low)


def _has_mask(row: BenchRow) -> bool:
    return row.spread("nonzero").mean is not None


def _value(point: BenchPoint, parent: Mapping[str, Any], against: str) -> float | None:
    if against == "weights":
        return point.weights
    whole = parent.get("latency_ms")
    return whole / point.speedup if whole is not None and point.speedup else None


def _weights(parent: Mapping[str, Any]) -> float | None:
    nonzero = parent.get("nonzero")
    return nonzero if nonzero is not None else parent.get("parameters")


def _is_filled(row: BenchRow) -> bool:
    return row.meets_all or row.method == SCRATCH


def _point_in_words(point: BenchPoint) -> str:
    said = [f"{point.method}{f', {point.budget}' if point.budget else ''}, seed {point.seed}"]
    said += [f"accuracy {point.accuracy:.4f}"] if point.accuracy is not None else []
    said += [f"{point.latency_ms:.3f} ms"] if point.latency_ms is not None else []
    said += [f"{point.speedup:.2f} times as fast"] if point.speedup is not None else []
    said += [f"{point.parameters:,} parameters"] if point.parameters is not None else []
    said += [f"{point.nonzero:,} of them not zero"] if point.nonzero is not None else []
    said += [] if point.meets or point.method == SCRATCH else ["does not meet the budget"]
    return "; ".join(said)


def _row_in_words(row: BenchRow) -> str:
    said = f"{row.method}, {row.budget}, mean of {row.nets}: accuracy {row.accuracy.written('{:.4f}')}"
    return said if _is_filled(row) else f"{said}; does not meet the budget"


def _small(mark: str) -> str:
    return f'<svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">{mark}</svg>'
