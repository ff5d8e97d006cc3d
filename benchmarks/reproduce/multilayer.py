"""VGG16 on MNIST and CALTECH-101 without the layers that its class networks name, beside other ways to choose them.

    python benchmarks/reproduce/multilayer.py --mnist ROOT --caltech101 FOLDER [--split-file FILE] [--seeds 0 1 2]

Amelio, Bonifazi, Corradini, Ursino, Virgili, Cognitive Computation 2022, doi 10.1007/s12559-022-10084-6. ROOT is what
torchvision expects, FOLDER has a folder a class, and FILE (path,part a line) says which images are train and test.

A VGG16 of quarter width with norm is trained; its class networks give each conv its theta; the first step of the
schedule whose net saves at least the paper's share of an epoch's time says which layers go, and how many. Two
protocols: *from scratch*, as in the paper: the net without these layers is trained anew, as long as the whole net was;
*inherited*: it keeps its weights, with joins by least squares, and is trained further beside the whole net, which is
trained further for as long (the control). As many layers are taken by other measures and at random.

Epoch time is in CPU seconds, over the same images, net after net in turns, so that a busy machine does not falsify the
ratio; on a GPU in seconds. Everything is judged on test images, which decide nothing; whoever tunes does it by another
seed and ``--judge validation``. Each finding is kept in benchmarks/results/reproduce_multilayer.jsonl, and a
training goes on from its last epoch, so that the work can be interrupted anywhere. ``--quick`` only shows that all of
it works, and writes no page. On a GPU at full scale: ``--device cuda --width 1 --mnist-images 54000 --mnist-epochs 30
--caltech101-size 96 --caltech101-epochs 60``.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402 (the checkout is no installed package)
import torch  # noqa: E402
from torch import nn  # noqa: E402

import cnngraph as cg  # noqa: E402
from benchmarks.report import RESULTS, Findings, machine, machine_in_words, write_result, write_section  # noqa: E402
from benchmarks.reproduce.multilayer_page import FIGURES, PAPER, TITLES, page  # noqa: E402
from cnngraph.console import Quiet  # noqa: E402
from cnngraph.datasets.images import Images, loader  # noqa: E402
from cnngraph.datasets.registry import Data, SplitOptions, Subset, open_data  # noqa: E402
from cnngraph.errors import PlanError  # noqa: E402
from cnngraph.measures.activation import layer_activations  # noqa: E402
from cnngraph.measures.measure import MeasureResult, Scores  # noqa: E402
from cnngraph.measures.registry import MEASURES  # noqa: E402
from cnngraph.measures.theta import thetas  # noqa: E402
from cnngraph.models.registry import build  # noqa: E402
from cnngraph.network.followed_net import FollowedNet  # noqa: E402
from cnngraph.network.tables import Network  # noqa: E402
from cnngraph.origin import Preprocessing  # noqa: E402
from cnngraph.plan import Plan  # noqa: E402
from cnngraph.pruning.multilayer import Extent, Ranking, decide, plan_network  # noqa: E402
from cnngraph.similarity.input_output import changes  # noqa: E402
from cnngraph.surgery import saved  # noqa: E402
from cnngraph.surgery.apply import apply, cut  # noqa: E402
from cnngraph.surgery.calibration import fitting_images  # noqa: E402
from cnngraph.surgery.check import check, removable  # noqa: E402
from cnngraph.surgery.layers.join_errors import join_errors  # noqa: E402
from cnngraph.training.evaluate import evaluate  # noqa: E402
from cnngraph.training.fit import fit  # noqa: E402

NAME = "reproduce/multilayer"
MARGIN = 1.0  # points of time that are saved beyond the paper's: the two measurements of it differ by that
DRAWS = ("random 1", "random 2")  # whose mean counts
MEASURES_OF = {"multilayer": "degree"}  # every other way is called as its measure is
OF_NET = ("similarity", "join")
WAYS = ("multilayer", "single", *OF_NET, DRAWS[0], "entropy", "depth", "magnitude", DRAWS[1])
# First what the paper compares, of all seeds and data, then the other ways, then their nulls.
PASSES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("inherited", "whole"), ("inherited", "multilayer"), ("scratch", "multilayer")),
    tuple(("inherited", way) for way in WAYS[1:5]),
    (*(("inherited", way) for way in WAYS[5:]), ("scratch", DRAWS[0])),
)


@dataclass(frozen=True)
class Setting:
    """A data set and how the nets are trained on it.

    ``limit``: training images; ``None``: all. ``epochs``: from scratch. ``further``: of what is trained before, at
    ``rate``. ``timed``: images and turns that an epoch's time is measured on.
    """

    data: str
    title: str
    name: str
    root: str | None
    split_file: str | None
    size: int
    channels: int
    limit: int | None
    epochs: int
    further: int
    rate: float
    augment: bool
    net: str
    width: float
    batch: int
    timed: tuple[int, int]

    @property
    def label(self) -> str:
        """What every finding of the same scale shares."""
        told = asdict(self)
        for known in ("data", "title", "name", "root", "split_file"):
            del told[known]
        return " ".join(f"{name}={value}" for name, value in told.items())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image."""
        return self.channels, self.size, self.size


