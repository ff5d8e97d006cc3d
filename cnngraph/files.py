"""Files that are whole or not there, and known by their hash."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

__all__ = ["file_sha256", "write_text"]


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` so that a reader sees the old file or the new one, never a part; makes the folder."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)
    return target


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hex; read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
