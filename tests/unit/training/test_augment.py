"""Augmentation: shifts and mirrors, and nothing else."""

from __future__ import annotations

import torch

from cnngraph.training.augment import shift_and_flip


def test_every_result_is_a_shifted_or_mirrored_image() -> None:
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    found = shift_and_flip(image.repeat(200, 1, 1, 1), torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")[0]
    possible = {
        tuple(part.flatten().tolist())
        for top in range(3)
        for left in range(3)
        for part in (padded[:, top : top + 8, left : left + 8], padded[:, top : top + 8, left : left + 8].flip(2))
    }
    assert {tuple(each.flatten().tolist()) for each in found} == possible


def test_channels_stay_together_and_the_input_is_kept() -> None:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(1, 3, 1, 1)
    before = images.clone()
    found = shift_and_flip(images, torch.Generator().manual_seed(1))
    assert found.shape == images.shape
    assert found.is_contiguous()
    assert torch.equal(found[:, 0], found[:, 2])
    assert torch.equal(images, before)
