"""The plots of a decision, as SVG elements that stand in the page itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cnngraph.plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_svg", "plot_curve", "plot_plan", "plot_trained_steps"]

_GOES, _STAYS = "#c0392b", "#2471a3"
_NAMED = 40  # more layers than that would write their names over each other


def plot_plan(plan: Plan) -> str:
    """As an SVG element: filters that stay and go by layer, else theta by layer; "" where neither is known."""
    widths: Mapping[str, int] = plan.settings.get("widths", {})
    if plan.filters and widths:
        return draw_svg(lambda axes: _draw_filters(axes, plan.filters, widths))
    return draw_svg(lambda axes: _draw_thetas(axes, plan)) if plan.layers else ""


def plot_curve(plan: Plan) -> str:
    """As an SVG element, the accuracy after each step of a greedy search against the filters gone; "" without steps."""
    steps: Sequence[Mapping[str, Any]] = plan.settings.get("steps") or ()
    baseline = plan.settings.get("baseline")
    if not steps or baseline is None:
        return ""
    return draw_svg(lambda axes: _draw_curve(axes, float(baseline), steps))


def plot_trained_steps(plan: Plan, steps: Sequence[Mapping[str, Any]]) -> str:
    """As an SVG element, the accuracy after each step of a prune that trains between them; "" without steps.

    Args:
        steps: ``number``, ``layer`` and ``accuracy`` of each, in order; of rounds ``weights`` and ``alive``.
    """
    before = plan.settings.get("before")
    widths: Mapping[str, int] = plan.settings.get("widths", {})
    rounds = [step for step in steps if step.get("alive") is not None]
    if rounds and before is not None:
        alive = [int(rounds[0]["alive"]) + int(rounds[0]["weights"]), *(int(step["alive"]) for step in rounds)]
        judged = [float(before["accuracy"]), *(float(step["accuracy"]) for step in rounds)]
        numbers = ["nothing gone", *(f"round {step['number']}" for step in rounds)]
        return draw_svg(lambda axes: _draw_trained_steps(axes, alive, judged, numbers, "weights"))
    if not steps or before is None or not widths:
        return ""
    gone = Counter(step for removal in plan.removes for step in removal.steps)
    left = list(accumulate((-gone[step["number"]] for step in steps), initial=sum(widths.values())))
    accuracies = [float(before["accuracy"]), *(float(step["accuracy"]) for step in steps)]
    names = ["nothing gone", *(str(step["layer"]) for step in steps)]
    return draw_svg(lambda axes: _draw_trained_steps(axes, left, accuracies, names))


def draw_svg(draw: Callable[[Axes], None], size: tuple[float, float] = (9, 3.2)) -> str:
    """What ``draw`` draws as an SVG element, the same each time; ``size``: width and height in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "cnngraph", "svg.fonttype": "none"}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _draw_thetas(axes: Axes, plan: Plan) -> None:
    """A bar a layer, removed ones in another colour, the threshold as a line."""
    gone = set(plan.removed)
    names = [score.layer for score in plan.layers]
    thetas = [score.theta for score in plan.layers]
    axes.bar(range(len(names)), thetas, color=[_GOES if name in gone else _STAYS for name in names])
    if min(thetas) > 0:
        axes.set_yscale("log")
    if plan.threshold is not None:
        axes.axhline(plan.threshold, color="#555", linestyle="--", linewidth=1)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("theta = max / reference")


def _draw_filters(axes: Axes, filters: Mapping[str, Sequence[int]], widths: Mapping[str, int]) -> None:
    """A bar a layer: what stays, and on it what goes."""
    gone = [len(filters.get(layer, ())) for layer in widths]
    left = [width - count for width, count in zip(widths.values(), gone, strict=True)]
    places = range(len(widths))
    axes.bar(places, left, color=_STAYS, label="stay")
    axes.bar(places, gone, bottom=left, color=_GOES, label="go")
    if len(widths) <= _NAMED:
        axes.set_xticks(places, list(widths), rotation=60, ha="right", fontsize=8)
    else:
        axes.set_xlabel("layers in network order")
    axes.set_ylabel("filters")
    axes.legend()


def _draw_curve(axes: Axes, baseline: float, steps: Sequence[Mapping[str, Any]]) -> None:
    """A point a step, a colour a layer; what the whole net had as a line."""
    gone, before = 0, baseline
    drawn: dict[str, tuple[list[float], list[float]]] = {}
    for step in steps:
        count = len(step["filters"])
        xs, ys = drawn.setdefault(str(step["layer"]), ([], []))
        xs += [gone, gone + count]
        ys += [before, step["accuracy"]]
        if len(xs) > 2 and xs[-3] != gone:  # another layer came between: the line is not drawn through its steps
            xs.insert(-2, float("nan"))
            ys.insert(-2, float("nan"))
        gone, before = gone + count, step["accuracy"]
    for number, (layer, (xs, ys)) in enumerate(drawn.items()):
        axes.plot(xs, ys, marker=".", color=f"C{number % 10}", label=layer)
    axes.axhline(baseline, color="#555", linestyle="--", linewidth=1, label="nothing gone")
    axes.set_xlabel("filters gone")
    axes.set_ylabel("accuracy, untrained")
    if len(drawn) < _NAMED:
        axes.legend(fontsize=8)


def _draw_trained_steps(
    axes: Axes, left: Sequence[int], accuracies: Sequence[float], names: Sequence[str], what: str = "filters"
) -> None:
    """A point a step, the layers or rounds named at it; fewer filters, or weights, to the right."""
    axes.plot(left, accuracies, marker=".", color=_STAYS)
    axes.axhline(accuracies[0], color="#555", linestyle="--", linewidth=1)
    if len(names) <= _NAMED:
        for place, height, name in zip(left, accuracies, names, strict=True):
            axes.annotate(name, (place, height), xytext=(0, 5), textcoords="offset points", fontsize=8)
    axes.invert_xaxis()
    axes.set_xlabel(f"{what} left")
    axes.set_ylabel("accuracy, retrained")
