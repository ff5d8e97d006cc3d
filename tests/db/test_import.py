"""Published class networks through the command into the database, and what the command says of bad files."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database.connection import Database
from cnngraph.database.reader import read_network
from cnngraph.measures.registry import measure
from cnngraph.network.cnn2multilayer import read_gexf

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "cnn2multilayer-cifar10"


@pytest.fixture(scope="module")
def imported(database: Database, command: Callable[..., Any], golden: Path) -> dict[str, Any]:
    """What ``import`` says of the golden network, which then is the model ``import-golden``."""
    done = command(*arguments(golden, "import-golden"), "--json")
    assert done.code == 0, done.err
    return dict(done.json)


def arguments(folder: Path, name: str) -> list[str]:
    classes = str(folder / "class_*.csv")
    return ["import", "cnn2multilayer", str(folder / "graph.gexf.gz"), "--classes", classes, "--name", name]


def test_counts(imported: dict[str, Any]) -> None:
    expected = {"layers": 13, "feature_maps": 0, "connections": 0, "positions": 2318, "arcs": 17877, "classes": 10}
    assert {name: imported[name] for name in expected} == expected
    assert imported["model"] == "tester/import-golden"


def test_read_back_is_what_the_files_say(database: Database, imported: dict[str, Any], golden: Path) -> None:
    stored = read_network(database, imported["model"])
    published = read_gexf(golden / "graph.gexf.gz", [str(golden / "class_*.csv")])
    assert stored.details == published.details
    assert all(stored.tables()[name].equals(table) for name, table in published.tables().items())


def test_degree(database: Database, imported: dict[str, Any]) -> None:
    """The reference and the thetas of the README beside the golden data."""
    thetas = "1130.3432 1087.9515 606.1157 84.9759 96.8071 17.9203 5.2695 7.8913 1.0518 0.3207 0.2702 0.3456 0.0686"
    found = measure(database, imported["model"], "degree")
    assert found.reference == pytest.approx(0.342350, abs=5e-7)
    assert [theta for _, _, theta in found.layers] == pytest.approx(list(map(float, thetas.split())), abs=5e-5)


def test_entropy(database: Database, imported: dict[str, Any]) -> None:
    """The reference, and which layers leave at which threshold, of the README beside the golden data."""
    found = measure(database, imported["model"], "entropy")
    assert found.reference == pytest.approx(2.726149, abs=5e-7)
    gone = {
        threshold: [
            layer.replace("block", "b").replace("_conv", "c") for layer, _, theta in found.layers if theta < threshold
        ]
        for threshold in (0.90, 0.95, 1.05, 1.15, 1.20, 1.25, 1.45, 1.50)
    }
    assert gone[0.90] == []
    assert gone[0.95] == ["b5c1", "b5c2", "b5c3"]
    assert gone[1.05] == ["b4c3", "b5c1", "b5c2", "b5c3"]
    assert gone[1.15] == ["b4c2", "b4c3", "b5c1", "b5c2", "b5c3"]
    assert gone[1.20] == ["b3c1", "b4c1", "b4c2", "b4c3", "b5c1", "b5c2", "b5c3"]
    assert [len(gone[threshold]) for threshold in (1.25, 1.45, 1.50)] == [11, 12, 13]


def test_the_same_again_and_other_files(
    database: Database, command: Callable[..., Any], imported: dict[str, Any], golden: Path, tmp_path: Path
) -> None:
    again = command(*arguments(golden, "import-golden"), "--json")
    assert again.code == 0, again.err
    assert {name: again.json[name] for name in ("positions", "arcs")} == {"positions": 2318, "arcs": 17877}
    fewer = [
        *arguments(golden, "import-golden")[:3],
        "--classes",
        str(golden / "class_3.csv"),
        "--name",
        "import-golden",
    ]
    refused = command(*fewer)
    assert refused.code == 1
    assert "--replace" in refused.err
    assert database.read("MATCH (c:Class {model: $key}) RETURN count(c) AS n", key=imported["model"]) == [{"n": 10}]


def damaged(folder: Path, golden: Path, fault: str) -> None:
    """A copy of the golden files with one fault."""
    shutil.copytree(golden, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    graph, sheet = folder / "graph.gexf.gz", folder / "class_4.csv"
    text = gzip.decompress(graph.read_bytes()).decode()
    lines = sheet.read_text().splitlines(keepends=True)
    match fault:
        case "truncated gzip":
            graph.write_bytes(graph.read_bytes()[:50_000])
        case "truncated XML":
            graph.write_bytes(gzip.compress(text[: len(text) // 2].encode()))
        case "unknown id in an arc":
            graph.write_bytes(gzip.compress(text.replace('target="2318"', 'target="2319"').encode()))
        case "entity bomb":
            doctype = '<!DOCTYPE gexf [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><gexf'
            graph.write_bytes(gzip.compress(text.replace("<gexf", doctype, 1).encode()))
        case "class missing":
            sheet.unlink()
        case "class truncated":
            sheet.write_text("".join(lines[:1000]))
        case "unknown id in a class":
            sheet.write_text("".join([*lines, "9999,1.0\n"]))
        case "not numeric":
            sheet.write_text("".join([*lines[:-1], "2314,high\n"]))
        case "NaN":
            sheet.write_text("".join([*lines[:-1], "2314,nan\n"]))


@pytest.mark.parametrize(
    "fault",
    [
        "truncated gzip",
        "truncated XML",
        "unknown id in an arc",
        "entity bomb",
        "class missing",
        "class truncated",
        "unknown id in a class",
        "not numeric",
        "NaN",
    ],
)
def test_bad_files(command: Callable[..., Any], database: Database, golden: Path, tmp_path: Path, fault: str) -> None:
    damaged(tmp_path / "copy", golden, fault)
    done = command(*arguments(tmp_path / "copy", "import-bad"))
    assert done.code == 1
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) <= 2, done.err
    assert database.read("MATCH (m:Model {key: 'tester/import-bad'}) RETURN m") == []


def test_absent_files(command: Callable[..., Any], database: Database, tmp_path: Path) -> None:
    done = command(*arguments(tmp_path, "import-bad"))
    assert done.code == 3
    assert "Traceback" not in done.err
