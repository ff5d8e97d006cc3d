"""How two nets are compared: convs of small maps are reckoned as torch does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnngraph.surgery.output_diff import convolve_small_maps, output_diff


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((1, 1), {}),
        ((3, 3), {"padding": 1}),
        ((3, 3), {"padding": (1, 1), "stride": 2}),
        ((2, 3), {"padding": (0, 2), "dilation": (1, 2), "stride": (2, 1)}),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_quick_conv_is_torchs(kernel: tuple[int, int], options: dict[str, object], bias: bool) -> None:
    torch.manual_seed(0)
    images, weight = torch.randn(3, 5, 4, 4).double(), torch.randn(7, 5, *kernel).double()
    added = torch.randn(7).double() if bias else None
    found = convolve_small_maps(images, weight, added, **options)  # type: ignore[arg-type]
    wanted = F.conv2d(images, weight, added, **options)  # type: ignore[arg-type]
    assert found is not None
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)


def test_what_torch_does_as_quickly_is_left_to_it() -> None:
    small, weight = torch.randn(2, 4, 3, 3).double(), torch.randn(6, 4, 3, 3).double()
    assert convolve_small_maps(small.float(), weight.float(), padding=1) is None
    assert convolve_small_maps(small, weight, padding="same") is None
    assert convolve_small_maps(small, weight[:, :2], padding=1, groups=2) is None
    assert convolve_small_maps(small, weight) is not None
    assert convolve_small_maps(small[:, :, :2], weight) is None  # too small: torch says so
    assert convolve_small_maps(torch.randn(2, 4, 9, 9).double(), weight) is None


@pytest.mark.parametrize("training", [False, True])
def test_one_weight_that_differs_shows_in_either_mode(training: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
    other.load_state_dict(net.state_dict())
    images = torch.randn(8, 3, 6, 6)
    batches = ([], [images]) if training else ([images], [])
    assert output_diff(net, other, *batches).relative == 0
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 1e-6
    assert output_diff(net, other, *batches).relative > 1e-9
