"""What the graph keeps beside the networks, as types: evaluations, runs, and how models descend from each other.

Each has one way into the graph and one out of it; ``as_json`` is what commands print.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from cnngraph.database.fingerprint import json_property
from cnngraph.database.rows import camel, snake
from cnngraph.datasets.images_from import ImagesFrom

__all__ = [
    "Ancestor",
    "Descendant",
    "Evaluation",
    "Lineage",
    "MeasureRun",
    "PruningRun",
    "StepTaken",
    "describe_sparsity",
]

_IDENTITY = ("split", "seed", "device", "control", "run", "child", "data", "data_root", "images_per_class")
# Of images_from as properties: the part of an Evaluation's own images is its split, how many they are is a figure.
_PLACES = ("taken_from", "trained_on")
_AGREEMENT = "agreement_"  # of the properties of an Evaluation that say what the cut did to the answers
_AGREED = ("images", "same_class", "kl", "correlation", "chance", "unrelated")


@dataclass(frozen=True)
class Evaluation:
    """How good a model is, on which images, and which prune or adoption that belongs to.

    Attributes:
        split: the part of the data. control: whether it is of the unpruned net, trained as the new one was.
        seed, device, data, data_root, images_per_class: what it was judged on, and where.
        run: key of the PruningRun that it belongs to. child: key of the model that came of that, or of the adoption.
        images_from: the images; ``None`` where it was stored before that was known.
        agreement: what the cut did to the answers, the ``agreement`` of a prune's JSON; ``None`` where not known.
        verified: the proof of a pruned net, as JSON text.
        figures: all else, by name: accuracy, precision, recall, images, latency_ms ...
    """

    split: str = "test"
    control: bool = False
    seed: int | None = None
    device: str | None = None
    run: str | None = None
    child: str | None = None
    data: str | None = None
    data_root: str | None = None
    images_per_class: int | None = None
    images_from: ImagesFrom | None = None
    agreement: Mapping[str, Any] | None = None
    verified: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any], **more: Any) -> Self:
        """From the figures of a prune's JSON (``before``, ``after``, ``control``); ``more`` are fields."""
        own = {each.name for each in fields(cls)} - {"figures"}
        known = {name: value for name, value in {**values, **more}.items() if name in own}
        judged = known.get("images_from")
        if isinstance(judged, Mapping):
            known["images_from"] = ImagesFrom.read(judged)
        if isinstance(known.get("verified"), Mapping):
            known["verified"] = json.dumps(known["verified"], sort_keys=True)
        return cls(**known, figures={name: value for name, value in values.items() if name not in own})

    @classmethod
    def read(cls, node: Mapping[str, Any]) -> Self:
        """From the properties of its node."""
        row = {snake(name): value for name, value in node.items()}
        judged = _read_images(row, "", row.get("split"))
        agreement = _read_agreement(row)
        rest = {name: value for name, value in row.items() if not name.startswith(_AGREEMENT) and name not in _PLACES}
        return cls.of(rest, images_from=judged, agreement=agreement)

    def properties(self) -> dict[str, Any]:
        """The properties of its node; objects as JSON, nothing for ``None``."""
        row = self._flat()
        return {camel(name): _storable(value) for name, value in row.items() if value is not None}

    def identity(self) -> list[Any]:
        """What tells it from others of its model: figures that agree in all of this replace each other.

        A run says the plan alone, which may have been carried out several times, so the child counts too.
        """
        return [getattr(self, name) for name in _IDENTITY]

    def as_json(self) -> dict[str, Any]:
        """All of it as one flat JSON object, as ``lineage --json`` prints it."""
        row = {name: value for name, value in self._flat().items() if value is not None}
        return row | {"images_from": self.images_from.as_json() if self.images_from else None}

    @property
    def proof(self) -> dict[str, Any]:
        """``verified`` as an object; {} where there is none.

        Raises:
            SpecError: it is no JSON object: somebody changed it.
        """
        known = {"key": self.figures.get("key", ""), "verified": self.verified}
        return json_property(known, "verified", node="Evaluation")

    def _flat(self) -> dict[str, Any]:
        """Everything by the names of the properties, in snake case."""
        row = {name: getattr(self, name) for name in ("split", "control", *_IDENTITY, "verified")} | dict(self.figures)
        row |= _images_row(self.images_from, "")
        if self.agreement is not None:
            row |= {_AGREEMENT + name: self.agreement[name] for name in _AGREED}
            judged = ImagesFrom.read(self.agreement.get("images_from"))
            row |= _images_row(judged, _AGREEMENT)
            row |= {f"{_AGREEMENT}part": judged.part} if judged else {}
        return row


def _images_row(judged: ImagesFrom | None, prefix: str) -> dict[str, Any]:
    return {prefix + name: getattr(judged, name) for name in _PLACES} if judged else {}


def _read_images(row: Mapping[str, Any], prefix: str, part: Any) -> ImagesFrom | None:
    """The inverse of :func:`_images_row`; ``None`` where a part of it is not known."""
    found = {"part": part, "images": row.get(f"{prefix}images")} | {name: row.get(prefix + name) for name in _PLACES}
    return ImagesFrom.read(found) if None not in found.values() else None


