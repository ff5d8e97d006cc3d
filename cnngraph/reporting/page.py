"""One self-contained HTML page about a pruned model: the decision, its numbers, and what it was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.datasets.images_from import ImagesFrom
from cnngraph.files import write_text
from cnngraph.plan import Plan
from cnngraph.reporting.plots import plot_curve, plot_plan, plot_trained_steps
from cnngraph.reporting.rendering import render
from cnngraph.reporting.weights_left import weights_left

if TYPE_CHECKING:
    from cnngraph.reporting.criticality import CriticalitySection
    from cnngraph.reporting.filters import FilterPictures

__all__ = [
    "FIGURES",
    "PageContent",
    "answers_in_words",
    "change_in_words",
    "figures_table",
    "images_in_words",
    "judged_on",
    "remarks_on",
    "verdict",
    "write_page",
]

# (key in the JSON, heading, how a value is written)
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "accuracy", "{:.4f}"),
    ("precision", "precision (macro)", "{:.4f}"),
    ("recall", "recall (macro)", "{:.4f}"),
    ("kappa", "Cohen's kappa", "{:.4f}"),
    ("epoch_seconds", "epoch (s)", "{:.2f}"),
    ("latency_ms", "latency (ms, batch 1)", "{:.2f}"),
    ("parameters", "parameters", "{:,}"),
    ("macs", "MACs", "{:,}"),
)


def change_in_words(old: float | None, new: float | None) -> str:
    """By which share of ``old`` a figure changed; a dash where that is not known.

    >>> change_in_words(0.8, 0.9), change_in_words(0, 1), change_in_words(None, 1)
    ('+12.5%', '-', '-')
    """
    return f"{(new - old) / old:+.1%}" if old and new is not None else "-"


def figures_table(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows (figure, before, after, change, control) of a prune's result; a missing figure is a dash."""
    before, after, control = result["before"], result["after"], result.get("control") or {}
    rows = []
    for key, heading, form in FIGURES:
        old, new = before.get(key), after.get(key)
        change = change_in_words(old, new)
        shown = [form.format(value) if value is not None else "-" for value in (old, new, control.get(key))]
        rows.append([heading, shown[0], shown[1], change, shown[2]])
    return rows


def judged_on(result: Mapping[str, Any]) -> str:
    """On which images the figures before and after were found; "" of a result that was stored before that was kept."""
    said: dict[str, list[str]] = {}
    for which, net in (("before", "the net before"), ("after", "the new net"), ("control", "the control")):
        known = ImagesFrom.read((result.get(which) or {}).get("images_from"))
        if known is not None:
            said.setdefault(known.words, []).append(net)
    if len(said) == 1:
        return f"Judged on {next(iter(said))}."
    return " ".join(f"{' and '.join(nets).capitalize()}: judged on {words}." for words, nets in said.items())


def images_in_words(result: Mapping[str, Any]) -> str:
    """On which images the figures of one net were found."""
    return ImagesFrom(**result["images_from"]).words


def answers_in_words(found: Mapping[str, Any] | None) -> str:
    """The ``agreement`` of a prune's JSON as a sentence: how alike old and new net answered before any training."""
    from cnngraph.training.agreement import Agreement

    if found is None:
        return "Old and new net were not compared: there are no validation images."
    figures = Agreement(**{name: found[name] for name in Agreement.__dataclass_fields__})
    return f"Old and new net before any training, on {images_in_words(found)}: {figures.words}."


def remarks_on(result: Mapping[str, Any]) -> list[str]:
    """Which images the figures of a prune are of, and what the cut did to the answers: sentences."""
    answers = answers_in_words(result["agreement"]) if result.get("agreement") else ""
    return [sentence for sentence in (judged_on(result), answers) if sentence]


def verdict(result: Mapping[str, Any]) -> str:
    """One honest sentence: the gain over the control with the uncertainty of a test set of this size.

    The interval is two standard errors of the difference of two proportions over the test images, taken as independent:
    cautious, since both nets see the same images. Without a control (nothing was trained) the old net stands for it.

    >>> same = {"accuracy": 0.95, "images": 400}
    >>> verdict({"before": same, "after": same, "control": same})
    'No gain in accuracy: +0.0 points against the control, within the uncertainty of ±3.1 points at 400 test images.'
    """
    other, name = result.get("control"), "the control"
    if other is None:
        other, name = result["before"], "the net before (no control was trained)"
    after, images = result["after"]["accuracy"], result["after"]["images"]
    spread = 2 * ((after * (1 - after) + other["accuracy"] * (1 - other["accuracy"])) / images) ** 0.5
    gain = after - other["accuracy"]
    figures = f"{100 * gain:+.1f} points against {name}"
    bound = f"the uncertainty of ±{100 * spread:.1f} points at {images:,} test images"
    if abs(gain) <= spread:
        return f"No gain in accuracy: {figures}, within {bound}."
    return f"{'A gain' if gain > 0 else 'A loss'} in accuracy: {figures}, beyond {bound}."


@dataclass(frozen=True)
class PageContent:
    """What the page shows.

    Attributes:
        plan: the executed decision, with thetas and reasons.
        result: what ``prune`` returns (before, after, control, verified, new_model).
        sentence: the verdict. remarks: on the figures, which images they are of among them (:func:`judged_on`).
        commands: the commands that lead here. queries: (title, Cypher) to paste. browser: address of Neo4j Browser.
        edits: what changed in the net and why: ``module``, ``kind``, ``reason``.
        filters: pictures of the filters that went and of those that stay; ``None`` where no filters went.
        criticality: what the blocks of the net before, and of this one, are worth, where that was tried.
    """

    title: str
    plan: Plan
    result: Mapping[str, Any]
    sentence: str
    remarks: Sequence[str] = ()
    commands: Sequence[str] = ()
    queries: Sequence[tuple[str, str]] = ()
    browser: str | None = None
    edits: Sequence[Mapping[str, Any]] = ()
    filters: FilterPictures | None = None
    criticality: Sequence[CriticalitySection] = ()


def write_page(path: Path, content: PageContent) -> Path:
    """Write the page, atomically; everything it shows is inside the one file."""
    page = render(
        "summary.html",
        **vars(content),
        rows=figures_table(content.result),
        plot=plot_plan(content.plan),
        curve=plot_curve(content.plan),
        trained_curve=plot_trained_steps(content.plan, content.result.get("steps") or ()),
        weights_left=weights_left(content.result.get("masks") or ()),
    )
    return write_text(path, page)
