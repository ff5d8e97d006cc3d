"""Evidence about filters of a stored model, and the page of one that lost some: colour images, made here."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnngraph as cg
from cnngraph.errors import NotFoundError

pytestmark = pytest.mark.db

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def graph(command: Run, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[cg.Graph]:
    """``seen``: a narrow net, mapped with red and grey squares, and ``seen-slim``, which lost half of each layer."""
    folder = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    for name, colour in (("grey <b>", (200, 200, 200)), ("red", (230, 10, 10))):
        (folder / name).mkdir()
        for number in range(20):
            pixels = random.integers(0, 30, (32, 32, 3), dtype=np.uint8)
            top, left = random.integers(0, 24, 2)
            pixels[top : top + 8, left : left + 8] = colour
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    done = command(
        *("ingest", "cnngraph:vgg11", "--width", 0.125, "--size", 32, "--data", f"folder:{folder}"),
        *("--view", "channels", "--name", "seen"),
    )
    assert done.code == 0, done.err
    with cg.connect() as opened:
        opened.prune("seen", ratio=0.5, as_name="seen-slim", retrain=False)
        yield opened


def test_a_page_without_evidence_shows_what_it_can_and_says_the_command(graph: cg.Graph, tmp_path: Path) -> None:
    _, page = graph.report("seen-slim", tmp_path / "page.html")
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png") == 8  # the filters of the first layer
    assert "not known yet: cnngraph report seen-slim --pictures" in html
    assert [row["by"] for row in graph.colour_selective("seen-slim")] == ["weights"]


def test_evidence_is_gathered_once_and_read_from_then_on(
    graph: cg.Graph, session_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = graph.evidence("seen")
    folders = set((session_home / "work").glob("evidence-*"))
    assert found.folder in folders
    monkeypatch.setattr("cnngraph.evidence.collect.collect", None)  # it is not asked again
    again = graph.evidence("seen", ["features.3"])
    assert again.folder == found.folder
    assert set((session_home / "work").glob("evidence-*")) == folders
    top = again.top_images("features.0", 0)
    assert top == found.top_images("features.0", 0)
    assert {one.label for one in top} <= {"grey <b>", "red"}
    assert found.in_colour
    assert found.occurrence("features.0", 0).shape == (2, 32, 32)
    assert found.twins("features.0", 0)
    shown = np.asarray(Image.open(io.BytesIO(found.image(top[0].image_index))))
    assert shown.shape == (32, 32, 3)
    with pytest.raises(NotFoundError, match="no filter 99"):
        found.top_images("features.0", 99)
    with pytest.raises(NotFoundError, match=r"features\.98"):
        graph.evidence("seen", ["features.98"])


def test_images_that_were_replaced_are_looked_at_anew(graph: cg.Graph) -> None:
    first = graph.evidence("seen", ["features.0"], part="validation")
    path = Path(first.looked.images.name(0))
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert graph.evidence("seen", ["features.0"], part="validation").folder != first.folder
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert graph.evidence("seen", ["features.0"], part="validation").folder == first.folder


def test_half_a_pass_is_made_anew(graph: cg.Graph) -> None:
    found = graph.evidence("seen")
    maps = found.occurrence("features.3", 1)
    (found.folder / "evidence.json").unlink()  # written last: a process that was killed before
    (found.folder / "occurrence-1.npy").write_bytes(b"half")
    assert (graph.evidence("seen").occurrence("features.3", 1) == maps).all()


def test_the_page_shows_patches_and_counts_colours(command: Run, graph: cg.Graph, tmp_path: Path) -> None:
    done = command("report", "seen-slim", "--pictures", "--out", tmp_path / "page.html", "--json")
    assert done.code == 0, done.err
    rows = {row["layer"]: row for row in done.json["colour_selective"]}
    assert (rows["features.0"]["by"], rows["features.3"]["by"]) == ("weights", "answers")
    assert rows["features.0"]["filters"] == 8
    assert rows["features.0"]["first"] == 4
    assert 0 <= rows["features.3"]["selective_of_first"] <= rows["features.3"]["first"]
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "the 4 patches that excite each most" in html
    assert "--pictures" not in html
    sources = re.findall(r'<img src="data:image/png;base64,([^"]+)"', html)
    sizes = {Image.open(io.BytesIO(base64.b64decode(source))).size for source in sources}
    assert (96, 96) in sizes  # weights
    assert min(width for width, _ in sizes) < 32  # patches
    assert not re.search(r'(?:src|href)="(?!data:|#|http://(?:localhost|127\.0\.0\.1))', html)
