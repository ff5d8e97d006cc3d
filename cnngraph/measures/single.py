"""``single``: the degree in the one network made from all images alike, the baseline of the ``multilayer`` paper.

Amelio et al. 2022 (doi 10.1007/s12559-022-10084-6): instead of one network a class, one from the activations averaged
over all images whatever their class (``activationAll``).

- Direction: both, arcs into and out of the node.
- Weight: strength, signed.
- Normalisation: none.
- Low goes first: as for ``degree``.

With as many images in every class and a linear patch (mean, sum) it equals ``degree`` with the mean over classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnngraph.errors import PlanError
from cnngraph.measures.database_scores import position_scores, run_batched
from cnngraph.measures.degree import class_degrees
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.network_arrays import position_arrays

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]


def _unknown() -> PlanError:
    return PlanError(
        "single needs the activations over all images, and this model has none.",
        "An imported network has them only where its image counts are known; use {measure=degree}.",
    )


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:  # noqa: ARG001
    from cnngraph.database.cypher import load

    if not db.read(load("measures/has_activation_all"), model=key):
        raise _unknown()
    run_batched(db, "measures/single", key, progress)
    return position_scores(db, key, "single")


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    arrays = position_arrays(network)
    if np.isnan(arrays.activation_all).all():
        raise _unknown()
    weights = np.nan_to_num(arrays.activation_all)[:, None]
    return arrays.scores(class_degrees(arrays, weights)[:, 0])


MEASURE = Measure(
    name="single",
    scores="position",
    summary="degree in one network over all images, whatever their class; signed strength, not normalised",
    database=_database,
    oracle=_oracle,
    property="single",
)
