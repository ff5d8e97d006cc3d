"""On which images a figure was found, and whether the net may have been trained on them: said wherever one is given."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cnngraph.datasets.former_split import stratified_parts
from cnngraph.jobs.baseline import evaluate, train, training_recipe
from cnngraph.jobs.ingest import save_subject
from cnngraph.jobs.prune import Retraining, prune
from cnngraph.plan import Plan, Removal
from cnngraph.shipping.parcel import pack_saved
from cnngraph.shipping.writers import FORMATS
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import LoadedModel, ModelChoice, open_model
from cnngraph.surgery.saved import read_saved

NET = ModelChoice(name="cnngraph:lenet5", width=0.5)
RECIPE = training_recipe({"epochs": 1}, seed=0)


def images(folder: Path, count: int, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(random.integers(0, 255, (8, 8)).astype(np.uint8)).save(folder / f"{seed}-{number:03d}.png")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    images(tmp_path / "data" / "a", 30)
    images(tmp_path / "data" / "b", 30, 1)
    return tmp_path / "data"


@pytest.fixture
def trained(plain: Path) -> Path:
    """A net that was trained on the plain folder."""
    train(NET, DataChoice(name=f"folder:{plain}"), RECIPE, plain.parent / "net", device="cpu")
    return plain.parent / "net"


def opened(model: Path | ModelChoice, data: Path, **options: str) -> LoadedModel:
    choice = model if isinstance(model, ModelChoice) else ModelChoice(name=str(model))
    return open_model(choice, DataChoice.model_validate({"name": f"folder:{data}"} | options), parts=())


def said(subject: LoadedModel, part: str = "test") -> tuple[str, int, str, str]:
    found = subject.images_from(part)
    return found.part, found.images, found.taken_from, found.trained_on


def test_a_net_of_ours_has_not_seen_its_test_images(trained: Path, plain: Path) -> None:
    subject = opened(trained, plain)
    count = len(subject.data.test)
    assert said(subject) == ("test", count, "split", "no")
    assert said(subject, "train")[3] == "yes"
    assert said(subject, "validation")[3] == "no"
    assert subject.images_from("validation", 3).images == 3
    assert evaluate(ModelChoice(name=str(trained)), subject.choice, device="cpu")["images_from"] == {
        "part": "test", "images": count, "taken_from": "split", "trained_on": "no",
    }  # fmt: skip


def test_a_set_of_its_own_name_takes_no_options_of_a_folder() -> None:
    choice = DataChoice(name="folder:a", layout="parts", group_by=r"(p\d+)", split_file="/s.csv", split_sha256="0")
    assert choice.replaced("digits", None) == DataChoice(name="digits")
    assert choice.replaced("folder:b", None) == DataChoice(name="folder:b", layout="parts", group_by=r"(p\d+)")
    assert choice.replaced(None, "/elsewhere") == choice.model_copy(update={"root": "/elsewhere"})


def test_files_that_come_or_go_leave_the_test_images_unseen(
    trained: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = opened(trained, plain).data.record
    assert held is not None
    images(plain / "a", 20, 7)
    more = opened(trained, plain)
    assert said(more)[3] == "no"
    assert "20 new" in capsys.readouterr().err
    (plain / "b" / "1-000.png").unlink()
    assert more.data.record is not None
    assert not set(held.keys["train"].tolist()) & set(more.data.record.keys["test"].tolist())


def test_a_file_that_was_renamed_may_have_been_trained_on(trained: Path, plain: Path) -> None:
    for number, file in enumerate(sorted((plain / "a").iterdir())):
        file.rename(file.with_name(f"renamed-{number}.png"))
    assert said(opened(trained, plain))[3] == "possibly"


def test_images_that_were_moved_into_a_test_folder_may_have_been_trained_on(tmp_path: Path) -> None:
    for name in "ab":
        images(tmp_path / "data" / "train" / name, 30)
    train(NET, DataChoice(name=f"folder:{tmp_path}/data"), RECIPE, tmp_path / "net", device="cpu")
    for name in "ab":
        (tmp_path / "data" / "test" / name).mkdir(parents=True)
        for file in sorted((tmp_path / "data" / "train" / name).iterdir())[:10]:
            file.rename(tmp_path / "data" / "test" / name / file.name)
    assert said(opened(tmp_path / "net", tmp_path / "data"))[3] == "possibly"


def test_weights_from_elsewhere(trained: Path, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(read_saved(trained).model.state_dict(), tmp_path / "elsewhere.safetensors")
    foreign = NET.model_copy(update={"weights": str(tmp_path / "elsewhere.safetensors")})
    capsys.readouterr()
    subject = opened(foreign, plain)
    assert said(subject)[3] == said(subject, "train")[3] == "possibly"
    assert "it cannot be known whether the net was trained on the images" in capsys.readouterr().err
    # Ingested or pruned it stays so: nothing that is done to it makes it known.
    save_subject(subject, tmp_path / "kept")
    assert said(opened(tmp_path / "kept", plain))[3] == "possibly"
    train(foreign, DataChoice(name=f"folder:{plain}"), RECIPE, tmp_path / "tuned", device="cpu")
    assert said(opened(tmp_path / "tuned", plain))[3] == "possibly"
    assert said(opened(NET, plain))[3] == "no"


@pytest.mark.parametrize("names", [("train", "val"), ("training", "test"), ("train_set", "valid", "test_set")])
def test_weights_from_elsewhere_are_judged_on_the_part_that_is_for_it(tmp_path: Path, names: tuple[str, ...]) -> None:
    for count, part in enumerate(names, 4):
        for name in "ab":
            images(tmp_path / "data" / part / name, 3 * count)
    net = opened(NET, tmp_path / "data").model
    save_file(net.state_dict(), tmp_path / "elsewhere.safetensors")
    foreign = NET.model_copy(update={"weights": str(tmp_path / "elsewhere.safetensors")})
    assert said(opened(foreign, tmp_path / "data")) == ("test", 6 * (3 + len(names)), names[-1], "no")


def test_a_prune_says_it_of_all_nets_and_hands_the_split_on(trained: Path, plain: Path, tmp_path: Path) -> None:
    images(plain / "a", 6, 9)
    subject = open_model(ModelChoice(name=str(trained)), DataChoice(name=f"folder:{plain}"))
    conv = next(name for name, module in subject.model.named_modules() if isinstance(module, torch.nn.Conv2d))
    plan = Plan(model="me/net", removes=(Removal(layer=conv, kind="filters", filters=(0,)),))
    pruned = prune(subject, plan, Retraining(RECIPE, device="cpu"), folder=tmp_path / "work")
    for which in ("before", "after", "control"):
        assert pruned.result[which]["images_from"] == subject.images_from("test").as_json()
    save_subject(pruned.subject, tmp_path / "child")
    kept, parent = read_saved(tmp_path / "child").split, read_saved(trained).split
    assert kept is not None
    assert parent is not None
    for part in ("train", "validation", "test"):
        assert set(parent.keys[part].tolist()) <= set(kept.keys[part].tolist())
    assert sum(kept.counts.values()) == sum(parent.counts.values()) + 6
    child = opened(tmp_path / "child", plain)
    assert (said(child), child.data.change and child.data.change.words) == (said(subject), "none new, none gone")


def test_the_split_travels_in_copies_and_in_one_file(trained: Path, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    FORMATS["safetensors"](pack_saved(trained), tmp_path / "one.safetensors")
    for other in (tmp_path / "copy", tmp_path / "one.safetensors"):
        split = read_saved(other).split
        assert split == read_saved(trained).split
        assert said(opened(other, plain))[3] == "no"
    (tmp_path / "copy" / "split.safetensors").unlink()
    assert said(opened(tmp_path / "copy", plain))[3] == "possibly"


def test_models_that_were_saved_before_keep_their_split(
    trained: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    described = json.loads((trained / "model.json").read_text())
    del described["split"]
    (trained / "model.json").write_text(json.dumps(described | {"format": 2}))
    (trained / "split.safetensors").unlink()
    subject = opened(trained, plain)
    assert "was saved before a net kept its split" in capsys.readouterr().err
    rows = stratified_parts(np.repeat([0, 1], 30), (0.1, 0.2))
    assert [len(getattr(subject.data, part)) for part in ("train", "validation", "test")] == list(map(len, rows))
    assert subject.data.test._places.tolist() == rows[2].tolist()
    assert said(subject)[3] == "possibly"  # files may have come and gone
    save_subject(subject, trained.parent / "again")
    assert opened(trained.parent / "again", plain).data.test._places.tolist() == rows[2].tolist()


def test_a_damaged_split_is_refused(trained: Path) -> None:
    from cnngraph.errors import ModelError

    (trained / "split.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        read_saved(trained)
    save_file({"train": torch.zeros(3, dtype=torch.uint64)}, trained / "split.safetensors")
    with pytest.raises(ModelError, match="not the split that was saved"):
        read_saved(trained)


def test_the_options_of_the_training_hold_for_the_same_data(tmp_path: Path) -> None:
    for number in range(12):
        for name in "ab":
            images(tmp_path / "data" / name / f"p{number}", 2, number)
    choice = DataChoice(name=f"folder:{tmp_path}/data", group_by=r"(p\d+)")
    train(NET, choice, RECIPE, tmp_path / "net", device="cpu")
    assert opened(tmp_path / "net", tmp_path / "data").choice.group_by == r"(p\d+)"
    images(tmp_path / "elsewhere" / "a", 9)
    images(tmp_path / "elsewhere" / "b", 9)
    assert opened(tmp_path / "net", tmp_path / "elsewhere").choice.group_by is None


def test_a_choice_without_the_newer_options_is_written_as_it_was() -> None:
    assert DataChoice(name="digits").model_dump(mode="json") == {
        "name": "digits", "root": None, "seed": 0, "images_per_class": None,
    }  # fmt: skip
    assert DataChoice(name="digits", layout="parts").model_dump()["layout"] == "parts"


def test_weights_that_a_factory_brings_itself(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.randn(2, 3 * 8 * 8), tmp_path / "w.pt")
    (tmp_path / "own_factories.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def new(classes=2):\n    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(192, classes))\n"
        "def loaded(classes=2):\n    net = new(classes)\n"
        f"    net[2].weight.data = torch.load({str(tmp_path / 'w.pt')!r}, weights_only=True)\n    return net\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    new, loaded = (ModelChoice(name=f"python:own_factories:{name}", size=8) for name in ("new", "loaded"))
    assert said(opened(new, plain))[3] == "no"
    assert said(opened(loaded, plain))[3] == "possibly"
    assert replace(opened(new, plain), trained=True).images_from("train").trained_on == "yes"


def test_a_net_trained_on_some_images_of_each_class_may_know_them_all(plain: Path) -> None:
    some = DataChoice(name=f"folder:{plain}", images_per_class=4)
    train(NET, some, RECIPE, plain.parent / "some", device="cpu")
    saved = ModelChoice(name=str(plain.parent / "some"))
    assert open_model(saved, some, parts=()).images_from("train").trained_on == "yes"
    assert open_model(saved, DataChoice(name=f"folder:{plain}"), parts=()).images_from("train").trained_on == "possibly"
