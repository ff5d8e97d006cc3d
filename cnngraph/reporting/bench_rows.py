"""The table of a bench, typed, and what it shows in plain sentences: which method is best, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.errors import listed
from cnngraph.pruning.limits.target import TOLERANCE
from cnngraph.reporting.bench_points import CONTROL, SCRATCH

__all__ = [
    "COUNT",
    "FIGURES",
    "BenchRow",
    "Spread",
    "budget_in_words",
    "in_order",
    "ranked",
    "read_rows",
    "sentences",
]

_RANDOM = "random"
_BESIDE = (SCRATCH, CONTROL)  # what methods are compared with; it has no rank
_BUDGETS = {
    "macs": ("{} of the MACs of the whole net are to be left", "{} MACs are to be left"),
    "parameters": ("{} of the parameters of the whole net are to be left", "{} parameters are to be left"),
    "speedup": ("{} times as fast as the whole net", "{} times as fast as the whole net"),
    "latency_ms": ("{} milliseconds a forward pass", "{} milliseconds a forward pass"),
    "mb": ("{} MB of weights are to be left", "{} MB of weights are to be left"),
}
COUNT = "{:,.0f}"
# (key in the JSON, heading, how a value is written)
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "accuracy", "{:.4f}"),
    ("kappa", "kappa", "{:.4f}"),
    ("latency_ms", "ms", "{:.3f}"),
    ("speedup", "speed-up", "{:.2f}"),
    ("parameters", "parameters", COUNT),
    ("nonzero", "not zero", COUNT),
    ("macs", "MACs", COUNT),
    ("epochs", "epochs", "{:g}"),
    ("seconds", "seconds", "{:,.1f}"),
)


@dataclass(frozen=True)
class Spread:
    """The mean over seeds and their standard deviation; ``None``: not known, or of one seed."""

    mean: float | None = None
    sd: float | None = None

    def written(self, form: str, gap: str = " ") -> str:
        """As text; ``gap``: what stands between the sign and the standard deviation.

        >>> Spread(0.5, 0.01).written("{:.2f}"), Spread(0.5).written("{:.2f}"), Spread().written("{:.2f}")
        ('0.50 ± 0.01', '0.50', '-')
        """
        if self.mean is None:
            return "-"
        return form.format(self.mean) + (f" ±{gap}{form.format(self.sd)}" if self.sd is not None else "")


@dataclass(frozen=True)
class BenchRow:
    """A method under a budget, over its seeds; or what stands beside the methods (``control``, ``scratch``).

    Attributes:
        seeds: how many were tried. nets: how many of them gave a net. meets: how many are within the budget. why: why
            the others are not, or what else is to be said.
        asked: how many seeds were asked for. epochs: that each method may train for. longest: that one of its nets was
            trained for.
        figures: by key of the JSON, over the nets.
    """

    method: str
    budget: str | None
    seeds: int
    nets: int
    meets: int
    why: str | None = None
    asked: int = 1
    epochs: int = 1
    longest: int = 0
    figures: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def accuracy(self) -> Spread:
        """On the test images."""
        return self.spread("accuracy")

    def spread(self, key: str) -> Spread:
        """The figure of that key of the JSON."""
        return self.figures.get(key, Spread())

    @property
    def met_in_words(self) -> str:
        """Whether the budget is met, with how many seeds, over how many nets the figures are, and what else is to be
        said.
        """
        said = "" if self.is_beside else f"{self.meets} of " if 0 < self.meets < self.seeds else "yes, "
        said = said if self.meets or self.is_beside else "no, "
        said += _seeds(self.seeds)
        said += f" of the {self.asked} so far" if self.seeds < self.asked else ""
        said += f", {self.nets} of them gave a net" if 0 < self.nets < self.seeds else ""
        said += ", no rank" if self.is_longer and self.meets_all else ""
        return f"{said}: {self.why}" if self.why else said

    @property
    def is_longer(self) -> bool:
        """Whether a net of a method was trained for longer than the others may be."""
        return not self.is_beside and self.longest > self.epochs

    @property
    def is_beside(self) -> bool:
        """Whether it is no method, but what methods are compared with."""
        return self.method in _BESIDE

    @property
    def meets_all(self) -> bool:
        """Whether it is a method that meets the budget with every seed that was made."""
        return not self.is_beside and 0 < self.seeds == self.meets and self.accuracy.mean is not None

    @property
    def has_rank(self) -> bool:
        """Whether it may be ranked: it meets the budget with every seed that was asked for, trained no longer than the
        others.
        """
        return self.meets_all and self.seeds == self.asked and not self.is_longer


def read_rows(result: Mapping[str, Any]) -> list[BenchRow]:
    """The table of the JSON of ``bench``, typed."""
    rows, longest = [], _longest(result)
    for said in result["table"]:
        figures = {key: Spread(said[key]["mean"], said[key]["sd"]) for key, *_ in FIGURES if said.get(key)}
        named = {name: said[name] for name in ("method", "budget", "seeds", "nets", "meets", "why")}
        beside = {"asked": result["seeds"], "epochs": result["epochs"]}
        beside["longest"] = longest.get((said["method"], said["budget"]), 0)
        rows.append(BenchRow(**named, **beside, figures=figures))
    return rows


def _longest(result: Mapping[str, Any]) -> dict[tuple[str, str | None], int]:
    """The most epochs that a net of a method and budget was trained for, of the seeds that were asked for."""
    seeds = range(result["seed"], result["seed"] + result["seeds"])
    found: dict[tuple[str, str | None], int] = {}
    for one in result["points"]:
        if one["seed"] in seeds and one["epochs"] is not None:
            key = one["method"], one["budget"]
            found[key] = max(found.get(key, 0), one["epochs"])
    return found


def ranked(rows: Sequence[BenchRow], budget: str) -> list[BenchRow]:
    """The methods that have a rank, by their mean accuracy, the best first."""
    mine = [row for row in rows if row.budget == budget and row.has_rank]
    return sorted(mine, key=lambda row: -(row.accuracy.mean or 0.0))


def in_order(rows: Sequence[BenchRow], budget: str) -> list[tuple[int | None, BenchRow]]:
    """The rows of one budget with their ranks: the ranked ones, then those that do not meet it, then what is beside."""
    best = ranked(rows, budget)
    others = [row for row in rows if row.budget == budget and row not in best and not row.is_beside]
    beside = [row for name in _BESIDE for row in rows if row.method == name and row.budget in (budget, None)]
    return [*enumerate(best, 1), *((None, row) for row in (*others, *beside))]


def budget_in_words(budget: str) -> str:
    """What a budget asks for, and what counts as met; "" of one that is not known here.

    >>> budget_in_words("speedup=2")
    '2 times as fast as the whole net; up to 15 % more or less counts as met.'
    """
    name, _, value = budget.partition("=")
    try:
        share, amount = _BUDGETS[name]
        said = (share if float(value) < 1 else amount).format(value)
    except (KeyError, ValueError):
        return ""
    return f"{said}; up to {100 * TOLERANCE:.0f} % more or less counts as met."


def sentences(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the bench shows, sentences by budget that was asked for: which method is best, whether it is apart from the
    second, from chance and from training a smaller net, and which methods do not meet the budget.
    """
    rows, judged = read_rows(result), ImagesFrom.read(result.get("judged_on"))
    return {budget: _of_budget(rows, budget, judged.images if judged else None) for budget in result["budgets"]}


