"""Bundles: an exact round trip, and every damage noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cnngraph import trace
from cnngraph.errors import ConflictError, NotFoundError, SpecError
from cnngraph.files import file_sha256
from cnngraph.network import bundle
from cnngraph.network.bundle import is_bundle, model_folder, read_bundle, write_bundle
from cnngraph.network.tables import LATER, MEASURED, SCHEMAS, Network
from tests.toynets import toy


@pytest.fixture(scope="module")
def network() -> Network:
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return trace(toy("residual"), [(images, torch.tensor([0, 1] * 3))], kernels=True)


def test_round_trip(network: Network, tmp_path: Path) -> None:
    folder = write_bundle(network, tmp_path / "deep" / "net")
    again = read_bundle(folder)
    assert again.details == network.details
    for name, table in network.tables().items():
        assert again.tables()[name].equals(table), name
    assert is_bundle(folder) and model_folder(folder) is None
    assert sorted(path.name for path in folder.parent.iterdir()) == ["net"]


def test_a_saved_model_travels_inside(network: Network, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "model.json").write_text("{}")
    folder = write_bundle(network, tmp_path / "net", model=saved)
    inside = model_folder(folder)
    assert inside is not None and (inside / "model.json").read_text() == "{}"
    with pytest.raises(NotFoundError, match="no saved model"):
        write_bundle(network, tmp_path / "other", model=tmp_path / "nothing")
    assert not (tmp_path / "other").exists()


def test_the_same_again_writes_nothing_and_other_content_is_refused(network: Network, tmp_path: Path) -> None:
    folder = write_bundle(network, tmp_path / "net")
    before = (folder / "network.json").stat().st_mtime_ns
    write_bundle(network, folder)
    assert (folder / "network.json").stat().st_mtime_ns == before
    other = network.with_details(dataset="digits")
    with pytest.raises(ConflictError, match="another bundle"):
        write_bundle(other, folder)
    assert read_bundle(folder).details.dataset == ""
    write_bundle(other, folder, replace=True)
    assert read_bundle(folder).details.dataset == "digits"
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_folder_with_other_things_is_left_alone(network: Network, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ConflictError, match="no bundle"):
        write_bundle(network, tmp_path, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    (tmp_path / "empty").mkdir()
    assert is_bundle(write_bundle(network, tmp_path / "empty"))


def test_a_failure_half_way_leaves_nothing(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(bundle, "file_sha256", fails)
    with pytest.raises(OSError, match="no space"):
        write_bundle(network, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_contradicts_itself_is_not_written(network: Network, tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        write_bundle(network.with_details(view="channels"), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def spoil_card(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "network.json").read_text())
        for key, value in changes.items():
            card[key] = value
        (folder / "network.json").write_text(json.dumps(card))

    return change


def spoil_details(folder: Path) -> None:
    text = (folder / "network.json").read_text()
    (folder / "network.json").write_text(text.replace('"source": "activation"', '"source": "output"'))


def rehashed(folder: Path, name: str, table: pa.Table) -> None:
    """Replace a table and its hash, as somebody would who edits a bundle with care."""
    pq.write_table(table, folder / f"{name}.parquet")
    card = json.loads((folder / "network.json").read_text())
    card["tables"][name]["sha256"] = file_sha256(folder / f"{name}.parquet")
    (folder / "network.json").write_text(json.dumps(card))


def dangling(folder: Path) -> None:
    arcs = pa.table({"source": [1], "target": [10**6]}, schema=SCHEMAS["arcs"])
    rehashed(folder, "arcs", arcs)


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "arcs.parquet").unlink(), "no table arcs"),
    (lambda folder: (folder / "arcs.parquet").write_bytes(b"PAR1"), r"arcs.parquet is damaged"),
    (lambda folder: (folder / "network.json").unlink(), "no bundle"),
    (lambda folder: (folder / "network.json").write_text("{"), "not JSON"),
    (lambda folder: (folder / "network.json").write_bytes(b"\xff\xfe"), "not JSON"),
    (lambda folder: (folder / "network.json").write_text("[]"), "it is no JSON object"),
    (spoil_card(format="zip"), "not the card"),
    (spoil_card(version=2), "version 2"),
    (spoil_card(version="1"), "version 1"),
    (spoil_card(tables=[]), "no tables"),
    (spoil_card(details={"architecture": "x"}), "not those of a network"),
    (spoil_details, "not the ones that were written"),
    (dangling, "table arcs, column target, row 0"),
    (lambda folder: rehashed(folder, "arcs", pa.table({"source": ["a"]})), "cannot be read as the table arcs"),
]


@pytest.mark.parametrize(("damage", "match"), DAMAGES)
def test_damage_is_noticed(network: Network, tmp_path: Path, damage: Callable[[Path], object], match: str) -> None:
    folder = write_bundle(network, tmp_path / "net")
    damage(folder)
    with pytest.raises(SpecError, match=match):
        read_bundle(folder)


def test_a_missing_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no bundle"):
        read_bundle(tmp_path / "net")


def test_a_bundle_of_an_earlier_version_lacks_later_tables(network: Network, tmp_path: Path) -> None:
    folder = write_bundle(network, tmp_path / "net")
    card = json.loads((folder / "network.json").read_text())
    for name in LATER - MEASURED:  # a net that was not measured has none of these anyhow
        (folder / f"{name}.parquet").unlink()
        del card["tables"][name]
    (folder / "network.json").write_text(json.dumps(card))
    again = read_bundle(folder)
    assert again.layers.equals(network.layers)
    assert [getattr(again, name).num_rows for name in LATER] == [0] * len(LATER)
