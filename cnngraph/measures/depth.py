"""``depth``: how many convolutions are still to come. A null: it looks at no weight and no image.

Our choice, beside every measure of a graph: theta of ``degree`` correlates 0.97 with it on the authors' own network.

- Direction: from input to output, in network order. Weight: none. Normalisation: none.
- Low goes first: the last conv layer has 0.
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


def _still_to_come(layers: Sequence[str]) -> Scores:
    n = len(layers)
    return Scores(tuple(layers), np.arange(n), np.arange(n - 1, -1, -1, dtype=np.float64))


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    return _still_to_come(stored_conv_layers(db, key))


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    return _still_to_come(conv_layers(network))


MEASURE = Measure(
    name="depth",
    scores="layer",
    summary="null: the number of convolutions still to come",
    database=_database,
    oracle=_oracle,
    property=None,
)
