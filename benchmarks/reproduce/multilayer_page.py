"""What ``multilayer.py`` found as a section of ``docs/results.md``: tables, the paper's claim beside ours, a verdict.

Pure: rows in, text out. Every sentence follows from the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.report import markdown
from cnngraph.pruning.decision import spearman

__all__ = ["FIGURES", "PAPER", "TITLES", "page", "summarise"]

Row = Mapping[str, Any]
BySeed = dict[int, float]

FIGURES = ("accuracy", "precision", "recall")
# Relative changes in per cent; time is that of an epoch.
PAPER = {
    "mnist": {"accuracy": 0.56, "precision": 0.56, "recall": 0.56, "time": -21.43},
    "caltech101": {"accuracy": 11.09, "precision": 22.27, "recall": 38.66, "time": -47.22},
}
TITLES = {"mnist": "MNIST", "caltech101": "CALTECH-101"}
_NAMES = {
    "multilayer": "**multilayer**: degree over class networks",
    "single": "one network of all images: degree",
    "entropy": "class networks: entropy",
    "similarity": "CKA of input and output",
    "join": "error of the join",
    "depth": "null: depth",
    "magnitude": "null: magnitude",
    "random": "null: random layers",
}
_BLOCKS = (2, 2, 3, 3, 3)  # convs of VGG16


class Found:
    """The findings about one data set, figures by seed. A figure has the seeds of which it is known."""

    def __init__(self, rows: Sequence[Row], data: str) -> None:
        self.data = data
        self._rows = {(row["protocol"], row["way"], row["seed"]): row for row in rows if row["data"] == data}
        self.ways = [way for way in _NAMES if self.knows("inherited", way)]
        self.seeds = sorted(self.time("multilayer"))

    def _draws(self, protocol: str, way: str) -> list[str]:
        """The names under which findings of a way are kept: of random layers one a draw."""
        names = dict.fromkeys(name for kept, name, _ in self._rows if kept == protocol)
        return [name for name in names if name == way or name.startswith(f"{way} ")]

    def knows(self, protocol: str, way: str) -> bool:
        """Whether it was measured for any seed."""
        return bool(self._draws(protocol, way))

    def row(self, protocol: str, way: str, seed: int) -> Row:
        """One finding."""
        return self._rows[protocol, way, seed]

    def each(self, protocol: str, way: str, of: Callable[[Row, int], float]) -> BySeed:
        """A figure a seed; of several draws their mean."""
        found: dict[int, list[float]] = {}
        for draw in self._draws(protocol, way):
            for kept, name, seed in self._rows:
                if (kept, name) == (protocol, draw) and (protocol, "whole", seed) in self._rows:
                    found.setdefault(seed, []).append(of(self._rows[kept, name, seed], seed))
        return {seed: mean(values) for seed, values in sorted(found.items())}

    def figure(self, protocol: str, way: str, name: str) -> BySeed:
        """A figure in per cent."""
        return self.each(protocol, way, lambda row, _: 100 * row[name])

    def change(self, protocol: str, way: str, name: str) -> BySeed:
        """Relative to the whole net of the same protocol and seed, in per cent."""
        return self.each(
            protocol, way, lambda row, seed: 100 * (row[name] / self.row(protocol, "whole", seed)[name] - 1)
        )

    def time(self, way: str) -> BySeed:
        """Change of an epoch's time against the whole net's, in per cent."""
        return self.each("time", way, lambda row, _: 100 * (row["ratio"] - 1))

    def ahead(self, way: str, protocol: str = "inherited") -> BySeed:
        """Points of accuracy of ``multilayer`` above another way, for the seeds of which both are known."""
        mine, theirs = (self.figure(protocol, one, "accuracy") for one in ("multilayer", way))
        return {seed: mine[seed] - theirs[seed] for seed in mine if seed in theirs}

    def parameters(self, way: str) -> BySeed:
        """Those that are left, in per cent."""
        return {seed: 100 + change for seed, change in self.change("inherited", way, "parameters").items()}

    def removed(self, way: str, seed: int) -> list[str]:
        """The layers that went."""
        return list(self.row("layers", way, seed)["removed"])

    def shared(self, way: str) -> list[int]:
        """How many of the layers are those of ``multilayer``, one a seed and draw."""
        return [
            len({*self.removed("multilayer", seed)} & {*self.removed(draw, seed)})
            for draw in self._draws("layers", way)
            for seed in self.seeds
            if ("layers", draw, seed) in self._rows
        ]

    def always_the_same(self, way: str) -> bool:
        """Whether a way takes the very layers that ``multilayer`` does."""
        counts = [len(self.removed("multilayer", seed)) for seed in self.seeds]
        return way != "random" and self.shared(way) == counts


def page(rows: Sequence[Row], said: str) -> str:
    """The section.

    Args:
        rows: the findings of one scale. said: how they were made.
    """
    parts = [said]
    verdicts: list[str] = []
    for data, title in TITLES.items():
        if not any(row["data"] == data for row in rows):
            continue
        found = Found(rows, data)
        if not all(found.change(protocol, "multilayer", "accuracy") for protocol in ("scratch", "inherited")):
            parts.append(f"### {title}\n\nNo seed is through yet.")
            continue
        count = len(found.seeds)
        parts += [f"### {title}, {_seeds(count)}", _beside(found), _layers(found), _ways(found), _scratch(found)]
        verdicts += _sentences(found)
    if verdicts:
        parts += ["### What came out and what did not", "\n".join(f"- {one}" for one in verdicts)]
    return "\n\n".join(parts)


def summarise(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Rows of the summary of all papers: what it is about, the paper's claim, ours."""
    told = []
    for data, title in TITLES.items():
        found = Found(rows, data)
        if not found.seeds or not found.change("scratch", "multilayer", "accuracy"):
            continue
        claim = ", ".join(f"{name} {PAPER[data][name]:+.2f} %" for name in (*FIGURES, "time"))
        scratch = [f"{name} {_change(found, 'scratch', name)} %" for name in FIGURES]
        time = spread(list(found.time("multilayer").values()), 1, True)
        ours = f"both from scratch: {', '.join(scratch)}, time {time} %"
        if found.change("inherited", "multilayer", "accuracy"):
            ours += f"; inherited beside the control: accuracy {_change(found, 'inherited', 'accuracy')} %"
        told.append((f"VGG16 on {title}, {_seeds(len(found.seeds))}", claim, ours))
    return told


