"""The mapping pass as it is by default (channels view, correlations on) against a bare forward pass of the same images.

    python benchmarks/mapping_default.py [--nets resnet50 mobilenet_v2 resnext101_32x8d] [--images 48 256]
                                         [--repeats 1] [--threads 1] [--against FOLDER_OF_ANOTHER_BUILD]

Each line is measured in a process of its own, so that its peak of memory is its own: bare passes before and after the
mapped one, in user and system seconds of one thread (wall seconds stand beside them). The whole of ``trace`` counts:
following the net, the pass, connections, comparing, checks. With ``--threads 2`` wall seconds of two threads are
compared instead, which are those of an idle machine alone. With ``--against`` the other build maps the same images,
and the pairs of alike maps and their values are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

NETS = ("resnet50", "mobilenet_v2", "resnext101_32x8d")
SIZE, BATCH, CLASSES = 96, 32, 10
MOST_MEGABYTES = 3000
# (times the bare forward pass, seconds more): with correlations, of the widest net, and without
WITH, WIDEST, WITHOUT = (2.5, 8.0), (2.5, 25.0), (1.3, 1.0)


def measure(
    net: str, images: int, correlations: bool, repeats: int, threads: int, pairs: Path | None
) -> dict[str, Any]:
    """The figures of one line; ``pairs``: where the table of alike maps is kept."""
    import pyarrow.parquet as pq
    import torch
    import torchvision

    from benchmarks.report import peak_megabytes
    from cnngraph import trace
    from cnngraph.console import Quiet

    clock = process_time if threads == 1 else perf_counter

    class Phases(Quiet):
        """A Progress that keeps the seconds of each phase."""

        def __init__(self) -> None:
            self.seconds: dict[str, float] = {}
            self._phase, self._since = "Reading labels", clock()

        def start(self, what: str, total: float | None = None) -> None:  # noqa: ARG002
            now = clock()
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
            self._phase, self._since = what, now

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = getattr(torchvision.models, net)(weights=None).eval()
    values = torch.randn(images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(images) % CLASSES
    loader = list(zip(values.split(BATCH), labels.split(BATCH), strict=True))

    def bare() -> float:
        since = clock()
        with torch.no_grad():
            for inputs, _ in loader:
                model(inputs)
        return clock() - since

    bare()
    before = peak_megabytes()
    forward, mapped, wall, phases = [bare()], [], [], []
    for _ in range(repeats):
        shown, since, begun = Phases(), clock(), perf_counter()
        network = trace(
            model,
            loader,
            classes=[str(label) for label in range(CLASSES)],
            view="channels",
            correlations=correlations,
            progress=shown,
        )
        shown.start("")
        mapped.append(clock() - since)
        wall.append(perf_counter() - begun)
        phases.append(shown.seconds)
        forward.append(bare())
    if pairs is not None:
        pq.write_table(network.resembles, pairs)
    plain, spent = median(forward), median(mapped)
    times, more = (WIDEST if "resnext" in net else WITH) if correlations else WITHOUT
    limit = times * plain + more
    return {
        "net": net,
        "images": images,
        "correlations": correlations,
        "maps": network.feature_maps.num_rows,
        "connections": network.connects.num_rows,
        "alike": network.resembles.num_rows,
        "forward_seconds": round(plain, 3),
        "trace_seconds": round(spent, 3),
        "trace_wall_seconds": round(median(wall), 3),
        "phases_seconds": {name: round(median(one.get(name, 0.0) for one in phases), 3) for name in phases[0]},
        "ratio": round(spent / plain, 2),
        "limit_seconds": round(limit, 3),
        "share_of_limit": round(spent / limit, 3),
        "reached": spent <= limit,
        "peak_megabytes": round(peak_megabytes()),
        "peak_megabytes_before": round(before),
        "memory_reached": peak_megabytes() < MOST_MEGABYTES,
    }


def run(nets: list[str], images: list[int], repeats: int, threads: int, against: str | None) -> dict[str, Any]:
    """All lines, each in a process of its own, as a JSON object."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.report import machine

    lines = []
    for net in nets:
        for count in images:
            for correlations in (False, True):
                with tempfile.TemporaryDirectory() as folder:
                    lines.append(_line(Path(folder), net, count, correlations, (repeats, threads), against))
                print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    return {
        "benchmark": "mapping_default",
        "input": f"{SIZE} x {SIZE}, batches of {BATCH}, random weights and images, {CLASSES} classes",
        "repeats": repeats,
        "threads": threads,
        "lines": lines,
        "reached": all(line["reached"] and line["memory_reached"] for line in lines),
        "machine": machine(),
    }


def _line(
    folder: Path, net: str, images: int, correlations: bool, how: tuple[int, int], against: str | None
) -> dict[str, Any]:
    """``how``: repeats and threads."""
    ours, theirs = folder / "ours.parquet", folder / "theirs.parquet"
    line = _in_a_process(ROOT, net, images, correlations, how, ours)
    if against is not None:
        other = _in_a_process(Path(against), net, images, correlations, (1, how[1]), theirs)
        line["against"] = {name: other[name] for name in ("trace_seconds", "ratio", "peak_megabytes")}
        if correlations:
            line["against"] |= differences(ours, theirs)
    return line


def _in_a_process(
    build: Path, net: str, images: int, correlations: bool, how: tuple[int, int], pairs: Path
) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", net, *map(str, (images, int(correlations), *how, pairs))]
    environment = os.environ | {"PYTHONPATH": str(build), "OMP_NUM_THREADS": str(how[1])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def differences(ours: Path, theirs: Path) -> dict[str, Any]:
    """How many pairs only one of two tables has, and the largest difference of a correlation that both have."""
    import pyarrow.parquet as pq

    ends = ("source_layer", "source_channel", "target_layer", "target_channel")
    one, other = (
        dict(
            zip(
                zip(*(table.column(end).to_pylist() for end in ends), strict=True),
                table.column("correlation").to_pylist(),
                strict=True,
            )
        )
        for table in (pq.read_table(ours), pq.read_table(theirs))
    )
    both = one.keys() & other.keys()
    return {
        "pairs_of_one_alone": len(one.keys() ^ other.keys()),
        "pairs": len(one),
        "largest_difference": max((abs(one[pair] - other[pair]) for pair in both), default=0.0),
    }


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--one"]:
        net, images, correlations, repeats, threads, pairs = sys.argv[2:]
        import cnngraph  # noqa: F401 (the build that is measured, by PYTHONPATH; the rest of this file is of ours)

        sys.path.insert(0, str(ROOT))
        print(json.dumps(measure(net, int(images), correlations == "1", int(repeats), int(threads), Path(pairs))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--images", nargs="+", type=int, default=[48, 256])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--against", help="the folder of another build's checkout")
    options = parser.parse_args()
    print(json.dumps(run(options.nets, options.images, options.repeats, options.threads, options.against), indent=2))


if __name__ == "__main__":
    main()
