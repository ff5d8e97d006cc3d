"""The trainer learns, is repeatable, resumes to the same result, stops early and refuses what cannot be trained."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from cnngraph.console import Quiet
from cnngraph.datasets.images import Images, loader
from cnngraph.datasets.pixels import ArrayPixels
from cnngraph.errors import ConflictError, DataError, ModelError, UsageError
from cnngraph.models.masks import masks_of, set_masks
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.training import fit as fit_module
from cnngraph.training.evaluate import evaluate
from cnngraph.training.execution import Execution
from cnngraph.training.fit import Fit, Recipe, fit

HOW: dict[str, Any] = {"batch_size": 16, "device": "cpu", "channels_last": False}


class Net(nn.Module):
    """A conv with norm, dropout and a dense layer: something of everything that makes a training random."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(1, 8, 5)
            self.norm = nn.BatchNorm2d(8)
            self.drop = nn.Dropout(0.2)
            self.fc = nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        return self.fc(self.drop(torch.nn.functional.max_pool2d(x, 4).flatten(1)))


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    yours = two.state_dict()
    return all(torch.equal(value, yours[name]) for name, value in one.state_dict().items())


def figures(done: Fit) -> list[dict[str, Any]]:
    """The history without the times."""
    return [{key: value for key, value in asdict(each).items() if key != "seconds"} for each in done.history]


def test_it_learns(train: Images, validation: Images) -> None:
    model = Net()
    done = fit(model, train, validation, epochs=6, learning_rate=1e-2, **HOW)
    assert evaluate(model, validation, device="cpu").accuracy > 0.9
    assert done.history[-1].loss < done.history[0].loss
    assert [each.epoch for each in done.history] == [1, 2, 3, 4, 5, 6]
    assert done.seconds >= sum(each.seconds for each in done.history)
    assert done.epoch_seconds == pytest.approx(sum(each.seconds for each in done.history) / 6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights(train: Images, validation: Images, optimizer: Any) -> None:
    runs = []
    for seed in (1, 1, 2):
        model = Net()
        torch.rand(seed)  # whatever happened before must not matter
        done = fit(model, train, validation, epochs=2, optimizer=optimizer, seed=seed, augment=True, **HOW)
        runs.append((model, figures(done)))
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1] != runs[2][1]


def test_the_global_random_state_and_the_modes_stay(train: Images) -> None:
    model = Net()
    model.norm.eval()
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    fit(model, train, None, epochs=1, **HOW)
    assert torch.equal(torch.rand(3), expected)
    assert (model.training, model.conv.training, model.norm.training) == (True, True, False)


class InterruptionError(Exception):
    """Stands for Ctrl-C and for a killed process."""


