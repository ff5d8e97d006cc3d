"""Half of a layer gone without fine-tuning: CAR beside the paper's baselines and our other scores.

    python benchmarks/reproduce/car.py [--cifar10 folder:PATH] [--mnist ROOT] [--nets lenet5 ...] [--seeds 3]

Abbasi-Asl & Yu 2021 take half of the filters of a layer out of trained nets and fine-tune nothing: of AlexNet's first
two layers CAR keeps 26 % and 20 % more accuracy than the best baseline. Here it is LeNet on MNIST, an AlexNet-like net
and a VGG net on CIFAR-10, each trained from three seeds, and the first two conv layers of each. CAR judges on
validation images, every score that reads images on training images; accuracy is told on test images that nothing has
seen.

Each finding is kept in benchmarks/results/reproduce_car.jsonl, so that the work can be interrupted and goes on where it
stopped. CIFAR-10 is a folder with train and test inside, MNIST the root that torchvision expects.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 (the checkout is no installed package)
import torch  # noqa: E402

import cnngraph as cg  # noqa: E402
from benchmarks.report import RESULTS, Findings, machine, machine_in_words, markdown, write_result, write_section  # noqa: E402
from benchmarks.reproduce.subjects import percent  # noqa: E402
from cnngraph.datasets.images import Images as ImageSet  # noqa: E402
from cnngraph.datasets.registry import Data, Subset, loader, open_data  # noqa: E402
from cnngraph.evidence.collect import collect  # noqa: E402
from cnngraph.evidence.colour import (  # noqa: E402
    SELECTIVE_ANSWERS,
    SELECTIVE_WEIGHTS,
    Excited,
    answers_to_colour,
    weights_on_colour,
)
from cnngraph.measures.registry import find_measure  # noqa: E402
from cnngraph.models.registry import build  # noqa: E402
from cnngraph.network.tables import Network  # noqa: E402
from cnngraph.origin import Preprocessing  # noqa: E402
from cnngraph.plan import Plan, Removal  # noqa: E402
from cnngraph.pruning.context import Context, Images  # noqa: E402
from cnngraph.pruning.filters import FilterShare, plan_filters  # noqa: E402
from cnngraph.pruning.methods.car import METHOD, Options  # noqa: E402
from cnngraph.surgery import saved  # noqa: E402
from cnngraph.surgery.apply import cut  # noqa: E402
from cnngraph.surgery.channels.coupling import Coupling, coupled  # noqa: E402
from cnngraph.surgery.channels.filter_scores import score_filters  # noqa: E402
from cnngraph.training.evaluate import evaluate  # noqa: E402
from cnngraph.training.fit import fit  # noqa: E402

BASELINES = ("magnitude", "outgoing", "random", "activation", "apoz", "rms")  # the paper's
OURS = ("taylor", "bn", "strength", "redundancy", "pagerank")
GRAPH = {"strength": "strength", "redundancy": "map-redundancy", "pagerank": "map-pagerank"}
DRAWS = 5  # of random orders, whose mean counts
FIRST = 20  # filters to go whose colour is looked at
TESTED = 1000  # test images that accuracy is told on
TRACED = 20  # images a class that the graph is of
PAPER_COLOURS = (17, 14)  # of the first 20 to go of AlexNet's first two layers
PAPER = {0: 26, 1: 20}  # per cent above the best baseline on AlexNet's first two layers


@dataclass(frozen=True)
class Setting:
    """One net and how it is trained."""

    width: float
    data: str
    size: int
    channels: int
    images_per_class: int
    epochs: int
    layers: tuple[str, str]
    augment: bool = True

    @property
    def label(self) -> str:
        """What every finding about it shares."""
        return f"{self.images_per_class}x{self.epochs}-w{self.width:g}"


SETTINGS = {
    "lenet5": Setting(1.0, "mnist", 28, 1, 500, 10, ("features.0", "features.3"), augment=False),
    "alexnet": Setting(0.375, "cifar10", 32, 3, 250, 8, ("features.0", "features.3")),
    "vgg16_bn": Setting(0.25, "cifar10", 32, 3, 200, 6, ("features.0", "features.3")),
}


class Subject:
    """A trained net and its images."""

    def __init__(self, net: str, seed: int, data: Data, judged: int) -> None:
        self.net, self.seed, self.data = net, seed, data
        self.setting = SETTINGS[net]
        self.judging, self.testing = _some(data.validation, judged), _some(data.test, TESTED)

    @cached_property
    def saved(self) -> saved.Saved:
        """Trained, from its folder where it is there already."""
        folder = RESULTS / "baselines" / f"car-{self.net}-{self.setting.label}-{self.seed}"
        if not saved.is_saved(folder):
            setting = self.setting
            net = build(
                f"cnngraph:{self.net}",
                classes=10,
                in_channels=setting.channels,
                size=setting.size,
                width=setting.width,
                seed=self.seed,
            )
            fit(
                net,
                self.data.train,
                self.data.validation,
                epochs=setting.epochs,
                seed=self.seed,
                augment=setting.augment,
                device="cpu",
                precision="fp32",
                channels_last=True,
            )
            net.to(memory_format=torch.contiguous_format)
            folder.parent.mkdir(parents=True, exist_ok=True)
            cg.save(net, folder, preprocessing=self.data.train.preprocessing, classes=self.data.classes)
        return saved.read_saved(folder)

    @cached_property
    def coupling(self) -> Coupling:
        """Which filters go together."""
        return coupled(self.saved.model, self.saved.input_shape)

    @cached_property
    def network(self) -> Network:
        """Its graph, of training images."""
        batches = loader(self.data.train)
        return cg.trace(self.saved.model, batches, images_per_class=TRACED, view="channels")

    def accuracy_without(self, layer: str, filters: Iterable[int]) -> float:
        """Of the net that is left, on test images; nothing is trained."""
        plan = Plan(removes=(Removal(layer=layer, kind="filters", filters=tuple(sorted(filters))),))
        net = cut(self.saved.model, plan, input_shape=self.saved.input_shape)
        return float(evaluate(net, self.testing, device="cpu").accuracy)

    def order_by_car(self, layer: str, count: int) -> list[int]:
        """The first filters to go, in their order."""
        context = Context(
            model="",
            architecture="",
            open_saved=lambda: self.saved,
            open_images=lambda: Images(loader(self.data.train, shuffle=True, seed=self.seed), 10),
            open_judged=lambda _: Images(loader(self.judging, batch_size=256), 10),
            device="cpu",
        )
        plan = METHOD.path(context, Options(layer=(layer,)), {"filters": count}).whole
        return [channel for step in plan.settings["steps"] for channel in step["filters"]]

    def filters_by(self, score: str, layer: str, seed: int = 0) -> tuple[int, ...]:
        """The half of the layer that goes by a score."""
        if score in GRAPH:
            measure, options = find_measure(GRAPH[score])
            found = measure.oracle(self.network, options)
            scores = tuple(found.value[found.layer == found.layers.index(layer)].tolist())
        else:
            batches = loader(self.data.train, batch_size=64, shuffle=True, seed=self.seed)
            every = score_filters(self.saved.model, self.coupling, score, loader=batches, seed=seed, classes=10)
            scores = every[layer]
        return plan_filters(self.coupling, {layer: scores}, FilterShare(0.5)).filters[layer]

    def colour(self, layer: str) -> tuple[list[bool], float] | None:
        """Which filters are colour-selective, and from which score on; ``None`` where there is no colour."""
        if self.setting.channels != 3:
            return None
        if layer == self.setting.layers[0]:
            kernels = self.saved.model.get_submodule(layer).get_parameter("weight")
            shares = weights_on_colour(kernels, self.data.train.preprocessing.std)
            return (shares >= SELECTIVE_WEIGHTS).tolist(), SELECTIVE_WEIGHTS
        train = self.data.train
        found = collect(self.saved.followed, loader(train), self.data.classes, [layer]).layers[layer]
        excited = Excited(found.values, found.images, found.places)
        shares = answers_to_colour(self.saved.followed, layer, train, excited)
        return (shares >= SELECTIVE_ANSWERS).tolist(), SELECTIVE_ANSWERS


def _some(images: ImageSet, count: int) -> ImageSet:
    """So many of the images, always the same ones."""
    return images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:count]))


class Study:
    """All nets, seeds and layers; what is known is skipped."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.found = Findings("reproduce_car", ("setting", "net", "seed", "layer", "method"))

    def run(self) -> None:
        """Find what is missing: all nets of one seed, then of the next."""
        data = {net: self.open(net) for net in self.options.nets}
        for seed in range(self.options.seeds):
            for net in self.options.nets:
                subject = Subject(net, seed, data[net], self.options.judged)
                for layer in subject.setting.layers:
                    for method in ("whole", "car", *BASELINES, *OURS):
                        self.one(subject, layer, method)

    def open(self, net: str) -> Data:
        """Train, validation and test images."""
        setting, options = SETTINGS[net], self.options
        name, root = ("mnist", options.mnist) if setting.data == "mnist" else (options.cifar10, None)
        colour = setting.channels == 3
        preprocessing = Preprocessing(
            size=(setting.size, setting.size),
            channels=setting.channels,
            mean=(0.49, 0.48, 0.45) if colour else (0.13,),
            std=(0.25, 0.24, 0.26) if colour else (0.31,),
        )
        subset = Subset(images_per_class=setting.images_per_class)
        return open_data(name, root=root, subset=subset, preprocessing=preprocessing)

    def label(self, net: str) -> str:
        """What every finding about a net shares."""
        return f"{SETTINGS[net].label}-j{self.options.judged}-t{TESTED}"

    def one(self, subject: Subject, layer: str, method: str) -> None:
        """One finding, if it is not known."""
        key = (self.label(subject.net), subject.net, subject.seed, layer, method)
        if self.found.get(*key) is not None or (method == "bn" and not subject.net.endswith("_bn")):
            return
        began = time.monotonic()
        row: dict[str, Any] = dict(zip(self.found.keys, key, strict=True))
        width = subject.coupling.layers[layer]
        if method == "whole":
            row["accuracy"] = float(evaluate(subject.saved.model, subject.testing, device="cpu").accuracy)
        elif method == "car":
            order = subject.order_by_car(layer, width // 2)
            row |= {"accuracy": subject.accuracy_without(layer, order), "order": order}
            colour = subject.colour(layer)
            if colour is not None:
                row |= {"selective": colour[0], "from": colour[1]}
        else:
            draws = [subject.filters_by(method, layer, draw) for draw in range(DRAWS if method == "random" else 1)]
            row["accuracy"] = statistics.mean(subject.accuracy_without(layer, filters) for filters in draws)
        row |= {"filters": width, "seconds": round(time.monotonic() - began, 1)}
        self.found.add(row)
        print(row, file=sys.stderr, flush=True)

    def report(self) -> None:
        """Write benchmarks/results/reproduce_car.json and the section of docs/results.md."""
        rows = [row for row in self.found.all() if row["net"] in SETTINGS and row["setting"] == self.label(row["net"])]
        write_result("reproduce_car", {"benchmark": "reproduce/car", "machine": machine(), "findings": rows})
        if rows:
            write_section("reproduce/car", page(rows, self.options.judged))


def page(rows: Sequence[dict[str, Any]], judged: int) -> str:
    """The section: a table a net, the colours, and what did not come out."""
    known = machine()
    nets = [net for net in SETTINGS if any(row["net"] == net for row in rows)]
    trained = "; ".join(
        f"{net} of width {SETTINGS[net].width:g} on {_DATA[SETTINGS[net].data]}, {SETTINGS[net].images_per_class} "
        f"images a class, {SETTINGS[net].epochs} epochs"
        for net in nets
    )
    said = (
        f"Accuracy on {TESTED:,} test images with half of one conv layer gone, nothing trained afterwards: mean ± "
        f"standard deviation over trainings from several seeds. Trained: {trained}. CAR judges on {judged} validation "
        f"images. *random*: the mean of {DRAWS} orders. Within a layer RMS ranks as the magnitude of incoming weights "
        "does. The first six scores are the baselines of the paper, the others ours. "
        f"{machine_in_words(known)}."
    )
    parts = [said]
    for net in nets:
        mine = [row for row in rows if row["net"] == net]
        seeds = len({row["seed"] for row in mine if row["method"] == "car"})
        title = f"### {net}: half of a layer gone, {seeds} seed{'s' if seeds > 1 else ''}"
        parts += [title, _table(net, mine), *_colours(net, mine)]
    return "\n\n".join([*parts, "### Beside the paper", *_verdicts(rows)])


_DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
_NAMES = {
    "whole": "nothing gone",
    "car": "**CAR**",
    "magnitude": "magnitude, incoming",
    "outgoing": "magnitude, outgoing",
    "activation": "mean activation",
    "apoz": "APoZ",
    "rms": "RMS",
    "bn": "scale of the norm",
}


def _table(net: str, rows: Sequence[dict[str, Any]]) -> str:
    layers = SETTINGS[net].layers
    widths = {row["layer"]: row["filters"] for row in rows}
    header = ("goes by", *(f"{layer}, {widths[layer] // 2} of {widths[layer]}" for layer in layers if layer in widths))
    lines = []
    for method in ("whole", "car", *BASELINES, *OURS):
        cells = [percent(_accuracies(rows, layer, method)) for layer in layers if layer in widths]
        if any(cell != "-" for cell in cells):
            lines.append([_NAMES.get(method, method), *cells])
    return markdown(header, lines)


def _accuracies(rows: Iterable[dict[str, Any]], layer: str, method: str) -> list[float]:
    mine = [row for row in rows if row["layer"] == layer and row["method"] == method]
    return [row["accuracy"] for row in sorted(mine, key=lambda row: row["seed"])]


def _colours(net: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    said = []
    for number, layer in enumerate(SETTINGS[net].layers):
        mine = [row for row in rows if row["layer"] == layer and row["method"] == "car"]
        if not mine or "selective" not in mine[0]:
            continue
        first = [sum(row["selective"][channel] for channel in row["order"][:FIRST]) for row in mine]
        looked = [len(row["order"][:FIRST]) for row in mine]
        every = [sum(row["selective"]) for row in mine]
        what = "energy of the weights off the grey axis" if number == 0 else "response that goes with colour"
        said.append(
            f"{layer}: of the first {looked[0]} to go {_listed(first)} are colour-selective (share of {what} at least "
            f"{mine[0]['from']:g}), of all {mine[0]['filters']} {_listed(every)}: by chance it would be "
            f"{statistics.mean(n * k / row['filters'] for n, k, row in zip(every, looked, mine, strict=True)):.1f} "
            "of the first."
        )
    if not said:
        return ["Its images are grey, so that colour is undefined."]
    return [" ".join(said)]


@dataclass(frozen=True)
class Gain:
    """How far CAR lies above the best baseline on one layer.

    Attributes:
        number: of the layer, from 0. best: the baseline. other: the best of all scores but CAR. percent: of the
            baseline's accuracy, as in the paper.
    """

    net: str
    number: int
    layer: str
    best: str
    other: str
    percent: float


def _gains(rows: Sequence[dict[str, Any]]) -> list[Gain]:
    """Of every net and layer that is known."""
    found = []
    for net, setting in SETTINGS.items():
        mine = [row for row in rows if row["net"] == net]
        for number, layer in enumerate(setting.layers):
            car = _accuracies(mine, layer, "car")
            every = {name: _accuracies(mine, layer, name) for name in (*BASELINES, *OURS)}
            means = {name: statistics.mean(found) for name, found in every.items() if found}
            base = {name: mean for name, mean in means.items() if name in BASELINES}
            if car and base:
                best, other = max(base, key=lambda one: base[one]), max(means, key=lambda one: means[one])
                gain = 100 * (statistics.mean(car) / base[best] - 1)
                found.append(Gain(net, number, layer, best, other, gain))
    return found


def _verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How far CAR lies above the best baseline, and a sentence on what did not come out."""
    lines, short = [], []
    for gain in _gains(rows):
        paper = f"{PAPER[gain.number]:+d} %" if gain.net == "alexnet" else "-"
        best, other = (_NAMES.get(name, name) for name in (gain.best, gain.other))
        lines.append((f"{gain.net} {gain.layer}", f"{gain.percent:+.1f} %", best, paper, other))
        if gain.net == "alexnet" and gain.percent < PAPER[gain.number]:
            wanted = f"the {PAPER[gain.number]} % of AlexNet's layer {gain.number + 1}"
            short.append(f"{wanted} ({gain.percent:+.1f} % here)")
        elif gain.percent <= 0:
            short.append(f"any gain on {gain.net} {gain.layer} ({gain.percent:+.1f} %)")
    header = ("layer", "CAR above the best baseline", "which is", "the paper", "best of all scores but CAR")
    table = markdown(header, lines)
    sentence = f"What did not come out: {'; '.join(short)}." if short else "All of it came out."
    more = (
        "These nets are narrower, were trained briefly, and see 32 pixels; the paper's AlexNet was trained on ImageNet."
    )
    return [table, f"{sentence} {_colours_beside_the_paper(rows)}{more}"]


def summarise(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Rows of the summary of all papers: what it is about, the paper's claim, ours."""
    found = []
    for gain in _gains(rows):
        if gain.net != "alexnet":
            continue
        seeds = len({row["seed"] for row in rows if (row["net"], row["method"]) == ("alexnet", "car")})
        about = f"AlexNet on CIFAR-10, half of layer {gain.number + 1} gone, {seeds} seed{'s' if seeds > 1 else ''}"
        claim = f"{PAPER[gain.number]} % higher accuracy than by the best baseline"
        ours = f"{gain.percent:+.1f} % beside the best baseline ({_NAMES.get(gain.best, gain.best)})"
        found.append((about, claim, ours))
    said = _colours_beside_the_paper(rows)
    if said:
        shares = said.partition("here ")[2].removesuffix(". ")
        paper = " and ".join(map(str, PAPER_COLOURS))
        claim = f"of the first {FIRST} filters to go of the first two layers {paper} are colour-selective"
        found.append(("AlexNet, colour", claim, shares))
    return found


def _colours_beside_the_paper(rows: Sequence[dict[str, Any]]) -> str:
    """What the paper says of the colours of AlexNet's first filters to go, and whether it is so here."""
    said = []
    for number, layer in enumerate(SETTINGS["alexnet"].layers):
        mine = [row for row in rows if row["net"] == "alexnet" and row["layer"] == layer and "selective" in row]
        if mine:
            first = statistics.mean(
                statistics.mean(row["selective"][one] for one in row["order"][:FIRST]) for row in mine
            )
            every = statistics.mean(statistics.mean(row["selective"]) for row in mine)
            said.append(f"{first:.0%} in layer {number + 1}, where {every:.0%} of all filters are")
    if not said:
        return ""
    paper = " and ".join(map(str, PAPER_COLOURS))
    return (
        f"Of the first {FIRST} to go of AlexNet's first two layers the paper calls {paper} colour-selective, by eye; "
        f"here {' and '.join(said)}. "
    )


def _listed(counts: Sequence[int]) -> str:
    return " / ".join(map(str, counts))


def main() -> None:
    """Measure what is not known yet and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(SETTINGS), choices=tuple(SETTINGS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cifar10", default="cifar10", help="cifar10, or folder:PATH with train and test inside")
    parser.add_argument("--mnist", help="where MNIST lies (default: in the cache folder)")
    parser.add_argument("--judged", type=int, default=250, help="validation images that CAR is judged on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(options)
    study.run()
    study.report()


if __name__ == "__main__":
    main()
