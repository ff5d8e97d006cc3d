"""Checkpoints with more than tensors in them: what is passed over, what is refused by name, and nothing is executed."""

from __future__ import annotations

import argparse
import builtins
import collections
import datetime as dt
import decimal
import enum
import functools
import pathlib
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from cnngraph.errors import ModelError
from cnngraph.models.torch_files import read_torch
from cnngraph.models.weights import load_weights


class Colour(enum.Enum):
    RED = 1


class Options:
    def __init__(self) -> None:
        self.lr = 1.0


class Table(dict[str, int]):
    pass


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2))


def nested() -> dict[str, Any]:
    found: dict[str, Any] = collections.defaultdict(list)
    found["a"].append(collections.defaultdict(dict, {"b": {}}))
    return found


HARMLESS = [
    collections.Counter("aab"),
    collections.OrderedDict(a=1),
    nested(),
    collections.deque([1, 2], 3),
    dt.datetime.now(dt.UTC),
    dt.date(2024, 1, 2),
    dt.timedelta(1),
    pathlib.Path("runs"),
    pathlib.PurePosixPath("a"),
    pathlib.PureWindowsPath("c:/a"),
    decimal.Decimal("1.5"),
    uuid.UUID(int=3),
    argparse.Namespace(lr=0.1, out=Path("runs")),
    types.SimpleNamespace(a=1),
    frozenset([1]),
    {1, 2},
    slice(1, 2),
    1j,
    b"abc",
    2**80,
    int,
    np.float64(0.9),
    np.float32(0.9),
    np.int64(3),
    np.bool_(True),
    np.str_("x"),
    np.dtype("float32"),
    np.arange(3.0),
    np.float32,
    torch.Size([1, 2]),
    torch.device("cpu"),
    torch.float16,
]


@pytest.mark.parametrize("thing", HARMLESS, ids=lambda thing: type(thing).__name__)
def test_options_and_logs_beside_the_weights_are_passed_over(tmp_path: Path, thing: object) -> None:
    trained, loaded = net(1), net(2)
    content = {"state_dict": trained.state_dict(), "hyper_parameters": {"thing": thing, "things": [thing, (thing,)]}}
    torch.save(content, tmp_path / "last.ckpt")
    assert load_weights(loaded, tmp_path / "last.ckpt") == []
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in trained.state_dict().items())


