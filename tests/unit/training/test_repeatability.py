"""A net that is random in eval mode is found, with its line; what merely looks so is not."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.training.repeatability import repeatability


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc, self.drop = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4), nn.Dropout(0.3)
        self.calls, self.rng = 0, np.random.default_rng(0)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("var", torch.ones(8))

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))

    def head(self, x: Tensor) -> Any:
        return self.fc(x)


class Dropout(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(F.dropout(x, 0.2))


class AlwaysOn(Net):
    def head(self, x: Tensor) -> Any:
        self.drop.train()
        return self.fc(self.drop(x))


class Noise(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(x + 1e-3 * torch.randn_like(x))


class Gumbel(Net):
    def head(self, x: Tensor) -> Any:
        return {"logits": F.gumbel_softmax(self.fc(x)), "features": x}


class PathByPython(Net):
    def head(self, x: Tensor) -> Any:
        if random.random() < 0.1:
            x = x * 2
        return self.fc(x)


class PathByNumpy(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(x * float(np.random.rand() > 0.1))


class OwnGenerator(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(x) * float(self.rng.random())


class Counter(Net):
    def head(self, x: Tensor) -> Any:
        self.calls += 1
        return self.fc(x) * self.calls


class Buffer(Net):
    def head(self, x: Tensor) -> Any:
        self.steps += 1
        return self.fc(x) + self.steps


class Crop(Net):
    def forward(self, x: Tensor) -> Any:
        place = int(torch.randint(0, 5, ()))
        return super().forward(x[:, :, place:, place:])


@pytest.mark.parametrize(
    ("net", "code"),
    [
        (Dropout, "F.dropout(x, 0.2)"),
        (AlwaysOn, "self.drop(x)"),
        (Noise, "torch.randn_like(x)"),
        (Gumbel, "F.gumbel_softmax"),
        (PathByPython, ""),
        (PathByNumpy, "np.random.rand()"),
        (OwnGenerator, "self.rng.random()"),
        (Counter, "* self.calls"),
        (Buffer, "self.steps += 1"),
        (Crop, "torch.randint"),
    ],
)
def test_what_differs_from_run_to_run_is_named_by_its_line(net: type[Net], code: str) -> None:
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    found = repeatability(model, torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert f"{__file__}:" in found.random
    assert code in found.random
    assert not found.batch
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert (model.training, model.calls) == (True, 0)


class Drawn(Net):
    def head(self, x: Tensor) -> Any:
        torch.rand(1), random.random()
        return self.fc(self.drop(x))


class FixedNoise(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(x + torch.randn(x.shape[1], generator=torch.Generator().manual_seed(1)))


class NotANumber(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(x) * float("nan")


class Words(Net):
    def head(self, x: Tensor) -> Any:
        return "no tensor"


class Failing(Net):
    def head(self, x: Tensor) -> Any:
        raise ValueError("another's matter")


@pytest.mark.parametrize("net", [Net, Drawn, FixedNoise, NotANumber, Words, Failing])
def test_what_repeats_itself_is_sound(net: type[Net]) -> None:
    found = repeatability(net(), torch.randn(4, 3, 8, 8))
    assert (found.random, found.batch) == ("", "")


class OfBatch(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(F.batch_norm(x, self.mean, self.var, training=True))


class Centred(Net):
    def head(self, x: Tensor) -> Any:
        return self.fc(x - x.mean(0, keepdim=True))


@pytest.mark.parametrize(("net", "code"), [(OfBatch, "F.batch_norm(x"), (Centred, "mixes the images of a batch")])
def test_answers_that_depend_on_the_batch(net: type[Net], code: str) -> None:
    found = repeatability(net(), torch.randn(4, 3, 8, 8))
    assert not found.random
    assert code in found.batch
