"""Every benchmark, each in a process of its own, and one table: ``make bench``. JSON goes to benchmarks/results/."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnngraph.console import say, table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"

Found = dict[str, dict[str, Any]]

OPTIONS = {"car": ("--nets", RESULTS / "car-nets")}  # trained once

# work, must reach, figure, whether it is reached
ROWS: list[tuple[str, str, Callable[[Found], str], Callable[[Found], bool]]] = [
    (
        "position topology of VGG16 at 224",
        "<= 0.3 s, < 1 GB",
        lambda f: f"{f['topology']['seconds']['topology']['wall']:.2f} s, {f['topology']['megabytes']['added']:.0f} MB",
        lambda f: f["topology"]["reached"],
    ),
    (
        "mapping pass / bare forward pass",
        "<= 1.3",
        lambda f: f"{f['mapping']['ratio']:.2f}",
        lambda f: f["mapping"]["reached"],
    ),
    (
        "mapping as it is by default / its limit, the slowest line",
        "<= 1, < 3 GB",
        lambda f: (
            f"{max(line['share_of_limit'] for line in f['mapping_default']['lines']):.2f}, "
            f"{max(line['peak_megabytes'] for line in f['mapping_default']['lines']) / 1000:.1f} GB"
        ),
        lambda f: f["mapping_default"]["reached"],
    ),
    (
        "evidence of all filters of VGG16 at 32 / a forward pass",
        "<= 2, memory flat",
        lambda f: f"{f['evidence']['ratio']:.2f}, {f['evidence']['peak_megabytes']:.0f} MB",
        lambda f: f["evidence"]["reached"],
    ),
    (
        "CAR against the naive loop, the slowest row against its limit",
        ">= 1",
        lambda f: f"{min(row['times_naive'] / row['must_reach']['naive'] for row in f['car']['rows'].values()):.2f}",
        lambda f: f["car"]["reached"],
    ),
    (
        "similarity of all layers of two VGG16 / both forward passes",
        "<= 2.5, < 2 GB",
        lambda f: (
            f"{f['similarity']['nets']['layers_times_passes']:.2f}, "
            f"{f['similarity']['nets']['megabytes']['all'] / 1000:.1f} GB"
        ),
        lambda f: f["similarity"]["nets"]["reached"],
    ),
    (
        "similarity of all pairs (13 x 13) / both forward passes",
        "<= 4",
        lambda f: f"{f['similarity']['nets']['pairs_times_passes']:.2f}",
        lambda f: f["similarity"]["nets"]["reached"],
    ),
    (
        "PWCCA of (20,000 x 512), times as quick as QR and SVD",
        ">= 2, equal to 1e-9",
        lambda f: f"{f['similarity']['pwcca']['times']:.1f}, {f['similarity']['pwcca']['difference']:.0e}",
        lambda f: f["similarity"]["pwcca"]["reached"],
    ),
    (
        "agreement in a prune / a forward pass of both nets",
        "<= 1.1",
        lambda f: f"{f['agreement']['ratio']:.2f}",
        lambda f: f["agreement"]["reached"],
    ),
    (
        "an epoch under masks / without, the slower of two nets",
        "<= 1.05",
        lambda f: f"{max(row['epoch_ratio'] for row in f['pruned_weights']['nets'].values()):.3f}",
        lambda f: f["pruned_weights"]["reached"],
    ),
    (
        "online ingest, relationships/s",
        ">= 50,000",
        lambda f: f"{f['ingest']['relationships_per_second']:,}",
        lambda f: f["ingest"]["relationships_per_second"] >= 50_000,
    ),
    (
        "online ingest / plain UNWIND",
        ">= 1.3",
        lambda f: f"{f['ingest']['times_plain_unwind']:.2f}",
        lambda f: f["ingest"]["times_plain_unwind"] >= 1.3,
    ),
    (
        "online ingest, client memory",
        "< 2 GB",
        lambda f: f"{f['ingest']['client_gb']:.2f} GB",
        lambda f: f["ingest"]["client_gb"] < 2,
    ),
    (
        "degree in the database",
        "<= 15 s",
        lambda f: f"{f['measures']['measures']['degree']['seconds']:.1f} s",
        lambda f: f["measures"]["measures"]["degree"]["reached"],
    ),
    (
        "entropy in the database",
        "<= 15 s",
        lambda f: f"{f['measures']['measures']['entropy']['seconds']:.1f} s",
        lambda f: f["measures"]["measures"]["entropy"]["reached"],
    ),
    (
        "a GDS measure through the client / the bare calls",
        "<= 1.3",
        lambda f: f"{f['gds']['ratio']:.2f}",
        lambda f: f["gds"]["reached"],
    ),
    (
        "--help above a bare interpreter",
        "< 0.3 s",
        lambda f: f"{f['startup']['above']['help']:.2f} s",
        lambda f: f["startup"]["above"]["help"] < 0.3,
    ),
    (
        "list above a bare interpreter",
        "< 1.2 s",
        lambda f: f"{f['startup']['above']['list']:.2f} s",
        lambda f: f["startup"]["above"]["list"] < 1.2,
    ),
    (
        "import of what a working command needs above import torch",
        "< 0.5 s",
        lambda f: f"{f['startup']['above']['working']:.2f} s",
        lambda f: f["startup"]["above"]["working"] < 0.5,
    ),
    (
        "opening 100,000 images / os.walk with stat",
        "<= 1.6, < 300 MB",
        lambda f: f"{f['listing']['ratio']:.2f}, {f['listing']['megabytes']:.0f} MB",
        lambda f: f["listing"]["reached"],
    ),
    (
        "bench of eight methods / the methods one by one",
        "<= 1.15",
        lambda f: f"{f['bench']['ratio']:.2f}",
        lambda f: f["bench"]["reached"],
    ),
    (
        "trainings of a bench, triage, criticality / in float32, images/s, the slower of two nets",
        ">= 1.5",
        lambda f: f"{f['training']['ratio']:.2f}",
        lambda f: f["training"]["reached"],
    ),
    (
        "server ready",
        "<= 20 s",
        lambda f: f"{f['server']['server']['median_ready_seconds']:.1f} s",
        lambda f: f["server"]["server"]["reached"],
    ),
    (
        "first fetch",
        "<= 90 s at 5 MB/s",
        lambda f: f"{f['server']['fetch']['seconds']:.0f} s",
        lambda f: f["server"]["fetch"]["reached"],
    ),
]


def main() -> int:
    """Run all, print the table; exit 1 where something falls short."""
    RESULTS.mkdir(exist_ok=True)
    found: Found = {}
    with tempfile.TemporaryDirectory(prefix="cnngraph-bench-") as home:
        env = os.environ | {"CNNGRAPH_HOME": home}
        try:
            names = ("topology", "mapping", "mapping_default", "evidence", "car", "agreement", "ingest", "measures")
            for name in (
                *names,
                "pruned_weights",
                "similarity",
                "gds",
                "listing",
                "startup",
                "bench",
                "training",
                "server",
            ):
                say(f"{name} ...")
                command = [sys.executable, HERE / f"{name}.py", *OPTIONS.get(name, ())]
                done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
                (RESULTS / f"{name}.json").write_text(done.stdout, encoding="utf-8")
                found[name] = json.loads(done.stdout)
        finally:
            program = Path(sys.executable).with_name("cnngraph")
            subprocess.run([program, "db", "down"], env=env, check=False, capture_output=True)
    reached = [ok(found) for _, _, _, ok in ROWS]
    rows = [(work, must, figure(found), "yes" if ok(found) else "NO") for work, must, figure, ok in ROWS]
    table(("work", "must reach", "measured", "reached"), rows)
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
