"""One layer in the place of each block in turn: how much accuracy comes back, by which scheme, how soon.

    python benchmarks/reproduce/triage.py --mnist ROOT --cifar10 FOLDER --caltech101 FOLDER [--seeds 0 1 2] [--quick]

Nowak, Corso, "Deep Net Triage", arXiv 1801.04651, 2018. VGG16 with norm, of quarter width, at 32 pixels, on parts of
digits (which scikit-learn brings), MNIST (ROOT as torchvision wants it), CIFAR-10 (FOLDER with ``train`` and ``test``)
and CALTECH-101 (FOLDER with a folder a class; of the classes those with the most images): each stage is replaced by one
layer by the six schemes of the paper and by ours, as ``cnngraph triage`` does it, and judged on test images. Beside
them the net itself, and the net itself trained on for as long.

Each finding is kept in benchmarks/results/reproduce/triage.jsonl, so that the work can be interrupted and goes on where
it stopped; all data sets get the schemes that train the whole net first. At full scale, on a GPU: --images-per-class
digits=110 mnist=4800 cifar10=4400 caltech101=18 --caltech101-classes 101 --width 1 --parent-epochs 60 --epochs 20
--tested 10000 --judged 5000 --device cuda. ``--quick`` proves the script in about two minutes, and writes no page.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.report import RESULTS, Findings, machine, write_section
from benchmarks.reproduce.subjects import Setting, add_run_options, evaluate_on, more_images, open_trained
from benchmarks.reproduce.triage_page import page
from cnngraph.console import Progress, progress
from cnngraph.jobs.criticality_result import epochs_to
from cnngraph.jobs.criticality_trial import Setup, Trial, run_trial
from cnngraph.jobs.schemes import SCHEMES
from cnngraph.jobs.workspace import JobFolder
from cnngraph.reporting.criticality import SHARE
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel
from cnngraph.training.fit import Recipe, fit

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.datasets.registry import Images
    from cnngraph.network.blocks import Block
    from cnngraph.training.evaluate import Evaluation

NAME = "reproduce/triage"
# The schemes, in the order in which all data sets get them.
GROUPS = (
    ("random-global", "distill", "parent-global", "parent-distill"),
    ("random-local", "parent-local"),
    ("fitted",),
)
TEMPERATURE, ALPHA = 4.0, 0.9  # of the distillation, as cnngraph triage has them
TITLES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "caltech101": "CALTECH-101"}
COUNTS = {"digits": 30, "mnist": 30, "cifar10": 50, "caltech101": 15}  # training images a class


@dataclass(frozen=True)
class Scale:
    """How much is trained and looked at.

    Attributes:
        parent_epochs: of the net itself. epochs: of each trial. judged: validation images that choose the best epoch
            and count the epochs. tested: test images.
    """

    parent_epochs: int
    epochs: int
    batch_size: int
    judged: int
    tested: int
    width: float
    device: str

    def label(self, setting: Setting) -> str:
        """What every finding about a setting at this scale shares."""
        return (
            f"{setting.images_per_class}x{self.parent_epochs}+{self.epochs}b{self.batch_size}-w{self.width:g}"
            f"-s{setting.size}-v{self.judged}-t{self.tested}"
        )


@dataclass(frozen=True)
class WatchedSetup(Setup):
    """What trials share; keeps the net that was judged first, which the trial then trains in place."""

    nets: list[nn.Module] = field(default_factory=list)

    def evaluate(self, net: nn.Module) -> Evaluation:
        self.nets.append(net)
        return super().evaluate(net)


def main() -> None:
    """Measure what is not there yet, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser, ("mnist", "cifar10", "caltech101"))
    parser.add_argument("--data", nargs="+", default=list(TITLES), choices=tuple(TITLES))
    parser.add_argument("--images-per-class", nargs="+", type=_count, default=[], metavar="DATA=N", help="for training")
    parser.add_argument("--caltech101-classes", type=int, default=20, help="so many of those with the most images")
    parser.add_argument("--size", type=int, default=32, help="pixels of an image of CALTECH-101")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--parent-epochs", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=5, help="of each trial")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--judged", type=int, default=200, help="validation images")
    parser.add_argument("--tested", type=int, default=500, help="test images that accuracy is told on")
    options = parser.parse_args()
    quick = options.quick
    scale = Scale(
        parent_epochs=1 if quick else options.parent_epochs,
        epochs=1 if quick else options.epochs,
        batch_size=options.batch_size,
        judged=40 if quick else options.judged,
        tested=40 if quick else options.tested,
        width=0.125 if quick else options.width,
        device=options.device,
    )
    counts = COUNTS | dict(options.images_per_class)
    data = options.data[:: len(options.data) - 1 or 1] if quick else options.data  # the first and the last
    settings = [setting_of(name, 2 if quick else counts[name], scale, options) for name in data]
    found = Findings(f"{NAME}-quick" if quick else NAME, ("title", "scale", "seed", "block", "scheme"))
    groups = (("random-global", "distill"),) if quick else GROUPS
    with progress() as bars:
        for seed in () if options.page else options.seeds:
            studies = [Study(setting, seed, scale, found, bars) for setting in settings]
            for group in groups:
                for study in studies:
                    study.run(group)
    if not quick:
        labels = {setting.title: scale.label(setting) for setting in settings}
        rows = [row for row in found.all() if labels.get(row["title"]) == row["scale"]]
        if rows:
            write_section(NAME, page(rows))


