"""``degree``: the overall degree of a position, aggregated over the class networks.

Amelio et al. 2022 (doi 10.1007/s12559-022-10084-6): the degree of node v in the network of class k is the sum of the
weights of its arcs, in and out, and the overall degree aggregates the classes by their mean (here also sum or median).

- Direction: both, arcs into and out of the node.
- Weight: strength; signed, a negative one is subtracted (GDS's degree would drop it, so this is Cypher).
- Normalisation: none. A node after a pool has more arcs and so a larger degree.
- Low goes first: a layer whose positions all have little activation around them.

The mean is linear: it is the sum of the arcs' own weights, which are means over the classes, and the sum is that times
the number of classes. Only the median needs the degree of every class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnngraph.measures.database_scores import class_count, position_scores, run_batched
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import PositionArrays, position_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE", "class_degrees"]

Floats = npt.NDArray[np.float64]


def class_degrees(arrays: PositionArrays, activation: Floats) -> Floats:
    """The degree of every position in every class network.

    Args:
        arrays: the topology, n positions.
        activation: (n, K), the weight of the arcs that leave each position.

    Returns:
        (n, K): the weights of the arcs that come in plus those of the arcs that go out.
    """
    n, classes = activation.shape
    going_out = np.bincount(arrays.source, minlength=n)
    degrees = activation * going_out[:, None]
    for k in range(classes):
        degrees[:, k] += np.bincount(arrays.target, weights=activation[arrays.source, k], minlength=n)
    return degrees


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    classes = class_count(db, key)
    if options.aggregate == "median":
        run_batched(db, "measures/degree_median", key, progress, classes=classes)
    else:
        run_batched(db, "measures/degree", key, progress, factor=classes if options.aggregate == "sum" else 1)
    return position_scores(db, key, "degree")


def _oracle(network: Network, options: Options) -> Scores:
    arrays = position_arrays(network)
    degrees = class_degrees(arrays, arrays.activation)
    if options.aggregate == "median":
        return arrays.scores(np.median(degrees, axis=1))
    return arrays.scores(degrees.sum(axis=1) if options.aggregate == "sum" else degrees.mean(axis=1))


MEASURE = Measure(
    name="degree",
    scores="position",
    summary="sum of the weights of a position's arcs, in and out, over the classes; signed strength, not normalised",
    database=_database,
    oracle=_oracle,
    property="degree",
    reads=("aggregate",),
)
