"""The agreement of a prune against one forward pass of both nets over the same images: VGG16 of half width, 32 pixels.

    python benchmarks/agreement.py [--images 512] [--repeats 5] [--threads N]

The two are run in turn over the same images and batches, and the median of their ratios is compared with the target,
1.1. Memory is that of the pass over four times as many images less that of the pass over one part.
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

from benchmarks.report import machine, peak_megabytes  # noqa: E402 (the checkout is no installed package)

TARGET = 1.1
_BATCH = 64  # as cnngraph.training.agreement reads them


def run(images: int = 512, repeats: int = 5, threads: int | None = None) -> dict[str, Any]:
    """The figures as a JSON object."""
    import numpy as np
    import torch

    from cnngraph.datasets.images import Images
    from cnngraph.datasets.pixels import ArrayPixels
    from cnngraph.models.registry import build
    from cnngraph.origin import Preprocessing
    from cnngraph.training.agreement import agreement

    if threads:
        torch.set_num_threads(threads)
    old, new = (
        build("cnngraph:vgg16", classes=10, in_channels=3, size=32, width=0.5, seed=seed).eval() for seed in (0, 1)
    )

    def pictures(count: int) -> Images:
        drawn = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        made = Images(ArrayPixels(drawn), np.arange(count) % 10, Preprocessing(size=(32, 32), channels=3))
        made.preload()
        return made

    some = pictures(images)

    def bare() -> float:
        since = perf_counter()
        with torch.inference_mode():
            for start in range(0, images, _BATCH):
                batch, _ = some[range(start, min(start + _BATCH, images))]
                old(batch)
                new(batch)
        return perf_counter() - since

    def compared() -> float:
        since = perf_counter()
        agreement(old, new, some, classes=10, most=images, device="cpu")
        return perf_counter() - since

    bare()
    compared()
    turns = [(bare(), compared()) for _ in range(repeats)]
    ratio = median(took / plain for plain, took in turns)
    before = peak_megabytes()
    more = pictures(4 * images)
    held = peak_megabytes()
    agreement(old, new, more, classes=10, most=4 * images, device="cpu")
    return {
        "benchmark": "agreement",
        "net": "cnngraph vgg16 of half width, 32 x 32, ten classes, twice",
        "images": images,
        "batch": _BATCH,
        "repeats": repeats,
        "forward_seconds": median(plain for plain, _ in turns),
        "agreement_seconds": median(took for _, took in turns),
        "ratio": ratio,
        "added_megabytes": {"images": held - before, "agreement": peak_megabytes() - held},
        "target": TARGET,
        "reached": ratio <= TARGET,
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("images", 512), ("repeats", 5), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    print(json.dumps(run(given.images, given.repeats, given.threads or None), indent=2))


if __name__ == "__main__":
    main()
