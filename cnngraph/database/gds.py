"""Neo4j's own client of Graph Data Science, ``graphdatascience``, over our connection: the one place that uses it.

Imported late: it takes a second. What it does otherwise than the client by itself:

- A projection is dropped at the end of its ``with`` whatever happens, also where the client made it and then failed.
- Every call goes to the server that writes, and to the database of the connection: in a cluster the client would make a
  projection on one member and look for it on another.
- A server that is gone is said at once; the client by itself tries for ten minutes.
- Memory is estimated before anything is projected.
- Nothing is shown, and no Arrow is used: the same numbers come from every server.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import neo4j
import pandas as pd
from graphdatascience import Graph, GraphDataScience
from graphdatascience.query_runner.neo4j_query_runner import Neo4jQueryRunner
from graphdatascience.query_runner.query_type import QueryType
from graphdatascience.versions import ServerVersion

from cnngraph.database import cypher, failures
from cnngraph.database.algorithm import Algorithm, Projecting, Size, View
from cnngraph.database.connection import Database
from cnngraph.database.projections import drop, drop_stale, new_name
from cnngraph.errors import DatabaseError, PlanError, UsageError, explain

__all__ = [
    "Memory",
    "Prepared",
    "Projection",
    "client_errors",
    "connect_client",
    "estimate",
    "measured_size",
    "prepared",
    "projected",
    "require_memory",
]

T = TypeVar("T")
# Columns of the client's frames that hold node ids, and what stands before our keys in their place.
_IDS = {"nodeId": "", "sourceNodeId": "source_", "targetNodeId": "target_", "node1": "first_", "node2": "second_"}
_KEYS: dict[View, tuple[str, ...]] = {"positions": ("number", "layer", "x", "y"), "channels": ("layer", "channel")}
_IDS_A_READ = 20_000


@dataclass(frozen=True)
class Memory:
    """Bytes that a projection with its algorithm takes at least, as GDS reckons, and bytes that the server has.

    ``available`` is ``None`` where the server does not say.
    """

    required: int
    available: int | None


@dataclass(frozen=True)
class Projection:
    """A projection in the server's memory, with the client that works on it.

    Attributes:
        name: in GDS's catalogue.
        size: nodes, and relationships in one direction each (an undirected one counts twice).
        graph, gds: the client's own objects.
        view: what its nodes are. database: where they are stored.
    """

    name: str
    size: Size
    graph: Graph
    gds: GraphDataScience
    view: View
    database: Database

    def __iter__(self) -> Iterator[Any]:
        """``G, gds = projection``."""
        return iter((self.graph, self.gds))

    def keyed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame``, as an algorithm streams it, with our keys in the place of GDS's ids; rows keep their order.

        ``nodeId`` becomes ``number, layer, x, y`` of a position or ``layer, channel`` of a feature map; where rows are
        pairs of nodes, each column has ``source_`` or ``target_``, ``first_`` or ``second_`` before its name.

        Raises:
            UsageError: there is no column of ids.
        """
        found = [name for name in frame.columns if name in _IDS]
        if not found:
            raise UsageError(f"No column of {list(frame.columns)} holds node ids.", f"Known: {', '.join(_IDS)}.")
        parts = [self._keys(frame[name].tolist()).add_prefix(_IDS[name]).set_index(frame.index) for name in found]
        return pd.concat([*parts, frame.drop(columns=found)], axis=1)

    def _keys(self, ids: list[int]) -> pd.DataFrame:
        query = cypher.load(f"measures/keys_{self.view}")
        distinct = list(dict.fromkeys(ids))
        parts = [distinct[start : start + _IDS_A_READ] for start in range(0, len(distinct), _IDS_A_READ)] or [[]]
        rows = [row for part in parts for row in self.database.write(query, ids=part)]
        columns = _KEYS[self.view]
        return pd.DataFrame(rows, columns=["id", *columns]).set_index("id").loc[ids].reset_index(drop=True)


@dataclass(frozen=True)
class Prepared:
    """An algorithm with the projection that it runs on, of ``size``."""

    algorithm: Algorithm
    projection: Projection

    @property
    def size(self) -> Size:
        """How many nodes and relationships were projected."""
        return self.projection.size

    def write(self) -> Any:
        """Run it and leave its result on the nodes of the store; returns what the client says of it, typed."""
        with client_errors():
            return self._endpoint.write(self.projection.graph, self.algorithm.write_property, **self.algorithm.settings)

    def stream(self) -> pd.DataFrame:
        """Run it; a row a node, in our order, with ``nodeId`` and the result. The store stays as it is."""
        with client_errors():
            found: pd.DataFrame = self._endpoint.stream(self.projection.graph, **self.algorithm.settings)
        return found

    @property
    def _endpoint(self) -> Any:
        return getattr(self.projection.gds, self.algorithm.name)


def connect_client(db: Database) -> GraphDataScience:
    """The client on our connection; closing it does not close ours.

    Raises:
        DatabaseError: the server has no Graph Data Science.
    """
    with client_errors():
        return GraphDataScience(_Runner(db), arrow=False, show_progress=False)


