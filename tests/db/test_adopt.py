"""``adopt``: what prune handed out untrained comes back trained, with its lineage, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import cnngraph as cg

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def handed_out(command: Run, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved, untrained net of a model ``adopt-slim``."""
    folder = tmp_path_factory.mktemp("adopt")
    for line in (
        f"train cnngraph:vgg11 --width 0.125 --data digits --epochs 1 --out {folder}/vgg11",
        f"ingest {folder}/vgg11 --data digits --name adopt --view positions",
        f"prune adopt --remove-layer features.8 --no-retrain --as adopt-slim --out {folder}/slim",
    ):
        done = command(*line.split())
        assert done.code == 0, done.err
    return folder / "slim"


@pytest.fixture(scope="module")
def tuned(handed_out: Path) -> dict[str, torch.Tensor]:
    """What a training elsewhere made of its weights."""
    return {name: tensor * 1.01 for name, tensor in cg.load(handed_out).state_dict().items()}


def test_a_state_dict_of_a_parallel_training_is_adopted(
    command: Run, database: Any, tuned: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "tuned.pt"
    torch.save({"state_dict": {f"module.{name}": value for name, value in tuned.items()}, "epoch": 7}, file)
    before = command("show", "adopt-slim", "--json").json
    dry = command("adopt", "adopt-slim", "--weights", file, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert dry.json["would_write"]["nodes"] > 0
    assert command("show", "adopt-slim-adopted").code == 3

    done = command("adopt", "adopt-slim", "--weights", file, "--json")
    assert done.code == 0, done.err
    assert done.json["model"] == "tester/adopt-slim"
    assert done.json["new_model"] == "tester/adopt-slim-adopted"
    assert done.json["action"] == "new"
    assert done.json["before"]["parameters"] == done.json["after"]["parameters"]
    stored = cg.load(done.json["artifact"]).state_dict()
    assert all(torch.equal(stored[name], value) for name, value in tuned.items())

    told = command("lineage", "adopt-slim-adopted", "--json").json
    assert [(row["model"], row["relation"]) for row in told["ancestors"]] == [
        ("tester/adopt-slim", "ADOPTED_FROM"),
        ("tester/adopt", "PRUNED_FROM"),
    ]
    assert told["evaluations"][-1]["accuracy"] == done.json["after"]["accuracy"]
    assert told["evaluations"][-1]["images_from"] == done.json["after"]["images_from"]
    assert done.json["after"]["images_from"]["trained_on"] == "possibly"
    old = command("lineage", "adopt", "--json").json
    assert [row["model"].split("/")[1] for row in old["descendants"]] == ["adopt-slim", "adopt-slim-adopted"]
    listed = {row["name"]: row for row in command("list", "--json").json["models"]}
    assert listed["adopt-slim-adopted"]["adopted_from"] == "tester/adopt-slim"
    assert listed["adopt-slim-adopted"]["pruned_from"] is None
    assert "ADOPTED_FROM" in command("lineage", "adopt-slim-adopted").out
    after = command("show", "adopt-slim", "--json").json
    assert (after["sha256"], after["artifact"]) == (before["sha256"], before["artifact"])

    def everything() -> Any:
        return database.read("MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN count(DISTINCT n) AS n, count(r) AS r")

    written = everything()
    again = command("adopt", "adopt-slim", "--weights", file, "--json")
    assert again.code == 0, again.err
    assert again.json["action"] == "nothing"
    assert again.json["new_model"] == "tester/adopt-slim-adopted"
    assert again.json["after"] == done.json["after"]
    assert again.json["before"] == done.json["before"]
    assert everything() == written


def test_other_weights_get_a_name_of_their_own(
    command: Run, handed_out: Path, tuned: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file({name: value * 1.02 for name, value in tuned.items()}, tmp_path / "more.safetensors")
    first = command("adopt", "adopt-slim", "--weights", tmp_path / "more.safetensors", "--as", "adopt-more", "--json")
    assert first.code == 0, first.err
    save_file({name: value * 1.03 for name, value in tuned.items()}, tmp_path / "other.safetensors")
    taken = command("adopt", "adopt-slim", "--weights", tmp_path / "other.safetensors", "--as", "adopt-more")
    assert taken.code == 1
    assert "There is a model adopt-more already, with other weights or data." in taken.err
    # The folder of a saved model is a file of weights too.
    folder = first.json["artifact"]
    named = command("adopt", "adopt-slim", "--weights", folder, "--as", "adopt-more", "--json")
    assert (named.code, named.json["action"]) == (0, "nothing")
    own = command("adopt", "adopt-slim", "--weights", handed_out)
    assert own.code == 1
    assert "holds the weights that tester/adopt-slim has" in own.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features.0.weight": None}, "lacks features.0.weight"),
        ({"head.bias": torch.zeros(2)}, "has unknown head.bias"),
        ({"features.0.weight": torch.zeros(2, 3, 3, 3)}, "features.0.weight is (2, 3, 3, 3), the net needs"),
        ({"features.0.bias": torch.full((8,), torch.nan)}, "NaN or infinite values in features.0.bias"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_stored(
    command: Run, tuned: dict[str, torch.Tensor], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    state = {name: value for name, value in (tuned | change).items() if value is not None}
    save_file(state, tmp_path / "wrong.safetensors")
    done = command("adopt", "adopt-slim", "--weights", tmp_path / "wrong.safetensors", "--as", "adopt-wrong")
    assert done.code == 1
    assert said in done.err
    assert command("show", "adopt-wrong").code == 3


def test_what_is_not_there(command: Run, tmp_path: Path, handed_out: Path) -> None:
    assert command("adopt", "adopt-slm", "--weights", handed_out).code == 3
    missing = command("adopt", "adopt-slim", "--weights", tmp_path / "none.safetensors")
    assert (missing.code, "There is no weights file" in missing.err) == (3, True)


def test_a_useless_net_is_said_loudly(command: Run, tuned: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state = {name: torch.zeros_like(value) for name, value in tuned.items()}
    torch.save(state, tmp_path / "zero.pt")
    done = command("adopt", "adopt-slim", "--weights", tmp_path / "zero.pt", "--dry-run")
    assert done.code == 0, done.err
    assert "warning: the adopted net: the accuracy of 9.5%" in done.err


MIXED = {
    "removes": [
        {"layer": "layer1.0.conv1", "kind": "filters", "filters": [0, 2]},
        {"layer": "layer2.1.conv1"},
        {"layer": "layer3.1", "kind": "block"},
    ]
}


def test_filters_a_layer_and_a_block_are_handed_out_and_adopted(command: Run, server: Any, tmp_path: Path) -> None:
    (tmp_path / "mixed.json").write_text(json.dumps(MIXED))
    for line in (
        "train cnngraph:resnet20 --width 0.25 --data digits --images-per-class 8 --epochs 1 --out net",
        "ingest net --data digits --images-per-class 8 --name adopt-res --view channels",
        "prune adopt-res --plan mixed.json --no-retrain --as adopt-res-slim --out slim",
    ):
        done = command(*line.split(), cwd=tmp_path)
        assert done.code == 0, done.err
    assert "Next: train slim elsewhere, then cnngraph adopt adopt-res-slim --weights FILE" in done.err
    slim = cg.load(tmp_path / "slim")
    assert slim.layer1[0].conv1.out_channels == 2
    save_file({name: value * 1.01 for name, value in slim.state_dict().items()}, tmp_path / "tuned.safetensors")
    done = command("adopt", "adopt-res-slim", "--weights", "tuned.safetensors", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    again = cg.load(done.json["artifact"])
    assert torch.equal(again.layer1[0].conv1.weight, slim.layer1[0].conv1.weight * 1.01)


def test_weights_are_looked_at_before_images(
    command: Run, handed_out: Path, tuned: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    for digit in range(10):
        (tmp_path / "data" / str(digit)).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "data" / str(digit) / f"{number}.png").write_text("no image", encoding="utf-8")
    save_file(tuned, tmp_path / "tuned.safetensors")
    save_file({"odd": torch.zeros(2)}, tmp_path / "odd.safetensors")
    said = {}
    for name in ("gone", "odd", "tuned"):
        file = tmp_path / f"{name}.safetensors"
        done = command("adopt", "adopt-slim", "--weights", file, "--data", f"folder:{tmp_path}/data")
        said[name] = done.code, done.err
    assert said["gone"][0] == 3
    assert "There is no weights file" in said["gone"][1]
    assert said["odd"][0] == 1
    assert "odd.safetensors does not fit the net" in said["odd"][1]
    assert said["tuned"][0] == 1
    assert "no readable image" in said["tuned"][1]


def test_averaged_weights_are_adopted_or_those_of_a_key(
    command: Run, tuned: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    averaged = {f"model_ema.module.{name}": value * 1.04 for name, value in tuned.items()}
    latest = {f"model.{name}": value * 1.05 for name, value in tuned.items()}
    torch.save({"state_dict": latest | averaged, "epoch": 7}, tmp_path / "last.ckpt")
    for options, factor in (([], 1.04), (["--weights-key", "state_dict.model"], 1.05)):
        done = command("adopt", "adopt-slim", "--weights", tmp_path / "last.ckpt", *options, "--json")
        assert done.code == 0, done.err
        assert ("the averaged weights" in done.err) is (not options)
        stored = cg.load(done.json["artifact"]).state_dict()
        assert all(torch.equal(stored[name], value * factor) for name, value in tuned.items())
    wrong = command("adopt", "adopt-slim", "--weights", tmp_path / "last.ckpt", "--weights-key", "teacher")
    assert wrong.code == 3
    assert "state_dict.model_ema.module" in wrong.err


def test_what_is_no_file_of_weights_is_not_adopted(command: Run, handed_out: Path, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>Quota exceeded</html>", encoding="utf-8")
    done = command("adopt", "adopt-slim", "--weights", tmp_path / "page.pth")
    assert done.code == 1
    assert "page.pth is a web page, not the weights themselves" in done.err
    keyed = command("adopt", "adopt-slim", "--weights", handed_out, "--weights-key", "a")
    assert keyed.code == 2
    assert "Leave out --weights-key" in keyed.err
