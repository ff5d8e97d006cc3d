"""Results of ``cnngraph bench`` as its JSON has them: made of points, with the table that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from cnngraph.jobs.bench_result import tabulate

__all__ = ["METHODS", "bench_result", "point"]

METHODS = ("multilayer", "filters", "car", "progressive", "imp", "similarity", "triage", "random")
_PARENT = {"accuracy": 0.9583, "precision": 0.9581, "recall": 0.9579, "kappa": 0.9537, "latency_ms": 3.2}
_PARENT |= {"parameters": 270_896, "macs": 40_550_000}


def point(method: str, budget: str | None, seed: int, **said: Any) -> dict[str, Any]:
    """A point with plain figures, as far as others are not ``said``."""
    latency = said.get("latency_ms", 1.6)
    figures = {"accuracy": 0.94, "precision": 0.939, "recall": 0.938, "kappa": 0.93, "latency_ms": latency}
    figures |= {"parent_latency_ms": 3.2, "speedup": 3.2 / latency if latency else None, "parameters": 130_000}
    figures |= {"nonzero": None, "macs": 20_000_000, "epochs": 5, "seconds": 12.5, "decide_seconds": 2.25}
    named = {"method": method, "budget": budget, "seed": seed, "meets": True, "why": None}
    named["new_model"] = f"ada/{method}-{budget}-{seed}".replace("=", "-")
    return named | figures | {"train_seconds": 10.25} | said


def bench_result(points: Sequence[dict[str, Any]], budgets: Sequence[str], **said: Any) -> dict[str, Any]:
    """The result of ``points``, of which those of ``budgets`` stand in the table."""
    asked = [one for one in points if one["budget"] in (*budgets, None)]
    methods = list(dict.fromkeys(one["method"] for one in asked if one["method"] not in ("control", "scratch")))
    pairs = [(method, budget) for budget in budgets for method in (*methods, "scratch")] + [("control", None)]
    made = {(one["method"], one["budget"]) for one in asked}
    seeds = 1 + max(one["seed"] for one in asked)
    judged = {"part": "test", "images": 360, "taken_from": "split", "trained_on": "no"}
    return {
        "model": "ada/digits",
        "budgets": list(budgets),
        "methods": methods,
        "seeds": seeds - said.get("seed", 0),
        "seed": 0,
        "epochs": 5,
        "judged_on": judged,
        "parent": _PARENT,
        "points": list(points),
        "table": tabulate([pair for pair in pairs if pair in made], points, range(said.get("seed", 0), seeds)),
        "left": [],
        "csv": None,
        "page": None,
        "picture": None,
    } | said


def full_result() -> dict[str, Any]:
    """Eight methods, three seeds, two budgets and an older third one; imp and one seed of car do not meet theirs."""
    chance, points = Random(0), []
    for budget, share in (("macs=0.5", 0.5), ("speedup=2", 0.45), ("macs=0.25", 0.25)):
        for seed in range(3):
            for number, method in enumerate((*METHODS, "scratch")):
                points.append(_drawn(chance, method, budget, seed, share, number))
    for seed in range(3):
        figures = {"latency_ms": 3.2 + chance.gauss(0, 0.05), "parameters": 270_896, "macs": 40_550_000}
        points.append(point("control", None, seed, accuracy=0.9611 + chance.gauss(0, 0.004), **figures))
    return bench_result(
        points,
        ["macs=0.5", "speedup=2"],
        machine="x86_64, 2 cores, 2 threads",
        trained_on=1_078,
        latency_on={"device": "Intel Xeon", "runtime": "eager", "batch": 1},
    )


def _drawn(chance: Random, method: str, budget: str, seed: int, share: float, number: int) -> dict[str, Any]:
    """A point whose figures are drawn around what the method's place in the list says."""
    figures: dict[str, Any] = {
        "accuracy": 0.9 + 0.1 * share - 0.006 * (number % 4) + chance.gauss(0, 0.005),
        "latency_ms": 3.2 * share * (1 + 0.06 * number) + chance.gauss(0, 0.04),
        "parameters": round(270_896 * share * (1 + 0.04 * (number % 3)) + chance.gauss(0, 2_000)),
        "macs": round(40_550_000 * share * (1 - 0.01 * number)),
        "seconds": 20 + 15 * number + chance.gauss(0, 1),
    }
    if method == "imp":
        why = "masks leave the layers as large and as slow as they are"
        figures |= {"nonzero": figures["parameters"], "parameters": 270_896, "macs": 40_550_000, "latency_ms": 3.19}
        figures |= {"meets": False, "why": why}
    if (method, budget, seed) == ("car", "speedup=2", 2):
        figures |= {"meets": False, "why": "1.93 times as fast at the most"}
    if (method, budget) == ("progressive", "speedup=2"):
        nothing = dict.fromkeys(("precision", "recall", "kappa", "macs", "epochs", "seconds", "accuracy", "parameters"))
        nothing |= {"new_model": None, "latency_ms": None, "meets": False}
        figures |= nothing | {"why": "progressive has no limit of speed"}
    return point(method, budget, seed, **figures)
