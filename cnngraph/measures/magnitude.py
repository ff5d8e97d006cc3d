"""``magnitude``: the L2 norm of the filter that makes a feature map. A null: it sees weights alone, no graph, no image.

Our choice among norms: under the usual initialisation (He et al. 2015, fan-in) the squared L2 norm of a filter does not
depend on its width, as L1 does.

- Direction, normalisation: none. Weight: strength.
- Low goes first: a layer without one large filter.
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
    return map_scores(db, "measures/magnitude", key)


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    maps = map_arrays(network)
    return maps.scores(maps.l2)


MEASURE = Measure(
    name="magnitude",
    scores="map",
    summary="null: the L2 norm of a feature map's filter",
    database=_database,
    oracle=_oracle,
    property="magnitude",
)
