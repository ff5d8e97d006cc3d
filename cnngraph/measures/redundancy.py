"""``redundancy``: whose information is elsewhere as well; a layer's score is 1 - the share of its maps with a twin.

Our choice, about information and not about norms: two maps of different layers are twins when the means of their
responses to each image correlate with |r| >= 0.9 (RESEMBLES, scope ``across``, which keeps the 10 most alike of each
map). The map of a sum is nobody's twin, since it holds its own summands.

- Direction: none. Weight: the correlation, only compared with 0.9.
- Normalisation: by the layer's number of maps; the score lies in 0..1.
- Low goes first: a layer whose maps are nearly all said elsewhere.
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

TWIN = 0.9


def _not_compared() -> PlanError:
    return PlanError(
        "redundancy needs the correlations of feature maps across layers, and this model has none.",
        "Ingest it with --view channels or both, and not with --correlations off.",
    )


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    from cnngraph.database.cypher import load

    if not db.read(load("measures/has_correlations"), model=key, scope="across"):
        raise _not_compared()
    return map_scores(db, "measures/redundancy", key, atLeast=TWIN)


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    across = [row for row in network.resembles.to_pylist() if row["scope"] == "across"]
    if not across:
        raise _not_compared()
    kinds = dict(zip(network.layers["layer"].to_pylist(), network.layers["kind"].to_pylist(), strict=True))
    twins = set()
    for row in across:
        if abs(row["correlation"]) >= TWIN:
            ends = [(row[f"{end}_layer"], row[f"{end}_channel"]) for end in ("source", "target")]
            twins |= {one for one, other in (ends, ends[::-1]) if kinds[other[0]] != "Add"}
    maps = map_arrays(network)
    named = zip(maps.layer.tolist(), maps.channel.tolist(), strict=True)
    has_twin = np.array([(maps.layers[layer], channel) in twins for layer, channel in named])
    share = np.bincount(maps.layer, weights=has_twin) / np.bincount(maps.layer)
    return Scores(maps.layers, np.arange(len(maps.layers)), 1.0 - share)


MEASURE = Measure(
    name="redundancy",
    scores="layer",
    summary=f"1 - share of a layer's feature maps that have a twin (|correlation| >= {TWIN}) in another layer",
    database=_database,
    oracle=_oracle,
    property=None,
    constants={"twin": TWIN},
)