def _change(found: Found, protocol: str, name: str) -> str:
    return _cell(found, found.change(protocol, "multilayer", name), 2, True)


def spread(values: Sequence[float], digits: int = 1, sign: bool = False) -> str:
    """Mean and standard deviation; of one value the value.

    >>> spread([1.0, 2.0]), spread([0.5], 2, True)
    ('1.5 ± 0.7', '+0.50')
    """
    if not values:
        return "-"
    sigma = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):{'+' if sign else ''}.{digits}f}{sigma}"


def _seeds(count: int) -> str:
    return f"{count} seeds" if count > 1 else "one seed"


def _cell(found: Found, values: BySeed, digits: int = 1, sign: bool = False) -> str:
    """Mean and spread; where not all seeds are in it yet, how many are."""
    told = spread(list(values.values()), digits, sign)
    return told if len(values) in (0, len(found.seeds)) else f"{told} (n = {len(values)})"


def _beside(found: Found) -> str:
    """The paper's claim beside both protocols."""
    lines = []
    for name in FIGURES:
        ours = [_cell(found, found.change(one, "multilayer", name), 2, True) for one in ("scratch", "inherited")]
        lines.append([name, f"{PAPER[found.data][name]:+.2f}", *ours])
    time = _cell(found, found.time("multilayer"), 1, True)
    lines.append(["time of an epoch", f"{PAPER[found.data]['time']:+.2f}", time, time])
    header = ("change against the whole net, %", "the paper", "ours, both from scratch", "ours, inherited")
    return markdown(header, lines)


def _layers(found: Found) -> str:
    """Which layers went."""
    sets: dict[str, list[int]] = {}
    for seed in found.seeds:
        threshold = found.row("layers", "multilayer", seed)["threshold"]
        told = f"{' '.join(_short(found, seed))}, under {threshold:g}"
        sets.setdefault(told, []).append(seed)
    listed = "; ".join(
        f"{told} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})" for told, seeds in sets.items()
    )
    return f"Layers that go by the schedule of the class networks (b5c3: the third conv of block 5): {listed}."


def _short(found: Found, seed: int) -> list[str]:
    """The layers that ``multilayer`` takes out, as ``b5c3``: the third conv of block 5."""
    row = found.row("layers", "multilayer", seed)
    names = [f"b{block}c{conv}" for block, count in enumerate(_BLOCKS, 1) for conv in range(1, count + 1)]
    known = dict(zip(row["theta"], names, strict=True))
    return [name for layer, name in known.items() if layer in row["removed"]]


def _ways(found: Found) -> str:
    """As many layers by each way, inherited weights."""
    header = ("layers go by", "of multilayer's", "parameters left", "untrained", *FIGURES, "time of an epoch")
    whole = [_cell(found, found.figure("inherited", "whole", name)) for name in FIGURES]
    lines = [["nothing gone (the control)", "", "100", "", *whole, "0"]]
    count = mean(len(found.removed("multilayer", seed)) for seed in found.seeds)
    for way in found.ways:
        figures = [_cell(found, found.figure("inherited", way, name)) for name in ("untrained", *FIGURES)]
        left = f"{mean(found.parameters(way).values()):.0f}"
        shared = f"{mean(found.shared(way)):.2g} of {count:.2g}"
        lines.append([_NAMES[way], shared, left, *figures, _cell(found, found.time(way), 0, True)])
    return "Inherited weights, trained further, per cent:\n\n" + markdown(header, lines)


