"""The masks of a saved model: ``masks.safetensors`` beside its weights, eight weights a byte; text in a single file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from torch import nn

from cnngraph.errors import ModelError, explain
from cnngraph.models.masks import Masks, masks_of, moved_zeros, set_masks
from cnngraph.surgery.description import MASKS_FILE

__all__ = [
    "attach_masks",
    "count_masked",
    "masks_as_text",
    "masks_from_text",
    "read_masks",
    "write_masks",
]

_HINT = "Copy or save the model again."
Bits = Mapping[str, npt.NDArray[np.uint8]]


def write_masks(masks: Masks, path: Path) -> None:
    """Write the bits of each mask, by the name of its parameter: the first weight is the highest bit."""
    save_file(_bits(masks), path)


def read_masks(path: Path, model: nn.Module) -> Masks:
    """What :func:`write_masks` wrote, in the shapes of the parameters of ``model``.

    Raises:
        ModelError: the file is missing or damaged, or of another net.
    """
    if not path.is_file():
        raise ModelError(f"The saved model {path.parent} has no {path.name}, which says which weights stay.", _HINT)
    try:
        found = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a readable safetensors file.", _HINT) from error
    return _unpacked(found, model, str(path))


def count_masked(folder: Path) -> dict[str, tuple[int, int]]:
    """By layer, how many weights of the saved model in ``folder`` its masks are about, and how many of them are alive.

    {} where it has none.

    Raises:
        ModelError: the masks are damaged, or of another net.
    """
    path = folder / MASKS_FILE
    if not path.is_file():
        return {}
    found: dict[str, tuple[int, int]] = {}
    try:
        with safe_open(folder / "weights.safetensors", framework="numpy") as weights:
            for name, bits in load_file(path).items():
                size = math.prod(weights.get_slice(name).get_shape())
                layer = name.rpartition(".")[0]
                before, left = found.get(layer, (0, 0))
                found[layer] = before + size, left + int(np.unpackbits(bits).sum())
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} does not fit the weights beside it: {explain(error)}.", _HINT) from error
    return found


def masks_as_text(masks: Masks) -> str:
    """The same as JSON: base64 by parameter."""
    return json.dumps({name: base64.b64encode(bits.tobytes()).decode("ascii") for name, bits in _bits(masks).items()})


def masks_from_text(text: str | None, model: nn.Module, where: str) -> Masks:
    """What :func:`masks_as_text` wrote; ``where`` names the file. Raises as :func:`read_masks`."""
    if text is None:
        raise ModelError(f"{where} has no masks, which say which weights stay.", "Export the model again.")
    try:
        found = {
            str(name): np.frombuffer(base64.b64decode(bits, validate=True), dtype=np.uint8)
            for name, bits in json.loads(text).items()
        }
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"The masks in {where} are not readable.", "Export the model again.") from error
    return _unpacked(found, model, where)


def attach_masks(model: nn.Module, masks: Masks, sha256: str, where: str) -> None:
    """Attach masks that were read; no weight is changed.

    Raises:
        ModelError: they are not those that were saved with the net, or weights that they prune are not zero.
    """
    if masks.sha256 != sha256:
        raise ModelError(
            f"{where} does not hold the masks that were saved with the model: their sha256 differs.",
            "They are another model's, or were changed. Copy or save the model again.",
        )
    set_masks(model, masks)
    moved = moved_zeros(model)
    if moved:
        name, count = next(iter(moved.items()))
        raise ModelError(f"{count:,} weights of {name} are not zero, and its mask in {where} prunes them.", _HINT)


def _bits(masks: Masks) -> dict[str, npt.NDArray[np.uint8]]:
    return {name: np.packbits(flags, axis=None) for name, flags in masks.alive.items()}


def _unpacked(found: Bits, model: nn.Module, where: str) -> Masks:
    shapes = {name: tuple(one.shape) for name, one in model.named_parameters(remove_duplicate=False)}
    alive = {}
    for name, bits in found.items():
        size = math.prod(shapes.get(name, ()))
        if name not in shapes or bits.dtype != np.uint8 or bits.shape != (-(-size // 8),):
            raise ModelError(f"{where} is of another model: its mask of {name} does not fit.", _HINT)
        alive[name] = np.unpackbits(bits, count=size).astype(bool).reshape(shapes[name])
    order = [name for name in shapes if name in alive]
    return masks_of({name: alive[name] for name in order})
