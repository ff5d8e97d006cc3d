"""How good two nets are on the same images, class by class, and on which of them they disagree.

Classes are matched by their names, so that nets of different data or with other outputs are judged on what both know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnngraph.console import Progress
from cnngraph.datasets.images_from import ImagesFrom

if TYPE_CHECKING:
    from cnngraph.datasets.images import Images
    from cnngraph.sources.loaded import LoadedModel
    from cnngraph.sources.side import Side

__all__ = ["Disagreement", "Judged", "cost_of", "judge_both", "measure_latencies"]


@dataclass(frozen=True)
class Disagreement:
    """An image to which the two nets give different classes.

    Attributes:
        row: its place in the images that were judged. image: what a person calls it. true, a, b: names of classes.
    """

    row: int
    image: str
    true: str
    a: str
    b: str

    @property
    def right(self) -> str:
        """Which net is right: ``a``, ``b`` or ``neither``."""
        return "a" if self.a == self.true else "b" if self.b == self.true else "neither"

    def as_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        return {"image": self.image, "true": self.true, "a": self.a, "b": self.b, "right": self.right}


@dataclass(frozen=True)
class Judged:
    """What both nets make of the same images.

    Attributes:
        a, b: accuracy, precision, recall, kappa, near_chance, images, images_from of each; empty where they were not
            judged.
        classes: ``class, images, a, b`` and ``change`` of the recall, by class.
        disagreements: in the order of the images.
        images: what was judged, as the first net wants it; ``None`` where nothing was.
        why: why they were not judged; "" where they were. note: which classes were left out.
    """

    a: dict[str, Any]
    b: dict[str, Any]
    classes: Sequence[dict[str, Any]] = ()
    disagreements: Sequence[Disagreement] = ()
    images: Images | None = None
    why: str = ""
    note: str = ""


def judge_both(
    a: Side, b: Side, loaded: LoadedModel, other: LoadedModel | None, device: str, progress: Progress
) -> Judged:
    """Judge both nets on the test images of ``loaded``, which is ``a`` with its data.

    Args:
        other: ``b`` with the same data, in the parts that it knows; ``None``: it was trained on other data.
    """
    from cnngraph.jobs.baseline import scores_of
    from cnngraph.training.answers import answer
    from cnngraph.training.evaluate import scores

    names = list(loaded.data.classes)
    known = [list(side.saved.classes) or names for side in (a, b)]
    shared = [name for name in names if all(name in mine for mine in known)]
    test = loaded.data.test
    rows = np.flatnonzero(np.isin(test.labels, [names.index(name) for name in shared]))
    if len(shared) < 2 or not len(rows):
        return Judged({}, {}, why=_why_not(names, known, len(shared)))
    images = test.take(rows)
    images.preload(f"Reading {loaded.data.name} (test)", progress, loaded.data.name)
    given: list[list[str]] = []
    for side, mine in zip((a, b), known, strict=True):
        progress.start(f"Judging {side.name}", len(images))
        same = side.saved.preprocessing == images.preprocessing
        seen = images if same else images.prepared(side.saved.preprocessing)
        outputs = answer(side.saved.model, seen, classes=len(mine), device=device, progress=progress)
        given.append([mine[output] if output < len(mine) else f"output {output}" for output in outputs.tolist()])
    true = [names[label] for label in images.labels.tolist()]
    every = list(dict.fromkeys([*shared, *given[0], *given[1]]))
    found = [scores(_confusion(true, answers, every)) for answers in given]
    judged = [
        replace(loaded.images_from("test"), images=len(images)),
        _images_from(b, loaded, other, images),
    ]
    figures = [
        {**scores_of(one, where, side.name), "images": len(images)}
        for one, where, side in zip(found, judged, (a, b), strict=True)
    ]
    classes = [
        {
            "class": name,
            "images": int(found[0].per_class[place]["images"]),
            "a": found[0].per_class[place]["recall"],
            "b": found[1].per_class[place]["recall"],
            "change": found[1].per_class[place]["recall"] - found[0].per_class[place]["recall"],
        }
        for place, name in enumerate(every)
        if name in shared and found[0].per_class[place]["images"]
    ]
    apart = [
        Disagreement(row, images.name(row), true[row], one, two)
        for row, (one, two) in enumerate(zip(*given, strict=True))
        if one != two
    ]
    left_out = len(names) - len(shared)
    note = f"Judged on the {len(shared)} classes that both know by name, of {len(names)}." if left_out else ""
    return Judged(figures[0], figures[1], classes, apart, images, note=note)


def cost_of(side: Side) -> dict[str, Any]:
    """Parameters, how many of them are not zero, MACs, and the bytes of the saved model."""
    from cnngraph.network.macs import count_parameters

    return {
        "parameters": count_parameters(side.saved.model),
        "nonzero": sum(int(parameter.count_nonzero()) for parameter in side.saved.model.parameters()),
        "macs": sum(layer.macs for layer in side.graph.layers),
        "file_bytes": side.file_bytes,
    }


def measure_latencies(a: Side, b: Side, device: str) -> tuple[float, float]:
    """Milliseconds for one image: in turns, so that a slow moment meets both, where both read images of one size."""
    from cnngraph.training.latency import latency_ms

    shapes = [side.saved.input_shape for side in (a, b)]
    nets = {"a": a.saved.model, "b": b.saved.model}
    if shapes[0] == shapes[1]:
        found = latency_ms(nets, shapes[0], device=device)
    else:
        found = {}
        for (name, net), shape in zip(nets.items(), shapes, strict=True):
            found |= latency_ms({name: net}, shape, device=device)
    return found["a"], found["b"]


def _confusion(true: Sequence[str], given: Sequence[str], every: Sequence[str]) -> npt.NDArray[np.int64]:
    places = {name: place for place, name in enumerate(every)}
    confusion = np.zeros((len(every), len(every)), dtype=np.int64)
    np.add.at(confusion, ([places[name] for name in true], [places[name] for name in given]), 1)
    return confusion


def _why_not(names: Sequence[str], known: Sequence[Sequence[str]], shared: int) -> str:
    def few(classes: Sequence[str]) -> str:
        return ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")

    if shared < 2:
        return (
            f"Not judged: fewer than two classes have the same name in both nets and in the data (a: {few(known[0])}; "
            f"b: {few(known[1])}; the data: {few(names)})."
        )
    return "Not judged: the data have no test images."


def _images_from(side: Side, loaded: LoadedModel, other: LoadedModel | None, images: Images) -> ImagesFrom:
    """What the figures of the second net are said to be of: it may have been trained on what the first was not."""
    place = loaded.images_from("test")
    if not side.saved.trained:
        return ImagesFrom("test", len(images), place.taken_from, "no")
    if other is None:
        return ImagesFrom("test", len(images), place.taken_from, "possibly")
    mine = {images.name(row) for row in range(len(images))}
    own, trained = ({part.name(row) for row in range(len(part))} for part in (other.data.test, other.data.train))
    if mine & trained:
        return ImagesFrom("test", len(images), place.taken_from, "yes")
    said = other.images_from("test").trained_on if mine <= own else "possibly"
    return ImagesFrom("test", len(images), place.taken_from, said)
