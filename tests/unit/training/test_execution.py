"""Devices, precisions, memory formats, and the losses of auxiliary heads."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnngraph.errors import UsageError
from cnngraph.training import execution
from cnngraph.training.execution import Execution, choose_execution, choose_for_many, logits_and_loss, pick_device


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(400, 2))


def test_devices() -> None:
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UsageError, match="no device 'tpu'"):
        pick_device("tpu")


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("seconds", "channels_last", "narrow_norms"),
    [
        ([1.0, 0.5, 0.49], True, False),
        ([1.0, 0.5, 0.4], True, True),
        ([1.0, 0.95, 0.85], True, True),
        ([1.0, 0.95, 0.95], False, False),
        ([0.5, 1.0, 0.5], False, False),
    ],
)
def test_the_faster_layout_is_taken(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], channels_last: bool, narrow_norms: bool
) -> None:
    monkeypatch.setattr(execution, "_step_seconds", lambda *_arguments: seconds)
    chosen = choose_execution(net(), torch.zeros(2, 1, 12, 12), device="cpu")
    assert chosen == Execution("cpu", "fp32", channels_last, narrow_norms)


def test_norms_are_a_choice_only_where_some_are_narrow() -> None:
    ways = execution._layouts(nn.Sequential(nn.Conv2d(1, 64, 3), nn.BatchNorm2d(64)), "cpu", "bf16")
    assert [way.narrow_norms for way in ways] == [False, False]
    assert [way.narrow_norms for way in execution._layouts(net(), "cuda", "bf16")] == [False, False]
    assert [way.narrow_norms for way in execution._layouts(net(), "cpu", "bf16")] == [False, False, True]


def test_a_way_to_train_that_was_measured_elsewhere_may_not_be_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    Execution("cpu", "fp32", channels_last=True).require_possible()
    for question in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, question, lambda: False)
    with pytest.raises(UsageError, match="no bfloat16 instructions"):
        Execution("cpu", "bf16", channels_last=True).require_possible()


def test_measuring_leaves_the_net_and_the_random_state_alone() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    choose_execution(model, torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0)), device="cpu")
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_half_precision_needs_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(2, 1, 12, 12)
    with pytest.raises(UsageError, match="fp16 needs a CUDA device"):
        choose_execution(net(), images, device="cpu", precision="fp16", channels_last=False)
    for question in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, question, lambda: False)
    with pytest.raises(UsageError, match="no bfloat16 instructions"):
        choose_execution(net(), images, device="cpu", precision="bf16", channels_last=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    chosen = choose_execution(net(), images, device="cpu", precision="bf16", channels_last=True)
    assert chosen == Execution("cpu", "bf16", True)


def choose(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[Execution], float]) -> Execution:
    """What is chosen on a processor with bf16 where a step takes so long."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(
        execution, "_step_seconds", lambda _net, _images, ways, **_steps: [seconds(way) for way in ways]
    )
    return choose_for_many(net(), torch.zeros(16, 1, 12, 12), device="cpu")


def test_many_trainings_take_what_gets_most_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(way: Execution) -> float:
        return (0.6 if way.precision == "bf16" else 1.0) * (0.8 if way.channels_last else 1.0)

    assert choose(monkeypatch, small) == Execution("cpu", "bf16", channels_last=True)

    def large(way: Execution) -> float:
        return 0.9 if way.precision == "bf16" else 1.0  # 10 % are not worth the rounding

    assert choose(monkeypatch, large) == Execution("cpu", "fp32", channels_last=False)


def test_without_instructions_for_it_bf16_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for question in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, question, lambda: False)
    tried: list[Execution] = []

    def seconds(_net: nn.Module, _images: torch.Tensor, ways: list[Execution], **_: int) -> list[float]:
        tried.extend(ways)
        return [1.0] * len(ways)

    monkeypatch.setattr(execution, "_step_seconds", seconds)
    assert choose_for_many(net(), torch.zeros(4, 1, 12, 12), device="cpu").precision == "fp32"
    assert {way.precision for way in tried} == {"fp32"}


def test_a_large_net_is_timed_on_few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    one_step = execution._one_step

    def slow(model: nn.Module, images: torch.Tensor, way: Execution) -> float:
        counts.append(len(images))
        one_step(model, images, way)
        return 0.1 * len(images)

    monkeypatch.setattr(execution, "_one_step", slow)
    choose_for_many(net(), torch.rand(64, 1, 12, 12), device="cpu")
    assert set(counts) == {execution._FEWEST_IMAGES, 10}  # the fewest to learn how many take one second
    assert counts[-1] == 10


def test_quick_steps_are_repeated_slow_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(execution.time, "perf_counter", lambda: clock[0])

    def steps_taken(seconds: float) -> int:
        count = 0

        def step(*_arguments: object) -> float:
            nonlocal count
            count += 1
            clock[0] += seconds
            return seconds

        monkeypatch.setattr(execution, "_one_step", step)
        execution._step_seconds(net(), torch.zeros(2, 1, 12, 12), [Execution("cpu", "fp32", channels_last=False)])
        return count

    assert steps_taken(0.001) == 1 + 6 * 3
    assert steps_taken(60.0) == 1 + 3


def test_auxiliary_heads_weigh_as_in_their_papers() -> None:
    labels = torch.tensor([0, 1])
    heads = [torch.randn(2, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    losses = [float(functional.cross_entropy(head, labels)) for head in heads]
    inception = namedtuple("InceptionOutputs", "logits aux_logits")(*heads[:2])
    google = namedtuple("GoogLeNetOutputs", "logits aux_logits2 aux_logits1")(*heads)
    alone = namedtuple("InceptionOutputs", "logits aux_logits")(heads[0], None)
    for output, expected in [
        (heads[0], losses[0]),
        (inception, losses[0] + 0.4 * losses[1]),
        (google, losses[0] + 0.3 * losses[1] + 0.3 * losses[2]),
        (alone, losses[0]),
    ]:
        logits, loss = logits_and_loss(output, labels)
        assert logits is heads[0]
        assert float(loss) == pytest.approx(expected)


def test_a_net_that_is_not_safe_in_nhwc_on_several_threads_stays_in_nchw(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 1x1 conv with a stride and few input channels: torch 2.15.0 spoils memory there, so it is not even timed."""
    thin = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1, stride=2))
    wide = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 32, 1, stride=2))
    nhwc = Execution("cpu", "bf16", True, narrow_norms=True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert nhwc.safe_for(thin) == Execution("cpu", "bf16", False)
    assert nhwc.safe_for(wide) == nhwc
    monkeypatch.setattr(execution, "_step_seconds", lambda model, images, ways, **_: [1.0 for _ in ways])
    assert not execution.choose_execution(thin, torch.zeros(2, 3, 8, 8), device="cpu").channels_last
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert nhwc.safe_for(thin) == nhwc
