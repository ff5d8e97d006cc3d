"""CAR by the tail of the net, beside whole runs and beside a loop over suffixes, in one run.

    python benchmarks/car.py [--nets FOLDER] [--only vgg16 resnet20]        prints one JSON object

VGG16 at 32 px (full width) and resnet20 are trained on digits first; ``--nets`` keeps them. For each layer the choice
of the first three filters on 1,000 training images (digits have no more) is timed; the *naive* loop, a whole run of
the masked net for each candidate in batches of the fastest size, is timed on 20 candidates and reckoned for all; so is
the *suffix* loop, which runs the net from the layer that reads the candidate. CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import cnngraph as cg
from cnngraph.datasets.registry import open_data
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.surgery.channels.ablation import AblatedNet, Ablation
from cnngraph.surgery.channels.coupling import Coupling, Group, coupled
from cnngraph.training.evaluate import evaluate
from cnngraph.training.fit import fit

SHAPE = (3, 32, 32)
IMAGES, STEPS, SAMPLED = 1000, 3, 20
BATCHES = (64, 250, 1000)
# net, layer, at least so many times the speed of the naive loop, and of the suffix loop
ROWS: dict[str, list[tuple[str, float, float | None]]] = {
    "vgg16": [("features.14", 5.0, 3.0), ("features.28", 10.0, 3.0)],
    "resnet20": [("layer2.0.conv1", 3.0, None)],
}
LEAST_ACCURACY = 0.85


def train(net: str, folder: Path, images: Any) -> nn.Module:
    """The trained net; read back where an earlier run left it."""
    if not folder.exists():
        model = build(f"cnngraph:{net}", classes=10, size=32, seed=0)
        fit(model, images.train, images.validation, epochs=20, seed=0, device="cpu", patience=5)
        cg.save(model, folder, preprocessing=images.train.preprocessing, classes=images.classes, dataset="digits")
    return cg.load(folder).eval()


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds that it takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def run(nets: Path, names: Sequence[str]) -> dict[str, Any]:
    """The figures as a JSON object."""
    data = open_data("digits", preprocessing=Preprocessing(size=(32, 32), channels=3))
    pictures, labels = data.train[list(range(min(IMAGES, len(data.train))))]
    found: dict[str, Any] = {}
    for name in names:
        model = train(name, nets / name, data)
        accuracy = evaluate(model, data.validation, device="cpu").accuracy
        coupling = coupled(model, SHAPE)
        for layer, naive, suffix in ROWS[name]:
            row = _row(model, coupling, layer, pictures, torch.as_tensor(labels), chain=suffix is not None)
            row |= {"accuracy": accuracy, "must_reach": {"naive": naive, "suffix": suffix}}
            row["reached"] = (
                accuracy >= LEAST_ACCURACY
                and row["times_naive"] >= naive
                and (suffix is None or row["times_suffix"] >= suffix)
            )
            found[f"{name} {layer}"] = row
    return {
        "benchmark": "car",
        "rows": found,
        "reached": all(row["reached"] for row in found.values()),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()},
    }


def _row(
    model: nn.Module, coupling: Coupling, layer: str, pictures: Tensor, labels: Tensor, *, chain: bool
) -> dict[str, Any]:
    groups = [group for group in coupling.groups if not group.fixed and layer in dict(group.filters)]
    answers = sum(len(groups) - step for step in range(STEPS))
    ours: list[Group] = []

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        return [(pictures, labels)]

    def choose() -> None:
        judge = Ablation(AblatedNet(copy.deepcopy(model), coupling), groups, batches, input_shape=SHAPE, classes=10)
        for _ in range(STEPS):
            chosen, _ = judge.choose(judge.groups)
            judge.remove(chosen)
            ours.append(chosen)

    def whole(batch: int, some: Sequence[Group]) -> None:
        ablated = AblatedNet(copy.deepcopy(model), coupling)
        with torch.inference_mode():
            for group in some:
                with ablated.without(group) as net:
                    for part in torch.split(pictures, batch):
                        net(part).argmax(1)

    sample = groups[:: max(1, len(groups) // SAMPLED)][:SAMPLED]
    fastest = min(BATCHES, key=lambda batch: seconds(lambda: whole(batch, sample[:3])))
    naive = median(seconds(lambda group=group: whole(fastest, [group])) for group in sample)  # type: ignore[misc]
    suffix = median(_suffix_seconds(model, coupling, sample, pictures)) if chain else None
    mine = seconds(choose)
    return {
        "filters": len(groups),
        "images": len(pictures),
        "chosen": [group.filters[0][1] for group in ours],
        "seconds": {"ours": mine, "naive": naive * answers, "suffix": suffix and suffix * answers},
        "naive_batch": fastest,
        "times_naive": naive * answers / mine,
        "times_suffix": suffix and suffix * answers / mine,
    }


def _suffix_seconds(model: nn.Module, coupling: Coupling, groups: Sequence[Group], pictures: Tensor) -> list[float]:
    """What one candidate takes where the net runs from the layer that reads it, on what was computed once."""
    ablated = AblatedNet(copy.deepcopy(model), coupling)
    reader = ablated.net.get_submodule(groups[0].readers[0][0])
    given: list[Tensor] = []
    reader.register_forward_pre_hook(lambda _, args: given.append(args[0].detach()))
    with torch.inference_mode():
        ablated.net(pictures)
    steps = _after(ablated.net, reader)
    found = []
    for group in groups:
        with ablated.without(group), torch.inference_mode():

            def run_suffix() -> None:
                x = given[0]
                for step in steps:
                    x = step(x)
                x.argmax(1)

            found.append(seconds(run_suffix))
    return found


def _after(net: nn.Module, reader: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """The steps of a chain of features and classifier from ``reader`` on."""
    features, classifier = list(net.features), list(net.classifier)  # type: ignore[arg-type]
    steps = [*features, lambda x: x.flatten(1), *classifier]
    return steps[steps.index(reader) :]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=Path, help="where the trained nets are kept (default: nowhere)")
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="cnngraph-bench-") as room:
        print(json.dumps(run(options.nets or Path(room), options.only), indent=2))
