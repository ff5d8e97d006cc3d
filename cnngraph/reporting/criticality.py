"""What trials of blocks come to: the best scheme of each block, and the part of a page that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cnngraph.files import write_text
from cnngraph.reporting.plots import draw_svg
from cnngraph.reporting.rendering import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SHARE", "CriticalitySection", "NewFilters", "ShownBlock", "find_best", "make_section", "write_blocks_page"]

Trials = Sequence[Mapping[str, Any]]

SHARE = 0.95  # of the parent's accuracy: how soon a net without the block has it
_DIGITS = 12  # of a mean: beyond them it is rounding that would tell equal schemes apart
_SHOWN = 8  # blocks whose curves and filters are shown
_FIGURES = ("criticality", "best_scheme", "accuracy", "epochs_to_95", "parameters_saved", "macs_saved")


def find_best(trials: Trials) -> dict[str, Any]:
    """The scheme of a block with the highest accuracy, the mean over its seeds; of equal ones by name, as the saved
    query has it. Trials that failed do not count.

    Args:
        trials: of one block, each with ``scheme, value, accuracy, epochs_to_95, parameters_saved, macs_saved``, and
            ``temperature`` and ``alpha`` where it distils.

    Returns:
        ``criticality`` (the mean of ``value``), ``best_scheme``, ``accuracy``, ``epochs_to_95`` (by when all its seeds
        are so far; ``None``: one is not), and what is saved; each ``None`` where there are no trials.
    """
    groups = list(_by_scheme([one for one in trials if not one.get("failed")]).items())
    if not groups:
        return dict.fromkeys(_FIGURES)
    (scheme, *_), best = min(
        groups, key=lambda group: (round(fmean(one["value"] for one in group[1]), _DIGITS), str(group[0][0]))
    )
    soon = [one.get("epochs_to_95") for one in best]
    known = [epochs for epochs in soon if epochs is not None]
    values = (
        fmean(one["value"] for one in best),
        scheme,
        fmean(one["accuracy"] for one in best),
        max(known) if len(known) == len(soon) else None,
        best[0]["parameters_saved"],
        best[0]["macs_saved"],
    )
    return dict(zip(_FIGURES, values, strict=True))


def _by_scheme(trials: Trials) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for one in trials:
        found.setdefault((one["scheme"], one.get("temperature"), one.get("alpha")), []).append(one)
    return found


@dataclass(frozen=True)
class NewFilters:
    """Filters of a layer that took a block's place, as it was after its training: PNG in base64."""

    scheme: str
    layer: str
    filters: int
    pictures: Sequence[str]


@dataclass(frozen=True)
class ShownBlock:
    """One block: its curves as an SVG element, and pictures of what was learned."""

    block: str
    plot: str
    filters: Sequence[NewFilters] = ()


@dataclass(frozen=True)
class CriticalitySection:
    """What the page shows of the blocks of a model.

    Attributes:
        judged: on how many images, after what training. plot: all blocks, as an SVG element.
        blocks: the figures of :func:`find_best` with ``block`` and ``kind``. shown: those with curves and filters.
        note: what is left out.
    """

    model: str
    sentence: str
    judged: str
    plot: str
    blocks: Sequence[Mapping[str, Any]]
    shown: Sequence[ShownBlock] = ()
    note: str = field(default="")


def make_section(model: str, trials: Trials, filters: Mapping[str, Sequence[NewFilters]]) -> CriticalitySection | None:
    """The section about the trials of a model, those of the budget that was stored last; ``None`` where there are none.

    Args:
        trials: as :func:`cnngraph.database.criticality.read_criticality` gives them. filters: by block.
    """
    failed = sum(1 for one in trials if one.get("failed"))
    trials = [one for one in trials if not one.get("failed")]
    if not trials:
        return None
    last = max(trials, key=lambda one: one["created_at"])["budget"]
    mine: dict[str, list[Mapping[str, Any]]] = {}
    for one in trials:
        if one["budget"] == last:
            mine.setdefault(one["block"], []).append(one)
    blocks = [{"block": name, "kind": found[0].get("kind")} | find_best(found) for name, found in mine.items()]
    shown = [
        ShownBlock(name, _plot_curves(found), filters.get(name, ())) for name, found in list(mine.items())[:_SHOWN]
    ]
    note = f"The curves of the first {_SHOWN} of {len(mine)} blocks." if len(mine) > _SHOWN else ""
    if not filters and any(one["scheme"] not in ("join", "tuned") for one in trials):
        note = f"{note} Pictures of the learned filters are kept where the trials ran.".strip()
    if len({frozenset(one["scheme"] for one in found) for found in mine.values()}) > 1:
        note = (
            f"{note} Not all blocks were tried by the same schemes: a block with more of them had more chances.".strip()
        )
    if failed:
        note = f"{note} Trainings that failed and are left out: {failed}.".strip()
    return CriticalitySection(
        model, _sentence(blocks), _judged(json.loads(last), mine), _plot_blocks(mine), blocks, shown, note
    )


