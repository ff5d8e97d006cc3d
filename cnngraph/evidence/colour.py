"""How much a filter is about colour: by its weights where it reads the image, by its answers everywhere.

Abbasi-Asl & Yu 2021 call filters colour-selective by their look, and say that most of the first filters to go are
(17 of 20 in AlexNet's first layer). Scores and thresholds here are our choice:

- of a filter that reads an image of three channels, the share of its energy off the grey axis: at each place the three
  weights are a vector, and what of it is not along (1, 1, 1) is colour. They are those of the image as it is seen: the
  net reads it divided by the std of each channel, so each weight is divided by it too. 0: a grey filter; 1: it sees
  colour alone; 2/3: one channel alone, or random weights on average;
- of any filter, the share of its response to the images that excite it most which goes with their colour: at the same
  places, after each pixel became the mean of its channels. What answers more to grey has 0.

Both are undefined (``None``, NaN) where there is no colour: images of other than three channels, or grey ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.console import Quiet
from cnngraph.datasets.images import Images
from cnngraph.evidence.collect import InOrder
from cnngraph.evidence.pictures import as_seen
from cnngraph.modes import evaluation_mode
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.observe import observe
from cnngraph.origin import Preprocessing

__all__ = ["SELECTIVE_ANSWERS", "SELECTIVE_WEIGHTS", "answers_to_colour", "greyed", "weights_on_colour"]

SELECTIVE_WEIGHTS = 0.75  # share of the energy from which on weights are colour-selective: above that of random ones
SELECTIVE_ANSWERS = 0.25  # share of the response from which on answers are

_BATCH = 64

Floats = npt.NDArray[np.float64]


def weights_on_colour(kernels: Tensor, std: Sequence[float]) -> Floats:
    """The share of each filter's energy off the grey axis, 0..1; NaN for a filter of zeros.

    Args:
        kernels: (filters, 3, height, width), of a layer that reads the image. std: of the preprocessing, one a channel
            or one for all. The net reads (image - mean) / std, so that a filter that is blind to colour has weights in
            proportion to std: they are divided by it first. One std for all changes nothing.

    Raises:
        ValueError: the filters do not read three channels.

    >>> kernels = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 0.0, 0.0], [2.0, 1.0, 1.0]]).view(4, 3, 1, 1)
    >>> weights_on_colour(kernels, (0.5,)).round(3)
    array([0.   , 1.   , 0.667, 0.111])
    >>> weights_on_colour(kernels[3:], (0.5, 0.25, 0.25))
    array([0.])
    """
    if kernels.shape[1] != 3:
        raise ValueError(f"filters of {kernels.shape[1]} channels have no grey axis")
    spread = torch.tensor(std, dtype=torch.float64)
    values = kernels.detach().double().cpu().flatten(2) / (spread / spread.max()).reshape(-1, 1)
    energy = values.square().sum((1, 2))
    off = (values - values.mean(1, keepdim=True)).square().sum((1, 2))
    shares: Floats = torch.where(energy > 0, off / energy, torch.nan).numpy()
    return shares


def greyed(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The same images (as the net reads them) with each pixel the mean of its three channels."""
    mean = torch.tensor(preprocessing.mean, dtype=torch.float32).reshape(-1, 1, 1)
    std = torch.tensor(preprocessing.std, dtype=torch.float32).reshape(-1, 1, 1)
    grey = as_seen(images, preprocessing).mean(-3, keepdim=True)
    return ((grey - mean) / std).expand(images.shape).contiguous()


@dataclass(frozen=True)
class Excited:
    """By filter its top images: values, numbers of images and places, (filters, top) each; -1 where there is none."""

    values: npt.NDArray[np.float32]
    images: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def answers_to_colour(followed: FollowedNet, layer: str, images: Images, excited: Excited) -> Floats:
    """The share of each filter's response to its top images that goes with their colour, 0..1; NaN: it has none.

    Args: ``images``: those that ``excited`` numbers.
    """
    wanted = np.unique(excited.images[excited.images >= 0])
    without = np.zeros(len(excited.values))
    if not len(wanted):
        return np.full(len(excited.values), np.nan)

    class Greyed:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            for start in range(0, len(wanted), _BATCH):
                rows = wanted[start : start + _BATCH].tolist()
                yield greyed(images[rows][0], images.preprocessing), torch.zeros(len(rows), dtype=torch.int64)

    shown = InOrder(Greyed(), classes=["all"])

    def see(_: str, flat: Tensor) -> None:
        numbers = wanted[shown.first : shown.first + len(flat)]
        filters, ranks = np.nonzero(np.isin(excited.images, numbers))
        rows = np.searchsorted(numbers, excited.images[filters, ranks])
        answers = flat[
            torch.from_numpy(rows), torch.from_numpy(filters), torch.from_numpy(excited.places[filters, ranks])
        ]
        np.add.at(without, filters, answers.clamp(min=0).double().cpu().numpy())

    maps = followed.maps.of_layers([layer])
    with evaluation_mode(followed.model), torch.no_grad():
        observe(followed.graph.graph_module, shown, channels=maps.probes, see=see, progress=Quiet())
    with_colour = np.where(excited.images >= 0, excited.values, 0).sum(1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(with_colour > 0, np.clip(1 - without / with_colour, 0, 1), np.nan)
