"""The page of a comparison: both nets in lines, and pictures of images on which they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.reporting.comparison import ComparisonPage, ShownImage, write_comparison
from cnngraph.reporting.layer_rows import TwoNets, group_rows
from cnngraph.reporting.similarity_plots import CurvePoint
from cnngraph.sources.side import Side

if TYPE_CHECKING:
    from cnngraph.jobs.compare_judged import Disagreement, Judged
    from cnngraph.jobs.compare_layers import Matched

__all__ = ["write"]

_SHOWN = 24  # images on which the two disagree
_SIDE = 96  # pixels that a picture has at most


def write(out: Path, sides: tuple[Side, Side], matched: Matched, judged: Judged, result: Mapping[str, Any]) -> Path:
    """Write the page to ``out``."""
    a, b = sides
    found = {(row["layer_a"], row["layer_b"]): row for row in result["layers"]}
    nets = TwoNets(
        a.graph,
        b.graph,
        a.saved.followed.blocks,
        matched.pairs,
        {pair: row["value"] for pair, row in found.items()},
        matched.related,
    )
    depth = {spot.layer: spot.depth for spot in matched.spots[0]}
    curve = [
        CurvePoint(one if one == other else f"{one} ~ {other}", depth[one], row["value"], row["null"])
        for (one, other), row in found.items()
    ]
    heat = None
    if result["all_pairs"]:
        heat = [spot.layer for spot in matched.spots[0]], [spot.layer for spot in matched.spots[1]]
    return write_comparison(out, ComparisonPage(result, group_rows(nets), curve, heat, _pictures(judged)))


def _pictures(judged: Judged) -> list[ShownImage]:
    """Some of the images on which the two disagree, spread over all of them."""
    images = judged.images
    if images is None:
        return []
    return [
        ShownImage(_picture(images, one), one.image, one.true, one.a, one.b, one.right)
        for one in _spread(judged.disagreements, _SHOWN)
    ]


def _spread(found: Sequence[Disagreement], most: int) -> list[Disagreement]:
    """At most so many, from the first to the last in even steps."""
    if len(found) <= most:
        return list(found)
    return [found[place * len(found) // most] for place in range(most)]


def _picture(images: Any, one: Disagreement) -> bytes:
    """The image as the first net sees it, as PNG, made smaller where it is large."""
    from PIL import Image

    from cnngraph.evidence.pictures import picture_of_image

    content = picture_of_image(images[one.row][0], images.preprocessing)
    picture = Image.open(BytesIO(content))
    if max(picture.size) <= _SIDE:
        return content
    picture.thumbnail((_SIDE, _SIDE))
    smaller = BytesIO()
    picture.save(smaller, format="PNG")
    return smaller.getvalue()
