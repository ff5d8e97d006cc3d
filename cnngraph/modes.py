"""Train and eval mode for a while: afterwards every module is in the mode that it was in, also after an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["evaluation_mode", "kept_modes"]


@contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Whatever modes are set inside, those from before come back, module by module."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside, for every module, also for one whose own ``train`` and ``eval`` do something else."""
    with kept_modes(model):
        for module in model.modules():
            module.training = False
        yield