def _count(typed: str) -> tuple[str, int]:
    name, _, count = typed.partition("=")
    if name not in TITLES or not count.isdigit() or int(count) < 1:
        raise argparse.ArgumentTypeError(f"{typed!r} is not DATA=N with DATA of {', '.join(TITLES)}.")
    return name, int(count)


def setting_of(name: str, count: int, scale: Scale, options: argparse.Namespace) -> Setting:
    """One of the four data sets."""
    title, grey = TITLES[name], name in ("digits", "mnist")
    root = str(options.mnist.resolve()) if name == "mnist" else None
    where = {"digits": "digits", "mnist": "mnist", "cifar10": f"folder:{options.cifar10.resolve()}"}.get(name)
    if where is None:
        folder = largest_classes(options.caltech101.resolve(), options.caltech101_classes)
        title, where = f"{title}, {options.caltech101_classes} classes", f"folder:{folder}"
    choice = DataChoice(name=where, root=root, images_per_class=count)
    size = options.size if name == "caltech101" else 32
    return Setting(title, "vgg16_bn", choice, scale.width, size, 1 if grey else 3, augment=not grey)


def largest_classes(folder: Path, count: int) -> Path:
    """A copy of the classes with the most images, but for the background, which is none; the folder itself for all."""
    classes = [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name != "BACKGROUND_Google"]
    chosen = sorted(classes, key=lambda one: (-sum(1 for _ in one.iterdir()), one.name))[:count]
    made = RESULTS / "work" / f"{folder.name}-{count}"
    for one in chosen:
        if not (made / one.name).is_dir():
            shutil.rmtree(made / f".{one.name}", ignore_errors=True)
            shutil.copytree(one, made / f".{one.name}")
            (made / f".{one.name}").rename(made / one.name)
    return made


