"""``map-pagerank``: how much of a random walk along the connections is at a feature map.

:mod:`.pagerank` on the channel network: nodes are the feature maps of all layers that have some, arcs their CONNECTS.
Our choice as a measure of filters.

- Direction: from input to output, along the connections.
- Weight: strength, the L2 norm of the kernel between two maps (1 into a sum); a weight of 0 is no connection.
- Normalisation: none; the connections that leave a map share its rank by weight.
- Low goes first: a map that little flows into, judged by its share of what its sources send out.

Connections that were left out of the graph (``--connections top:K``) do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnngraph.database.algorithm import Algorithm, Projecting
from cnngraph.errors import PlanError
from cnngraph.measures.database_scores import ROWS_A_WRITE, stored_map_scores
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import map_arrays
from cnngraph.measures.pagerank import DAMPING, TOLERANCE, ranks, walk

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]


def _not_connected() -> PlanError:
    return PlanError(
        "map-pagerank needs the connections of feature maps, and this model has none.",
        "Ingest it with --view channels or both, and not with --connections none.",
    )


def _algorithm(nodes: int, options: Options) -> Algorithm:  # noqa: ARG001
    return walk(Projecting(view="channels"))


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    from cnngraph.database import gds
    from cnngraph.database.cypher import load

    progress.start("Measuring map-pagerank")
    with gds.prepared(db, key, _algorithm, options) as projection:
        if not projection.size.relationships:
            raise _not_connected()
        found = projection.stream()
    rows = [
        {"id": id_, "score": score}
        for id_, score in zip(found["nodeId"].tolist(), found["score"].tolist(), strict=True)
    ]
    for start in range(0, len(rows), ROWS_A_WRITE):
        db.write(load("measures/map_pagerank"), rows=rows[start : start + ROWS_A_WRITE])
    return stored_map_scores(db, key, MEASURE)


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    if not network.connects.num_rows:
        raise _not_connected()
    maps = map_arrays(network)
    names = zip(network.feature_maps["layer"].to_pylist(), network.feature_maps["channel"].to_pylist(), strict=True)
    row_of = {name: row for row, name in enumerate(names)}
    ends = {
        end: np.array(
            [
                row_of[name]
                for name in zip(
                    network.connects[f"{end}_layer"].to_pylist(),
                    network.connects[f"{end}_channel"].to_pylist(),
                    strict=True,
                )
            ]
        )
        for end in ("source", "target")
    }
    rank = ranks(len(row_of), ends["source"], ends["target"], np.abs(network.connects["weight"].to_numpy()))
    named = zip(maps.layer.tolist(), maps.channel.tolist(), strict=True)
    return maps.scores(rank[[row_of[maps.layers[layer], channel] for layer, channel in named]])


MEASURE = Measure(
    name="map-pagerank",
    scores="map",
    summary="PageRank of a feature map along the connections, damping 0.85; weight = strength (kernel norm)",
    database=_database,
    oracle=_oracle,
    property="pagerank",
    constants={"damping": DAMPING, "tolerance": TOLERANCE},
    algorithm=_algorithm,
)
