"""The files of a :class:`SplitRecord`, eight bytes each: ``split.safetensors`` by a saved model, text in one file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cnngraph.datasets.split_record import CODES, SplitRecord
from cnngraph.errors import ModelError

__all__ = ["SPLIT_FILE", "keys_as_text", "keys_from_text", "read_keys", "write_keys"]

SPLIT_FILE = "split.safetensors"

Keys = dict[str, NDArray[np.uint64]]


def write_keys(split: SplitRecord, path: Path) -> None:
    """Write the hashes of the files of each part; a part without files is an empty tensor."""
    save_file({part: np.ascontiguousarray(split.keys[part]) for part in CODES if part in split.keys}, path)


def read_keys(split: SplitRecord, path: Path) -> SplitRecord:
    """``split`` with what :func:`write_keys` wrote; where the file is not there, one that proves nothing.

    Raises:
        ModelError: the file is damaged, or another model's.
    """
    if not path.is_file():
        return split.model_copy(update={"proven": False})
    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a readable safetensors file.", "Copy or save the model again.") from error
    return _with_keys(split, found, str(path))


def keys_as_text(split: SplitRecord) -> str:
    """The same as JSON: base64 of little-endian uint64 by part."""
    return json.dumps(
        {part: base64.b64encode(keys.astype("<u8").tobytes()).decode("ascii") for part, keys in split.keys.items()}
    )


def keys_from_text(split: SplitRecord, text: str | None, where: str) -> SplitRecord:
    """``split`` with what :func:`keys_as_text` wrote; without a text, one that proves nothing. Raises as that."""
    if text is None:
        return split.model_copy(update={"proven": False})
    try:
        found = {
            str(part): np.frombuffer(base64.b64decode(keys, validate=True), dtype="<u8").astype(np.uint64)
            for part, keys in json.loads(text).items()
        }
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"The split in {where} is not readable.", "Export the model again.") from error
    return _with_keys(split, found, where)


def _with_keys(split: SplitRecord, found: Keys, where: str) -> SplitRecord:
    whole = {part: found.get(part, np.empty(0, dtype=np.uint64)) for part in CODES}
    if SplitRecord.of(whole, rule=split.rule, data=split.data).sha256 != split.sha256:
        raise ModelError(
            f"{where} is not the split that was saved: its sha256 differs.", "Copy or save the model again."
        )
    return split.model_copy(update={"keys": whole})
