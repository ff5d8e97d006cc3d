"""What goes into convs and blocks beside what comes out: the Gram matrices give what the whole activations give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.errors import DataError, ModelError
from cnngraph.network.followed_net import FollowedNet
from cnngraph.similarity import cka, input_output
from cnngraph.similarity.input_output import changes, gram_alignment


class Residual(nn.Module):
    """A stem, one residual block that a module makes, and a dead conv."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.dead = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.b(F.relu(self.a(x))))
        return self.fc(torch.cat([x, F.relu(self.dead(x))], 1).mean((2, 3)))


@pytest.fixture
def net() -> Residual:
    torch.manual_seed(0)
    net = Residual().double().eval()
    with torch.no_grad():
        net.dead.bias.fill_(-100)
    return net


@pytest.fixture
def images() -> Tensor:
    return torch.randn(30, 3, 6, 6, generator=torch.Generator().manual_seed(1)) + 3


def score(x: Tensor, y: Tensor) -> float:
    return 1 - cka(x.flatten(1).numpy(), y.flatten(1).numpy(), "unbiased")


@pytest.mark.parametrize("few", [False, True])
def test_scores_are_those_of_the_whole_activations(
    net: Residual, images: Tensor, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if few:  # five batches of seven images at most, columns in parts
        monkeypatch.setattr(input_output, "_HELD", 7 * 4 * (3 + 4 * 5 + 2) * 36)
        monkeypatch.setattr(input_output, "_COLUMNS", 50)
    found = changes(FollowedNet(net, (3, 6, 6)), images.split(11))
    with torch.no_grad():
        x = images.double()
        stem = net.stem(x)
        a = F.relu(net.a(stem))
        b = net.b(a)
    assert found.images == 30
    # The ReLU behind a sum is no part of the conv before it; a conv that gives the same for all images has no score.
    assert list(found.layers) == ["stem.0", "a", "b"]
    assert list(found.layers.values()) == pytest.approx([score(x, stem), score(stem, a), score(a, b)], abs=1e-10)
    assert list(found.blocks) == ["add", "cat"]
    assert found.blocks["add"] == pytest.approx(score(stem, stem + b), abs=1e-10)


def test_so_many_images_at_most(net: Residual, images: Tensor) -> None:
    followed = FollowedNet(net, (3, 6, 6))
    some = changes(followed, images.split(8), images=12)
    assert some.images == 12
    assert some == changes(followed, [images[:12]])


def test_a_conv_that_hands_on_what_it_is_given_changes_nothing(net: Residual, images: Tensor) -> None:
    with torch.no_grad():
        nn.init.dirac_(net.a.weight)
        net.a.bias.zero_()
    assert changes(FollowedNet(net, (3, 6, 6)), [images]).layers["a"] == pytest.approx(0, abs=1e-10)


def test_gram_matrices_give_unbiased_cka() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(9, 40)) + 5, draw.normal(size=(9, 70))
    assert gram_alignment(x @ x.T, y @ y.T) == pytest.approx(cka(x, y, "unbiased"), abs=1e-12)
    assert gram_alignment(x @ x.T, np.full((9, 9), 3.0)) is None


def test_what_cannot_be_compared_is_refused(net: Residual, images: Tensor) -> None:
    followed = FollowedNet(net, (3, 6, 6))
    with pytest.raises(DataError, match="needs 4 images, and there are 3"):
        changes(followed, [images[:3]])
    with pytest.raises(DataError, match="there are 0"):
        changes(followed, [])
    with pytest.raises(ModelError, match="layer input are NaN or infinite"):
        changes(followed, [images * torch.inf])
