"""Two nets in lockstep give what the activations of all images at once give, and hold no more than a batch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.errors import DataError, ModelError, NotFoundError, UsageError
from cnngraph.models.registry import build
from cnngraph.network.followed_net import FollowedNet
from cnngraph.similarity import cca, cka, procrustes, pwcca, svcca
from cnngraph.similarity.nets import SimilarityOptions, all_pairs, compare_nets, compared_layers

SHAPE = (3, 8, 8)
EVERY = SimilarityOptions(measures=("svcca", "cca", "pwcca", "cka", "procrustes"))


class Functional(nn.Module):
    """Calls functions, one of them in place on what was seen already; dropout and a norm that eval mode decides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv1(x)))
        x += 1
        x = F.max_pool2d(x, 2)
        x = F.dropout(F.gelu(self.conv2(x)), training=self.training)
        return self.fc(x.mean((2, 3)))


def followed(channels: int, seed: int) -> FollowedNet:
    torch.manual_seed(seed)
    return FollowedNet(Functional(channels).double(), SHAPE)  # so that it gives the same in batches of all sizes


@pytest.fixture(scope="module")
def nets() -> tuple[FollowedNet, FollowedNet]:
    return followed(4, 0), followed(5, 1)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(41, *SHAPE, generator=torch.Generator().manual_seed(2))


def values(followed: FollowedNet, images: Tensor) -> dict[str, npt.NDArray[np.float64]]:
    """What the net's own steps give, by hand."""
    net = followed.model.eval()
    with torch.no_grad():
        relu = F.relu(net.norm(net.conv1(images)))
        pool = F.max_pool2d(relu + 1, 2)
        gelu = F.gelu(net.conv2(pool))
        mean = gelu.mean((2, 3))
        found = {"relu": relu, "max_pool2d": pool, "gelu": gelu, "mean": mean, "fc": net.fc(mean)}
    return {name: value.numpy() for name, value in found.items()}