@dataclass
class Study:
    """One data set and seed; what is known is skipped."""

    setting: Setting
    seed: int
    scale: Scale
    found: Findings
    progress: Progress

    def run(self, schemes: Sequence[str]) -> None:
        """All blocks by some schemes, and the net itself before them."""
        self.one("", "parent", self.judge_parent)
        self.one("", "control", self.train_on)
        for scheme in schemes:
            for block in self.subject.followed.blocks:
                self.one(block.name, scheme, partial(self.try_block, block, scheme))

    def one(self, block: str, scheme: str, measure: Callable[[], dict[str, Any]]) -> None:
        """One finding, if it is not known."""
        key = (self.setting.title, self.scale.label(self.setting), self.seed, block, scheme)
        if self.found.get(*key) is not None:
            return
        began = time.monotonic()
        row = dict(zip(self.found.keys, key, strict=True)) | measure()
        row |= {
            "images_per_class": self.setting.images_per_class,
            "parent_epochs": self.scale.parent_epochs,
            "epochs": self.scale.epochs,
            "tested": len(self.testing),
            "judged": len(self.subject.data.validation),
        }
        self.found.add(row | {"seconds": round(time.monotonic() - began, 1), "machine": machine()})
        said = f"{row['accuracy']:.1%}" if row["accuracy"] is not None else row["failed"]
        self.progress.note(f"{self.setting.title}, seed {self.seed}: {block or 'the net'} {scheme} {said}")

    @property
    def folder(self) -> Path:
        """Where the net of this seed and unfinished trials are kept."""
        name = self.setting.title.lower().replace(", ", "-").replace(" ", "-")
        return RESULTS / "work" / f"triage-{name}-{self.scale.label(self.setting)}-{self.seed}"

    @cached_property
    def subject(self) -> LoadedModel:
        """The net with all its blocks."""
        data = self.setting.data.model_copy(update={"seed": self.seed})
        return open_trained(
            replace(self.setting, data=data),
            replace(self.recipe, epochs=self.scale.parent_epochs),
            self.folder / "net",
            device=self.scale.device,
            judged=self.scale.judged,
            progress=self.progress,
        )

    @property
    def recipe(self) -> Recipe:
        """Of a trial."""
        return Recipe(self.scale.epochs, self.scale.batch_size, augment=self.setting.augment, seed=self.seed)

    @cached_property
    def testing(self) -> Images:
        """Test images."""
        return more_images(self.subject, "test", self.scale.tested)

    @cached_property
    def setup(self) -> WatchedSetup:
        """What all trials share; how they are trained is measured once."""
        from cnngraph.training.execution import Execution, choose_execution

        stage = JobFolder(self.folder).stage("execution")
        if not stage.is_done:
            batch = self.subject.data.train[range(self.scale.batch_size)][0]
            stage.write(asdict(choose_execution(self.subject.model, batch, device=self.scale.device)))
        execution = Execution(**stage.read())
        return WatchedSetup(self.subject, self.recipe, execution, JobFolder(self.folder), self.progress)

    def judge(self, net: nn.Module) -> dict[str, Any]:
        """Accuracy and kappa on test images, and accuracy on the validation images."""
        return evaluate_on(net, self.testing, self.scale.device) | {
            "validation": evaluate_on(net, self.subject.data.validation, self.scale.device)["accuracy"],
            "failed": None,
        }

    def judge_parent(self) -> dict[str, Any]:
        """The net with all its blocks, as it is."""
        return self.judge(copy.deepcopy(self.subject.model))

    def train_on(self) -> dict[str, Any]:
        """The net with all its blocks, trained on for as long as a trial: what any training would bring."""
        how = asdict(self.recipe) | asdict(self.setup.execution)
        net = copy.deepcopy(self.subject.model)
        fit(net, self.subject.data.train, self.subject.data.validation, **how, progress=self.progress)
        return self.judge(net)

    def try_block(self, block: Block, scheme: str) -> dict[str, Any]:
        """One trial, and the net that it ends with on test images: that of the best epoch of its training."""
        setup, known = self.setup, SCHEMES[scheme]
        trial = Trial(block, known, self.seed, *((TEMPERATURE, ALPHA) if known.distils else ()))
        trial.stage(setup.folder).path.unlink(missing_ok=True)  # done, but its net was not judged: once more
        setup.nets.clear()
        found = run_trial(setup, trial)
        ended = evaluate_on(setup.nets[0], self.testing, self.scale.device) if setup.nets else {}
        if found["failed"] is not None:
            ended = {}
        parent = evaluate_on(setup.teacher, self.subject.data.validation, self.scale.device)["accuracy"]
        return {
            "accuracy": ended.get("accuracy"),
            "kappa": ended.get("kappa"),
            "validation": found["accuracy"],
            "curve": found["curve"],
            "epochs_to_95": epochs_to(found["curve"], SHARE * parent),
            "parent_validation": parent,
            "failed": found["failed"],
        }


if __name__ == "__main__":
    main()
