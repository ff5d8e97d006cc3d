"""Within one job a net is followed once, and what its copies share is found once; outside of one nothing is kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnngraph.models import registry
from cnngraph.network import graph as graphs
from cnngraph.network.graph import follow
from cnngraph.network.remembered import remember_structures
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import cut
from cnngraph.surgery.channels import coupling as couplings
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filters import copy_net

SHAPE = (1, 32, 32)


@pytest.fixture
def net() -> nn.Module:
    return registry.build("cnngraph:lenet5", classes=10, in_channels=1, width=0.5)


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Every net that was followed, in order."""
    nets: list[nn.Module] = []
    for module in (graphs, couplings):
        real = module.follow_symbolically

        def counted(model: nn.Module, *args: object, _real: object = real, **options: object) -> object:
            nets.append(model)
            return _real(model, *args, **options)  # type: ignore[operator]

        monkeypatch.setattr(module, "follow_symbolically", counted)
    return nets


def test_a_net_is_followed_once_in_a_job(net: nn.Module, followed: list[nn.Module]) -> None:
    with remember_structures():
        assert follow(net, SHAPE) is follow(net, SHAPE)
    assert followed == [net]
    assert follow(net, SHAPE) is not follow(net, SHAPE)


def test_a_net_that_was_changed_is_followed_anew(net: nn.Module, followed: list[nn.Module]) -> None:
    with remember_structures():
        before = follow(net, SHAPE)
        path = before.convs[1].layer
        old = net.get_submodule(path)
        net.set_submodule(path, nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, bias=False))
        after = follow(net, SHAPE)
    assert len(followed) == 2
    assert after.layer(path).parameters < before.layer(path).parameters


def test_copies_share_their_coupling(net: nn.Module, followed: list[nn.Module]) -> None:
    alone = coupled(net, SHAPE)
    followed.clear()
    with remember_structures():
        first = coupled(net, SHAPE)
        twin = copy_net(net)
        with torch.no_grad():
            next(twin.parameters()).add_(1)
        assert coupled(twin, SHAPE) is first
        assert first.groups == alone.groups
    assert len(followed) == 1


def test_another_structure_has_another_coupling(net: nn.Module, followed: list[nn.Module]) -> None:
    with remember_structures():
        first = coupled(net, SHAPE)
        layer = next(iter(first.layers))
        slim = cut(net, Plan(removes=(Removal(layer=layer, kind="filters", filters=(0,)),)), input_shape=SHAPE)
        assert coupled(slim, SHAPE).layers[layer] == first.layers[layer] - 1
        tied = copy_net(net)
        convs = [part for part in tied.modules() if isinstance(part, nn.Conv2d)]
        convs[0].stride = (2, 2)
        with pytest.raises(Exception, match="images"):
            coupled(tied, SHAPE)
    assert len(followed) >= 3


def test_a_net_without_an_origin_is_followed_each_time(followed: list[nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with remember_structures():
        assert coupled(net, SHAPE) is not coupled(net, SHAPE)
    assert len(followed) == 2
