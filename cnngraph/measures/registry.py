"""All measures by name, and the two ways to run one: on a stored model, and on a Network without a database."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.errors import DatabaseError, OptionError, UsageError, nearest
from cnngraph.measures.calls import Calls, calls
from cnngraph.measures.measure import Measure, MeasureResult, Options
from cnngraph.measures.runs import begin_run, find_run, finish_run, run_key
from cnngraph.measures.theta import check_reference_rule, thetas
from cnngraph.vocabulary import AGGREGATES, ENGINES, UNRANKED_MEASURES

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURES", "find_engine", "find_measure", "measure", "measure_network", "preview", "shown_calls"]

# One line a measure: the file of this package that holds it, as MEASURE. Listings keep this order.
_FILES = (
    "degree",
    "entropy",
    "single",
    "pagerank",
    "leiden",
    "betweenness",
    "strength",
    "redundancy",
    "map_redundancy",
    "map_pagerank",
    "depth",
    "activation",
    "magnitude",
    "random_order",
    "join",
    "similarity",
)

MEASURES: dict[str, Measure] = {
    measure.name: measure for measure in (import_module(f"cnngraph.measures.{file}").MEASURE for file in _FILES)
}


def find_measure(name: str, *, aggregate: str = "mean", seed: int = 0) -> tuple[Measure, Options]:
    """The measure of that name with its checked options.

    Raises:
        UsageError: there is no such measure or aggregate, or the measure has no aggregates, or no thetas.
    """
    if name in UNRANKED_MEASURES:
        raise OptionError(
            f"The measure {name} scores filters and has no theta: no layer is ranked by it.",
            f"Remove filters by it ({{method={name}}}), or look at it: cnngraph measure NAME --measure {name}",
        )
    if name not in MEASURES:
        raise UsageError(f"There is no measure {name!r}.", nearest(name, MEASURES))
    if aggregate not in AGGREGATES:
        raise UsageError(f"There is no aggregate {aggregate!r}.", nearest(aggregate, AGGREGATES))
    found = MEASURES[name]
    if aggregate != "mean" and "aggregate" not in found.reads:
        able = ", ".join(other.name for other in MEASURES.values() if "aggregate" in other.reads)
        raise OptionError(f"The measure {name} does not aggregate over classes.", f"{{aggregate}} goes with: {able}.")
    return found, Options(aggregate=aggregate, seed=seed)


def find_engine(name: str) -> str:
    """``database`` (also for ``auto``) or ``local``.

    Raises:
        UsageError: there is no such engine.
    """
    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}.", nearest(name, ENGINES))
    return "local" if name == "local" else "database"


def measure(
    db: Database,
    key: str,
    name: str,
    *,
    aggregate: str = "mean",
    seed: int = 0,
    engine: str = "auto",
    reference: str = "median",
    progress: Progress | None = None,
) -> MeasureResult:
    """Compute a measure of a stored model, leave the scores on its nodes, and store the run.

    Args:
        db: an open database.
        key: the model, ``owner/name``.
        name: one of :data:`MEASURES`.
        aggregate: mean, sum or median over the classes, for measures that read it.
        seed: for the measures with a random choice.
        engine: ``database`` (also ``auto``), or ``local``: read the graph back and run the oracle here.
        reference: median, mean or median-positive of all scores.
        progress: told what is being done.

    Raises:
        UsageError: an unknown measure, aggregate, engine or reference.
        NotFoundError, ConflictError: the model is not there, not complete, or replaced meanwhile.
        DatabaseError: the measure needs Graph Data Science and the server has none.
        PlanError: the model lacks what the measure reads, or the reference is not above 0.
    """
    chosen, options = find_measure(name, aggregate=aggregate, seed=seed)
    check_reference_rule(reference)
    where = find_engine(engine)
    from cnngraph.measures.database_scores import write_scores

    told = progress or Quiet()
    _require_measurable(db, key, chosen, where)
    fingerprint = begin_run(db, key, chosen)
    if where == "local":
        from cnngraph.database.reader import read_network

        told.start(f"Reading {key} back")
        network = read_network(db, key)
        scores = chosen.oracle(network, options)
        write_scores(db, key, chosen, network, scores, told)
    else:
        scores = chosen.database(db, key, options, told)
    found, layers = thetas(scores, reference, name)
    parameters = chosen.parameters(options, where)
    result = MeasureResult(
        key=run_key(key, name, parameters, reference),
        measure=name,
        reference=found,
        layers=layers,
        model=key,
        parameters=parameters,
        reference_rule=reference,
    )
    by_gds = chosen.algorithm is not None and where == "database"
    finish_run(db, result, where, scores, fingerprint, db.gds_version if by_gds else None)
    return result


def preview(
    db: Database,
    key: str,
    name: str,
    *,
    aggregate: str = "mean",
    seed: int = 0,
    engine: str = "auto",
    reference: str = "median",
) -> dict[str, Any]:
    """What :func:`measure` would write, counted; computes and writes nothing.

    Returns:
        ``key`` of the run, ``measure``, and ``would_write``: ``measure_runs`` (0 where that run is there and is
        renewed), ``scored`` (layers that get a value and a theta) and ``scores`` (nodes that get a score).

    Raises:
        As :func:`measure`, but for a reference that is not above 0.
    """
    from cnngraph.measures.database_scores import ranked_sizes

    chosen, options = find_measure(name, aggregate=aggregate, seed=seed)
    check_reference_rule(reference)
    where = find_engine(engine)
    _require_measurable(db, key, chosen, where)
    if chosen.of_net:
        from cnngraph.measures.database_scores import stored_conv_layers

        scored, scores = len(stored_conv_layers(db, key)), 0
    elif chosen.property is None:  # it only reads
        scored, scores = len(chosen.database(db, key, options, Quiet()).layers), 0
    else:
        sizes = ranked_sizes(db, key, chosen)
        scored, scores = len(sizes), sum(sizes.values())
    known = find_run(db, key, chosen, options, reference, where)
    return {
        "key": run_key(key, name, chosen.parameters(options, where), reference),
        "measure": name,
        "would_write": {"measure_runs": 0 if known else 1, "scored": scored, "scores": scores},
    }


def shown_calls(db: Database, key: str, name: str, *, seed: int = 0, username: str, password: bool) -> Calls:
    """The calls of Graph Data Science that :func:`measure` would make, as text; computes and writes nothing.

    Raises:
        UsageError: the measure is unknown, or none of Graph Data Science's.
        NotFoundError, ConflictError, DatabaseError, PlanError: as :func:`measure`.
    """
    if name in UNRANKED_MEASURES:
        raise UsageError(f"The measure {name} is not computed by Graph Data Science.", "cnngraph runs the net for it.")
    chosen, options = find_measure(name, seed=seed)
    _require_measurable(db, key, chosen, "database")
    return calls(db, key, chosen, options, username, password=password)


def _require_measurable(db: Database, key: str, chosen: Measure, where: str) -> None:
    from cnngraph.database.catalogue import require_complete

    require_complete(db, key)
    if chosen.algorithm is not None and where == "database" and db.gds_version is None:
        raise DatabaseError(
            f"The measure {chosen.name} needs the Graph Data Science library, and this server has none.",
            "Add --engine local: the graph is read back and measured here.",
        )


def measure_network(
    network: Network, name: str, *, aggregate: str = "mean", seed: int = 0, reference: str = "median"
) -> MeasureResult:
    """The same from a Network alone, by the measure's oracle; nothing is stored.

    Raises:
        UsageError: an unknown measure, aggregate or reference.
        PlanError: the network lacks what the measure reads, or the reference is not above 0.
    """
    chosen, options = find_measure(name, aggregate=aggregate, seed=seed)
    check_reference_rule(reference)
    found, layers = thetas(chosen.oracle(network, options), reference, name)
    return MeasureResult(
        key="",
        measure=name,
        reference=found,
        layers=layers,
        parameters=chosen.parameters(options, "local"),
        reference_rule=reference,
    )
