"""``betweenness``: through how many shortest paths between other positions a position is passed.

Freeman, Sociometry 1977; Brandes, J. Mathematical Sociology 2001; sampled as in Brandes, Pich, IJBC 2007. Our choice as
a measure of layers.

- Direction: none. Along the arcs alone every position of the first and last layer would have 0.
- Weight: *distance* = 1 / strength, the strength without its sign: paths run through what is active. A weight of 0 is
  no arc.
- Normalisation: none; each unordered pair of positions counts 1, shared among its shortest paths. Up to 3,000 positions
  all paths count; beyond it those from a seeded sample of 64 sources, as a plain sum that is not scaled up (a theta is
  a ratio).
- Low goes first: a layer that no path needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnngraph.database.algorithm import Algorithm, Projecting
from cnngraph.measures.database_scores import position_scores
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import position_arrays
from cnngraph.measures.shortest_paths import betweenness

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]

EXACT_UP_TO = 3000
SAMPLE = 64


def _sources(positions: int) -> int:
    return positions if positions <= EXACT_UP_TO else SAMPLE


def _algorithm(nodes: int, options: Options) -> Algorithm:
    """One thread, so that sums are made in one order."""
    settings = {"sampling_size": _sources(nodes), "sampling_seed": options.seed, "concurrency": 1}
    return Algorithm(
        "betweenness",
        "betweenness",
        {"relationship_weight_property": "weight", **settings},
        Projecting(undirected=True, distance=True),
    )


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    from cnngraph.database import gds

    progress.start("Measuring betweenness")
    with gds.prepared(db, key, _algorithm, options) as projection:
        projection.write()
    scores = position_scores(db, key, "betweenness")
    return Scores(scores.layers, scores.layer, scores.value, claims={"sources": _sources(projection.size.nodes)})


def _oracle(network: Network, options: Options) -> Scores:
    arrays = position_arrays(network)
    n = len(arrays.layer)
    strength = np.abs(arrays.weight)
    arc = strength > 0
    starts = np.random.default_rng(options.seed).permutation(n)[: _sources(n)]
    value = betweenness(n, arrays.source[arc], arrays.target[arc], 1.0 / strength[arc], starts)
    return Scores(arrays.layers, arrays.layer, value, claims={"sources": len(starts)})


MEASURE = Measure(
    name="betweenness",
    scores="position",
    summary="shortest paths through a position, undirected; distance = 1 / strength; sampled beyond 3,000 positions",
    database=_database,
    oracle=_oracle,
    property="betweenness",
    reads=("seed",),
    constants={"exact_up_to": EXACT_UP_TO, "sample": SAMPLE},
    algorithm=_algorithm,
)
