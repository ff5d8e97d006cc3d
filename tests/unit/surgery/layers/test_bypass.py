from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from cnngraph.surgery.layers.bypass import Copy, conv_size, make_bypass
from tests.unit.surgery.nets import images


def test_a_same_conv_leaves_the_identity() -> None:
    assert isinstance(make_bypass(nn.Conv2d(3, 5, 3, padding=1), (8, 8), exact=False, copy=False), nn.Identity)
    made = make_bypass(nn.Conv2d(3, 5, 3, padding="same"), (8, 8), exact=True, copy=True)
    assert isinstance(made, Copy)
    x = images(1, 3, 8, 8)
    assert made(x) is not x
    assert torch.equal(made(x), x)


def test_a_stride_becomes_an_average_pool_that_rounds_up() -> None:
    made = make_bypass(nn.Conv2d(1, 1, 3, stride=2, padding=1), (5, 4), exact=True, copy=False)
    x = torch.arange(20.0).reshape(1, 1, 5, 4)
    # windows of 2 x 2; the last row has one row only: (0+1+4+5)/4 = 2.5 ... (16+17)/2 = 16.5
    assert made(x).tolist() == [[[[2.5, 4.5], [10.5, 12.5], [16.5, 18.5]]]]


def test_a_lost_padding_is_kept_and_a_lost_border_only_where_asked() -> None:
    x = images(1, 2, 4, 4)
    wide = make_bypass(nn.Conv2d(2, 2, 1, padding=1), (4, 4), exact=False, copy=False)(x)
    assert wide.shape == (1, 2, 6, 6)
    assert torch.equal(wide[:, :, 1:5, 1:5], x)
    assert wide[:, :, 0].abs().sum() == 0
    unpadded = nn.Conv2d(2, 2, 3)
    assert torch.equal(make_bypass(unpadded, (4, 4), exact=False, copy=False)(x), x)
    assert torch.equal(make_bypass(unpadded, (4, 4), exact=True, copy=False)(x), x[:, :, 1:3, 1:3])


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 2),
    st.tuples(st.integers(3, 20), st.integers(3, 20)),
)
def test_exact_passages_give_the_convs_own_size(
    kernel: tuple[int, int], stride: int, padding: int, dilation: int, size: tuple[int, int]
) -> None:
    assume(all(n + 2 * padding >= dilation * (k - 1) + 1 for n, k in zip(size, kernel, strict=True)))
    conv = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    x = images(2, 1, *size)
    assert conv(x).shape[2:] == conv_size(conv, size)
    assert make_bypass(conv, size, exact=True, copy=False)(x).shape == conv(x).shape
