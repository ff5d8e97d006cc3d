"""Opening a folder of 100,000 images, none decoded, beside a bare walk over it in the same run.

    python benchmarks/listing.py [--images 100000] [--classes 100] [--repeats 5]     prints one JSON object

Must reach: at most 1.6 times ``os.walk`` with a ``stat`` a file, and under 300 MB of memory above what was there. The
files are empty. Every class has a hidden folder and a link, which are looked at too. Walk and opening are run in turn;
medians.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import machine, peak_megabytes  # noqa: E402 (the checkout is no installed package)
from cnngraph.datasets.registry import open_data  # noqa: E402
from cnngraph.origin import Preprocessing  # noqa: E402

RATIO, MEGABYTES = 1.6, 300
PREPROCESSING = Preprocessing(size=(32, 32))


def run(images: int, classes: int, repeats: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    with tempfile.TemporaryDirectory(prefix="cnngraph-listing-") as made:
        root = Path(made)
        _fill(root, images, classes)
        before = peak_megabytes()
        seconds: dict[str, list[float]] = {"walk": [], "open": []}
        for _ in range(repeats):
            seconds["walk"].append(_timed(lambda: _walk(root)))
            seconds["open"].append(_timed(lambda: _open(root, images)))
        added = peak_megabytes() - before
    medians = {name: median(values) for name, values in seconds.items()}
    ratio = medians["open"] / medians["walk"]
    return {
        "benchmark": "listing",
        "images": images,
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "ratio": round(ratio, 3),
        "megabytes": round(added, 1),
        "limits": {"ratio": RATIO, "megabytes": MEGABYTES},
        "reached": ratio <= RATIO and added < MEGABYTES,
        "machine": machine(),
    }


def _fill(root: Path, images: int, classes: int) -> None:
    each = images // classes
    for number in range(classes):
        folder = root / f"class_{number:03d}"
        (folder / ".thumbnails").mkdir(parents=True)
        for image in range(each - 1):
            (folder / f"image_{image:06d}.jpg").touch()
        (root / f"{number:03d}.jpg").touch()
        (folder / "link.jpg").symlink_to(root / f"{number:03d}.jpg")


def _walk(root: Path) -> int:
    """What no program can do without that asks for every file."""
    return sum(os.stat(os.path.join(folder, name)).st_size >= 0 for folder, _, names in os.walk(root) for name in names)  # noqa: PTH116, PTH118


def _open(root: Path, images: int) -> None:
    data = open_data(f"folder:{root}", preprocessing=PREPROCESSING, parts=())
    found = len(data.train) + len(data.validation) + len(data.test)
    if found != images:
        raise SystemExit(f"{found} of {images} images were found")


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(run(options.images, options.classes, options.repeats), indent=2))