def test_nothing_of_what_is_passed_over_is_built(tmp_path: Path) -> None:
    """Stand-ins are made instead: no constructor of numpy's or pathlib's is called with what a file says."""
    torch.save([np.float64(0.9), np.arange(3), pathlib.Path("a"), dt.date(2024, 1, 2)], tmp_path / "x.pt")
    found = read_torch(tmp_path / "x.pt")
    assert isinstance(found, list)
    assert {type(one).__name__ for one in found} == {"_Dropped"}


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Colour.RED, "test_torch_files.Colour"),
        (Options(), "test_torch_files.Options"),
        (Table(a=1), "test_torch_files.Table"),
        (functools.partial(print, 1), "functools.partial"),
        (builtins.eval, "eval"),
        (torch.nn.functional.relu, "torch.nn.functional.relu"),
        (net(), "torch.nn.modules.container.Sequential"),
    ],
    ids=["enum", "object", "dict", "partial", "builtin", "function", "net"],
)
@pytest.mark.parametrize("zip_file", [True, False])
def test_what_cannot_be_read_safely_is_refused_by_its_name(
    tmp_path: Path, thing: object, name: str, *, zip_file: bool
) -> None:
    content = {"state_dict": net().state_dict(), "x": thing}
    torch.save(content, tmp_path / "last.ckpt", _use_new_zipfile_serialization=zip_file)
    with pytest.raises(ModelError, match="never executed") as refused:
        load_weights(net(), tmp_path / "last.ckpt")
    assert name in refused.value.message
    assert "state_dict()" in refused.value.hint
    assert "weights_only" not in str(refused.value)
    assert "add_safe_globals" not in str(refused.value)


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel])
def test_a_whole_pickled_net_is_named_by_its_class(tmp_path: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.save(wrap(net()), tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"a whole pickled object, torch\.nn\.\S+, not a state dict"):
        load_weights(net(), tmp_path / "net.pt")


def test_another_pickle_protocol_is_said(tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "net.pt", pickle_protocol=4)
    with pytest.raises(ModelError, match="pickle protocol other than 2"):
        load_weights(net(), tmp_path / "net.pt")


def pruned() -> nn.Module:
    model = net()
    prune.l1_unstructured(model[0], "weight", 0.5)  # type: ignore[no-untyped-call, index]
    return model


def normed() -> nn.Module:
    model = net()
    weight_norm(model[0])  # type: ignore[index]
    return model


def quantised(state: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8) for name, value in state.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: {name: value.to(torch.int8) for name, value in state.items()}, "int8 values for 0.weight"),
        (lambda state: {name: value.to(torch.float8_e4m3fn) for name, value in state.items()}, "float8_e4m3fn values"),
        (lambda state: {name: value.to(torch.complex64) for name, value in state.items()}, "complex weights"),
        (lambda state: {name: value.to("meta") for name, value in state.items()}, "has no values for 0.weight"),
        (lambda state: {name: value.to_sparse() for name, value in state.items()}, "a sparse tensor for 0.weight"),
        (quantised, "quantised weights are not read"),
        (lambda state: {"0.qweight": torch.zeros(3), "0.qzeros": torch.zeros(3)}, "holds quantised weights"),
        (lambda state: {"_flat_param": torch.zeros(99)}, "flat parameters of one process of FSDP"),
        (lambda state: {"module": {name: torch.zeros(0) for name in state}}, "ZeRO 3"),
        (lambda state: {"0.lora_A.weight": torch.zeros(3, 3)}, "a LoRA adapter"),
        (lambda state: {"0.kernel": torch.zeros(3, 3), "0.bias": torch.zeros(4)}, "as TensorFlow and JAX do"),
        (lambda state: {"shadow_params": list(state.values()), "decay": 0.9}, "without names (shadow_params)"),
        (lambda state: list(state.values()), "without names"),
        (lambda state: pruned().state_dict(), "masks of torch.nn.utils.prune"),
        (lambda state: normed().state_dict(), "parametrised weights"),
        (
            lambda state: state | {"0.weight": state["0.weight"].permute(2, 3, 1, 0), "2.weight": state["2.weight"].T},
            "in another order: 0.weight is (3, 3, 3, 4), the net needs (4, 3, 3, 3)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore")
def test_ways_of_saving_that_do_not_fit_are_named(tmp_path: Path, change: Callable[[Any], object], said: str) -> None:
    torch.save(change(net(1).state_dict()), tmp_path / "w.pt")
    loaded = net(2)
    with pytest.raises(ModelError) as refused:
        load_weights(loaded, tmp_path / "w.pt")
    assert said in refused.value.message
    assert refused.value.hint
    assert "\n" not in str(refused.value)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in net(2).state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    trained, loaded = net(1), net(2)
    torch.save({name: value.to(dtype) for name, value in trained.state_dict().items()}, tmp_path / "w.pt")
    load_weights(loaded, tmp_path / "w.pt")
    expected = {name: value.to(dtype).float() for name, value in trained.state_dict().items()}
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in expected.items())
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_averages_by_place_are_left_over_beside_the_weights(tmp_path: Path) -> None:
    trained, loaded = net(1), net(2)
    torch.save({"model": trained.state_dict(), "ema": {"shadow_params": list(net(3).parameters())}}, tmp_path / "w.pt")
    (said,) = load_weights(loaded, tmp_path / "w.pt")
    assert "left over are ema.shadow_params" in said
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in trained.state_dict().items())