class Clock(Quiet):
    """Told of a training's progress, it knows how long the last pass over the images took."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        self.seconds = 0.0
        self._began = 0.0

    def start(self, what: str, total: float | None = None) -> None:  # noqa: ARG002
        """A pass begins."""
        self._began = self._now()

    def advance(self, amount: float = 1) -> None:  # noqa: ARG002
        """A batch is done."""
        self.seconds = self._now() - self._began

    def _now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() if self.cuda else time.process_time()


class Subject:
    """A whole net, trained, and its images."""

    def __init__(self, setting: Setting, seed: int, data: Data, device: str) -> None:
        self.setting, self.seed, self.data, self.device = setting, seed, data, device
        self.folder = RESULTS / "baselines" / "multilayer" / setting.data / _hash(setting.label) / str(seed)

    def fit(self, net: nn.Module, name: str, epochs: int, rate: float | None) -> dict[str, Any]:
        """Train in place, going on where it stopped; the epoch with the best validation accuracy stays."""
        setting, checkpoint = self.setting, self.folder / f"{name}.checkpoint"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        done = fit(
            net,
            self.data.train,
            self.data.validation,
            epochs=epochs,
            batch_size=setting.batch,
            learning_rate=rate,
            augment=setting.augment,
            seed=self.seed,
            checkpoint=checkpoint,
            **self.execution,
        )
        net.to(memory_format=torch.contiguous_format)
        checkpoint.unlink(missing_ok=True)
        return {"epochs": len(done.history), "best_epoch": done.best_epoch}

    @property
    def execution(self) -> dict[str, Any]:
        """The same for all nets."""
        precision = "fp32" if self.device == "cpu" else "auto"
        return {"device": self.device, "precision": precision, "channels_last": True}

    @cached_property
    def net(self) -> nn.Module:
        """Trained, from its folder where it is there already."""
        if not saved.is_saved(self.folder / "whole"):
            setting = self.setting
            net = build(
                f"cnngraph:{setting.net}",
                classes=len(self.data.classes),
                in_channels=setting.channels,
                size=setting.size,
                width=setting.width,
                seed=self.seed,
            )
            self.fit(net, "whole", setting.epochs, None)
            cg.save(
                net.cpu(),
                self.folder / "whole",
                preprocessing=self.data.train.preprocessing,
                classes=self.data.classes,
            )
        return saved.load(self.folder / "whole")

    @cached_property
    def followed(self) -> FollowedNet:
        """Its layers."""
        return FollowedNet(self.net, self.setting.shape)

    @cached_property
    def stays(self) -> dict[str, str]:
        """Convs that cannot go, and why."""
        return {layer: why for layer, why in removable(self.followed.graph).items() if why}

    @cached_property
    def network(self) -> Network:
        """Its class networks, of all training images."""
        return cg.trace(
            self.net,
            loader(self.data.train),
            classes=self.data.classes,
            connections="none",
            correlations=False,
        )

    def plan_by(self, way: str, extent: Extent) -> Plan:
        """What a way takes out: the method ``multilayer`` with its measure."""
        if way not in OF_NET:
            name, _, draw = way.partition(" ")
            ranking = Ranking(measure=MEASURES_OF.get(way, name), seed=1000 * int(draw or 0) + self.seed)
            return plan_network(self.network, ranking, extent)
        network = self.network
        return decide(
            self.measured(way),
            extent,
            architecture=network.details.architecture,
            activation=layer_activations(network),
        )

    def measured(self, way: str) -> MeasureResult:
        """A measure that reads the net and its images, as it is taken of a stored model."""
        images, batches = MEASURES[way].constants["images"], loader(self.data.train)
        if way == "join":
            found = join_errors(self.net, batches, input_shape=self.setting.shape, images=images, seed=self.seed)
        else:
            drawn = fitting_images(batches, images=images, seed=self.seed)
            found = changes(self.followed, drawn, images=images).layers
        scores = Scores(tuple(found), np.arange(len(found)), np.array(list(found.values()), dtype=np.float64))
        reference, layers = thetas(scores, measure=way)
        return MeasureResult("", way, reference, layers)

    def epoch_seconds(self, nets: Mapping[str, nn.Module], images: Images, turns: int) -> dict[str, list[float]]:
        """Seconds of a pass in training over ``images``, net after net, in so many turns after one that warms up."""
        seconds: dict[str, list[float]] = {name: [] for name in nets}
        for turn in range(turns + 1):
            for name, net in nets.items():
                clock = Clock(self.device)
                fit(
                    copy.deepcopy(net),
                    images,
                    None,
                    epochs=1,
                    batch_size=self.setting.batch,
                    augment=self.setting.augment,
                    seed=turn,
                    progress=clock,
                    **self.execution,
                )
                if turn:
                    seconds[name].append(clock.seconds)
        return seconds


_LONG = ("setting", "theta", "schedule", "machine", "plan")  # not said on the terminal


class Study:
    """All data sets and seeds; what is known is skipped."""

    def __init__(self, options: argparse.Namespace, settings: Sequence[Setting]) -> None:
        self.options, self.settings = options, settings
        self.found = Findings("reproduce_multilayer", ("setting", "data", "judged", "seed", "protocol", "way"))

    def run(self) -> None:
        """Find what is missing: in each pass all data sets of one seed, then of the next."""
        for wanted in PASSES:
            for seed in self.options.seeds:
                for setting in self.settings:
                    if any(self.found.get(*self.key(setting, seed, *one)) is None for one in wanted):
                        self.measure(Subject(setting, seed, open_images(setting, seed), self.options.device), wanted)

    def key(self, setting: Setting, seed: int, protocol: str, way: str) -> tuple[Any, ...]:
        """Of a finding."""
        return setting.label, setting.data, self.options.judge, seed, protocol, way

    def one(self, subject: Subject, protocol: str, way: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """One finding, found now if it is not known."""
        key = self.key(subject.setting, subject.seed, protocol, way)
        known = self.found.get(*key)
        if known is not None:
            return known
        began, spent = time.monotonic(), time.process_time()
        row = dict(zip(self.found.keys, key, strict=True)) | find()
        row |= {"seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(time.process_time() - spent, 1)}
        row |= {"machine": machine()} if protocol == "time" else {}
        self.found.add(row)
        print({name: row[name] for name in row if name not in _LONG}, file=sys.stderr, flush=True)
        return row

    def measure(self, subject: Subject, wanted: Sequence[tuple[str, str]]) -> None:
        """What is wanted of one data set and seed, and what has to be known before."""
        self.one(subject, "scratch", "whole", lambda: self.judged(subject, subject.net))
        chosen = {"multilayer": self.one(subject, "layers", "multilayer", lambda: choose_step(subject))}
        count = len(chosen["multilayer"]["removed"])
        for way in WAYS[1:]:
            find = partial(as_many_layers, subject, way, count)
            chosen[way] = self.one(subject, "layers", way, find)
        plans = {way: Plan.model_validate(row["plan"]) for way, row in chosen.items()}
        self.time(subject, plans)
        for protocol, way in wanted:
            train = self.trained_further if protocol == "inherited" else self.trained_anew
            known = self.of_the_same_layers(subject, protocol, way, plans)
            find = partial(train, subject, way, plans.get(way))
            self.one(subject, protocol, way, find if known is None else partial(dict, known))

    def of_the_same_layers(
        self, subject: Subject, protocol: str, way: str, plans: Mapping[str, Plan]
    ) -> dict[str, Any] | None:
        """What was found of another way that takes the same layers: nothing in it is random but the seed."""
        for other, plan in plans.items():
            known = self.found.get(*self.key(subject.setting, subject.seed, protocol, other))
            if known is not None and way in plans and set(plan.removed) == set(plans[way].removed):
                return {name: known[name] for name in known if name not in self.found.keys} | {
                    "same_as": known.get("same_as", other)
                }
        return None

    def judged(self, subject: Subject, net: nn.Module) -> dict[str, Any]:
        """How good a net is."""
        images = subject.data.test if self.options.judge == "test" else subject.data.validation
        found = evaluate(net, images, classes=len(subject.data.classes), device=subject.device)
        return {name: getattr(found, name) for name in FIGURES} | {
            "parameters": sum(one.numel() for one in net.parameters()),
            "images": found.images,
        }

    def trained_further(self, subject: Subject, way: str, plan: Plan | None) -> dict[str, Any]:
        """The net, with its weights, trained further; without what the plan takes."""
        setting, net = subject.setting, copy.deepcopy(subject.net)
        if plan is not None:
            batches = loader(subject.data.train)
            net = apply(subject.net, plan, loader=batches, seed=subject.seed, input_shape=setting.shape)
        before = self.judged(subject, net)["accuracy"]
        done = subject.fit(net, f"inherited {way}", setting.further, setting.rate)
        return self.judged(subject, net) | done | {"untrained": before}

    def trained_anew(self, subject: Subject, way: str, plan: Plan | None) -> dict[str, Any]:
        """The net that the plan leaves, from new weights, trained for as long as the whole one was."""
        assert plan is not None
        setting = subject.setting
        anew = plan.model_copy(update={"init": "scratch"})
        net = apply(subject.net, anew, seed=subject.seed, input_shape=setting.shape)
        done = subject.fit(net, f"scratch {way}", setting.epochs, None)
        return self.judged(subject, net) | done

    def time(self, subject: Subject, plans: Mapping[str, Plan]) -> None:
        """An epoch of each net, all in turns; nets of the same layers are one."""
        keys = [self.key(subject.setting, subject.seed, "time", way) for way in ("whole", *plans)]
        if all(self.found.get(*key) is not None for key in keys):
            return
        sets = {way: " ".join(sorted(plan.removed)) for way, plan in plans.items()}
        nets = {"": subject.net} | {
            sets[way]: cut(subject.net, plan, input_shape=subject.setting.shape) for way, plan in plans.items()
        }
        images, turns = subject.setting.timed
        part = first_images(subject.data.train, images)
        seconds = subject.epoch_seconds(nets, part, turns)
        for way in ("whole", *plans):
            mine = seconds[sets.get(way, "")]
            figures = {"ratio": ratio(mine, seconds[""]), "epoch": median(mine) * len(subject.data.train) / len(part)}
            self.one(subject, "time", way, partial(dict, figures))

    def report(self) -> None:
        """Write benchmarks/results/reproduce_multilayer.json and the section of docs/results.md."""
        options, labels = self.options, {setting.label for setting in self.settings}
        rows = [row for row in self.found.all() if row["setting"] in labels and row["judged"] == options.judge]
        if not rows:
            return
        text = page(rows, said(self.settings, rows, options.judge, options.device))
        if options.quick or options.judge != "test":
            print(text)
            return
        write_result("reproduce_multilayer", {"benchmark": NAME, "machine": machine(), "findings": rows})
        write_section(NAME, text)


def said(settings: Sequence[Setting], rows: Sequence[dict[str, Any]], judge: str, device: str) -> str:
    """How the figures were made."""
    first, one_of = settings[0], {setting.data: setting for setting in settings}
    trained = "; ".join(
        f"{TITLES[setting.data]}: {setting.size} px, "
        + ("all training images" if setting.limit is None else f"{setting.limit:,} training images")
        + f", {setting.epochs} epochs from scratch, {setting.further} more of what is trained before, "
        + f"{_judged_on(rows, setting.data)} {judge} images"
        for setting in one_of.values()
    )
    known = [row["machine"] for row in rows if "machine" in row]
    where = f"{machine_in_words(known[-1])}. " if known else ""
    norm = "with batch norm" if first.net.endswith("_bn") else "without norm"
    return (
        f"VGG16 of width {first.width:g}, {norm}, AdamW. {trained}. {where}Mean ± standard deviation over the seeds. "
        "*From scratch*, as in the paper: the net without the layers is trained from new weights for as many epochs as "
        "the whole net. *Inherited*: it starts from the trained weights, with joins by least squares, and is trained "
        f"further, at {first.rate:g} at most; the control is the whole net, trained further for as long. How many "
        "layers go is the first step of the schedule whose net saves the paper's share of an epoch's time and "
        f"{MARGIN:g} point more; accuracy has no part in it. Every other way takes as many layers. Time of an epoch: "
        f"{'GPU' if device == 'cuda' else 'CPU'} seconds of training passes over the same {first.timed[0]:,} images, "
        "all nets in turns, so that other work on the machine does not falsify it; the median of "
        f"{first.timed[1]} ratios. The class networks are of all training images; the measures are computed from the "
        "net in memory (tests hold them equal to the database's), and what goes is decided by the method's own code. "
        "Nothing was tuned: learning rates are the trainer's defaults, and how many epochs there are was decided by "
        f"what two cores can do. *random*: the mean of {len(DRAWS)} draws."
    )


def _judged_on(rows: Sequence[dict[str, Any]], data: str) -> str:
    counts = {row["images"] for row in rows if row["data"] == data and "images" in row}
    return " or ".join(f"{count:,}" for count in sorted(counts))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def open_images(setting: Setting, seed: int) -> Data:
    """Train, validation and test images; where it is a part of the training images, another one for each seed."""
    colour = setting.channels == 3
    return open_data(
        setting.name,
        root=setting.root,
        subset=Subset(limit=setting.limit, seed=seed) if setting.limit else None,
        split_by=SplitOptions(file=setting.split_file) if setting.split_file else None,
        preprocessing=Preprocessing(
            size=(setting.size, setting.size),
            channels=setting.channels,
            mean=(0.49, 0.48, 0.45) if colour else (0.13,),
            std=(0.25, 0.24, 0.26) if colour else (0.31,),
        ),
    )


def first_images(images: Images, count: int) -> Images:
    """So many of them, always the same ones, of all classes."""
    return images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:count]))


def extent(subject: Subject, threshold: float | None = None, remove: int | None = None) -> Extent:
    """How far a ranking is followed; what cannot go stays."""
    return Extent(threshold=threshold, remove=remove, keep=subject.stays)


def ratio(seconds: Sequence[float], whole: Sequence[float]) -> float:
    """Of two nets timed in turns: the median over the turns."""
    return median(mine / theirs for mine, theirs in zip(seconds, whole, strict=True))


def choose_step(subject: Subject) -> dict[str, Any]:
    """The first step of the schedule whose net saves the paper's share of an epoch's time and a little more; else the
    last one that leaves a net. Accuracy has no part in it."""
    steps = subject.plan_by("multilayer", Extent()).schedule
    goal = -PAPER[subject.setting.data]["time"] + MARGIN
    images, turns = subject.setting.timed
    part, turns = first_images(subject.data.train, images // 2), min(turns, 3)
    best: Plan | None = None
    tried: list[dict[str, Any]] = []
    for step in steps:
        plan = subject.plan_by("multilayer", extent(subject, threshold=step.threshold))
        if not plan.removes or (best is not None and len(plan.removed) == len(best.removed)):
            continue
        try:
            check(subject.followed.graph, plan)
        except PlanError:
            continue
        nets = {"whole": subject.net, "cut": cut(subject.net, plan, input_shape=subject.setting.shape)}
        seconds = subject.epoch_seconds(nets, part, turns)
        saves = 100 * (1 - ratio(seconds["cut"], seconds["whole"]))
        best = plan
        tried.append({"threshold": step.threshold, "removed": list(plan.removed), "saves": saves})
        if saves >= goal:
            break
    if best is None:
        raise PlanError("No step of the schedule leaves a net.", "Train it for longer.")
    return chosen_layers(best) | {"tried": tried}


def as_many_layers(subject: Subject, way: str, count: int) -> dict[str, Any]:
    """The layers that another way takes."""
    return chosen_layers(subject.plan_by(way, extent(subject, remove=count)))


def chosen_layers(plan: Plan) -> dict[str, Any]:
    """What of a plan is kept."""
    return {
        "removed": list(plan.removed),
        "theta": {row.layer: row.theta for row in plan.layers},
        "threshold": plan.threshold,
        "schedule": [[step.threshold, list(step.removed)] for step in plan.schedule],
        "plan": plan.model_dump(mode="json", exclude={"layers", "schedule"}),
    }


def settings_of(options: argparse.Namespace) -> list[Setting]:
    """The data sets, at the scale that was asked for."""
    common = {"net": options.net, "width": options.width, "batch": 64, "rate": options.rate, "timed": options.timed}
    found = []
    if options.mnist is not None:
        found.append(
            Setting(
                data="mnist",
                title="MNIST",
                name="mnist",
                root=options.mnist,
                split_file=None,
                size=options.mnist_size,
                channels=1,
                limit=options.mnist_images,
                epochs=options.mnist_epochs,
                further=options.mnist_further,
                augment=False,
                **common,
            )
        )
    if options.caltech101 is not None:
        found.append(
            Setting(
                data="caltech101",
                title="CALTECH-101",
                name=f"folder:{Path(options.caltech101).resolve()}",
                root=None,
                split_file=options.split_file,
                size=options.caltech101_size,
                channels=3,
                limit=options.caltech101_images,
                epochs=options.caltech101_epochs,
                further=options.caltech101_further,
                augment=True,
                **common,
            )
        )
    return found


QUICK = {
    "net": "vgg16_bn",
    "width": 0.125,
    "mnist_size": 32,
    "mnist_images": 300,
    "mnist_epochs": 2,
    "mnist_further": 1,
    "caltech101_size": 32,
    "caltech101_images": 808,
    "caltech101_epochs": 2,
    "caltech101_further": 1,
    "timed": (128, 1),
    "seeds": [0],
}


def main() -> None:
    """Measure what is not known yet and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", metavar="ROOT", help="as torchvision wants it; without it MNIST is left out")
    parser.add_argument("--caltech101", metavar="FOLDER", help="a folder a class; without it CALTECH-101 is left out")
    parser.add_argument("--split-file", metavar="FILE", help="of CALTECH-101: path,part a line")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--net", default="vgg16_bn", choices=("vgg16_bn", "vgg16"))
    parser.add_argument("--width", type=float, default=0.25, help="as a share of VGG16's channels")
    parser.add_argument("--mnist-size", type=int, default=32, help="pixels")
    parser.add_argument("--mnist-images", type=int, default=4000, help="of the training part")
    parser.add_argument("--mnist-epochs", type=int, default=5, help="from scratch")
    parser.add_argument("--mnist-further", type=int, default=3, help="epochs of what is trained before")
    parser.add_argument("--caltech101-size", type=int, default=48, help="pixels")
    parser.add_argument("--caltech101-images", type=int, help="of the training part (default: all)")
    parser.add_argument("--caltech101-epochs", type=int, default=8, help="from scratch")
    parser.add_argument("--caltech101-further", type=int, default=3, help="epochs of what is trained before")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate of what is trained before")
    parser.add_argument("--timed", nargs=2, type=int, default=(512, 5), metavar=("IMAGES", "TURNS"))
    parser.add_argument("--judge", default="test", choices=("test", "validation"), help="on which images")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="a scale at which the figures mean nothing; no page")
    parser.add_argument("--page", action="store_true", help="write the section of what is found so far, and end")
    options = parser.parse_args()
    for name, value in QUICK.items() if options.quick else ():
        setattr(options, name, value)
    options.timed = tuple(options.timed)
    settings = settings_of(options)
    if not settings:
        parser.error("Name --mnist ROOT, --caltech101 FOLDER or both.")
    if options.device == "cpu":
        torch.set_num_threads(1)  # CPU seconds are then those of the work
    study = Study(options, settings)
    if not options.page:
        study.run()
    study.report()


if __name__ == "__main__":
    main()
