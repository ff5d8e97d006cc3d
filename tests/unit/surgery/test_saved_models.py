"""Saved models that the build of commit 62ce932 wrote (scripts/make_saved_models.py) still open, and give the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cnngraph import save
from cnngraph.surgery.remembered import remember_structures
from cnngraph.surgery.saved import read_description, read_saved

MODELS = Path(__file__).with_name("saved_models")
PLANS = {"layers": 1, "filters": 1, "both": 1, "four_plans": 4}


@pytest.mark.parametrize("name", PLANS)
def test_a_model_of_then_gives_what_it_gave(name: str) -> None:
    given = load_file(MODELS / "outputs.safetensors")
    found = read_saved(MODELS / name)
    assert len(found.origin.plans) == PLANS[name]
    with torch.no_grad():
        assert torch.equal(found.model(given["images"]), given[name])


def test_within_a_job_structures_are_built_once_and_weights_are_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cnngraph.surgery import rebuilding

    cuts: list[object] = []
    cut = rebuilding.cut
    monkeypatch.setattr(rebuilding, "cut", lambda *args, **options: cuts.append(args) or cut(*args, **options))
    given = load_file(MODELS / "outputs.safetensors")
    with remember_structures():
        first, second = (read_saved(MODELS / "four_plans").model for _ in range(2))
        save(first, tmp_path / "again", classes=("a", "b", "c"))
        third = read_saved(tmp_path / "again").model
    assert len(cuts) == 4
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
        for model in (second, third):
            assert torch.equal(model(given["images"]), given["four_plans"])
    read_saved(MODELS / "four_plans")
    assert len(cuts) == 8, "outside of the job nothing is remembered"


def test_a_description_is_read_without_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_bytes((MODELS / "both" / "model.json").read_bytes())
    assert read_description(folder).origin == read_saved(MODELS / "both").origin
