"""Latency: nets in turns, medians, modes restored."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from cnngraph.errors import CnngraphError, ModelError, UsageError
from cnngraph.training.latency import Passes, latency_ms, measure_latency


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
    found = measure_latency(models, (1, 4, 4), passes=Passes(repeats=3, warmup=2))
    assert calls == ["a", "b"] * 5
    assert all(model.training for model in models.values())
    assert (found.device, found.batch_size, found.repeats, found.threads) == ("cpu", 1, 3, torch.get_num_threads())


class Ticks:
    """A clock that two readings apart shows the next of these seconds passed."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.between, self.seconds = 0.0, True, iter(seconds)

    def __call__(self) -> float:
        self.between = not self.between
        if self.between:
            self.now += next(self.seconds)
        return self.now


def test_the_median_is_in_milliseconds_and_warm_up_does_not_count() -> None:
    clock = Ticks(9.0, 9.0, 0.001, 0.004, 0.003, 0.005, 0.002, 0.006)
    found = measure_latency(
        {"a": nn.Identity(), "b": nn.Identity()}, (1, 4, 4), passes=Passes(repeats=3, warmup=1, clock=clock)
    )
    assert found.median_ms == pytest.approx({"a": 2.0, "b": 5.0})
    assert found.spread_ms == pytest.approx({"a": 2.0, "b": 2.0})


def test_a_measurement_that_scatters_is_taken_again_and_the_steadiest_is_kept() -> None:
    busy, less_busy, steady = [0.001, 0.009, 0.009], [0.001, 0.002, 0.002], [0.001, 0.001, 0.001]
    found = measure_latency(
        {"a": nn.Identity()}, (1, 4, 4), passes=Passes(repeats=3, warmup=0, tries=3, clock=Ticks(*busy, *steady))
    )
    assert found.median_ms == pytest.approx({"a": 1.0})
    assert found.scatter == pytest.approx(0.0)
    again = Ticks(*busy, *less_busy, *busy)
    found = measure_latency({"a": nn.Identity()}, (1, 4, 4), passes=Passes(repeats=3, warmup=0, tries=3, clock=again))
    assert found.median_ms == pytest.approx({"a": 2.0})
    assert found.scatter == pytest.approx(0.5)


def test_a_larger_net_takes_longer() -> None:
    large = nn.Sequential(*(nn.Conv2d(32, 32, 3, padding=1) for _ in range(8)))
    found = latency_ms({"small": nn.Conv2d(32, 32, 1), "large": large}, (32, 32, 32), repeats=7)
    assert found["large"] > found["small"] > 0


def test_onnxruntime_runs_the_net_and_leaves_it_as_it_is() -> None:
    pytest.importorskip("onnxruntime")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measure_latency(
        {"net": model}, (1, 8, 8), passes=Passes(repeats=2, warmup=1), runtime="onnxruntime", batch_size=2
    )
    assert (found.runtime, found.batch_size) == ("onnxruntime", 2)
    assert found.median_ms["net"] > 0
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_unknown_runtime_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no runtime 'onxruntime'") as caught:
        measure_latency({"net": nn.Identity()}, (1, 4, 4), runtime="onxruntime")
    assert caught.value.hint == "Did you mean onnxruntime?"


def test_a_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CnngraphError, match="needs onnxruntime, which is not installed") as caught:
        measure_latency({"net": nn.Identity()}, (1, 4, 4), runtime="onnxruntime")
    assert "cnngraph[onnx]" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none_is_one_line() -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        measure_latency({"net": nn.Identity()}, (1, 4, 4), device="cuda")


@pytest.mark.slow
def test_a_compiled_net_is_timed() -> None:
    found = measure_latency(
        {"net": nn.Conv2d(1, 2, 3)}, (1, 8, 8), passes=Passes(repeats=2, warmup=1), runtime="compile"
    )
    assert found.median_ms["net"] > 0


class Typed(nn.Conv2d):
    """A conv that notes the type of its images."""

    seen: torch.dtype | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x.dtype
        return super().forward(x)


def test_each_net_gets_images_in_the_precision_of_its_weights() -> None:
    types = {"half": torch.float16, "brain": torch.bfloat16, "single": torch.float32, "double": torch.float64}
    models = {name: Typed(1, 2, 3).to(dtype) for name, dtype in types.items()}
    found = measure_latency(models, (1, 8, 8), passes=Passes(repeats=2, warmup=0))
    assert set(found.median_ms) == set(types)
    assert {name: model.seen for name, model in models.items()} == types


def test_onnxruntime_says_which_numbers_it_has_no_kernels_for() -> None:
    pytest.importorskip("onnxruntime")
    half = nn.Sequential(nn.Conv2d(1, 2, 3)).half()
    assert (
        measure_latency({"net": half}, (1, 8, 8), passes=Passes(repeats=2), runtime="onnxruntime").median_ms["net"] > 0
    )
    with pytest.raises(ModelError, match="ONNX Runtime cannot run this net on cpu"):
        measure_latency({"net": half.bfloat16()}, (1, 8, 8), passes=Passes(repeats=2), runtime="onnxruntime")
