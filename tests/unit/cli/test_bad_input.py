"""What is wrong on the command line, or with a model, data or file: one clear line, the documented exit code.

None of these needs a database; those that do are in tests/db/test_bad_input.py.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cnngraph import save
from cnngraph.models.registry import build

Run = Callable[..., Any]

USAGE = [
    (["mesure"], "measure"),
    (["list", "--jsn"], "--json"),
    (["measure", "x", "-m", "degre"], "Did you mean degree?"),
    (["measure", "x", "--aggregate", "meen"], "Did you mean mean"),
    (["measure", "x", "--engine", "gpu"], "engine"),
    (["plan", "x", "--method", "multilayr"], "Did you mean multilayer?"),
    (["plan", "x", "-m", "pagerak"], "Did you mean pagerank or map-pagerank?"),
    (["plan", "x", "--threshold", "nan"], "is out of range"),
    (["plan", "x", "--threshold", "-1"], "is out of range"),
    (["plan", "x", "--threshold", "inf"], "is out of range"),
    (["plan", "x", "--threshold", "many"], "valid number"),
    (["plan", "x", "--remove", "0"], "--remove 0 is out of range"),
    (["plan", "x", "--threshold", "0.3", "--remove-layer", "a"], "No such option"),
    (["plan", "x", "--ratio", "0"], "a number above 0 and below 1"),
    (["plan", "x", "--ratio", "1"], "a number above 0 and below 1"),
    (["plan", "x", "--ratio", "nan"], "a number above 0 and below 1"),
    (["prune", "x", "--ratio", "-0.3"], "a number above 0 and below 1"),
    (["plan", "x", "--ratio", "0.3", "--round-to", "0"], "--round-to 0 is less than 1"),
    (["plan", "x", "--ratio", "0.3", "--at-least", "0"], "--at-least 0 is less than 1"),
    (["plan", "x", "--ratio", "0.3", "--score", "strenght"], "Did you mean strength?"),
    (["plan", "x", "--ratio", "0.3", "--scope", "layers"], "Did you mean layer?"),
    (["plan", "x", "--ratio", "0.3", "--measure", "degree"], "--measure belongs to the method multilayer"),
    (
        ["plan", "x", "--ratio", "0.3", "--threshold", "0.3"],
        "--threshold belongs to the methods multilayer and similarity",
    ),
    (
        ["plan", "x", "--method", "multilayer", "--ratio", "0.3"],
        "--ratio belongs to the methods filters, random, car and progressive",
    ),
    (["plan", "x", "--method", "filters"], "One of these is needed: --ratio"),
    (["plan", "x", "--score", "taylor"], "One of these is needed: --ratio"),
    (["prune", "x", "--ratio", "0.3", "--remove-layer", "a"], "exclude"),
    (["prune", "x"], "--method"),
    (["prune", "x", "--method", "multilayer"], "--threshold, --remove, --max-accuracy-drop"),
    (["prune", "x", "--plan", "p.json", "--threshold", "1"], "--plan and --threshold exclude"),
    (["prune", "x", "--plan", "p.json", "--run", "k"], "exclude"),
    (["prune", "x", "--remove-layer", "a", "--init", "least"], "least-squares"),
    (["prune", "x", "--remove-layer", "a", "--as", "no good"], "no valid model name"),
    (["ingest", "cnngraph:vgg16", "--data", "digits", "--name", "no good"], "no valid model name"),
    (["ingest", "cnngraph:vgg16", "--data", "digits", "--name", "a/b/c"], "no valid model name"),
    (["ingest", "cnngraph:vgg16", "--data", "digits"], "--name"),
    (["ingest", "cnngraph:vgg16", "--data", "digits", "--name", "x", "--connections", "top:0"], "top:K"),
    (["ingest", "cnngraph:vgg16", "--data", "digits", "--name", "x", "--patch", "men"], "mean"),
    (["ingest", "cnngraph:vgg16", "--data", "digits", "--name", "x", "--mean", "nan"], "--mean"),
    (["ingest", "cnngraph:vgg16", "--data", "digits", "--name", "x", "--only-classes", " "], "names nothing"),
    (["evaluate", "cnngraph:vgg16", "--data", "digits", "--weights-key", "ema"], "--weights-key belongs to --weights"),
    (["evaluate", "x", "--data", "digits", "--weights", "pretrained", "--weights-key", "ema"], "--weights-key belongs"),
    (["export", "x", "--format", "gefx", "--out", "x"], "Did you mean gexf?"),
    (["train", "cnngraph:vgg16", "--data", "digits", "--out", "x", "--epochs", "0"], "epochs"),
    (["train", "cnngraph:vgg16", "--data", "digits", "--out", "x", "--device", "tpu"], "device"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), USAGE, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_wrong_on_the_command_line(command: Run, arguments: list[str], said: str) -> None:
    done = command(*arguments)
    assert done.code == 2, done.err
    assert said in done.err.replace("\n", " ")
    assert "Traceback" not in done.err


OUT = [
    ["plan", "x", "--ratio", "0.3", "--out"],
    ["prune", "x", "--ratio", "0.3", "--out"],
    ["prune", "x", "--ratio", "0.3", "--to-bundle"],
    ["train", "cnngraph:vgg16", "--data", "digits", "--out"],
    ["ingest", "cnngraph:vgg16", "--data", "digits", "--to-bundle"],
    ["export", "x", "--format", "onnx", "--out"],
    ["latency", "x", "--out"],
    ["rebuild", "x", "--from-graph", "--out"],
    ["report", "x", "--out"],
]


@pytest.mark.parametrize("arguments", OUT, ids=" ".join)
def test_a_place_that_nothing_can_be_written_to_is_said_first(
    command: Run, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    done = command(*arguments, tmp_path / "file" / "sub" / "new")
    assert done.code == 2, done.err
    assert "nothing can be written into" in done.err.replace("\n", " ")


def test_a_fault_of_the_file_system_is_one_line(command: Run, tmp_path: Path) -> None:
    """The folder is there and may be written; the file in it may not: its name is too long for any."""
    saved = save(build("cnngraph:lenet5", classes=2, in_channels=1), tmp_path / "net")
    out = tmp_path / ("long" * 100)
    done = command("export", saved, "--format", "safetensors", "--out", out)
    assert done.code == 1
    assert "File name too long" in done.err
    assert "fault in cnngraph" not in done.err


MISSING = [
    (["train", "cnngraph:vgg17", "--data", "digits", "--out", "x"], "cnngraph:vgg1"),
    (["train", "vgg16", "--data", "digits", "--out", "x"], "cnngraph:vgg16"),
    (["train", "cnngraph:vgg16", "--data", "digts", "--out", "x"], "Did you mean digits?"),
    (["train", "cnngraph:vgg16", "--data", "folder:nowhere", "--out", "x"], "nowhere"),
    (["train", "python:no.such.module:net", "--data", "digits", "--out", "x"], "no.such.module"),
    (["evaluate", "nowhere/model", "--data", "digits"], "nowhere/model"),
    (
        ["train", "cnngraph:lenet5", "--weights", "nowhere.safetensors", "--data", "digits", "--out", "x"],
        "nowhere.safetensors",
    ),
    (["query", "overvew", "--model", "x"], "overview"),
    (["list", "--profile", "team"], "team"),
    (["ingest", "nowhere", "--name", "x"], "nowhere"),
    (["import", "cnn2multilayer", "nowhere.gexf", "--classes", "a.csv", "--name", "x"], "a.csv"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), MISSING, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_named_but_not_there(command: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.code == 3, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "{}", "--data", "digits"],
        ["train", "{}", "--data", "digits", "--out", "new"],
        ["ingest", "{}", "--data", "digits", "--name", "x"],
        ["ingest", "{}", "--name", "x"],
        ["evaluate", "cnngraph:lenet5", "--data", "digits", "--weights", "{}"],
        ["prune", "{}", "--ratio", "0.3"],
        ["prune", "{}", "--remove-layer", "a", "--to-bundle", "new"],
        ["show", "{}"],
        ["verify", "{}"],
        ["latency", "{}"],
        ["export", "{}", "--format", "safetensors", "--out", "new"],
    ],
    ids=" ".join,
)
def test_a_file_that_is_no_model_is_named_by_its_first_bytes(
    command: Run, tmp_path: Path, arguments: list[str]
) -> None:
    pointer = tmp_path / "net.pt"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", encoding="utf-8")
    done = command(*(argument.format(pointer) for argument in arguments), cwd=tmp_path)
    assert done.code == 1, done.err
    assert f"{pointer} is a git-lfs pointer, not the weights themselves." in done.err
    assert "git lfs pull" in done.err
    assert "Traceback" not in done.err


def _images(folder: Path, classes: dict[str, int]) -> Path:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (32, 32), (i * 8 % 256, 100, 50)).save(folder / name / f"{i}.png")
    return folder


def _train(command: Run, tmp_path: Path, *arguments: object, model: str = "cnngraph:lenet5") -> Any:
    done = command("train", model, "--out", tmp_path / "out", "--epochs", 1, *arguments, cwd=tmp_path)
    assert done.code == 1, (done.out, done.err)
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()
    return done


def test_folder_with_one_class(command: Run, tmp_path: Path) -> None:
    done = _train(command, tmp_path, "--data", f"folder:{_images(tmp_path / 'data', {'a': 8})}")
    assert "class" in done.err


def test_empty_folder(command: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert "data" in _train(command, tmp_path, "--data", f"folder:{tmp_path / 'data'}").err


def test_empty_class(command: Run, tmp_path: Path) -> None:
    folder = _images(tmp_path / "data", {"a": 8, "b": 8})
    (folder / "c").mkdir()
    assert "c" in _train(command, tmp_path, "--data", f"folder:{folder}").err


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n", b""])
def test_broken_image(command: Run, tmp_path: Path, content: bytes) -> None:
    folder = _images(tmp_path / "data", {"a": 8, "b": 8})
    (folder / "a" / "3.png").write_bytes(content)
    assert "3.png" in _train(command, tmp_path, "--data", f"folder:{folder}").err


def test_truncated_image(command: Run, tmp_path: Path) -> None:
    folder = _images(tmp_path / "data", {"a": 8, "b": 8})
    whole = (folder / "a" / "3.png").read_bytes()
    (folder / "a" / "3.png").write_bytes(whole[: len(whole) // 2])
    assert "3.png" in _train(command, tmp_path, "--data", f"folder:{folder}").err


def test_fewer_images_than_asked(command: Run, tmp_path: Path) -> None:
    folder = _images(tmp_path / "data", {"a": 8, "b": 8})
    assert "100" in _train(command, tmp_path, "--data", f"folder:{folder}", "--images-per-class", 100).err


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.path,))


def test_a_pickle_is_never_executed(command: Run, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    (tmp_path / "model.pt").write_bytes(pickle.dumps(_Bomb(trace)))
    _train(command, tmp_path, "--data", "digits", "--weights", tmp_path / "model.pt")
    assert not trace.exists()


FACTORIES = {
    "raises": "def net(classes):\n    raise RuntimeError('out of cheese')\n",
    "is no module": "def net(classes):\n    return 42\n",
    "has no convs": (
        "from torch import nn\n"
        "def net(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, classes))\n"
    ),
    "cannot be followed": (
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 4, 3)\n"
        "        self.head = nn.Linear(4, classes)\n"
        "    def forward(self, x):\n"
        "        y = self.conv(x)\n"
        "        if y.sum() > 0:\n"
        "            y = -y\n"
        "        return self.head(y.mean((2, 3)))\n"
        "net = Net\n"
    ),
}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "out of cheese"),
        ("is no module", "int"),
        ("has no convs", "conv"),
        ("cannot be followed", "mine.py:9"),
    ],
)
def test_bad_factory(command: Run, tmp_path: Path, fault: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(FACTORIES[fault])
    done = command(
        "ingest", "python:mine:net", "--data", "digits", "--size", 32, "--to-bundle", tmp_path / "bundle", cwd=tmp_path
    )
    assert done.code == 1, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "bundle").exists()


def test_verbose_shows_the_traceback(command: Run, tmp_path: Path) -> None:
    done = command("train", "cnngraph:vgg17", "--data", "digits", "--out", "x", "-v", cwd=tmp_path)
    assert done.code != 0
    assert "Traceback" in done.err


def test_a_saved_model_is_never_overwritten(command: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = command("train", "cnngraph:lenet5", "--data", "digits", "--out", tmp_path / "out")
    assert done.code == 1
    assert "exists" in done.err
