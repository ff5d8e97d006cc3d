"""Images a second of trainings as ``bench``, ``triage`` and ``criticality`` run them, beside float32.

    python benchmarks/training.py [--repeats 5] [--threads 2 1] [--seeds 3] [--epochs 10] [--nets resnet20 vgg16]

Nets of width 0.25 are trained on digits at 32 px, batches of 64, as it was (float32, all of the net in the one memory
format that measures faster) and as ``choose_for_many`` chooses now; in turns, on each number of threads. A ratio is
that of the least times, since others on the machine only add to them. ``passes`` are over the training images,
``whole`` has the validation after them too, which is in float32 either way; ``cpu`` are the CPU seconds of the whole,
which on one thread others disturb least. Must reach 1.5 in passes on the first number of threads.

Then ``--seeds`` trainings of ``--epochs`` each way, on one thread: test accuracy, its standard error, and whether what
is chosen now is as good within the standard error of the difference. They are kept, and not made twice.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import TYPE_CHECKING, Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import Findings, machine, write_result  # noqa: E402 (the checkout is no installed package)

if TYPE_CHECKING:
    from cnngraph.training.execution import Execution

TARGET, NETS = 1.5, ("resnet20", "vgg16")
WIDTH, SIDE, BATCH = 0.25, 32, 64


def run(repeats: int, threads: Sequence[int], seeds: int, epochs: int, nets: Sequence[str]) -> dict[str, Any]:
    """The figures as a JSON object."""
    from cnngraph.datasets.registry import open_data
    from cnngraph.origin import Preprocessing

    torch.set_num_threads(threads[0])
    data = open_data("digits", preprocessing=Preprocessing(size=(SIDE, SIDE), channels=3))
    for images in (data.train, data.validation, data.test):
        images.preload()
    ways = {name: _ways(name, data) for name in nets}
    rows: dict[str, dict[str, Any]] = {}
    for name in nets:
        rows[name] = {way: asdict(how) for way, how in ways[name].items()}
        rows[name]["threads"] = _speed(name, data, ways[name], repeats, threads)
        print(json.dumps({name: rows[name]}), file=sys.stderr, flush=True)
    for name in nets:
        rows[name]["accuracy"] = _accuracies(name, data, ways[name], seeds, epochs)
    ratio = min(row["threads"][threads[0]]["passes"]["ratio"] for row in rows.values())
    return {
        "benchmark": "training",
        "target": TARGET,
        "ratio": ratio,
        "images": len(data.train),
        "nets": rows,
        "reached": ratio >= TARGET,
        "machine": machine(),
    }


def _built(name: str, data: Any, seed: int = 0) -> Any:
    from cnngraph.models.registry import build

    return build(f"cnngraph:{name}", classes=len(data.classes), in_channels=3, size=SIDE, width=WIDTH, seed=seed)


def _ways(name: str, data: Any) -> dict[str, Execution]:
    """How a net was trained before, and how it is now."""
    from cnngraph.training.execution import choose_execution, choose_for_many

    net, sample = _built(name, data), data.train[range(BATCH)][0]
    before = choose_execution(net, sample, device="cpu", precision="fp32")
    return {"before": replace(before, narrow_norms=False), "now": choose_for_many(net, sample, device="cpu")}


def _speed(
    name: str, data: Any, ways: Mapping[str, Execution], repeats: int, threads: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Images a second of one epoch, by the least time of each way, by the number of threads."""
    from cnngraph.training.fit import fit

    net, figures = _built(name, data), ("passes", "whole", "cpu")
    taken: dict[Any, list[float]] = {(at, way, of): [] for at in threads for way in ways for of in figures}
    for _ in range(repeats):
        for at in threads:
            torch.set_num_threads(at)
            for way, how in ways.items():
                began = process_time()
                done = fit(copy.deepcopy(net), data.train, data.validation, epochs=1, batch_size=BATCH, execution=how)
                seconds = (done.epoch_seconds, done.seconds, process_time() - began)
                for of, value in zip(figures, seconds, strict=True):
                    taken[at, way, of].append(value)
    found: dict[int, dict[str, Any]] = {}
    for at in threads:
        found[at] = {}
        for of in figures:
            least = {way: min(taken[at, way, of]) for way in ways}
            found[at][of] = {
                "images_a_second": {way: round(len(data.train) / seconds, 1) for way, seconds in least.items()},
                "ratio": round(least["before"] / least["now"], 3),
                "seconds": {way: [round(value, 3) for value in taken[at, way, of]] for way in ways},
            }
    return found


def _accuracies(name: str, data: Any, ways: Mapping[str, Execution], seeds: int, epochs: int) -> dict[str, Any]:
    """Test accuracy of each seed and way; ``None`` of spreads where there is one seed."""
    from cnngraph.training.evaluate import evaluate
    from cnngraph.training.fit import fit

    known = Findings("training-accuracy", ("net", "way", "execution", "seed", "epochs"))
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {way: [] for way in ways}
    for seed in range(seeds):
        for way, how in ways.items():
            key = {"net": name, "way": way, "execution": str(how), "seed": seed, "epochs": epochs}
            row = known.get(*key.values())
            if row is None:
                net = _built(name, data, seed)
                fit(net, data.train, data.validation, epochs=epochs, batch_size=BATCH, seed=seed, execution=how)
                row = key | {"accuracy": evaluate(net, data.test, device="cpu").accuracy}
                known.add(row)
            found[way].append(row["accuracy"])
    errors = {way: stdev(values) / sqrt(seeds) if seeds > 1 else None for way, values in found.items()}
    difference = mean(found["now"]) - mean(found["before"])
    of_difference = sqrt(sum(error**2 for error in errors.values() if error is not None)) if seeds > 1 else None
    return {
        "each": found,
        "mean": {way: mean(values) for way, values in found.items()},
        "standard_error": errors,
        "difference": difference,
        "standard_error_of_difference": of_difference,
        "within": None if of_difference is None else abs(difference) <= of_difference,
        "epochs": epochs,
        "test_images": len(data.test),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1, 1])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--nets", nargs="+", default=NETS)
    found = run(**vars(parser.parse_args()))
    write_result("training", found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
