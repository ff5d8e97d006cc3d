"""Two nets compared layer by layer beside their two bare forward passes, and PWCCA beside QR and SVD, in one run.

    python benchmarks/similarity.py [--images 5000]        prints one JSON object

Two VGG16 at 32 px (full width, new weights) on random images: ``layers`` is every layer with its own, by SVCCA and CKA,
each with its null; ``all_pairs`` the 13 activations of convs with each of the other net, by CKA. The bare passes take
batches of the size that is quickest for them. PWCCA is of 20,000 points and 512 neurons of a condition of 1,000. CPU
seconds of one thread; memory is the peak of the process. Whether it grows with the images is looked at in two processes
that give freed memory back at once: else it is the C library's heap, in pieces, that grows a little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cnngraph.models.registry import build
from cnngraph.network.followed_net import FollowedNet
from cnngraph.similarity import pwcca
from cnngraph.similarity.nets import SimilarityOptions, compare_nets, compared_layers

SHAPE = (3, 32, 32)
BATCH, BATCHES, TRIED = 64, (16, 64, 256), 256
LAYERS_AT_MOST, PAIRS_AT_MOST, MEGABYTES_AT_MOST = 2.5, 4.0, 2000
FEW, FOUR_TIMES, GROWTH_AT_MOST = 512, 2048, 50  # images, and megabytes from the few to the many
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
POINTS, NEURONS, CONDITION = 20_000, 512, 1e3
TIMES_AT_LEAST, EQUAL_TO = 2.0, 1e-9


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds that it takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def megabytes() -> float:
    """The largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def own_megabytes() -> float:
    """The same of Linux since the program began: the other figure counts the process that it was started from, too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:"))


def batches(images: int, size: int = BATCH) -> Iterator[Tensor]:
    """Random images, made anew each time."""
    draw = torch.Generator().manual_seed(0)
    for start in range(0, images, size):
        yield torch.randn(min(size, images - start), *SHAPE, generator=draw)


def two_nets() -> tuple[FollowedNet, FollowedNet]:
    """Of the same architecture, with other weights."""
    one, other = (FollowedNet(build("cnngraph:vgg16", classes=10, size=32, seed=seed).eval(), SHAPE) for seed in (0, 1))
    return one, other


def peak_of_layers(images: int) -> float:
    """Megabytes of a process that compares every layer with its own on so many images, and does nothing else."""
    command = [sys.executable, __file__, "--memory-of", str(images)]
    done = subprocess.run(command, env=os.environ | GIVEN_BACK, capture_output=True, text=True, check=True)
    return float(done.stdout)


def compare_layers(images: int) -> None:
    """Every layer with its own."""
    one, other = two_nets()
    own = [(layer.layer, layer.layer) for layer in compared_layers(one)]
    both = ((batch, batch) for batch in batches(images))
    compare_nets(one, other, both, own, SimilarityOptions(measures=("svcca", "cka")))


def nets(images: int) -> dict[str, Any]:
    """The comparison of two nets beside their bare passes."""
    one, other = two_nets()
    layers = compared_layers(one)
    convs = [layer.layer for layer in layers if layer.kind == "Activation" and layer.layer.startswith("features")]

    def bare(count: int, size: int) -> None:
        with torch.inference_mode():
            for batch in batches(count, size):
                for followed in (one, other):
                    followed.model(batch)

    def compare(pairs: list[tuple[str, str]], count: int, *measures: str) -> None:
        both = ((batch, batch) for batch in batches(count))
        found = compare_nets(one, other, both, pairs, SimilarityOptions(measures=measures))
        assert len(found) == len(pairs) * len(measures)

    own, every = [(one.layer, one.layer) for one in layers], [(one, two) for one in convs for two in convs]
    bare(BATCH, BATCH)
    quickest = min(BATCHES, key=lambda size: seconds(lambda: bare(TRIED, size)))
    passes = [seconds(lambda: bare(images, quickest))]
    of_layers = seconds(lambda: compare(own, images, "svcca", "cka"))
    peak, few, many = megabytes(), peak_of_layers(FEW), peak_of_layers(FOUR_TIMES)
    passes.append(seconds(lambda: bare(images, quickest)))
    of_pairs = seconds(lambda: compare(every, images, "cka"))
    forward = sum(passes) / len(passes)
    return {
        "images": images,
        "batch": quickest,
        "layers": len(own),
        "pairs": len(every),
        "seconds": {"passes": passes, "layers": of_layers, "all_pairs": of_pairs},
        "layers_times_passes": of_layers / forward,
        "pairs_times_passes": of_pairs / forward,
        "megabytes": {"layers": peak, "all_pairs": megabytes(), f"of {FEW}": few, f"of {FOUR_TIMES}": many},
        "reached": of_layers <= LAYERS_AT_MOST * forward
        and of_pairs <= PAIRS_AT_MOST * forward
        and megabytes() < MEGABYTES_AT_MOST
        and many - few < GROWTH_AT_MOST,
    }


def matrices() -> dict[str, Any]:
    """PWCCA beside QR and SVD."""
    draw = np.random.default_rng(0)

    def layer(shared: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        mixed = shared + draw.normal(size=(POINTS, NEURONS))
        turn, _ = np.linalg.qr(draw.normal(size=(NEURONS, NEURONS)))
        basis, _ = np.linalg.qr(mixed - mixed.mean(0))
        return basis * np.geomspace(1, 1 / CONDITION, NEURONS) @ turn

    shared = draw.normal(size=(POINTS, NEURONS))
    x, y = layer(shared), layer(shared)

    def by_qr() -> float:
        a, b = x - x.mean(0), y - y.mean(0)
        (q, _), (r, _) = np.linalg.qr(a), np.linalg.qr(b)
        left, coefficients, _ = np.linalg.svd(q.T @ r)
        weights = np.abs((q @ left).T @ a).sum(axis=1)
        return float(weights @ coefficients / weights.sum())

    found: dict[str, float] = {}
    taken = {
        name: seconds(lambda name=name, work=work: found.update({name: work()}))  # type: ignore[misc]
        for name, work in (("ours", lambda: pwcca(x, y)), ("qr", by_qr))
    }
    difference = abs(found["ours"] - found["qr"])
    return {
        "seconds": taken,
        "times": taken["qr"] / taken["ours"],
        "difference": difference,
        "reached": taken["qr"] >= TIMES_AT_LEAST * taken["ours"] and difference <= EQUAL_TO,
    }


def run(images: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    rows = {"nets": nets(images), "pwcca": matrices()}
    return {
        "benchmark": "similarity",
        **rows,
        "reached": all(row["reached"] for row in rows.values()),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--memory-of", type=int, metavar="IMAGES", help="only the peak of a comparison of the layers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        compare_layers(options.memory_of)
        print(own_megabytes())
    else:
        print(json.dumps(run(options.images), indent=2))
