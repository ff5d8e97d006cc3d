"""The user's own training function: what it gets, what may come back, and what is refused."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from cnngraph.datasets.images import Images
from cnngraph.errors import ModelError, NotFoundError, UsageError
from cnngraph.training.fit import Recipe
from cnngraph.training.own_trainer import OwnTrainer, find_trainer
from tests.conftest import ROOT

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.01, seed=3)
Write = Callable[[str], OwnTrainer]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module ``own`` into the current folder and find its ``fit``."""

    def made(source: str) -> OwnTrainer:
        (tmp_path / "own.py").write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(source))
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "own", raising=False)
        monkeypatch.syspath_prepend(str(tmp_path))
        return find_trainer("own:fit")

    yield made
    sys.modules.pop("own", None)


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))


def run(trainer: OwnTrainer, model: nn.Module, train: Images, validation: Images | None = None) -> float:
    return trainer.fit(model, train, validation, RECIPE, "cpu")


def test_it_gets_what_the_documentation_says(write: Write, train: Images, validation: Images) -> None:
    trainer = write(
        """
        seen = {}
        def fit(model, train_loader, validation_loader, **options):
            seen.update(options, training=model.training, random=torch.rand(1).item())
            first, second = list(train_loader), list(train_loader)
            seen["batches"] = [len(labels) for _, labels in first]
            seen["shuffled"] = not torch.equal(first[0][1], second[0][1])
            seen["types"] = (first[0][0].dtype, tuple(first[0][0].shape), first[0][1].dtype)
            seen["validation"] = sum(len(labels) for _, labels in validation_loader)
        """
    )
    model = net().eval()
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    seconds = run(trainer, model, train, validation)
    assert torch.equal(torch.rand(1), expected)
    seen = sys.modules["own"].seen
    options = {name: seen[name] for name in ("epochs", "batch_size", "learning_rate", "device", "seed")}
    assert options == {
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.01,
        "device": torch.device("cpu"),
        "seed": 3,
    }
    assert (seen["training"], seen["shuffled"], seen["validation"]) == (True, True, 40)
    assert seen["batches"] == [16] * 6  # 97 images: a last batch of one would break batch norm
    assert seen["types"] == (torch.float32, (16, 1, 12, 12), torch.int64)
    torch.manual_seed(3)
    assert seen["random"] == torch.rand(1).item()
    assert not model.training
    assert seconds > 0


@pytest.mark.parametrize("ending", ["return None", "return model", "return nn.DataParallel(model)"])
def test_trained_in_place_or_returned(write: Write, train: Images, ending: str) -> None:
    trainer = write(
        f"""
        def fit(model, train_loader, validation_loader, *, epochs):
            assert validation_loader is None
            with torch.no_grad():
                model[4].bias.copy_(torch.tensor([1.0, epochs]))
            {ending}
        """
    )
    model = net()
    run(trainer, model, train)
    assert model[4].bias.tolist() == [1.0, 2.0]
    assert torch.equal(model[0].weight, net()[0].weight)


def test_another_net_of_that_structure_gives_its_weights_alone(write: Write, train: Images) -> None:
    trainer = write(
        """
        import copy
        def fit(model, train_loader, validation_loader):
            other = copy.deepcopy(model)
            other[1].running_mean.fill_(7)
            other.forward = lambda x: x
            return other
        """
    )
    model = net()
    run(trainer, model, train)
    assert model[1].running_mean.tolist() == [7.0] * 4
    assert model.eval()(torch.zeros(1, 1, 12, 12)).shape == (1, 2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 3", r"returned int, not a torch\.nn\.Module"),
        ("model[4] = nn.Linear(256, 3)", r"changed the architecture: 4\.weight was \(2, 256\) and is \(3, 256\)"),
        ("model.append(nn.Linear(2, 2))", r"changed the architecture: 5\.weight was not there and is \(2, 2\)"),
        ("return model[:4]", r"changed the architecture: 4\.weight was \(2, 256\) and is not there"),
        ("raise ValueError('too hot\\nsecond line')", r"raised ValueError: too hot \(own\.py, line 5\)"),
        ("raise SystemExit(3)", r"raised SystemExit: 3 \(own\.py, line 5\)"),
        (
            "nn.init.constant_(model[4].bias, float('nan'))",
            r"trainer own:fit left has 2 NaN or infinite",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_line(write: Write, train: Images, body: str, said: str) -> None:
    trainer = write(f"\ndef fit(model, train_loader, validation_loader):\n    {body}\n")
    with pytest.raises(ModelError, match=said) as caught:
        run(trainer, net(), train)
    assert "\n" not in caught.value.message


def test_what_it_prints_is_no_result(write: Write, train: Images, capsys: pytest.CaptureFixture[str]) -> None:
    run(write("def fit(model, train_loader, validation_loader): print('epoch 1')"), net(), train)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "epoch 1\n")


def test_another_source_is_another_trainer(write: Write) -> None:
    first = write("def fit(model, train_loader, validation_loader): pass")
    second = write("def fit(model, train_loader, validation_loader): return None")
    assert len({first.sha256, second.sha256, ""}) == 3


def test_what_is_no_trainer(write: Write) -> None:
    with pytest.raises(ModelError, match="cannot be called as a trainer"):
        write("def fit(model): pass")
    with pytest.raises(NotFoundError, match="has no trainer 'fitt'"):
        find_trainer("own:fitt")
    with pytest.raises(NotFoundError, match="no Python module 'nowhere'"):
        find_trainer("nowhere:fit")
    with pytest.raises(UsageError, match="own names no trainer"):
        find_trainer("own")


def test_the_example_of_the_documentation_learns(
    train: Images, validation: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnngraph.training.evaluate import evaluate

    monkeypatch.syspath_prepend(str(ROOT / "tests" / "examples"))
    model = net()
    trainer = find_trainer("my_trainer:fit")
    trainer.fit(model, train, validation, Recipe(epochs=6, batch_size=16, learning_rate=3e-3), "cpu")
    assert evaluate(model, validation, device="cpu").accuracy > 0.9
