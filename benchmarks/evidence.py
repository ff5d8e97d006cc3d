"""Evidence of all filters against a bare forward pass over the same images: cnngraph:vgg16 at 32 pixels.

    python benchmarks/evidence.py [--images 2000] [--batch 64] [--repeats 3] [--threads 1]

Occurrence maps by class, top images and twins of all filters of all layers are gathered, in turns with a bare pass; the
median of the ratios is compared with the target, 2. The net has full width and new weights: it is slower with trained
ones for neither. That memory does not grow with the images is seen by a second process, which has a quarter of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import machine, peak_megabytes  # noqa: E402 (the checkout is no installed package)

TARGET = 2.0
GROWTH = 1.1  # of the peak, from a quarter of the images to all of them
CLASSES = 10


class Images:
    """Batches of random images that are made anew, the same ones each time: none of them stays in memory."""

    def __init__(self, count: int, batch: int) -> None:
        self.count, self.batch = count, batch

    def __iter__(self) -> Any:
        import torch

        random = torch.Generator().manual_seed(0)
        for start in range(0, self.count, self.batch):
            size = min(self.batch, self.count - start)
            yield torch.randn(size, 3, 32, 32, generator=random), torch.arange(start, start + size) % CLASSES


def run(images: int, batch: int, repeats: int, threads: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    import torch

    from cnngraph.evidence.collect import collect
    from cnngraph.models.registry import build
    from cnngraph.network.followed_net import FollowedNet

    torch.set_num_threads(threads)
    net = build("cnngraph:vgg16", classes=CLASSES, size=32, seed=0).eval()
    followed = FollowedNet(net, (3, 32, 32))
    classes = [str(label) for label in range(CLASSES)]
    batches = Images(images, batch)
    followed.graph  # noqa: B018 (following the net does not grow with the images)

    def bare() -> float:
        since = perf_counter()
        with torch.inference_mode():
            for inputs, _ in batches:
                net(inputs)
        return perf_counter() - since

    def gathered() -> float:
        since = perf_counter()
        collect(followed, batches, classes)
        return perf_counter() - since

    turns = [(bare(), gathered()) for _ in range(repeats)]
    return {
        "images": images,
        "forward_seconds": median(plain for plain, _ in turns),
        "evidence_seconds": median(found for _, found in turns),
        "ratio": median(found / plain for plain, found in turns),
        "peak_megabytes": peak_megabytes(),
    }


def report(given: argparse.Namespace) -> dict[str, Any]:
    """The ratio of this process, and the peak of one with fewer images."""
    fewer = max(given.batch, given.images // 4)
    command = [sys.executable, __file__, "--alone", "--repeats", "1", "--images", str(fewer)]
    command += ["--batch", str(given.batch), "--threads", str(given.threads)]
    few = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    found = run(given.images, given.batch, given.repeats, given.threads)
    growth = found["peak_megabytes"] / few["peak_megabytes"]
    return {
        "benchmark": "evidence",
        "net": "cnngraph:vgg16, 32 x 32, ten classes",
        **found,
        "target": TARGET,
        "peak_megabytes_of_a_quarter": few["peak_megabytes"],
        "growth": growth,
        "reached": found["ratio"] <= TARGET and growth <= GROWTH,
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("images", 2000), ("batch", 64), ("repeats", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--alone", action="store_true", help="this process alone, no comparison")
    given = parser.parse_args()
    found = run(given.images, given.batch, given.repeats, given.threads) if given.alone else report(given)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