def rows(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return value if value.ndim == 2 else value.transpose(0, 2, 3, 1).reshape(-1, value.shape[1])


def test_the_layers_that_are_compared(nets: tuple[FollowedNet, FollowedNet]) -> None:
    found = compared_layers(nets[0])
    assert [one.layer for one in found] == ["relu", "max_pool2d", "gelu", "mean", "fc"]
    assert [one.size for one in found] == [(8, 8), (4, 4), (4, 4), None, None]
    assert [one.channels for one in found] == [4, 4, 6, 6, 4]
    assert found[-1].depth == 1
    assert 0 < found[0].depth < found[2].depth < 1


@pytest.mark.parametrize("size", [41, 7, 1, 20])  # 20 leaves a last batch of one image
def test_all_measures_are_those_of_the_whole_activations(
    nets: tuple[FollowedNet, FollowedNet], images: Tensor, size: int
) -> None:
    theirs = [values(net, images.double()) for net in nets]
    batches = [(part, part) for part in images.split(size)]
    same = [(name, name) for name in theirs[0]]
    found = compare_nets(*nets, batches, [*same, ("relu", "gelu")], EVERY)
    assert len(found) == 6 * 5
    for row in found:
        x, y = theirs[0][row.first], theirs[1][row.second]
        if row.pooled:
            x, y = x.mean((2, 3)), y.mean((2, 3))
        shuffled = np.roll(y, 1, axis=0)
        reckon = {
            "svcca": svcca,
            "cca": lambda x, y: cca(x, y).mean(),
            "pwcca": pwcca,
            "cka": lambda x, y: cka(x, y, "unbiased"),
            "procrustes": procrustes,
        }[row.measure]
        assert row.value == pytest.approx(reckon(rows(x), rows(y)), abs=1e-9)
        assert row.null == pytest.approx(reckon(rows(x), rows(shuffled)), abs=1e-9)
        assert row.images == 41
        assert row.points == len(rows(x))
        assert row.widths == (x.shape[1], y.shape[1])
        assert row.points_per_neuron == row.points / max(row.widths)
        assert row.pooled == (row.first != row.second)


def test_one_net_with_itself_is_the_same_net(nets: tuple[FollowedNet, FollowedNet], images: Tensor) -> None:
    for row in compare_nets(nets[0], nets[0], [(images, images)], [("gelu", "gelu"), ("fc", "fc")], EVERY):
        assert row.value == pytest.approx(0 if row.measure == "procrustes" else 1, abs=1e-9)
        assert row.null is not None
        assert abs(row.value - row.null) > 0.1  # far less than noise: borders of maps are alike in all images
        assert row.kept == (row.widths if row.measure != "svcca" else row.kept)


def test_all_pairs(nets: tuple[FollowedNet, FollowedNet], images: Tensor) -> None:
    pairs = all_pairs(*nets)
    assert len(pairs) == 25
    found = compare_nets(*nets, [(images, images)], pairs, SimilarityOptions(measures=("cka",)))
    assert [(row.first, row.second) for row in found] == pairs
    alone = compare_nets(*nets, [(images, images)], [("gelu", "fc")], SimilarityOptions(measures=("cka",)))
    assert alone[0] == found[pairs.index(("gelu", "fc"))]


def test_pooled_points_of_many_images_are_multiplied_a_part_at_a_time(
    nets: tuple[FollowedNet, FollowedNet], images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [(part, part) for part in images.split(7)]
    whole = compare_nets(*nets, batches, [("relu", "gelu")], EVERY)
    monkeypatch.setattr("cnngraph.similarity.nets._POOLED_AT_ONCE", 14)  # the last part is less than that
    for row, other in zip(whole, compare_nets(*nets, batches, [("relu", "gelu")], EVERY), strict=True):
        assert (other.value, other.null) == (pytest.approx(row.value, abs=1e-9), pytest.approx(row.null, abs=1e-9))


def test_modes_and_statistics_are_left_alone(nets: tuple[FollowedNet, FollowedNet], images: Tensor) -> None:
    nets[0].model.train()
    before = {name: value.clone() for name, value in nets[0].model.state_dict().items()}
    compare_nets(*nets, [(images, images)], [("relu", "relu")])
    assert nets[0].model.training
    assert all(torch.equal(before[name], value) for name, value in nets[0].model.state_dict().items())


def test_dead_maps_constant_layers_and_few_images_have_a_reason(images: Tensor) -> None:
    partly, wholly = followed(4, 3), followed(4, 4)
    with torch.no_grad():
        partly.model.norm.weight[1] = 0
        partly.model.norm.bias[1] = -1
        wholly.model.norm.weight.zero_()
        wholly.model.norm.bias.fill_(-1)
    found = compare_nets(partly, wholly, [(images, images)], [("relu", "relu")], EVERY)
    assert {row.value for row in found} == {None}
    assert all("constant" in row.reason for row in found)
    one = compare_nets(partly, followed(4, 5), [(images, images)], [("relu", "relu")], EVERY)
    assert one[1].measure == "cca"
    assert (one[1].kept, one[1].dropped) == ((3, 4), (1, 0))
    few = compare_nets(partly, followed(4, 5), [(images[:3], images[:3])], [("fc", "fc")], EVERY)
    assert [row.value is None for row in few] == [True, True, True, True, False]
    assert "too few" in few[0].reason
    assert "needs 4 points" in few[3].reason
    alone = compare_nets(partly, followed(4, 5), [(images[:1], images[:1])], [("relu", "relu")])
    assert alone[0].value is not None
    assert alone[0].null is None


def test_a_layer_that_varies_by_rounding_alone_is_constant(images: Tensor) -> None:
    torch.manual_seed(6)
    nets = [FollowedNet(Functional(4), SHAPE) for _ in range(2)]  # in float32
    with torch.no_grad():
        nets[0].model.norm.weight.fill_(1e-9)
        nets[0].model.norm.bias.fill_(0.3)
    found = compare_nets(*nets, [(images, images)], [("relu", "relu")], EVERY)
    assert {(row.value, row.reason[:19]) for row in found} == {(None, "A layer is constant")}


def test_sums_that_do_not_fit_are_refused_before_any_image(
    nets: tuple[FollowedNet, FollowedNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnngraph.similarity.nets._MOST_SUMS", 1000)
    with pytest.raises(DataError, match="25 pairs of layers need"):
        compare_nets(*nets, iter(()), all_pairs(*nets))


def test_what_cannot_be_compared_is_refused(nets: tuple[FollowedNet, FollowedNet], images: Tensor) -> None:
    def ask(pairs: list[tuple[str, str]], batches: list[tuple[Tensor, Tensor]], **how: object) -> None:
        compare_nets(*nets, batches, pairs, SimilarityOptions(**how))

    both = [(images, images)]
    with pytest.raises(NotFoundError, match="no layer 'relo'") as error:
        ask([("relo", "relu")], both)
    assert "relu" in error.value.hint
    with pytest.raises(UsageError, match="No pair"):
        ask([], both)
    with pytest.raises(DataError, match="no images"):
        ask([("relu", "relu")], [])
    with pytest.raises(DataError, match="41 images and the second 40"):
        ask([("relu", "relu")], [(images, images[1:])])
    with pytest.raises(ModelError, match="NaN"):
        ask([("relu", "relu")], [(images, images * math.nan)])
    with pytest.raises(ModelError, match="NaN"):
        ask([("relu", "relu")], [*both, (images, images * math.inf)])
    with pytest.raises(UsageError, match="no similarity 'cosine'"):
        ask([("relu", "relu")], both, measures=("cosine",))
    with pytest.raises(UsageError, match="no estimator"):
        ask([("relu", "relu")], both, estimator="best")


def test_nets_of_other_architectures(images: Tensor) -> None:
    lenet = FollowedNet(build("cnngraph:lenet5", classes=10, in_channels=1, size=28, seed=0), (1, 28, 28))
    vgg = FollowedNet(build("cnngraph:vgg11", classes=10, width=0.125, seed=0), (3, 32, 32))
    draw = torch.Generator().manual_seed(0)
    grey = torch.rand(80, 1, 28, 28, generator=draw)
    batches = [(grey, F.interpolate(grey, 32).expand(-1, 3, -1, -1))]
    found = compare_nets(lenet, vgg, batches, all_pairs(lenet, vgg), SimilarityOptions(measures=("cka",)))
    assert all(row.value is not None and row.null is not None for row in found)
    # The classifiers are dense: one point an image, and nothing to pool; maps of 28 and 32 px are pooled.
    assert {row.points for row in found} == {80}
    assert {row.pooled for row in found if row.first.startswith("features")} == {True}
