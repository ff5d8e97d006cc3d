"""The new process that loads saved nets: ``python -m tests.coverage.elsewhere FOLDER THREADS``.

Prints a JSON object: by subfolder what is wrong with its net, or "".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from cnngraph.surgery.saved import load


def failure(place: Path) -> str:
    """What is wrong with the net that is saved in ``place``, or ""."""
    try:
        known = load_file(place / "logits.safetensors")
        with torch.no_grad():
            logits = load(place / "net")(known["images"])
    except Exception as error:  # noqa: BLE001 (told to the process that asked)
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    if not torch.equal(logits, known["logits"]):
        return f"the logits differ by {float((logits - known['logits']).abs().max()):.3g}"
    return ""


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    print(json.dumps({place.name: failure(place) for place in sorted(Path(sys.argv[1]).iterdir())}))
