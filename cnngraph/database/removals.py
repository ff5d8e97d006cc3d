"""What a plan removes and replaces, as the REMOVES and REPLACES of its PruningRun, and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cnngraph.database import cypher
from cnngraph.errors import PlanError, nearest
from cnngraph.plan import Plan, Removal
from cnngraph.validation import Fail, parse_as

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = ["mask_rows", "removal_rows", "removals_of", "replacement_rows", "replacements_of"]

Rows = list[dict[str, Any]]
_CONV = re.compile(r"(\d+)x\1 conv")


def removal_rows(db: Database, plan: Plan) -> tuple[Rows, Rows]:
    """The rows of what REMOVES says: one a layer (a block is spelt out), and one a filter. Weights: :func:`mask_rows`.

    Raises:
        PlanError: the plan names a layer, block or filter that its model does not have in the graph.
    """
    layers = db.read(cypher.load("lineage/layer_modules"), model=plan.model)
    known = {row["layer"]: row["maps"] for row in layers}
    whole: Rows = []
    filters: Rows = []
    for removal in plan.removes:
        if removal.kind == "replace":
            continue  # its layers stay, or do not, as the net itself says: replacement_rows
        why = {"score": removal.score, "threshold": removal.threshold, "reason": removal.reason}
        if removal.kind == "block":
            inside = _layers_of(db, plan.model, removal.layer, layers)
            whole += [{"layer": layer, "block": removal.layer, **why} for layer in inside]
        elif removal.layer not in known:
            raise PlanError(f"{plan.model} has no layer {removal.layer!r}.", nearest(removal.layer, known))
        elif removal.kind == "weights":
            continue
        elif removal.kind == "filters":
            _require_maps(plan.model, removal, known)
            scores = removal.scores or (removal.score,) * len(removal.filters)
            steps = removal.steps or (None,) * len(removal.filters)
            filters += [
                {"layer": removal.layer, "channel": channel, **why, "score": score, "step": step}
                for channel, score, step in zip(removal.filters, scores, steps, strict=True)
            ]
        else:
            whole.append({"layer": removal.layer, "block": None, **why})
    return whole, filters


def replacement_rows(db: Database, plan: Plan) -> Rows:
    """The rows of what REPLACES says, one a block; ``by``: the layer that comes, as ``3x3 conv``.

    Raises:
        PlanError: the plan names a block that its model does not have in the graph.
    """
    if not plan.replaced:
        return []
    known = [row["block"] for row in db.read(cypher.load("lineage/block_names"), model=plan.model)]
    strange = next((block for block in plan.replaced if block not in known), None)
    if strange is not None:
        raise PlanError(f"{plan.model} has no block {strange!r} in the graph.", nearest(strange, known))
    return [_replacement_row(removal) for removal in plan.removes if removal.kind == "replace"]


def _replacement_row(removal: Removal) -> dict[str, Any]:
    made = removal.new_layer
    return {
        "block": removal.layer,
        "by": f"{made.kernel}x{made.kernel} conv",
        "stride": list(made.stride) if made.stride else None,
        "norm": made.norm,
        "activation": made.activation,
        "score": removal.score,
        "threshold": removal.threshold,
        "reason": removal.reason,
    }


def replacements_of(blocks: Iterable[Mapping[str, Any]], fail: Fail) -> list[Removal]:
    """The inverse of :func:`replacement_rows`, for blocks in network order; what a person left out has its default."""
    found: dict[str, Removal] = {}
    for row in blocks:
        made = {name: row[name] for name in ("stride", "norm", "activation") if row.get(name) is not None}
        values = {name: row.get(name) for name in ("layer", "score", "threshold")}
        values |= {"kind": "replace", "reason": row.get("reason") or "", "replacement": made | _kernel(row, fail)}
        found.setdefault(str(row["layer"]), parse_as(Removal, values, fail))
    return list(found.values())


def _kernel(row: Mapping[str, Any], fail: Fail) -> dict[str, int]:
    """The kernel that ``by`` says, if it says anything."""
    by = row.get("by")
    if by is None:
        return {}
    side = _CONV.fullmatch(str(by))
    if side is None:
        raise fail(f"by: {by!r} of {row['layer']} is no square conv such as '3x3 conv'")
    return {"kernel": int(side[1])}


def mask_rows(plan: Plan) -> Rows:
    """The rows of what MASKS says: one a round and layer that it prunes weights of, with the mask's sha256.

    A plan that says nothing of rounds has one.
    """
    sizes = plan.settings.get("weights") or {}
    last = {layer: {"alive": one.alive, "mask": one.mask} for layer, one in plan.weights.items()}
    rounds = plan.settings.get("masks") or ([{"round": 1, "layers": last}] if last else [])
    return [
        {"layer": layer, "round": one["round"], "weights": sizes.get(layer), **known}
        for one in rounds
        for layer, known in one["layers"].items()
    ]


def removals_of(
    layers: Iterable[Mapping[str, Any]],
    filters: Iterable[Mapping[str, Any]],
    fail: Fail,
    masks: Iterable[Mapping[str, Any]] = (),
) -> list[Removal]:
    """The inverse of :func:`removal_rows`: filters first; a layer or filter that is named twice counts once.

    Args:
        layers, filters: rows in network order, those of filters by channel.
        masks: those of the last round of each layer, in network order.
        fail: makes the error that is raised where a person has given a value that cannot be, from the reason.
    """
    found = [_filter_removal(layer, list(rows), fail) for layer, rows in groupby(filters, key=lambda row: row["layer"])]
    removals: dict[str, Removal] = {}
    for row in layers:
        name = row["block"] or row["layer"]
        values = {
            "layer": name,
            "kind": "block" if row["block"] else "layer",
            "score": row["score"],
            "threshold": row["threshold"],
            "reason": row["reason"] or "",
        }
        removals.setdefault(name, parse_as(Removal, values, fail))
    weights = [
        parse_as(Removal, {"layer": row["layer"], "kind": "weights", "mask": row["mask"], "alive": row["alive"]}, fail)
        for row in masks
    ]
    return [*found, *removals.values(), *weights]


def _filter_removal(layer: str, rows: list[Mapping[str, Any]], fail: Fail) -> Removal:
    by_channel = {row["channel"]: row for row in rows}
    scores = [row["score"] for row in by_channel.values() if row["score"] is not None]
    strange = next((score for score in scores if not isinstance(score, int | float)), None)
    if strange is not None:
        raise fail(f"score: {strange!r} of a filter of {layer} is no number")
    steps = [row["step"] for row in by_channel.values() if row.get("step") is not None]
    values = {
        "layer": layer,
        "kind": "filters",
        "filters": tuple(by_channel),
        "scores": tuple(scores) if len(scores) == len(by_channel) else (),
        "steps": tuple(steps) if len(steps) == len(by_channel) else (),
        "score": max(scores, default=None),
        "threshold": rows[0]["threshold"],
        "reason": rows[0]["reason"] or "",
    }
    return parse_as(Removal, values, fail)


def _layers_of(db: Database, model: str, block: str, layers: list[dict[str, Any]]) -> list[str]:
    """The layers of a block: those that its node contains, else those of the module of that name."""
    inside = [row["layer"] for row in db.read(cypher.load("lineage/block_layers"), model=model, block=block)]
    inside = inside or [row["layer"] for row in layers if (row["module"] or "").startswith(f"{block}.")]
    if not inside:
        blocks = {row["module"].rpartition(".")[0] for row in layers if "." in (row["module"] or "")}
        raise PlanError(f"{model} has no block {block!r}.", nearest(block, blocks))
    return inside


def _require_maps(model: str, removal: Removal, known: Mapping[str, int]) -> None:
    maps = known[removal.layer]
    if not maps and any(known.values()):
        with_filters = [layer for layer, count in known.items() if count]
        raise PlanError(f"{removal.layer} of {model} has no filters.", nearest(removal.layer, with_filters))
    if not maps:
        raise PlanError(
            f"{removal.layer} of {model} has no feature maps in the graph, so its filters cannot be named there.",
            "Ingest the model with --view channels or --view both.",
        )
    if max(removal.filters) >= maps:
        raise PlanError(
            f"{removal.layer} of {model} has no filter {max(removal.filters)}.",
            f"Its filters are numbered from 0 to {maps - 1}.",
        )
