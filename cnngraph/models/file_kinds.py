"""What a file is, decided by its first bytes, whatever it is called; cheap, and without torch.

The signatures are those of the formats' own specifications; a protobuf has none, so its first fields decide.
"""

from __future__ import annotations

import codecs
import json
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["FileKind", "identify"]

Reader = Literal["torch", "safetensors", "index"]

_LOOKED_AT = 1024
_FETCH = "Fetch it again."
_STATE = "Save the weights alone: torch.save(model.state_dict(), NEW), or as safetensors."
_CONVERT = "Load it in PyTorch with the program that reads it, and torch.save(model.state_dict(), NEW)."
_SHARDS = "weight_map"
_TORCH_LEGACY = b"l\xfc\x9cF\xf9 j\xa8P\x19"


@dataclass(frozen=True)
class FileKind:
    """What a file is: ``what`` ends the sentence "FILE is ...", ``hint`` says what to do.

    Attributes:
        reader: what reads it, or None where it is not read here.
    """

    what: str
    hint: str
    reader: Reader | None = None


_SAFETENSORS = FileKind("a safetensors file of weights", "", "safetensors")
_TORCH = FileKind("a file of weights that torch.save wrote", "", "torch")
_INDEX = FileKind("the index of a file of weights in parts", "", "index")


def _packed(name: str, command: str) -> FileKind:
    return FileKind(f"packed with {name}, not the weights themselves", f"Unpack it: {command} FILE")


def _not_ours(what: str, hint: str = _CONVERT) -> FileKind:
    return FileKind(f"{what}, not a file of PyTorch weights", hint)


_BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        FileKind("a git-lfs pointer, not the weights themselves", "Run git lfs pull where it was cloned."),
    ),
    (b"/annex/objects/", FileKind("a git-annex pointer, not the weights themselves", "Run git annex get FILE.")),
    (
        b"\x89HDF\r\n\x1a\n",
        _not_ours("an HDF5 file (as Keras writes them)", "Convert the weights with h5py: one torch tensor a data set."),
    ),
    (b"\x1f\x8b", _packed("gzip", "gunzip")),
    (b"BZh", _packed("bzip2", "bunzip2")),
    (b"\xfd7zXZ\x00", _packed("xz", "unxz")),
    (b"\x28\xb5\x2f\xfd", _packed("zstd", "unzstd")),
    (b"\x04\x22\x4d\x18", _packed("lz4", "unlz4")),
    (b"7z\xbc\xaf\x27\x1c", _packed("7-Zip", "7z x")),
    (b"Rar!\x1a\x07", _packed("RAR", "unrar x")),
    (b"GGUF", _not_ours("a GGUF file (llama.cpp)")),
    (b"lmgg", _not_ours("a GGML file")),
    (b"\x12\x01\x00\x00\x00\x00\x00\x00", _not_ours("an MXNet file of parameters")),
    (b"\x93NUMPY", _not_ours("one NumPy array", "Save the arrays by the names of the net's tensors, as safetensors.")),
    (b"MATLAB 5.0 MAT-file", _not_ours("a MATLAB file")),
    (b"MATLAB 7.3 MAT-file", _not_ours("a MATLAB file")),
    (b"%PDF", _not_ours("a PDF document", _FETCH)),
    (b"\x89PNG\r\n\x1a\n", _not_ours("a PNG image", _FETCH)),
    (b"\xff\xd8\xff", _not_ours("a JPEG image", _FETCH)),
    (b"GIF8", _not_ours("a GIF image", _FETCH)),
    (b"II*\x00", _not_ours("a TIFF image", _FETCH)),
    (b"MM\x00*", _not_ours("a TIFF image", _FETCH)),
    (b"RIFF", _not_ours("a WebP image, or sound or video", _FETCH)),
    (b"BM", _not_ours("a BMP image", _FETCH)),
    (b"\x7fELF", _not_ours("a program (ELF)", _FETCH)),
    (b"MZ", _not_ours("a program of Windows", _FETCH)),
    (b"SQLite format 3\x00", _not_ours("an SQLite database", _FETCH)),
    (b"PAR1", _not_ours("a Parquet table", _FETCH)),
    (b"ARROW1", _not_ours("an Arrow table", _FETCH)),
)


