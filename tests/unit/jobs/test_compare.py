"""Two saved models compared, without a database: what is said, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import cnngraph as cg
from cnngraph.api.choices import choose_data
from cnngraph.errors import CnngraphError, DataError, ModelError, NotFoundError, UsageError
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing, set_preprocessing
from cnngraph.plan import Plan, Removal
from cnngraph.sources.data_choice import list_data
from cnngraph.surgery.apply import apply
from cnngraph.surgery.saved import SavedFacts, save

Save = Callable[..., Path]
DIGITS = tuple(str(digit) for digit in range(10))
TRAINING = {"data": {"name": "digits", "images_per_class": 12}}
SHAPE = (1, 32, 32)
QUICK: dict[str, Any] = {"images": 60, "device": "cpu"}


def keep(net: nn.Module, folder: Path, classes: tuple[str, ...] = DIGITS, size: int = 32) -> Path:
    facts = SavedFacts(Preprocessing(size=(size, size), channels=1), classes, "digits", TRAINING)
    return save(net, folder, facts)


def lenet(seed: int = 0, classes: int = 10) -> nn.Module:
    return build("cnngraph:lenet5", classes=classes, in_channels=1, width=0.5, seed=seed).eval()


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved models: ``old``, ``other`` (new weights), ``slim`` (filters of old gone), ``shorter`` (a layer gone)."""
    folder = tmp_path_factory.mktemp("nets")
    keep(lenet(), folder / "old")
    keep(lenet(1), folder / "other")
    keep(lenet(), folder / "twin")
    filters = Plan(removes=(Removal(layer="features.3", kind="filters", filters=(0, 1, 2)),))
    keep(apply(cg.load(folder / "old"), filters, input_shape=SHAPE), folder / "slim")
    gone = Plan(removes=(Removal(layer="features.3"),))
    keep(apply(cg.load(folder / "old"), gone, input_shape=SHAPE), folder / "shorter")
    return folder


def test_every_pair_has_its_value_its_null_and_its_rule(nets: Path) -> None:
    found = cg.compare(nets / "old", nets / "slim", **QUICK | {"images": 100})
    rows = found["layers"]
    assert [row["layer_a"] for row in rows][:3] == ["features.1", "features.2", "features.4"]
    first = rows[0]
    assert (first["matched_by"], first["estimator"]) == ("name", "plain mean, 0.99 of the variance")
    assert first["value"] == pytest.approx(1)
    assert (first["points"], first["images"], first["ratio"]) == (100 * 28 * 28, 100, 100 * 28 * 28 / 3)
    assert (first["channels_a"], first["channels_b"], first["pooled"], first["reason"]) == (3, 3, False, "")
    assert first["kept_a"] == first["kept_b"] <= 3
    assert 0 <= rows[0]["null"] < 1
    assert rows[2]["value"] < 1
    assert (rows[2]["channels_a"], rows[2]["channels_b"]) == (8, 5)
    assert found["made_of_a"]
    about = {"data": "digits", "part": "train", "taken_from": "split", "images": 100, "of": 120, "seed": 0}
    assert found["images"] == about
    assert found["unmatched"] == {"a": [], "b": []}
    assert (found["key"], found["page"], found["at_least"], found["all_pairs"]) == (None, None, None, None)
    a, b = found["a"], found["b"]
    assert b["parameters"] < a["parameters"]
    assert b["macs"] < a["macs"]
    assert b["file_bytes"] < a["file_bytes"]
    assert a["latency_ms"] > 0
    assert a["images"] == b["images"] == found["disagreements"]["images"]
    assert sum(row["images"] for row in found["classes"]) == a["images"]
    json.dumps(found)


def test_the_accuracy_is_that_of_evaluate_and_disagreements_are_counted(nets: Path) -> None:
    from cnngraph.jobs.baseline import evaluate
    from cnngraph.sources.data_choice import DataChoice
    from cnngraph.sources.loaded import ModelChoice

    found = cg.compare(nets / "old", nets / "other", similarity="cka", **QUICK)
    for name, side in (("old", "a"), ("other", "b")):
        alone = evaluate(ModelChoice(name=str(nets / name)), DataChoice(**TRAINING["data"]), device="cpu")
        assert {key: found[side][key] for key in ("accuracy", "kappa", "precision", "recall", "images_from")} == {
            key: alone[key] for key in ("accuracy", "kappa", "precision", "recall", "images_from")
        }
        recalls = {row["class"]: row[side] for row in found["classes"]}
        assert list(recalls.values()) == [one["recall"] for one in alone["per_class"]]
    apart = found["disagreements"]
    assert 0 < apart["count"] <= apart["images"]
    assert all(one["a"] != one["b"] for one in apart["listed"])
    assert len(apart["listed"]) == min(apart["count"], 100)
    gain = found["b"]["accuracy"] - found["a"]["accuracy"]
    assert gain * apart["images"] == pytest.approx(apart["b_right"] - apart["a_right"])