def _read_agreement(row: Mapping[str, Any]) -> dict[str, Any] | None:
    judged = _read_images(row, _AGREEMENT, row.get(f"{_AGREEMENT}part"))
    if judged is None:
        return None
    return {name: row.get(_AGREEMENT + name) for name in _AGREED} | {"images_from": judged.as_json()}


def _storable(value: Any) -> Any:
    """Numbers, text and flags as they are; objects and lists of objects as JSON."""
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping | list | tuple) else value


@dataclass(frozen=True)
class _Related:
    """A model in the line of another, and what lies between the two.

    Attributes:
        model: its key. steps: how many generations away. relation: PRUNED_FROM or ADOPTED_FROM.
        run, method: of the PruningRun between; ``None`` where there is none.
        removed: the layers that it removed. replaced: the blocks for which one layer came.
        filters: the channels that it removed, by layer.
    """

    model: str
    steps: int
    relation: str
    run: str | None
    method: str | None
    removed: list[str]
    replaced: list[str]
    filters: dict[str, list[int]]


@dataclass(frozen=True)
class Ancestor(_Related):
    """What a model came from; ``became``: the key of the next one on the way."""

    became: str


@dataclass(frozen=True)
class Descendant(_Related):
    """What came of a model; ``parent``: the key of the one before it, ``pruned_from`` too where it was pruned."""

    parent: str
    pruned_from: str | None


@dataclass(frozen=True)
class MeasureRun:
    """One measurement; ``current``: whether the scores on the nodes are its own. Without thetas it has no reference."""

    key: str
    measure: str
    parameters: str
    reference: float | None
    current: bool
    created_at: str


@dataclass(frozen=True)
class PruningRun:
    """A decision: the layers and filters (channels by layer) that it removes, the blocks for which one layer comes
    (``replaced``), and the models that it ``produced``.
    """

    key: str
    method: str | None
    owner: str | None
    created_at: str | None
    removed: list[str]
    replaced: list[str]
    filters: dict[str, list[int]]
    produced: list[str]


@dataclass(frozen=True)
class StepTaken:
    """One step of a prune that trained the net between its steps.

    Attributes:
        number: from 1. layer: that was simplified; "" where the step is about the whole net. filters: how many of its
            filters went.
        trained_parameters: of the net that the step left, how many were trained; all others stayed bit for bit.
        epochs: of that training. accuracy, kappa: on the validation images, after it.
        seconds: that choosing and training took.
        weights, alive: of a round that prunes weights, how many went in it, and how many are left of those that may go.
    """

    number: int
    layer: str
    filters: int
    trained_parameters: int
    epochs: int
    accuracy: float
    kappa: float
    seconds: float
    weights: int | None = None
    alive: int | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it; a step without weights as it was said before there were rounds."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def name(self) -> str:
        """Its caption."""
        if self.layer:
            return f"{self.number} {self.layer}"
        return f"round {self.number}" if self.weights is not None else f"{self.number} filters"


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from (nearest first), what came of it, and what was found out about it.

    ``edits``: what the prune that made it changed, each with ``module``, ``kind``, ``reason`` and ``removed``.
    ``steps``: of the prune that made it, where it trained between steps. ``masks``: how many weights (``alive``, of
    ``weights``) each ``round`` of it left of each ``layer``, where it pruned weights.
    """

    model: str
    ancestors: tuple[Ancestor, ...]
    descendants: tuple[Descendant, ...]
    measure_runs: tuple[MeasureRun, ...]
    pruning_runs: tuple[PruningRun, ...]
    evaluations: tuple[Evaluation, ...]
    edits: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[StepTaken, ...] = ()
    masks: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The JSON of ``lineage``."""
        lists = ("ancestors", "descendants", "measure_runs", "pruning_runs")
        found: dict[str, Any] = {name: [asdict(record) for record in getattr(self, name)] for name in lists}
        found |= {
            "evaluations": [one.as_json() for one in self.evaluations],
            "edits": [dict(edit) for edit in self.edits],
            "steps": [step.as_json() for step in self.steps],
            "masks": [dict(row) for row in self.masks],
        }
        return {"model": self.model, **found}


def describe_sparsity(counts: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """How many weights are left where masks are.

    Args:
        counts: by layer, how many weights its mask is about, and how many of them are alive.

    Returns:
        ``weights``, ``alive``, ``sparsity`` (the share that is zero) of all layers together; ``layers``: the same and
        ``layer`` of each.

    >>> describe_sparsity({"fc": (4, 3)})["layers"]
    [{'layer': 'fc', 'weights': 4, 'alive': 3, 'sparsity': 0.25}]
    """
    weights, alive = map(sum, zip(*counts.values(), strict=True))
    layers = [
        {"layer": layer, "weights": size, "alive": left, "sparsity": 1 - left / size}
        for layer, (size, left) in counts.items()
    ]
    return {"weights": weights, "alive": alive, "sparsity": 1 - alive / weights, "layers": layers}
