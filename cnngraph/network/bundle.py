"""A bundle: one Network as a folder, the door between a machine with a GPU and a machine with a database.

    BUNDLE/network.json       format, version, details, counts, sha256 of every table
    BUNDLE/layers.parquet     one Parquet file a table of ``cnngraph.network.tables.SCHEMAS``
    BUNDLE/model/             the saved model (weights.safetensors, model.json), where one was given

It is written beside its place and renamed into it, so that a folder of that name is always a whole bundle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cnngraph.errors import ConflictError, NotFoundError, SpecError, explain
from cnngraph.files import file_sha256
from cnngraph.network import spec
from cnngraph.network.tables import KERNEL, LATER, MEASURED, SCHEMAS, Details, Network, empty_table
from cnngraph.validation import read_object

__all__ = ["FORMAT", "VERSION", "is_bundle", "model_folder", "read_bundle", "write_bundle"]

FORMAT = "cnngraph-bundle"
VERSION = 1
_CARD = "network.json"
_MODEL = "model"
_HINT = "Write it again with cnngraph ingest --to-bundle, or fetch an undamaged copy."


def is_bundle(folder: Path | str) -> bool:
    """Whether ``folder`` looks like a bundle; :func:`read_bundle` says whether it is sound."""
    return (Path(folder) / _CARD).is_file()


def model_folder(folder: Path | str) -> Path | None:
    """The saved model inside a bundle, or ``None`` where the bundle has none."""
    inside = Path(folder) / _MODEL
    return inside if inside.is_dir() else None


def write_bundle(
    network: Network, folder: Path | str, model: Path | str | None = None, *, replace: bool = False
) -> Path:
    """Write ``network`` as a bundle and return its folder.

    ``model`` is the folder of a saved model to take into the bundle. A bundle that is there with the same content is
    left as it is.

    Raises:
        SpecError: the network contradicts itself.
        NotFoundError: there is no folder ``model``.
        ConflictError: ``folder`` is there with other content (``replace=True`` replaces a bundle), or is no bundle.
    """
    spec.check(network)
    target = Path(folder)
    if model is not None and not Path(model).is_dir():
        raise NotFoundError(f"There is no saved model {model}.", "Give the folder that cnngraph train or save wrote.")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _fill(network, made)
        if model is not None:
            shutil.copytree(model, made / _MODEL)
        made.chmod(0o755)
        _put(made, target, replace)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return target


def read_bundle(folder: Path | str) -> Network:
    """Read and check a bundle.

    Raises:
        NotFoundError: there is no such folder.
        SpecError: it is no bundle, a file is missing or damaged, its version is newer, or its spec fails.
    """
    source = Path(folder)
    if not source.is_dir():
        raise NotFoundError(f"There is no bundle {source}.", "Write one with cnngraph ingest --to-bundle DIR.")
    card = _read_card(source)
    tables = {name: _read_table(source, name, card["tables"].get(name)) for name in SCHEMAS}
    return spec.check(Network(details=_read_details(source, card), **tables))


def _fill(network: Network, folder: Path) -> None:
    tables = {}
    for name, table in network.tables().items():
        if name in MEASURED and not table.num_rows:
            continue
        path = folder / f"{name}.parquet"
        pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")
        tables[name] = {"rows": table.num_rows, "sha256": file_sha256(path)}
    details = asdict(network.details)
    card = {
        "format": FORMAT,
        "version": VERSION,
        "details": details,
        "details_sha256": _details_sha256(details),
        "counts": network.counts(),
        "tables": tables,
    }
    (folder / _CARD).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _put(made: Path, target: Path, replace: bool) -> None:
    """Rename ``made`` to ``target``; a bundle that was there goes only when its successor is in its place."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not is_bundle(target))):
        raise ConflictError(f"{target} is there and is no bundle.", "Give a folder that is not there yet.")
    if not is_bundle(target):
        made.replace(target)
        return
    if _content(made) == _content(target):
        return
    if not replace:
        raise ConflictError(f"There is another bundle in {target}.", "Give another folder, or replace it (--replace).")
    aside = made.with_name(f"{made.name}.old")
    target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside)


def _content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / _CARD
    if not path.is_file():
        raise SpecError(f"{folder} is no bundle: it has no {_CARD}.", _HINT)
    card = read_object(path.read_bytes(), lambda why: SpecError(f"{path} is damaged: {why}.", _HINT))
    if card.get("format") != FORMAT:
        raise SpecError(f"{path} is not the card of a bundle.", _HINT)
    if not isinstance(card.get("version"), int) or card["version"] > VERSION:
        raise SpecError(
            f"{folder} is a bundle of version {card.get('version')}; this program reads up to {VERSION}.",
            "Install a newer cnngraph.",
        )
    if not isinstance(card.get("tables"), dict) or not isinstance(card.get("details"), dict):
        raise SpecError(f"{path} is damaged: it has no tables or no details.", _HINT)
    return card


def _read_table(folder: Path, name: str, entry: object) -> pa.Table:
    path = folder / f"{name}.parquet"
    if entry is None and name in LATER and not path.exists():
        return empty_table(name)
    if not path.is_file() or not isinstance(entry, dict):
        raise SpecError(f"The bundle {folder} has no table {name}.", _HINT)
    if file_sha256(path) != entry.get("sha256"):
        raise SpecError(f"{path} is damaged: its sha256 is not the one in {_CARD}.", _HINT)
    try:
        table = pq.read_table(path)
        schema = SCHEMAS[name]
        if name == "connects" and KERNEL.name in table.column_names:
            schema = schema.append(KERNEL)
        return table.cast(schema)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise SpecError(f"{path} cannot be read as the table {name}: {explain(error)}.", _HINT) from error


def _read_details(folder: Path, card: dict[str, Any]) -> Details:
    details = dict(card["details"])
    known = {field.name for field in fields(Details)}
    shape = details.get("input_shape")
    if set(details) != known or not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise SpecError(f"{folder / _CARD} is damaged: its details are not those of a network.", _HINT)
    if _details_sha256(details) != card.get("details_sha256"):
        raise SpecError(f"{folder / _CARD} is damaged: the details are not the ones that were written.", _HINT)
    details["input_shape"] = tuple(shape)
    return Details(**details)


def _details_sha256(details: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(details, sort_keys=True).encode()).hexdigest()
