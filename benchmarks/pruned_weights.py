"""What pruned weights cost and bring: the time of an epoch under masks, the size of files, latency.

    python benchmarks/pruned_weights.py [--images 512] [--repeats 9] [--threads 1]

Epochs with and without masks are run in turns, on the same random images and as ``fit`` runs them; the median of the
ratios is compared with the target, 1.05. Time is that of the processor, which others on the machine disturb less. The
masks are those of ten rounds of a fifth each by magnitude, on new weights: neither times nor sizes depend on what the
net has learned, but for a few per cent of what compression finds.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import machine, write_result  # noqa: E402 (the checkout is no installed package)

TARGET = 1.05
NETS = {"lenet5_avg": (1, 28), "vgg_svhn": (3, 32)}  # channels and pixels
ROUNDS, RATE, CLASSES, BATCH = 10, 0.2, 10, 64


def run(images: int, repeats: int, threads: int) -> dict[str, Any]:
    """The figures as a JSON object."""
    import torch

    torch.set_num_threads(threads)
    rows = {name: _row(name, *shape, images, repeats) for name, shape in NETS.items()}
    reached = all(row["epoch_ratio"] <= TARGET for row in rows.values())
    return {"target": TARGET, "nets": rows, "images": images, "reached": reached, "machine": machine()}


def _row(name: str, channels: int, side: int, count: int, repeats: int) -> dict[str, Any]:
    from cnngraph.jobs.sparsity import file_sizes, sparsity_of
    from cnngraph.models.registry import build
    from cnngraph.training.latency import latency_ms

    shape = (channels, side, side)
    net = build(f"cnngraph:{name}", classes=CLASSES, in_channels=channels, size=side, seed=0).eval()
    masked = _masked(net)
    ratios = _epoch_ratios(net, masked, shape, count, repeats)
    found = sparsity_of(masked)
    assert found is not None
    return {
        "epoch_ratio": median(ratios),
        "epoch_ratios": ratios,
        "alive": found["alive"],
        "weights": found["weights"],
        "sizes": {"before": file_sizes(net, shape), "after": file_sizes(masked, shape)},
        "latency_ms": latency_ms({"before": net, "after": masked}, shape, device="cpu"),
    }


def _masked(net: Any) -> Any:
    """A copy with the masks of all rounds: its convs and dense layers but for the last."""
    from torch import nn

    from cnngraph.models.masks import keep_zeros, masks_of, set_masks
    from cnngraph.pruning.smallest_weights import keep_largest

    slim = copy.deepcopy(net)
    names = [f"{path}.weight" for path, one in slim.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)][:-1]
    weights = [slim.get_parameter(name).detach().numpy() for name in names]
    alive = None
    for _ in range(ROUNDS):
        alive = keep_largest(weights, RATE, alive)
    assert alive is not None
    set_masks(slim, masks_of(dict(zip(names, alive, strict=True))))
    keep_zeros(slim)
    return slim


def _epoch_ratios(net: Any, masked: Any, shape: tuple[int, int, int], count: int, repeats: int) -> list[float]:
    from cnngraph.datasets.images import Images
    from cnngraph.datasets.pixels import ArrayPixels
    from cnngraph.origin import Preprocessing
    from cnngraph.training.fit import fit

    chance = np.random.default_rng(0)
    channels, side, _ = shape
    pixels = chance.integers(0, 256, (count, side, side) if channels == 1 else (count, side, side, channels))
    labels = np.arange(count, dtype=np.int64) % CLASSES
    images = Images(ArrayPixels(pixels.astype(np.uint8)), labels, Preprocessing(size=(side, side), channels=channels))
    images.preload()

    def seconds(model: Any) -> float:
        how: Any = {"epochs": 1, "batch_size": BATCH, "device": "cpu", "precision": "fp32", "channels_last": False}
        pupil = copy.deepcopy(model)
        since = process_time()
        fit(pupil, images, None, **how)
        return process_time() - since

    seconds(net), seconds(masked)  # warm
    found = []
    for turn in range(repeats):
        first, second = (net, masked) if turn % 2 else (masked, net)
        times = {id(one): seconds(one) for one in (first, second)}
        found.append(times[id(masked)] / times[id(net)])
    return found


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    found = run(**vars(parser.parse_args()))
    write_result("pruned_weights", found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
