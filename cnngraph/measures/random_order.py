"""``random``: a seeded number in [0, 1) for each conv layer. A null: what a ranking is worth that knows nothing.

- Direction, weight, normalisation: none. Low goes first. The same seed gives the same order on the same net.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnngraph.measures.database_scores import stored_conv_layers
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import conv_layers

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]


def _draw(layers: Sequence[str], seed: int) -> Scores:
    drawn = np.random.default_rng(seed).random(len(layers))
    return Scores(tuple(layers), np.arange(len(layers)), drawn)


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    return _draw(stored_conv_layers(db, key), options.seed)


def _oracle(network: Network, options: Options) -> Scores:
    return _draw(conv_layers(network), options.seed)


MEASURE = Measure(
    name="random",
    scores="layer",
    summary="null: a seeded random number for each conv layer",
    database=_database,
    oracle=_oracle,
    property=None,
    reads=("seed",),
)
