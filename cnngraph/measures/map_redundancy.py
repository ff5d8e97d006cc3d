"""``map-redundancy``: whose twin of the same layer stands in for it; 1 - the best correlation with a stronger map.

Our choice. Two maps of a layer are alike where their activations correlate over all places of all images (RESEMBLES,
scope ``within``, which keeps the 10 most alike of each map). Only a *stronger* map, one with the larger L2 norm of its
filter (the lower channel where they are equal), stands in for another: of a set of twins the strongest therefore keeps
its place, where a plain best correlation would send them all away together.

- Direction: none. Weight: the correlation without its sign. Normalisation: none; the score lies in 0..1.
- Low goes first: a map that a stronger one nearly repeats. A map that is constant over all images correlates with none
  and has 1: ``magnitude`` or ``taylor`` find those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnngraph.errors import PlanError
from cnngraph.measures.database_scores import map_scores
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import map_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]


def _not_compared() -> PlanError:
    return PlanError(
        "map-redundancy needs the correlations of feature maps within their layer, and this model has none.",
        "Ingest it with --view channels or both, and not with --correlations off.",
    )


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    from cnngraph.database.cypher import load

    if not db.read(load("measures/has_correlations"), model=key, scope="within"):
        raise _not_compared()
    return map_scores(db, "measures/map_redundancy", key)


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    within = [row for row in network.resembles.to_pylist() if row["scope"] == "within"]
    if not within:
        raise _not_compared()
    maps = map_arrays(network)
    named = zip(maps.layer.tolist(), maps.channel.tolist(), strict=True)
    row_of = {(maps.layers[layer], channel): row for row, (layer, channel) in enumerate(named)}
    best = np.zeros(len(maps.l2))
    for row in within:
        ends = [row_of.get((row[f"{end}_layer"], row[f"{end}_channel"])) for end in ("source", "target")]
        if None in ends:  # maps of a dense layer or of a sum
            continue
        weaker = min(ends, key=lambda end: (maps.l2[end], -maps.channel[end]))
        best[weaker] = max(best[weaker], abs(row["correlation"]))
    return maps.scores(1.0 - best)


MEASURE = Measure(
    name="map-redundancy",
    scores="map",
    summary="1 - best |correlation| of a feature map with a stronger map of its own layer",
    database=_database,
    oracle=_oracle,
    property="redundancy",
)
