"""``python:``: the user's own factories, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cnngraph.errors import ModelError, NotFoundError, UsageError
from cnngraph.models.registry import build
from cnngraph.origin import Origin, get_origin

SOURCE = """\
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

def fixed():
    return Tiny(6)

def keyword(*, classes=4):
    return Tiny(classes)

def raises(classes):
    if classes:
        raise ValueError("no such colour")

def library_raises(classes):
    return nn.Conv2d(3, 4, 3, groups=2)

def text(classes):
    return "a net"

def poisoned(classes):
    model = Tiny(classes)
    nn.init.constant_(model.fc.bias, float("nan"))
    return model

def lazy(classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(classes))

def empty(classes):
    return Tiny(classes).to("meta")

def compiled(classes):
    return torch.compile(Tiny(classes))

def parallel(classes):
    return nn.DataParallel(Tiny(classes))

number = 7
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a module into the current folder; it is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    modules = __import__("sys").modules

    def module(name: str, source: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        for known in (name, name.partition(".")[0]):
            modules.pop(known, None)

    return module


def test_factories_get_the_classes_or_nothing(write: Callable[[str, str], None]) -> None:
    write("shop.nets", SOURCE)
    model = build("python:shop.nets:Tiny", classes=3, size=40)
    assert model.fc.out_features == 3
    options = {"classes": 3, "in_channels": 3, "size": 40}
    assert get_origin(model) == Origin(architecture="python:shop.nets:Tiny", options=options)
    assert build("python:shop.nets:fixed", classes=3).fc.out_features == 6
    assert build("python:shop.nets:keyword", classes=3).fc.out_features == 4


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("raises", r"raised ValueError: no such colour \(own_nets.py, line 21\)"),
        ("library_raises", r"raised ValueError: in_channels must be divisible by groups \(own_nets.py, line 24\)"),
        ("text", r"returned str, not a torch.nn.Module"),
        ("number", r"is no function or class but int"),
        ("poisoned", r"NaN or infinite values in fc.bias"),
        ("lazy", r"The weight 0.weight has no shape yet"),
        ("empty", r"The weight conv.weight is on the meta device"),
    ],
)
def test_bad_factories_are_named_with_the_line(write: Callable[[str, str], None], factory: str, message: str) -> None:
    write("own_nets", SOURCE)
    with pytest.raises(ModelError, match=message):
        build(f"python:own_nets:{factory}", classes=3)


@pytest.mark.parametrize("factory", ["compiled", "parallel"])
def test_what_a_factory_wraps_is_unwrapped(write: Callable[[str, str], None], factory: str) -> None:
    """Else its weights would have other names than those that are saved of it."""
    write("own_nets", SOURCE)
    assert type(build(f"python:own_nets:{factory}", classes=3)).__name__ == "Tiny"


def test_unknown_modules_and_factories(write: Callable[[str, str], None]) -> None:
    write("own_nets", SOURCE)
    with pytest.raises(NotFoundError, match="no Python module 'not_there'"):
        build("python:not_there:make", classes=3)
    with pytest.raises(NotFoundError, match="has no factory 'fixt'") as caught:
        build("python:own_nets:fixt", classes=3)
    assert caught.value.hint == "Did you mean fixed?"


@pytest.mark.parametrize("path", ["own_nets", "own_nets:", ":make", "own-nets:make", "own nets:make"])
def test_a_path_that_names_no_factory(path: str) -> None:
    with pytest.raises(UsageError, match="names no factory"):
        build(f"python:{path}", classes=3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import not_installed_here\n", r"Importing bad_nets raised ModuleNotFoundError.*\(bad_nets.py, line 1\)"),
        ("x = 1\n1 / 0\n", r"Importing bad_nets raised ZeroDivisionError.*\(bad_nets.py, line 2\)"),
        ("def make(:\n", r"Importing bad_nets raised SyntaxError.*\(bad_nets.py, line 1\)"),
    ],
)
def test_a_module_that_cannot_be_imported(write: Callable[[str, str], None], source: str, message: str) -> None:
    write("bad_nets", source)
    with pytest.raises(ModelError, match=message):
        build("python:bad_nets:make", classes=3)
