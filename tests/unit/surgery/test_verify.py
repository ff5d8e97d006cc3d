"""The proof holds for sound cuts and catches each kind of fault."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cnngraph.models.registry import build
from cnngraph.surgery.apply import apply
from cnngraph.surgery.verify import state_hash, train_failure, verify
from tests.toynets import toy

from .in_process import replace_process
from .nets import LeNet, plan, seeded


def test_a_sound_cut_is_proven_in_a_new_process() -> None:
    model = build("cnngraph:resnet20", classes=3, width=0.25)
    made = plan("layer1.0.conv1", blocks=["layer2.1"])
    slim = apply(model, made)
    before = state_hash(model), state_hash(slim)
    proof = verify(model, slim, made)
    assert proof.ok, proof.failures
    assert (proof.train_forward, proof.save_load, proof.export) == (True, True, True)
    assert proof.max_abs_diff is None
    assert proof.notes == ()
    assert (state_hash(model), state_hash(slim)) == before


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the new process, whose start takes seconds: faults of other kinds are looked for."""

    def outputs_here(folder: object) -> dict[str, torch.Tensor]:
        from pathlib import Path

        from safetensors.torch import load_file

        from cnngraph.models.outputs import tensors_of
        from cnngraph.surgery.saved import load

        with torch.no_grad():
            images = load_file(Path(str(folder)) / "images.safetensors")["images"]
            return tensors_of(load(Path(str(folder)) / "slim")(images))

    replace_process(monkeypatch, outputs_here)


@pytest.mark.usefixtures("in_process")
class TestFaults:
    def test_a_conv_that_is_still_there(self) -> None:
        model = toy("plain")
        proof = verify(model, copy.deepcopy(model), plan("a"), input_shape=(1, 4, 4))
        assert "eval forward: a is still a conv" in proof.failures
        assert not proof.ok

    def test_another_output_shape(self) -> None:
        slim = apply(toy("plain"), plan("a"), input_shape=(1, 4, 4))
        slim.fc = nn.Linear(3, 5)
        proof = verify(toy("plain"), slim, plan("a"), input_shape=(1, 4, 4))
        assert "eval forward: the output has shape (8, 5), the old net's (8, 2)" in proof.failures

    def test_a_layer_without_gradient(self) -> None:
        slim = apply(toy("plain"), plan("a"), input_shape=(1, 4, 4))
        slim.spare = nn.Linear(2, 2)
        proof = verify(toy("plain"), slim, plan("a"), input_shape=(1, 4, 4))
        assert "train forward and backward: spare.bias gets no gradient" in proof.failures
        assert not proof.train_forward

    def test_a_gradient_that_is_infinite(self) -> None:
        class Root(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return (x - x).sqrt()

        slim = apply(toy("plain"), plan("a"), input_shape=(1, 4, 4))
        slim.b = nn.Sequential(slim.b, Root())
        assert any(
            "NaN or infinite" in text for text in verify(toy("plain"), slim, plan("a"), input_shape=(1, 4, 4)).failures
        )

    def test_shared_weights(self) -> None:
        model = toy("plain")
        slim = apply(model, plan("a"), input_shape=(1, 4, 4))
        slim.fc = model.fc
        assert "the user's net: it shares weights with the rebuilt one" in (
            verify(model, slim, plan("a"), input_shape=(1, 4, 4)).failures
        )

    def test_a_structure_that_the_recipe_does_not_give(self) -> None:
        slim = apply(toy("plain"), plan("a"), input_shape=(1, 4, 4))
        slim.relu = nn.Tanh()
        failures = verify(toy("plain"), slim, plan("a"), input_shape=(1, 4, 4)).failures
        assert any(text.startswith("save and load: the loaded net's output differs") for text in failures)

    def test_a_branch_for_training_alone_that_no_longer_fits(self) -> None:
        model = toy("aux")
        slim = apply(model, plan("a"), input_shape=(1, 6, 6))
        assert train_failure(model, slim, (1, 6, 6)) == ""
        slim.aux = nn.Linear(5, 2)
        failure = train_failure(model, slim, (1, 6, 6))
        assert failure.startswith("train forward and backward: ")
        proof = verify(model, slim, plan("a"), input_shape=(1, 6, 6))
        assert not proof.train_forward
        assert failure in proof.failures

    def test_a_net_that_did_not_train_before_either(self) -> None:
        class Torn(LeNet):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x.sigmoid().requires_grad_().sigmoid().sigmoid_().add_(1)).exp().add_(1)

        failure = train_failure(seeded(Torn), apply(seeded(Torn), plan("conv2")), (1, 28, 28))
        assert failure.startswith(
            "train forward and backward: the net that it was made of fails too: one of the variab"
        )

    def test_maps_beside_the_logits_are_no_fault(self) -> None:
        class WithMaps(LeNet):
            def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
                return {"logits": super().forward(x), "maps": self.conv1(x)}

        model = seeded(WithMaps)
        made = plan("conv2")
        proof = verify(model, apply(model, made, input_shape=(1, 28, 28)), made, input_shape=(1, 28, 28))
        assert proof.ok, proof.failures


def test_a_local_class_is_proven_in_this_process_and_that_is_said() -> None:
    class Local(LeNet):
        pass

    model = seeded(Local)
    made = plan("conv1")
    proof = verify(model, apply(model, made), made)
    assert proof.ok, proof.failures
    assert proof.notes[0].startswith("Saved and loaded in this process only.")


def test_without_an_input_size_nothing_is_proven() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4 * 33 * 33, 2))
    proof = verify(model, model, plan("1"))
    assert not proof.ok
    assert "Pass input_shape=" in proof.failures[0]
