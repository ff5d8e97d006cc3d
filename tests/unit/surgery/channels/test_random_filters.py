"""Random nets of any shape: whatever filters can go at once go, and the rest is what the masked net computes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filters import slice_channels
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.output_diff import output_diff
from tests.unit.surgery import random_nets
from tests.unit.surgery.nets import images


def _slim_is_masked(net: nn.Module, data: st.DataObject) -> None:
    coupling = coupled(net, random_nets.SHAPE)
    free = [group for group in coupling.groups if group.filters and not group.fixed]
    assume(free)
    gone: dict[str, list[int]] = {}
    for group in data.draw(st.lists(st.sampled_from(free), min_size=1, max_size=5, unique_by=lambda g: g.index)):
        for layer, channel in group.filters:
            gone.setdefault(layer, []).append(channel)
    try:
        closed = coupling.closure(gone)
    except PlanError as error:
        assert error.message.startswith("The plan removes all")
        return
    assert closed == {layer: tuple(sorted(gone[layer])) for layer in coupling.layers if layer in gone}
    reference, batch = masked(net, coupling, gone), [images(8, *random_nets.SHAPE)]
    try:
        output_diff(reference, reference, batch, batch)
    except (RuntimeError, ValueError):
        assume(False)  # a norm whose map has one place cannot be trained, with or without its neighbours
    assert output_diff(slice_channels(net, coupling, gone), reference, batch, batch).relative < 1e-9


_ANY_NET = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@settings(_ANY_NET, max_examples=30)
@given(random_nets.NETS, st.data())
def test_slim_is_masked(net: nn.Module, data: st.DataObject) -> None:
    _slim_is_masked(net, data)


@pytest.mark.slow
@settings(_ANY_NET, max_examples=500)
@given(random_nets.NETS, st.data())
def test_slim_is_masked_in_many_more(net: nn.Module, data: st.DataObject) -> None:
    _slim_is_masked(net, data)
