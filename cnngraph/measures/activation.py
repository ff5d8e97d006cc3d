"""``activation``: the mean activation over the classes. A null: it sees how loud a layer is, and no graph.

Our choice, beside every measure of a graph: theta of ``degree`` correlates 0.97 with it on the authors' own network.
It scores the conv layers' feature maps; of a model that has none (an imported network) the positions, whose last conv
layer has no activation and is then not ranked.

- Direction: none. Weight: strength. Normalisation: none.
- Low goes first: a layer without one loud map.

The nodes already carry ``activation``, the list of the classes' means, so this leaves no property of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnngraph.errors import PlanError
from cnngraph.measures.database_scores import scores_of_rows
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import map_arrays, position_arrays
from cnngraph.measures.theta import layer_values

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE", "layer_activations", "stored_layer_activations"]


def stored_layer_activations(db: Database, key: str) -> dict[str, float]:
    """The largest mean activation of each conv layer of a stored model, where it is known; writes nothing."""
    scores = _read(db, key)
    return dict(zip(scores.layers, layer_values(scores).tolist(), strict=True))


def layer_activations(network: Network) -> dict[str, float]:
    """The same of a Network."""
    scores = _scores(network)
    return dict(zip(scores.layers, layer_values(scores).tolist(), strict=True))


def _read(db: Database, key: str) -> Scores:
    from cnngraph.database.cypher import load

    rows = db.read(load("measures/activation_maps"), model=key)
    return scores_of_rows(rows or db.read(load("measures/activation_positions"), model=key))


def _scores(network: Network) -> Scores:
    if network.feature_maps.num_rows:
        maps = map_arrays(network)
        return maps.scores(maps.activation.mean(axis=1))
    arrays = position_arrays(network)
    known = ~network.positions["activation"].is_null().to_numpy(zero_copy_only=False).astype(bool)
    present = np.unique(arrays.layer[known])
    place = np.searchsorted(present, arrays.layer[known])
    layers = tuple(arrays.layers[i] for i in present)
    return Scores(layers, place, arrays.activation[known].mean(axis=1))


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    scores = _read(db, key)
    if not scores.layers:
        raise PlanError(f"{key} has no activations.", "Ingest it with data.")
    return scores


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    return _scores(network)


MEASURE = Measure(
    name="activation",
    scores="map",
    summary="null: the mean activation of a feature map over the classes, as it is",
    database=_database,
    oracle=_oracle,
    property=None,
)
