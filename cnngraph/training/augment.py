"""The simple augmentation of small photographs: a random shift and a random mirror image."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["shift_and_flip"]

_SHIFT = 8  # images move by up to an eighth of their side: 4 px at 32, as for CIFAR in the ResNet paper


def shift_and_flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to an eighth of its side (edges repeated) and mirrored with probability one half.

    Args:
        images: (N, C, H, W) on the CPU; not changed.
        generator: where the chances come from.
    """
    count, _, height, width = images.shape
    reach_y, reach_x = max(1, height // _SHIFT), max(1, width // _SHIFT)
    padded = functional.pad(images, (reach_x, reach_x, reach_y, reach_y), mode="replicate")
    tops = torch.randint(2 * reach_y + 1, (count,), generator=generator)
    lefts = torch.randint(2 * reach_x + 1, (count,), generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    rows = tops[:, None] + torch.arange(height)
    columns = lefts[:, None] + torch.arange(width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    each = torch.arange(count)[:, None, None]
    # Two index tensors around the slice of channels put the channels last.
    return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
