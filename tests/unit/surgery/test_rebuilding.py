"""A saved net comes back as the same net: the size that it was cut for, and what no tensor shows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnngraph import save
from cnngraph.errors import ModelError
from cnngraph.jobs.execute import preview
from cnngraph.models.outputs import tensors_of
from cnngraph.network.trace_options import TraceOptions
from cnngraph.origin import Origin, Preprocessing, get_origin
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel
from cnngraph.surgery.apply import apply, cut
from cnngraph.surgery.calibration import input_shape_of
from cnngraph.surgery.saved import load, read_saved
from cnngraph.surgery.verify import verify

from .in_process import replace_process
from .nets import batches, images, plan, seeded

SHAPE = (3, 33, 33)
PLAN = plan("x")


class Odd(nn.Module):
    """A chain with a global pool; what takes the place of ``b`` (kernel 4, stride 2, padding 2) depends on the size."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 4, stride=2, padding=2)
        self.c = nn.Conv2d(4, 8, 4, stride=2, padding=2)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.c(self.b(self.a(x).relu()).relu()).relu().mean((2, 3)))


class TestSize:
    def test_a_net_that_was_cut_for_one_size_comes_back_for_it(self, tmp_path: Path) -> None:
        model = seeded(Odd)
        slim = apply(model, plan("b"), loader=batches(SHAPE, 1)).eval()
        origin = get_origin(slim)
        assert origin is not None
        assert (origin.input_shape, origin.input_shapes, input_shape_of(slim)) == (SHAPE, (SHAPE,), SHAPE)
        assert str(slim.b) != str(cut(model, plan("b")).b)  # the size makes a difference
        found = read_saved(save(slim, tmp_path / "slim"))
        assert str(found.model) == str(slim)
        assert (found.origin.executed, found.input_shape) == (origin.executed, SHAPE)
        assert torch.equal(found.model(images(2, *SHAPE)), slim(images(2, *SHAPE)))

    def test_each_plan_keeps_its_own(self, tmp_path: Path) -> None:
        once = apply(seeded(Odd), plan("b"), input_shape=SHAPE)
        twice = apply(once, plan("c"), input_shape=(3, 16, 16)).eval()
        origin = get_origin(twice)
        assert origin is not None
        assert origin.input_shapes == (SHAPE, (3, 16, 16))
        assert origin.parent == get_origin(once)
        assert str(load(save(twice, tmp_path / "slim", input_shape=(3, 20, 20)))) == str(twice)

    def test_the_next_cut_is_for_the_same(self) -> None:
        slim = cut(cut(seeded(Odd), plan("b"), input_shape=SHAPE), plan("c"))
        origin = get_origin(slim)
        assert origin is not None
        assert origin.input_shapes == (SHAPE, SHAPE)

    def test_the_proof_asks_the_slim_net(self, monkeypatch: pytest.MonkeyPatch) -> None:
        replace_process(monkeypatch, lambda folder: tensors_of(load(folder / "slim")(images_of(folder)).detach()))
        model = seeded(Odd)
        made = plan("b")
        proof = verify(model, apply(model, made, loader=batches(SHAPE, 1)), made)
        assert proof.ok, proof.failures
        assert proof.notes == ()

    def test_a_dry_run_counts_the_net_that_would_be_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []

        def watched(*arguments: Any, **options: Any) -> nn.Module:
            asked.append(options.get("input_shape"))
            return cut(*arguments, **options)

        monkeypatch.setattr("cnngraph.surgery.apply.cut", watched)
        data: Any = SimpleNamespace(classes=list("abcdefghij"))
        subject = LoadedModel(
            seeded(Odd), "x", Preprocessing(size=SHAPE[1:]), data, DataChoice(name="x"), True, {}, None
        )  # fmt: skip
        preview(subject, plan("b"), TraceOptions(), "new")
        assert set(asked) == {SHAPE}

    def test_an_origin_from_before_reads_and_writes_as_it_did(self) -> None:
        old = {
            "architecture": "cnngraph:vgg11",
            "options": {"classes": 2},
            "plans": [plan("x").model_dump(mode="json")],
        }
        origin = Origin.model_validate(old)
        assert origin.model_dump(mode="json") == old
        assert json.loads(origin.model_dump_json()) == old
        assert (origin.input_shape, origin.executed) == (None, ((plan("x"), None),))
        known = origin.parent.then(plan("x"), SHAPE)
        assert known.digest == origin.digest
        assert Origin.model_validate_json(known.model_dump_json()) == known
        assert known.then(plan("y"), None).executed == ((plan("x"), SHAPE), (plan("y"), None))
        assert origin.then(plan("y"), SHAPE).executed == ((plan("x"), None), (plan("y"), SHAPE))


