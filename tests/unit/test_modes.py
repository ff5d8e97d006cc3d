from __future__ import annotations

import pytest

from cnngraph.modes import evaluation_mode, kept_modes
from tests.toynets import toy


@pytest.mark.parametrize("fails", [False, True])
def test_modes_come_back(fails: bool) -> None:
    net = toy("residual").train()
    net.pool.eval()  # type: ignore[union-attr, operator]
    before = [module.training for module in net.modules()]
    assert set(before) == {True, False}
    try:
        with evaluation_mode(net):
            assert not any(module.training for module in net.modules())
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert [module.training for module in net.modules()] == before
    with kept_modes(net):
        net.train()
    assert [module.training for module in net.modules()] == before
