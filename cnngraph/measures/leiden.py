"""``leiden``: the share of a position's strength that leaves its community.

Traag, Waltman, van Eck, Scientific Reports 2019, for the communities; the score is our choice: a position all of whose
arcs stay in its community tells the rest of the net nothing.

- Direction: none, an arc joins its ends both ways.
- Weight: strength, without its sign; a weight of 0 is no arc.
- Normalisation: by the position's own strength; the score lies in 0..1, a position without arcs has 0.
- Low goes first: a layer all of whose positions lie inside communities.

The search is random but for its seed. :func:`shares_leaving` and :func:`modularity` recompute what the database claims
from the communities, which are left on the positions as ``leidenCommunity``. In a large net most positions lie inside
their community, the median is then 0, and another ``--reference`` is asked for. Without a database the communities are
those of Louvain's method (networkx), split where one is not connected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnngraph.database.algorithm import Algorithm, Projecting
from cnngraph.errors import PlanError
from cnngraph.measures.database_scores import position_scores, run_batched
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import PositionArrays, position_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE", "modularity", "shares_leaving"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GAMMA = 1.0
_SHARES = "measures/leiden"


def shares_leaving(arrays: PositionArrays, community: Ints) -> Floats:
    """The share of each position's strength that goes to or comes from another community.

    Args:
        arrays: n positions and their arcs.
        community: (n,), the community of each position.

    Returns:
        (n,), each in 0..1.
    """
    n = len(community)
    strength = np.abs(arrays.weight)
    crossing = np.where(community[arrays.source] != community[arrays.target], strength, 0.0)
    total, leaving = _at_ends(arrays, strength), _at_ends(arrays, crossing)
    return np.divide(leaving, total, out=np.zeros(n), where=total > 0)


def _at_ends(arrays: PositionArrays, weights: Floats) -> Floats:
    """(n,): the sum of the arcs' ``weights`` at each position, whichever end it is."""
    n = len(arrays.layer)
    both = np.concatenate([arrays.source, arrays.target])
    return np.bincount(both, weights=np.tile(weights, 2), minlength=n).astype(np.float64)


def modularity(arrays: PositionArrays, community: Ints) -> float:
    """Newman's weighted modularity of a division of the undirected position network; 0 where it has no strength."""
    strength = np.abs(arrays.weight)
    total = float(strength.sum())
    if total == 0:
        return 0.0
    inside = float(strength[community[arrays.source] == community[arrays.target]].sum())
    _, group = np.unique(community, return_inverse=True)
    ends = np.bincount(group, weights=_at_ends(arrays, strength))
    return inside / total - GAMMA * float((ends / (2 * total)) @ (ends / (2 * total)))


def _algorithm(nodes: int, options: Options) -> Algorithm:  # noqa: ARG001
    """One thread, so that the seed decides."""
    return Algorithm(
        "leiden",
        "leidenCommunity",
        {"relationship_weight_property": "weight", "gamma": GAMMA, "random_seed": options.seed, "concurrency": 1},
        Projecting(undirected=True),
        then=_SHARES,
    )


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    from cnngraph.database import gds

    progress.start("Finding communities")
    with gds.prepared(db, key, _algorithm, options) as projection:
        if not projection.size.relationships:
            raise PlanError(f"No arc of {key} has a weight, so there are no communities.", "Is the net dead?")
        found = projection.write()
    run_batched(db, _SHARES, key, progress)
    scores = position_scores(db, key, "leiden")
    claims = {"communities": found.community_count, "modularity": found.modularity}
    return Scores(scores.layers, scores.layer, scores.value, claims=claims)


def _oracle(network: Network, options: Options) -> Scores:
    arrays = position_arrays(network)
    community = _louvain(arrays, options.seed)
    claims = {"communities": int(community.max()) + 1, "modularity": modularity(arrays, community)}
    return Scores(
        arrays.layers,
        arrays.layer,
        shares_leaving(arrays, community),
        extra={"leidenCommunity": community},
        claims=claims,
    )


def _louvain(arrays: PositionArrays, seed: int) -> Ints:
    import networkx as nx

    graph: Any = nx.Graph()
    graph.add_nodes_from(range(len(arrays.layer)))
    arcs = zip(arrays.source.tolist(), arrays.target.tolist(), np.abs(arrays.weight).tolist(), strict=True)
    graph.add_weighted_edges_from((a, b, w) for a, b, w in arcs if w > 0)
    found = nx.community.louvain_communities(graph, weight="weight", resolution=GAMMA, seed=seed)
    parts = [part for nodes in found for part in nx.connected_components(graph.subgraph(nodes))]
    community = np.zeros(len(arrays.layer), dtype=np.int64)
    for number, part in enumerate(sorted(parts, key=min)):
        community[list(part)] = number
    return community


MEASURE = Measure(
    name="leiden",
    scores="position",
    summary="share of a position's strength that leaves its Leiden community, undirected, 0..1; weight = strength",
    database=_database,
    oracle=_oracle,
    property="leiden",
    reads=("seed",),
    constants={"gamma": GAMMA},
    algorithm=_algorithm,
)
