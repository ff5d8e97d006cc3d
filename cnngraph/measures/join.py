"""``join``: the relative error of the least-squares join of each conv: what the net loses without it, untrained.

A peer that looks at the net and its images, not at the graph; the measures of the graph stand beside it. Each conv is
cut out by itself, the layers at its gap are refitted (see :mod:`cnngraph.surgery.layers.join_errors`), and the largest
error of these is its score. Convs that cannot go have none.

- Direction: from input to output. Weight: none; images are read. Normalisation: by the variation of what is fitted.
- Low goes first: a conv whose neighbours can do its work by linear means alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnngraph.errors import PlanError
from cnngraph.measures.database_scores import stored_conv_layers
from cnngraph.measures.measure import Measure, Options, Scores
from cnngraph.measures.own_images import open_net_and_images

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]

_IMAGES = 256


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    from cnngraph.datasets.registry import loader
    from cnngraph.surgery.layers.join_errors import join_errors

    saved, train = open_net_and_images(db, key, "join", "surgery.join_errors", progress)
    errors = join_errors(
        saved.model,
        loader(train),
        input_shape=saved.input_shape,
        images=_IMAGES,
        seed=options.seed,
        progress=progress,
    )
    layers = tuple(layer for layer in stored_conv_layers(db, key) if layer in errors)
    return Scores(layers, np.arange(len(layers)), np.array([errors[layer] for layer in layers], dtype=np.float64))


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    raise PlanError(
        "join needs the net itself and its images: the graph alone does not hold them.",
        "Measure a stored model without {engine=local}, or call surgery.join_errors on the net.",
    )


MEASURE = Measure(
    name="join",
    scores="layer",
    summary="the error that a least-squares join leaves in a conv's place, without training",
    database=_database,
    oracle=_oracle,
    property=None,
    reads=("seed",),
    constants={"images": _IMAGES},
    of_net=True,
)
