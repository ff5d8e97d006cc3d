"""Latency: nets in turns, medians, modes restored."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnngraph.training import latency
from cnngraph.training.latency import latency_ms, measure_latency


class Noted(nn.Module):
    """Writes its name into a list at every call."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__()
        self.name, self.calls = name, calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        self.calls.append(self.name)
        return x


def test_nets_are_called_in_turns() -> None:
    calls: list[str] = []
    models = {name: Noted(name, calls).train() for name in "ab"}
    found = measure_latency(models, (1, 4, 4), repeats=3, warmup=2)
    assert calls == ["a", "b"] * 5
    assert all(model.training for model in models.values())
    assert (found.device, found.batch_size, found.repeats, found.threads) == ("cpu", 1, 3, torch.get_num_threads())


def test_the_median_is_in_milliseconds_and_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([9.0, 9.0, 0.001, 0.004, 0.003, 0.005, 0.002, 0.006])
    monkeypatch.setattr(latency, "_time_once", lambda *_arguments: next(seconds))
    found = measure_latency({"a": nn.Identity(), "b": nn.Identity()}, (1, 4, 4), repeats=3, warmup=1)
    assert found.median_ms == pytest.approx({"a": 2.0, "b": 5.0})
    assert found.spread_ms == pytest.approx({"a": 2.0, "b": 2.0})


def test_a_larger_net_takes_longer() -> None:
    large = nn.Sequential(*(nn.Conv2d(32, 32, 3, padding=1) for _ in range(8)))
    found = latency_ms({"small": nn.Conv2d(32, 32, 1), "large": large}, (32, 32, 32), repeats=7)
    assert found["large"] > found["small"] > 0
