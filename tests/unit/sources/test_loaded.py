"""What a job works on: a saved model keeps its structure and takes other weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from cnngraph import save
from cnngraph.errors import CnngraphError, DataError, ModelError, NotFoundError, UsageError
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.shipping.parcel import pack_saved
from cnngraph.shipping.writers import FORMATS
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice, open_model

DIGITS = DataChoice(name="digits", images_per_class=4)


def small(seed: int) -> nn.Module:
    return build("cnngraph:lenet5", classes=10, in_channels=1, width=0.5, seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = [str(digit) for digit in range(10)]
    wanted = Preprocessing(size=(32, 32), channels=1)
    made = tmp_path_factory.mktemp("subject") / "lenet"
    return save(small(1), made, preprocessing=wanted, classes=classes, training={"epochs": 3})


def test_a_saved_model_and_its_single_file_are_opened_alike(folder: Path, tmp_path: Path) -> None:
    FORMATS["safetensors"](pack_saved(folder), tmp_path / "lenet.safetensors")
    one, two = (open_model(ModelChoice(name=str(path)), DIGITS) for path in (folder, tmp_path / "lenet.safetensors"))
    assert one.sha256 == two.sha256
    assert one.architecture == two.architecture == "cnngraph:lenet5"
    assert one.training == two.training == {"epochs": 3}
    assert one.input_shape == two.input_shape == (1, 32, 32)


def test_other_weights_for_a_saved_model(folder: Path, tmp_path: Path) -> None:
    tuned = small(2)
    torch.save({"model": nn.DataParallel(tuned).state_dict()}, tmp_path / "tuned.pt")
    opened = open_model(ModelChoice(name=str(folder), weights=str(tmp_path / "tuned.pt")), DIGITS)
    assert all(torch.equal(value, opened.model.state_dict()[name]) for name, value in tuned.state_dict().items())
    assert (opened.trained, opened.training) == (True, {})
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt does not fit the net"):
        open_model(ModelChoice(name=str(folder), weights=str(tmp_path / "other.pt")), DIGITS)


@pytest.mark.parametrize("other", [{"width": 0.25}, {"size": 28}, {"weights": "pretrained"}])
def test_a_saved_model_is_what_it_is(folder: Path, other: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="The saved model"):
        open_model(ModelChoice.model_validate({"name": str(folder)} | other), DIGITS)


@pytest.fixture
def broken(tmp_path: Path) -> DataChoice:
    """Ten classes of files that are no images: whoever decodes one, fails."""
    for digit in range(10):
        (tmp_path / "data" / str(digit)).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "data" / str(digit) / f"{number}.png").write_text("no image", encoding="utf-8")
    return DataChoice(name=f"folder:{tmp_path}/data")


@pytest.mark.parametrize("saved", [True, False])
def test_weights_that_will_not_do_are_refused_before_an_image_is_decoded(
    saved: bool, folder: Path, broken: DataChoice, tmp_path: Path
) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    torch.save(build("cnngraph:lenet5", classes=10, in_channels=1, width=0.25).state_dict(), tmp_path / "narrow.pt")
    (tmp_path / "text.pt").write_text("no weights", encoding="utf-8")
    refusals: dict[str, type[CnngraphError]] = {
        "gone.pt": NotFoundError,
        "other.pt": ModelError,
        "narrow.pt": ModelError,
        "text.pt": ModelError,
    }
    for file, kind in refusals.items():
        choice = ModelChoice(name=str(folder) if saved else "cnngraph:lenet5", weights=str(tmp_path / file))
        with pytest.raises(kind, match=re.escape(file)):
            open_model(choice, broken)
    with pytest.raises(DataError, match="no readable image"):
        open_model(ModelChoice(name=str(folder)), broken)


def test_missing_weights_are_said_before_missing_data(tmp_path: Path) -> None:
    choice = ModelChoice(name="cnngraph:lenet5", weights=str(tmp_path / "gone.pt"))
    with pytest.raises(NotFoundError, match="There is no weights file"):
        open_model(choice, DataChoice(name=f"folder:{tmp_path}/nowhere"))


def test_only_the_wanted_parts_are_decoded(folder: Path, broken: DataChoice) -> None:
    assert open_model(ModelChoice(name=str(folder)), broken, parts=()).data.classes == [str(n) for n in range(10)]
    with pytest.raises(DataError):
        open_model(ModelChoice(name=str(folder)), broken, parts=("test",))
