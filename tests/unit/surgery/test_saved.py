"""Saved models: round trips, atomic writes and everything that may be wrong with a folder."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cnngraph import save
from cnngraph.errors import CnngraphError, ModelError, NotFoundError
from cnngraph.models.registry import WeightsChoice, build
from cnngraph.origin import Preprocessing, get_origin
from cnngraph.surgery.apply import apply
from cnngraph.surgery.saved import describe, is_saved, load, read_saved

from .nets import LeNet, images, plan, seeded


def _lenet(tmp_path: Path) -> Path:
    return save(build("cnngraph:lenet5", classes=3, size=32, seed=1), tmp_path / "lenet", classes=("a", "b", "c"))


def _rewrite(folder: Path, change: object) -> None:
    path = folder / "model.json"
    content = json.loads(path.read_text())
    change(content)  # type: ignore[operator]
    path.write_text(json.dumps(content))


def _with_weights(folder: Path, change: object) -> None:
    """Change the tensors and set the right hash again."""
    import hashlib

    path = folder / "weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path)
    _rewrite(folder, lambda c: c.update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


def test_a_twice_pruned_net_comes_back_identical(tmp_path: Path) -> None:
    model = build("cnngraph:vgg11_bn", classes=4, width=0.125, size=32)
    convs = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    slim = apply(apply(model, plan(convs[-1])), plan(convs[0])).eval()
    preprocessing = Preprocessing(size=(32, 32), mean=(0.1,), std=(0.3,))
    folder = save(
        slim, tmp_path / "slim", preprocessing=preprocessing, classes="abcd", dataset="digits",
        training={"epochs": 3}, trained=False,
    )  # fmt: skip
    found = read_saved(folder)
    x = images(2, 3, 32, 32)
    assert torch.equal(found.model(x), slim(x))
    assert not found.model.training
    assert get_origin(found.model) == get_origin(slim) == found.origin
    assert (found.preprocessing, found.classes, found.dataset) == (preprocessing, ("a", "b", "c", "d"), "digits")
    assert (found.training, found.trained, found.input_shape) == ({"epochs": 3}, False, (3, 32, 32))
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["slim"]


def test_a_block_cut_comes_back(tmp_path: Path) -> None:
    slim = apply(build("cnngraph:resnet20", classes=3, width=0.25), plan("layer1.0.conv1", blocks=["layer2.0"])).eval()
    x = images(2, 3, 32, 32)
    assert torch.equal(load(save(slim, tmp_path / "slim"))(x), slim(x))


class Scaled(nn.Module):
    """Says its weights where others say their settings."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.act, self.head = Swish(), nn.Linear(6, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.b(self.act(self.a(x))).mean((2, 3)))


class Swish(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.rand(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.beta * x)

    def extra_repr(self) -> str:
        return f"beta={self.beta.item():.3f}"


@pytest.mark.parametrize("layer", ["a", "b"])
def test_a_module_that_says_its_weights_comes_back(tmp_path: Path, layer: str) -> None:
    slim = apply(Scaled().eval(), plan(layer), input_shape=(3, 8, 8))
    x = images(2, 3, 8, 8)
    assert torch.equal(load(save(slim, tmp_path / "slim", input_shape=(3, 8, 8)))(x), slim(x))


def test_a_net_whose_ends_were_joined_otherwise_is_refused(tmp_path: Path) -> None:
    slim = apply(build("cnngraph:resnet20", classes=3, width=0.25), plan("layer1.0.conv1", blocks=["layer2.0"])).eval()
    folder = save(slim, tmp_path / "slim")
    joins = json.loads((folder / "model.json").read_text())["joins"]
    assert joins["layer1.0.conv1"] == "Identity()"
    assert joins["layer1.0.bn1"] == "Identity()"
    assert joins["layer2.0"].startswith("Sequential")
    assert joins["layer2.0.conv1"] == ""
    assert {path.partition(".")[0] for path in joins} == {"layer1", "layer2"}
    # As a cnngraph that pools in its place would have written it.
    _rewrite(folder, lambda c: c["joins"].update({"layer1.0.conv1": "AvgPool2d(kernel_size=2)"}))
    with pytest.raises(
        ModelError, match=r"leaves Identity\(\) at layer1\.0\.conv1, the one that saved it left AvgPool2d"
    ):
        load(folder)
    _rewrite(folder, lambda c: c.pop("joins") and c.update(format=1))
    assert not load(folder).training


def test_a_users_class_is_found_again(tmp_path: Path) -> None:
    slim = apply(seeded(LeNet), plan("conv1"))
    folder = save(slim, tmp_path / "slim")
    assert json.loads((folder / "model.json").read_text())["origin"]["architecture"] == (
        "python:tests.unit.surgery.nets:LeNet"
    )
    x = images(2, 1, 28, 28)
    assert torch.equal(load(folder)(x), slim(x))


def test_a_class_that_nothing_builds_again_asks_for_its_architecture(tmp_path: Path) -> None:
    class Local(LeNet):
        pass

    with pytest.raises(ModelError, match="does not build it again") as caught:
        save(apply(seeded(Local), plan("conv1")), tmp_path / "slim")
    assert "architecture=" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
    save(apply(seeded(Local), plan("conv1")), tmp_path / "slim", architecture="python:tests.unit.surgery.nets:LeNet")
    with pytest.raises(ModelError, match="builds another net"):
        save(seeded(LeNet), tmp_path / "other", architecture="cnngraph:lenet5", options={"classes": 10})


def test_a_class_of_the_running_script_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeNet, "__module__", "__main__")
    with pytest.raises(ModelError, match="LeNet is defined in the script that runs") as caught:
        save(seeded(LeNet), tmp_path / "net")
    assert "module of its own" in caught.value.hint
    assert not (tmp_path / "net").exists()


