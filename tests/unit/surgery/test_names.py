"""Parts of a net may have any name: words of Python, quotes, blanks, what the names of second calls look like."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import cnngraph as cg
from cnngraph import trace
from cnngraph.errors import TraceError
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery import saved
from cnngraph.surgery.apply import apply
from cnngraph.surgery.check import removable, removable_blocks
from cnngraph.surgery.exported import exported
from cnngraph.surgery.verify import verify
from tests.unit.surgery.nets import batches, images, plan, seeded

SHAPE = (3, 12, 12)
WORDS = ("class", "global", "lambda", "None", "import", "def", "is", "it's", 'a "b"', "a b", "3x3", "__odd__")
OTHERS = ("größe", "a-b", "a/b", "new\nline", "back\\slash", "a#2", "b#x", "{x}", "print(1)", "self", "input", "x")
NAMES = WORDS + OTHERS


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("class", nn.Conv2d(4, 4, 3, padding=1))
        self.add_module("a norm", nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.get_submodule("a norm")(self.get_submodule("class")(x)))


class Named(nn.Module):
    """A conv of each name, a residual block, and weights and buffers of the net's own."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("a stem", nn.Conv2d(3, 4, 3, 2, 1))
        self.parts = nn.ModuleDict({name: nn.Conv2d(4, 4, 3, padding=1) for name in NAMES})
        self.blocks = nn.ModuleDict({"yield": _Block(), "or#2": _Block()})
        self.register_parameter("from", nn.Parameter(torch.ones(4, 1, 1)))
        self.register_buffer("it's", torch.zeros(4, 1, 1))
        self.heads = nn.ModuleDict({"class": nn.Linear(4, 2)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.get_submodule("a stem")(x) * getattr(self, "from") + getattr(self, "it's")
        for name in NAMES:
            x = torch.relu(self.parts[name](x))
        x = self.blocks["or#2"](self.blocks["yield"](x))
        return self.heads["class"](x.mean((2, 3)))  # type: ignore[no-any-return]


def test_names_are_those_of_the_net_and_everything_can_go() -> None:
    net = seeded(Named)
    graph = follow(net, SHAPE)
    convs = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    assert [layer.layer for layer in graph.convs] == convs
    assert removable(graph) == dict.fromkeys(convs)
    assert removable_blocks(graph) == {"blocks.yield": None, "blocks.or#2": None}
    assert trace(net, batches(SHAPE, 1, 8)).layers["layer"].to_pylist()[-1] == "heads.class"


@pytest.mark.parametrize("name", NAMES)
def test_a_conv_of_each_name_goes(name: str) -> None:
    net = seeded(Named)
    slim = apply(net, plan(f"parts.{name}"), input_shape=SHAPE)
    assert not isinstance(slim.parts[name], nn.Conv2d)  # type: ignore[index]
    filters = Plan(removes=(Removal(layer=f"parts.{name}", kind="filters", filters=(1, 2)),))
    thin = apply(net, filters, input_shape=SHAPE)
    assert thin.parts[name].weight.shape[0] == 2  # type: ignore[index, union-attr]
    assert slim(images(2, *SHAPE)).shape == thin(images(2, *SHAPE)).shape == (2, 2)


def test_what_is_left_has_its_whole_proof_and_is_saved_and_opened(tmp_path: Path) -> None:
    net = seeded(Named)
    what = plan('parts.a "b"', "parts.new\nline", blocks=["blocks.or#2"])
    slim = apply(net, what, input_shape=SHAPE)
    found = verify(net, slim, what, input_shape=SHAPE)
    assert (found.failures, found.save_load, found.export) == ((), True, True)
    cg.save(slim, tmp_path / "net")
    x = images(2, *SHAPE)
    assert torch.equal(saved.load(tmp_path / "net")(x), slim.eval()(x))


class _TwoSpellings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name: nn.Conv2d(3, 3, 1) for name in ("class", "class_", "a\nb", 'a"b')})

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts.values():
            x = part(x)
        return x


def test_an_exported_net_runs_and_no_two_of_its_names_become_one(tmp_path: Path) -> None:
    net, x = seeded(_TwoSpellings), images(2, *SHAPE)
    program = exported(net, x)
    assert sorted(program.state_dict)[:3] == ["parts.a_b_.bias", "parts.a_b_.weight", "parts.a_b__.bias"]
    assert {"parts.class_.bias", "parts.class__.bias"} <= set(program.state_dict)
    torch.export.save(program, tmp_path / "net.pt2")
    assert torch.equal(torch.export.load(tmp_path / "net.pt2").module()(x), net(x))


class _Kept(nn.Module):
    """A part by the name under which torch.fx keeps its own graph."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Conv2d(3, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self._modules[self.name](x).mean((2, 3))  # type: ignore[misc, no-any-return]


@pytest.mark.parametrize("name", ["graph", "code", "meta", "recompile"])
def test_a_name_that_torch_fx_keeps_is_said_in_one_line(name: str) -> None:
    with pytest.raises(TraceError, match=f"its part {name} has a name that torch.fx keeps for itself") as caught:
        follow(_Kept(name), SHAPE)
    assert caught.value.hint == f"Give it another one, such as {name}_."
