"""Progressive retraining beside retraining the whole net after each layer, at equal kernels.

    python benchmarks/reproduce/progressive.py --mnist ROOT --cifar10 FOLDER [--seeds 0 1 2] [--epochs 1]

Osaku, Gomes, Falcão, arXiv 2101.04699, 2021. LeNet-5 on a part of MNIST (ROOT as torchvision wants it) and
VGG-11 with norm, of quarter width, on a part of CIFAR-10 (FOLDER with ``train`` and ``test``): half of the kernels of
each conv layer go, first layer to last, by what the validation accuracy loses without each. *progressive* trains layers
1 to l + 1 after each layer, *everything* the whole net; the second is given the kernels that the first chose, and
trains as many epochs. Beside both the unpruned net, trained for as many epochs as all steps together. About a quarter
of an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from torch import nn

from benchmarks.report import Findings, machine, markdown, write_section
from cnngraph.console import Progress, progress
from cnngraph.jobs import one_step
from cnngraph.jobs.baseline import Trained, train, train_net
from cnngraph.jobs.plan import steps_saved
from cnngraph.jobs.prune_in_steps import prune_in_steps
from cnngraph.jobs.pruned import Pruned, Retraining
from cnngraph.jobs.session import Session
from cnngraph.network.followed_net import FollowedNet
from cnngraph.origin import get_origin
from cnngraph.plan import Plan
from cnngraph.pruning.choice import choose
from cnngraph.pruning.layer_by_layer import LayerByLayer
from cnngraph.settings import Settings
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice, open_model
from cnngraph.sources.saved import open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.freezing import named_tensors
from cnngraph.training.fit import Recipe

NAME = "reproduce/progressive"
RATIO, BASELINE_EPOCHS = 0.5, 10
FIGURES = ("accuracy", "kappa")


@dataclass(frozen=True)
class Setting:
    """A net, and the images that it is trained on."""

    title: str
    net: str
    width: float
    data: DataChoice


@dataclass
class RetrainEverything(LayerByLayer):
    """The kernels that were chosen before, and all of the net trained after each layer."""

    chosen: Mapping[str, Plan] = field(kw_only=True)

    def plan(self, net: nn.Module, target: str, done: Sequence[Plan]) -> Plan:  # noqa: ARG002
        origin = get_origin(net)
        assert origin is not None
        return self.chosen[target].model_copy(update={"recipe": origin.digest})

    def trained(self, net: FollowedNet, target: str) -> frozenset[str]:  # noqa: ARG002
        return frozenset(named_tensors(net.model))


def main() -> None:
    """Measure what is not there yet, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, metavar="ROOT")
    parser.add_argument("--cifar10", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=2, help="of each step")
    parser.add_argument("--images-per-class", type=int, default=100, help="of the training part")
    options = parser.parse_args()
    folder, count = options.cifar10.resolve(), options.images_per_class
    settings = [
        Setting(
            "LeNet-5 on MNIST", "lenet5", 1.0, DataChoice(name="mnist", root=str(options.mnist), images_per_class=count)
        ),
        Setting(
            "VGG-11 with norm, quarter width, on CIFAR-10",
            "vgg11_bn",
            0.25,
            DataChoice(name=f"folder:{folder}", images_per_class=count),
        ),
    ]
    found = Findings(NAME, ("title", "seed", "epochs", "images_per_class"))
    for setting in settings:
        for seed in options.seeds:
            key = (setting.title, seed, options.epochs, count)
            if found.get(*key) is None:
                with progress() as bars:
                    row = compare(setting, seed, options.epochs, bars)
                found.add(dict(zip(found.keys, key, strict=True)) | row | {"machine": machine()})
    rows = [row for row in found.all() if (row["epochs"], row["images_per_class"]) == (options.epochs, count)]
    write_section(NAME, page(rows))


