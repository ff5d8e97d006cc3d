"""``pagerank``: how much of a random walk along the arcs is at a position.

Brin, Page, Computer Networks 1998, as Graph Data Science scales it: rank(v) = (1 - d) + d * sum over arcs u -> v of
rank(u) w(u, v) / (sum of w over the arcs that leave u), with d = 0.85. Our choice as a measure of layers.

- Direction: from input to output, along the arcs.
- Weight: strength, without its sign (our choice: a strongly negative activation is a strong signal); a weight of 0 is
  no arc. Scaling all weights of a position changes nothing, so it is the *pattern* of activation that counts.
- Normalisation: none; ranks sum to the number of positions less what ends in positions without arcs out.
- Low goes first: a layer that no position collects in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnngraph.database.algorithm import Algorithm, Projecting
from cnngraph.measures.database_scores import position_scores
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import position_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE", "ranks", "walk"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAMPING = 0.85
TOLERANCE = 1e-10
# A walk on a net without cycles has ended after as many steps as there are convolutions one behind the other.
ITERATIONS = 1000


def walk(projecting: Projecting, write_property: str | None = None) -> Algorithm:
    """PageRank along the relationships of a projection. One thread, so that sums are made in one order."""
    settings = {"damping_factor": DAMPING, "max_iterations": ITERATIONS, "tolerance": TOLERANCE, "concurrency": 1}
    return Algorithm("page_rank", write_property, {"relationship_weight_property": "weight", **settings}, projecting)


def _algorithm(nodes: int, options: Options) -> Algorithm:  # noqa: ARG001
    return walk(Projecting(), "pagerank")


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    from cnngraph.database import gds

    progress.start("Measuring pagerank")
    with gds.prepared(db, key, _algorithm, options) as projection:
        projection.write()
    return position_scores(db, key, "pagerank")


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    arrays = position_arrays(network)
    return arrays.scores(ranks(len(arrays.layer), arrays.source, arrays.target, np.abs(arrays.weight)))


def ranks(n: int, source: Ints, target: Ints, strength: Floats) -> Floats:
    """The PageRank of n nodes, shape (n,).

    Args:
        n: how many nodes there are.
        source, target: shape (a,), 0-based ends of the arcs.
        strength: shape (a,), their weights, 0 or more.

    >>> ranks(2, np.array([0]), np.array([1]), np.array([3.0])).round(4).tolist()
    [0.15, 0.2775]
    """
    leaving = np.bincount(source, weights=strength, minlength=n)[source]
    share = np.divide(strength, leaving, out=np.zeros_like(strength), where=leaving > 0)
    rank = np.full(n, 1 - DAMPING)
    for _ in range(ITERATIONS):
        before = rank
        rank = 1 - DAMPING + DAMPING * np.bincount(target, weights=share * before[source], minlength=n)
        if np.abs(rank - before).max() < TOLERANCE:
            break
    return rank


MEASURE = Measure(
    name="pagerank",
    scores="position",
    summary="PageRank of a position along the arcs, damping 0.85; weight = strength without its sign",
    database=_database,
    oracle=_oracle,
    property="pagerank",
    constants={"damping": DAMPING, "tolerance": TOLERANCE},
    algorithm=_algorithm,
)
