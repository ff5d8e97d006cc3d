"""The JSON of a comparison, and the sentence that says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnngraph.jobs.compare import CompareJob
    from cnngraph.jobs.compare_judged import Judged
    from cnngraph.jobs.compare_layers import ComparedImages, Matched
    from cnngraph.similarity.measured import LayerSimilarity
    from cnngraph.sources.side import Side

__all__ = ["describe", "describe_layers", "judged_json", "sentence_of"]

_LISTED = 100  # images on which the two disagree


def describe(job: CompareJob, a: Side, b: Side, matched: Matched, images: ComparedImages) -> dict[str, Any]:
    """What is compared, before anything is run."""
    data = images.loaded.data
    which = f"{images.count:,} of the {images.whole:,} {job.part} images of {data.name}"
    notes = [f"Compared on {which}, not augmented, the same for both, as each net wants them (seed {job.seed})."]
    if job.part == "train" and images.loaded.images_from("train").trained_on == "possibly":
        notes.append(f"It is not known whether {a.name} was trained on these.")
    if images.b is images.a and a.sha256 == b.sha256:
        notes.append("Both have the same weights: every similarity is 1.")
    shapes = [side.saved.input_shape for side in (a, b)]
    if shapes[0] != shapes[1]:
        notes.append(
            f"Their inputs differ, {_shape(shapes[0])} and {_shape(shapes[1])}: layers with maps of other sizes are "
            "compared by the means of their maps, one row an image."
        )
    return {
        "a": _side(a),
        "b": _side(b),
        "made_of_a": matched.made_of_a,
        "similarity": job.similarity,
        "images": {
            "data": data.name,
            "part": job.part,
            "taken_from": data.taken_from.get(job.part, "split"),
            "images": images.count,
            "of": images.whole,
            "seed": job.seed,
        },
        "unmatched": matched.left_over,
        "notes": notes,
        "key": None,
        "page": None,
    }


def describe_layers(job: CompareJob, matched: Matched, found: Sequence[LayerSimilarity]) -> dict[str, Any]:
    """What was found of the layers."""
    rows = [
        _row(one) | {"matched_by": pair.matched_by}
        for pair, one in zip(matched.compared, found, strict=False)  # all other pairs come after these
    ]
    known = [row for row in rows if row["value"] is not None]
    least = min(known, key=lambda row: row["value"], default=None)
    bound = None
    if job.at_least is not None:
        failed = [row for row in rows if row["value"] is None or row["value"] < job.at_least]
        bound = {
            "bound": job.at_least,
            "reached": not failed,
            "failed": [{name: row[name] for name in ("layer_a", "layer_b", "value", "reason")} for row in failed],
        }
    return {
        "estimator": found[0].estimator,
        "layers": rows,
        "all_pairs": [_row(one) for one in found] if job.all_pairs else None,
        "mean": _mean([row["value"] for row in known]),
        "mean_null": _mean([row["null"] for row in known if row["null"] is not None]),
        "least": {name: least[name] for name in ("layer_a", "layer_b", "value", "null")} if least else None,
        "at_least": bound,
    }


def judged_json(judged: Judged) -> dict[str, Any]:
    """How good both are, class by class, and where they disagree."""
    right = [one.right for one in judged.disagreements]
    return {
        "classes": list(judged.classes),
        "disagreements": {
            "count": len(judged.disagreements),
            "images": len(judged.images) if judged.images is not None else 0,
            "a_right": right.count("a"),
            "b_right": right.count("b"),
            "listed": [one.as_json() for one in judged.disagreements[:_LISTED]],
        },
        "not_judged": judged.why,
        "judged_note": judged.note,
    }


def sentence_of(result: Mapping[str, Any]) -> str:
    """What was found, in one sentence or two."""
    pairs, least = len(result["layers"]), result["least"]
    if least is None:
        said = f"{result['similarity']} is not defined for any of the {pairs} pairs of layers."
    else:
        null = "" if result["mean_null"] is None else f" (null {result['mean_null']:.3f})"
        said = (
            f"{result['similarity']} is {result['mean']:.3f}{null} on average over {pairs} pairs of layers, and least, "
            f"{least['value']:.3f}, for {_pair(least)}."
        )
    bound = result["at_least"]
    if bound is not None and bound["failed"]:
        said += f" {len(bound['failed'])} of them do not reach {bound['bound']:g}."
    if result["not_judged"]:
        return said
    old, new = result["a"]["accuracy"], result["b"]["accuracy"]
    found = result["disagreements"]
    return (
        f"{said} Accuracy {old:.4f} and {new:.4f} ({100 * (new - old):+.1f} points); they disagree on "
        f"{found['count']:,} of {found['images']:,} images."
    )


def _pair(row: Mapping[str, Any]) -> str:
    one, other = row["layer_a"], row["layer_b"]
    return one if one == other else f"{one} ~ {other}"


def _side(side: Side) -> dict[str, Any]:
    saved = side.saved
    return {
        "name": side.name,
        "model": side.key,
        "architecture": saved.origin.architecture,
        "input_shape": list(saved.input_shape),
        "classes": len(saved.classes) or None,
        "trained": saved.trained,
    }


def _row(found: LayerSimilarity) -> dict[str, Any]:
    return {
        "layer_a": found.first,
        "layer_b": found.second,
        "value": found.value,
        "null": found.null,
        "estimator": found.estimator,
        "points": found.points,
        "images": found.images,
        "ratio": found.points_per_neuron,
        "pooled": found.pooled,
        "channels_a": found.widths[0],
        "channels_b": found.widths[1],
        "kept_a": found.kept[0],
        "kept_b": found.kept[1],
        "dropped_a": found.dropped[0],
        "dropped_b": found.dropped[1],
        "reason": found.reason,
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
