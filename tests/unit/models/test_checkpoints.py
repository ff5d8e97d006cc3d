"""Which of a checkpoint's tensors are a net's weights: whatever stands around them, however many sets there are."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cnngraph.errors import ModelError, NotFoundError
from cnngraph.models.weights import load_weights

State = dict[str, Tensor]


class Net(nn.Module):
    def __init__(self, seed: int = 0, width: int = 4, classes: int = 3, *, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, width, 3, bias=bias)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)


def state(seed: int = 1, prefix: str = "", **options: Any) -> State:
    return {f"{prefix}{name}": value for name, value in Net(seed, **options).state_dict().items()}


def loaded(path: Path, content: object, *, key: str | None = None, new_head: bool = False) -> tuple[State, str]:
    """The state dict after loading ``content`` from a file, and what was said."""
    torch.save(content, path)
    net = Net(7)
    said = load_weights(net, path, key=key, new_head=new_head)
    return net.state_dict(), "\n".join(said)


def is_state(found: State, seed: int) -> bool:
    return all(torch.equal(found[name], value) for name, value in state(seed).items())


LIGHTNING = {"epoch": 3, "lr_schedulers": [{"milestones": collections.Counter([3, 6])}]}


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (LIGHTNING | {"state_dict": state(1, "model.") | {"criterion.pos_weight": torch.tensor(3.2)}}, "criterion"),
        (LIGHTNING | {"state_dict": state(1, "model.") | {"train_acc.tp": torch.zeros(10)}}, "train_acc.tp"),
        ({"params": state()}, ""),
        ({"weights": state(), "epoch": 3}, ""),
        ({"a": {"b": {"c": state(1, "x.y.z.")}}}, ""),
        ([{"step": 1}, state()], ""),
        (state(1, "encoder.net.") | {"head.weight": torch.ones(9, 9)}, "head.weight"),
        (state() | {"criterion.weight": torch.ones(3), "confusion.matrix": torch.ones(3, 3)}, "confusion.matrix"),
        (state() | {"ema.fc.weight": torch.ones(3, 4)}, "ema.fc.weight"),
        ({"model": state(), "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}, ""),
        ({"model": state(), "optim": {"fc.weight": torch.ones(3, 4)}}, ""),
        (state() | {"conv.total_ops": torch.zeros(1), "total_params": torch.zeros(1).long()}, "conv.total_ops"),
        ({"module.n_averaged": torch.tensor(3)} | state(1, "module."), ""),
    ],
    ids=str,
)
def test_the_prefix_that_covers_the_net_is_taken_and_the_rest_is_named(
    tmp_path: Path, content: object, left: str
) -> None:
    found, said = loaded(tmp_path / "file.pt", content)
    assert is_state(found, 1)
    assert (left in said and "left over" in said) if left else not said


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("conv.", "conv._orig_mod."),
        lambda name: f"module.{name}".replace("fc.", "fc.module."),
        lambda name: f"_forward_module.model.{name}".replace("norm.", "_fsdp_wrapped_module.norm."),
        lambda name: f"net._checkpoint_wrapped_module.{name}".replace("conv.", "conv._checkpoint_wrapped_module."),
    ],
)
def test_wrappers_inside_names_go(tmp_path: Path, rename: Callable[[str], str]) -> None:
    found, _ = loaded(tmp_path / "file.pt", {rename(name): value for name, value in state().items()})
    assert is_state(found, 1)


@pytest.mark.parametrize(
    ("content", "online"),
    [
        ({"state_dict": state(2, "model.") | state(1, "model_ema.module.")}, "state_dict.model"),
        ({"state_dict": state(2), "state_dict_ema": state(1)}, "state_dict"),
        ({"params": state(2), "params_ema": state(1)}, "params"),
        (state(2, "online_model.") | state(1, "ema_model.") | {"step": torch.tensor(3)}, "online_model"),
        ({"ema": state(2, "online_model.") | state(1, "ema_model.")}, "ema.online_model"),
        ({"model": state(2), "callbacks": {"EMACallback": {"weights": state(1)}}}, "model"),
        ({"current_model_state": state(2, "model."), "state_dict": state(1, "model.")}, "current_model_state.model"),
        ({"student": state(2), "teacher": state(3), "swa_model": state(1, "module.")}, "student"),
        (state(2) | state(1, "ema."), "."),
    ],
    ids=str,
)
def test_averaged_weights_are_taken_and_said_and_a_key_takes_the_others(
    tmp_path: Path, content: object, online: str
) -> None:
    found, said = loaded(tmp_path / "file.pt", content)
    assert is_state(found, 1)
    assert "the averaged weights" in said
    assert online in said
    found, _ = loaded(tmp_path / "file.pt", content, key=online)
    assert is_state(found, 2)


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ({"student": state(1), "teacher": state(2)}, ("student", "teacher")),
        (state(1, "generator.") | state(2, "discriminator."), ("generator", "discriminator")),
        ({"state_dict": state(1, "branch.0.") | state(2, "branch.1.")}, ("state_dict.branch.0", "state_dict.branch.1")),
        ({"folds": [state(1), state(2)]}, ("folds.0", "folds.1")),
        ({"ema_fast": state(1), "ema_slow": state(2)}, ("ema_fast", "ema_slow")),
        ({"current": state(1), "previous": state(2)}, ("current", "previous")),
        ({"best_model": state(1), "latest_model": state(2)}, ("best_model", "latest_model")),
    ],
    ids=str,
)
def test_two_sets_without_an_average_are_chosen_by_key(tmp_path: Path, content: object, keys: tuple[str, str]) -> None:
    with pytest.raises(ModelError, match="holds 2 sets of weights") as refused:
        loaded(tmp_path / "file.pt", content)
    assert all(key in str(refused.value) for key in keys)
    assert f"--weights-key {keys[0]}" in refused.value.hint
    for place, key in enumerate(keys):
        found, _ = loaded(tmp_path / "file.pt", content, key=key)
        assert is_state(found, place + 1)


def test_two_sets_of_one_and_the_same_values_are_one(tmp_path: Path) -> None:
    found, said = loaded(tmp_path / "file.pt", {"best": state(1), "last": state(1)})
    assert is_state(found, 1)
    assert not said


def test_a_set_of_other_shapes_is_not_meant(tmp_path: Path) -> None:
    found, _ = loaded(tmp_path / "file.pt", {"student": state(1), "teacher": state(2, width=9)})
    assert is_state(found, 1)


@pytest.mark.parametrize(
    "key", ["state_dict.model_ema.module", "model_ema.module", "model_ema", "state_dict.model_ema."]
)
def test_a_key_may_leave_out_what_is_clear(tmp_path: Path, key: str) -> None:
    content = {"state_dict": state(2, "model.") | state(1, "model_ema.module.")}
    found, _ = loaded(tmp_path / "file.pt", content, key=key)
    assert is_state(found, 1)


def test_a_wrong_key_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no weights under 'techer'") as refused:
        loaded(tmp_path / "file.pt", {"student": state(1), "teacher": state(2)}, key="techer")
    assert "teacher" in refused.value.hint
    with pytest.raises(NotFoundError) as refused:
        loaded(tmp_path / "file.pt", {"student": state(1), "other": state(2)}, key="xyz")
    assert refused.value.hint == "Known: other, student."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (state() | {"conv2.weight": torch.ones(4, 4, 3, 3)}, "unknown conv2.weight"),
        (state(1, "model.") | {"model.norm2.running_mean": torch.ones(4)}, "unknown norm2.running_mean"),
        (state() | {"conv.0.weight": torch.ones(4, 4, 3, 3)}, "unknown conv.0.weight"),
        (state() | {"norm.gamma": torch.ones(4)}, "unknown norm.gamma"),
        (state() | {"mean": torch.ones(3)}, "unknown mean"),
        (state() | {"head.bias": torch.ones(2)}, "unknown head.bias"),
        ({name: value for name, value in state(1, "model.").items() if "norm" not in name}, "lacks norm"),
    ],
    ids=str,
)
def test_weights_of_another_net_are_refused(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        loaded(tmp_path / "file.pt", content)


def test_a_bias_that_the_net_has_not_is_not_passed_over(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "file.pt")
    with pytest.raises(ModelError, match=r"unknown conv\.bias"):
        load_weights(Net(bias=False), tmp_path / "file.pt")


def test_a_new_head_needs_none_in_the_file(tmp_path: Path) -> None:
    body = {name: value for name, value in state(1, "backbone.").items() if "fc." not in name}
    found, _ = loaded(tmp_path / "file.pt", body | {"projector.weight": torch.ones(8, 4)}, new_head=True)
    assert torch.equal(found["conv.weight"], state(1)["conv.weight"])
    assert torch.equal(found["fc.weight"], state(7)["fc.weight"])
    with pytest.raises(ModelError, match=r"lacks fc") as refused:
        loaded(tmp_path / "file.pt", body)
    assert "--new-head" in refused.value.hint


def test_other_classes_under_a_prefix_are_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 5 outputs, but the data has 3 classes"):
        loaded(tmp_path / "file.pt", {"state_dict": state(1, "model.", classes=5)})


def test_a_file_that_holds_itself_or_very_much_ends(tmp_path: Path) -> None:
    endless: dict[str, Any] = {"model": state()}
    endless["self"] = endless
    found, _ = loaded(tmp_path / "file.pt", endless)
    assert is_state(found, 1)
    wide: dict[str, Any] = {"x": torch.zeros(1)}
    for _ in range(40):
        wide = {"a": wide, "b": wide}
    with pytest.raises(ModelError, match="nests more than"):
        loaded(tmp_path / "file.pt", wide)


def test_safetensors_with_an_average(tmp_path: Path) -> None:
    save_file(state(1, "ema_model.") | {"initted": torch.tensor(True), "step": torch.tensor(125)}, tmp_path / "w.bin")
    (tmp_path / "w.bin").rename(tmp_path / "w.safetensors")
    net = Net(7)
    assert load_weights(net, tmp_path / "w.safetensors") == [
        f"{tmp_path / 'w.safetensors'}: left over are initted, step."
    ]
    assert is_state(net.state_dict(), 1)