def compare(setting: Setting, seed: int, epochs: int, bars: Progress) -> dict[str, Any]:
    """The figures of one seed: of the net before, both ways, and the unpruned net trained for as long."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        data = setting.data.model_copy(update={"seed": seed})  # other images of the training part for each
        recipe = Recipe(epochs=BASELINE_EPOCHS, seed=seed)
        train(
            ModelChoice(name=f"cnngraph:{setting.net}", width=setting.width, size=32, seed=seed),
            data,
            recipe,
            home / "net",
            device="cpu",
            progress=bars,
        )
        session = Session(Settings(None, "neo4j", None, None, "benchmark", home, home), bars)
        choice = choose(
            {"method": "progressive", "ratio": RATIO, "device": "cpu", "seed": seed, "data": data.name}, reads_data=True
        )
        steps = steps_saved(session, open_source(str(home / "net")), choice, OtherData())
        subject = open_model(ModelChoice(name=str(home / "net")), data, bars, required="sound")
        how = Retraining(replace(recipe, epochs=epochs), device="cpu", seed=seed)
        with training_timed() as mine:
            first = prune_in_steps(subject, steps, how, folder=home / "progressive", progress=bars)
        everything = retrain_everything(steps, first)
        without = replace(how, control=False)
        with training_timed() as theirs:
            second = prune_in_steps(subject, everything, without, folder=home / "everything", progress=bars)
        if first.plan.filters != second.plan.filters:
            raise AssertionError("both ways must have lost the same kernels")
        control = first.result["control"]
        return {
            "layers": len(first.steps),
            "parameters": first.result["after"]["parameters"] / first.result["before"]["parameters"],
            "before": {name: first.result["before"][name] for name in FIGURES},
            "progressive": figures(first, sum(mine)),
            "everything": figures(second, sum(theirs)),
            "unpruned, as long": {name: control[name] for name in FIGURES},
        }


def retrain_everything(steps: Any, first: Pruned) -> RetrainEverything:
    """The other way, with the kernels that the first one chose."""
    origin = get_origin(first.subject.model)
    assert origin is not None
    chosen = {
        str(plan.settings["layer"]): plan.model_copy(
            update={"settings": {key: plan.settings[key] for key in ("layer", "criterion")}}
        )
        for plan in origin.last_steps
    }
    known = {one.name: getattr(steps, one.name) for one in fields(steps)}
    return RetrainEverything(**known, chosen=chosen)


def figures(made: Pruned, seconds: float) -> dict[str, float]:
    """On the test images; and the CPU seconds that its trainings took, without choosing."""
    return {name: made.result["after"][name] for name in FIGURES} | {"seconds": seconds}


@contextmanager
def training_timed() -> Iterator[list[float]]:
    """The CPU seconds of each training of steps inside: other jobs on the machine do not lengthen them."""
    seconds: list[float] = []

    def timed(*arguments: Any, **options: Any) -> Trained:
        began = time.process_time()
        found = train_net(*arguments, **options)
        seconds.append(time.process_time() - began)
        return found

    with mock.patch.object(one_step, "train_net", timed):
        yield seconds


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The section of docs/results.md."""
    parts = []
    for title in dict.fromkeys(row["title"] for row in rows):
        mine = [row for row in rows if row["title"] == title]
        table = markdown(
            ("way", "accuracy", "kappa", "CPU seconds of training"),
            (
                (way, *(spread([row[way].get(name) for row in mine], name) for name in (*FIGURES, "seconds")))
                for way in ("before", "progressive", "everything", "unpruned, as long")
            ),
        )
        left = mean(row["parameters"] for row in mine)
        count = f"{len(mine)} seeds" if len(mine) > 1 else "one seed"
        parts.append(f"### {title}, {mine[0]['layers']} layers, {left:.0%} of the parameters left, {count}\n\n{table}")
        parts.append(" ".join(sentences(mine)))
    known, first = rows[-1]["machine"], rows[0]
    head = (
        f"Half of the kernels of each conv layer, {first['epochs']} epochs after each layer, "
        f"{first['images_per_class']} training images a class, mean and standard deviation over the seeds; figures are "
        f"of the test images. {known['threads']} thread, {known['processor']}, {known['date']}, load {known['load']}."
    )
    return "\n\n".join([head, *parts])


def spread(values: Sequence[float | None], name: str) -> str:
    """Mean and standard deviation."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    scale, form = (100, "{:.1f}%") if name == "accuracy" else (1, "{:.3f}" if name == "kappa" else "{:.1f}")
    sigma = f" ± {scale * stdev(known):.{1 if name != 'kappa' else 3}f}" if len(known) > 1 else ""
    return form.format(scale * mean(known)) + sigma


def sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What came out and what did not, in plain words, from the figures."""
    gaps = [100 * (row["progressive"]["accuracy"] - row["everything"]["accuracy"]) for row in rows]
    wins = sum(gap > 0 for gap in gaps)
    faster = [row["everything"]["seconds"] / row["progressive"]["seconds"] for row in rows]
    kept = [100 * (row["progressive"]["accuracy"] - row["before"]["accuracy"]) for row in rows]
    control = [100 * (row["progressive"]["accuracy"] - row["unpruned, as long"]["accuracy"]) for row in rows]
    verdict = "did better than" if wins == len(rows) else "did worse than" if wins == 0 else "was not surely apart from"
    told = [
        f"Progressive retraining {verdict} retraining everything: {mean(gaps):+.1f} points of accuracy.",
        f"It was ahead with {wins} of {len(rows)} seeds, and its trainings took {1 / mean(faster):.2f} times as long.",
        f"Against the net before it has {mean(kept):+.1f} points.",
        f"Against the unpruned net that was trained for as long it has {mean(control):+.1f}.",
    ]
    if mean(gaps) <= 0:
        told.append("That progressive retraining keeps the accuracy better did not come out here.")
    if mean(control) < 0:
        told.append("That half of the kernels cost nothing beside the unpruned net did not come out here.")
    return told


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Rows of the summary of all papers: what it is about, the paper's claim, ours."""
    found = []
    for title in dict.fromkeys(row["title"] for row in rows):
        mine = [row for row in rows if row["title"] == title]
        gaps = [100 * (row["progressive"]["accuracy"] - row["everything"]["accuracy"]) for row in mine]
        control = [100 * (row["progressive"]["accuracy"] - row["unpruned, as long"]["accuracy"]) for row in mine]
        ours = (
            f"{points(gaps)} points of accuracy beside retraining everything, {points(control)} beside the unpruned "
            "net trained as long; half of the kernels gone"
        )
        count = f"{len(mine)} seeds" if len(mine) > 1 else "one seed"
        claim = "retraining layer by layer keeps the accuracy better than retraining everything"
        found.append((f"{title}, {count}", claim, ours))
    return found


def points(gaps: Sequence[float]) -> str:
    """Mean and standard deviation, with sign."""
    return f"{mean(gaps):+.1f}" + (f" ± {stdev(gaps):.1f}" if len(gaps) > 1 else "")


if __name__ == "__main__":
    main()
