"""Whether a file of weights is there: known without torch, so it is said at once."""

from __future__ import annotations

from pathlib import Path

from cnngraph.errors import ModelError, NotFoundError

__all__ = ["require_file"]


def require_file(path: str | Path, hint: str = "Give a path, or --weights pretrained.") -> Path:
    """The path of a file that is there.

    Raises:
        NotFoundError: there is nothing, and ``hint`` says what to do. ModelError: it is a folder.
    """
    source = Path(path)
    if source.is_dir():
        raise ModelError(f"{source} is a folder, not a weights file.", "Name the .safetensors or .pt file in it.")
    if not source.is_file():
        raise NotFoundError(f"There is no weights file {source}.", hint)
    return source
