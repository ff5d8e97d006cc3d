"""One self-contained HTML page about two nets: side by side, how similar their layers are, and what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnngraph.files import write_text
from cnngraph.reporting.layer_rows import Group
from cnngraph.reporting.page import change_in_words, images_in_words
from cnngraph.reporting.rendering import render
from cnngraph.reporting.similarity_plots import CurvePoint, colour_of, draw_curve, draw_heat_map, ink_on, legend

__all__ = [
    "ComparisonPage",
    "ShownImage",
    "class_rows",
    "compared_figures",
    "judged_in_words",
    "pair_rows",
    "write_comparison",
]

# (key in the JSON, heading, how a value is written)
_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "accuracy", "{:.4f}"),
    ("kappa", "Cohen's kappa", "{:.4f}"),
    ("precision", "precision (macro)", "{:.4f}"),
    ("recall", "recall (macro)", "{:.4f}"),
    ("latency_ms", "latency (ms, batch 1)", "{:.2f}"),
    ("parameters", "parameters", "{:,}"),
    ("nonzero", "parameters that are not zero", "{:,}"),
    ("macs", "MACs", "{:,}"),
    ("file_bytes", "saved model (bytes)", "{:,}"),
)
PAIR_HEADS = ("layer of a", "layer of b", "matched by", "value", "null", "points", "images", "n/p", "kept")
_WORDS = {"gone": "only in a", "new": "only in b", "replaced": "replaced", "resized": "resized"}
_SHORT = 60  # lines up to which everything is unfolded


@dataclass(frozen=True)
class ShownImage:
    """An image on which the two disagree: its picture as PNG, its name, and what it is and is taken for."""

    picture: bytes
    image: str
    true: str
    a: str
    b: str
    right: str

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        from base64 import b64encode

        return f"data:image/png;base64,{b64encode(self.picture).decode()}"


@dataclass(frozen=True)
class ComparisonPage:
    """What the page shows.

    Attributes:
        result: the JSON of ``compare``.
        groups: the lines of the diagram. curve: the pairs by depth.
        heat: layers of both, where all pairs were measured.
        images: some of those on which the two disagree.
    """

    result: Mapping[str, Any]
    groups: Sequence[Group]
    curve: Sequence[CurvePoint]
    heat: tuple[Sequence[str], Sequence[str]] | None = None
    images: Sequence[ShownImage] = field(default=())


def compared_figures(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows (figure, a, b, change) of a comparison; a missing figure is a dash."""
    a, b = result["a"], result["b"]
    rows = []
    for key, heading, form in _FIGURES:
        values = [side.get(key) for side in (a, b)]
        shown = (form.format(value) if value is not None else "-" for value in values)
        rows.append([heading, *shown, change_in_words(*values)])
    return rows


def pair_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the pairs, under :data:`PAIR_HEADS`."""

    def said(value: float | None, form: str) -> str:
        return "-" if value is None else form.format(value)

    return [
        [
            row["layer_a"],
            row["layer_b"],
            row["matched_by"],
            "not defined" if row["value"] is None else f"{row['value']:.4f}",
            said(row["null"], "{:.4f}"),
            said(row["points"], "{:,}"),
            said(row["images"], "{:,}"),
            said(row["ratio"], "{:.3g}"),
            _kept(row),
        ]
        for row in result["layers"]
    ]


def class_rows(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The classes by the change of their recall, the largest losses first."""
    return sorted(result["classes"], key=lambda row: (row["change"], row["class"]))


def judged_in_words(result: Mapping[str, Any]) -> list[str]:
    """On which images the two were judged, and what is to be said of that: sentences."""
    if result["not_judged"]:
        return [result["not_judged"]]
    said = [f"a: judged on {images_in_words(result['a'])}.", f"b: judged on {images_in_words(result['b'])}."]
    return said + ([result["judged_note"]] if result["judged_note"] else [])


def write_comparison(path: Path, page: ComparisonPage) -> Path:
    """Write the page, atomically; everything it shows is inside the one file."""
    result = page.result
    values = {(row["layer_a"], row["layer_b"]): row["value"] for row in result["layers"]}
    every = {(row["layer_a"], row["layer_b"]): row["value"] for row in result["all_pairs"] or ()}
    counts: Counter[str] = Counter()
    for group in page.groups:
        counts.update(group.counts)
    words = _WORDS | ({"gone": "removed"} if result["made_of_a"] else {})
    html = render(
        "comparison.html",
        title=f"{result['a']['name']} and {result['b']['name']}",
        a=result["a"]["name"],
        b=result["b"]["name"],
        measure=result["similarity"],
        sentence=result["sentence"],
        failed=bool(result["at_least"] and result["at_least"]["failed"]),
        remarks=[*result["notes"], *judged_in_words(result)],
        figures=compared_figures(result),
        groups=page.groups,
        counts=counts,
        words=words,
        made_of_a=result["made_of_a"],
        related=any(row["matched_by"] != "depth" for row in result["layers"]),
        nulls={(row["layer_a"], row["layer_b"]): row["null"] for row in result["layers"]},
        short=sum(len(group.rows) for group in page.groups) <= _SHORT,
        colour=colour_of,
        ink=ink_on,
        legend=legend(),
        curve=draw_curve(page.curve),
        heat=draw_heat_map(*page.heat, every, set(values)) if page.heat is not None else "",
        pairs=pair_rows(result),
        pair_heads=PAIR_HEADS,
        classes=class_rows(result),
        disagreed=_disagreed(result, len(page.images)),
        pictures=page.images,
    )
    return write_text(path, html)


def _kept(row: Mapping[str, Any]) -> str:
    """How many dimensions of each layer were kept, of how many."""
    sides = [(row[f"kept_{side}"], row[f"channels_{side}"]) for side in "ab"]
    return "-" if any(kept is None for kept, _ in sides) else ", ".join(f"{kept} of {whole}" for kept, whole in sides)


def _disagreed(result: Mapping[str, Any], shown: int) -> str | None:
    if result["not_judged"]:
        return None
    found = result["disagreements"]
    if not found["count"]:
        return f"On none of {found['images']:,}."
    some = f" Shown: {shown}." if shown < found["count"] else ""
    return (
        f"On {found['count']:,} of {found['images']:,}; of these a is right on {found['a_right']:,}, "
        f"b on {found['b_right']:,}.{some}"
    )
