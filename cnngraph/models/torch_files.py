"""What ``torch.save`` wrote, read without running anything that the file says; what it cannot hold is named."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from cnngraph.errors import ModelError, explain

__all__ = ["read_torch"]


class _Dropped:
    """Stands in the place of an object that is not needed: whatever the file gives it is thrown away."""

    def __new__(cls, *_: object) -> Any:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        return

    def __setstate__(self, _: object) -> None:
        return


class _PlainDict(_Dropped):
    """Stands for dictionaries of special types: a plain one, which the file then fills."""

    def __new__(cls, *_: object) -> Any:
        return {}


class _PlainList(_Dropped):
    """Stands for lists of special types."""

    def __new__(cls, *_: object) -> Any:
        return []


# What stands beside the weights in checkpoints: options, paths, dates, scores and logs. Nothing of it is wanted, so
# nothing of it is built: neither the types themselves nor the modules that define them are touched.
_NUMPY = ("numpy.core", "numpy._core")  # numpy 1 and 2
_PATHLIB = ("pathlib", "pathlib._local")  # until Python 3.12 and since
_DROPPED = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"builtins.{name}" for name in ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "slice", "str")),
    "builtins.tuple",
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    *(f"{module}.{kind}{name}Path" for module in _PATHLIB for kind in ("", "Pure") for name in ("Posix", "Windows")),
    *(f"{module}.PurePath" for module in _PATHLIB),
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{name}" for name in ("bool", "bool_", "float16", "float32", "float64", "int32", "int64", "uint8")),
    *(f"{module}.multiarray.{name}" for module in _NUMPY for name in ("scalar", "_reconstruct")),
    *(f"{module}.numeric._frombuffer" for module in _NUMPY),
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata", "SCMode")),
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(f"omegaconf.nodes.{name}Node" for name in ("Any", "Boolean", "Bytes", "Float", "Integer", "Path", "String")),
    "typing.Any",
)
_DICTS = (
    "collections.defaultdict",
    *(f"{package}.utilities.parsing.AttributeDict" for package in ("pytorch_lightning", "lightning.pytorch")),
    *(f"{package}.utilities.data.AttributeDict" for package in ("lightning_fabric", "lightning.fabric")),
)
_STAND_INS: list[Any] = [
    *((_Dropped, name) for name in _DROPPED),
    *((_PlainDict, name) for name in _DICTS),
    (_PlainList, "collections.deque"),
]
_NAMES = re.compile(r"GLOBAL (\S+?)[. ]*(?: was not| whose)|class '([\w.]+)'|function <\w+ (\S+)")


def read_torch(source: Path) -> object:
    """The content of a file of ``torch.save``, on the CPU.

    Raises:
        ModelError: it holds objects of types that are not known to be harmless (the first is named), or is broken.
    """
    try:
        with warnings.catch_warnings():
            # torch remarks on pickle protocols and archives that it is about to refuse; our error says it.
            warnings.simplefilter("ignore")
            # Opened here: given a path, torch would go by its suffix.
            with torch.serialization.safe_globals(_STAND_INS), source.open("rb") as file:
                content: object = torch.load(file, map_location="cpu", weights_only=True)
                return content
    except pickle.UnpicklingError as error:
        raise _refusal(source, str(error)) from error
    except Exception as error:
        first_line = explain(error)
        raise ModelError(
            f"{source} is not a readable weights file: {first_line}.", "Write or fetch it again."
        ) from error


def _refusal(source: Path, said: str) -> ModelError:
    """What of the file torch would not read, without torch's own advice, which is to trust the file."""
    alone = "Where it can be opened, save the weights alone: torch.save(model.state_dict(), FILE), or as safetensors."
    if "torch.distributed.tensor" in said:
        return ModelError(
            f"{source} holds the parts of tensors that one process of a distributed training had (DTensor).",
            "Save the full state dict: get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)).",
        )
    if "Unsupported operand" in said:
        return ModelError(
            f"{source} was written with a pickle protocol other than 2, the one of torch.save; it was never executed.",
            alone,
        )
    found = _NAMES.search(said)
    name = next((group for group in found.groups() if group), None) if found else None
    first = _first_object(source)
    if name is not None and first is not None and first.endswith(name):
        return ModelError(
            f"{source} is a whole pickled object, {first}, not a state dict; it was never executed.", alone
        )
    what = f"holds an object that cannot be read safely, {name}" if name else "is a pickle of other Python objects"
    return ModelError(f"{source} {what}; it was never executed.", alone)


def _first_object(source: Path) -> str | None:
    """The class of the whole content (``module.Class``), or None where that is a dictionary or a list."""
    try:
        for place, (operation, value, _) in enumerate(pickletools.genops(_pickled(source))):
            if operation.name == "GLOBAL":
                return str(value).replace(" ", ".")
            if place > 1:  # the protocol, and a frame
                return None
    except (ValueError, OSError, zipfile.BadZipFile, KeyError, IndexError):
        return None
    return None


def _pickled(source: Path) -> io.BytesIO | Any:
    if not zipfile.is_zipfile(source):
        return io.BytesIO(source.read_bytes()[:4096])
    with zipfile.ZipFile(source) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with archive.open(name) as file:
            return io.BytesIO(file.read(4096))
