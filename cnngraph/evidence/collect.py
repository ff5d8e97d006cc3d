"""One pass over the images that gathers what there is to say about filters; nothing is kept of a single image.

The net runs step by step (:mod:`cnngraph.network.observe`): no hook is set on it, in-place activations falsify
nothing, and a response is that of the layer's own norm and activation, as everywhere in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.console import Progress, Quiet
from cnngraph.errors import NotFoundError, TraceError, nearest
from cnngraph.evidence.fields import Fields, receptive_fields
from cnngraph.evidence.occurrence import Occurrence, block_sizes
from cnngraph.evidence.top_images import TopImages
from cnngraph.modes import evaluation_mode
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.images import LabelledImages
from cnngraph.network.observe import observe
from cnngraph.network.resemblance import Resemblance

__all__ = ["Collected", "InOrder", "LayerEvidence", "Twins", "choose_layers", "collect", "layers_with_filters"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LayerEvidence:
    """What one pass found of one conv layer.

    Attributes:
        shape: (filters, height, width) of its response.
        values, images, places: (filters, top), the largest responses, in which image and at which place; -1: none.
        counts: (filters, classes, rows, columns), how often a response was above 0. block: rows and columns of the
            response that are one row or column there.
        fields: what its places look at.
    """

    shape: tuple[int, int, int]
    values: npt.NDArray[np.float32]
    images: Integers
    places: Integers
    counts: npt.NDArray[np.integer[Any]]
    block: int
    fields: Fields


@dataclass(frozen=True)
class Twins:
    """Filters of one layer that answer alike, each pair once: place of the layer, (pairs, 2) channels, correlation."""

    layers: npt.NDArray[np.int32]
    channels: npt.NDArray[np.int32]
    correlation: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Collected:
    """What a pass found.

    Attributes:
        layers: by conv layer, in network order. images_of: how many images each class had.
        in_colour: whether any image is more than grey; of a net that reads other than 3 channels ``False``.
    """

    layers: dict[str, LayerEvidence]
    twins: Twins
    images_of: Integers
    in_colour: bool


def layers_with_filters(followed: FollowedNet) -> list[str]:
    """The conv layers whose filters have a response by rows and columns, in network order."""
    maps = followed.maps.sizes
    return [conv.layer for conv in followed.graph.convs if conv.layer in maps and conv.out_height and conv.out_width]


def collect(
    followed: FollowedNet,
    batches: Iterable[Any],
    classes: Sequence[str],
    layers: Sequence[str] | None = None,
    *,
    grey: Callable[[Tensor], bool] | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Run the net once over the images.

    Args:
        batches: of (images, labels), read twice from the start. classes: names by label.
        layers: whose filters; default: all of :func:`layers_with_filters`.
        grey: says of a batch whether all of its images are grey; default: their channels are equal.

    Raises:
        NotFoundError: a layer is not there. TraceError: the net cannot be followed, or has no filters.
        DataError: images or labels that are unusable. ModelError: activations that are NaN or infinite.
    """
    able = layers_with_filters(followed)
    if not able:
        raise TraceError("The net has no conv layer with filters.", "Evidence is about the filters of conv layers.")
    chosen = choose_layers(able, layers)
    graph, maps = followed.graph, followed.maps.of_layers(chosen)
    shapes = {one: (maps.sizes[one], *_size(followed, one)) for one in chosen}
    images = InOrder(batches, classes=classes)
    watch = _Watch(images, shapes, Resemblance(maps, seed=0, across=False), grey or _is_grey)
    with evaluation_mode(followed.model), torch.no_grad(), np.errstate(invalid="ignore"):
        observe(
            graph.graph_module,
            images,
            channels=maps.probes,
            see=watch.see,
            end_of_batch=watch.end_of_batch,
            progress=progress or Quiet(),
        )
    (progress or Quiet()).start("Comparing filters")
    fields = receptive_fields(graph)
    return Collected(
        {layer: watch.layer(layer, fields[layer]) for layer in chosen},
        watch.twins(chosen, progress or Quiet()),
        images.counts,
        watch.in_colour,
    )


def choose_layers(able: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Those of :func:`layers_with_filters` that are ``wanted``, in its order; ``None``: all.

    Raises:
        NotFoundError: one is not there.
    """
    strange = next((layer for layer in wanted or () if layer not in able), None)
    if strange is not None:
        raise NotFoundError(f"There is no conv layer {strange!r} with filters.", nearest(strange, able))
    return [layer for layer in able if wanted is None or layer in wanted]


def _size(followed: FollowedNet, layer: str) -> tuple[int, int]:
    conv = followed.graph.layer(layer)
    assert conv.out_height is not None and conv.out_width is not None
    return conv.out_height, conv.out_width


class InOrder(LabelledImages):
    """Images whose numbers and classes are known while they run; a class may have none."""

    first = 0  # number of the first image of the batch that runs
    where: Integers
    batch: Tensor
    _given = 0

    def batches(self, places: Sequence[int] | None = None) -> Iterator[tuple[Tensor, Integers]]:
        for images, where in super().batches(places):
            self.first, self.where, self.batch = self._given, where, images
            self._given += len(images)
            yield images, where

    def require_every_class(self) -> None:
        """Evidence of a class without images is absent, and that is all."""


class _Watch:
    """Takes every response while it is there."""

    def __init__(
        self,
        images: InOrder,
        shapes: Mapping[str, tuple[int, int, int]],
        alike: Resemblance,
        grey: Callable[[Tensor], bool],
    ) -> None:
        self._images, self._shapes, self._alike, self._grey = images, shapes, alike, grey
        classes = len(images.classes)
        self._blocks = block_sizes(shapes, classes)
        self._tops = {layer: TopImages(shape[0]) for layer, shape in shapes.items()}
        self._counts = {layer: Occurrence(shape, classes, self._blocks[layer]) for layer, shape in shapes.items()}
        self.in_colour = False

    def see(self, layer: str, flat: Tensor) -> None:
        _, height, width = self._shapes[layer]
        if flat.shape[2] != height * width:
            raise TraceError(
                f"The response of {layer} has {flat.shape[2]} places instead of {height} x {width}.",
                "Name other layers.",
            )
        self._tops[layer].see(flat, self._images.first)
        self._counts[layer].see(flat, self._images.where)
        self._alike.see(layer, flat)

    def end_of_batch(self, means: Mapping[str, Tensor]) -> None:
        self._alike.end_of_batch(means)
        self.in_colour = self.in_colour or not self._grey(self._images.batch)

    def layer(self, name: str, fields: Fields) -> LayerEvidence:
        return LayerEvidence(
            self._shapes[name], *self._tops[name].found(), self._counts[name].counts(), self._blocks[name], fields
        )

    def twins(self, layers: Sequence[str], progress: Progress) -> Twins:
        table = self._alike.table(progress.note)
        number = {layer: place for place, layer in enumerate(layers)}
        channels = [table[f"{end}_channel"].to_numpy() for end in ("source", "target")]
        return Twins(
            np.array([number[name] for name in table["source_layer"].to_pylist()], dtype=np.int32),
            np.stack(channels, axis=1).astype(np.int32),
            table["correlation"].to_numpy(),
        )


def _is_grey(images: Tensor) -> bool:
    """Whether the three channels of all images are equal."""
    return images.shape[1] != 3 or bool((images == images[:, :1]).all())
