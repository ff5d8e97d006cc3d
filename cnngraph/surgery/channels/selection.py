"""Some entries of a module's own tensor in the place of all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["select"]


def select(module: nn.Module, name: str, axis: int, kept: npt.NDArray[np.int64]) -> None:
    """Keep the entries ``kept`` of a tensor along ``axis``; its kind, gradient flag and strides stay."""
    tensor = getattr(module, name)
    if tensor is None:
        return
    with torch.no_grad():
        smaller = tensor.detach().index_select(axis, torch.from_numpy(kept).to(tensor.device))
        smaller = smaller.contiguous(memory_format=_format(tensor))
    if isinstance(tensor, nn.Parameter):
        module._parameters[name] = nn.Parameter(smaller, requires_grad=tensor.requires_grad)
    elif name in module._buffers:
        module._buffers[name] = smaller
    else:  # what a hook made of parameters
        module.__dict__[name] = smaller


def _format(tensor: Tensor) -> torch.memory_format:
    """How the tensor lies in memory: channels last, or as usual."""
    if tensor.is_contiguous() or tensor.dim() != 4 or not tensor.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last
