"""Weights files: what is loaded, what is refused, and that nothing is ever executed."""

from __future__ import annotations

import os
import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from cnngraph.errors import ModelError, NotFoundError
from cnngraph.models.registry import WeightsChoice, build
from cnngraph.models.weights import heads, load_weights, read_weights


def small(classes: int = 10, seed: int = 0) -> nn.Module:
    return build("cnngraph:lenet5", classes=classes, in_channels=1, width=0.5, seed=seed)


def same(one: nn.Module, two: nn.Module, prefix: str = "") -> bool:
    mine, yours = one.state_dict(), two.state_dict()
    return all(torch.equal(mine[name], yours[name]) for name in mine if name.startswith(prefix))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_file_of_weights_is_loaded(tmp_path: Path, name: str) -> None:
    trained = small(seed=1)
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(trained.state_dict(), path)
    else:
        torch.save(trained.state_dict(), path)
    loaded = build("cnngraph:lenet5", weights=WeightsChoice(path), classes=10, in_channels=1, width=0.5)
    assert same(trained, loaded)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda state: {"model": state, "model_ema": {"module.x": torch.zeros(1)}},
        lambda state: {"net": state, "acc": 93.1},
        lambda state: {"model_ema": {"n_averaged": torch.tensor(7)} | state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"model": state, "args": Namespace(lr=0.1, out=Path("runs"))},
        lambda state: {"model": state, "best": np.float64(0.9), "loss": np.float32(0.1)},
    ],
    ids=["state_dict", "model_state_dict", "model", "net", "model_ema", "twice", "args", "scores"],
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "model."])
def test_a_checkpoint_of_a_training_script_is_unwrapped(
    tmp_path: Path, wrap: Callable[[dict[str, torch.Tensor]], object], prefix: str
) -> None:
    trained, loaded = small(seed=1), small(seed=2)
    torch.save(wrap({f"{prefix}{name}": value for name, value in trained.state_dict().items()}), tmp_path / "last.pt")
    load_weights(loaded, tmp_path / "last.pt")
    assert same(trained, loaded)


def test_prefixes_of_safetensors_and_of_a_compiled_part(tmp_path: Path) -> None:
    trained, loaded = small(seed=1), small(seed=2)
    state = {f"module.{name}": value for name, value in trained.state_dict().items()}
    save_file(
        {name.replace("features.", "features._orig_mod."): value for name, value in state.items()}, tmp_path / "w"
    )
    (tmp_path / "w").rename(tmp_path / "w.safetensors")
    load_weights(loaded, tmp_path / "w.safetensors")
    assert same(trained, loaded)


class Wrapped(nn.Module):
    """A net that itself has all its layers in an attribute with a wrapper's name."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))


def test_a_net_whose_own_names_have_the_prefix(tmp_path: Path) -> None:
    trained, loaded = Wrapped(), Wrapped()
    torch.save(trained.state_dict(), tmp_path / "plain.pt")
    torch.save(nn.DataParallel(trained).state_dict(), tmp_path / "parallel.pt")
    torch.save(trained.module.state_dict(), tmp_path / "inner.pt")
    for file in ("plain.pt", "parallel.pt"):
        load_weights(loaded, tmp_path / file)
        assert same(trained, loaded)
    with pytest.raises(
        ModelError, match=r"none of its tensors, such as module\.0\.weight, but others, such as 0\.weight"
    ):
        load_weights(loaded, tmp_path / "inner.pt")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_is_refused_and_never_executed(tmp_path: Path, writer: str) -> None:
    path, witness = tmp_path / "model.pt", tmp_path / "executed"
    if writer == "torch":
        torch.save({"weights": torch.zeros(1), "trap": Trap(witness)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(witness)))
    with pytest.raises(ModelError, match="never executed") as caught:
        load_weights(small(), path)
    assert "state_dict()" in caught.value.hint
    assert not witness.exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(small(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="never executed"):
        load_weights(small(), tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3, "lr": 0.1}, torch.zeros(3)])
def test_other_contents_are_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(ModelError, match=r"no state dict|no plain state dict"):
        load_weights(small(), tmp_path / "file.pt")


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pt"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_weights(small(), tmp_path / name)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "weights.pt")
    whole = (tmp_path / "weights.pt").read_bytes()
    (tmp_path / "weights.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"not a readable weights file"):
        load_weights(small(), tmp_path / "weights.pt")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no weights file"):
        load_weights(small(), tmp_path / "none.pt")
    with pytest.raises(ModelError, match="is a folder"):
        load_weights(small(), tmp_path)


def test_other_classes_need_a_new_head(tmp_path: Path) -> None:
    trained, loaded = small(classes=5, seed=1), small(classes=10, seed=2)
    torch.save(trained.state_dict(), tmp_path / "five.pt")
    with pytest.raises(ModelError, match="has 5 outputs, but the data has 10 classes") as caught:
        load_weights(loaded, tmp_path / "five.pt")
    assert "--new-head" in caught.value.hint
    load_weights(loaded, tmp_path / "five.pt", new_head=True)
    assert same(trained, loaded, "features")
    assert torch.equal(loaded.classifier[4].weight, small(classes=10, seed=2).classifier[4].weight)


def test_a_new_head_stays_new_where_the_classes_fit(tmp_path: Path) -> None:
    torch.save(small(seed=1).state_dict(), tmp_path / "ten.pt")
    loaded = small(seed=2)
    load_weights(loaded, tmp_path / "ten.pt", new_head=True)
    assert same(loaded, small(seed=2), "classifier.4")
    assert same(loaded, small(seed=1), "classifier.2")


def test_another_shape_is_named(tmp_path: Path) -> None:
    wide = build("cnngraph:lenet5", classes=10, in_channels=1, width=1.0)
    torch.save(wide.state_dict(), tmp_path / "wide.pt")
    with pytest.raises(ModelError, match=r"features\.0\.weight is \(6, 1, 5, 5\), the net needs \(3, 1, 5, 5\)"):
        load_weights(small(), tmp_path / "wide.pt")


def test_missing_and_unknown_names_are_named(tmp_path: Path) -> None:
    state = small().state_dict()
    state["head.weight"] = state.pop("classifier.4.weight")
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(ModelError, match=r"lacks classifier\.4\.weight; it has unknown head\.weight"):
        load_weights(small(), tmp_path / "odd.pt")


def test_every_misfit_is_named(tmp_path: Path) -> None:
    state = build("cnngraph:lenet5", classes=10, in_channels=1, width=1.0).state_dict()
    for name in ("weight", "bias"):
        state[f"head.{name}"] = state.pop(f"classifier.4.{name}")
    torch.save(state, tmp_path / "odd.pt")
    net = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        load_weights(net, tmp_path / "odd.pt")
    assert caught.value.message == (
        f"{tmp_path / 'odd.pt'} does not fit the net: it lacks classifier.4 (weight, bias); "
        "it has unknown head (weight, bias); features.0.weight is (6, 1, 5, 5), the net needs (3, 1, 5, 5); "
        "features.0.bias is (6,), the net needs (3,); features.3.weight is (16, 6, 5, 5), the net needs (8, 3, 5, 5); "
        "of other shapes, too, are features.3.bias, classifier.0 (weight, bias), classifier.2 (weight, bias)."
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Bare(nn.Module):
    """Parameters of the net itself, in no module."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
        self.head = nn.Linear(2, 2)