@pytest.mark.parametrize("similarity", ["cka", "procrustes"])
def test_more_is_more_alike_whatever_is_measured(nets: Path, similarity: str) -> None:
    twin, stranger = (
        cg.compare(nets / "old", nets / name, similarity=similarity, **QUICK | {"images": 100})
        for name in ("twin", "other")
    )
    assert twin["mean"] == pytest.approx(1, abs=1e-6)
    assert any("same weights" in note for note in twin["notes"])
    assert stranger["mean"] < 0.95
    assert stranger["least"]["value"] == min(row["value"] for row in stranger["layers"])
    assert twin["disagreements"]["count"] == 0


def test_a_removed_layer_has_no_counterpart_and_all_pairs_are_a_table(nets: Path) -> None:
    found = cg.compare(nets / "old", nets / "shorter", similarity="cka", all_pairs=True, **QUICK)
    lost = found["unmatched"]["a"]
    assert "features.4" in lost
    a, b = ({row[f"layer_{side}"] for row in found["all_pairs"]} for side in "ab")
    assert lost[0] in a
    assert len(found["all_pairs"]) == len(a) * len(b)
    pairs = {(row["layer_a"], row["layer_b"]): row["value"] for row in found["all_pairs"]}
    assert all(pairs[row["layer_a"], row["layer_b"]] == row["value"] for row in found["layers"])
    back = cg.compare(nets / "shorter", nets / "old", similarity="cka", **QUICK)
    assert not back["made_of_a"]
    assert back["unmatched"]["b"] == lost


def test_a_layer_that_came_for_a_block_is_another_one(tmp_path: Path) -> None:
    net = build("cnngraph:vgg16", classes=10, in_channels=1, width=0.05, seed=0).eval()
    keep(net, tmp_path / "whole")
    plan = Plan(removes=(Removal(layer="stage3", kind="replace"),), init="parent")
    keep(apply(cg.load(tmp_path / "whole"), plan, input_shape=SHAPE), tmp_path / "short")
    out = tmp_path / "page.html"
    found = cg.compare(tmp_path / "whole", tmp_path / "short", similarity="cka", out=out, **QUICK)
    assert found["made_of_a"]
    assert found["unmatched"]["a"] == ["features.11", "features.13"]
    html = out.read_text(encoding="utf-8")
    assert re.findall(r'class="line replaced">\s*<div class="box a"><span class="name">([^<]*)', html) == [
        "features.10"
    ]
    gone = re.findall(r'class="line gone">\s*<div class="box a"><span class="name">([^<]*)', html)
    assert gone == [f"features.{number}" for number in (11, 12, 13, 14)]


def test_two_that_were_named_apart_are_matched_by_depth(nets: Path, tmp_path: Path) -> None:
    keep(build("cnngraph:resnet20", classes=10, in_channels=1, width=0.25, seed=0), tmp_path / "resnet")
    found = cg.compare(nets / "old", tmp_path / "resnet", similarity="cka", **QUICK)
    assert {row["matched_by"] for row in found["layers"]} == {"depth"}
    assert any(row["pooled"] and row["points"] == 60 for row in found["layers"])
    assert found["layers"][-1]["layer_a"] == "classifier.4"


def test_another_input_size_and_other_classes(nets: Path, tmp_path: Path) -> None:
    net = build("cnngraph:vgg16", classes=3, in_channels=1, width=0.05, size=64, seed=0)
    keep(net, tmp_path / "few", ("7", "3", "none of these"), 64)
    found = cg.compare(nets / "old", tmp_path / "few", similarity="cka", **QUICK)
    assert any("1 x 32 x 32 and 1 x 64 x 64" in note for note in found["notes"])
    assert [row["class"] for row in found["classes"]] == ["3", "7"]
    assert "2 classes that both know by name, of 10" in found["judged_note"]
    assert found["a"]["images"] == found["b"]["images"] > 0
    set_preprocessing(net, Preprocessing(size=(64, 64), channels=1))
    keep(net, tmp_path / "strange", ("cat", "dog", "cow"), 64)
    alone = cg.compare(nets / "old", tmp_path / "strange", similarity="cka", **QUICK)
    assert alone["not_judged"].startswith("Not judged: fewer than two classes have the same name")
    assert "accuracy" not in alone["a"]
    assert alone["layers"]
    assert alone["a"]["latency_ms"] > 0


