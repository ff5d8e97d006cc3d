"""A saved net comes back as the same net: the size that it was cut for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnngraph.chain.execute import preview
from cnngraph.chain.ingest import Mapping
from cnngraph.chain.subject import DataChoice, Subject
from cnngraph.origin import Origin, Preprocessing, get_origin
from cnngraph.surgery.apply import apply, cut
from cnngraph.surgery.sample import input_shape_of
from cnngraph.surgery.saved import load, read_saved, save
from cnngraph.surgery.verify import verify

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
        monkeypatch.setattr(
            "cnngraph.surgery.verify._loaded_elsewhere",
            lambda folder: load(folder / "slim")(images_of(folder)).detach(),
        )
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
        subject = Subject(
            seeded(Odd), "x", Preprocessing(size=SHAPE[1:]), data, DataChoice(name="x"), True, {}, None
        )  # fmt: skip
        preview(subject, plan("b"), Mapping(), "new")
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
