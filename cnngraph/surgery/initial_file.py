"""``initial.safetensors`` of a saved model: the weights that its training began with, where they were kept."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cnngraph.errors import ModelError
from cnngraph.models.initial import Initial

__all__ = ["INITIAL_FILE", "read_initial", "write_initial"]

INITIAL_FILE = "initial.safetensors"


def write_initial(initial: Initial, path: Path) -> None:
    """Write all tensors by name; tied ones once a name."""
    save_file({name: one.contiguous().clone() for name, one in initial.tensors.items()}, path)


def read_initial(path: Path, sha256: str) -> Initial:
    """What :func:`write_initial` wrote.

    Args:
        sha256: that the model names.

    Raises:
        ModelError: the file is missing or damaged, or of another model.
    """
    if not path.is_file():
        raise ModelError(f"The saved model {path.parent} has no {path.name}.", "Copy or save the model again.")
    try:
        initial = Initial(load_file(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file: {error}.", "Copy the model again.") from error
    if initial.sha256 != sha256:
        raise ModelError(f"{path} is not what was saved with the model: its sha256 differs.", "Copy the model again.")
    return initial
