"""Options that say which net and which images: what ``train``, ``evaluate`` and ``ingest`` have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli.options import DataRoot, ImagesPerClass, Size, known

if TYPE_CHECKING:
    from cnngraph.api.choices import DataChoice, ModelChoice

__all__ = ["DataOptions", "Model", "ModelOptions", "NewHead", "RequiredData", "WeightsKey", "judged"]


def _in_order(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value is not None and not (all(map(math.isfinite, value)) and value[0] < value[1]):
        raise typer.BadParameter(f"{value[0]:g} {value[1]:g} are not two finite numbers, the lower one first")
    return value


def _pattern(value: str | None) -> str | None:
    if value is not None:
        from cnngraph.api import offline

        offline.group_pattern(value)
    return value


WeightsKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Which set of weights of the file: what its names begin with (. for nothing)."),
]
NewHead = Annotated[bool, typer.Option(help="A fresh classifier where the weights' classes do not fit.")]


Model = Annotated[
    str,
    typer.Argument(
        help="Architecture (cnngraph:vgg16, torchvision:resnet18, timm:NAME, python:module:factory) or a saved model."
    ),
]
RequiredData = Annotated[
    str, typer.Option(help="digits, mnist, fashion-mnist, cifar10, cifar100, svhn, caltech101 or folder:PATH.")
]


@dataclass(frozen=True)
class ModelOptions:
    """How a named net is built, with which weights, and what it reads."""

    weights: Annotated[
        str | None, typer.Option(help="pretrained, or a file of weights (safetensors, or a checkpoint of torch.save).")
    ] = None
    weights_key: WeightsKey = None
    width: Annotated[float, typer.Option(min=0.01, max=8, help="Width factor of the small-image nets.")] = 1.0
    size: Size = None
    channels: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Channels that the net reads (default: its first layer says it; else 3)."),
    ] = None
    value_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="The stored numbers that mean 0 and 1 (default: all that 8 or 16 bits hold; floats need it).",
            callback=_in_order,
        ),
    ] = None

    def choose(self, name: str, *, seed: int, **more: Any) -> ModelChoice:
        """The net ``name`` with these options; ``more`` are other fields of the choice."""
        from cnngraph.api.choices import ModelChoice

        if self.weights_key is not None and self.weights in (None, "pretrained"):
            raise typer.BadParameter("--weights-key belongs to --weights FILE")
        return ModelChoice(name=name, seed=seed, **vars(self), **more)


@dataclass(frozen=True)
class DataOptions:
    """Which images of a data set are used, and how they are shared out to train, validation and test."""

    data_root: DataRoot = None
    images_per_class: ImagesPerClass = None
    layout: Annotated[
        str | None,
        typer.Option(
            help="classes or parts: what the folders of folder:PATH are, where their names could mean both.",
            callback=lambda v: known(v, ("classes", "parts"), "layout"),
        ),
    ] = None
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a path and a part (train, val, test) a line; a column group keeps images together."
        ),
    ] = None
    group_by: Annotated[
        str | None,
        typer.Option(help="Regular expression; its first group, in an image's path, names what stays together.",
                     callback=_pattern),
    ] = None  # fmt: skip

    def choose(self, name: str, *, seed: int) -> DataChoice:
        """The data set ``name`` with these options.

        Raises:
            NotFoundError: there is no such split file.
        """
        from cnngraph.api.choices import choose_data

        return choose_data(name, seed=seed, **vars(self))


def judged(result: dict[str, Any]) -> str:
    """On which images a result was judged, in words."""
    from cnngraph.reporting.page import images_in_words

    return images_in_words(result)
