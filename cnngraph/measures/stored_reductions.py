"""CAR in the graph: on feature maps, as SERVES to the classes that they serve most and least, its mean on layers.

A layer is stored in one transaction, so that a measure that was killed leaves whole layers and the next goes on. What
stands there belongs to one MeasureRun, the current one of ``car``: the same net on the same images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cnngraph.errors import ConflictError, NotFoundError
from cnngraph.measures.accuracy_reduction import AccuracyReduction, find_served

if TYPE_CHECKING:
    from cnngraph.database.connection import Database

__all__ = [
    "CarLayer",
    "CarResult",
    "Filters",
    "StoredCar",
    "read_filters",
    "read_state",
    "store_layer",
]

Filters = Mapping[tuple[str, int], AccuracyReduction]  # by module and channel


class CarLayer(NamedTuple):
    """One layer: the mean CAR of its filters that can go; it has no theta.

    ``car``, ``by_class``: by filter CAR and CAR^c, ``None`` for one that cannot go; CAR^c in the order of the classes,
    ``None`` where a class has no image.
    """

    layer: str
    value: float
    theta: None
    car: tuple[float | None, ...]
    by_class: tuple[tuple[float | None, ...] | None, ...]


@dataclass(frozen=True)
class CarResult:
    """The CAR of filters as it stands in the graph.

    Attributes:
        key, model, parameters: of the MeasureRun. reference: there is none, as there is no theta.
        layers: those that were asked for, as far as they are measured, in network order.
        baseline: the accuracy of the whole net. images: how many; judged_on: which they are, in words.
        class_images: by class, how many of them there are.
        left: layers for which there was no time.
    """

    key: str
    model: str
    parameters: dict[str, Any]
    layers: tuple[CarLayer, ...]
    baseline: float
    images: int
    judged_on: str
    class_images: dict[str, int]
    left: tuple[str, ...] = ()
    measure: str = "car"
    reference: None = None


@dataclass(frozen=True)
class StoredCar:
    """What the graph has of the CAR of a model.

    Attributes:
        fingerprint: of the model. key: of the run that it belongs to, ``None`` where there is none.
        values: by layer that was measured, the mean CAR of its filters.
        calls: by module, the names of the layers that it is. classes: in the order of their numbers.
    """

    fingerprint: str
    key: str | None
    values: dict[str, float]
    calls: dict[str, tuple[str, ...]]
    classes: tuple[str, ...]


def read_state(db: Database, model: str) -> StoredCar:
    """What the graph has.

    Raises:
        NotFoundError: there is no such model.
    """
    from cnngraph.database.cypher import load

    rows = db.read(load("measures/car_state"), model=model)
    if not rows:
        raise NotFoundError(f"There is no model {model} in the database.")
    (row,) = rows
    calls: dict[str, tuple[str, ...]] = {}
    for layer, module in row["modules"]:
        calls[module] = (*calls.get(module, ()), layer)
    values = {one["layer"]: one["value"] for one in row["layers"]}
    return StoredCar(row["fingerprint"], row["key"], values, calls, tuple(row["classes"]))


def read_filters(db: Database, model: str, modules: Sequence[str]) -> dict[tuple[str, int], AccuracyReduction]:
    """The CAR of the filters of some modules that stands in the graph, whichever run it belongs to."""
    from cnngraph.database.cypher import load
    from cnngraph.database.rows import list_with_none

    rows = db.read(load("measures/car_maps"), model=model, layers=list(modules))
    return {
        (row["layer"], row["channel"]): AccuracyReduction(row["car"], tuple(list_with_none(row["by_class"])))
        for row in rows
        if row["car"] is not None
    }


def store_layer(
    db: Database,
    result: CarResult,
    state: StoredCar,
    layer: CarLayer,
    filters: Filters,
    *,
    begins: bool,
) -> None:
    """Leave the CAR of one layer, and of all that is coupled with it, in the graph.

    Args:
        result: the run; its layers do not matter. filters: what is new, by module and channel.
        begins: whether nothing of the run is in the graph yet; what another run left goes then.

    Raises:
        ConflictError: the model was replaced or deleted meanwhile, or somebody measures it on other images.
    """
    from cnngraph.database.cypher import load
    from cnngraph.database.rows import list_with_nan

    done = db.write(
        load("measures/car_layer"),
        model=result.model,
        fingerprint=state.fingerprint,
        key=result.key,
        begins=begins,
        parameters=json.dumps(result.parameters, sort_keys=True),
        claims={
            "baseline": result.baseline,
            "images": result.images,
            "judgedOn": result.judged_on,
            "classImages": [result.class_images[name] for name in state.classes],
        },
        layers=[{"layer": call, "value": layer.value} for call in state.calls[layer.layer]],
        rows=[
            {"layer": call, "channel": channel, "car": found.overall, "carByClass": list_with_nan(found.by_class)}
            | {"serves": [asdict(served) for served in find_served(found.by_class)]}
            for (module, channel), found in filters.items()
            for call in state.calls.get(module, ())
        ],
    )
    if not done:
        raise ConflictError(
            f"{result.model} was replaced or deleted while it was measured, or is measured on other images now.",
            "Measure it again; layers that were stored before stay where nobody took them away.",
        )
