"""``strength``: the weights of all connections that enter and leave a feature map.

Our choice, after the strength of a node in a weighted network (Barrat et al., PNAS 2004): the weight of a connection is
the L2 norm of the kernel between the two maps, and connections that were left out of the graph count as well.

- Direction: both. Weight: strength, never negative.
- Normalisation: none; wide neighbours make strong maps.
- Low goes first: a layer all of whose maps are weakly wired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnngraph.measures.database_scores import map_scores
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import map_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    return map_scores(db, "measures/strength", key)


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    maps = map_arrays(network)
    return maps.scores(maps.strength_in + maps.strength_out)


MEASURE = Measure(
    name="strength",
    scores="map",
    summary="sum of the weights (kernel norms) of a feature map's connections, in and out; not normalised",
    database=_database,
    oracle=_oracle,
    property="strength",
)
