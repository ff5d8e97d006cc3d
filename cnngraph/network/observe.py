"""The pass over the images: the net runs step by step, and each observed value is reduced the moment it is there.

No hook is set on the user's net and no value is kept: in-place operations that follow change nothing, a module that is
called twice is two steps, and memory does not depend on the number of images. Sums over images are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from cnngraph.console import Progress
from cnngraph.errors import ModelError, TraceError
from cnngraph.network.images import LabelledImages

__all__ = ["MAPS_AT_ONCE", "Observed", "Probe", "observe", "require_finite_activations"]

Floats = npt.NDArray[np.float64]

# Bytes of whole mean maps that may be summed at once; the classes are taken in groups that fit (one at least).
MAPS_AT_ONCE = 256 * 2**20

_COMPARED_AT_ONCE = 500_000  # values that are compared with 0 together
_FEW_PLACES = 64


@dataclass(frozen=True)
class Probe:
    """A value to observe: what the step ``node`` gives, or with ``before`` what enters it, for the layer ``layer``.

    ``channel_dim`` is the dimension of the channels: 1 for maps, the last for a dense layer that runs over places.
    """

    layer: str
    node: str
    before: bool = False
    channel_dim: int = 1


@dataclass
class Observed:
    """What one pass leaves; K classes.

    Attributes:
        activation: layer -> (K, channels), the mean over places and images of each class.
        zeros: layer -> (channels,), the share of values <= 0 over all places and images.
        places: layer -> (K + 1, H, W), the mean over channels at each place; the last is over all images alike.
        weights: layer -> (K + 1, rows, columns), what ``reduce_maps`` made of the whole mean maps, likewise.
    """

    activation: dict[str, Floats] = field(default_factory=dict)
    zeros: dict[str, Floats] = field(default_factory=dict)
    places: dict[str, Floats] = field(default_factory=dict)
    weights: dict[str, Floats] = field(default_factory=dict)


def observe(
    module: fx.GraphModule,
    images: LabelledImages,
    *,
    channels: Sequence[Probe] = (),
    places: Sequence[Probe] = (),
    maps: Mapping[Probe, tuple[int, ...]] | None = None,
    reduce_maps: Callable[[str, Floats], Floats] | None = None,
    see: Callable[[str, Tensor], None] | None = None,
    end_of_batch: Callable[[Mapping[str, Tensor]], None] | None = None,
    progress: Progress,
) -> Observed:
    """Run ``module`` once over every image of ``images``.

    ``channels`` are reduced to one number a channel, ``places`` to one a place; ``maps`` (probe -> shape) are kept
    whole as means over a class, group of classes by group of classes, and handed to ``reduce_maps(layer, (classes, C,
    H, W))``. ``see(layer, (images, C, places))`` gets every value of ``channels``, ``end_of_batch`` the means over
    places (images, C) of each layer.

    Raises:
        DataError: a class without images, images of another size, values that are NaN or infinite.
        ModelError: an activation is NaN or infinite; the message names the first such layer.
    """
    watched = _Pass(module, channels, places, tuple(maps or ()), see, end_of_batch)
    result = Observed()
    totals: dict[str, Floats] = {}
    progress.start("Mapping images", images.total)
    for group in _groups(len(images.classes), maps or {}):
        watched.begin(len(images.classes), group)
        for batch, where in images.batches(group):
            watched.run_batch(batch, where)
            progress.advance(len(batch))
        images_of = images.counts[list(group)]
        for layer, sums in watched.maps.items():
            summed = _numbers(sums)
            whole = summed.sum(axis=0, keepdims=True)
            totals[layer] = totals[layer] + whole if layer in totals else whole
            assert reduce_maps is not None
            require_finite_activations(layer, summed)
            means = summed / np.maximum(images_of, 1)[:, None, None, None]
            reduced = reduce_maps(layer, means)
            result.weights[layer] = (
                np.concatenate([result.weights[layer], reduced]) if layer in result.weights else reduced
            )
    images.require_every_class()
    watched.finish(result, images.counts)
    for layer, total in totals.items():
        assert reduce_maps is not None
        alike = reduce_maps(layer, total / images.counts.sum())
        result.weights[layer] = np.concatenate([result.weights[layer], alike])
    return result


def _groups(classes: int, maps: Mapping[Probe, tuple[int, ...]]) -> list[range]:
    """The classes in groups whose whole maps fit :data:`MAPS_AT_ONCE`."""
    bytes_of_one = 8 * sum(int(np.prod(shape)) for shape in maps.values())
    at_once = classes if not bytes_of_one else max(1, MAPS_AT_ONCE // bytes_of_one)
    return [range(first, min(first + at_once, classes)) for first in range(0, classes, at_once)]


class _Pass(fx.Interpreter):
    """Runs the net and adds every observed value to its sums."""

    def __init__(
        self,
        module: fx.GraphModule,
        channels: Sequence[Probe],
        places: Sequence[Probe],
        maps: Sequence[Probe],
        see: Callable[[str, Tensor], None] | None,
        end_of_batch: Callable[[Mapping[str, Tensor]], None] | None,
    ) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.extra_traceback = False
        self._actions: dict[tuple[str, bool], list[tuple[Probe, Callable[[Probe, Tensor], None]]]] = {}
        for probes, action in ((channels, self._channels), (places, self._places), (maps, self._maps)):
            for probe in probes:
                self._actions.setdefault((probe.node, probe.before), []).append((probe, action))
        self._see, self._end_of_batch = see, end_of_batch
        self._checked = False
        self._sums: dict[tuple[str, str], Tensor] = {}
        self._means: dict[str, Tensor] = {}
        self._scratch = torch.empty(0)
        self.maps: dict[str, Tensor] = {}

    def begin(self, classes: int, group: range) -> None:
        """Forget whole maps; the classes of ``group`` come next."""
        self.maps.clear()
        self._classes, self._group = classes, group

    def run_batch(self, images: Tensor, where: npt.NDArray[np.int64]) -> None:
        like = next((p for p in self.module.parameters() if p.is_floating_point()), images)
        images = images.to(device=like.device, dtype=like.dtype, non_blocking=True)
        self._members = torch.zeros(self._classes, len(where), dtype=torch.float64)
        self._members[torch.from_numpy(where), torch.arange(len(where))] = 1.0
        self._members = self._members.to(images.device)
        self._means.clear()
        self.run(images)
        if self._end_of_batch is not None:
            self._end_of_batch(self._means)
        if not self._checked:
            self._check()

    def run_node(self, n: fx.Node) -> Any:
        before = self._actions.get((n.name, True))
        if before:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            self._act(before, args[0] if args else kwargs["input"])
        value = super().run_node(n)
        after = self._actions.get((n.name, False))
        if after:
            self._act(after, value)
        return value

    def _act(self, actions: list[tuple[Probe, Callable[[Probe, Tensor], None]]], value: Tensor) -> None:
        rows, images = value.shape[0], self._members.shape[1]
        if rows != images:
            raise TraceError(
                f"{actions[0][0].layer} has {rows} rows for {images} images: it lays places beside images, "
                "as attention in windows does.",
                "Such a net cannot be mapped; it can be cut by hand: cg.apply(model, plan).",
            )
        # Half precision holds neither a sum over a map nor a mean of it.
        value = value.float() if value.element_size() < 4 else value
        for probe, action in actions:
            action(probe, value if probe.channel_dim == 1 else value.movedim(probe.channel_dim, 1))

    def _channels(self, probe: Probe, value: Tensor) -> None:
        flat = value.flatten(2) if value.dim() > 2 else value.unsqueeze(2)
        means = flat.mean(2)  # as exact as torch has it: correlations of maps that hardly vary rest on it
        self._means[probe.layer] = means
        self._add("activation", probe.layer, self._members @ means.double())
        self._add("zeros", probe.layer, self._share_of_zeros(flat))
        if self._see is not None:
            self._see(probe.layer, flat)

    def _share_of_zeros(self, flat: Tensor) -> Tensor:
        """(channels,): the share of places that are <= 0, added up over the images.

        Comparing into floats and then averaging is many times faster than counting booleans; some images at once, so
        that the floats are still in the processor's cache when they are averaged.
        """
        at_once = max(1, _COMPARED_AT_ONCE // max(1, flat[0].numel()))
        parts = torch.split(flat, at_once)
        if self._scratch.numel() < parts[0].numel() or self._scratch.dtype != flat.dtype:
            self._scratch = torch.empty(parts[0].numel(), dtype=flat.dtype, device=flat.device)
        shares = [_means(torch.le(part, 0, out=self._scratch[: part.numel()].view(part.shape))) for part in parts]
        return torch.cat(shares).sum(0, dtype=torch.float64)

    def _places(self, probe: Probe, value: Tensor) -> None:
        means = value.mean(1)
        sums = self._members @ means.flatten(1).double()
        self._add("places", probe.layer, sums.view(-1, *means.shape[1:]))

    def _maps(self, probe: Probe, value: Tensor) -> None:
        members = self._members[self._group.start : self._group.stop]
        sums = (members @ value.flatten(1).double()).view(len(members), *value.shape[1:])
        if probe.layer in self.maps:
            self.maps[probe.layer] += sums
        else:
            self.maps[probe.layer] = sums

    def _add(self, what: str, layer: str, amount: Tensor) -> None:
        key = (what, layer)
        if key in self._sums:
            self._sums[key] += amount
        else:
            self._sums[key] = amount

    def _check(self) -> None:
        """Look for NaN after the first batch, so that a broken net is refused early."""
        for (_, layer), sums in self._sums.items():
            require_finite_activations(layer, _numbers(sums))
        self._checked = True

    def finish(self, result: Observed, counts: npt.NDArray[np.int64]) -> None:
        """Turn the sums into the means of ``result``; ``counts`` are the images of each class."""
        for (what, layer), sums in self._sums.items():
            summed = _numbers(sums)
            require_finite_activations(layer, summed)
            if what == "activation":
                result.activation[layer] = summed / counts[:, None]
            elif what == "zeros":
                result.zeros[layer] = np.clip(summed / counts.sum(), 0.0, 1.0)
            else:
                alike = summed.sum(axis=0, keepdims=True) / counts.sum()
                result.places[layer] = np.concatenate([summed / counts[:, None, None], alike])


def _means(flat: Tensor) -> Tensor:
    """(images, channels) from (images, channels, places): over few places a product is the quicker mean."""
    images, channels, places = flat.shape
    if not 1 < places <= _FEW_PLACES:
        return flat.mean(2)
    return (flat.reshape(-1, places) @ flat.new_ones(places)).view(images, channels) / places


def _numbers(sums: Tensor) -> Floats:
    numbers: Floats = sums.cpu().numpy()
    return numbers


def require_finite_activations(layer: str, sums: Floats) -> None:
    """Return if all that was summed of a layer's activations are numbers; raises ModelError, which names the layer."""
    if not np.isfinite(sums).all():
        raise ModelError(
            f"The activations of layer {layer} are NaN or infinite.",
            "Check the weights and the preprocessing of the net.",
        )
