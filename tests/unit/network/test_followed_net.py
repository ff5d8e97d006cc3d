"""A net is followed once, whatever is read of it."""

from __future__ import annotations

import pytest

from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.symbolic import follow_symbolically
from cnngraph.surgery.channels.coupling import Coupling, coupled
from tests.toynets import toy, toy_shape


def test_all_views_come_of_one_following(monkeypatch: pytest.MonkeyPatch) -> None:
    followings = 0

    def count(*args: object, **options: object) -> object:
        nonlocal followings
        followings += 1
        return follow_symbolically(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("cnngraph.network.graph.follow_symbolically", count)
    net = FollowedNet(toy("pooled"), toy_shape("pooled"))
    assert followings == 0
    assert [layer.layer for layer in net.graph.convs] == ["features.0", "features.4"]
    assert (len(net.places.source), sum(net.maps.sizes.values()), len(net.blocks)) == (256, 1 + 2 + 4 + 3, 2)
    assert net.wiring is net.wiring
    assert followings == 1


def test_a_view_of_a_higher_room_is_made_once() -> None:
    net, made = FollowedNet(toy("pooled"), toy_shape("pooled")), []

    def make(*what: object) -> Coupling:
        made.append(what)
        return coupled(*what)  # type: ignore[arg-type]

    assert net.view("coupling", make) is net.view("coupling", make)
    assert made == [(net.model, net.input_shape)]
