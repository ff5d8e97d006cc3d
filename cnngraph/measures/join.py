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

from cnngraph.errors import ModelError, PlanError
from cnngraph.measures.database_scores import stored_conv_layers
from cnngraph.measures.measure import Measure, Options, Scores

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.network.tables import Network

__all__ = ["MEASURE"]

_IMAGES = 256


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    from cnngraph.database import catalogue
    from cnngraph.database.fingerprint import json_property
    from cnngraph.database.saved_models import find_saved
    from cnngraph.datasets.registry import SplitOptions, Subset, loader, open_data
    from cnngraph.surgery.layers.join_errors import join_errors
    from cnngraph.surgery.saved import read_saved

    properties = catalogue.properties(db, key)
    try:
        folder = find_saved(db.storage, key, properties)
    except ModelError as error:
        raise PlanError(f"join reads the net itself. {error.message}", error.hint) from error
    chosen = json_property(properties, "inputs").get("data")
    if not isinstance(chosen, dict) or "name" not in chosen:
        raise PlanError(
            f"It is not known which data {key} was ingested with: join reads them.",
            "Ingest it from a saved model (cnngraph ingest DIR --data D), or call surgery.join_errors on the net.",
        )
    saved = read_saved(folder)
    progress.start(f"Opening {chosen['name']}")
    data = open_data(
        chosen["name"],
        root=chosen.get("root"),
        preprocessing=saved.preprocessing,
        subset=Subset(chosen.get("images_per_class"), seed=chosen.get("seed", 0)),
        split_by=SplitOptions(*(chosen.get(name) for name in ("layout", "split_file", "split_sha256", "group_by"))),
        split=saved.known_split,
        parts=("train",),
        progress=progress,
    )
    errors = join_errors(
        saved.model,
        loader(data.train),
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
