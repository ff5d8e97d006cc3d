"""A plan that reaches targets: the path says what may go, predictions how far, measurements what was really reached."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from cnngraph.errors import PlanError
from cnngraph.plan import Plan, Removal
from cnngraph.pruning.limits.cost_meter import CostMeter
from cnngraph.pruning.limits.target import ROUNDS, TOLERANCE, TargetSearch, search_target
from cnngraph.pruning.limits.time_budget import TimeBudget
from cnngraph.pruning.path import PruningPath

__all__ = ["reach", "reachable"]

Removals = tuple[Removal, ...]


def reach(meter: CostMeter, path: PruningPath, budget: TimeBudget | None = None) -> Plan:
    """The plan on ``path`` that brings the net of ``meter`` to its targets; what is reachable is said first.

    Raises:
        PlanError: nothing can go, or not so much.
    """
    from cnngraph.surgery.check_runs import check_runs

    budget = budget or TimeBudget()
    known: dict[Removals, float | None] = {}

    def predict(removals: Removals) -> float | None:
        if removals not in known:
            known[removals] = (meter.predict if path.reckoned else meter.predict_built)(removals)
        return known[removals]

    path.require_any(predict)
    meter.progress.start("Searching what has to go, lowest score first")
    meter.progress.note(reachable(meter, path, predict))
    if not meter.counts:
        meter.progress.note(f"At most {ROUNDS} nets are built and measured, some seconds each.")

    @cache  # each net is measured twice and rehearsed once
    def rehearsed(removals: Removals) -> None:
        check_runs(meter.model, Plan(removes=removals, init="inherit"), input_shape=meter.input_shape)

    def measure(removals: Removals) -> float:
        if path.reckoned:
            rehearsed(removals)
        return meter.measure(removals)

    def search(path: PruningPath) -> tuple[PruningPath, TargetSearch[Removals]]:
        found = search_target(
            meter.goal.share,
            lambda aim: path.choose(predict, aim),
            measure,
            least=_least(meter),
            time_left=budget.allows,
        )
        return path, found

    path, found = path.search(search, meter.progress.note)
    _require_in_reach(meter, found, path)
    return _finished(meter, path.plan_of(found.what), found)


def reachable(meter: CostMeter, path: PruningPath, predict: Any) -> str:
    """What the least, the middle and the last level of ``path`` are predicted to leave, in a sentence."""
    said = []
    for word, level in (("least", 1), ("middle", (path.levels + 1) // 2), ("most", path.levels)):
        try:
            share = predict(path.outline_at(level))
        except PlanError:
            share = None
        if share is None and level == path.levels:  # not all together: as far as one after the other goes
            try:
                share = path.choose(predict, 1e-3).share
            except PlanError:
                share = None
        if share is not None:
            said.append(f"{word} {meter.goal.shown(share)}")
    return f"Predicted to be reachable: {', '.join(said) or 'nothing'}; wanted is {meter.goal.shown(meter.goal.share)}."


def _least(meter: CostMeter) -> Literal[1, 2]:
    return 1 if meter.counts else 2


def _require_in_reach(meter: CostMeter, found: TargetSearch[Removals], path: PruningPath) -> None:
    """Refuse a target that is missed although all that can go went, or towards which nothing went.

    Raises:
        PlanError: with the most that can be had.
    """
    goal = meter.goal
    if found.on_target and found.what:
        return
    wanted = goal.shown_each(goal.wanted)
    if not found.what and found.exhausted:
        raise PlanError(f"Nothing goes: no choice brings the net nearer to {wanted}.", path.hint())
    if not found.what:
        raise PlanError(f"Nothing goes: whatever could go first overshoots {wanted} by far.", path.hint())
    if found.exhausted and found.share > found.wanted:
        raise PlanError(
            f"The target {wanted} is out of reach: the most is {goal.shown_each(meter.shares(found.what))}, "
            f"by removing {_counted(found.what)}, all that can go.",
            path.hint(),
        )


def _counted(removals: Removals) -> str:
    filters = sum(len(removal.filters) for removal in removals)
    return f"{filters} filters" if filters else f"{len(removals)} layers and blocks"


def _finished(meter: CostMeter, plan: Plan, found: TargetSearch[Removals]) -> Plan:
    """``plan`` with what was reached: numbers in its settings, sentences in its notes."""
    speeds = meter.speeds(found.what)
    notes = [*_notes(meter, found), *meter.in_words(found.what)]
    if meter.timing.table and meter.timed:
        notes.append("The table's own device was not measured: these milliseconds are of this machine.")
    timing, shares = meter.timing, meter.shares(found.what)
    each: list[dict[str, Any]] = [
        {"kind": target.kind, "value": target.value, "reached": target.reached(shares[target.kind])}
        for target in meter.targets
    ]
    first, *others = each
    if not others:  # of several the measurements have no unit
        target = meter.targets[0]
        first |= {
            "reached": target.reached(found.share),
            "predicted": target.reached(found.predicted),
            "measured": [target.reached(share) for share in found.measured],
        }
    settings: dict[str, Any] = {
        "target": first | {"landed": found.on_target},
        "latency": {
            "runtime": timing.runtime,
            "device": timing.device,
            "batch": timing.batch,
            "table": str(timing.table) if timing.table else None,
            "table_error": meter.table.error if meter.timed else None,
            "before_ms": speeds.before_ms,
            "after_ms": speeds.after_ms,
            "scatter": speeds.scatter,
        },
    }
    if others:
        settings["targets"] = [first, *others]
    if timing.percentile != 50:
        settings["latency"]["percentile"] = timing.percentile
    return plan.model_copy(update={"settings": plan.settings | settings, "notes": (*plan.notes, *notes)})


def _notes(meter: CostMeter, found: TargetSearch[Removals]) -> list[str]:
    goal, table = meter.goal, meter.timing.table
    notes = [meter.table.sentence()] if meter.timed else []
    number = "once" if len(found.measured) == 1 else f"{len(found.measured)} times"
    way = "Reckoned from the table" if table else f"Built and {'counted' if meter.counts else 'measured'}"
    if len(meter.targets) == 1:
        notes.append(
            f"{way} {number}: {goal.shown(found.share)}, wanted was {goal.shown(found.wanted)} "
            f"(predicted {goal.shown(found.predicted)})."
        )
    else:
        notes.append(
            f"{way} {number}: {goal.shown_each(meter.shares(found.what))}, wanted were {goal.shown_each(goal.wanted)}."
        )
    if not found.on_target:
        notes.append(
            f"MISSED: {goal.shown(found.share)} is more than {TOLERANCE:.0%} from {goal.shown(found.wanted)}; "
            "no other choice that was built came nearer: what can go goes in steps."
        )
    return notes
