"""How much each conv layer and each block changes what it is given: 1 - unbiased CKA of its input and its output.

A layer whose output is alike to its input does little that the net could miss; pruning by that is the published use of
CKA. One row is one image, channels and places flattened, so that input and output may have any shapes; with far more
columns than rows it is the Gram matrices between images, (images, images), that are kept.

Our choice: the output of a conv is its response, with the norm and the activation that go with it. That of a block is
its last layer's, its input what it reads from outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.console import Progress, Quiet
from cnngraph.errors import DataError
from cnngraph.modes import evaluation_mode
from cnngraph.network.blocks import Block
from cnngraph.network.channels import Maps
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.graph import LayerGraph
from cnngraph.network.observe import require_finite_activations
from cnngraph.similarity.kernels import LEAST_POINTS
from cnngraph.similarity.watched import Watched

__all__ = ["IMAGES", "Changes", "changes", "gram_alignment"]

Floats = npt.NDArray[np.float64]

IMAGES = 500  # that are looked at, at most
_HELD = 2**30  # bytes of values of one batch that are kept at once
_MOST_BATCHES = 8  # images of larger batches would run too often: each pair of batches is one run
_COLUMNS = 2**16  # that are multiplied in float64 at once
_CONSTANT = 1e-20  # of a Gram matrix's size: what is left of values that are all the same


@dataclass(frozen=True)
class Changes:
    """1 - unbiased CKA of input and output, 0 where they are alike; about 1 where they are unrelated.

    Attributes:
        layers: by conv layer, in network order. blocks: by block, in network order. Those whose input or output is the
            same on all images are in neither.
        images: on how many images.
    """

    layers: dict[str, float]
    blocks: dict[str, float]
    images: int


def changes(
    followed: FollowedNet, batches: Iterable[Tensor], *, images: int = IMAGES, progress: Progress | None = None
) -> Changes:
    """Run the net over the images and compare what goes into each conv and block with what comes out.

    Args:
        batches: of images (N, C, H, W), whose order does not matter.
        images: so many at most, the first ones; fewer where the net's maps are so large that the values of an eighth
            of them do not fit into 1 GB.

    Raises:
        DataError: fewer than 4 images. ModelError: activations that are NaN or infinite.
        TraceError: the net cannot be followed.
    """
    progress = progress or Quiet()
    graph = followed.graph
    layers = {conv.layer: _ends_of_conv(graph, conv.layer) for conv in graph.convs}
    blocks = {block.name: ends for block in followed.blocks if (ends := _ends_of_block(graph, block)) is not None}
    wanted = sorted({node for ends in (*layers.values(), *blocks.values()) for node in ends})
    at_once = max(1, _HELD // _bytes_of_an_image(graph, wanted))
    pictures = _take(batches, min(images, at_once * _MOST_BATCHES))
    if len(pictures) < LEAST_POINTS:
        raise DataError(
            f"Unbiased CKA needs {LEAST_POINTS} images, and there are {len(pictures)}.", "Give more images."
        )
    with evaluation_mode(followed.model), torch.inference_mode():
        grams = _Grams(graph, wanted, len(pictures)).of(torch.split(pictures, at_once), progress)
    for layer in graph.layers:
        if layer.node in grams:
            require_finite_activations(layer.layer, grams[layer.node])
    return Changes(_scores(layers, grams), _scores(blocks, grams), len(pictures))


def gram_alignment(k: Floats, m: Floats) -> float | None:
    """Unbiased linear CKA from two Gram matrices of the same n images; ``None`` where one of them is constant.

    It is the cosine between the two after U-centring (Székely and Rizzo, "Partial distance correlation with methods for
    dissimilarities", 2014), the same number as by Song et al. 2012.
    """
    sizes = [float(np.abs(one).max()) for one in (k, m)]
    first, second = (_u_centred(one) for one in (k, m))
    own = [float(np.sum(one**2)) for one in (first, second)]
    if any(square <= _CONSTANT * size**2 for square, size in zip(own, sizes, strict=True)):
        return None
    return float(np.sum(first * second)) / math.sqrt(own[0]) / math.sqrt(own[1])


def _u_centred(gram: Floats) -> Floats:
    n = len(gram)
    centred = gram.copy()
    np.fill_diagonal(centred, 0)
    means = centred.sum(axis=0) / (n - 2)
    means -= means.sum() / (2 * (n - 1))
    centred -= means[:, None] + means[None, :]
    np.fill_diagonal(centred, 0)
    return centred


def _ends_of_conv(graph: LayerGraph, conv: str) -> tuple[str, str]:
    """The steps whose values are the input and the output of a conv."""
    return graph.predecessors(conv)[0].node, Maps.response(graph, conv).node


def _ends_of_block(graph: LayerGraph, block: Block) -> tuple[str, str] | None:
    """Those of a block; ``None`` where it reads several values."""
    inside = set(block.layers)
    read = {feed.source for feed in graph.feeds if feed.target in inside and feed.source not in inside}
    if len(read) != 1:
        return None
    return graph.layer(read.pop()).node, graph.layer(block.layers[-1]).node


def _bytes_of_an_image(graph: LayerGraph, wanted: Sequence[str]) -> int:
    shapes = {node.name: node.meta["shape"] for node in graph.graph_module.graph.nodes if "shape" in node.meta}
    values: int = sum(math.prod(shapes[node][1:]) for node in wanted)
    return 4 * max(1, values)


def _take(batches: Iterable[Tensor], images: int) -> Tensor:
    found: list[Tensor] = []
    left = images
    for batch in batches:
        found.append(batch[:left])
        left -= len(found[-1])
        if left <= 0:
            break
    return torch.cat(found) if found else torch.empty(0)


class _Grams:
    """Gram matrices between images of the values of some steps."""

    def __init__(self, graph: LayerGraph, wanted: Sequence[str], images: int) -> None:
        self._net = Watched(graph.graph_module, wanted)
        self._like = next((p for p in graph.graph_module.parameters() if p.is_floating_point()), torch.empty(0))
        self._shift: dict[str, Tensor] = {}
        self._grams = {node: torch.zeros(images, images, dtype=torch.float64) for node in wanted}

    def of(self, batches: Sequence[Tensor], progress: Progress) -> dict[str, Floats]:
        """Those of all images: every batch beside itself and beside each one after it."""
        starts = np.cumsum([0, *(len(batch) for batch in batches)]).tolist()
        progress.start("Comparing inputs and outputs", len(batches) * (len(batches) + 1) // 2)
        for first, batch in enumerate(batches):
            held = self._values(batch)
            for second in range(first, len(batches)):
                other = held if second == first else self._values(batches[second])
                for node, values in held.items():
                    rows, columns = (slice(starts[one], starts[one + 1]) for one in (first, second))
                    product = self._product(values, other[node], self._shift[node]).cpu()
                    self._grams[node][rows, columns] = product
                    self._grams[node][columns, rows] = product.T
                progress.advance()
        return {node: gram.numpy() for node, gram in self._grams.items()}

    def _values(self, images: Tensor) -> dict[str, Tensor]:
        """(images, values) of each wanted step. About the first image they are all of the same size: no digit is lost
        where the mean is large."""
        found: dict[str, Tensor] = {}
        # Copies: what follows may change a value in place.
        self._net.see = lambda node, value: found.__setitem__(node, value.flatten(1).clone())
        self._net.run(images.to(device=self._like.device, dtype=self._like.dtype))
        for node, values in found.items():
            self._shift.setdefault(node, values.mean(0, dtype=torch.float64))
        return found

    @staticmethod
    def _product(x: Tensor, y: Tensor, shift: Tensor) -> Tensor:
        found = torch.zeros(len(x), len(y), dtype=torch.float64, device=x.device)
        for start in range(0, x.shape[1], _COLUMNS):
            part = slice(start, start + _COLUMNS)
            found.addmm_(x[:, part].double() - shift[part], (y[:, part].double() - shift[part]).T)
        return found


def _scores(ends: Mapping[str, tuple[str, str]], grams: Mapping[str, Floats]) -> dict[str, float]:
    found = {name: gram_alignment(grams[first], grams[last]) for name, (first, last) in ends.items()}
    return {name: 1 - alignment for name, alignment in found.items() if alignment is not None}
