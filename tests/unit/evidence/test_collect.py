"""One pass over images of a toy net: what comes out is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import ModelError, NotFoundError
from cnngraph.evidence.collect import collect
from cnngraph.evidence.fields import receptive_fields
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.graph import follow


def net(inplace: bool = False) -> nn.Sequential:
    """Two filters of one weight each, 1 and -1; an activation; a conv of 3 x 3 with stride 2 that sums; one output a
    class."""
    made = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(2, 1, 3, stride=2, padding=1, bias=False),
        nn.ReLU(inplace=inplace),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    with torch.no_grad():
        made[0].weight[:] = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        made[2].weight.fill_(1.0)
    return made.eval()


def image(*values: float) -> Tensor:
    """4 x 4 pixels, the first ones as given, the others 0."""
    return torch.tensor([*values, *[0.0] * (16 - len(values))]).view(1, 1, 4, 4)


# Class 0: the first pixel is 1, then 3; class 1: the second pixel is 2, then -4.
IMAGES = torch.cat([image(1), image(3), image(0, 2), image(0, -4)])
LABELS = torch.tensor([0, 0, 1, 1])
BATCHES = [(IMAGES[:3], LABELS[:3]), (IMAGES[3:], LABELS[3:])]


@pytest.mark.parametrize("inplace", [False, True])
def test_the_maps_are_the_shares_of_images_above_zero(inplace: bool) -> None:
    found = collect(FollowedNet(net(inplace), (1, 4, 4)), BATCHES, ["a", "b"]).layers["0"]
    expected = np.zeros((2, 2, 4, 4))  # filters, classes, rows, columns
    expected[0, 0, 0, 0] = 2  # both images of class a
    expected[0, 1, 0, 1] = 1  # of class b the positive one ...
    expected[1, 1, 0, 1] = 1  # ... and, for the filter -1, the negative one
    assert found.counts.tolist() == expected.tolist()


@pytest.mark.parametrize("inplace", [False, True])
def test_the_top_images_are_the_largest_after_the_activation(inplace: bool) -> None:
    found = collect(FollowedNet(net(inplace), (1, 4, 4)), BATCHES, ["a", "b"]).layers["0"]
    assert found.values[:, :4].tolist() == [[3.0, 2.0, 1.0, 0.0], [4.0, 0.0, 0.0, 0.0]]
    assert found.images[:, :4].tolist() == [[1, 2, 0, -1], [3, -1, -1, -1]]
    assert found.places[:, :4].tolist() == [[0, 1, 0, -1], [1, -1, -1, -1]]


def test_of_equal_responses_the_first_image_counts_whatever_the_batches() -> None:
    same = torch.cat([image(2)] * 12)
    labels = torch.arange(12) % 2
    for size in (1, 5, 12):
        batches = list(zip(same.split(size), labels.split(size), strict=True))
        found = collect(FollowedNet(net(), (1, 4, 4)), batches, ["a", "b"]).layers["0"]
        assert found.images[0].tolist() == list(range(9))


def test_boxes_are_receptive_fields_cut_at_the_border() -> None:
    fields = receptive_fields(follow(net(), (1, 4, 4)))
    assert fields["0"].box(2, 3) == (2, 3, 3, 4)
    # 3 x 3 with stride 2 and padding 1: places 0 and 1 are centred on pixels 0 and 2.
    assert fields["2"].box(0, 0) == (0, 0, 2, 2)
    assert fields["2"].box(1, 0) == (1, 0, 4, 2)


def test_boxes_of_dilated_pooled_and_forked_layers() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Conv2d(1, 1, 3, dilation=2, padding=2)
            self.narrow = nn.Conv2d(1, 1, 1)
            self.pool = nn.MaxPool2d(2)
            self.last = nn.Conv2d(1, 1, 1)
            self.head = nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.last(self.pool(self.wide(x) + self.narrow(x))).flatten(1))

    fields = receptive_fields(follow(Forked().eval(), (1, 8, 8)))
    assert fields["wide"].box(4, 4) == (2, 2, 7, 7)
    assert fields["narrow"].box(4, 4) == (4, 4, 5, 5)
    assert fields["last"].box(2, 2) == (2, 2, 8, 8)  # rows 4 and 5, each two further on both sides
    assert fields["last"].box(0, 3) == (0, 4, 4, 8)


def test_filters_that_answer_alike_are_twins() -> None:
    torch.manual_seed(0)
    three = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    with torch.no_grad():
        three[0].weight[2] = 5 * three[0].weight[0]
    images = torch.randn(20, 1, 4, 4)
    found = collect(FollowedNet(three, (1, 4, 4)), [(images, torch.arange(20) % 2)], ["a", "b"]).twins
    pairs = {tuple(pair): value for pair, value in zip(found.channels.tolist(), found.correlation, strict=True)}
    assert pairs[0, 2] == pytest.approx(1.0)
    assert abs(pairs[0, 1]) < 0.999


def test_a_class_without_images_has_no_counts_and_some_layers_are_enough() -> None:
    found = collect(FollowedNet(net(), (1, 4, 4)), BATCHES, ["a", "b", "none"], ["2"])
    assert list(found.layers) == ["2"]
    assert found.images_of.tolist() == [2, 2, 0]
    assert found.layers["2"].counts[:, 2].sum() == 0


def test_an_unknown_layer_is_refused_by_name() -> None:
    with pytest.raises(NotFoundError, match="no conv layer 'conv9'"):
        collect(FollowedNet(net(), (1, 4, 4)), BATCHES, ["a", "b"], ["conv9"])


def test_after_an_error_the_net_is_as_it_was() -> None:
    broken = net().train()
    with torch.no_grad():
        broken[2].weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        collect(FollowedNet(broken, (1, 4, 4)), BATCHES, ["a", "b"])
    assert all(part.training for part in broken.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in broken.modules())
