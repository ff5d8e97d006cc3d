"""What a job asks of a net before anything long: refused in one line, or said, before an image is decoded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from cnngraph import save
from cnngraph.errors import ModelError
from cnngraph.sources.classifier import examine
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice, open_model

NETS = """
import torch
from torch import nn
from torch.nn import functional as F

class Body(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv, self.fc, self.aux = nn.Conv2d(3, 6, 3), nn.Linear(6, classes), nn.Linear(6, classes)

    def features(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))

class Pair(Body):
    def forward(self, x):
        f = self.features(x)
        return f, self.fc(f)

class Named(Body):
    def forward(self, x):
        f = self.features(x)
        return {"logits": self.fc(f), "features": f}

class Maps(Body):
    def forward(self, x):
        return self.conv(x)

class Two(Body):
    def forward(self, x):
        f = self.features(x)
        return self.fc(f), self.aux(f)

class Nothing(Body):
    def forward(self, x):
        return None

class Binary(Body):
    def forward(self, x):
        return self.fc(self.features(x))[:, 0]

class Answers(Body):
    def forward(self, x):
        return self.fc(self.features(x)).argmax(1)

class Few(Body):
    def __init__(self, classes=10):
        super().__init__(3)

    def forward(self, x):
        return self.fc(self.features(x))

class Always(Body):
    def forward(self, x):
        return self.fc(F.dropout(self.features(x), 0.2))
"""
REFUSED = {
    "Maps": r"no matrix of logits \(images, 10\): for 4 images it is output \(4, 6, 30, 30\)",
    "Two": r"2 matrices that may be its logits: output\[0\] \(4, 10\) and output\[1\] \(4, 10\)",
    "Nothing": "it holds no tensor, it is a NoneType",
    "Binary": r"for 4 images it is output \(4\) float32",
    "Answers": "int64",
    "Few": "The net has 3 outputs, but the data has 10 classes",
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A module that is found on the path."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "examined_nets.py").write_text(NETS)
    sys.path.insert(0, str(folder))
    try:
        yield "python:examined_nets"
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def broken(tmp_path: Path) -> DataChoice:
    """Ten classes of files that are no images: whoever decodes one, fails."""
    for digit in range(10):
        (tmp_path / "data" / str(digit)).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "data" / str(digit) / f"{number}.png").write_text(f"no image {digit} {number}")
    return DataChoice(name=f"folder:{tmp_path}/data")


@pytest.mark.parametrize("net", REFUSED)
def test_what_is_no_classifier_is_refused_before_an_image_is_decoded(net: str, nets: str, broken: DataChoice) -> None:
    for required in ("classifier", "sound"):
        with pytest.raises(ModelError, match=REFUSED[net]) as caught:
            open_model(ModelChoice(name=f"{nets}:{net}", size=32), broken, required=required)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("net", REFUSED)
def test_where_no_logits_are_read_it_is_said(net: str, nets: str, capsys: pytest.CaptureFixture[str]) -> None:
    digits = DataChoice(name="digits", images_per_class=3)
    open_model(ModelChoice(name=f"{nets}:{net}", size=32), digits, required="none")
    said = capsys.readouterr().err
    assert said.startswith("warning: The net")
    assert "It can be mapped and measured" in said


@pytest.mark.parametrize(("net", "taken"), [("Pair", "output[1]"), ("Named", "output['logits']")])
def test_the_one_that_can_be_meant_is_taken_and_said(
    net: str, taken: str, nets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = DataChoice(name="digits", images_per_class=3)
    open_model(ModelChoice(name=f"{nets}:{net}", size=32), digits, required="sound")
    assert f"{taken} is taken" in capsys.readouterr().err


def test_a_random_net_is_said_and_where_it_is_to_be_proven_refused(
    nets: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = DataChoice(name="digits", images_per_class=3)
    choice = ModelChoice(name=f"{nets}:Always", size=32)
    opened = open_model(choice, digits)
    said = capsys.readouterr().err
    assert "Every figure of it is one draw" in said
    assert "F.dropout(self.features(x), 0.2)" in said
    folder = save(opened.model, tmp_path / "net", preprocessing=opened.preprocessing, classes=opened.data.classes)
    with pytest.raises(ModelError, match=r"other outputs .*random numbers are drawn .*examined_nets\.py:\d+"):
        open_model(ModelChoice(name=str(folder)), digits, required="sound")


def test_the_net_and_the_random_state_stay(nets: str) -> None:
    opened = open_model(ModelChoice(name=f"{nets}:Pair", size=32), DataChoice(name="digits", images_per_class=3))
    state = torch.get_rng_state()
    opened.model.train()
    examine(opened.model, (3, 32, 32), 10, "classifier")
    assert opened.model.training
    assert torch.equal(state, torch.get_rng_state())