def images_of(folder: Path) -> Tensor:
    from safetensors.torch import load_file

    return load_file(folder / "images.safetensors")["images"]


class Settings(nn.Module):
    """What its constructor is told besides the number of classes is in no tensor."""

    def __init__(self, classes: int = 10, *, slope: float = 0.0, scale: float = 1.0, p: float = 0.5) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3)
        self.act = nn.LeakyReLU(slope)
        self.drop = nn.Dropout(p)
        self.fc = nn.Linear(4, classes)
        self.scale = scale

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.drop(self.act(self.a(x)) * self.scale).mean((2, 3)))


class Several(Settings):
    """Several outputs, and one more in train mode alone."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return {"logits": logits, "more": (x, None), "count": 3} | ({"aux": logits.sum()} if self.training else {})


class Random(Settings):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + torch.rand(1, generator=GENERATOR)


class Seen(Settings):
    """Counts its calls, and shows an address and a learned value."""

    calls = 0

    def extra_repr(self) -> str:
        return f"at {object()!r}, bias {float(self.fc.bias[0].detach()):.3f}"

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x)


class Elsewhere(Settings):
    """Runs on no CPU."""

    def forward(self, x: Tensor) -> Any:
        raise NotImplementedError


GENERATOR = torch.Generator()


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"slope": 0.5}, r"act is LeakyReLU\(negative_slope=0\.0\), not LeakyReLU\(negative_slope=0\.5\)"),
            ({"p": 0.1}, r"drop is Dropout\(p=0\.5, inplace=False\), not"),
            ({"scale": 2.0}, "with these weights it gives other outputs"),
        ],
    )
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_what_a_constructor_was_told_is_not_lost_in_silence(
        self, tmp_path: Path, settings: dict[str, float], said: str, dtype: torch.dtype
    ) -> None:
        with pytest.raises(ModelError, match=said) as caught:
            save(seeded(lambda: Settings(**settings)).to(dtype), tmp_path / "net", input_shape=(3, 8, 8))
        assert "architecture='python:package.module:factory'" in caught.value.hint
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", [Settings, Several, Random, Seen, Elsewhere])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_what_can_be_built_again_is_saved(self, tmp_path: Path, kind: type[Settings], dtype: torch.dtype) -> None:
        model = seeded(kind).to(dtype, memory_format=torch.channels_last).train()
        with torch.no_grad():
            model.fc.bias += 1
        before = copy.deepcopy(model.__dict__)
        state = torch.get_rng_state()
        folder = save(model, tmp_path / "net", input_shape=(3, 8, 8))
        assert torch.equal(torch.get_rng_state(), state)
        assert type(load(folder)) is kind
        assert model.training
        assert getattr(model, "calls", None) == (None if "calls" not in vars(kind) else 0)
        assert model.__dict__.keys() == before.keys()

    def test_other_outputs_beside_the_first_count(self, tmp_path: Path) -> None:
        model = seeded(Several)
        model.scale = 3.0
        with pytest.raises(ModelError, match="other outputs"):
            save(model, tmp_path / "net", input_shape=(3, 8, 8))

    def test_hooks_are_no_settings(self, tmp_path: Path) -> None:
        model = seeded(Settings)
        model.act.register_forward_hook(lambda *_: None)
        assert save(model, tmp_path / "net", input_shape=(3, 8, 8)).is_dir()

    def test_a_factory_may_give_a_class_of_another_name(self, tmp_path: Path) -> None:
        class Local(Settings):
            pass

        architecture = f"python:{Settings.__module__}:Settings"
        assert save(seeded(Local), tmp_path / "net", architecture=architecture, input_shape=(3, 8, 8)).is_dir()
