"""Masks: which weights of a net are alive. All others are zero and stay so, whatever trains the net.

They are attached to an ordinary net, as its origin is: no parametrisation and no hook, so that ``torch.fx``,
``torch.export`` and state dicts see plain weights, some of which are zero. Whoever changes weights puts the masks on
afterwards (:class:`MaskedTensors`), or is looked at (:func:`moved_zeros`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cnngraph.errors import ModelError

__all__ = [
    "Flags",
    "MaskedTensors",
    "Masks",
    "drop_unfit",
    "get_masks",
    "keep_zeros",
    "masks_of",
    "moved_zeros",
    "require_zeros",
    "set_masks",
]

Flags = npt.NDArray[np.bool_]
_ATTRIBUTE = "cnngraph_masks"


@dataclass(frozen=True, eq=False)
class Masks:
    """Which weights are alive; never changed, so that copies of a net share it.

    Attributes:
        alive: by the name of a parameter, bool of its shape: ``False`` where it is zero. The layer that it belongs to
            is its name without the last part.

    >>> masks = Masks({"fc.weight": np.array([[True, False], [True, True]])})
    >>> masks.layers, masks.count("fc"), masks.size("fc")
    (('fc',), 3, 4)
    """

    alive: Mapping[str, Flags]

    def __deepcopy__(self, memo: dict[int, object]) -> Masks:
        return self

    def __reduce__(self) -> tuple[type[Masks], tuple[dict[str, Flags]]]:
        return Masks, (dict(self.alive),)

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the layers that have one, in the order of their tensors."""
        return tuple(dict.fromkeys(map(_layer, self.alive)))

    def of(self, layer: str) -> dict[str, Flags]:
        """Those of one layer: of its weight, and of its bias where biases are pruned."""
        return {name: flags for name, flags in self.alive.items() if _layer(name) == layer}

    def count(self, layer: str) -> int:
        """How many weights of a layer are alive."""
        return sum(int(np.count_nonzero(flags)) for flags in self.of(layer).values())

    def size(self, layer: str) -> int:
        """How many weights of a layer there are, alive or not."""
        return sum(flags.size for flags in self.of(layer).values())

    @cached_property
    def total(self) -> tuple[int, int]:
        """Weights that are alive, and all that a mask is about."""
        return sum(map(self.count, self.layers)), sum(map(self.size, self.layers))

    def sha256_of(self, layer: str) -> str:
        """Names the mask of one layer: by the names, shapes and bits of its tensors."""
        return _sha256(self.of(layer))

    @cached_property
    def sha256(self) -> str:
        """Names all of it."""
        return _sha256(self.alive)

    def without(self, layers: Collection[str]) -> Masks:
        """Those of all other layers."""
        return Masks({name: flags for name, flags in self.alive.items() if _layer(name) not in layers})

    def within(self, larger: Masks) -> str:
        """The name of the first tensor with a weight that is alive here and not in ``larger``; "" where none has."""
        for name, flags in larger.alive.items():
            mine = self.alive.get(name)
            if mine is None or mine.shape != flags.shape or bool((mine & ~flags).any()):
                return name
        return ""


def masks_of(alive: Mapping[str, npt.NDArray[np.bool_]]) -> Masks:
    """Masks of these arrays, which nobody can change any more."""
    kept = {name: np.ascontiguousarray(flags, dtype=bool).copy() for name, flags in alive.items()}
    for flags in kept.values():
        flags.setflags(write=False)
    return Masks(kept)


def get_masks(model: nn.Module) -> Masks | None:
    """The masks of a net; ``None`` where its weights are all free."""
    masks = getattr(model, _ATTRIBUTE, None)
    return masks if isinstance(masks, Masks) and masks.alive else None


def set_masks(model: nn.Module, masks: Masks | None) -> None:
    """Attach masks, which copies of the net keep, or take them off; no weight is changed (:func:`keep_zeros`)."""
    object.__setattr__(model, _ATTRIBUTE, masks)


