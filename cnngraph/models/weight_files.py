"""Whether a file of weights is there, and is one: known without torch, so it is said at once."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from cnngraph.errors import ModelError, NotFoundError
from cnngraph.models.file_kinds import FileKind, identify

__all__ = ["INDEXES", "SUFFIXES", "require_file", "require_kind", "shards"]

# What Hugging Face calls the index of weights in parts, and how files of weights usually end.
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def require_file(path: str | Path, hint: str = "Give a path, or --weights pretrained.") -> Path:
    """The path of a file that is there; for a folder with the index of weights in parts, that of the index.

    Raises:
        NotFoundError: there is nothing, and ``hint`` says what to do. ModelError: it is another folder.
    """
    source = Path(path)
    if source.is_dir():
        index = next((source / name for name in INDEXES if (source / name).is_file()), None)
        if index is not None:
            return index
        there = sorted(one.name for one in source.iterdir() if one.suffix in SUFFIXES and one.is_file())
        named = f" {there[0]} is there." if len(there) == 1 else ""
        raise ModelError(
            f"{source} is a folder, not a weights file.", f"Name the .safetensors or .pt file in it.{named}"
        )
    if not source.is_file():
        raise NotFoundError(f"There is no weights file {source}.", hint)
    return source


def require_kind(source: Path) -> FileKind:
    """What the file is, if it is a kind that is read.

    Raises:
        ModelError: it is something else, which is named by its first bytes with what to do; or it cannot be opened.
    """
    try:
        kind = identify(source)
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {error.strerror}.", "Look at its rights.") from error
    if kind.reader is None:
        raise ModelError(f"{source} is {kind.what}.", kind.hint.replace("FILE", str(source), 1))
    return kind


def shards(index: Path) -> list[Path]:
    """The files, beside ``index``, that it says hold the weights.

    Raises:
        ModelError: one is not there, or is named by a path that leads elsewhere.
    """
    names = json.loads(index.read_bytes())["weight_map"].values()
    found = []
    for name in dict.fromkeys(names):
        if not isinstance(name, str) or PurePosixPath(name).name != name or "\\" in name or name in ("", ".", ".."):
            raise ModelError(f"{index} names {name!r}, which is no file beside it.", "Fetch the index again.")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index} names {name}, which is not beside it.", "Fetch that file too.")
        found.append(index.parent / name)
    if not found:
        raise ModelError(f"{index} names no file of weights.", "Fetch the index again.")
    return found