def identify(path: Path) -> FileKind:
    """What the file at ``path`` is; a file that cannot be opened raises OSError."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
        size = file.seek(0, 2)
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= size - 8:  # first: a length may begin as other formats do
        return _SAFETENSORS
    found = _by_beginning(head)
    if found is None and head.startswith(b"PK"):
        found = _zip(path, head)
    if found is None and head[257:262] == b"ustar":
        found = _tar(path)
    if found is None:
        found = _cut_off(head) or _pickle(head) or _text(path, head, size) or _protobuf(head)
    return found or _not_ours(f"a file of unknown kind that begins with the bytes {head[:8].hex(' ')}", _FETCH)


def _by_beginning(head: bytes) -> FileKind | None:
    if not head:
        return FileKind("empty", _FETCH)
    if not head.strip(b"\x00"):
        return FileKind(f"nothing but zeros in its first {len(head)} bytes: a copy that was never finished", _FETCH)
    if head[4:8] == b"TFL3":
        return _not_ours("a TensorFlow Lite model")
    if head[:12] in (b"\0\0\0\0\1\0\0\0\0\0\0\0", b"\0\0\0\0\2\0\0\0\0\0\0\0", b"\0\0\0\0\2\0\0\0\5\0\0\0"):
        return _not_ours("a file of Darknet weights")
    return next((kind for begin, kind in _BEGINNINGS if head.startswith(begin)), None)


def _zip(path: Path, head: bytes) -> FileKind:
    """A zip archive: torch.save writes one, and so do many others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        torch = b"data.pkl" in head or b"/data/" in head or b".format_version" in head
        what = "a file of torch.save" if torch else "a zip archive"
        return FileKind(f"not a readable weights file: {what} that is cut off or damaged", _FETCH)
    inner = {name.partition("/")[2] for name in names}
    if "data.pkl" in inner:
        return _TORCH if "constants.pkl" not in inner else _SCRIPT
    if {"archive_format", "archive_version"} <= inner or "serialized_exported_program.json" in names:
        return _not_ours(
            "a program of torch.export (.pt2)", "In Python: torch.save(torch.export.load('FILE').state_dict, NEW)."
        )
    if "model.weights.h5" in names:
        return _not_ours("a Keras model", "Convert the weights with h5py: one torch tensor a data set.")
    if names and all(name.endswith(".npy") for name in names):
        return _not_ours(
            "an archive of NumPy arrays (.npz)",
            "In Python: torch.save({k: torch.from_numpy(v) for k, v in numpy.load('FILE').items()}, NEW).",
        )
    if "[Content_Types].xml" in names:
        return _not_ours("an Office document", _FETCH)
    return FileKind(f"a zip archive of {_few(names)}, not the weights themselves", "Unpack it: unzip FILE")


_SCRIPT = _not_ours(
    "a TorchScript program (torch.jit.save)", "In Python: torch.save(torch.jit.load('FILE').state_dict(), NEW)."
)


def _tar(path: Path) -> FileKind:
    try:
        with tarfile.open(path) as archive:
            names = [member.name for member in iter(archive.next, None)] if path.stat().st_size < 2**20 else []
    except (tarfile.TarError, OSError):
        return FileKind("not a readable weights file: a tar archive that is cut off or damaged", _FETCH)
    if {"tensors", "storages", "pickle"} <= set(names):
        return _not_ours("a file of PyTorch before 0.1.11 (a tar archive)", "Load and save it with PyTorch 1.")
    of = f" of {_few(names)}" if names else ""
    return FileKind(f"a tar archive{of}, not the weights themselves", "Unpack it: tar -xf FILE")


def _cut_off(head: bytes) -> FileKind | None:
    """A safetensors file begins with the length of its header, in 8 bytes, and the header with a brace."""
    if head[8:10] == b'{"' and head[4:8] == bytes(4):
        return FileKind("not a readable safetensors file: its header is longer than the file", _FETCH)
    return None


def _pickle(head: bytes) -> FileKind | None:
    if head[0] == 0x80 and len(head) > 2 and head[1] <= 5:
        if _TORCH_LEGACY in head[:24]:
            return _TORCH
    elif not re.match(rb"(?:\(dp?\d|\(lp?\d|\(i\w|c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\]q|\}q)", head):
        return None
    return FileKind("a pickle of Python objects, not of torch.save; it was not opened, and never executed", _STATE)


def _protobuf(head: bytes) -> FileKind | None:
    """Models of other frameworks are protobufs: a version, then a text or a message; or a name, or nodes."""
    if head[0] == 0x08 and len(head) > 4 and 0 < head[1] < 32:
        if (head[2] == 0x12 and head[4] >= 0x20) or head[2] in (0x3A, 0x42):
            return _not_ours("an ONNX model", "Give the PyTorch weights that it was exported from.")
        if head[2] == 0x12:
            return _not_ours("a Core ML or TensorFlow model (a protobuf)")
    if head[0] == 0x0A and len(head) > 3:
        length, begin = _varint(head, 1)
        if head[begin : begin + 1] == b"\x0a":
            return _not_ours("a TensorFlow graph (a protobuf)")
        name = head[begin : begin + length]
        if 0 < length <= 200 and len(name) == length and name.isascii() and name.decode().isprintable():
            return _not_ours("a Caffe model (a protobuf)")
    return None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A protobuf's number at ``place``, and the place behind it."""
    value, shift = 0, 0
    while place < len(data):
        value |= (data[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
        if not data[place - 1] & 0x80:
            break
    return value, place


def _text(path: Path, head: bytes, size: int) -> FileKind | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"<(?:!doctype html|html|head|body|!--)", text, re.IGNORECASE):
        return FileKind("a web page, not the weights themselves: what a failed download gives", _FETCH)
    try:
        words = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < _LOOKED_AT)
    except UnicodeDecodeError:
        return None
    if any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in words):
        return None
    if text.startswith(b"<"):
        return _not_ours("an XML text", _FETCH)
    if text[:1] in (b"{", b"["):
        return _json(path, size)
    if path.suffix == ".py":
        return FileKind(
            "Python code, not a file of weights; it was not run",
            f"Name the function or class in it that returns the net: python:{path.stem}:FACTORY",
        )
    line = words.strip().splitlines()[0] if words.strip() else ""
    return _not_ours(f"a text that begins {line[:60]!r}", _FETCH)


def _json(path: Path, size: int) -> FileKind:
    try:
        content: Any = json.loads(path.read_bytes()) if size < 2**28 else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and isinstance(content.get(_SHARDS), dict):
        return _INDEX
    if isinstance(content, dict) and "model_type" in content:
        return _not_ours("the configuration of a Hugging Face model", "Give the .safetensors or .bin file beside it.")
    return _not_ours("a JSON text", _FETCH)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "nothing"
