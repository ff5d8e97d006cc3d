"""``export``: write, compare elsewhere, and only then put the file in its place."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from cnngraph.console import Progress, Quiet
from cnngraph.errors import ConflictError, UsageError, nearest
from cnngraph.network.macs import count_parameters
from cnngraph.origin import Preprocessing
from cnngraph.shipping.comparison import BATCHES, compare, tolerance
from cnngraph.shipping.parcel import Parcel, pack, pack_saved
from cnngraph.shipping.writers import FORMATS, require_extra

__all__ = ["export"]


def export(
    model: nn.Module | str | Path,
    path: str | Path,
    *,
    format: str = "safetensors",  # noqa: A002  the word that the command uses
    input_shape: tuple[int, int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a net as one file that other programs open, compared with the net in a process without cnngraph.

    Args:
        model: a live net, or the path of a saved model.
        path: the file; it must not exist, and appears when it is whole and compared.
        format: ``safetensors`` (``cg.load(path)`` opens it without a database), ``pt2`` (``torch.export.load``) or
            ``onnx`` (extra ``onnx``). Each takes any number of images and holds preprocessing and class names as JSON.
        input_shape, preprocessing, classes: of a live net; a saved model knows its own.
        dry_run: write nothing, say what would be written.

    Returns:
        ``format, out, bytes, max_abs_diff, tolerance`` (a share of the largest logit)``, opset, dynamic_batch, batches,
        parameters, notes, seconds``; bytes, differences and opset are None in a dry run. A note says what other
        programs may object to, although the net runs elsewhere and gives the same logits.

    Raises:
        UsageError: there is no such format. NotFoundError: there is no such saved model.
        ConflictError: ``path`` exists. CnngraphError: the format needs packages that are not installed.
        ModelError: the net cannot be exported so. VerificationError: what was written is not the net.
    """
    target = Path(path)
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", nearest(format, FORMATS))
    require_extra(format)
    _require_new(target)
    progress = progress or Quiet()
    began = time.perf_counter()
    progress.start("Opening the model")
    if isinstance(model, nn.Module):
        parcel = pack(model, input_shape=input_shape, preprocessing=preprocessing, classes=classes)
    else:
        parcel = pack_saved(model)
    report: dict[str, Any] = {
        "format": format,
        "out": str(target),
        "bytes": None,
        "max_abs_diff": None,
        "tolerance": tolerance(format, parcel.dtype),
        "opset": None,
        "notes": [],
        "dynamic_batch": True,
        "batches": list(BATCHES),
        "parameters": count_parameters(parcel.model),
    }
    if not dry_run:
        report |= _write(parcel, format, target, progress)
    return report | {"seconds": time.perf_counter() - began}


def _write(parcel: Parcel, form: str, target: Path, progress: Progress) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    part = folder / f"net.{form}"
    try:
        progress.start(f"Writing {form}")
        known = FORMATS[form](parcel, part)
        progress.start("Comparing it with the net, in a process without cnngraph")
        difference, notes = compare(form, part, parcel)
        size = part.stat().st_size
        _require_new(target)
        part.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return known | {"bytes": size, "max_abs_diff": difference, "notes": notes}


def _require_new(target: Path) -> None:
    if target.exists():
        raise ConflictError(f"{target} exists.", "Choose another file, or remove it: nothing is overwritten.")
