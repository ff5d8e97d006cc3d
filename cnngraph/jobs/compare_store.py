"""A comparison of two models of the database, kept beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnngraph.database.comparisons import SimilarLayers, StoredComparison, store_comparison
from cnngraph.sources.side import Side

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.jobs.compare import CompareJob
    from cnngraph.jobs.compare_layers import ComparedImages, Matched

__all__ = ["preview", "store"]

_VERSION = 1  # of what is found: another one is another comparison


def preview(job: CompareJob, a: Side, b: Side, matched: Matched) -> dict[str, int]:
    """How many nodes and relationships :func:`store` would write at most; nothing of saved models."""
    if a.key is None or b.key is None:
        return {"comparisons": 0, "similar": 0}
    return {"comparisons": 1, "similar": len(matched.wanted(all_pairs=job.all_pairs))}


def store(
    db: Database, job: CompareJob, sides: tuple[Side, Side], images: ComparedImages, result: Mapping[str, Any]
) -> str:
    """Store what was found of two models of the database; the key of the Comparison."""
    a, b = sides
    assert a.key is not None and b.key is not None
    weights = a.sha256, b.sha256
    about = {
        "version": _VERSION,
        "weights": list(weights),
        "preprocessing": [side.saved.preprocessing.model_dump(mode="json") for side in sides],
        "images": images.digest,
        "estimator": result["estimator"],
        "all_pairs": job.all_pairs,
    }
    least = result["least"] or {}
    figures = {
        "estimator": result["estimator"],
        "images": images.count,
        "part": job.part,
        "data": images.loaded.data.name,
        "seed": job.seed,
        "all_pairs": job.all_pairs,
        "mean": result["mean"],
        "least": least.get("value"),
        "accuracy_a": result["a"].get("accuracy"),
        "accuracy_b": result["b"].get("accuracy"),
        "judged": result["disagreements"]["images"],
        "disagreements": result["disagreements"]["count"],
    }
    rules = {(row["layer_a"], row["layer_b"]): row["matched_by"] for row in result["layers"]}
    layers = [
        SimilarLayers(
            row["layer_a"],
            row["layer_b"],
            row["value"],
            row["null"],
            row["estimator"],
            row["points"],
            row["images"],
            rules.get((row["layer_a"], row["layer_b"])),
        )
        for row in result["all_pairs"] or result["layers"]
    ]
    return store_comparison(db, StoredComparison(a.key, b.key, job.similarity, about, figures, layers, weights))