class StopAfter:
    """A Progress that interrupts the training in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.left = epoch

    def start(self, what: str, total: float | None = None) -> None:
        self.left -= what.startswith("Training")

    def advance(self, amount: float = 1) -> None:
        if self.left == 0:
            raise InterruptionError

    def note(self, text: str) -> None:
        return


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_ends_like_an_undisturbed_one(
    train: Images, validation: Images, tmp_path: Path, optimizer: Any, stop: int
) -> None:
    how = {**HOW, "epochs": 4, "optimizer": optimizer, "augment": True}
    whole = Net()
    undisturbed = fit(whole, train, validation, **how)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptionError):
        fit(Net(), train, validation, checkpoint=path, progress=StopAfter(stop), **how)
    assert path.exists() == (stop > 1)
    resumed = Net()
    done = fit(resumed, train, validation, checkpoint=path, **how)
    assert same_weights(whole, resumed)
    assert figures(done) == figures(undisturbed)
    assert done.best_epoch == undisturbed.best_epoch


def test_bf16_goes_on_as_it_began(
    train: Images, validation: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # others compute the same, more slowly
    how: dict[str, Any] = HOW | {"epochs": 3, "precision": "bf16"}
    whole, resumed, path = Net(), Net(), tmp_path / "checkpoint.safetensors"
    undisturbed = fit(whole, train, validation, **how)
    with pytest.raises(InterruptionError):
        fit(Net(), train, validation, checkpoint=path, progress=StopAfter(3), **how)
    done = fit(resumed, train, validation, checkpoint=path, **how | {"precision": "fp32"})
    assert done.execution == undisturbed.execution  # the checkpoint says how
    assert same_weights(whole, resumed)


def test_a_finished_training_is_not_repeated(train: Images, validation: Images, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    first, second = Net(), Net()
    done = fit(first, train, validation, epochs=2, checkpoint=path, **HOW)
    again = fit(second, train, validation, epochs=2, checkpoint=path, progress=StopAfter(2), **HOW)
    assert again == done
    assert same_weights(first, second)


def test_a_checkpoint_is_safetensors_with_json(train: Images, validation: Images, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "checkpoint.safetensors"
    fit(Net(), train, validation, epochs=1, checkpoint=path, **HOW)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    with safe_open(path, framework="pt") as content:
        state = json.loads(content.metadata()["state"])
        names = set(content.keys())
    assert state["settings"]["epochs"] == 1
    assert len(state["history"]) == 1
    assert {"model.conv.weight", "best.fc.bias", "optimizer.0.exp_avg"} <= names


def test_a_checkpoint_of_another_training_is_refused(train: Images, validation: Images, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    fit(Net(), train, validation, epochs=1, checkpoint=path, **HOW)
    with pytest.raises(ConflictError, match="with other epochs"):
        fit(Net(), train, validation, epochs=2, checkpoint=path, **HOW)
    with pytest.raises(ConflictError, match="with other weights"):
        fit(build("cnngraph:lenet5", classes=2, in_channels=1, size=12), train, None, epochs=1, checkpoint=path, **HOW)
    started_elsewhere = Net()
    started_elsewhere.fc.bias.data += 1
    with pytest.raises(ConflictError, match="with other weights"):
        fit(started_elsewhere, train, validation, epochs=1, checkpoint=path, **HOW)
    for changes in ({"seed": 1}, {"learning_rate": 0.1}, {"batch_size": 8}, {"augment": True}):
        with pytest.raises(ConflictError, match=f"with other {next(iter(changes))}"):
            fit(Net(), train, validation, epochs=1, checkpoint=path, **HOW | changes)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        fit(Net(), train, validation, epochs=1, checkpoint=path, **HOW)


def test_the_best_weights_are_kept_and_patience_ends(
    train: Images, validation: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.5, 0.8, 0.8, 0.7, 0.6, 0.9])
    losses = iter([1.0, 0.5, 0.4, 0.3, 0.2, 0.1])
    seen: list[dict[str, torch.Tensor]] = []

    def judge(model: nn.Module, *_args: Any, **_kwargs: Any) -> Any:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return type("Judged", (), {"accuracy": next(accuracies), "loss": next(losses)})

    monkeypatch.setattr(fit_module, "evaluate", judge)
    model = Net()
    done = fit(model, train, validation, epochs=6, patience=2, **HOW)
    assert (done.best_epoch, len(done.history)) == (3, 5)
    assert all(torch.equal(value, seen[2][name]) for name, value in model.state_dict().items())


def test_without_validation_the_last_epoch_is_best(train: Images) -> None:
    done = fit(Net(), train, None, epochs=2, patience=1, **HOW)
    assert (done.best_epoch, len(done.history), done.history[0].validation_loss) == (2, 2, None)
    assert fit(Net(), train, train.take([]), epochs=1, **HOW).history[0].validation_accuracy is None


def test_frozen_parameters_do_not_move(train: Images) -> None:
    model = Net()
    model.conv.requires_grad_(False)
    before = model.conv.weight.clone()
    fit(model, train, None, epochs=1, **HOW)
    assert torch.equal(model.conv.weight, before)
    model.requires_grad_(False)
    with pytest.raises(ModelError, match="no parameter to train"):
        fit(model, train, None, epochs=1, **HOW)


def test_a_loss_that_is_not_finite_is_one_clear_error(train: Images) -> None:
    model = Net()
    nn.init.constant_(model.fc.bias, float("inf"))
    with pytest.raises(ModelError, match="became NaN or infinite in epoch 1") as caught:
        fit(model, train, None, epochs=1, **HOW)
    assert caught.value.hint == "Lower --learning-rate (it was 0.001)."


def test_what_cannot_be_trained_is_refused(train: Images) -> None:
    with pytest.raises(DataError, match="There are 1 training images"):
        fit(Net(), train.take([0]), None, epochs=1, **HOW)
    with pytest.raises(ModelError, match="cannot read images of 1 x 12 x 12"):
        fit(build("cnngraph:lenet5", classes=2, size=12), train, None, epochs=1, **HOW)
    with pytest.raises(ModelError, match="has 1 outputs, but the data has 2 classes"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(144, 1)), train, None, epochs=1, **HOW)
    with pytest.raises(ModelError, match="no matrix of logits"):
        fit(nn.Conv2d(1, 2, 3), train, None, epochs=1, **HOW)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("epochs", 0),
        ("batch_size", -1),
        ("patience", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("optimizer", "adam"),
    ],
)
def test_values_out_of_range_are_wrong_usage(train: Images, option: str, value: Any) -> None:
    with pytest.raises(UsageError, match=r"must be|no optimizer 'adam'"):
        fit(Net(), train, None, **{**HOW, option: value})


def test_batch_norm_survives_a_last_image_alone(train: Images) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    assert len(train) % 16 == 1
    done = fit(model, train, None, epochs=1, **HOW)
    assert done.history[0].loss > 0


def test_layouts_agree(train: Images) -> None:
    plain, nhwc = Net(), Net()
    fit(plain, train, None, epochs=1, **HOW)
    fit(nhwc, train, None, epochs=1, **{**HOW, "channels_last": True})
    assert torch.allclose(plain.fc.weight, nhwc.fc.weight, atol=1e-3)
    assert nhwc.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_way_to_train_that_was_measured_is_kept_and_resumed(train: Images, tmp_path: Path) -> None:
    how, path = Execution("cpu", "fp32", channels_last=True, narrow_norms=True), tmp_path / "checkpoint.safetensors"
    first = nn.Sequential(nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    whole, stopped, resumed, nhwc = (copy.deepcopy(first) for _ in range(4))
    done = fit(whole, train, None, epochs=2, batch_size=16, execution=how)
    assert done.execution == how
    with pytest.raises(InterruptionError):
        fit(stopped, train, None, epochs=2, batch_size=16, execution=how, checkpoint=path, progress=StopAfter(2))
    assert not any(module._forward_hooks for net in (whole, stopped) for module in net.modules())
    assert fit(resumed, train, None, epochs=2, checkpoint=path, **HOW).execution == how  # as the checkpoint says
    assert same_weights(whole, resumed)
    fit(nhwc, train, None, epochs=2, batch_size=16, execution=replace(how, narrow_norms=False))
    assert torch.allclose(whole[4].weight, nhwc[4].weight, atol=1e-3)


def test_auxiliary_heads_are_trained(train: Images) -> None:
    class Headed(nn.Module):
        """Gives a second output in training mode, as Inception does."""

        def __init__(self) -> None:
            super().__init__()
            self.main, self.side = nn.Linear(144, 2), nn.Linear(144, 2)

        def forward(self, x: torch.Tensor) -> Any:
            x = x.flatten(1)
            return (self.main(x), self.side(x)) if self.training else self.main(x)

    model = Headed()
    before = model.side.weight.clone()
    fit(model, train, None, epochs=1, **HOW)
    assert not torch.equal(model.side.weight, before)


@pytest.mark.parametrize("name", ["mnasnet0_5", "googlenet"])
def test_torchvision_nets_train_at_other_sizes(train: Images, name: str, tmp_path: Path) -> None:
    few = Images(train._pixels, train.labels, Preprocessing(size=(32, 32))).take(range(4))
    model = build(f"torchvision:{name}", classes=2, size=32)
    done = fit(model, few, few, epochs=1, checkpoint=tmp_path / "checkpoint.safetensors", **{**HOW, "batch_size": 2})
    assert done.history[0].loss > 0
    again = build(f"torchvision:{name}", classes=2, size=32)
    fit(again, few, few, epochs=1, checkpoint=tmp_path / "checkpoint.safetensors", **{**HOW, "batch_size": 2})
    assert same_weights(model, again)


def test_the_recipe_repeats_the_training(train: Images) -> None:
    first, second = Net(), Net()
    done = fit(first, train, None, epochs=1, learning_rate=3e-3, **HOW)
    recipe = json.loads(json.dumps(asdict(done.recipe)))
    fit(second, train, None, **recipe, device="cpu", channels_last=False)
    assert same_weights(first, second)


def test_the_scale_of_half_precision_gradients_is_resumed(
    train: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scalers: list[torch.amp.GradScaler] = []

    class Scaling(torch.amp.GradScaler):
        """The scaler of fp16 on CUDA, on a CPU: 7 steps an epoch, twice the scale after every 5."""

        def __init__(self, device: str, **_: Any) -> None:
            super().__init__(device, init_scale=4.0, growth_interval=5)
            scalers.append(self)

    monkeypatch.setattr(torch.amp, "GradScaler", Scaling)
    fit(Net(), train, None, epochs=3, **HOW)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptionError):
        fit(Net(), train, None, epochs=3, checkpoint=path, progress=StopAfter(2), **HOW)
    fit(Net(), train, None, epochs=3, checkpoint=path, **HOW)
    whole, _, resumed = scalers
    steps = 3 * (-(-97 // 16) - 1)  # a last batch of one image is left out
    assert whole.state_dict()["scale"] == 4.0 * 2 ** (steps // 5)
    assert resumed.state_dict() == whole.state_dict()


def test_a_checkpoint_that_says_no_scaler_is_resumed(train: Images, tmp_path: Path) -> None:
    """Version 0.1 wrote null where there was none."""
    whole, resumed = Net(), Net()
    fit(whole, train, None, epochs=2, **HOW)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptionError):
        fit(Net(), train, None, epochs=2, checkpoint=path, progress=StopAfter(2), **HOW)
    with safe_open(path, framework="pt") as content:
        state = json.loads(content.metadata()["state"]) | {"scaler": None}
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    save_file(tensors, path, metadata={"state": json.dumps(state)})
    fit(resumed, train, None, epochs=2, checkpoint=path, **HOW)
    assert same_weights(whole, resumed)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_trains_on_a_gpu(train: Images, precision: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    model = Net()
    done = fit(model, train, None, epochs=3, batch_size=16, device="cuda", precision=precision, checkpoint=path)
    assert done.execution.precision == precision
    assert done.history[-1].loss < done.history[0].loss
    assert model.conv.weight.dtype == torch.float32
    with safe_open(path, framework="pt") as content:
        scaler = json.loads(content.metadata()["state"])["scaler"]
    assert (scaler.get("scale", 0) > 1) == (precision == "fp16")


def test_weights_in_half_precision_are_not_trained(train: Images) -> None:
    with pytest.raises(ModelError, match="The weights are float16, too coarse to be trained"):
        fit(Net().half(), train, None, epochs=1, **HOW)


def test_a_net_in_double_precision_is_trained_in_it(train: Images, validation: Images) -> None:
    model = Net().double()
    before = model.conv.weight.clone()
    fit(model, train, validation, epochs=1, batch_size=16, device="cpu")
    assert model.conv.weight.dtype == torch.float64
    assert not torch.equal(model.conv.weight, before)


def test_a_checkpoint_of_other_images_of_the_same_number_is_refused(train: Images, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    fit(Net(), train, None, epochs=1, checkpoint=path, **HOW)
    darker = Images(ArrayPixels(np.zeros((97, 12, 12), dtype=np.uint8)), train.labels, train.preprocessing)
    turned = train.take(range(96, -1, -1))
    for other in (darker, turned):
        with pytest.raises(ConflictError, match="with other images"):
            fit(Net(), other, None, epochs=1, checkpoint=path, **HOW)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_a_mask_prunes_stays_exactly_zero(train: Images, validation: Images, optimizer: Any) -> None:
    model = Net()
    alive = np.random.default_rng(0).random(tuple(model.conv.weight.shape)) < 0.5
    set_masks(model, masks_of({"conv.weight": alive}))
    fit(model, train, validation, epochs=2, optimizer=optimizer, weight_decay=0.1, learning_rate=1e-2, **HOW)
    dead = model.conv.weight.detach().numpy()[~alive]
    assert not dead.any()
    assert not np.signbit(dead).any()
    assert (model.conv.weight.detach().numpy()[alive] != Net().conv.weight.detach().numpy()[alive]).all()


def test_gradients_of_pruned_weights_count_nowhere(train: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """The net that is trained under a mask is that of a loop that zeroes their gradients itself, where it clips too."""
    clip = 0.05
    monkeypatch.setattr(fit_module, "_CLIP", clip)
    alive = np.random.default_rng(0).random((8, 1, 5, 5)) < 0.3
    model, by_hand = Net(), Net()
    set_masks(model, masks_of({"conv.weight": alive}))
    fit(model, train, None, epochs=1, optimizer="sgd", **HOW)

    dead, norms = torch.from_numpy(~alive), []
    by_hand.conv.weight.data[dead] = 0.0
    optimizer = fit_module._make_optimizer(by_hand, Recipe(optimizer="sgd"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batches = list(loader(train, batch_size=16, shuffle=True, seed=0, for_training=True))
        for place, (images, labels) in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * fit_module._rate(place, len(batches))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(by_hand(images), labels).backward()
            by_hand.conv.weight.grad[dead] = 0.0
            norms.append(float(nn.utils.clip_grad_norm_(by_hand.parameters(), clip)))
            optimizer.step()
            by_hand.conv.weight.data[dead] = 0.0
    assert min(norms) > clip
    assert same_weights(model, by_hand)


def test_a_training_under_masks_goes_on_bit_for_bit(train: Images, validation: Images, tmp_path: Path) -> None:
    def masked() -> Net:
        model = Net()
        set_masks(model, masks_of({"fc.weight": np.random.default_rng(0).random((2, 32)) < 0.5}))
        return model

    whole, halves, path = masked(), masked(), tmp_path / "checkpoint.safetensors"
    fit(whole, train, validation, epochs=4, **HOW)

    class StopError(Exception):
        pass

    class Stopping(Quiet):
        def note(self, text: str) -> None:
            if text.startswith("Epoch 2/"):
                raise StopError

    with pytest.raises(StopError):
        fit(halves, train, validation, epochs=4, checkpoint=path, progress=Stopping(), **HOW)
    again = masked()
    fit(again, train, validation, epochs=4, checkpoint=path, **HOW)
    assert same_weights(whole, again)
    with pytest.raises(ConflictError, match="other masks"):
        fit(Net(), train, validation, epochs=4, checkpoint=path, **HOW)
