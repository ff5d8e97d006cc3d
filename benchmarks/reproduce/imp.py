"""Weights pruned round by round, and how similar the layers of the pruned net stay to those of the unpruned one.

    python benchmarks/reproduce/imp.py --mnist ROOT --cifar10 FOLDER [--seeds 0 1 2] [--quick]

Ansuini, Medvet, Pellegrino, Zullich, "On the Similarity between Hidden Layers of Pruned and Unpruned CNNs", ICPRAM
2020. Their LeNet5 (``lenet5_avg``) on a part of MNIST (ROOT as torchvision wants it) and their VGG for 32 pixels
(``vgg_svhn``) on a part of CIFAR-10 (FOLDER with ``train`` and ``test``): ten rounds of a fifth each, rewound to the
first weights or in the learning rate alone, every training as long as the first one. After each round the accuracy on
test images; after some the similarity of each layer with that of the unpruned net, beside its null; beside them the
unpruned net that was trained for as long as all rounds, and a second net from other first weights.

Each finding is kept in benchmarks/results/reproduce/imp.jsonl, so that the work can be interrupted and goes on where it
stopped. At full scale, on a GPU: --mnist-images-per-class 4800 --cifar10-images-per-class 4400 --epochs 30
--compared 5000 --tested 10000 --device cuda. ``--quick`` proves the script in about two minutes, and writes no page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.report import RESULTS, Findings, machine, write_section
from benchmarks.reproduce.imp_page import page
from benchmarks.reproduce.subjects import Setting, add_run_options, evaluate_on, more_images, open_trained
from cnngraph.console import Progress, progress
from cnngraph.jobs.plan import steps_saved
from cnngraph.jobs.prune_in_steps import prune_in_steps
from cnngraph.jobs.pruned import Retraining
from cnngraph.jobs.session import Session
from cnngraph.network.followed_net import FollowedNet
from cnngraph.pruning.choice import choose
from cnngraph.settings import Settings
from cnngraph.similarity.nets import SimilarityOptions, compare_nets, compared_layers
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel
from cnngraph.sources.saved import open_source
from cnngraph.sources.stored import OtherData
from cnngraph.surgery.saved import read_saved
from cnngraph.training.fit import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from cnngraph.datasets.registry import Images

NAME = "reproduce/imp"
REWINDS = ("lr", "weights")
RATE = 0.2
MEASURES = ("svcca", "cka")
APART = 1000  # added to the seed of the second net


@dataclass(frozen=True)
class Scale:
    """How much is trained and looked at.

    Attributes:
        epochs: of every training, the first one and that of each round. compared: training images that layers are
            compared on. tested: test images. judged: validation images that choose epochs.
    """

    rounds: int
    epochs: int
    batch_size: int
    compared: int
    tested: int
    judged: int
    device: str

    def label(self, setting: Setting) -> str:
        """What every finding about a setting at this scale shares."""
        return (
            f"{setting.images_per_class}x{self.epochs}b{self.batch_size}-r{self.rounds}"
            f"-c{self.compared}-t{self.tested}-v{self.judged}"
        )

    @property
    def shown(self) -> tuple[int, ...]:
        """The rounds whose layers are compared: about a half and a quarter of the weights left, and the last."""
        return tuple(sorted({one for one in (3, 6, self.rounds) if one <= self.rounds}))


def main() -> None:
    """Measure what is not there yet, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser, ("mnist", "cifar10"))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3, help="of the first training, and of each round")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--mnist-images-per-class", type=int, default=300, help="of the training part")
    parser.add_argument("--cifar10-images-per-class", type=int, default=70, help="of the training part")
    parser.add_argument("--compared", type=int, default=1000, help="training images that layers are compared on")
    parser.add_argument("--tested", type=int, default=1000, help="test images that accuracy is told on")
    parser.add_argument("--judged", type=int, default=250, help="validation images that choose the best epoch")
    options = parser.parse_args()
    quick = options.quick
    scale = Scale(
        rounds=3 if quick else options.rounds,
        epochs=1 if quick else options.epochs,
        batch_size=options.batch_size,
        compared=400 if quick else options.compared,
        tested=200 if quick else options.tested,
        judged=100 if quick else options.judged,
        device=options.device,
    )
    grey, colour = (30, 10) if quick else (options.mnist_images_per_class, options.cifar10_images_per_class)
    folder = options.cifar10.resolve()
    settings = [
        Setting(
            "LeNet5 on MNIST",
            "lenet5_avg",
            DataChoice(name="mnist", root=str(options.mnist.resolve()), images_per_class=grey),
            size=28,
            channels=1,
        ),
        Setting(
            "VGG for 32 pixels on CIFAR-10",
            "vgg_svhn",
            DataChoice(name=f"folder:{folder}", images_per_class=colour),
            augment=True,
        ),
    ]
    found = Findings(f"{NAME}-quick" if quick else NAME, ("title", "scale", "seed", "what"))
    for seed in () if options.page else options.seeds:
        for setting in settings:
            with progress() as bars:
                Study(setting, seed, scale, found, bars).run()
    if not quick:
        labels = {setting.title: scale.label(setting) for setting in settings}
        rows = [row for row in found.all() if labels.get(row["title"]) == row["scale"]]
        if rows:
            write_section(NAME, page(rows))


