"""Masks: what is pruned is exactly zero through momentum and weight decay, nothing else of a net knows of them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnngraph.errors import ModelError
from cnngraph.models.masks import (
    MaskedTensors,
    Masks,
    drop_unfit,
    get_masks,
    keep_zeros,
    masks_of,
    moved_zeros,
    require_zeros,
    set_masks,
)
from cnngraph.pruning.smallest_weights import count_share, keep_largest


def small() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))


def masked(seed: int = 0) -> nn.Module:
    """With about half of the conv's weights and of the dense layer's pruned."""
    net, chance = small(), np.random.default_rng(seed)
    names = ("0.weight", "3.weight")
    set_masks(net, masks_of({name: chance.random(tuple(net.get_parameter(name).shape)) < 0.5 for name in names}))
    keep_zeros(net)
    return net


def test_counts_and_names() -> None:
    masks = masks_of({"a.weight": np.eye(2, dtype=bool), "a.bias": np.ones(2, dtype=bool), "b.weight": np.ones(3)})
    assert masks.layers == ("a", "b")
    assert (masks.count("a"), masks.size("a"), masks.total) == (4, 6, (7, 9))
    assert masks.sha256_of("a") == masks_of(dict(masks.of("a"))).sha256
    assert masks.sha256_of("a") != masks_of({"a.weight": masks.alive["a.weight"]}).sha256
    with pytest.raises(ValueError, match="read-only"):
        masks.alive["a.weight"][0, 0] = False


def test_equal_bits_in_another_shape_or_under_another_name_are_another_mask() -> None:
    flags = np.array([[True, False], [False, True]])
    digests = {masks_of(one).sha256 for one in ({"a.w": flags}, {"b.w": flags}, {"a.w": flags.reshape(4)})}
    assert len(digests) == 3


def test_copies_of_a_net_share_its_masks() -> None:
    net = masked()
    assert get_masks(copy.deepcopy(net)) is get_masks(net)
    assert "masks" not in " ".join(net.state_dict())
    again = pickle.loads(pickle.dumps(net))
    assert get_masks(again).sha256 == get_masks(net).sha256
    assert get_masks(small()) is None


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    how=st.sampled_from(["sgd", "nesterov", "adamw", "adam", "rmsprop"]),
    decay=st.sampled_from([0.0, 0.1]),
    later=st.booleans(),
)
def test_zeros_stay_exactly_zero_under_every_optimizer(seed: int, how: str, decay: float, later: bool) -> None:
    """Masks that are put on in the middle of a training, when momentum is there, hold as well."""
    net = masked(seed)
    masks = get_masks(net)
    if later:
        set_masks(net, None)
        net.load_state_dict(small().state_dict())
    optimizers: dict[str, Any] = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=decay),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=decay),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=decay),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=decay),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9, weight_decay=decay),
    }
    optimizer = optimizers[how](net.parameters())
    images = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    on: MaskedTensors | None = None if later else MaskedTensors(net)
    for step in range(6):
        if step == 3 and on is None:
            set_masks(net, masks)
            on = MaskedTensors(net)
        optimizer.zero_grad()
        net(images).square().sum().backward()
        optimizer.step()
        if on is not None:
            on.put_on()
            assert moved_zeros(net) == {}
    for name, flags in masks.alive.items():
        assert torch.count_nonzero(net.get_parameter(name)).item() <= flags.sum()


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), rate=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_masks_of_rounds_are_nested_and_leave_what_the_floor_says(sizes: list[int], rate: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    alive = None
    left = sum(sizes)
    for _ in range(5):
        weights = [chance.permutation(np.arange(1.0, size + 1)) + chance.random(size) * 0.5 for size in sizes]
        before = masks_of({f"{i}.weight": one for i, one in enumerate(alive)}) if alive else None
        alive = keep_largest(weights, rate, alive)
        now = masks_of({f"{i}.weight": one for i, one in enumerate(alive)})
        left -= count_share(rate, left)
        assert now.total[0] == left
        if before is not None:
            assert now.within(before) == ""


def test_what_grows_again_is_named() -> None:
    less = masks_of({"a.weight": np.array([True, False])})
    more = masks_of({"a.weight": np.array([True, True])})
    assert less.within(more) == ""
    assert more.within(less) == "a.weight"
    assert masks_of({}).within(less) == "a.weight"


def test_zeros_that_moved_are_counted_and_refused() -> None:
    net = masked()
    dead = int((~get_masks(net).alive["0.weight"]).sum())
    with torch.no_grad():
        net[0].weight.add_(1.0)
    assert moved_zeros(net) == {"0.weight": dead}
    with pytest.raises(ModelError, match=rf"The trainer x moved {dead} pruned weights of 0\.weight off zero"):
        require_zeros(net, "The trainer x", "")
    assert drop_unfit(net) == ("0.weight",)
    assert tuple(get_masks(net).alive) == ("3.weight",)


def test_masks_of_what_is_gone_or_of_another_size_go() -> None:
    net = masked()
    net[0] = nn.Identity()
    net[3] = nn.Linear(5, 2)
    assert drop_unfit(net) == ("3.weight",)
    assert get_masks(net) is None


def test_zeros_are_positive() -> None:
    net = masked()
    with torch.no_grad():
        net[0].weight.fill_(-1.0)
    MaskedTensors(net).put_on()
    keep_zeros(net)
    dead = torch.from_numpy(~get_masks(net).alive["0.weight"])
    assert not torch.signbit(net[0].weight[dead]).any()


def test_torch_sees_plain_weights() -> None:
    net = masked().eval()
    images = torch.randn(2, 1, 4, 4)
    assert torch.equal(torch.fx.symbolic_trace(net)(images), net(images))
    exported = torch.export.export(net, (images,)).module()
    assert torch.equal(exported(images), net(images))
    assert isinstance(get_masks(net), Masks)