def _of_budget(rows: Sequence[BenchRow], budget: str, images: int | None) -> list[str]:
    best = ranked(rows, budget)
    out = [row for row in rows if row.budget == budget and not row.is_beside and not row.has_rank]
    said = [_on_the_best(best, budget)]
    if best:
        first = best[0]
        if len(best) > 1:
            said.append(f"Second is {best[1].method}{_against(first, best[1], images)}.")
            if first.method == _RANDOM:
                sure = _is_beyond(first, best[1])
                said.append(
                    f"So {'no method is' if sure else 'it is not sure that any method is'} better than chance here."
                )
        others = [row for row in best[2:] if row.method == _RANDOM]
        others += [row for row in rows if row.is_beside and row.budget in (budget, None)]
        said += [f"Against {_NAMES[row.method]}{_against(first, row, images)}." for row in others]
    if out:
        said.append(f"Not ranked: {'; '.join(f'{row.method} ({_reason(row)})' for row in out)}.")
    if best and best[0].accuracy.sd is None:
        said.append("Of one seed nothing can be said about spread: another seed may turn the order round.")
    return said


_NAMES = {
    _RANDOM: "random",
    SCRATCH: "a smaller net from scratch",
    CONTROL: "the control, unpruned and retrained for as long",
}


def _on_the_best(best: Sequence[BenchRow], budget: str) -> str:
    if not best:
        return f"{budget}: no method can be ranked."
    first = best[0]
    figures = f"accuracy {_with_spread(first)}, {_seeds(first.seeds)}"
    if len(best) == 1:
        return f"{budget}: only {first.method} can be ranked ({figures})."
    same = [row.method for row in best if row.accuracy.mean == first.accuracy.mean]
    if len(same) > 1:
        return f"{budget}: {listed(same)} are equally good, the best of {len(best)} methods ({figures})."
    return f"{budget}: {first.method} is best of the {len(best)} methods that can be ranked ({figures})."