@dataclass
class Study:
    """One net and seed; what is known is skipped."""

    setting: Setting
    seed: int
    scale: Scale
    found: Findings
    progress: Progress

    def run(self) -> None:
        """Prune both ways and compare."""
        for rewind in REWINDS:
            self.one(f"prune {rewind}", partial(self.prune, rewind))
        for rewind in REWINDS:
            for number in self.scale.shown:
                made = self.folder / rewind / f"step-{number}/model"
                self.one(f"compare {rewind} {number}", partial(self.compare, made))
        self.one("compare control", partial(self.compare, self.folder / "lr/control/model"))
        self.one("compare apart", self.compare_apart)

    def one(self, what: str, measure: Callable[[], dict[str, Any]]) -> None:
        """One finding, if it is not known."""
        key = (self.setting.title, self.scale.label(self.setting), self.seed, what)
        if self.found.get(*key) is not None:
            return
        began = time.monotonic()
        self.progress.note(f"{self.setting.title}, seed {self.seed}: {what}")
        scale = self.scale
        row = dict(zip(self.found.keys, key, strict=True)) | {
            "images_per_class": self.setting.images_per_class,
            "epochs": scale.epochs,
            "tested": len(self.testing),
        }
        row |= measure()
        self.found.add(row | {"seconds": round(time.monotonic() - began, 1), "machine": machine()})

    @property
    def folder(self) -> Path:
        """Where the nets of this seed are kept."""
        return RESULTS / "work" / f"imp-{self.setting.net}-{self.scale.label(self.setting)}-{self.seed}"

    @property
    def recipe(self) -> Recipe:
        """Of every training."""
        scale = self.scale
        return Recipe(scale.epochs, scale.batch_size, augment=self.setting.augment, seed=self.seed)

    @cached_property
    def subject(self) -> LoadedModel:
        """The unpruned net."""
        return self.open(self.recipe, "net")

    def open(self, recipe: Recipe, name: str) -> LoadedModel:
        """A net trained on this seed's images."""
        data = self.setting.data.model_copy(update={"seed": self.seed})
        return open_trained(
            replace(self.setting, data=data),
            recipe,
            self.folder / name,
            device=self.scale.device,
            judged=self.scale.judged,
            progress=self.progress,
            keep_initial=True,
        )

    @cached_property
    def testing(self) -> Images:
        """Test images."""
        return more_images(self.subject, "test", self.scale.tested)

    def test(self, folder: Path) -> dict[str, float]:
        """Accuracy and kappa of a saved net on test images."""
        return evaluate_on(read_saved(folder).model, self.testing, self.scale.device)

    def prune(self, rewind: str) -> dict[str, Any]:
        """All rounds of one way: accuracy after each, before them, and of the control, which ``lr`` trains."""
        subject, home = self.subject, self.folder / rewind
        session = Session(Settings(None, "neo4j", None, None, "benchmark", self.folder, self.folder), self.progress)
        said = {"method": "imp", "rounds": self.scale.rounds, "rate": RATE, "rewind": rewind}
        said |= {"device": self.scale.device, "seed": self.seed, "data": self.setting.data.name}
        steps = steps_saved(session, open_source(str(self.folder / "net")), choose(said, reads_data=True), OtherData())
        how = Retraining(self.recipe, control=rewind == "lr", device=self.scale.device, seed=self.seed)
        home.mkdir(parents=True, exist_ok=True)
        made = prune_in_steps(subject, steps, how, folder=home, progress=self.progress)
        weights = sum(made.plan.settings["weights"].values())
        rounds = [
            {"round": step.number, "alive": step.alive / weights, "validation": step.accuracy}
            | self.test(home / f"step-{step.number}/model")
            for step in made.steps
            if step.alive is not None
        ]
        found: dict[str, Any] = {"rounds": rounds, "weights": weights, "before": self.test(self.folder / "net")}
        if rewind == "lr":
            found["control"] = self.test(home / "control/model")
        return found

    def compare_apart(self) -> dict[str, Any]:
        """With a net from other first weights, in another order of the same images."""
        self.open(replace(self.recipe, seed=self.seed + APART), "apart")
        return self.compare(self.folder / "apart") | {"apart": self.test(self.folder / "apart")}

    def compare(self, folder: Path) -> dict[str, Any]:
        """The similarity of each layer of a saved net with that of the unpruned one, with its null."""
        whole, other = (self.placed(read_saved(one).followed) for one in (self.folder / "net", folder))
        layers = [one.layer for one in compared_layers(whole)]
        images = more_images(self.subject, "train", self.scale.compared)
        found = compare_nets(
            whole,
            other,
            ((part, part) for part in _batches(images)),
            [(layer, layer) for layer in layers],
            SimilarityOptions(MEASURES),
            images=len(images),
            progress=self.progress,
        )
        rows: dict[str, dict[str, Any]] = {layer: {"layer": layer} for layer in layers}
        for one in found:
            rows[one.first] |= {
                one.measure: one.value,
                f"{one.measure} null": one.null,
                "points per neuron": one.points_per_neuron,
            }
        return {"layers": list(rows.values()), "images": len(images)}

    def placed(self, net: FollowedNet) -> FollowedNet:
        """On the device."""
        from cnngraph.training.execution import pick_device

        net.model.to(pick_device(self.scale.device))
        return net


def _batches(images: Images, size: int = 64) -> Iterator[Tensor]:
    for start in range(0, len(images), size):
        yield images[range(start, min(start + size, len(images)))][0]


if __name__ == "__main__":
    main()
