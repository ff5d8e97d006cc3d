"""The plots of a bench: every point stands where its figures say, and names cover neither each other nor marks."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree as ET

import pytest

from cnngraph.errors import OptionError
from cnngraph.reporting.bench_axes import Axis, Box, LabelPlacer, apart
from cnngraph.reporting.bench_marks import styles_of
from cnngraph.reporting.bench_plots import draw_plot, key_of, write_picture
from tests.benches import METHODS, bench_result, full_result, point

BUDGET = "macs=0.5"


def drawn(svg: str, tag: str, **named: str) -> list[ET.Element]:
    """The elements of an SVG with these attributes."""
    return [one for one in ET.fromstring(svg).iter(tag) if all(one.get(key) == value for key, value in named.items())]


def middle(mark: ET.Element) -> tuple[float, float]:
    """Where a mark stands: the middle of its box, good to a pixel or two."""
    corners = [tuple(map(float, pair.split(","))) for pair in mark.attrib["points"].split()]
    return tuple((min(axis) + max(axis)) / 2 for axis in zip(*corners, strict=True))


def marks(svg: str, said: str) -> list[ET.Element]:
    return [one for one in drawn(svg, "polygon") if said in (one.findtext("title") or "")]


def test_marks_stand_where_the_figures_say() -> None:
    figures = [(1.0, 0.80), (2.0, 0.90), (3.0, 0.95)]
    points = [point("filters", BUDGET, seed, latency_ms=x, accuracy=y) for seed, (x, y) in enumerate(figures)]
    svg = draw_plot(bench_result(points, [BUDGET]), BUDGET, "latency_ms")
    places = [middle(mark) for seed in range(3) for mark in marks(svg, f"seed {seed};")]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.3)
    assert (y0 - y1) / (y1 - y2) == pytest.approx(2.0, abs=0.02)
    (mean,) = (middle(mark) for mark in marks(svg, "mean of 3"))
    assert mean[0] == pytest.approx(
        x0 + (3 / fmean((1, 1 / 2, 1 / 3)) / 3 - 1) * (x1 - x0), abs=0.3
    )  # of the speed-ups
    assert mean[1] == pytest.approx(fmean((y0, y1, y2)), abs=0.3)
    ticks = {one.text: float(one.get("x", 0)) for one in drawn(svg, "text") if one.get("y") == "369"}
    assert ticks["1"] == pytest.approx(x0, abs=0.3)
    assert ticks["3"] == pytest.approx(x2, abs=0.3)


def test_nets_stand_at_their_speed_ups_whatever_the_hour() -> None:
    busy = point("car", BUDGET, 0, latency_ms=9.0, parent_latency_ms=18.0, speedup=2.0)
    quiet = point("imp", BUDGET, 0, latency_ms=1.6, parent_latency_ms=3.2, speedup=2.0)
    svg = draw_plot(bench_result([busy, quiet], [BUDGET]), BUDGET, "latency_ms")
    (a,), (b,) = marks(svg, "car, macs=0.5, seed 0;"), marks(svg, "imp, macs=0.5, seed 0;")
    assert middle(a)[0] == pytest.approx(middle(b)[0], abs=0.3)
    assert "9.000 ms; 2.00 times as fast" in str(a.findtext("title"))


def test_seeds_that_were_not_asked_for_are_pale() -> None:
    points = [point("car", BUDGET, seed) for seed in range(3)]
    svg = draw_plot(bench_result(points, [BUDGET], seed=2), BUDGET, "weights")
    assert len(drawn(svg, "polygon", opacity="0.3")) == 2
    assert len(marks(svg, "mean of 1")) == 1


def test_bars_and_bands_are_as_long_as_the_standard_deviation() -> None:
    points = [point("filters", BUDGET, seed, latency_ms=1.0 + seed, accuracy=0.8 + 0.05 * seed) for seed in range(3)]
    points += [point("control", None, seed, accuracy=0.9 + 0.01 * seed) for seed in range(3)]
    svg = draw_plot(bench_result(points, [BUDGET]), BUDGET, "latency_ms")
    heights = [middle(mark)[1] for seed in range(3) for mark in marks(svg, f"seed {seed};")]
    scale = (heights[0] - heights[1]) / 0.05
    (bar,) = drawn(svg, "path", **{"class": "spread"})
    low, high = (float(bar.attrib["d"].split("V")[part].split("M")[-1 + part].split()[part - 1]) for part in (0, 1))
    assert low - high == pytest.approx(2 * 0.05 * scale, abs=0.3)
    (band,) = drawn(svg, "rect", **{"class": "band"})
    assert float(band.attrib["height"]) == pytest.approx(2 * 0.01 * scale, abs=0.3)


def test_no_point_is_lost_and_those_of_the_budget_stand_out() -> None:
    result = full_result()
    for against in ("latency_ms", "weights"):
        svg = draw_plot(result, BUDGET, against)
        made = [one for one in result["points"] if one["accuracy"] is not None and one["method"] != "control"]
        assert len(marks(svg, "; accuracy")) == len(made)
        pale = [one.findtext("title") for one in drawn(svg, "polygon", opacity="0.3")]
        assert len(pale) == sum(1 for one in made if one["budget"] != BUDGET)
        assert all(BUDGET not in str(said) for said in pale)
        assert len(marks(svg, "mean of")) == len(METHODS) + 1
        assert [one.text for one in drawn(svg, "text") if float(one.get("x", 0)) > 462] == [
            "parent",
            "control",
            "scratch",
        ]
        assert len(drawn(svg, "line", **{"class": "beside"})) == 3
        assert len(drawn(svg, "path", **{"class": "parent"})) == 1


def test_what_does_not_meet_the_budget_is_hollow_and_masks_are_ringed() -> None:
    result = full_result()
    svg = draw_plot(result, BUDGET, "weights")
    hollow = {str(one.findtext("title")).split(",")[0] for one in drawn(svg, "polygon", fill="#ffffff")}
    assert {"imp"} <= hollow <= {"imp", "car"}
    (ring,) = drawn(svg, "circle", **{"class": "nonzero"})
    (imp,) = (middle(mark) for mark in marks(svg, "imp, macs=0.5, mean"))
    assert float(ring.attrib["cx"]) == pytest.approx(imp[0], abs=1)
    others = [middle(mark)[0] for mark in marks(svg, "car, macs=0.5, mean")]
    assert imp[0] == pytest.approx(others[0], abs=40)  # at its weights, not at those of the whole net
    assert "; 270,896 parameters;" in str(marks(svg, "imp, macs=0.5, seed 0;")[0].findtext("title"))
    assert drawn(draw_plot(result, BUDGET, "latency_ms"), "circle", **{"class": "nonzero"}) == []
    said = [entry.name for entry in key_of(result, BUDGET)]
    assert [*said[:1], *said[-3:]] == [
        "multilayer",
        "hollow: does not meet the budget",
        "ringed: at its weights that are not zero",
        "pale: of other budgets or seeds",
    ]
    small = bench_result([point("car", BUDGET, 0)], [BUDGET])
    assert [entry.name for entry in key_of(small, BUDGET)] == ["car"]


def test_names_cover_neither_each_other_nor_the_means() -> None:
    for against in ("latency_ms", "weights"):
        svg = draw_plot(full_result(), "speedup=2", against)
        boxes = []
        for name in drawn(svg, "text", **{"class": "name"}):
            x, y = float(name.attrib["x"]), float(name.attrib["y"])
            boxes.append(Box(x, y - 10, x + 6 * len(str(name.text)), y + 2))
        assert len(boxes) >= 6
        assert not any(one.meets(other) for one, other in combinations(boxes, 2))
        places = [middle(mark) for mark in marks(svg, "mean of")]
        assert not any(Box(x - 5, y - 5, x + 5, y + 5).meets(box) for x, y in places for box in boxes)


def test_a_name_without_room_is_left_out() -> None:
    placer = LabelPlacer(Box(0, 0, 100, 100))
    placer.keep_free(50, 50, 50)
    assert placer.place("name", 50, 50) is None


def test_axes() -> None:
    assert Axis(0.0, 1.0, 0, 100).ticks() == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    wide = Axis.over([1_000, 1_000_000], 0, 100, may_be_log=True)
    assert wide.log
    assert wide.place(1_000_000) - wide.place(100_000) == pytest.approx(wide.place(100_000) - wide.place(10_000))
    assert set(wide.ticks()) >= {1_000, 10_000, 100_000, 1_000_000}
    alone = Axis.over([0.5], 0, 100)
    assert alone.place(0.5) == pytest.approx(50)
    assert Axis.over([0.0], 0, 10).place(0.0) == pytest.approx(5)
    assert apart([5.0, 5.0, 5.0], 4.0) == [1.0, 5.0, 9.0]


def test_methods_are_told_apart_without_colour() -> None:
    styles = styles_of([*METHODS, "scratch", "mine", "yours"])
    assert len({style.shape for style in styles.values()}) == len(styles)
    assert len({style.colour for style in styles.values()}) == len(styles)


def test_the_picture_is_one_svg_with_both_plots_of_each_budget(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "bench.svg", full_result())
    root = ET.parse(path).getroot()
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert (
        texts.count("milliseconds a forward pass: the whole net's over the speed-up") == texts.count("parameters") == 2
    )
    assert {"ada/digits: macs=0.5", "ada/digits: speedup=2", "multilayer"} <= set(texts)
    assert "http" not in path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    with pytest.raises(OptionError, match=r"is no \.svg file"):
        write_picture(tmp_path / "bench.png", full_result())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bench.svg"]


def test_nothing_to_draw_is_no_plot() -> None:
    nothing = bench_result([point("car", BUDGET, 0, accuracy=None)], [BUDGET])
    assert draw_plot(nothing, BUDGET, "latency_ms") == ""