class MaskedTensors:
    """The masked parameters of a net with their masks as numbers, where the parameters are and laid out as they are."""

    def __init__(self, model: nn.Module) -> None:
        masks = get_masks(model)
        named = dict(model.named_parameters(remove_duplicate=False))
        self._pairs = [(named[name], _as_factor(flags, named[name])) for name, flags in _alive(masks) if name in named]

    def put_on(self) -> None:
        """Make zero what is not alive: one multiplication in place a tensor."""
        with torch.no_grad():
            for tensor, factor in self._pairs:
                tensor.mul_(factor)

    def put_on_gradients(self) -> None:
        """Make zero the gradients of what is not alive: a norm over all gradients is then that of the sparse net."""
        with torch.no_grad():
            for tensor, factor in self._pairs:
                if tensor.grad is not None:
                    tensor.grad.mul_(factor)


def keep_zeros(model: nn.Module) -> None:
    """Put the masks of a net on: what is not alive becomes exactly zero (never ``-0.0``). Without masks, nothing.

    For a training loop of one's own, after each step of the optimizer: ``cnngraph.keep_zeros(model)``.
    """
    with torch.no_grad():
        for _, tensor, flags in _masked(model):
            tensor.masked_fill_(torch.from_numpy(~flags).to(tensor.device), 0.0)


def moved_zeros(model: nn.Module) -> dict[str, int]:
    """By the name of a masked parameter, how many of its weights are not zero although they are not alive."""
    found = {
        name: int(torch.count_nonzero(tensor.detach()[torch.from_numpy(~flags).to(tensor.device)]))
        for name, tensor, flags in _masked(model)
    }
    return {name: count for name, count in found.items() if count}


def require_zeros(model: nn.Module, who: str, hint: str) -> None:
    """Return if every weight that is not alive is zero; ``who`` changed them, for the message.

    Raises:
        ModelError: it is not so, or a masked parameter is not there any more.
    """
    moved = moved_zeros(model)
    if moved:
        name, count = next(iter(moved.items()))
        more = f" (and of {len(moved) - 1} more tensors)" if len(moved) > 1 else ""
        raise ModelError(f"{who} moved {count:,} pruned weights of {name}{more} off zero.", hint)


def drop_unfit(model: nn.Module) -> tuple[str, ...]:
    """Take off the masks that the net does not keep any more, after a cut or a fit; their names.

    A mask goes where its parameter is gone or has another shape, or where pruned weights are not zero.
    """
    masks = get_masks(model)
    if masks is None:
        return ()
    named = dict(model.named_parameters(remove_duplicate=False))
    moved = moved_zeros(model)
    kept = {
        name: flags
        for name, flags in masks.alive.items()
        if name in named and tuple(named[name].shape) == flags.shape and name not in moved
    }
    set_masks(model, Masks(kept) if kept else None)
    return tuple(name for name in masks.alive if name not in kept and name in named)


def _alive(masks: Masks | None) -> Iterator[tuple[str, Flags]]:
    yield from masks.alive.items() if masks is not None else ()


def _masked(model: nn.Module) -> Iterator[tuple[str, Tensor, Flags]]:
    """The masked parameters that are there in the shape of their mask."""
    named = dict(model.named_parameters(remove_duplicate=False))
    for name, flags in _alive(get_masks(model)):
        if name in named and tuple(named[name].shape) == flags.shape:
            yield name, named[name], flags


def _as_factor(flags: Flags, like: Tensor) -> Tensor:
    return torch.empty_like(like, requires_grad=False).copy_(torch.from_numpy(flags.copy()))


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _sha256(alive: Mapping[str, Flags]) -> str:
    digest = hashlib.sha256()
    for name in sorted(alive):
        digest.update(f"{name}:{alive[name].shape}:".encode())
        digest.update(np.packbits(alive[name], axis=None).tobytes())
    return digest.hexdigest()
