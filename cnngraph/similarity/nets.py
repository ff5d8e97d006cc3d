"""Two nets layer by layer on the same images: one pass over the data for each, in lockstep.

Each net runs step by step (:mod:`cnngraph.network.observe` says why no hook is set); the value of a layer becomes rows
of float64 the moment it is there, and those of some images are all that is ever kept. What grows are the moments:
memory does not depend on the number of images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from cnngraph.console import Progress, Quiet
from cnngraph.errors import DataError, ModelError, UsageError
from cnngraph.modes import evaluation_mode
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.observe import require_finite_activations
from cnngraph.similarity.layers import ComparedLayer, compared_layers, find_layer
from cnngraph.similarity.measured import LayerSimilarity, SimilarityOptions, measure_pair
from cnngraph.similarity.moments import LayerMoments
from cnngraph.similarity.running import Rows, RunningLayer, RunningPair
from cnngraph.similarity.watched import Watched

__all__ = ["LayerSimilarity", "SimilarityOptions", "all_pairs", "compare_nets", "compared_layers"]

Pair = tuple[str, str]

_HELD = 256 * 2**20  # bytes of rows that are kept at once
_MOST_AT_ONCE = 64  # images that run together
_MOST_SUMS = 4 * 2**30  # bytes; all pairs of VGG16 at 32 px take 0.7 GB, of ResNet-50 over 10
_POOLED_AT_ONCE = 512  # images whose pooled points are gathered for one product


def compare_nets(
    first: FollowedNet,
    second: FollowedNet,
    batches: Iterable[tuple[Tensor, Tensor]],
    pairs: Sequence[Pair],
    how: SimilarityOptions | None = None,
    *,
    images: int | None = None,
    progress: Progress | None = None,
) -> list[LayerSimilarity]:
    """Every measure of every pair of layers, in the order of ``pairs`` and then of ``how.measures``.

    Maps of as many rows and columns are compared place by place (points are images times places), others as means over
    places (points are images). Both nets run in eval mode where they are, and are as they were afterwards.

    Args:
        batches: the same images twice, each as its own net wants them: (images, C, H, W) and (images, C', H', W').
            In random order: the null sets each image beside the one before it, which of sorted images is of its class.
        pairs: (layer of the first net, layer of the second), names of :func:`compared_layers` or of any other layer.
        how: what is measured. images: how many there will be, for the progress.

    Raises:
        NotFoundError, TraceError: a layer is not there, or cannot be compared.
        DataError: there are no images, or not as many for both nets. ModelError: activations are NaN or infinite.

    A pair for which a measure is not defined (fewer points than neurons, a constant layer) has no value, and a reason.
    """
    how, progress = how or SimilarityOptions(), progress or Quiet()
    if not pairs:
        raise UsageError("No pair of layers is named.", "Name at least one layer of each net.")
    run = _Lockstep(first, second, pairs)
    progress.start("Comparing layers", images)
    with ExitStack() as modes, torch.inference_mode():
        for followed in (first, second):
            modes.enter_context(evaluation_mode(followed.model))
        for batch in batches:
            run.see(*batch, advance=progress.advance)
        return run.finish(how, progress)


def all_pairs(first: FollowedNet, second: FollowedNet) -> list[Pair]:
    """Every compared layer of the first net with every one of the second, row by row."""
    names = [[one.layer for one in compared_layers(followed)] for followed in (first, second)]
    return [(one, other) for one in names[0] for other in names[1]]


class _Side:
    """One of the two nets: its layers, and the rows of the images that run."""

    def __init__(self, followed: FollowedNet, layers: Mapping[str, ComparedLayer]) -> None:
        self.layers = layers
        self._by_node = {one.node: one for one in layers.values()}
        self._net = Watched(followed.graph.graph_module, self._by_node)
        self._like = next((p for p in followed.model.parameters() if p.is_floating_point()), torch.empty(0))
        self._shift: dict[str, Tensor] = {}
        self._precision: dict[str, float] = {}

    @property
    def bytes_of_an_image(self) -> int:
        """Of its rows."""
        return 8 * sum(one.places * (one.channels + 2) for one in self.layers.values())

    def run(self, images: Tensor, take: Callable[[ComparedLayer, Rows], None]) -> None:
        """Run the net; every compared layer's rows are handed to ``take``."""

        def see(node: str, value: Tensor) -> None:
            layer = self._by_node[node]
            if len(value) != len(images):
                raise ModelError(
                    f"Layer {layer.layer} has {len(value)} rows for {len(images)} images.", "Name other layers."
                )
            points = layer.points(value)
            if layer.layer not in self._shift:
                shift = points.mean((0, 1), dtype=torch.float64)
                require_finite_activations(layer.layer, shift.cpu().numpy())
                self._shift[layer.layer] = shift
                self._precision[layer.layer] = torch.finfo(points.dtype).eps
            take(layer, Rows.of(points, self._shift[layer.layer]))

        self._net.see = see
        self._net.run(images.to(device=self._like.device, dtype=self._like.dtype, non_blocking=True))

    def finish(self, name: str, running: RunningLayer) -> LayerMoments:
        """The moments of one of its layers.

        Raises:
            ModelError: its activations are NaN or infinite.
        """
        found = running.finish(self._shift[name].cpu().numpy(), self._precision[name])
        require_finite_activations(name, found.second)
        return found


class _Moments:
    """The moments of the layers of both nets and of pairs of them, over whole maps or over pooled ones."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = {pair: RunningPair() for pair in pairs}
        self.layers = [{pair[side]: RunningLayer() for pair in self.pairs} for side in (0, 1)]
        self.firsts: dict[str, list[str]] = defaultdict(list)  # by layer of the second net
        for one, other in self.pairs:
            self.firsts[other].append(one)

    def add_pairs(self, other: str, rows: Rows, firsts: Mapping[str, Rows]) -> None:
        """Count the pairs of a layer of the second net."""
        for one in self.firsts.get(other, ()):
            self.pairs[one, other].add(firsts[one], rows)


class _Lockstep:
    """Both nets, image by image side by side, and all moments."""

    def __init__(self, first: FollowedNet, second: FollowedNet, pairs: Sequence[Pair]) -> None:
        self._asked = list(pairs)
        layers = [
            {name: find_layer(followed, name) for name in dict.fromkeys(pair[side] for pair in pairs)}
            for side, followed in enumerate((first, second))
        ]
        self._sides = [_Side(followed, own) for followed, own in zip((first, second), layers, strict=True)]
        _require_memory(pairs, *layers)
        self._pooled = {pair for pair in pairs if not layers[0][pair[0]].shares_places(layers[1][pair[1]])}
        self._whole = _Moments(dict.fromkeys(pair for pair in pairs if pair not in self._pooled))
        self._means = _Moments(dict.fromkeys(pair for pair in pairs if pair in self._pooled))
        self._gathered: list[dict[str, list[Rows]]] = [defaultdict(list), defaultdict(list)]
        self._waiting = 0
        self._images = 0
        held = max(1, self._sides[0].bytes_of_an_image)
        self._at_once = max(1, min(_MOST_AT_ONCE, _HELD // held))

    def see(self, first: Tensor, second: Tensor, advance: Callable[[float], None]) -> None:
        """Run both nets on the same images."""
        if len(first) != len(second):
            raise DataError(
                f"The first net gets {len(first)} images and the second {len(second)}.", "Give both the same images."
            )
        for one, other in zip(*(torch.split(one, self._at_once) for one in (first, second)), strict=True):
            self._run(one, other)
            self._images += len(one)
            advance(len(one))

    def _run(self, first: Tensor, second: Tensor) -> None:
        held: dict[str, Rows] = {}

        def take_first(layer: ComparedLayer, rows: Rows) -> None:
            self._count(0, layer.layer, rows)
            if layer.layer in self._whole.layers[0]:
                held[layer.layer] = rows

        def take_second(layer: ComparedLayer, rows: Rows) -> None:
            self._count(1, layer.layer, rows)
            self._whole.add_pairs(layer.layer, rows, held)

        self._sides[0].run(first, take_first)
        self._sides[1].run(second, take_second)
        self._waiting += len(first)
        if self._waiting >= _POOLED_AT_ONCE:
            self._add_pooled()

    def _count(self, side: int, layer: str, rows: Rows) -> None:
        """What concerns a layer alone."""
        if layer in self._whole.layers[side]:
            self._whole.layers[side][layer].add(rows)
        if layer in self._means.layers[side]:
            self._gathered[side][layer].append(rows.pooled())

    def _add_pooled(self) -> None:
        """Multiply what was gathered: a product of few rows costs as much as one of many."""
        rows = [{name: Rows.joined(parts) for name, parts in own.items()} for own in self._gathered]
        for side in (0, 1):
            for name, own in rows[side].items():
                self._means.layers[side][name].add(own)
        for name, own in rows[1].items():
            self._means.add_pairs(name, own, rows[0])
        for gathered in self._gathered:
            gathered.clear()
        self._waiting = 0

    def finish(self, how: SimilarityOptions, progress: Progress) -> list[LayerSimilarity]:
        """Measure all pairs."""
        if not self._images:
            raise DataError("There are no images to compare the nets on.", "Give the data more images.")
        if self._waiting:
            self._add_pooled()
        progress.start("Measuring similarity", len(self._asked))
        finished = {moments: self._finished(moments) for moments in (self._whole, self._means)}
        found = []
        for pair in self._asked:
            moments = self._means if pair in self._pooled else self._whole
            own = [layers[name] for layers, name in zip(finished[moments], pair, strict=True)]
            both, null = moments.pairs[pair].finish(own[0], own[1])
            found += measure_pair(pair, both, null, self._images, pair in self._pooled, how)
            progress.advance()
        return found

    def _finished(self, moments: _Moments) -> list[dict[str, LayerMoments]]:
        return [
            {name: side.finish(name, running) for name, running in layers.items()}
            for side, layers in zip(self._sides, moments.layers, strict=True)
        ]


def _require_memory(
    pairs: Sequence[Pair], first: Mapping[str, ComparedLayer], second: Mapping[str, ComparedLayer]
) -> None:
    """Refuse sums of products of channels that do not fit: those of a pair and of its null are kept until the end."""
    needed = 2 * 8 * sum((first[one].channels + 2) * (second[other].channels + 2) for one, other in pairs)
    if needed > _MOST_SUMS:
        raise DataError(
            f"{len(pairs):,} pairs of layers need {needed / 2**30:.1f} GB of sums, and at most "
            f"{_MOST_SUMS / 2**30:.0f} GB are taken.",
            "Compare counterparts alone (leave out {all_pairs}), or name fewer layers.",
        )
