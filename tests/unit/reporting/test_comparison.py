"""The page of a comparison: hostile names are text, nothing comes from outside, what was removed is red."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from torch import nn

from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.matched_layers import Kinship, match_layers
from cnngraph.reporting.comparison import ComparisonPage, ShownImage, write_comparison
from cnngraph.reporting.layer_rows import Group, TwoNets, group_rows
from cnngraph.reporting.similarity_plots import CurvePoint, colour_of, draw_curve, draw_heat_map, ink_on
from cnngraph.similarity.layers import compared_layers

EVIL = "<script>alert('a & \"b\"')</script>"


def chain(widths: tuple[int, ...], kernel: int = 3, gone: int | None = None) -> nn.Sequential:
    net, before = nn.Sequential(), 1
    for number, width in enumerate(widths):
        if number == gone:
            net.add_module(f"conv{number}", nn.Identity())
            continue
        net.add_module(f"conv{number}", nn.Conv2d(before, width, kernel, padding=kernel // 2))
        net.add_module(f"relu{number}", nn.ReLU())
        before = width
    net.add_module("flat", nn.Flatten())
    net.add_module("head", nn.Linear(before * 16, 2))
    return net


def side_by_side(a: nn.Module, b: nn.Module, gone: set[str] | None = None) -> list[Group]:
    nets = [FollowedNet(net, (1, 4, 4)) for net in (a, b)]
    spots = compared_layers(nets[0]), compared_layers(nets[1])
    kinship = Kinship(related=True, gone=gone or set())
    pairs = match_layers(nets[0].graph, nets[1].graph, spots, kinship)
    values = {(pair.a, pair.b): 0.5 for pair in pairs if pair.a.startswith("relu")}
    return group_rows(TwoNets(nets[0].graph, nets[1].graph, (), pairs, values, related=True))


def result(**changes: Any) -> dict[str, Any]:
    row = {"layer_a": EVIL, "layer_b": "b", "matched_by": "name", "value": 0.25, "null": 0.125, "points": 64}
    row |= {"images": 8, "ratio": 2.0, "kept_a": 3, "kept_b": 2, "channels_a": 4, "channels_b": 4, "reason": ""}
    judged = {"part": "test", "images": 4, "taken_from": EVIL, "trained_on": "no"}
    figures = {"accuracy": 0.5, "kappa": 0.25, "precision": 0.5, "recall": 0.5, "images_from": judged}
    return {
        "a": {"name": EVIL, "parameters": 10, "macs": 20, "file_bytes": 30, "latency_ms": 1.5, **figures},
        "b": {"name": "b", "parameters": 5, "macs": 10, "file_bytes": 20, "latency_ms": 1.0, **figures},
        "made_of_a": True,
        "similarity": "cka",
        "sentence": EVIL,
        "notes": [EVIL],
        "layers": [row],
        "all_pairs": [row],
        "at_least": None,
        "classes": [{"class": EVIL, "images": 4, "a": 0.5, "b": 0.25, "change": -0.25}],
        "disagreements": {"count": 2, "images": 4, "a_right": 1, "b_right": 0, "listed": []},
        "not_judged": "",
        "judged_note": "",
    } | changes


def written(folder: Path, groups: list[Group], **changes: Any) -> str:
    shown = [ShownImage(b"png", EVIL, EVIL, "a", "b", "neither")]
    curve = [CurvePoint(EVIL, 0.25, 0.5, 0.125), CurvePoint("next", 0.5, None, None), CurvePoint("c", 1.0, 0.75, 0.25)]
    page = ComparisonPage(result(**changes), groups, curve, ([EVIL], ["b"]), shown)
    return write_comparison(folder / "page.html", page).read_text(encoding="utf-8")


def test_what_became_of_each_layer() -> None:
    a, b = chain((2, 4, 4)), chain((2, 3, 3), gone=2)
    rows = [row for group in side_by_side(a, b, {"conv2", "relu2"}) for row in group.rows]
    fates = {(row.a or row.b).layer: (row.fate, row.change) for row in rows}  # type: ignore[union-attr]
    assert fates["conv0"] == ("same", "")
    assert fates["conv1"] == ("resized", "4 → 3")
    assert fates["conv2"] == ("gone", "")
    assert fates["relu2"] == ("gone", "")
    assert fates["head"] == ("resized", "reads 64 → 48")
    assert [row.a.layer for row in rows if row.a] == ["input", *dict(a.named_children())]
    assert all(row.a is not None for row in rows)  # an identity stands for nothing
    back = [row for group in side_by_side(b, a, {"conv2", "relu2"}) for row in group.rows]
    assert [row.b.layer for row in back if row.fate == "new" and row.b] == ["conv2", "relu2"]
    other = [row for group in side_by_side(chain((2, 4)), chain((2, 4), kernel=1)) for row in group.rows]
    assert {row.change for row in other if row.fate == "replaced"} == {"3x3 → 1x1"}


def test_other_designs_stand_beside_each_other_and_nothing_is_red(tmp_path: Path) -> None:
    nets = [FollowedNet(net, (1, 4, 4)) for net in (chain((2, 4)), chain((2, 4, 4, 4)))]
    spots = compared_layers(nets[0]), compared_layers(nets[1])
    pairs = [pair for pair in match_layers(nets[0].graph, nets[1].graph, spots) if pair.a in ("input", "relu1", "head")]
    pairs = [replace(pair, matched_by="depth") for pair in pairs]
    groups = group_rows(TwoNets(nets[0].graph, nets[1].graph, (), pairs, {("relu1", "relu1"): 0.5}, related=False))
    rows = [row for group in groups for row in group.rows]
    assert {row.fate for row in rows} == {"placed"}
    for side in "ab":
        shown = [layer.layer for row in rows if (layer := getattr(row, side)) is not None]
        assert shown == [layer.layer for layer in nets["ab".index(side)].graph.layers]
    assert len(rows) == len(nets[1].graph.layers)
    only = [result()["layers"][0] | {"matched_by": "depth"}]
    html = written(tmp_path, groups, layers=only, made_of_a=False)
    assert 'class="line gone"' not in html
    assert "different designs" in html


def test_groups_say_what_is_in_them() -> None:
    groups = side_by_side(chain((2, 4, 4)), chain((2, 3, 3), gone=2), {"conv2", "relu2"})
    assert [group.title for group in groups] == ["4 x 4", "without places"]
    assert groups[0].changed
    assert groups[0].counts == {"gone": 2, "resized": 2}
    assert groups[0].least == 0.5


def test_hostile_names_are_text_and_nothing_comes_from_outside(tmp_path: Path) -> None:
    html = written(tmp_path, side_by_side(chain((2, 4)), chain((2, 4))))
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") > 10
    assert html.count("<script>") == 1  # our own
    assert set(re.findall(r'(?:src|href)="(.{5})|(url\(|@import)', html)) == {("data:", "")}
    assert "http" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ET.fromstring(svg)


def test_removed_is_red_and_the_words_say_by_whom(tmp_path: Path) -> None:
    groups = side_by_side(chain((2, 4, 4)), chain((2, 3, 3), gone=2), {"conv2", "relu2"})
    html = written(tmp_path, groups)
    assert html.count('class="line gone"') == 2
    assert "2 removed" in html
    assert "0.500" in html  # the value stands on its colour
    assert colour_of(0.5) in html
    strangers = written(tmp_path, groups, made_of_a=False)
    assert "2 only in a" in strangers
    assert "2 removed" not in strangers


def test_what_was_not_judged_or_not_defined(tmp_path: Path) -> None:
    row = result()["layers"][0] | {"value": None, "null": None}
    bound = {"bound": 0.9, "reached": False, "failed": [row]}
    groups = side_by_side(chain((2,)), chain((2,)))
    html = written(tmp_path, groups, layers=[row], not_judged="Not judged: why.", at_least=bound)
    assert "not defined" in html
    assert "Not judged: why." in html
    assert "Images on which they disagree" not in html
    assert 'class="verdict bad"' in html


def test_the_curve_leaves_gaps_and_the_heat_map_frames_counterparts() -> None:
    points = [CurvePoint("a", 0.0, 0.5, 0.1), CurvePoint("b", 0.5, None, None), CurvePoint("c", 1.0, -0.5, 0.0)]
    svg = ET.fromstring(draw_curve(points))
    assert len(svg.findall("circle")) == 4
    assert svg.findall("polyline") == []
    assert draw_curve([CurvePoint("a", 0.0, None, None)]) == ""
    heat = draw_heat_map(["a", "b"], ["c"], {("a", "c"): 0.25, ("b", "c"): None}, {("a", "c")})
    cells = ET.fromstring(heat).findall("rect")
    assert [cell.get("fill") for cell in cells] == [colour_of(0.25), "#ffffff"]
    assert [cell.get("stroke") for cell in cells] == ["#c0392b", None]


@pytest.mark.parametrize("value", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_a_value_can_be_read_on_its_colour(value: float) -> None:
    """A contrast of 4.5 to 1, as WCAG 2 asks of text."""
    parts = [int(colour_of(value)[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    contrast = 1.05 / (luminance + 0.05) if ink_on(value) == "#fff" else (luminance + 0.05) / 0.05
    assert contrast >= 4.5


def test_two_hundred_layers_stay_a_small_page(tmp_path: Path) -> None:
    wide = tuple(2 for _ in range(100))
    groups = side_by_side(chain(wide), chain(wide))
    assert sum(len(group.rows) for group in groups) > 200
    html = written(tmp_path, groups)
    assert len(html) < 300_000
    names = [f"layer{number}" for number in range(200)]
    heat = draw_heat_map(names, names, dict.fromkeys(((one, two) for one in names for two in names), 0.5), set())
    assert len(heat) < 8_000_000
