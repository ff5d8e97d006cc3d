"""The weights of the filters of a conv layer, one after the other."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["kernels_of"]


def kernels_of(model: nn.Module, layer: str) -> Tensor | None:
    """(filters, channels, height, width) of the conv at the path ``layer``; ``None`` where no conv module is there.

    The second call of a module has another name, and a functional conv has no module: both have no picture.
    """
    try:
        module = model.get_submodule(layer)
    except AttributeError:
        return None
    weight = getattr(module, "weight", None)
    if not isinstance(module, nn.Conv2d) or not isinstance(weight, Tensor):
        return None
    return weight.detach()
