"""The section of imp: accuracy by round, similarity by layer, what of the paper came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from benchmarks.report import machine_in_words, markdown
from benchmarks.reproduce.subjects import count_seeds, percent

__all__ = ["Bend", "bend", "page", "summarise"]

Row = Mapping[str, Any]

# The authors' demo: LeNet5 on MNIST, mean SVCCA at relu1, pool1, relu2, pool2, fc1, fc2, logits, learning rate rewound.
DEMO = {
    "0.51 left": ("compare lr 3", (0.9997, 0.9998, 0.9985, 0.9990, 0.9888, 0.9858, 0.9992)),
    "0.26 left": ("compare lr 6", (0.9980, 0.9985, 0.9889, 0.9914, 0.9331, 0.9302, 0.9944)),
    "trained apart": ("compare apart", (0.7036, 0.7124, 0.6040, 0.7061, 0.7852, 0.7711, 0.9486)),
}
_TITLES = {"compare control": "unpruned, as long", "compare apart": "trained apart"}
_MEASURES = {"svcca": "mean SVCCA", "cka": "unbiased linear CKA"}


@dataclass(frozen=True)
class Bend:
    """A curve over depth: its first value, the mean of those between and the least of them, and the logits' value."""

    first: float
    between: float
    least: float
    last: float

    @property
    def is_u(self) -> bool:
        """Whether both ends lie above the mean of what is between them."""
        return min(self.first, self.last) > self.between

    @property
    def dip(self) -> float:
        """How far the mean between lies below the lower end."""
        return min(self.first, self.last) - self.between


def bend(values: Sequence[float | None]) -> Bend | None:
    """How a curve over depth is bent; ``None`` of fewer than three values.

    >>> bend([0.9, 0.5, 0.7, 0.8]), bend([0.9, 0.5, 0.7, 0.8]).is_u
    (Bend(first=0.9, between=0.6, least=0.5, last=0.8), True)
    """
    known = [value for value in values if value is not None]
    if len(known) < 3:
        return None
    return Bend(known[0], mean(known[1:-1]), min(known[1:-1]), known[-1])


def page(rows: Sequence[Row]) -> str:
    """The section of docs/results.md."""
    known = rows[-1]["machine"]
    images = "; ".join(
        f"{title}: {row['images_per_class']} training images a class, {row['epochs']} epochs each training, judged on "
        f"{row['tested']:,} test images"
        for title, row in _by_title(rows)
    )
    head = (
        f"A fifth of the weights goes in each round; each round trains as long as the first training did, and ends "
        f"with its best epoch by validation images. Every round sees the images in the order, and with the shifts and "
        f"mirrors, of the first training; the net trained for as long sees new ones in each epoch. {images}. "
        f"Layers are compared with those of the unpruned net on training images as they are; in brackets the "
        f"null, the same with the images of one net in another order. "
        f"Mean ± standard deviation over the seeds. {machine_in_words(known)}, load {known['load']}."
    )
    parts = [head]
    for title in dict.fromkeys(row["title"] for row in rows):
        mine = [row for row in rows if row["title"] == title]
        seeds = {row["seed"] for row in mine if row["what"] == "prune lr"}
        parts.append(f"### {title}, {count_seeds(len(seeds))}")
        parts += [*_accuracies(mine), *(_similarities(mine, measure) for measure in _MEASURES)]
        parts += [_shapes(mine), " ".join([*_about_accuracy(mine), *_verdict(mine)])]
        if title.startswith("LeNet5"):
            parts += _demo(mine)
    return "\n\n".join(part for part in parts if part)


def _by_title(rows: Sequence[Row]) -> Iterable[tuple[str, Row]]:
    return {row["title"]: row for row in rows}.items()


def _of(rows: Sequence[Row], what: str) -> list[Row]:
    return sorted((row for row in rows if row["what"] == what), key=lambda row: row["seed"])


