"""Nets with pruned weights: saved and opened again, cut, proven; mask files that are missing, damaged or another's."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as torch_file
from torch import nn

from cnngraph import load, save
from cnngraph.console import Quiet
from cnngraph.errors import ModelError, PlanError
from cnngraph.jobs.proof import prove_saved
from cnngraph.models.initial import get_initial, initial_of, set_initial
from cnngraph.models.masks import Masks, drop_unfit, get_masks, keep_zeros, masks_of, moved_zeros, set_masks
from cnngraph.models.registry import build
from cnngraph.origin import get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.shipping.parcel import pack_saved
from cnngraph.sources.stored import OtherData
from cnngraph.storage import Storage, content_sha256
from cnngraph.surgery import single_file
from cnngraph.surgery.apply import apply, apply_with_report
from cnngraph.surgery.description import FORMAT
from cnngraph.surgery.mask_files import count_masked
from cnngraph.surgery.saved import read_description, read_saved
from cnngraph.surgery.verify import verify

from .in_process import replace_process

SHAPE = (1, 12, 12)


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs(folder: Path) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return {"output": load(folder / "slim")(torch_file(folder / "images.safetensors")["images"])}

    replace_process(monkeypatch, outputs)


def lenet(seed: int = 0) -> nn.Module:
    return build("cnngraph:lenet5", classes=3, in_channels=1, size=12, width=0.5, seed=seed).eval()


def some_masks(net: nn.Module, seed: int = 0, share: float = 0.5, within: Masks | None = None) -> Masks:
    chance = np.random.default_rng(seed)
    names = ("features.0.weight", "features.3.weight", "classifier.0.weight")
    alive = {name: chance.random(tuple(net.get_parameter(name).shape)) < share for name in names}
    return masks_of({name: one & within.alive[name] if within else one for name, one in alive.items()})


def plan_of(masks: Masks) -> Plan:
    return Plan(
        method="imp",
        removes=tuple(
            Removal(layer=layer, kind="weights", mask=masks.sha256_of(layer), alive=masks.count(layer))
            for layer in masks.layers
        ),
    )


@pytest.fixture(scope="module")
def pruned() -> nn.Module:
    net = lenet()
    masks = some_masks(net)
    return apply(net, plan_of(masks), masks=masks, input_shape=SHAPE)


@pytest.fixture(scope="module")
def saved(pruned: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(pruned, tmp_path_factory.mktemp("masked") / "net", input_shape=SHAPE)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "net"))


def test_the_net_has_zeros_and_the_old_one_has_not(pruned: nn.Module) -> None:
    masks = get_masks(pruned)
    assert moved_zeros(pruned) == {}
    for name, flags in masks.alive.items():
        assert torch.count_nonzero(pruned.get_parameter(name)) == flags.sum()
    assert get_masks(lenet()) is None
    assert [type(one) for one in pruned.modules()] == [type(one) for one in lenet().modules()]


def test_it_comes_back_with_its_masks(pruned: nn.Module, saved: Path) -> None:
    again = load(saved)
    assert get_masks(again).sha256 == get_masks(pruned).sha256
    assert list(again.state_dict()) == list(pruned.state_dict())
    assert all(torch.equal(one, again.state_dict()[name]) for name, one in pruned.state_dict().items())
    assert get_origin(again) == get_origin(pruned)
    bits = load_file(saved / "masks.safetensors")
    assert {name: one.shape for name, one in bits.items()} == {
        name: (-(-flags.size // 8),) for name, flags in get_masks(pruned).alive.items()
    }


def test_its_layers_are_counted_without_opening_the_net(pruned: nn.Module, saved: Path, tmp_path: Path) -> None:
    masks = get_masks(pruned)
    assert count_masked(saved) == {layer: (masks.size(layer), masks.count(layer)) for layer in masks.layers}
    assert count_masked(save(lenet(), tmp_path / "plain", input_shape=SHAPE)) == {}


def test_the_masks_count_in_the_digest(pruned: nn.Module) -> None:
    other = apply(lenet(), plan_of(masks := some_masks(lenet(), seed=1)), masks=masks, input_shape=SHAPE)
    plain = lenet()
    digests = {get_origin(net).digest for net in (pruned, other, plain)}
    assert len(digests) == 3


def test_only_a_net_with_masks_needs_a_newer_cnngraph(saved: Path, tmp_path: Path) -> None:
    assert read_description(saved).format == FORMAT == 4
    plain = save(lenet(), tmp_path / "plain", input_shape=SHAPE)
    content = json.loads((plain / "model.json").read_text())
    assert content["format"] == 3
    assert {"masks", "initial"}.isdisjoint(content)
    assert sorted(path.name for path in plain.iterdir()) == ["model.json", "weights.safetensors"]


def test_one_file_has_them_too(pruned: nn.Module, saved: Path, tmp_path: Path) -> None:
    parcel = pack_saved(saved)
    single_file.write(parcel.model, parcel.describe(), tmp_path / "net.safetensors", parcel.labels)
    again = load(tmp_path / "net.safetensors")
    assert get_masks(again).sha256 == get_masks(pruned).sha256


def test_the_storage_keeps_them_by_hash(saved: Path, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    found = storage.find(storage.add(saved), "net")
    assert get_masks(load(found)) is not None
    (found / "masks.safetensors").unlink()
    assert content_sha256(found) != found.name


def _damage(path: Path, folder: Path) -> None:
    path.write_bytes(b"no safetensors")


def _another_net(path: Path, folder: Path) -> None:
    save_file({"features.0.weight": np.zeros(3, dtype=np.uint8)}, path)


def _another_model(path: Path, folder: Path) -> None:
    net = lenet(seed=1)
    masks = some_masks(net, seed=3)
    other = save(apply(net, plan_of(masks), masks=masks, input_shape=SHAPE), folder / "other", input_shape=SHAPE)
    shutil.copy(other / path.name, path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda path, folder: path.unlink(), "has no masks.safetensors"),
        (_damage, "not a readable safetensors file"),
        (_another_net, "is of another model"),
        (_another_model, "does not hold the masks that were saved with the model"),
    ],
)
def test_a_mask_file_that_is_missing_damaged_or_anothers(
    folder: Path, tmp_path: Path, wrong: Callable[[Path, Path], None], said: str
) -> None:
    before = (folder / "weights.safetensors").read_bytes()
    wrong(folder / "masks.safetensors", tmp_path)
    with pytest.raises(ModelError, match=said) as error:
        read_saved(folder)
    assert "\n" not in error.value.message
    assert error.value.exit_code == 1
    assert (folder / "weights.safetensors").read_bytes() == before


def test_a_net_whose_zeros_moved_is_not_saved(pruned: nn.Module, tmp_path: Path) -> None:
    net = load(save(pruned, tmp_path / "first", input_shape=SHAPE))
    with torch.no_grad():
        net.get_parameter("features.0.weight").add_(1.0)
    with pytest.raises(ModelError, match="off zero"):
        save(net, tmp_path / "second", input_shape=SHAPE)


def test_masks_only_become_smaller(pruned: nn.Module) -> None:
    other = some_masks(pruned, seed=7)
    with pytest.raises(PlanError, match="lets weights grow"):
        apply(pruned, plan_of(other), masks=other, input_shape=SHAPE)
    smaller = some_masks(pruned, seed=7, within=get_masks(pruned))
    again = apply(pruned, plan_of(smaller), masks=smaller, input_shape=SHAPE)
    assert get_masks(again).within(get_masks(pruned)) == ""


def test_a_plan_of_weights_needs_its_own_masks(pruned: nn.Module) -> None:
    net, masks = lenet(), get_masks(pruned)
    with pytest.raises(PlanError, match="its masks are not here"):
        apply(net, plan_of(masks), input_shape=SHAPE)
    with pytest.raises(PlanError, match=r"The mask of features\.0 is not the one"):
        apply(net, plan_of(masks), masks=some_masks(net, seed=9), input_shape=SHAPE)


def test_channels_that_are_cut_slice_the_masks(pruned: nn.Module) -> None:
    """Cut after masking = masked after cutting: the same weights, and the masks of the smaller tensors."""
    cut = Plan(removes=(Removal(layer="features.0", kind="filters", filters=(1,)),))
    slim = apply(pruned, cut, input_shape=SHAPE)
    masks = get_masks(slim)
    alive = get_masks(pruned).alive
    assert (masks.alive["features.0.weight"] == np.delete(alive["features.0.weight"], 1, axis=0)).all()
    assert (masks.alive["features.3.weight"] == np.delete(alive["features.3.weight"], 1, axis=1)).all()
    assert verify(pruned, slim, cut, input_shape=SHAPE).failures == ()
    plain = apply(lenet(), cut, input_shape=SHAPE)
    set_masks(plain, masks)
    keep_zeros(plain)
    assert all(torch.equal(one, slim.state_dict()[name]) for name, one in plain.state_dict().items())


def test_a_layer_that_is_fitted_anew_loses_its_mask_and_it_is_said(pruned: nn.Module) -> None:
    net = build("cnngraph:vgg11", classes=3, in_channels=1, size=16, width=0.1).eval()
    convs = [name for name, one in net.named_modules() if isinstance(one, nn.Conv2d)]
    names = [f"{name}.weight" for name in convs]
    chance = np.random.default_rng(0)
    set_masks(net, masks_of({name: chance.random(tuple(net.get_parameter(name).shape)) < 0.5 for name in names}))
    keep_zeros(net)
    images = [(torch.randn(16, 1, 16, 16), torch.zeros(16, dtype=torch.long))]
    gone, fitted = convs[3], convs[4]
    slim, report = apply_with_report(net, Plan(removes=(Removal(layer=gone),)), loader=images, input_shape=(1, 16, 16))
    assert [one.target for one in report.joins] == [fitted]
    assert set(get_masks(slim).alive) == {*names} - {f"{gone}.weight", f"{fitted}.weight"}
    dropped = [note for note in report.notes if "was dropped" in note]
    assert dropped == [f"The mask of {fitted}.weight was dropped: its weights are new."]
    assert torch.count_nonzero(slim.get_parameter(f"{fitted}.weight")) > get_masks(net).count(fitted)
    assert moved_zeros(slim) == {}


def test_the_proof_holds_and_sees_what_moved(pruned: nn.Module) -> None:
    plan = plan_of(get_masks(pruned))
    assert verify(lenet(), pruned, plan, input_shape=SHAPE, trained=True).failures == ()
    moved = copy.deepcopy(pruned)
    with torch.no_grad():
        moved.get_parameter("features.3.weight").add_(0.5)
    assert "pruned weights of features.3.weight are not zero" in " ".join(
        verify(lenet(), moved, plan, input_shape=SHAPE, trained=True).failures
    )
    bare = copy.deepcopy(pruned)
    set_masks(bare, None)
    assert "the net has no masks" in " ".join(verify(lenet(), bare, plan, input_shape=SHAPE, trained=True).failures)
    other = copy.deepcopy(pruned)
    set_masks(other, masks_of({name: one | True for name, one in get_masks(pruned).alive.items()}))
    found = verify(lenet(), other, plan, input_shape=SHAPE, trained=True).failures
    assert "the mask of features.0 is not the one that the plan names" in " ".join(found)


def test_adopted_weights_that_are_dense_are_proven_with_a_note(pruned: nn.Module, saved: Path, tmp_path: Path) -> None:
    def prove(folder: Path) -> dict[str, Any]:
        return prove_saved(folder, parent=parent, data=OtherData(), seed=0, progress=Quiet())

    parent = save(lenet(), tmp_path / "parent", input_shape=SHAPE)
    adopted = {"adopted": {"file": "dense.pt", "sha256": "0" * 64}}
    one, names = "features.3.weight", list(get_masks(pruned).alive)
    for moved, told in (([one], "features.3"), (names, "features.0, features.3, classifier.0")):
        net = copy.deepcopy(pruned)
        with torch.no_grad():
            for name in moved:
                net.get_parameter(name).add_(0.5)
        assert drop_unfit(net) == tuple(moved)
        folder = tmp_path / f"adopted-{len(moved)}"
        found = prove(save(net, folder, input_shape=SHAPE, training=adopted))
        assert (found["ok"], found["failures"]) == (True, [])
        assert f"Its weights were adopted: nothing of {told} is pruned any more." in found["notes"]
        # Where they were not adopted, a mask that is gone is a failure.
        found = prove(save(net, tmp_path / f"lost-{len(moved)}", input_shape=SHAPE))
        assert not found["ok"]
    # A mask that an adopted net has must be the plan's.
    other = copy.deepcopy(pruned)
    set_masks(other, masks_of({one: get_masks(pruned).alive[one] & False}))
    keep_zeros(other)
    found = prove(save(other, tmp_path / "other", input_shape=SHAPE, training=adopted))
    assert "features.3: its mask is not that of the last round" in found["failures"]


def test_the_weights_that_a_training_began_with_travel_along(tmp_path: Path) -> None:
    net, began = lenet(), initial_of(lenet(seed=5))
    set_initial(net, began)
    folder = save(net, tmp_path / "net", input_shape=SHAPE)
    again = get_initial(load(folder))
    assert all(torch.equal(one, again.tensors[name]) for name, one in began.tensors.items())
    slim = apply(
        load(folder), Plan(removes=(Removal(layer="features.0", kind="filters", filters=(1,)),)), input_shape=SHAPE
    )
    assert get_initial(slim) is None  # it is for another structure
    parcel = pack_saved(folder)
    single_file.write(parcel.model, parcel.describe(), tmp_path / "net.safetensors", parcel.labels)
    assert get_initial(load(tmp_path / "net.safetensors")) is None
    (folder / "initial.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"initial\.safetensors is not what was saved"):
        load(folder)
    (folder / "initial.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no initial\.safetensors"):
        load(folder)
