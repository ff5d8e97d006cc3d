"""What a Model node says of the net as a whole, and the fingerprint that tells the same inputs from others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.database.rows import camel
from cnngraph.errors import SpecError
from cnngraph.network.tables import LATER, MEASURED, Details, Network
from cnngraph.validation import read_object

__all__ = ["details_of", "fingerprint", "json_property", "model_properties"]

_AS_JSON = ("recipe", "preprocessing", "inputs")


def fingerprint(network: Network) -> str:
    """A hash of everything that decided the network: its details with ``inputs``, and its sizes.

    Where ``inputs`` is empty (an import, a live net) the tables themselves are hashed.
    """
    digest = hashlib.sha256()
    digest.update(_json({"details": asdict(network.details), "counts": network.counts()}).encode())
    if not network.details.inputs:
        for name, table in network.tables().items():
            if name == "blocks":  # stages were found later than the other kinds, in nets that were stored without any
                table = table.filter(pc.not_equal(table["kind"], "stage"))
            if name in MEASURED or (name in LATER and not table.num_rows):
                continue  # what was written before there was such a table is not another network for that
            digest.update(name.encode())
            _update(digest, table)
    return digest.hexdigest()


def model_properties(network: Network, *, saved_sha256: str | None, sha256: str | None) -> dict[str, Any]:
    """The Model node's properties: :class:`Details` in camelCase, objects as JSON; nothing for ``None``."""
    properties: dict[str, Any] = {camel(name): value for name, value in asdict(network.details).items()}
    for name in _AS_JSON:
        if properties[name] is not None:
            properties[name] = _json(properties[name])
    properties["inputShape"] = list(network.details.input_shape)
    properties |= {"savedSha256": saved_sha256, "sha256": sha256, "fingerprint": fingerprint(network)}
    return {name: value for name, value in properties.items() if value is not None}


def details_of(properties: dict[str, Any]) -> Details:
    """The inverse of :func:`model_properties`.

    Raises:
        SpecError: a property is no JSON object, or missing: somebody changed it.
    """
    values: dict[str, Any] = {}
    for entry in fields(Details):
        value = properties.get(camel(entry.name))
        if value is None:
            continue
        values[entry.name] = json_property(properties, entry.name) if entry.name in _AS_JSON else value
    try:
        values["input_shape"] = tuple(values["input_shape"])
        return Details(**values)
    except (KeyError, TypeError) as error:
        raise SpecError(
            f"The Model node {properties.get('key', '')} does not say what it was written with ({error}).",
            "Somebody removed a property: ingest the model again.",
        ) from error


def json_property(properties: Mapping[str, Any], name: str, *, node: str = "Model") -> dict[str, Any]:
    """The object in a node's property that holds JSON (recipe, preprocessing, inputs of a Model); {} where it has none.

    Raises:
        SpecError: the property is no JSON object: somebody changed it.
    """
    if properties.get(name) is None:
        return {}

    def fail(_why: str) -> SpecError:
        where = f"The property {name} of the {node} node {properties.get('key', '')}"
        return SpecError(f"{where} is no JSON object.", "Somebody changed it: ingest the model again.")

    return read_object(str(properties[name]), fail)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _update(digest: Any, table: pa.Table) -> None:
    """Feed the values of a table, however it is chunked or sliced."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        for batch in table.combine_chunks().to_batches():
            stream.write_batch(batch)
    digest.update(sink.getvalue())
