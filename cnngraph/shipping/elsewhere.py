"""A program of its own that imports nothing of cnngraph: opens an exported net as a stranger would, and compares it.

    python -P elsewhere.py FORMAT EXPORTED EXPECTED THREADS

``EXPECTED`` is a safetensors file with ``images.N`` and ``logits.N`` for several batches, or, for the format
safetensors, with every tensor of the state dict. One JSON object on stdout: the largest absolute difference, the
largest absolute value that was expected, the labels that were found inside, and notes on what
other programs may object to.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

LABELS = ("preprocessing", "classes", "model")
Found = tuple[float, float, dict[str, str], list[str]]


def _finite(difference: float, what: str) -> float:
    """``difference``, which max() would pass over if it were NaN."""
    assert math.isfinite(difference), f"{what}: NaN or infinite"
    return difference


def _compare(
    run: Callable[[Any], Any], expected: dict[str, Any], *, largest: Callable[[Any], Any]
) -> tuple[float, float]:
    difference, scale = 0.0, 0.0
    for name in [name for name in expected if name.startswith("images.")]:
        wanted = expected[name.replace("images.", "logits.")]
        found = run(expected[name])
        assert tuple(found.shape) == tuple(wanted.shape), f"logits of shape {tuple(found.shape)}"
        difference = max(difference, _finite(float(largest(abs(found - wanted))), "the logits"))
        scale = max(scale, float(largest(abs(wanted))))
    return difference, scale


def _pt2(exported: str, expected: str, threads: int) -> Found:
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    files: dict[str, Any] = {f"{name}.json": "" for name in LABELS}
    net = torch.export.load(exported, extra_files=files).module()
    with torch.no_grad():
        difference, scale = _compare(net, load_file(expected), largest=torch.max)
    return difference, scale, {name.removesuffix(".json"): text for name, text in files.items()}, []


def _onnx(exported: str, expected: str, threads: int) -> Found:
    import numpy as np
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    labels = session.get_modelmeta().custom_metadata_map
    difference, scale = _compare(
        lambda images: session.run(["logits"], {"images": images})[0], load_file(expected), largest=np.max
    )
    try:
        onnx.checker.check_model(exported, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        # It runs and gives the right logits, which decides; the checker's own shapes may differ (ceil_mode, onnx 1.23).
        said = " ".join(str(error).split())
        note = f"onnxruntime runs it, but onnx's full check objects, as programs that rely on it may: {said}"
        return difference, scale, labels, [note]
    return difference, scale, labels, []


def _safetensors(exported: str, expected: str, threads: int) -> Found:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    difference, scale = 0.0, 0.0
    with safe_open(exported, framework="pt") as file:
        labels = dict(file.metadata())
        for name, wanted in load_file(expected).items():
            found = file.get_tensor(name)
            assert found.dtype == wanted.dtype, f"{name} is {found.dtype}"
            assert found.shape == wanted.shape, f"{name} is {tuple(found.shape)}"
            if wanted.numel():
                difference = max(difference, _finite(float((found.double() - wanted.double()).abs().max()), name))
                scale = max(scale, float(wanted.double().abs().max()))
    return difference, scale, labels, []


def main() -> None:
    """Compare and print."""
    form, exported, expected, threads = sys.argv[1:]
    open_it = {"pt2": _pt2, "onnx": _onnx, "safetensors": _safetensors}[form]
    difference, scale, labels, notes = open_it(exported, expected, int(threads))
    assert "cnngraph" not in sys.modules
    found = {name: labels.get(name) for name in LABELS}
    print(json.dumps({"max_abs_diff": difference, "scale": scale, "labels": found, "notes": notes}), flush=True)


if __name__ == "__main__":
    main()
