"""A measure of a stored model: of its graph (:mod:`cnngraph.measures.registry`), or of its filters on images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnngraph.jobs.session import Session
from cnngraph.measures.choice import choose_measures
from cnngraph.vocabulary import UNRANKED_MEASURES

if TYPE_CHECKING:
    from cnngraph.jobs.measure_car import CarOptions
    from cnngraph.measures.measure import MeasureResult
    from cnngraph.measures.stored_reductions import CarResult

__all__ = ["measure", "preview"]


def measure(session: Session, key: str, name: str, said: Mapping[str, Any]) -> MeasureResult | CarResult:
    """Compute and store it.

    Args:
        key: the model. name: of the measure. said: its options.

    Raises:
        UsageError: no such measure or option. Otherwise as :func:`cnngraph.measures.registry.measure` and
            :func:`cnngraph.jobs.measure_car.measure_car`.
    """
    (options,) = choose_measures([name], said)
    if name in UNRANKED_MEASURES:
        from cnngraph.jobs.measure_car import measure_car

        return measure_car(session, key, _car_options(options))
    from cnngraph.measures import registry

    return registry.measure(session.database, key, name, **options, progress=session.progress)


def preview(session: Session, key: str, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`measure` would write, counted. Raises as that does."""
    (options,) = choose_measures([name], said)
    if name in UNRANKED_MEASURES:
        from cnngraph.jobs.measure_car import preview_car

        return preview_car(session, key, _car_options(options))
    from cnngraph.measures import registry

    return registry.preview(session.database, key, name, **options)


def _car_options(options: Mapping[str, Any]) -> CarOptions:
    from cnngraph.jobs.measure_car import CarOptions

    named = options.get("layer") or ()
    return CarOptions(**dict(options) | {"layer": (named,) if isinstance(named, str) else tuple(named)})