def write_blocks_page(path: Path, section: CriticalitySection) -> Path:
    """Write a page about the blocks alone, atomically; everything it shows is inside the one file."""
    title = f"{section.model}: what its blocks are worth"
    return write_text(path, render("blocks.html", title=title, section=section))


def _sentence(blocks: Trials) -> str:
    """Which block is missed most, and which least; a net may also be better without each of them."""
    most, least = (find(blocks, key=lambda block: block["criticality"]) for find in (max, min))
    if most is least:
        return f"{most['block']} is worth {100 * most['criticality']:+.1f} points of accuracy."
    if most["criticality"] <= 0:
        return (
            f"No block is missed: without {most['block']} the net gains least, {-100 * most['criticality']:.1f} points "
            f"of accuracy by the best scheme; without {least['block']} most: {-100 * least['criticality']:.1f}."
        )
    return (
        f"{most['block']} is missed most: {100 * most['criticality']:+.1f} points of accuracy by the best scheme; "
        f"{least['block']} least: {100 * least['criticality']:+.1f}."
    )


def _judged(budget: Mapping[str, Any], mine: Mapping[str, Trials]) -> str:
    parent = next(iter(mine.values()))[0]["parent_accuracy"]
    epochs = budget.get("epochs")
    return (
        f"Criticality is the accuracy of the net, {parent:.4f}, minus that of the best scheme without the block, on "
        f"{budget.get('judged_on'):,} validation images, which also chose epoch and scheme; trained for {epochs} "
        f"epoch{'s' * (epochs != 1)} at most on {budget.get('trained_on'):,} images."
    )


def _plot_blocks(mine: Mapping[str, Trials]) -> str:
    """A bar a block, and a point for each scheme."""
    schemes = list(dict.fromkeys(one["scheme"] for trials in mine.values() for one in trials))

    def draw(axes: Axes) -> None:
        places = range(len(mine))
        axes.bar(places, [find_best(trials)["criticality"] for trials in mine.values()], color="#bfc9d1")
        for number, scheme in enumerate(schemes):
            losses = {
                place: fmean(one["value"] for one in found)
                for place, trials in enumerate(mine.values())
                if (found := [one for one in trials if one["scheme"] == scheme])
            }
            axes.scatter(list(losses), list(losses.values()), s=22, color=f"C{number}", label=scheme, zorder=3)
        axes.axhline(0, color="#555", linewidth=1)
        axes.set_xticks(places, list(mine), rotation=60, ha="right", fontsize=8)
        axes.set_ylabel("accuracy that is lost")
        axes.legend(fontsize=7, ncols=2)

    return draw_svg(draw)


def _plot_curves(trials: Trials) -> str:
    """A line a scheme, the mean over its seeds as far as all go; the accuracy of the whole net, and 95 % of it."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for number, ((scheme, *_), found) in enumerate(_by_scheme(trials).items()):
            means = [fmean(column) for column in zip(*(one["curve"] for one in found), strict=False)]
            axes.plot(range(len(means)), means, marker=".", color=f"C{number % 10}", label=scheme)
        parent = trials[0]["parent_accuracy"]
        axes.axhline(parent, color="#555", linestyle="--", linewidth=1, label="whole net")
        axes.axhline(SHARE * parent, color="#999", linestyle=":", linewidth=1, label=f"{100 * SHARE:g} % of it")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy")
        axes.legend(fontsize=7, ncols=2)

    return draw_svg(draw, (9, 2.8))
