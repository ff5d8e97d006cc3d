"""Devices, precisions, memory formats, and the losses of auxiliary heads."""

from __future__ import annotations

import copy
from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnngraph.errors import UsageError
from cnngraph.training import execution
from cnngraph.training.execution import Execution, choose_execution, logits_and_loss, pick_device


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


@pytest.mark.parametrize(("seconds", "channels_last"), [([1.0, 0.5], True), ([1.0, 0.95], False), ([0.5, 1.0], False)])
def test_the_faster_layout_is_taken(monkeypatch: pytest.MonkeyPatch, seconds: list[float], channels_last: bool) -> None:
    monkeypatch.setattr(execution, "_step_seconds", lambda *_arguments: seconds)
    chosen = choose_execution(net(), torch.zeros(2, 1, 12, 12), device="cpu")
    assert chosen == Execution("cpu", "fp32", channels_last)


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
