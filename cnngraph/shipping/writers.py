"""One writer a format: safetensors (weights and description), pt2 (torch.export), onnx.

All three give a net that takes any number of images, with ``preprocessing``, ``classes`` and ``model`` inside, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from cnngraph.errors import CnngraphError, ModelError, explain
from cnngraph.shipping.parcel import Parcel
from cnngraph.silence import silence
from cnngraph.surgery import single_file
from cnngraph.surgery.exported import exported

__all__ = ["FORMATS", "require_extra"]


def _safetensors(parcel: Parcel, path: Path) -> dict[str, Any]:
    single_file.write(parcel.model, parcel.describe(), path, parcel.labels)
    return {}


def _pt2(parcel: Parcel, path: Path) -> dict[str, Any]:
    files = {f"{name}.json": text for name, text in parcel.labels.items()}
    with silence():
        torch.export.save(_program(parcel), path, extra_files=files)
    return {}


def _onnx(parcel: Parcel, path: Path) -> dict[str, Any]:
    if parcel.dtype == torch.bfloat16:
        raise ModelError("A net in bfloat16 cannot be exported as ONNX: numpy has no such type.", "Use model.float().")
    program = _program(parcel)
    try:
        with silence():
            exported: Any = torch.onnx.export(
                program, dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
            )
            exported.model.metadata_props.update(parcel.labels)
            exported.save(path)
    except Exception as error:
        raise ModelError(f"The net cannot be exported as ONNX: {explain(error)}.", "Export it as pt2.") from error
    if len(list(path.parent.iterdir())) > 1:
        raise ModelError("The net is too large for one ONNX file (2 GB).", "Export it as pt2 or safetensors.")
    return {"opset": int(exported.model.opset_imports[""])}


# Each writes one file and returns what its format adds to the report.
FORMATS: dict[str, Callable[[Parcel, Path], dict[str, Any]]] = {
    "safetensors": _safetensors,
    "pt2": _pt2,
    "onnx": _onnx,
}


def require_extra(format: str) -> None:  # noqa: A002  the word that the command uses
    """Raise CnngraphError where ``format`` needs packages that are not installed."""
    absent = [name for name in ("onnx", "onnxruntime", "onnxscript") if format == "onnx" and find_spec(name) is None]
    if absent:
        raise CnngraphError(f"ONNX needs {', '.join(absent)}.", 'Run: pip install "cnngraph[onnx]"')


def _program(parcel: Parcel) -> torch.export.ExportedProgram:
    """The net as torch.export sees it, for any number of images."""
    images = torch.zeros(2, *parcel.input_shape, dtype=parcel.dtype)
    try:
        with torch.no_grad(), silence():
            return exported(parcel.model, images, dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False)
    except Exception as error:
        raise ModelError(
            f"torch.export cannot take the net, for any number of images: {explain(error)}.",
            "Export it as safetensors, or mend the net.",
        ) from error
