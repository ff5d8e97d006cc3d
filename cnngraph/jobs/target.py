"""A plan that makes a net so much faster or smaller: what is searched is :mod:`cnngraph.pruning.target`'s matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from cnngraph.errors import PlanError
from cnngraph.jobs.bench import Bench
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.target import TOLERANCE, Approach, approach, lowest_first, smallest_ratio

__all__ = ["reach_by_layers", "reach_by_ratio"]

Filters = tuple[tuple[str, tuple[int, ...]], ...]


def reach_by_layers(bench: Bench, plan: Plan, keep: Mapping[str, str]) -> Plan:
    """``plan`` with the layers and blocks of lowest theta that bring the net to the target.

    Args:
        bench: the net and the target. plan: a ranking; what it removes is replaced.
        keep: layers that cannot go by themselves, with the reason.

    Raises:
        PlanError: nothing can go, or not so much.
    """
    from cnngraph.pruning.candidates import candidates, in_network_order
    from cnngraph.surgery.rehearsal import UnfitError, rehearse, sparing

    order, stays = candidates(bench.graph, plan, keep), dict(keep)
    known: dict[tuple[Removal, ...], float | None] = {}

    def predict(removals: tuple[Removal, ...]) -> float | None:
        if removals not in known:
            known[removals] = bench.predict(removals)
        return known[removals]

    if not any(predict((removal,)) is not None for removal in order):
        raise PlanError("No layer or block of this net can be removed.", _of_others(stays))
    bench.progress.start("Choosing layers, lowest score first")

    @cache  # each net is measured twice and rehearsed once
    def rehearsed(removals: tuple[Removal, ...]) -> None:
        rehearse(bench.model, Plan(removes=removals, init="inherit"), input_shape=bench.input_shape)

    def measure(removals: tuple[Removal, ...]) -> float:
        rehearsed(removals)
        return bench.measure(removals)

    def search(order: tuple[Removal, ...]) -> Approach[tuple[Removal, ...]]:
        return approach(bench.wanted, lambda aim: lowest_first(order, predict, aim), measure, least=_least(bench))

    def told(error: UnfitError) -> None:
        bench.progress.note(error.message)
        stays.update({removal.layer: error.message for removal in error.blamed})

    found = sparing(order, search, told)
    _require_in_reach(bench, found, len(found.what), f"removing {len(found.what)} layers and blocks", _of_others(stays))
    removes = in_network_order(bench.graph, found.what)
    return _finished(bench, plan.model_copy(update={"removes": removes, "threshold": None}), found.what, found)


def reach_by_ratio(bench: Bench, plan_at: Callable[[float], Plan]) -> Plan:
    """The plan of the ratio that brings the net to the target.

    Args:
        plan_at: the filters that go at a ratio in 0..1; raises PlanError where they cannot.

    Raises:
        PlanError: no filters can go, or not so many.
    """
    plans: dict[Filters, Plan] = {}
    known: dict[Filters, float | None] = {}

    def what_at(ratio: float) -> Filters:
        made = plan_at(ratio)
        key = tuple(sorted(made.filters.items()))
        plans.setdefault(key, made)
        return key

    def predict(filters: Filters) -> float | None:
        if filters not in known:
            known[filters] = bench.predict_built(plans[filters].removes)
        return known[filters]

    bench.progress.start("Searching the ratio")
    most = _most(plan_at)
    if most is not None and not most.filters:
        raise PlanError(
            f"No filters can go: {' '.join(most.notes)}",
            "Choose a smaller --round-to or --at-least, or let layers go: --method multilayer.",
        )
    found = approach(
        bench.wanted,
        lambda aim: smallest_ratio(what_at, predict, aim),
        lambda key: bench.measure(plans[key].removes),
        least=_least(bench),
    )
    count = sum(len(filters) for _, filters in found.what)
    _require_in_reach(bench, found, count, f"removing {count} filters", "Ask for less, or let layers go.")
    made = plans[found.what]
    return _finished(bench, made, made.removes, found)


def _most(plan_at: Callable[[float], Plan]) -> Plan | None:
    """The plan of the largest ratio; ``None`` where that one cannot be made (a smaller one may be)."""
    try:
        return plan_at(0.99)
    except PlanError:
        return None


def _least(bench: Bench) -> Literal[1, 2]:
    return 1 if bench.counts else 2


def _of_others(keep: Mapping[str, str]) -> str:
    if not keep:
        return "Ask for less, or let filters go: --method filters."
    shown = "; ".join(f"{layer}: {reason}" for layer, reason in list(keep.items())[:5])
    more = f"; and {len(keep) - 5} more" if len(keep) > 5 else ""
    return f"Ask for less, or let filters go: --method filters. These stay: {shown}{more}"


def _require_in_reach(bench: Bench, found: Approach[Any], count: int, how: str, hint: str) -> None:
    """Refuse a target that is missed although all that can go went, or towards which nothing went.

    Raises:
        PlanError: with the most that can be had.
    """
    if found.landed and count:
        return
    if not count and found.exhausted:
        raise PlanError(f"Nothing goes: no choice brings the net nearer to {bench.target.shown(found.wanted)}.", hint)
    if not count:
        raise PlanError(
            f"Nothing goes: whatever could go first overshoots {bench.target.shown(found.wanted)} by far.", hint
        )
    if found.exhausted and found.share > found.wanted:
        raise PlanError(
            f"The target {bench.target.shown(found.wanted)} is out of reach: "
            f"the most is {bench.target.shown(found.share)}, by {how}, all that can go.",
            hint,
        )


def _finished(bench: Bench, plan: Plan, what: tuple[Removal, ...], found: Approach[Any]) -> Plan:
    """``plan`` with what was reached: numbers in its settings, sentences in its notes. ``what``: goes, as measured."""
    speeds = bench.speeds(what)
    notes = [*_notes(bench, found), *bench.in_words(what)]
    if bench.timing.table and bench.target.kind == "speedup":
        notes.append("The table's own device was not measured: these milliseconds are of this machine.")
    target, timing = bench.target, bench.timing
    settings = {
        "target": {
            "kind": target.kind,
            "value": target.value,
            "reached": target.reached(found.share),
            "predicted": target.reached(found.predicted),
            "measured": [target.reached(share) for share in found.measured],
            "landed": found.landed,
        },
        "latency": {
            "runtime": timing.runtime,
            "device": timing.device,
            "batch": timing.batch,
            "table": str(timing.table) if timing.table else None,
            "table_error": bench.table.error if target.kind == "speedup" else None,
            "before_ms": speeds.before_ms,
            "after_ms": speeds.after_ms,
            "scatter": speeds.scatter,
        },
    }
    return plan.model_copy(update={"settings": plan.settings | settings, "notes": (*plan.notes, *notes)})


def _notes(bench: Bench, found: Approach[Any]) -> list[str]:
    target, table = bench.target, bench.timing.table
    notes = [bench.table.sentence()] if target.kind == "speedup" else []
    number = "once" if len(found.measured) == 1 else f"{len(found.measured)} times"
    way = "Reckoned from the table" if table else f"Built and {'counted' if bench.counts else 'measured'}"
    notes.append(
        f"{way} {number}: {target.shown(found.share)}, wanted was {target.shown(found.wanted)} "
        f"(predicted {target.shown(found.predicted)})."
    )
    if not found.landed:
        notes.append(
            f"MISSED: {target.shown(found.share)} is more than {TOLERANCE:.0%} from {target.shown(found.wanted)}; "
            "no other choice that was built came nearer: what can go goes in steps."
        )
    return notes
