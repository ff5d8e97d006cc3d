"""Position topology of VGG16 at 224 pixels: time and memory, beside the reference rule in plain Python.

    python benchmarks/topology.py            prints one JSON object

Must reach: at most 0.3 s (median), under 1 GB of memory beside the net itself. On a busy machine the processor seconds
say more than the wall clock.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision

from cnngraph.network.graph import follow
from cnngraph.network.topology import Topology, positions_and_arcs

SIZE = 224
REPEATS = 9
LIMIT_SECONDS = 0.3
LIMIT_MEGABYTES = 1000
# VGG16's convolutions: output size of each; all kernels are 3 x 3, a 2 x 2 pool lies where the size halves.
SIZES = [224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14]


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """Medians of :data:`REPEATS` runs: on the wall clock and on the processor."""
    wall, processor = [], []
    for _ in range(REPEATS):
        start, start_processor = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return {"wall": statistics.median(wall), "processor": statistics.median(processor)}


def peak_megabytes() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reference() -> set[tuple[int, int]]:
    """The reference's rule for VGG16, arc by arc (methods of the paper's published implementation)."""
    grids: list[dict[tuple[int, int], int]] = []
    number = 0
    for index, size in enumerate(SIZES):
        margin = 1 if index + 1 < len(SIZES) else 0
        grid = {}
        for x in range(margin, size - margin):
            for y in range(margin, size - margin):
                number += 1
                grid[x, y] = number
        grids.append(grid)
    arcs = set()
    for source, target, ratio in zip(grids, grids[1:], np.divide(SIZES[:-1], SIZES[1:]).astype(int), strict=False):
        width = int(ratio) * 3
        for (x, y), end in target.items():
            for row in range((x - 1) * ratio, (x - 1) * ratio + width):
                for column in range((y - 1) * ratio, (y - 1) * ratio + width):
                    start = source.get((row, column))
                    if start is not None:
                        arcs.add((start, end))
    return arcs


def main() -> dict[str, Any]:
    """Measure, check the numbers and return the results."""
    model = torchvision.models.vgg16(init_weights=False)
    before = peak_megabytes()
    graph = follow(model, (3, SIZE, SIZE))
    topology: Topology = positions_and_arcs(graph)
    took = seconds(lambda: positions_and_arcs(graph))
    took_to_follow = seconds(lambda: follow(model, (3, SIZE, SIZE)))
    added = peak_megabytes() - before
    start = time.perf_counter()
    expected = reference()
    reference_seconds = time.perf_counter() - start
    return {
        "benchmark": "topology",
        "positions": topology.positions,
        "arcs": len(topology.source),
        "same_as_reference": expected == set(zip(topology.source.tolist(), topology.target.tolist(), strict=True)),
        "seconds": {"topology": took, "follow": took_to_follow, "reference_in_python": reference_seconds},
        "megabytes": {"added": added, "with_torch_and_net": before + added},
        "limits": {"seconds": LIMIT_SECONDS, "megabytes": LIMIT_MEGABYTES},
        "reached": took["wall"] <= LIMIT_SECONDS and added < LIMIT_MEGABYTES,
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
