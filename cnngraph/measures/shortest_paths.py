"""Weighted betweenness by Brandes' algorithm, each source's sums as two sparse triangular systems.

Brandes, "A faster algorithm for betweenness centrality", J. Mathematical Sociology 2001. From one source, with sigma(v)
the number of shortest paths to v and delta(v) what v gets from this source: sigma(v) is the sum of sigma(u), and
delta(u) the sum of sigma(u) / sigma(v) * (1 + delta(v)), both over the arcs u -> v that lie on shortest paths. Ordered
by distance both systems are triangular, so that no loop runs over nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["betweenness"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def betweenness(nodes: int, source: Ints, target: Ints, distance: Floats, starts: Ints) -> Floats:
    """How many shortest paths that begin at ``starts`` pass each node, undirected.

    Args:
        nodes: how many there are.
        source, target: (a,), the ends of the edges, each edge once.
        distance: (a,), their lengths, above 0.
        starts: the sources; all nodes for the exact figure.

    Returns:
        (nodes,): half the sum over the starts, so that with all nodes as starts each unordered pair counts 1, shared
        among its shortest paths.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    tail, head = np.concatenate([source, target]), np.concatenate([target, source])
    length = np.tile(distance, 2)
    graph = csr_array((length, (tail, head)), shape=(nodes, nodes))
    passed = np.zeros(nodes)
    for start in starts:
        reached: Floats = dijkstra(graph, indices=int(start))
        on_path = (reached[tail] + length == reached[head]) & (reached[tail] < reached[head])
        passed += _passed_from(int(start), reached, tail[on_path], head[on_path])
    return passed / 2


def _passed_from(start: int, reached: Floats, tail: Ints, head: Ints) -> Floats:
    """delta of each node for one start; ``tail`` -> ``head`` are the arcs on its shortest paths."""
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import spsolve_triangular

    order = np.argsort(reached, kind="stable")[: np.isfinite(reached).sum()]
    size = len(order)
    place = np.zeros(len(reached), dtype=np.int64)
    place[order] = np.arange(size)
    ones = np.concatenate([np.ones(size), np.full(len(tail), -1.0)])
    rows, columns = (np.concatenate([np.arange(size), place[ends]]) for ends in (head, tail))
    before: Any = csr_array((ones, (rows, columns)), shape=(size, size))
    unit = np.zeros(size)
    unit[0] = 1.0
    paths = spsolve_triangular(before, unit, lower=True, unit_diagonal=True)
    shares = spsolve_triangular(csr_array(before.T), 1.0 / paths, lower=False, unit_diagonal=True)
    delta = np.zeros(len(reached))
    delta[order] = paths * shares - 1.0
    delta[start] = 0.0
    return delta
