"""What a measure is: the types that every file of this package fills, and nothing that computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.algorithm import Algorithm
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["LayerTheta", "Measure", "MeasureResult", "Options", "Scores"]

Aggregate = Literal["mean", "sum", "median"]
_ORDER = {"position": "number", "map": "layer, channel"}


@dataclass(frozen=True)
class Options:
    """What a person may choose about a measure; each measure names in ``Measure.reads`` the ones that it heeds.

    Attributes:
        aggregate: how the class networks' values become one: mean, sum or median.
        seed: for the measures with a random choice in them.
    """

    aggregate: str = "mean"
    seed: int = 0


@dataclass(frozen=True)
class Scores:
    """The score of everything that a measure scores; *low goes first*.

    Attributes:
        layers: the ranked layers' names, in network order.
        layer: shape (n,), for each of the n scored things the index of its layer in ``layers``.
        value: shape (n,), float64, its score.
        extra: more node properties that the measure found, each of shape (n,) (the community of ``leiden``).
        claims: what else it found of the net as a whole, stored on its run (the modularity of ``leiden``).
        blocks: by name, the scores of blocks that have one of their own; the reference does not hang on them.

    The n things stand in the order of their table in a Network (positions by number, maps by layer and channel, layers
    in network order), wherever they came from: sums over them are then the same.
    """

    layers: tuple[str, ...]
    layer: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    extra: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    blocks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.layer.shape != self.value.shape or self.value.ndim != 1:
            raise ValueError(f"layer {self.layer.shape} and value {self.value.shape} must be one-dimensional and alike")


@dataclass(frozen=True)
class Measure:
    """One way to score the nodes of a network, or its layers.

    Attributes:
        name: the name in commands and on the MeasureRun.
        scores: what it scores: ``position``, ``map`` or ``layer``.
        summary: one line for a list of measures: what it is, direction, normalisation, strength or distance.
        database: computes it inside Neo4j, leaves each node's score there as ``property``, and returns all scores.
        oracle: computes the same from a Network, without a database.
        property: the node property that holds the score; ``None`` where only layers are scored.
        reads: the names of the :class:`Options` that change the result.
        constants: everything else that decides the numbers; stored with each run.
        algorithm: for a measure by Graph Data Science: what it asks of it, by the number of nodes and the options.
        of_net: True where the saved model and its images are read, not the graph.
    """

    name: str
    scores: Literal["position", "map", "layer"]
    summary: str
    database: Callable[[Database, str, Options, Progress], Scores]
    oracle: Callable[[Network, Options], Scores]
    property: str | None
    reads: tuple[str, ...] = ()
    constants: dict[str, Any] = field(default_factory=dict)
    algorithm: Callable[[int, Options], Algorithm] | None = None
    of_net: bool = False

    def parameters(self, options: Options, engine: str = "database") -> dict[str, Any]:
        """What decides the scores, as JSON: its constants, the options that it reads, and for a GDS measure the engine.

        The engine counts there since a random algorithm finds other communities, or samples other paths, elsewhere; in
        the database so does the order of the nodes. Runs without an order drew by the order of the store.
        """
        chosen = {name: getattr(options, name) for name in self.reads}
        if self.algorithm is None:
            return self.constants | chosen
        by = {"order": _ORDER[self.scores]} if engine == "database" else {}
        return self.constants | chosen | {"engine": engine} | by


class LayerTheta(NamedTuple):
    """One layer's place: ``value`` is the largest score in it, ``theta = value / reference``."""

    layer: str
    value: float
    theta: float


@dataclass(frozen=True)
class MeasureResult:
    """One finished run: the layers in network order with their thetas.

    ``key`` names the MeasureRun ("" where nothing was stored), ``model`` the model; ``parameters`` decided the scores.
    """

    key: str
    measure: str
    reference: float
    layers: tuple[LayerTheta, ...]
    model: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    reference_rule: str = "median"
