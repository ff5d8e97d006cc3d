"""A path that was given where a net is named, and is no saved model: what it is, and how to give it; without torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cnngraph.errors import CnngraphError, ModelError, NotFoundError
from cnngraph.models.weight_files import INDEXES, SUFFIXES, require_kind
from cnngraph.settings import split_key

__all__ = ["is_path", "not_a_model", "not_a_name", "require_stored_name"]

_DESCRIPTION, _BUNDLE = "model.json", "network.json"
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm")
_OTHERS = (
    ".onnx",
    ".pt2",
    ".h5",
    ".hdf5",
    ".keras",
    ".pb",
    ".tflite",
    ".npz",
    ".npy",
    ".pkl",
    ".pickle",
    ".gz",
    ".tar",
    ".py",
)
_FAMILY = re.compile(r"(?:cnngraph|torchvision|timm|python):")


def is_path(name: str) -> bool:
    """Whether ``name`` can only mean a path: it is there, or is written like one."""
    if _FAMILY.match(name):
        return False
    written = "/" in name or "\\" in name or name.startswith(("~", "."))
    return written or Path(name).exists() or Path(name).suffix.lower() in (*SUFFIXES, *_OTHERS)


def not_a_model(path: str | Path) -> CnngraphError:
    """The error for a path that :func:`is_path` and is no saved model."""
    source = Path(path)
    if source.is_dir():
        what, hint = _folder(source)
        return ModelError(f"{source} is no saved model: {what}.", hint)
    if not source.is_file():
        return NotFoundError(
            f"There is no saved model {source}, nor any other file or folder of that name.",
            "Write one with: cnngraph train ... --out FOLDER",
        )
    if source.name in (_DESCRIPTION, "weights.safetensors") and (source.parent / _DESCRIPTION).is_file():
        return ModelError(f"{source} is a part of a saved model.", f"Give its folder: {source.parent}")
    try:
        kind = require_kind(source)
    except ModelError as error:
        return error
    return ModelError(f"{source} is {kind.what}, not a saved model; it was not opened.", _with_weights(source))


def not_a_name(file: Path) -> CnngraphError:
    """The error for a file that is given where a model of the database is named."""
    try:
        kind = require_kind(file)
    except ModelError as error:
        return error
    return ModelError(
        f"{file} is {kind.what}, not the name of a model in the database.",
        f"Store it first: cnngraph ingest python:FACTORY --weights {file} --data DATA --name NAME",
    )


def _with_weights(file: Path, architecture: str = "") -> str:
    if architecture:
        return f"Give the net that the weights belong to: {architecture} --weights {file}"
    return (
        f"Give the net that the weights belong to: python:FACTORY --weights {file} (of your own code, "
        f"package.module:function), or torchvision:NAME --weights {file}"
    )


def _folder(source: Path) -> tuple[str, str]:
    """What a folder is that holds no ``model.json``, and what to do."""
    here = {one.name for one in source.iterdir()}
    weights = next((name for name in INDEXES if name in here), None)
    weights = weights or next((name for name in sorted(here) if Path(name).suffix in SUFFIXES), None)
    if _BUNDLE in here:
        return "it is a bundle, a mapped net", f"Store it: cnngraph ingest {source} --name NAME"
    if "config.json" in here:
        known = _config(source / "config.json")
        named = str(known.get("architecture") or ", ".join(map(str, known.get("architectures") or ())))
        of = f" of {named}" if named else ""
        timm = f"timm:{named}" if known.get("architecture") else ""
        what = f"it is the folder of a Hugging Face model{of}"
        return what, _with_weights(source / (weights or "FILE"), timm)
    if "saved_model.pb" in here:
        return "it is a TensorFlow SavedModel", "Give a net of PyTorch and its weights."
    if ".metadata" in here and any(name.endswith(".distcp") for name in here):
        return (
            "it is a distributed checkpoint of PyTorch",
            f"Make one file of it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch {source} FILE",
        )
    if weights is not None:
        return f"it has no {_DESCRIPTION}, but {weights}", _with_weights(source / weights)
    inside = next((one for one in sorted(source.iterdir()) if (one / _DESCRIPTION).is_file()), None)
    if inside is not None:
        return f"it has no {_DESCRIPTION}", f"Give the folder that was saved to: {inside}"
    if any(one.suffix.lower() in _IMAGES for one in [*source.glob("*"), *source.glob("*/*")][:1000]):
        return "it holds images", f"Images are given as data: --data folder:{source}"
    return f"it has no {_DESCRIPTION}", "Give the folder that was saved to."


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def require_stored_name(name: str) -> None:
    """Return if ``name`` can be that of a model in the database, ``NAME`` or ``OWNER/NAME``.

    Raises:
        UsageError: it cannot; a file is said to be one.
    """
    if Path(name).is_file() and ("/" in name or Path(name).suffix):
        raise not_a_name(Path(name))
    split_key(name, "owner")
