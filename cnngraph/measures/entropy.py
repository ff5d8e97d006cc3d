"""``entropy``: how evenly a position's degree is spread over the class networks.

Amelio et al. 2022 (doi 10.1007/s12559-022-10084-6): with d_k the degree in class network k and p_k = d_k / sum_j d_j,
the overall degree with entropy is delta = - sum over p_k > 0 of p_k log2 p_k, in bits.

- Direction: both, arcs into and out of the node.
- Weight: strength; signed, as in the authors' data: shares above 1 occur there and their negative term is kept.
- Normalisation: by the node's own total, so the scale of a layer's activations does not matter.
- Low goes first: a layer whose positions all serve few classes.

A node whose degrees sum to 0 has delta 0. Without negative weights delta lies in 0..log2(K).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnngraph.measures.database_scores import class_count, position_scores, run_batched
from cnngraph.measures.degree import class_degrees
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import position_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE", "entropy_of"]


def entropy_of(degrees: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Entropy in bits over the last axis: (n, K) degrees to (n,).

    >>> entropy_of(np.array([[1.0, 3.0], [5.0, 0.0], [0.0, 0.0]])).round(6).tolist()
    [0.811278, 0.0, 0.0]
    """
    total = degrees.sum(axis=-1, keepdims=True)
    shares = np.divide(degrees, total, out=np.zeros_like(degrees), where=total != 0)
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    terms: npt.NDArray[np.float64] = np.where(shares > 0, shares * logs, 0.0)
    return np.asarray(0.0 - terms.sum(axis=-1), dtype=np.float64)


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    run_batched(db, "measures/entropy", key, progress, classes=class_count(db, key))
    return position_scores(db, key, "entropy")


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    arrays = position_arrays(network)
    return arrays.scores(entropy_of(class_degrees(arrays, arrays.activation)))


MEASURE = Measure(
    name="entropy",
    scores="position",
    summary="entropy in bits of a position's degree over the classes; signed strength, normalised by the node's total",
    database=_database,
    oracle=_oracle,
    property="entropy",
)
