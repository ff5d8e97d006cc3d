"""Files that are whole or not there, and known by their hash."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["file_sha256", "recover_folder", "replace_folder", "write_private", "write_text"]


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` so that a reader sees the old file or the new one, never a part; makes the folder."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)
    return target


def write_private(path: Path, text: str) -> None:
    """As :func:`write_text`, into a folder that is there, so that the owner alone can read the file at any moment."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_folder(part: Path, target: Path, check: Callable[[], None] | None = None) -> None:
    """Put the finished folder ``part`` at ``target``, in the place of a folder that may be there.

    No call exchanges two folders everywhere, so the old one is moved aside first: as ``.NAME.PID.old``. If that fails
    it comes back; if the process is killed between the two moves, :func:`recover_folder` brings it back. What processes
    that were killed have left beside ``target`` is removed.

    Args:
        check: called with the new folder in its place, before the old one is removed; where it raises, that one comes
            back.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.replace(aside)
    try:
        part.replace(target)
        if check is not None:
            check()
    except BaseException:
        if not part.exists() and target.exists():
            target.replace(part)
        if aside.exists():
            aside.replace(target)
        raise
    for left in (aside, *_strays(target, "old"), *_strays(target, "part")):
        shutil.rmtree(left, ignore_errors=True)


def recover_folder(target: str | Path) -> None:
    """Where ``target`` is missing, move back what a :func:`replace_folder` that was killed had moved aside.

    Nothing is touched as long as the process that moved it lives; then it is about to put the new folder there.
    """
    # Another process was faster, or nothing may be written here; or it is no path at all.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        place = Path(target).resolve()
        if not place.exists() and (strays := _strays(place, "old")):
            strays[0].replace(place)


def _strays(target: Path, kind: str) -> list[Path]:
    """What stands beside ``target`` as ``.NAME.PID.KIND`` although that process is no more."""
    found = target.parent.glob(f".{glob.escape(target.name)}.*.{kind}")
    owners = {path: path.name.removeprefix(f".{target.name}.").removesuffix(f".{kind}") for path in found}
    return [path for path, owner in sorted(owners.items()) if owner.isdecimal() and not _is_alive(int(owner))]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hex; read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
