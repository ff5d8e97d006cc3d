"""Which layers of two nets are counterparts: by SURVIVES_AS, by name, by depth, and when a name says nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnngraph.network.graph import LayerGraph, follow
from cnngraph.network.matched_layers import Kinship, Spot, match_layers


@dataclass(frozen=True)
class Place:
    layer: str
    kind: str
    depth: float


class Sums(nn.Module):
    """Blocks whose sums are functions, so that their names count through the whole net."""

    def __init__(self, gone: int | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Identity() if number == gone else Block() for number in range(3))
        self.head = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv(x))


def chain(*convs: int, named: str = "") -> nn.Sequential:
    """Convs of these widths, each with a ReLU; a pool behind the first; dense at the end."""
    parts: dict[str, nn.Module] = {}
    width = 2
    for number, channels in enumerate(convs):
        parts[f"{named}conv{number}"] = nn.Conv2d(width, channels, 3, padding=1)
        parts[f"{named}relu{number}"] = nn.ReLU()
        if not number:
            parts[f"{named}pool"] = nn.MaxPool2d(2)
        width = channels
    parts |= {f"{named}mean": nn.AdaptiveAvgPool2d(1), f"{named}flat": nn.Flatten()}
    net = nn.Sequential()
    for name, part in (parts | {f"{named}head": nn.Linear(width, 2)}).items():
        net.add_module(name, part)
    return net


def followed(net: nn.Module) -> LayerGraph:
    return follow(net, (2, 8, 8))


def spots(graph: LayerGraph) -> list[Spot]:
    """Activations, pools and the last layer, with their depth."""
    total, sofar, found = sum(layer.macs for layer in graph.layers), 0, []
    for layer in graph.layers:
        sofar += layer.macs
        if layer.kind in ("Activation", "Pool") or layer is graph.layers[-1]:
            found.append(Place(layer.layer, layer.kind, sofar / total))
    return list(found)


def match(a: nn.Module, b: nn.Module, kinship: Kinship | None = None) -> dict[str, tuple[str, str]]:
    first, second = followed(a), followed(b)
    pairs = match_layers(first, second, (spots(first), spots(second)), kinship)
    return {pair.a: (pair.b, pair.matched_by) for pair in pairs}


def test_all_layers_of_the_same_design_have_their_name() -> None:
    found = match(chain(4, 4), chain(4, 3), Kinship(related=True))
    assert set(found.values()) == {(name, "name") for name in found}
    assert len(found) == len(followed(chain(4, 4)).layers)


def test_what_stands_in_the_place_of_a_layer_is_not_that_layer() -> None:
    found = match(chain(4, 4, 4), chain(4, 4, 4), Kinship(related=True, gone={"conv1", "relu1"}))
    assert "conv1" not in found
    assert "relu1" not in found  # nor does another layer stand for it, as deep as that may be
    assert found["relu2"] == ("relu2", "name")


def test_functions_are_counted_within_the_code_that_calls_them() -> None:
    found = match(Sums(), Sums(gone=1), Kinship(related=True, gone={"blocks.1"}))
    a, b = followed(Sums()), followed(Sums(gone=1))
    for one, (other, _) in found.items():
        assert a.layer(one).caller == b.layer(other).caller
    lost = {layer.caller for layer in a.layers if layer.layer not in found}
    assert lost == {"blocks.1"}
    third = next(layer.layer for layer in a.layers if layer.caller == "blocks.2" and layer.kind == "Add")
    assert found[third][0] != third  # add_2 of the one is add_1 of the other


def test_the_graph_says_what_survives() -> None:
    survives = {"conv0": "conv0", "relu0": "relu0", "head": "head"}
    found = match(chain(4, 4), chain(4, 4), Kinship(related=True, survives=survives))
    assert found["relu0"] == ("relu0", "survives_as")
    assert "relu1" not in found  # a module that the graph leaves out is not there any more


def test_other_designs_are_matched_by_depth_in_order() -> None:
    a, b = chain(4, 4), chain(4, 4, 4, 4, 4, named="x")
    found = match(a, b)
    assert found.pop("input") == ("input", "name")
    assert {rule for _, rule in found.values()} == {"depth"}
    assert found["head"] == ("xhead", "depth")
    order = [followed(b).by_name[other].index for other, _ in found.values()]
    assert order == sorted(order)
    assert found["mean"] == ("xmean", "depth")
    assert list(found) == ["relu0", "pool", "relu1", "mean", "head"]


def renamed(net: nn.Sequential, names: dict[str, str]) -> nn.Sequential:
    found = nn.Sequential()
    for name, part in net.named_children():
        found.add_module(names.get(name, name), part)
    return found


def test_strangers_names_count_where_most_agree_and_depth_fills_the_gaps() -> None:
    assert match(chain(4, 4), chain(4, 4, 4))["relu1"] == ("relu1", "name")
    found = match(renamed(chain(4, 4, 4), {"relu1": "other"}), chain(4, 4, 4))
    assert found["other"] == ("relu1", "depth")
    assert found["relu2"] == ("relu2", "name")


def test_few_names_in_common_say_nothing() -> None:
    b = renamed(chain(4, 4, 4, 4, named="x"), {"xrelu3": "relu1"})
    found = match(chain(4, 4), b)
    assert found.pop("input") == ("input", "name")
    assert {rule for _, rule in found.values()} == {"depth"}


class Twice(nn.Module):
    """One ReLU, called twice, or the second time alone."""

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.conv1, self.conv2, self.relu = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.ReLU()
        self.head, self.whole = nn.Linear(2, 2), whole

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.relu(x + self.conv2(self.relu(x) if self.whole else x))
        return self.head(x.mean((2, 3)))


def test_where_one_call_of_a_module_is_gone_its_name_says_nothing() -> None:
    a, b = (follow(Twice(whole), (2, 4, 4)) for whole in (True, False))
    spots = tuple([Place("relu", "Activation", 0.5), Place("head", "Linear", 1.0)] for _ in range(2))
    pairs = match_layers(a, b, (spots[0], spots[1]), Kinship(related=True))
    assert [pair.a for pair in pairs] == ["input", "conv1", "conv2", "add", "mean", "head"]
