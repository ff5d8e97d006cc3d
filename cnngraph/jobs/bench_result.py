"""What the points of a bench come to: one row a method and budget, mean and spread over the seeds."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from cnngraph.errors import listed
from cnngraph.reporting.bench_points import FIGURES

__all__ = ["MEANS", "tabulate"]

# What a row of the table has the mean and the standard deviation of.
MEANS = tuple(name for name in FIGURES if name != "parent_latency_ms")


def tabulate(
    rows: Iterable[tuple[str, str | None]], points: Sequence[Mapping[str, Any]], seeds: Container[int]
) -> list[dict[str, Any]]:
    """One row for each method and budget, of its points with one of these seeds.

    Returns:
        rows with ``method, budget``; ``seeds``: of how many points; ``nets``: how many of them have a net; ``meets``:
        how many meet the budget;
        ``why``: what is to be said of them, each sentence once, with the seeds that it is of unless it is of all;
        ``None`` where nothing is; and of each of
        :data:`MEANS` the ``mean`` and the standard deviation ``sd`` (n - 1) over the points with a net: ``None``
        where there is none, ``sd`` also of one alone.
    """
    mine = [point for point in points if point["seed"] in seeds]
    return [
        _row(method, budget, [point for point in mine if (point["method"], point["budget"]) == (method, budget)])
        for method, budget in rows
    ]


def _row(method: str, budget: str | None, points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "method": method,
        "budget": budget,
        "seeds": len(points),
        "nets": sum(point["accuracy"] is not None for point in points),
        "meets": sum(point["meets"] for point in points),
        "why": _reasons(points) or None,
    } | {name: _spread([point[name] for point in points if point[name] is not None]) for name in MEANS}


def _reasons(points: Sequence[Mapping[str, Any]]) -> str:
    """
    >>> _reasons([{"seed": 0, "why": "No."}, {"seed": 1, "why": None}, {"seed": 2, "why": "No."}])
    'seeds 0 and 2: No.'
    """
    seeds: dict[str, list[int]] = {}
    for point in points:
        if point["why"]:
            seeds.setdefault(point["why"], []).append(point["seed"])
    return " ".join(
        why if len(mine) == len(points) else f"seed{'s' * (len(mine) > 1)} {listed(list(map(str, mine)))}: {why}"
        for why, mine in seeds.items()
    )


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """
    >>> _spread([1, 3])["mean"], round(_spread([1, 3])["sd"], 3), _spread([2.0]), _spread([])
    (2.0, 1.414, {'mean': 2.0, 'sd': None}, {'mean': None, 'sd': None})
    """
    return {
        "mean": fmean(values) if values else None,
        "sd": stdev(values) if len(values) > 1 else None,
    }