def _scratch(found: Found) -> str:
    """The same from new weights."""
    header = ("layers go by", *FIGURES)
    ways = [("whole", "nothing gone"), *((way, _NAMES[way]) for way in found.ways if found.knows("scratch", way))]
    lines = [[name, *(_cell(found, found.figure("scratch", way, one)) for one in FIGURES)] for way, name in ways]
    return "From scratch, all for as many epochs, per cent:\n\n" + markdown(header, lines)


def _sentences(found: Found) -> list[str]:
    """What came out and what did not, in plain words, from the figures."""
    title = TITLES[found.data]
    told = [*_claims(found), *_choices(found)]
    return [f"{title}, {one}" for one in told]


def _claims(found: Found) -> list[str]:
    """The goal: the paper's time, and accuracy beside the control; and the paper's own figures."""
    paper = PAPER[found.data]
    time = mean(found.time("multilayer").values())
    saved = f"an epoch takes {abs(time):.0f} % {'less' if time < 0 else 'more'} time"
    reached = "at least" if time <= paper["time"] else "not"
    told = [f"time: {saved}, {reached} the paper's {-paper['time']:.2f} %."]
    gaps = list(found.ahead("whole").values())
    wanted, came = ("not below", mean(gaps) >= 0) if found.data == "mnist" else ("above", mean(gaps) > 0)
    told.append(
        f"inherited: accuracy is {_apart(gaps, 'the control')}; that it is {wanted} it "
        f"{'came' if came else 'did not come'} out."
    )
    told.append(
        f"chance: the standard error of one such accuracy is {_standard_error(found):.2f} points"
        + (", and one seed shows signs rather than sizes." if len(gaps) == 1 else ".")
    )
    change = {name: mean(found.change("scratch", "multilayer", name).values()) for name in FIGURES}
    short = [
        f"{name} {paper[name]:+.2f} % (here {change[name]:+.2f} %)" for name in FIGURES if change[name] < paper[name]
    ]
    if short:
        told.append(f"both from scratch: these gains of the paper did not come out: {'; '.join(short)}.")
    if len(short) < len(FIGURES):
        reached = ", ".join(name for name in FIGURES if change[name] >= paper[name])
        told.append(f"both from scratch: the paper's gain was reached for {reached}.")
    return told


def _standard_error(found: Found) -> float:
    """Of the control's accuracy, in points, from the number of images that it is judged on."""
    share = mean(found.figure("inherited", "whole", "accuracy").values()) / 100
    images = found.row("inherited", "whole", found.seeds[0])["images"]
    return float(100 * (share * (1 - share) / images) ** 0.5)


def _choices(found: Found) -> list[str]:
    """Multilayer beside the other ways."""
    told = []
    same = [way for way in found.ways if way != "multilayer" and found.always_the_same(way)]
    others = [way for way in found.ways if way not in ("multilayer", *same)]
    if same:
        told.append(
            f"the very layers of multilayer, with every seed, are taken by: {_listed(same)}; accuracy is then the same."
        )
    if others:
        each = "; ".join(_apart(list(found.ahead(way).values()), _plain(way)) for way in others)
        told.append(f"inherited, at as many layers, multilayer is {each}.")
    behind = [way for way in others if mean(found.ahead(way).values()) <= 0]
    if behind:
        told.append(f"that multilayer chooses better did not come out against: {_listed(behind)}.")
    elif others:
        told.append("of the ways that take other layers multilayer has the highest mean accuracy.")
    thetas = [list(found.row("layers", "multilayer", seed)["theta"].values()) for seed in found.seeds]
    ranks = [spearman(theta, range(len(theta), 0, -1)) for theta in thetas]
    told.append(
        "theta of the class networks goes with depth: Spearman "
        f"{spread([rank for rank in ranks if rank is not None], 2)}."
    )
    return told


def _apart(gaps: Sequence[float], other: str) -> str:
    """By how many points of accuracy it is above or below the other, and with how many seeds."""
    if mean(gaps) == 0:
        return f"equal to {other}"
    where = "above" if mean(gaps) > 0 else "below"
    if len(gaps) == 1:
        return f"{abs(gaps[0]):.2f} points {where} {other}"
    agree = sum(gap * mean(gaps) > 0 for gap in gaps)
    return f"{abs(mean(gaps)):.2f} ± {stdev(gaps):.2f} points {where} {other} (with {agree} of {len(gaps)} seeds)"


def _plain(way: str) -> str:
    return _NAMES[way].removeprefix("null: ").replace("**", "")


def _listed(ways: Sequence[str]) -> str:
    return ", ".join(_plain(way) for way in ways)
