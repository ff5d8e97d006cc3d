"""What :meth:`Graph.plan` and :meth:`Graph.prune` may be told about what goes: the options of the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from cnngraph.errors import UsageError, nearest
from cnngraph.jobs.options import DETAILS, LIMITS, ROUND_FOR_SPEED, TARGETS

if TYPE_CHECKING:
    from cnngraph.jobs.decide import Decision
    from cnngraph.pruning.target import Target

__all__ = ["METHODS", "Choice", "decision", "named_by_hand", "require_consistent"]

METHODS = tuple(LIMITS)
_BY_HAND = ("remove_layers", "remove_blocks")
_TIMING = ("latency_on", "runtime", "batch", "latency_table")


class Choice(TypedDict, total=False):
    """What goes; ``None`` is as good as left out, and what is left out is the default of the commands.

    By hand: ``remove_layers``, ``remove_blocks`` (names).

    Layers by a measure (``method="multilayer"``, the default): one of ``threshold`` (of theta), ``remove`` (how many),
    ``max_accuracy_drop`` (points of percent), ``target_speedup`` (times faster, measured), ``target_macs`` or
    ``target_parameters`` (what is left: a share, or a count above 1), or none for the schedule only; ranked by
    ``measure``, ``aggregate``, ``reference``, ``engine``. ``keep``: layers that cannot go, with the reason.

    Filters (``method="filters"``, implied by these): ``ratio`` (a share), ``max_accuracy_drop`` or a target; chosen by
    ``score``, ``scope`` (layer, global), ``round_to``, ``at_least``.

    ``steps`` belongs to ``max_accuracy_drop``; ``latency_on``, ``runtime``, ``batch`` to a target, ``latency_table`` (a
    CSV file) to ``target_speedup``. ``init``: the weights where ends are joined. ``seed``: of everything random.
    ``device``: where nets are trained and judged.
    """

    method: str | None
    remove_layers: Sequence[str] | None
    remove_blocks: Sequence[str] | None
    measure: str | None
    aggregate: str | None
    reference: str | None
    threshold: float | None
    remove: int | None
    keep: Mapping[str, str] | None
    ratio: float | None
    scope: str | None
    score: str | None
    round_to: int | None
    at_least: int | None
    max_accuracy_drop: float | None
    steps: int | None
    target_speedup: float | None
    target_macs: float | None
    target_parameters: float | None
    latency_on: str | None
    runtime: str | None
    batch: int | None
    latency_table: str | Path | None
    engine: str | None
    init: str | None
    seed: int | None
    device: str | None


def require_consistent(choice: Choice) -> dict[str, Any]:
    """What was given of ``choice``, without ``None``.

    Raises:
        UsageError: an option that there is not, options of two methods, or two that each say how much goes.
    """
    given = {name: value for name, value in choice.items() if value is not None}
    strange = [name for name in given if name not in Choice.__annotations__]
    if strange:
        raise UsageError(f"There is no option {strange[0]!r}.", nearest(strange[0], list(Choice.__annotations__)))
    method = _method(given)
    if method not in METHODS:
        raise UsageError(f"There is no method {method!r}.", nearest(method, METHODS))
    by_hand = [name for name in _BY_HAND if name in given]
    limits = [name for name in LIMITS[method] if name in given]
    if len(limits) > 1 or (by_hand and limits):
        raise UsageError(f"{' and '.join([*by_hand[:1], *limits][:2])} exclude each other.", "Give one of them.")
    own = {*LIMITS[method], *DETAILS[method]}
    for other in METHODS:
        wrong = [name for name in (*LIMITS[other], *DETAILS[other]) if name in given and name not in own]
        if wrong:
            raise UsageError(f"{wrong[0]} belongs to the method {other}, not to {method}.", f"Leave out {wrong[0]}.")
    if "steps" in given and "max_accuracy_drop" not in given:
        raise UsageError("steps belongs to max_accuracy_drop.", "Leave out steps.")
    timed = [name for name in _TIMING if name in given]
    if timed and not any(name in given for name in TARGETS):
        raise UsageError(f"{timed[0]} belongs to a target, such as target_speedup=2.0.", f"Leave out {timed[0]}.")
    if "latency_table" in given and "target_speedup" not in given:
        raise UsageError("latency_table belongs to target_speedup.", "Leave out latency_table.")
    return given


def named_by_hand(given: Mapping[str, Any]) -> bool:
    """Whether a person said by name what goes."""
    return any(name in given for name in _BY_HAND)


def decision(given: Mapping[str, Any]) -> Decision:
    """The decision that :func:`require_consistent` let pass, as the chain wants it.

    Raises:
        UsageError: a target that asks for nothing; a runtime or device that there is not. CnngraphError: the runtime is
            not installed.
    """
    from dataclasses import fields

    from cnngraph.jobs.bench import Timing
    from cnngraph.jobs.decide import Decision

    target = _target(given)
    known = {field.name for field in fields(Decision)}
    values = {name: value for name, value in given.items() if name in known} | {"method": _method(given)}
    if "target_speedup" in given:
        values.setdefault("round_to", ROUND_FOR_SPEED)
    table = given.get("latency_table")
    timing = Timing(
        device=given.get("latency_on", "cpu"),
        runtime=given.get("runtime", "eager"),
        batch=given.get("batch", 1),
        table=Path(table) if table is not None else None,
    )
    if target is not None:
        from cnngraph.training.execution import pick_device
        from cnngraph.training.runtimes import check_runtime

        check_runtime(timing.runtime)
        pick_device(timing.device)
    return Decision(**values, target=target, timing=timing)


def _target(given: Mapping[str, Any]) -> Target | None:
    from cnngraph.pruning.target import Kind, Target

    typed = [(cast(Kind, name.removeprefix("target_")), given[name]) for name in TARGETS if name in given]
    return next((Target(kind, value) for kind, value in typed), None)


def _method(given: Mapping[str, Any]) -> str:
    """The method that was given, or that an option of it implies."""
    if "method" in given:
        return str(given["method"])
    return "filters" if any(name in given for name in ("ratio", *DETAILS["filters"])) else "multilayer"
