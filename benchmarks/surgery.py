"""Filters of torchvision's nets, beside Torch-Pruning in the same run: seconds, memory, sizes, latency, and the proof.

    python benchmarks/surgery.py [--nets resnet18 densenet201] [--ratio 0.3] [--again]

Of every layer the same share of filters goes, those of the lowest L2 norm, at the net's own input size. Each net has a
process of its own; what is known is kept in benchmarks/results/surgery.jsonl. Must reach: 10 s of surgery and 4 GB a
net. Of either side it counts whether the net could be cut, whether the logits keep their shape, whether ``train()``
forward and backward work and leave no parameter without a gradient. Equality with the masked net is ours alone:
Torch-Pruning has no such check.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 (the checkout is no installed package)
from torch import nn  # noqa: E402

from benchmarks.report import Findings, machine, markdown, write_result, write_section  # noqa: E402
from cnngraph.models.registry import build, default_preprocessing  # noqa: E402
from cnngraph.network.graph import follow  # noqa: E402
from cnngraph.pruning.filters import plan_filters  # noqa: E402
from cnngraph.surgery.apply import apply  # noqa: E402
from cnngraph.surgery.channels.coupling import coupled  # noqa: E402
from cnngraph.surgery.channels.filter_scores import magnitude  # noqa: E402
from cnngraph.surgery.verify import verify  # noqa: E402
from cnngraph.training.latency import Passes, measure_latency  # noqa: E402
from tests.coverage.nets import TORCHVISION, input_shape  # noqa: E402

LIMIT_SECONDS, LIMIT_GB = 10.0, 4.0
CLASSES = 1000
_REPEATS = 7


def main() -> int:
    """Measure what is not known yet; exit 1 where a net of ours misses a target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(TORCHVISION), choices=TORCHVISION, metavar="NET")
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--again", action="store_true", help="also nets that are known")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(compare(options.nets[0], options.ratio)))
        return 0
    found = Findings("surgery", ("net", "ratio"))
    for net in options.nets:
        if options.again or found.get(net, options.ratio) is None:
            found.add(_in_a_process(net, options.ratio))
            print(json.dumps(found.get(net, options.ratio)), file=sys.stderr)
    rows = [row for row in found.all() if row["ratio"] == options.ratio]
    result = summary(rows)
    write_result("surgery", {"benchmark": "surgery", "machine": machine(), **result, "nets": rows})
    write_section("surgery", page(rows, result))
    print(json.dumps(result, indent=2))
    return 0 if result["reached"] else 1