def measured_size(db: Database, key: str, projecting: Projecting) -> Size:
    """How much of the store ``projecting`` would read.

    Raises:
        PlanError: the model has no such nodes.
    """
    (row,) = db.read(cypher.load(f"measures/size_{projecting.view}"), model=key)
    if not row["nodes"]:
        what = "positions" if projecting.view == "positions" else "feature maps"
        raise PlanError(f"{key} has no {what}.", f"Ingest it with --view {projecting.view} or --view both.")
    return Size(row["nodes"], row["relationships"])


def estimate(client: GraphDataScience, projecting: Projecting, size: Size, algorithm: Algorithm | None) -> Memory:
    """What GDS says that the projection takes, with ``algorithm`` on it.

    GDS estimates no Cypher projection: it is asked about as many nodes and relationships of any kind. The server has
    its largest heap, less the projections that are in it (GDS's own percentage is a share, rounded up to a tenth).
    """
    endpoint, settings = (
        (client.wcc, {}) if algorithm is None else (getattr(client, algorithm.name), algorithm.settings)
    )
    with client_errors():
        found = endpoint.estimate(projecting.imagined(size), **settings)
        return Memory(int(found.bytes_min), _available(client))


def _available(client: GraphDataScience) -> int | None:
    try:
        heap = client.debug.sys_info().heap_max_in_bytes
        occupied = sum(one.total_graphs_memory for one in client.memory.summary())
    except DatabaseError:  # not everybody may ask, nor has every server an answer
        return None
    return None if heap is None else heap - occupied


def require_memory(memory: Memory, key: str) -> None:
    """Return if ``memory`` would do.

    Raises:
        DatabaseError: it would not.
    """
    if memory.available is not None and memory.required > memory.available:
        raise DatabaseError(
            f"Graph Data Science needs about {_gigabytes(memory.required)} of memory for {key}, and the server has "
            f"{_gigabytes(memory.available)}.",
            "Raise its heap (of our own server by CNNGRAPH_SERVER_MEMORY=8g), or measure with --engine local.",
        )


@contextmanager
def projected(
    db: Database, key: str, projecting: Projecting, algorithm: Algorithm | None = None, size: Size | None = None
) -> Iterator[Projection]:
    """A model's network as a projection, its nodes in the order of our own numbers; dropped at the end.

    Args:
        db: an open database with Graph Data Science.
        key: the model.
        projecting: what of it, and how.
        algorithm: what will run on it, for the estimate of memory.
        size: of what is read, where it is known.

    Raises:
        PlanError: the model has no such nodes.
        DatabaseError: the memory would not do, or the server refuses.
    """
    client = connect_client(db)
    drop_stale(db)
    require_memory(estimate(client, projecting, size or measured_size(db, key, projecting), algorithm), key)
    name = new_name()
    try:
        with client_errors():
            made = client.graph.project.cypher(projecting.query, name=name, **projecting.parameters(key))
        made_of = Size(made.result.node_count, made.result.relationship_count)
        yield Projection(name, made_of, made.graph, client, projecting.view, db)
    finally:
        drop(db, name)


@contextmanager
def prepared(db: Database, key: str, ask: Callable[[int, T], Algorithm], options: T) -> Iterator[Prepared]:
    """The algorithm that ``ask`` names for so many nodes, on a projection of the model; as :func:`projected`."""
    size = measured_size(db, key, ask(0, options).projecting)
    algorithm = ask(size.nodes, options)
    with projected(db, key, algorithm.projecting, algorithm, size) as projection:
        yield Prepared(algorithm, projection)


@contextmanager
def client_errors() -> Iterator[None]:
    """Let neither a warning nor an exception of the client's own out of this block; ours pass."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise DatabaseError(
            f"The client of Graph Data Science gave up: {explain(error)}.", "Choose --engine local, or try it again."
        ) from error


class _Runner(Neo4jQueryRunner):
    """How the client asks the server: through our connection, always the member that writes, with our errors."""

    def __init__(self, db: Database) -> None:
        protocol = "neo4j+s" if db.driver.encrypted else "bolt"
        super().__init__(db.driver, protocol, database=db.database, auto_close=False, show_progress=False)
        self._db = db

    def server_version(self) -> ServerVersion:
        version = self._db.gds_version
        if version is None:
            raise failures.without_gds()
        return ServerVersion.from_string(version)

    def run_cypher(
        self, query: str, query_type: QueryType, params: Any = None, database: str | None = None, *_: Any, **__: Any
    ) -> pd.DataFrame:
        with failures.translated(self._db.uri), self._session(database) as session:
            return _frame(session.run(self._wrap_query(query, query_type), params or {}))

    def run_retryable_cypher(
        self, query: str, query_type: QueryType, params: Any = None, database: str | None = None, *_: Any, **__: Any
    ) -> pd.DataFrame:
        work = neo4j.unit_of_work(metadata=self._wrap_query(query, query_type).metadata)(
            lambda tx: _frame(tx.run(query, params or {}))
        )
        with failures.translated(self._db.uri), self._session(database) as session:
            return session.execute_write(work)

    def _session(self, database: str | None) -> neo4j.Session:
        return self._driver.session(database=database or self.database(), default_access_mode=neo4j.WRITE_ACCESS)


def _frame(result: neo4j.Result) -> pd.DataFrame:
    columns: Sequence[str] = result.keys()
    return pd.DataFrame(result.values(), columns=list(columns))


def _gigabytes(count: int) -> str:
    return f"{max(count, 0) / 1e9:.1f} GB"
