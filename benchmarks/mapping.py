"""The mapping pass against a bare forward pass over the same images: VGG16 at 224 pixels, mean patches, both views.

    python benchmarks/mapping.py [--images 16] [--batch 8] [--repeats 3] [--threads N]

The two are run in turn and the median of their ratios is compared with the target, 1.3. The ratio is that of the pass
over the images; following the net, connections and checks, which do not grow with the images, are listed beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import machine  # noqa: E402 (the checkout is no installed package)
from cnngraph.console import Quiet  # noqa: E402

TARGET = 1.3


class Phases(Quiet):
    """A Progress that keeps how long each phase took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._phase = "reading labels"
        self._since = perf_counter()

    def start(self, what: str, total: float | None = None) -> None:  # noqa: ARG002
        now = perf_counter()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = what, now


def run(images: int = 16, batch: int = 8, repeats: int = 3, threads: int | None = None) -> dict[str, Any]:
    """The figures as a JSON object."""
    import torch
    import torchvision

    from cnngraph import trace

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = torchvision.models.vgg16(weights=None).eval()
    values = torch.randn(images, 3, 224, 224)
    labels = torch.arange(images) % 10
    loader = list(zip(values.split(batch), labels.split(batch), strict=True))
    classes = [str(label) for label in range(min(10, images))]

    def bare() -> float:
        since = perf_counter()
        with torch.no_grad():
            for inputs, _ in loader:
                net(inputs)
        return perf_counter() - since

    def mapped() -> dict[str, float]:
        phases = Phases()
        since = perf_counter()
        trace(net, loader, classes=classes, correlations=False, progress=phases)
        phases.start("")
        return phases.seconds | {"whole trace": perf_counter() - since}

    bare()
    mapped()
    turns = [(bare(), mapped()) for _ in range(repeats)]
    forward = median(seconds for seconds, _ in turns)
    phases = {name: median(seconds[name] for _, seconds in turns) for name in turns[0][1]}
    ratio = median(seconds["Mapping images"] / plain for plain, seconds in turns)
    return {
        "benchmark": "mapping",
        "net": "torchvision vgg16, 224 x 224, ten classes",
        "images": images,
        "batch": batch,
        "repeats": repeats,
        "forward_seconds": forward,
        "phases_seconds": phases,
        "ratio": ratio,
        "target": TARGET,
        "reached": ratio <= TARGET,
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("images", 16), ("batch", 8), ("repeats", 3), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    print(json.dumps(run(given.images, given.batch, given.repeats, given.threads or None), indent=2))


if __name__ == "__main__":
    main()
