"""A plan as a person reads it, and as its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnngraph.console import line, say, table

if TYPE_CHECKING:
    from cnngraph.api import Plan

__all__ = [
    "STEP_COLUMNS",
    "as_json",
    "in_words",
    "print_plan",
    "print_pruned",
    "print_pruned_weights",
    "print_schedule",
    "print_steps",
]

# What is shown of a step of a prune that trains between its steps.
STEP_COLUMNS = (
    "number",
    "layer",
    "filters",
    "weights",
    "alive",
    "trained_parameters",
    "epochs",
    "accuracy",
    "kappa",
    "seconds",
)


def as_json(made: Plan) -> dict[str, Any]:
    """The plan with what goes in short: ``removed`` (layers and blocks) and ``filters`` (indices by layer)."""
    return made.model_dump(mode="json") | {"removed": made.removed, "filters": made.filters}


def in_words(size: Mapping[str, Any]) -> str:
    """What a model would take in the database: see :func:`cnngraph.network.sizes.estimate`."""
    return f"{size['nodes']:,} nodes, about {size['relationships']:,} relationships, {size['gigabytes']:.2f} GB"


def print_pruned(made: Plan, result: dict[str, Any]) -> None:
    """What came of a prune, or what would; ``result`` is its JSON."""
    from cnngraph.reporting.page import figures_table, remarks_on

    for note in made.notes:
        say(note)
    if result.get("dry_run"):
        say(f"Would remove {made.in_words} and store {result['new_model']}: {in_words(result['would_write'])}.")
        if "trainings" in result:
            print_steps(result["steps"])
            say(f"Trainings: {result['trainings']}; epochs of each: {result['epochs']}.")
        return
    if result["steps"]:
        print_steps(result["steps"])
    table(("", "before", "after", "change", "control"), figures_table(result))
    for remark in remarks_on(result):
        line(remark)
    if "weights" in result:
        rows = [[row[name] for name in ("layer", "before", "weights", "left", "shrink")] for row in result["weights"]]
        table(("layer", "weights before", "after the cut", "not zero", "times smaller"), rows, title="\nWeights")
        line("They stay zero: a mask lies beside the weights, and trainings put it on.")
    if "sparsity" in result:
        _print_sparsity(result)
    line(f"\nremoved: {made.in_words}\nstored:  {result['new_model']}")


def print_steps(steps: Sequence[Mapping[str, Any]]) -> None:
    """The steps of a prune that trains between them, as ``lineage`` shows them."""
    headers = [name for name in STEP_COLUMNS if any(step.get(name) not in (None, "") for step in steps)]
    if all(step.get("weights") is not None for step in steps):
        headers.remove("filters") if "filters" in headers else None
    table([name.replace("_", " ") for name in headers], [[step.get(name) for name in headers] for step in steps])


def print_pruned_weights(sparsity: Mapping[str, Any]) -> None:
    """How many weights each mask is about, and how many of them are left."""
    rows = [
        [row["layer"], row["weights"], row["alive"], f"{row['sparsity']:.1%}"]
        for row in [*sparsity["layers"], {**sparsity, "layer": "all of them"}]
    ]
    table(("layer", "weights", "not zero", "zeros"), rows, title="\nPruned weights")


def _print_sparsity(result: Mapping[str, Any]) -> None:
    """What is left of the weights, and what zeros do to the size of files and to latency."""
    sizes = result["sizes"]
    print_pruned_weights(result["sparsity"])
    files = []
    for form in ("safetensors", "onnx", "masks"):
        old, new = sizes["before"].get(form), sizes["after"].get(form)
        if new:
            shown = [one[name] if one else None for name in ("bytes", "gzip") for one in (old, new)]
            files.append([form, *shown])
    headers = ("file", "bytes before", "after", "compressed before", "after ")
    table(headers, files, title="\nWhat zeros do to files (compressed: zlib, as gzip)")
    before, after = result["before"]["latency_ms"], result["after"]["latency_ms"]
    line(f"Latency: zeros are computed like other weights, {before:.2f} ms before and {after:.2f} ms after.")


def print_plan(made: Plan, *, schedule: bool) -> None:
    """The ranking of the layers, the filters that go, the correlations with the nulls, and the notes."""
    if made.layers:
        _print_layers(made)
    if schedule:
        print_schedule(made)
    if made.filters:
        _print_filters(made)
    if made.correlations:
        known = ", ".join(
            f"{null} {value:.2f}" if value is not None else f"{null} -" for null, value in made.correlations.items()
        )
        line(f"\nSpearman correlation of this ranking with the nulls: {known}")
    if made.replaced:
        line(f"{made.model}: {made.in_words}")
    elif made.removed and not made.layers and not schedule:
        line(f"{made.model}: {', '.join(made.removed)} {'go' if made.removed[1:] else 'goes'}")
    for note in made.notes:
        line(note)


def print_schedule(made: Plan) -> None:
    """The schedule as a table; a step names the layers that it adds to the one before."""
    rows, before = [], frozenset[str]()
    for step in made.schedule:
        added = ", ".join(layer for layer in step.removed if layer not in before)
        before = frozenset(step.removed)
        rows.append((step.threshold, len(step.removed), step.parameters, step.macs, step.latency_ms, f"+ {added}"))
    headers = ("threshold", "layers", "parameters", "MACs", "~latency ms", "removed")
    table(headers, rows, title="\nThe schedule: what goes at which threshold")


def _print_layers(made: Plan) -> None:
    removed = set(made.removed)
    rows = [(row.layer, row.value, row.theta, "goes" if row.layer in removed else "") for row in made.layers]
    title = f"{made.model}: {made.measure}, reference ({made.reference_rule}) {made.reference:.6g}"
    table(("layer", "value", "theta", ""), rows, title=title)


def _print_filters(made: Plan) -> None:
    widths = made.settings.get("widths", {})
    rows = []
    for removal in made.removes:
        if removal.kind == "filters":
            width, go = widths.get(removal.layer), len(removal.filters)
            left = width - go if width is not None else None
            lowest, highest = min(removal.scores, default=None), max(removal.scores, default=None)
            rows.append((removal.layer, width, go, left, lowest, highest))
    title = f"{made.model}: {sum(map(len, made.filters.values())):,} filters go"
    title += f", of {sum(widths.values()):,}" if widths else ""
    title += f", lowest {made.measure} first" if made.measure else ""
    table(("layer", "filters", "go", "left", "lowest score", "highest score"), rows, title=title)
