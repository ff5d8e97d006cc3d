"""Trained small nets that benchmarks cut, and the images that they were trained on.

A baseline is trained once for each net, width, seed and budget, and kept as a saved model in benchmarks/results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import cnngraph as cg
from benchmarks.report import RESULTS
from cnngraph.datasets.registry import Data, Subset, open_data
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.surgery import saved
from cnngraph.training.evaluate import evaluate
from cnngraph.training.fit import fit

__all__ = [
    "SHAPE",
    "WIDTHS",
    "Setting",
    "accuracy",
    "add_options",
    "baseline",
    "new_net",
    "open_images",
    "settings_of",
    "train",
]

# How wide each net is by default, as a share of its usual channels: all are trained in minutes on one core.
WIDTHS = {"vgg16_bn": 0.25, "resnet20": 0.5, "mobilenet_v2": 0.25}
SIZE = 32
SHAPE = (3, SIZE, SIZE)
_PREPROCESSING = Preprocessing(size=(SIZE, SIZE), channels=3, mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26))


@dataclass(frozen=True)
class Setting:
    """What every figure of one experiment shares.

    Attributes:
        data: name of the images. images_per_class: of the training part. epochs: of a baseline. width: of the nets.
    """

    data: str
    images_per_class: int
    epochs: int
    width: float

    @property
    def label(self) -> str:
        """A short name for keys and folders."""
        return f"{self.images_per_class}x{self.epochs}-w{self.width:g}"

    @property
    def images(self) -> str:
        """The sentence that says what was learned from."""
        return f"CIFAR-10, {self.images_per_class} training images a class."


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that a Setting is made of."""
    parser.add_argument("--data", default="cifar10", help="cifar10, or folder:PATH with train and test inside")
    parser.add_argument("--images-per-class", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=12, help="of the baseline")
    parser.add_argument("--width", type=float, help="of every net, as a share of its usual channels")


def settings_of(options: argparse.Namespace, nets: Iterable[str]) -> dict[str, Setting]:
    """By net, from the options of :func:`add_options`."""
    return {
        net: Setting(options.data, options.images_per_class, options.epochs, options.width or WIDTHS[net])
        for net in nets
    }


def open_images(setting: Setting) -> Data:
    """Train, validation and test images at 32 pixels."""
    return open_data(
        setting.data, subset=Subset(images_per_class=setting.images_per_class), preprocessing=_PREPROCESSING
    )


def new_net(net: str, width: float, seed: int) -> nn.Module:
    """An untrained net for ten classes."""
    return build(f"cnngraph:{net}", classes=10, size=SIZE, width=width, seed=seed)


def baseline(net: str, setting: Setting, data: Data, seed: int) -> nn.Module:
    """The trained net, from its folder where it is there already."""
    folder = RESULTS / "baselines" / f"{net}-{setting.label}-{seed}"
    if not saved.is_saved(folder):
        model = new_net(net, setting.width, seed)
        train(model, data, setting.epochs, seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        cg.save(model, Path(folder), input_shape=SHAPE, classes=data.classes)
    return saved.load(folder)


def train(model: nn.Module, data: Data, epochs: int, seed: int, learning_rate: float | None = None) -> None:
    """Train in place, with shifts and flips; the epoch with the best validation accuracy is kept.

    In channels-last memory, which trains these nets in half to three quarters of the time; afterwards the net lies in
    memory as others do, so that latencies compare.
    """
    fit(
        model,
        data.train,
        data.validation,
        epochs=epochs,
        seed=seed,
        learning_rate=learning_rate,
        augment=True,
        device="cpu",
        precision="fp32",
        channels_last=True,
    )
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def accuracy(model: nn.Module, images: object) -> float:
    """Share of images whose class is right, 0..1."""
    return float(evaluate(model, images, device="cpu").accuracy)  # type: ignore[arg-type]