def _against(first: BenchRow, other: BenchRow, images: int | None) -> str:
    """By how much the first is better than the other, and how sure that is.

    Apart means: further than both standard deviations together. The uncertainty of the test set is two standard errors
    of the difference of two shares of it, taken as independent, as in the verdict on a prune.
    """
    a, b = first.accuracy, other.accuracy
    if a.mean is None or b.mean is None:
        return f" nothing can be said: {other.why or 'it has no accuracy'}"
    gain = a.mean - b.mean
    figures = f" ({_with_spread(other)}): {_points(gain)}"
    if a.sd is None or b.sd is None:
        return f"{figures}, of one seed, so it may be chance"
    if not _is_beyond(first, other):
        return f"{figures}, within the spreads, so it is not sure which is better"
    bound = 2 * ((a.mean * (1 - a.mean) + b.mean * (1 - b.mean)) / images) ** 0.5 if images else 0.0
    if abs(gain) <= bound:
        return (
            f"{figures}, beyond the spreads, but within ±{100 * bound:.1f} points, the uncertainty of {images:,} test "
            "images"
        )
    few = " (of two seeds, which say little)" if 2 in (first.seeds, other.seeds) else ""
    return f"{figures}, beyond the spreads{few}"


def _is_beyond(first: BenchRow, other: BenchRow) -> bool:
    """Whether two accuracies differ by more than their standard deviations together; not where one is not known."""
    a, b = first.accuracy, other.accuracy
    if a.mean is None or b.mean is None or a.sd is None or b.sd is None:
        return False
    return abs(a.mean - b.mean) > a.sd + b.sd


def _with_spread(row: BenchRow) -> str:
    return row.accuracy.written("{:.4f}")


def _points(gain: float) -> str:
    """A difference of accuracies in points of percent.

    >>> _points(0.0123), _points(-0.000001)
    ('+1.23 points', '0.00 points')
    """
    said = f"{100 * gain:+.2f}"
    return f"{said if said.strip('+-') != '0.00' else '0.00'} points"


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _reason(row: BenchRow) -> str:
    """Why a row has no rank."""
    if not row.seeds:
        return row.why or "not made yet"
    if row.meets_all:
        longer = f"trained for {row.longest} epochs, the others for {row.epochs}"
        return longer if row.is_longer else f"{row.seeds} of {_seeds(row.asked)} so far"
    some = f"{row.meets} of {_seeds(row.seeds)} meet{'s' * (row.meets == 1)} the budget" if row.meets else ""
    *_, seeds, why = ["", *re.split(r"^(seeds? [\d, and]+: )", row.why or "", maxsplit=1)]
    why = seeds + re.split(r"[:.;] ", why)[0].rstrip(".")  # all of it stands in the row
    return (", " if seeds else ": ").join(part for part in (some, why) if part) or "does not meet the budget"
