from __future__ import annotations

import pytest
import torch

from cnngraph.randomness import seeded


def test_the_state_outside_is_what_it_was_also_after_an_error() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(2)
    with pytest.raises(ZeroDivisionError), seeded(1):
        assert torch.equal(torch.rand(2), first)
        raise ZeroDivisionError
    assert torch.equal(torch.rand(3), expected)


def test_a_device_that_is_not_in_use_is_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def seed_all(_: int) -> None:
        raise AssertionError("CUDA was seeded")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seed_all)
    with seeded(1):
        pass
