"""What the reproductions share: a net that is trained once and kept, and more images of its data to look at it with."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from cnngraph.console import Progress
from cnngraph.jobs.baseline import train
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.surgery.saved import is_saved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnngraph.datasets.registry import Images
    from cnngraph.training.fit import Recipe

__all__ = ["Setting", "add_run_options", "count_seeds", "evaluate_on", "more_images", "open_trained", "percent"]


def add_run_options(parser: argparse.ArgumentParser, data: Sequence[str]) -> None:
    """The options of every reproduction: where its ``data`` are, which seeds, where it runs, how far it goes."""
    for name in data:
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="ROOT" if name == "mnist" else "FOLDER")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--page", action="store_true", help="write the section of what is found so far, and end")
    parser.add_argument("--quick", action="store_true", help="prove the script at a tiny scale; writes no page")


@dataclass(frozen=True)
class Setting:
    """A net, and the images that it is trained on.

    Attributes:
        channels: of one image; size: its rows and columns. augment: shift and mirror training images.
    """

    title: str
    net: str
    data: DataChoice
    width: float = 1.0
    size: int = 32
    channels: int = 3
    augment: bool = False

    @property
    def images_per_class(self) -> int:
        """Of the training part."""
        assert self.data.images_per_class is not None
        return self.data.images_per_class


def open_trained(
    setting: Setting,
    recipe: Recipe,
    folder: Path,
    *,
    device: str,
    judged: int,
    progress: Progress,
    keep_initial: bool = False,
) -> LoadedModel:
    """The net of a setting, trained as ``recipe`` says, or read back from ``folder``.

    Args:
        recipe: its seed is also that of the first weights; which images are taken, the setting's data say.
        judged: at most so many validation images judge what is made of it.
    """
    if not is_saved(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        choice = ModelChoice(
            name=f"cnngraph:{setting.net}",
            width=setting.width,
            size=setting.size,
            channels=setting.channels,
            seed=recipe.seed,
        )
        train(choice, setting.data, recipe, folder, device=device, keep_initial=keep_initial, progress=progress)
    subject = open_model(ModelChoice(name=str(folder)), setting.data, progress, required="sound")
    return replace(subject, data=replace(subject.data, validation=_some(subject.data.validation, judged)))


def more_images(subject: LoadedModel, part: str, count: int) -> Images:
    """Images of a part, more than the subset has: at most so many, of all classes, always the same, in random order."""
    from cnngraph.datasets.registry import open_data

    choice = subject.choice
    data = open_data(choice.name, root=choice.root, preprocessing=subject.preprocessing, split=subject.split, parts=())
    images: Images = getattr(data, part)
    return _some(images, count)


def _some(images: Images, count: int) -> Images:
    return images.take(np.random.default_rng(0).permutation(len(images))[:count])


def evaluate_on(net: Any, images: Images, device: str) -> dict[str, float]:
    """Accuracy and Cohen's kappa of a net, which moves to the device."""
    from cnngraph.training.evaluate import evaluate

    found = evaluate(net, images, device=device)
    return {"accuracy": found.accuracy, "kappa": found.kappa}


def percent(shares: Sequence[float | None], digits: int = 1) -> str:
    """Mean and standard deviation of shares, as percent; a dash where there is none.

    >>> percent([0.5, 0.6]), percent([0.5]), percent([])
    ('55.0% ± 7.1', '50.0%', '-')
    """
    known = [100 * share for share in shares if share is not None]
    if not known:
        return "-"
    return f"{mean(known):.{digits}f}%" + (f" ± {stdev(known):.{digits}f}" if len(known) > 1 else "")


def count_seeds(count: int) -> str:
    """In words."""
    return f"{count} seeds" if count > 1 else "one seed"