def test_tensors_of_the_net_itself_are_named_too(tmp_path: Path) -> None:
    state = Bare().state_dict()
    save_file(
        {"mean": state["gamma"], "std": state["beta"], **Bare().head.state_dict(prefix="head.")},
        tmp_path / "o.safetensors",
    )
    with pytest.raises(ModelError, match="lacks gamma, beta; it has unknown mean, std"):
        load_weights(Bare(), tmp_path / "o.safetensors")


def test_a_module_that_demands_a_version_is_filled(tmp_path: Path) -> None:
    trained = build("torchvision:mnasnet0_5", classes=2, seed=1)
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    loaded = build("torchvision:mnasnet0_5", weights=WeightsChoice(tmp_path / "weights.safetensors"), classes=2, seed=2)
    assert same(trained, loaded)


def test_the_counter_of_old_batch_norms_may_be_missing(tmp_path: Path) -> None:
    net = build("cnngraph:resnet20", classes=3, width=0.25)
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    load_weights(net, tmp_path / "old.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = small().state_dict()
    state["features.3.weight"].view(-1)[7] = value
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(ModelError, match=r"has 1 NaN or infinite values in features\.3\.weight"):
        load_weights(small(), tmp_path / "bad.pt")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cnngraph:vgg16", ["classifier.6"]),
        ("cnngraph:resnet20", ["fc"]),
        ("torchvision:squeezenet1_1", ["classifier.1"]),
    ],
)
def test_the_head_is_found(name: str, expected: list[str]) -> None:
    with torch.device("meta"):
        assert heads(build(name, classes=10)) == expected


def test_a_file_that_is_not_there_is_said_with_what_the_caller_takes(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as refused:
        read_weights(tmp_path / "nofile")
    assert "pretrained" not in refused.value.hint
    with pytest.raises(NotFoundError) as refused:
        load_weights(nn.Linear(1, 1), tmp_path / "nofile")
    assert "--weights pretrained" in refused.value.hint


class Tied(nn.Module):
    """Two convs of the same weight: one parameter, or (``by_memory``) two over the same memory."""

    def __init__(self, *, by_memory: bool = False) -> None:
        super().__init__()
        self.a = nn.Conv2d(4, 4, 3)
        self.b = nn.Conv2d(4, 4, 3)
        self.b.weight = nn.Parameter(self.a.weight.data) if by_memory else self.a.weight


@pytest.mark.parametrize("by_memory", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_tied_weights_are_in_a_safetensors_file_once(tmp_path: Path, *, by_memory: bool, prefix: str) -> None:
    path = tmp_path / "tied.safetensors"
    saved = Tied(by_memory=by_memory)
    save_model(saved, str(path))
    if prefix:
        save_file({prefix + name: tensor for name, tensor in read_weights(path).items()}, path)
    assert len(read_weights(path)) == 3
    loaded = Tied(by_memory=by_memory)
    load_weights(loaded, path)
    assert same(saved, loaded)


def test_weights_that_are_not_tied_here_are_missing_all_the_same(tmp_path: Path) -> None:
    save_model(Tied(), str(tmp_path / "tied.safetensors"))
    with pytest.raises(ModelError, match=r"it lacks [ab]\.weight"):
        load_weights(nn.ModuleDict({"a": nn.Conv2d(4, 4, 3), "b": nn.Conv2d(4, 4, 3)}), tmp_path / "tied.safetensors")
