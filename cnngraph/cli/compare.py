"""``compare``: what two nets have in common, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.allocator import keep_freed_memory
from cnngraph.cli.options import Data, DataRoot, Device, DryRun, Json, Seed, known, writable
from cnngraph.console import emit_json, progress, say, table
from cnngraph.errors import VerificationError
from cnngraph.vocabulary import PARTS, SIMILARITIES, SIMILARITY_ESTIMATORS

__all__ = ["register"]


def _share(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:  # NaN is neither
        raise typer.BadParameter(f"{value} is no share from 0 to 1")
    return value


Similarity = Annotated[
    str,
    typer.Option(
        help=f"What is measured: {', '.join(SIMILARITIES)}.",
        callback=lambda v: known(v, SIMILARITIES, "similarity"),
    ),
]
AtLeast = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Exit code 5 unless every pair of layers reaches this, 0..1.", callback=_share),
]


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="NAME, OWNER/NAME, or the folder of a saved model.")],
    b: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="The same, or a file of weights for A's net; without it, A's parent."),
    ] = None,
    similarity: Similarity = "svcca",
    keep: Annotated[
        float, typer.Option(metavar="SHARE", help="Of svcca: the variance of each layer that is kept.", callback=_share)
    ] = 0.99,
    estimator: Annotated[
        str,
        typer.Option(
            help=f"Of cka: {' or '.join(SIMILARITY_ESTIMATORS)}.",
            callback=lambda v: known(v, SIMILARITY_ESTIMATORS, "estimator"),
        ),
    ] = "unbiased",
    by: Annotated[
        str,
        typer.Option(help="Of pwcca: whose neurons weigh, a or b.", callback=lambda v: known(v, ("a", "b"), "net")),
    ] = "a",
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="All layers of A against all of B too.")] = False,
    images: Annotated[int, typer.Option(min=2, help="Compare on at most so many images.")] = 5000,
    part: Annotated[
        str, typer.Option(help=f"Of the data: {', '.join(PARTS)}.", callback=lambda v: known(v, PARTS, "part"))
    ] = "train",
    data: Data = None,
    data_root: DataRoot = None,
    at_least: AtLeast = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a page there: both nets side by side, one HTML file.", callback=writable),
    ] = None,
    dry_run: DryRun = False,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare two nets layer by layer: how similar their layers are, and how the nets differ.

    Both see the same images. Two saved models need no database; two models of it leave the comparison there.

    Example: cnngraph compare demo demo-pruned --out changes.html

    Example: cnngraph compare demo-pruned --similarity cka --at-least 0.9
    """
    from cnngraph.api import offline

    keep_freed_memory()
    said: dict[str, Any] = {"similarity": similarity, "keep": keep, "estimator": estimator, "by": by}
    said |= {"all_pairs": all_pairs, "images": images, "part": part, "seed": seed, "device": device}
    said |= {"at_least": at_least, "data": data, "data_root": data_root}
    job = offline.choose_compare(a, b, said)  # refused before anything is looked up
    with progress() as bars:
        if job.needs_database:
            with connection.graph() as graph:
                found = graph.carry_out_comparison(job, out=out, dry_run=dry_run, progress=bars)
        else:
            found = offline.compare(job, out=out, dry_run=dry_run, progress=bars)
    if json:
        emit_json(found)
    elif dry_run:
        rows = [(row["layer_a"], row["layer_b"], row["matched_by"]) for row in found["layers"]]
        table(
            ("layer of a", "layer of b", "matched by"), rows, title=f"a: {found['a']['name']}, b: {found['b']['name']}"
        )
        would = found["would_write"]
        say(f"Would store: {would['comparisons']} Comparison, {would['similar']} SIMILAR.")
    else:
        _tell(found)
    bound = found.get("at_least")
    if bound is not None and bound["failed"]:
        raise VerificationError(
            f"{len(bound['failed'])} of {len(found['layers'])} pairs of layers do not reach {bound['bound']:g}: "
            f"{', '.join(_failed(row) for row in bound['failed'][:5])}{', ...' if len(bound['failed']) > 5 else ''}.",
            "See where they part: --out page.html",
        )


def _tell(found: dict[str, Any]) -> None:
    from cnngraph.reporting.comparison import (
        PAIR_HEADS,
        class_rows,
        compared_figures,
        judged_in_words,
        pair_rows,
    )

    print(f"a: {found['a']['name']}\nb: {found['b']['name']}")
    table(PAIR_HEADS, pair_rows(found), title=f"\n{found['similarity']} ({found['estimator']})")
    for side, layers in found["unmatched"].items():
        if layers:
            print(f"only in {side}: {', '.join(layers)}")
    table(("", "a", "b", "change"), compared_figures(found), title="")
    changed = [row for row in class_rows(found) if row["change"]]
    if changed:
        rows = [(row["class"], row["images"], row["a"], row["b"], row["change"]) for row in changed]
        table(("class", "images", "recall a", "recall b", "change"), rows, title="\nclasses that changed")
    listed = found["disagreements"]["listed"][:10]
    if listed:
        rows = [tuple(row[name] for name in ("image", "true", "a", "b")) for row in listed]
        table(("image", "is", "a says", "b says"), rows, title="\nimages on which they disagree, the first of them")
    for sentence in judged_in_words(found):
        say(sentence)
    print(f"\n{found['sentence']}")
    if found["key"]:
        say(f"Stored: {found['key']}. Next: cnngraph query similar-layers --model {found['b']['model']}")
    if found["page"]:
        say(f"Wrote {found['page']}")


def _failed(row: dict[str, Any]) -> str:
    name = row["layer_a"] if row["layer_a"] == row["layer_b"] else f"{row['layer_a']} ~ {row['layer_b']}"
    return f"{name} {'not defined' if row['value'] is None else format(row['value'], '.3f')}"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(compare)
