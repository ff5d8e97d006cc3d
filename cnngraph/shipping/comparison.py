"""Is the exported net the stored one? Asked in a process that does not import cnngraph, over several batch sizes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cnngraph.errors import ModelError, VerificationError, readable
from cnngraph.shipping.parcel import Parcel

__all__ = ["BATCHES", "compare", "tolerance"]

BATCHES = (1, 2, 5)
# Allowed difference, relative to the largest logit: onnxruntime has kernels of its own, torch.export's loader has not.
_TOLERANCE = {"safetensors": 0.0, "pt2": 1e-5, "onnx": 1e-4}
_SECONDS = 900
_PROGRAM = Path(__file__).with_name("elsewhere.py")
# The one comparison that needs cnngraph: what `cg.load` makes of a file, in a process that knows nothing else of it.
_LOAD = """
import sys, torch
import cnngraph as cg
from safetensors.torch import load_file
exported, expected, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
known, net = load_file(expected), cg.load(exported)
with torch.no_grad():
    for name in known:
        if name.startswith("images."):
            logits = known[name.replace("images.", "logits.")]
            assert torch.equal(net(known[name]), logits), "cg.load gives other logits"
"""


def tolerance(form: str, dtype: torch.dtype) -> float:
    """The difference that is allowed, as a share of the largest logit; a few roundings where precision is low."""
    allowed = _TOLERANCE[form]
    return max(allowed, 8 * torch.finfo(dtype).eps) if allowed else 0.0


def compare(form: str, exported: Path, parcel: Parcel) -> tuple[float, list[str]]:
    """The largest absolute difference between the exported net's logits and those of ``parcel``, on random images.

    With it, notes on what other programs may object to although the net runs and gives the right logits.

    For safetensors it is that of the tensors themselves, and ``cg.load`` must give identical logits as well.

    Raises:
        VerificationError: it is larger than :func:`tolerance` allows, or the exported net cannot be opened or run.
    """
    expected = exported.with_name("expected.safetensors")
    logits = _logits(parcel)
    try:
        tensors = _copied(parcel.model.state_dict()) if form == "safetensors" else logits
        save_file(tensors, expected)
        report = json.loads(_run(["-P", str(_PROGRAM), form, str(exported), str(expected)], form))
        if form == "safetensors":
            save_file(logits, expected)
            # The user's own class may lie anywhere on the path of this process.
            path = os.pathsep.join(entry for entry in sys.path if entry)
            _run(["-c", _LOAD, str(exported), str(expected)], "cg.load", {"PYTHONPATH": path})
    finally:
        expected.unlink(missing_ok=True)
    difference = float(report["max_abs_diff"])
    allowed = tolerance(form, parcel.dtype)
    if not difference <= allowed * max(float(report["scale"]), math.ulp(0)):
        raise VerificationError(
            f"The exported net gives other logits: they differ by up to {difference:.3g}, the largest is "
            f"{report['scale']:.3g}; {allowed:g} of it is allowed.",
            "Nothing was written. Export it in another format.",
        )
    lost = [name for name, text in parcel.labels.items() if report["labels"][name] != text]
    if lost:
        raise VerificationError(f"The exported file has lost what it says of its {lost[0]}.", "Nothing was written.")
    return difference, list(report["notes"])


def _logits(parcel: Parcel) -> dict[str, Tensor]:
    """``images.N`` and ``logits.N`` for each batch size, normally distributed images from a seed of their own."""
    random = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for batch in BATCHES:
            images = torch.randn(batch, *parcel.input_shape, generator=random).to(parcel.dtype)
            output = parcel.model(images)
            if not isinstance(output, Tensor):
                raise ModelError(
                    f"The net's output is no tensor but {type(output).__name__}.",
                    "Export a net that gives its logits alone in eval mode.",
                )
            found |= {f"images.{batch}": images, f"logits.{batch}": output}
    return _copied(found)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each with memory of its own, as safetensors demands."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def _run(arguments: list[str], what: str, env: dict[str, str] | None = None) -> str:
    command = [sys.executable, *arguments, str(torch.get_num_threads())]
    try:
        done = subprocess.run(
            command, env=os.environ | (env or {}), capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise VerificationError(
            f"The exported net gave no answer in {_SECONDS} s ({what}).", "Nothing was written."
        ) from error
    if done.returncode != 0:
        last = readable((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        raise VerificationError(
            f"The exported net does not run elsewhere ({what}): {last}", "Nothing was written. Try another format."
        )
    return done.stdout