def test_dead_maps_and_constant_layers_have_no_value_and_fail_a_bound(nets: Path, tmp_path: Path) -> None:
    dead = lenet(1)
    with torch.no_grad():
        dead.get_submodule("features.0").bias[0] = -1e6  # one map of three
        dead.get_submodule("classifier.0").weight.zero_()
        dead.get_submodule("classifier.0").bias.fill_(0.5)  # all units the same for every image
    keep(dead, tmp_path / "dead")
    found = cg.compare(nets / "old", tmp_path / "dead", at_least=0.0, **QUICK | {"images": 61})
    rows = {row["layer_a"]: row for row in found["layers"]}
    assert rows["features.1"]["value"] is not None
    assert rows["classifier.1"]["value"] is None
    assert rows["classifier.1"]["reason"]
    assert {row["layer_a"] for row in found["at_least"]["failed"]} >= {"classifier.1"}
    assert not found["at_least"]["reached"]


def test_another_checkpoint_of_the_same_net(nets: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save(lenet(1).state_dict(), file)
    found = cg.compare(nets / "old", file, similarity="cka", **QUICK)
    folder = cg.compare(nets / "old", nets / "other", similarity="cka", **QUICK)
    assert [row["value"] for row in found["layers"]] == [row["value"] for row in folder["layers"]]
    assert found["b"]["name"] == str(file)
    assert found["b"]["file_bytes"] == file.stat().st_size
    assert found["b"]["images_from"]["trained_on"] == "possibly"  # nobody knows what it was trained on
    torch.save(build("cnngraph:lenet5", classes=10, in_channels=1, seed=0).state_dict(), tmp_path / "wider.pt")
    with pytest.raises(ModelError):
        cg.compare(nets / "old", tmp_path / "wider.pt", **QUICK)
    (tmp_path / "notes.txt").write_text("no weights", encoding="utf-8")
    with pytest.raises(ModelError):
        cg.compare(nets / "old", tmp_path / "notes.txt", **QUICK)


def test_images_that_the_second_net_was_trained_on_are_said(tmp_path: Path) -> None:
    """Both are judged on the test images of the first, which the second may have in its training part."""
    parts = {"a": ["train"] * 6 + ["val", "test"], "b": ["test", "val"] + ["train"] * 6}
    for number in range(16):
        file = tmp_path / "photos" / "xy"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (32, 32), 15 * number).save(file)
    for name, own in parts.items():
        split = tmp_path / f"{name}.csv"
        lines = [f"{'xy'[number % 2]}/{number}.png,{own[number // 2]}" for number in range(16)]
        split.write_text("path,part\n" + "\n".join(lines) + "\n", encoding="utf-8")
        choice = choose_data(f"folder:{tmp_path / 'photos'}", split_file=split)
        data = list_data(choice, Preprocessing(size=(32, 32), channels=1))
        training = {"data": choice.model_dump(mode="json")}
        facts = SavedFacts(data.train.preprocessing, tuple(data.classes), choice.name, training, True, data.record)
        save(lenet(classes=2), tmp_path / name, facts)
    found = cg.compare(tmp_path / "a", tmp_path / "b", similarity="cka", device="cpu")
    assert found["a"]["images_from"]["trained_on"] == "no"
    assert found["b"]["images_from"]["trained_on"] == "yes"
    assert found["a"]["images"] == 2
    back = cg.compare(tmp_path / "b", tmp_path / "a", similarity="cka", device="cpu")
    assert [back[side]["images_from"]["trained_on"] for side in "ab"] == ["no", "yes"]


def test_what_is_refused(nets: Path, tmp_path: Path) -> None:
    def refused(kind: type[CnngraphError], *names: Path, **how: Any) -> str:
        with pytest.raises(kind) as caught:
            cg.compare(*names, **QUICK | how)
        return str(caught.value)

    old, other = nets / "old", nets / "other"
    assert "named twice" in refused(UsageError, old, old)
    assert "named twice" in refused(UsageError, old, nets / "." / "old" / ".." / "old")
    few = refused(DataError, old, other, images=40)
    assert re.search(r"40 images are too few for svcca, .*: 61 for classifier\.1 ", few)
    assert "--images 61 or more" in few
    assert "--similarity cka" in few
    refused(DataError, old, other, images=3, similarity="cka", part="test")
    assert "There is no saved model" in refused(NotFoundError, old, tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    refused(ModelError, old, tmp_path / "folder")
    for how in ({"at_least": 1.5}, {"at_least": float("nan")}, {"keep": 0.0}, {"similarity": "ccca"}, {"part": "all"}):
        refused(UsageError, old, other, **how)
    refused(UsageError, old, other, images=1)


def test_the_same_seed_gives_the_same(nets: Path) -> None:
    once, again, else_ = (
        cg.compare(nets / "old", nets / "other", similarity="cka", seed=seed, **QUICK) for seed in (0, 0, 1)
    )
    values = [[row["value"] for row in found["layers"]] for found in (once, again, else_)]
    assert values[0] == values[1] != values[2]