def _accuracies(rows: Sequence[Row]) -> list[str]:
    """Accuracy by round, of both rewinds, with the nets to hold it against."""
    ways = {rewind: _of(rows, f"prune {rewind}") for rewind in ("lr", "weights")}
    whole = ways["lr"]
    if not whole:
        return []
    lines = [["unpruned", "100.0%", *[percent([row["before"]["accuracy"] for row in whole])] * 2]]
    for place, one in enumerate(whole[0]["rounds"]):
        cells = [percent([row["rounds"][place]["accuracy"] for row in way]) for way in ways.values()]
        lines.append([f"round {one['round']}", f"{one['alive']:.1%}", *cells])
    control = percent([row["control"]["accuracy"] for row in whole])
    lines.append(["unpruned, trained as long as all rounds", "100.0%", control, control])
    return [markdown(("test accuracy", "weights left", "learning rate rewound", "first weights rewound"), lines)]


def _columns(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """By title of the column, the findings of the comparisons, in order."""
    alive = {one["round"]: one["alive"] for row in _of(rows, "prune lr")[:1] for one in row["rounds"]}
    found: dict[str, list[Row]] = {}
    for what in dict.fromkeys(row["what"] for row in rows if row["what"].startswith("compare")):
        parts = what.split()
        title = _TITLES.get(what) or f"{'' if parts[1] == 'lr' else 'first weights, '}{alive[int(parts[2])]:.0%} left"
        found[title] = _of(rows, what)
    return found


def _similarities(rows: Sequence[Row], measure: str) -> str:
    """A table: layers by comparisons."""
    columns = _columns(rows)
    if not columns:
        return ""
    layers = [one["layer"] for one in next(iter(columns.values()))[0]["layers"]]
    lines = [
        [layer, *(_cell([row["layers"][place] for row in mine], measure) for mine in columns.values())]
        for place, layer in enumerate(layers)
    ]
    return markdown((f"{_MEASURES[measure]}, with the unpruned net", *columns), lines)


def _cell(found: Sequence[Row], measure: str) -> str:
    values = [one[measure] for one in found if one[measure] is not None]
    nulls = [one[f"{measure} null"] for one in found if one[f"{measure} null"] is not None]
    if not values:
        return "-"
    sigma = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    null = f" ({round(mean(nulls), 2) + 0.0:.2f})" if nulls else ""  # -0.00 is 0.00
    return f"{mean(values):.3f}{sigma}{null}"


def _above_null(one: Row, measure: str) -> float | None:
    """The share of what is left above the null that is reached."""
    value, null = one[measure], one[f"{measure} null"]
    return None if value is None or null is None or null >= 1 else (value - null) / (1 - null)


def bends(found: Sequence[Row], measure: str, *, above_null: bool = False) -> list[Bend]:
    """How the curve of each seed is bent."""
    curves = [[_above_null(one, measure) if above_null else one[measure] for one in row["layers"]] for row in found]
    return [one for one in map(bend, curves) if one is not None]


def _about_accuracy(rows: Sequence[Row]) -> list[str]:
    said = []
    lr = _of(rows, "prune lr")
    for rewind, words in (("lr", "With the learning rate rewound"), ("weights", "with the first weights rewound")):
        found = _of(rows, f"prune {rewind}")
        if not found:
            continue
        last = [100 * (row["rounds"][-1]["accuracy"] - row["before"]["accuracy"]) for row in found]
        left = found[0]["rounds"][-1]["alive"]
        said.append(f"{words} {left:.1%} of the weights come to {mean(last):+.1f} points beside the unpruned net")
    if lr:
        gain = [100 * (row["rounds"][-1]["accuracy"] - row["control"]["accuracy"]) for row in lr]
        held = [100 * (row["control"]["accuracy"] - row["before"]["accuracy"]) for row in lr]
        said.append(
            f"but the unpruned net that was trained for as long has {mean(held):+.1f} itself, beside which the "
            f"first comes to {mean(gain):+.1f}"
        )
    return [", ".join(said) + "."] if said else []


def _shapes(rows: Sequence[Row]) -> str:
    """A table: each curve over depth in three numbers, and whether it is a U."""
    lines = []
    for title, found in _columns(rows).items():
        raw, above = bends(found, "svcca"), bends(found, "svcca", above_null=True)
        if raw:
            ends = [
                f"{mean(one):.3f}" for one in zip(*((one.first, one.between, one.last) for one in raw), strict=True)
            ]
            lines.append([title, *ends, *map(_counted, (raw, above, bends(found, "cka")))])
    header = ("mean SVCCA over depth", "first layer", "mean between", "logits", "a U", "above the null", "CKA")
    return markdown(header, lines) if lines else ""


def _counted(found: Sequence[Bend]) -> str:
    yes = sum(one.is_u for one in found)
    if len(found) == 1:
        return "yes" if yes else "no"
    return f"{yes} of {len(found)} seeds"


def pruned_bends(rows: Sequence[Row], *, above_null: bool = False) -> list[Bend]:
    """Of all comparisons of a pruned net with the unpruned one."""
    return [
        one
        for title, found in _columns(rows).items()
        if title not in _TITLES.values()
        for one in bends(found, "svcca", above_null=above_null)
    ]


def _verdict(rows: Sequence[Row]) -> list[str]:
    found, above = pruned_bends(rows), pruned_bends(rows, above_null=True)
    if not found:
        return []
    yes, also = sum(one.is_u for one in found), sum(one.is_u for one in above)
    dips = mean(one.dip for one in found)
    came = "came out" if yes == len(found) else "did not come out" if not yes else "came out in part"
    text = (
        f"That similarity is high in the first layers and in the last, and lower between, {came}: in {yes} of "
        f"{len(found)} comparisons of a pruned net, {also} above the null. The mean between lies {dips:.3f} below the "
        "lower of both ends."
    )
    control = bends(_of(rows, "compare control"), "svcca")
    if control:
        text += f" Of the unpruned net that was trained for as long, by training alone, it is so: {_counted(control)}."
    return [text]


def _demo(rows: Sequence[Row]) -> list[str]:
    """The authors' demo beside ours."""
    lines, ours = [], {}
    for name, (what, theirs) in DEMO.items():
        found = _of(rows, what)
        if not found:
            continue
        ours[name] = [mean(row["layers"][place]["svcca"] for row in found) for place in range(len(found[0]["layers"]))]
        lines += [
            [f"{name}, their demo", *(f"{one:.4f}" for one in theirs)],
            [f"{name}, ours", *(f"{one:.4f}" for one in ours[name])],
        ]
    if len(ours) < len(DEMO):
        return []
    layers = [one["layer"] for one in _of(rows, "compare apart")[0]["layers"]]
    order = list(ours.values())
    ordered = sum(one > two > three for one, two, three in zip(*order, strict=True))
    said = (
        f"The order of the demo, less pruned above more pruned above trained apart, holds in {ordered} of "
        f"{len(layers)} layers. Spearman of our seven layers with theirs: "
        + "; ".join(f"{name} {_spearman(mine, DEMO[name][1]):+.2f}" for name, mine in ours.items())
        + ". Their demo prunes half a round first, biases too, and trains on all of MNIST."
    )
    return [markdown(("mean SVCCA", *layers), lines), said]


def _spearman(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def summarise(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Rows of the summary of all papers: what it is about, the paper's claim, ours."""
    found = []
    for title in dict.fromkeys(row["title"] for row in rows):
        mine = [row for row in rows if row["title"] == title]
        bent, above = pruned_bends(mine), pruned_bends(mine, above_null=True)
        lr = _of(mine, "prune lr")
        if not bent or not lr:
            continue
        change = mean(100 * (row["rounds"][-1]["accuracy"] - row["before"]["accuracy"]) for row in lr)
        control = mean(100 * (row["rounds"][-1]["accuracy"] - row["control"]["accuracy"]) for row in lr)
        yes, also = (sum(one.is_u for one in curves) for curves in (bent, above))
        left = lr[0]["rounds"][-1]["alive"]
        ours = (
            f"so in {yes} of {len(bent)} comparisons ({also} above the null); with {left:.1%} of the weights "
            f"{change:+.1f} points of accuracy, {control:+.1f} beside the unpruned net trained as long"
        )
        claim = "similarity with the unpruned net is high in the first and the dense layer, lower between"
        found.append((f"{title}, {count_seeds(len(lr))}", claim, ours))
    return found
