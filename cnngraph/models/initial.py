"""The weights that a training began with, where they were kept: what ``--rewind weights`` goes back to.

They are attached to a net as its origin is, travel with it as ``initial.safetensors``, and are for one structure: a cut
of filters or layers leaves them behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from cnngraph.models.tensor_bytes import tensor_bytes

__all__ = ["Initial", "get_initial", "initial_of", "set_initial"]

_ATTRIBUTE = "cnngraph_initial"


@dataclass(frozen=True, eq=False)
class Initial:
    """Parameters and buffers by name; never changed, so that copies of a net share them."""

    tensors: Mapping[str, Tensor]

    def __deepcopy__(self, memo: dict[int, object]) -> Initial:
        return self

    @cached_property
    def sha256(self) -> str:
        """Of names, types, shapes and values."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
            digest.update(tensor_bytes(tensor).data)
        return digest.hexdigest()

    def fits(self, model: nn.Module) -> bool:
        """Whether they are weights for this net: the same names and shapes."""
        state = model.state_dict()
        return {name: tensor.shape for name, tensor in state.items()} == {
            name: tensor.shape for name, tensor in self.tensors.items()
        }


def initial_of(model: nn.Module) -> Initial:
    """The weights that ``model`` has now, copied."""
    return Initial({name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()})


def get_initial(model: nn.Module) -> Initial | None:
    """The weights that the training of a net began with; ``None`` where they were not kept, or it was cut since."""
    initial = getattr(model, _ATTRIBUTE, None)
    return initial if isinstance(initial, Initial) and initial.fits(model) else None


def set_initial(model: nn.Module, initial: Initial | None) -> None:
    """Attach them, so that they are saved with the net."""
    object.__setattr__(model, _ATTRIBUTE, initial)
