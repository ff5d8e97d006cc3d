"""The details of edits of layers and blocks: what stands in the place of a module from now on.

With ``Resize`` and ``ResizeNorm`` of :mod:`cnngraph.surgery.layers.joints` these are all. Applying a list of edits, and
counting what it costs, go by their types.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from cnngraph.surgery.layers.joints import AdapterSpec, Resize
from cnngraph.surgery.layers.residual import Residual

__all__ = ["LeaveOut", "NewNorm", "OpenGate", "PutAdapter", "Remove", "Replace", "SkipBlock"]


@dataclass(frozen=True, eq=False)
class Replace:
    """A module without weights: an identity, a pool, a padding."""

    module: nn.Module


@dataclass(frozen=True, eq=False)
class PutAdapter:
    """A 1x1 conv, behind a module without weights."""

    spec: AdapterSpec
    bypass: nn.Module


@dataclass(frozen=True, eq=False)
class LeaveOut:
    """Zeros of ``channels`` channels, of the height and width that ``size`` gives."""

    channels: int
    size: nn.Module


@dataclass(frozen=True)
class OpenGate:
    """What a gate multiplies by is 1 from now on."""


@dataclass(frozen=True)
class Remove:
    """An identity, for a norm or an activation."""


@dataclass(frozen=True, eq=False)
class NewNorm:
    """The norm behind a layer that gives other channels now: a copy of the removed norm that fits, or a fresh one."""

    resize: Resize


@dataclass(frozen=True, eq=False)
class SkipBlock:
    """A block returns what its shortcut gives, and its last activation of that, if that still does anything."""

    block: Residual
    redundant_relu: bool

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the children of the block that stay."""
        return () if self.redundant_relu else tuple(part for _, part in self.block.pieces if isinstance(part, str))
