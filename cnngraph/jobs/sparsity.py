"""What pruned weights do: how many are left, how large files are with the zeros and compressed."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.database.records import describe_sparsity
from cnngraph.errors import CnngraphError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["file_sizes", "sparsity_of"]

_LEVEL = 6  # of zlib, as gzip has it


def sparsity_of(net: nn.Module) -> dict[str, Any] | None:
    """How many weights of a net are alive, as :func:`~cnngraph.database.records.describe_sparsity` has it; ``None``
    where it has no masks.
    """
    from cnngraph.models.masks import get_masks

    masks = get_masks(net)
    return (
        None if masks is None else describe_sparsity({one: (masks.size(one), masks.count(one)) for one in masks.layers})
    )


def file_sizes(net: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, dict[str, int] | None]:
    """How large the weights of a net are as a file: ``safetensors``, ``onnx``, and ``masks`` where it has some.

    Returns:
        of each ``bytes`` and ``gzip``, the bytes once compressed; ``None`` where the net cannot be written so, or what
        that needs is not installed.
    """
    from cnngraph.models.masks import get_masks
    from cnngraph.surgery.mask_files import write_masks
    from cnngraph.surgery.single_file import write_tensors

    masks = get_masks(net)
    with tempfile.TemporaryDirectory(prefix="cnngraph-") as name:
        folder = Path(name)
        write_tensors(net, folder / "weights")
        found: dict[str, dict[str, int] | None] = {"safetensors": _sizes(folder / "weights")}
        if masks is not None:
            write_masks(masks, folder / "masks")
            found["masks"] = _sizes(folder / "masks")
        found["onnx"] = _onnx_size(net, input_shape, folder)
    return found


def _onnx_size(net: nn.Module, input_shape: tuple[int, int, int], folder: Path) -> dict[str, int] | None:
    from cnngraph.shipping.parcel import pack
    from cnngraph.shipping.writers import FORMATS, require_extra

    place = folder / "onnx"
    place.mkdir()
    try:
        require_extra("onnx")
        FORMATS["onnx"](pack(net, input_shape=input_shape), place / "net.onnx")
    except CnngraphError:
        return None
    return _sizes(place / "net.onnx")


def _sizes(path: Path) -> dict[str, int]:
    content = path.read_bytes()
    return {"bytes": len(content), "gzip": len(zlib.compress(content, _LEVEL))}