class Tied(LeNet):
    """Two convs of one weight; the last module that is registered is not the head."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.fc2 = nn.Linear(84, classes)
        self.twin = nn.Conv2d(6, 6, 3, padding=1)
        self.other = nn.Conv2d(6, 6, 3, padding=1)
        self.other.weight = self.twin.weight


def test_tied_weights_in_another_layout_come_back_tied(tmp_path: Path) -> None:
    """Such are left by a training that measured channels last to be faster."""
    net = Tied().to(memory_format=torch.channels_last).eval()
    again = load(save(net, tmp_path / "tied", input_shape=(1, 28, 28)))
    assert again.other.weight is again.twin.weight
    assert torch.equal(again.twin.weight, net.twin.weight)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_a_wrapped_net_is_saved_as_itself(tmp_path: Path, wrap: Callable[[nn.Module], nn.Module]) -> None:
    net = LeNet().eval()
    again = load(save(wrap(net), tmp_path / "net", input_shape=(1, 28, 28)))
    assert type(again) is LeNet
    assert torch.equal(again(images(2, 1, 28, 28)), net(images(2, 1, 28, 28)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_precision_is_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    model = seeded(LeNet).to(dtype)
    found = load(save(model, tmp_path / "net"))
    x = images(2, 1, 28, 28).to(dtype)
    assert torch.equal(found(x), model(x))
    assert {tensor.dtype for tensor in found.state_dict().values()} == {dtype}


def test_it_replaces_a_saved_model_and_nothing_else(tmp_path: Path) -> None:
    folder = _lenet(tmp_path)
    save(build("cnngraph:lenet5", classes=2), folder)
    assert read_saved(folder).classes == ()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(ModelError, match="is no saved model"):
        save(build("cnngraph:lenet5", classes=2), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lenet", "mine"]


def test_an_interrupted_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _lenet(tmp_path)
    before = (folder / "weights.safetensors").read_bytes()
    monkeypatch.setattr("cnngraph.surgery.saved.file_sha256", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(build("cnngraph:lenet5", classes=2), folder)
    assert (folder / "weights.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The place of a saved model whose replacement was killed between its two moves, in another process."""
    folder = _lenet(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder.replace(tmp_path / f".lenet.{dead.pid}.old")
    (tmp_path / f".lenet.{dead.pid}.part").mkdir()
    return folder


@pytest.mark.parametrize(
    "look",
    [read_saved, load, is_saved],
    ids=["read", "load", "is"],
)
def test_a_save_that_was_killed_half_way_is_taken_back_at_the_next_look(killed: Path, look: Any) -> None:
    assert not killed.exists()
    assert look(killed)
    assert read_saved(killed).classes == ("a", "b", "c")


def test_what_a_kill_left_is_gone_after_the_next_save(killed: Path) -> None:
    save(build("cnngraph:lenet5", classes=2), killed)
    assert read_saved(killed).classes == ()
    assert [path.name for path in killed.parent.iterdir()] == ["lenet"]


def test_what_a_living_process_moves_is_left_alone(tmp_path: Path) -> None:
    folder = _lenet(tmp_path)
    aside = folder.replace(tmp_path / f".lenet.{os.getppid()}.old")
    assert not is_saved(folder)
    with pytest.raises(NotFoundError):
        read_saved(folder)
    save(build("cnngraph:lenet5", classes=2), folder)
    assert is_saved(aside)


def test_a_move_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _lenet(tmp_path)
    real = Path.replace

    def fails(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError
        return real(path, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError):
        save(build("cnngraph:lenet5", classes=2), folder)
    monkeypatch.undo()
    assert read_saved(folder).classes == ("a", "b", "c")
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]


def test_the_working_folder_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", "..", tmp_path / "here", "/"):
        with pytest.raises(ModelError, match="works in") as caught:
            save(build("cnngraph:lenet5", classes=2), place)
        assert "Name a folder inside it" in caught.value.hint
    assert is_saved(save(build("cnngraph:lenet5", classes=2), "inside"))
    assert is_saved(save(build("cnngraph:lenet5", classes=2), "./inside/../new"))


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    folder, link = _lenet(tmp_path), tmp_path / "link"
    link.symlink_to(folder)
    save(build("cnngraph:lenet5", classes=2), link)
    assert link.is_symlink()
    assert read_saved(folder).classes == ()


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_a_wrapped_net_is_saved_as_the_net_inside(tmp_path: Path, wrap: Any) -> None:
    model = seeded(LeNet)
    x = images(2, 1, 28, 28)
    folder = save(wrap(model), tmp_path / "net")
    assert torch.equal(load(folder)(x), model(x))
    assert describe(wrap(model)).origin == read_saved(folder).origin


def test_weights_that_are_not_numbers_are_not_saved(tmp_path: Path) -> None:
    model = build("cnngraph:lenet5", classes=2)
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        save(model, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def _first(tensors: dict[str, torch.Tensor]) -> str:
    return min(name for name in tensors if name.endswith("weight"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: _rewrite(folder, lambda c: c.update(format=99, cnngraph="9.0")), "newer cnngraph \\(9.0\\)"),
        (lambda folder: _rewrite(folder, lambda c: c["origin"].update(plans=[{"version": 99}])), "newer cnngraph"),
        (lambda folder: _rewrite(folder, lambda c: c.update(magic=1)), "does not describe a saved model: magic"),
        (lambda folder: _rewrite(folder, lambda c: c.pop("format")), "does not describe a saved model"),
        (lambda folder: _rewrite(folder, lambda c: c.update(sha256="0" * 64)), "its sha256 differs"),
        (lambda folder: (folder / "model.json").write_text("{"), "it is not JSON"),
        (lambda folder: (folder / "model.json").write_text("[]"), "does not describe a saved model"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "has no weights.safetensors"),
        (lambda folder: _with_weights(folder, lambda t: t.pop(_first(t))), "lacks"),
        (lambda folder: _with_weights(folder, lambda t: t.update(spare=torch.ones(1))), "has unknown spare"),
        (lambda folder: _with_weights(folder, lambda t: t.update({_first(t): torch.ones(1)})), "the net needs"),
        (lambda folder: _with_weights(folder, lambda t: t[_first(t)].fill_(float("nan"))), "NaN"),
    ],
)
def test_broken_folders_say_what_is_wrong(tmp_path: Path, change: object, message: str) -> None:
    folder = _lenet(tmp_path)
    change(folder)  # type: ignore[operator]
    with pytest.raises(ModelError, match=message) as caught:
        read_saved(folder)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_truncated_file_with_the_right_hash_is_refused(tmp_path: Path) -> None:
    import hashlib

    folder = _lenet(tmp_path)
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    _rewrite(folder, lambda c: c.update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        read_saved(folder)


def test_a_plan_in_a_folder_can_name_no_path(tmp_path: Path) -> None:
    folder = _lenet(tmp_path)
    _rewrite(folder, lambda c: c["origin"].update(plans=[json.loads(plan("../../etc").model_dump_json())]))
    with pytest.raises(CnngraphError, match="no conv layer"):
        read_saved(folder)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (Path("exploded"), ""))


def test_a_pickle_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(ModelError, match="not opened"):
        load("model.pt")
    with pytest.raises(ModelError, match="never executed"):
        build("cnngraph:lenet5", weights=WeightsChoice("model.pt"), classes=2)
    folder = _lenet(tmp_path)
    (folder / "weights.safetensors").write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(ModelError):
        read_saved(folder)
    assert not (tmp_path / "exploded").exists()


def test_names_and_paths(tmp_path: Path) -> None:
    folder = _lenet(tmp_path)
    assert is_saved(folder)
    assert not is_saved(tmp_path)
    with pytest.raises(ModelError, match=r"has no model\.json"):
        load(tmp_path)
    with pytest.raises(NotFoundError):
        read_saved(tmp_path / "nowhere")
