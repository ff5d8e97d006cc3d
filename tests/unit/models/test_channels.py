"""The channels that a net of one's own reads, found by showing it images."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnngraph.errors import ModelError
from cnngraph.models.channels import read_channels


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)]


class Late(nn.Module):
    """The head is registered before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(*head(8))
        self.third, self.first = nn.Conv2d(5, 8, 3), nn.Conv2d(2, 5, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.third(self.first(images)))


class Functional(nn.Module):
    """No module reads the images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.ones(4, 1, 3, 3)), nn.Sequential(*head(4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(F.conv2d(images, self.weight))


class Repeats(nn.Module):
    """Reads grey images and makes three channels of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Sequential(*head(4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(images.repeat(1, 3, 1, 1)))


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(images).mean((2, 3, 4)))


NETS = {
    "grey": (nn.Sequential(nn.Conv2d(1, 4, 3), *head(4)), 1),
    "colour": (nn.Sequential(nn.Conv2d(3, 4, 3), *head(4)), 3),
    "thirteen bands": (nn.Sequential(nn.Conv2d(13, 4, 3), *head(4)), 13),
    "twenty-one bands": (nn.Sequential(nn.Conv2d(21, 4, 3), *head(4)), 21),
    "grouped": (nn.Sequential(nn.Conv2d(6, 6, 3, groups=6), *head(6)), 6),
    "dense": (nn.Sequential(nn.Flatten(), nn.Linear(2 * 16 * 16, 3)), 2),
    "norm first": (nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), *head(4)), 4),
    "space to depth": (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 4, 3), *head(4)), 1),
    "any": (nn.Sequential(nn.AdaptiveAvgPool2d(1)), 3),
    "late": (Late(), 2),
    "functional": (Functional(), 1),
    "repeats": (Repeats(), 1),
}


@pytest.mark.parametrize("case", NETS)
def test_channels_are_found(case: str) -> None:
    net, expected = NETS[case]
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random = torch.random.get_rng_state()
    assert read_channels(net, "net", 16) == expected
    assert read_channels(net, "net", 16, expected) == expected
    assert net.training and all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_other_channels_than_typed() -> None:
    with pytest.raises(ModelError, match="reads 1 channel, not 3"):
        read_channels(NETS["grey"][0], "net", 16, 3)


def test_nets_over_volumes_and_sequences_are_one_line() -> None:
    with pytest.raises(ModelError, match=r"reads volumes or videos \(Conv3d\)"):
        read_channels(Volumes(), "net", 16)
    with pytest.raises(ModelError, match="cannot read images of 16 x 16 px"):
        read_channels(nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten()), "net", 16)


def test_a_net_of_another_size_says_what_it_raised() -> None:
    with pytest.raises(ModelError, match="cannot read images of 20 x 20 px") as caught:
        read_channels(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)), "net", 20)
    assert "--size PX" in caught.value.hint and "\n" not in caught.value.message