def _in_a_process(net: str, ratio: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", "--nets", net, "--ratio", str(ratio)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    if done.returncode:
        return {"net": net, "ratio": ratio, "ours": {"failure": f"the process ended with {done.returncode}"}}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def compare(net: str, ratio: float) -> dict[str, Any]:
    """One net, cut by either side."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    name = f"torchvision:{net}"
    size = default_preprocessing(name).size[0]
    model = build(name, classes=CLASSES, size=size).eval()
    shape = (3, size, size)
    nets: dict[str, nn.Module] = {"before": model}
    sides: dict[str, dict[str, Any]] = {}
    started = _status_gb("VmRSS")
    for side, prune in (("ours", _ours), ("torch_pruning", _torch_pruning)):
        gc.collect()
        other = _status_gb("VmRSS") - started  # what the side before has left, its net above all
        sides[side], slim = _measured(lambda prune=prune: prune(model, shape, ratio), model, shape, other)
        if slim is not None:
            nets[side] = slim
    latency = measure_latency(nets, shape, passes=Passes(repeats=_REPEATS, warmup=2))
    for side, milliseconds in latency.median_ms.items():
        if side in sides:
            sides[side]["latency_ms"] = round(milliseconds, 2)
    sides["ours"] |= _equality(net, ratio)
    before = _sizes(model, shape) | {"latency_ms": round(latency.median_ms["before"], 2)}
    return {"net": net, "ratio": ratio, "size": size, "before": before, **sides}


def _ours(model: nn.Module, shape: tuple[int, int, int], ratio: float) -> nn.Module:
    coupling = coupled(model, shape)
    plan = plan_filters(coupling, magnitude(model, coupling), ratio=ratio)
    return apply(model, plan, input_shape=shape)


def _torch_pruning(model: nn.Module, shape: tuple[int, int, int], ratio: float) -> nn.Module:
    """As its own examples do it; what ours does not count as filters (dense layers of the head) is left alone too."""
    import torch_pruning as tp

    twin = copy.deepcopy(model)
    cut = coupled(model, shape).layers
    heads = [
        module
        for name, module in twin.named_modules()
        if (isinstance(module, nn.Linear) and name not in cut)
        or CLASSES in (getattr(module, "out_features", None), getattr(module, "out_channels", None))
    ]
    pruner = tp.pruner.MagnitudePruner(
        twin,
        torch.randn(1, *shape),
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=ratio,
        ignored_layers=heads,
        num_heads={},
    )
    pruner.step()
    return twin


def _measured(
    prune: Callable[[], nn.Module], model: nn.Module, shape: tuple[int, int, int], other: float
) -> tuple[dict[str, Any], nn.Module | None]:
    """Seconds, the most memory that was held meanwhile (without ``other`` GB), and whether what came out works."""
    _forget_peak()
    began = time.perf_counter()
    try:
        slim = prune()
    except Exception as error:  # noqa: BLE001 (a failure of either side is a finding)
        return {"failure": _line(error), "seconds": round(time.perf_counter() - began, 2)}, None
    found: dict[str, Any] = {
        "seconds": round(time.perf_counter() - began, 2),
        "peak_gb": round(_status_gb("VmHWM") - other, 2),
    }
    found["failure"] = _eval_failure(slim, shape)
    found["train_failure"] = _train_failure(slim, model, shape)
    if found["failure"]:
        return found, None
    return found | _sizes(slim, shape), slim.eval()


def _eval_failure(slim: nn.Module, shape: tuple[int, int, int]) -> str:
    try:
        with torch.no_grad():
            logits = slim.eval()(torch.randn(1, *shape))
    except Exception as error:  # noqa: BLE001
        return _line(error)
    return "" if logits.shape == (1, CLASSES) else f"the logits have shape {tuple(logits.shape)}"


def _train_failure(slim: nn.Module, model: nn.Module, shape: tuple[int, int, int]) -> str:
    try:
        missing = _without_gradient(slim, shape) - _without_gradient(model, shape)
    except Exception as error:  # noqa: BLE001
        return _line(error)
    finally:
        gc.collect()
    return f"{min(missing)} gets no gradient" if missing else ""


def _without_gradient(net: nn.Module, shape: tuple[int, int, int]) -> set[str]:
    twin = copy.deepcopy(net).train()
    outputs = twin(torch.randn(2, *shape))
    heads = [outputs] if isinstance(outputs, torch.Tensor) else [head for head in outputs if head is not None]
    torch.autograd.backward(sum(head.square().mean() for head in heads))
    return {name for name, parameter in twin.named_parameters() if parameter.grad is None}


def _equality(net: str, ratio: float) -> dict[str, Any]:
    """Slim against masked net in float64, at the smallest input."""
    shape = input_shape(net)
    model = build(f"torchvision:{net}", classes=CLASSES, size=shape[1]).eval()
    coupling = coupled(model, shape)
    plan = plan_filters(coupling, magnitude(model, coupling), ratio=ratio)
    proof = verify(model, apply(model, plan, input_shape=shape), plan, input_shape=shape)
    return {"proof_failures": list(proof.failures), "max_abs_diff": proof.max_abs_diff}


def _sizes(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": sum(layer.macs for layer in follow(model, shape).layers),
    }


def _forget_peak() -> None:
    """Let the system count this process's peak memory afresh (Linux; elsewhere the peak is that of all so far)."""
    gc.collect()
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5", encoding="ascii")


def _status_gb(field: str) -> float:
    """VmHWM, the most memory so far, or VmRSS, that of now; where the system does not say, the most."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many nets either side cut and can train, and our slowest and largest."""
    ours = [row["ours"] for row in rows]
    counted = {
        side: {
            "pruned": sum(side in row and not row[side].get("failure") for row in rows),
            "trainable": sum(
                side in row and not row[side].get("failure") and not row[side].get("train_failure") for row in rows
            ),
        }
        for side in ("ours", "torch_pruning")
    }
    worst = max((side.get("seconds", float("inf")) for side in ours), default=0.0)
    memory = max((side.get("peak_gb", float("inf")) for side in ours), default=0.0)
    equal = sum(side.get("proof_failures") == [] for side in ours)
    whole = counted["ours"]["trainable"] == equal == len(rows)
    return {
        "number_of_nets": len(rows),
        **counted,
        "equal_to_masked": equal,
        "slowest_seconds": worst,
        "most_memory_gb": memory,
        "limits": {"seconds": LIMIT_SECONDS, "gb": LIMIT_GB},
        "reached": whole and worst <= LIMIT_SECONDS and memory <= LIMIT_GB,
    }


def page(rows: list[dict[str, Any]], result: dict[str, Any]) -> str:
    """The section of docs/results.md."""
    header = ("net", "seconds", "their seconds", "GB", "their GB", "parameters", "theirs", "MACs", "theirs")
    header += ("latency ms", "ours", "theirs", "their failure")
    table = markdown(header, (_table_row(row) for row in rows))
    ours, theirs = result["ours"], result["torch_pruning"]
    return (
        f"{rows[0]['ratio']:.0%} of the filters of each layer, lowest L2 norm first; dense layers of the head stay on "
        f"either side. Of {len(rows)} nets cnngraph "
        f"cuts {ours['pruned']} and can train {ours['trainable']} of them; {result['equal_to_masked']} equal their "
        f"masked net. Torch-Pruning cuts {theirs['pruned']} and leaves {theirs['trainable']} that train. Parameters "
        f"and MACs are shares of the unpruned net's. {_where()}\n\n{table}"
    )


def _table_row(row: dict[str, Any]) -> list[object]:
    before, ours, theirs = row.get("before", {}), row["ours"], row.get("torch_pruning", {})

    def share(side: dict[str, Any], what: str) -> str:
        return f"{side[what] / before[what]:.2f}" if what in side else "-"

    failure = theirs.get("failure") or (f"train: {theirs['train_failure']}" if theirs.get("train_failure") else "")
    return [
        row["net"],
        *(side.get("seconds", "-") for side in (ours, theirs)),
        *(side.get("peak_gb", "-") for side in (ours, theirs)),
        *(share(side, "parameters") for side in (ours, theirs)),
        *(share(side, "macs") for side in (ours, theirs)),
        *(side.get("latency_ms", "-") for side in (before, ours, theirs)),
        failure.replace("|", "\\|")[:80],
    ]


def _where() -> str:
    known = machine()
    return f"Measured on {known['processor']} with {known['threads']} thread, {known['date']}."


if __name__ == "__main__":
    sys.exit(main())
