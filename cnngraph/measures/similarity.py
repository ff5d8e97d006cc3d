"""``similarity``: how much each conv changes what it is given, 1 - unbiased CKA of its input and its output.

The published CKA pruning of layers, as a peer beside the measures of the graph: it looks at the net and its images. One
row is one image, channels and places flattened (:mod:`cnngraph.similarity.input_output`); convs whose input or output
is the same on all images have no score.

- Direction: from input to output. Weight: none; images are read. Normalisation: CKA's, by the size of both.
- Low goes first: a conv that hands on nearly what it was given.
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
    from cnngraph.similarity.input_output import Changes

__all__ = ["MEASURE", "read_changes"]

_IMAGES = 500
_ELSEWHERE = "cnngraph.similarity.input_output.changes"


def read_changes(db: Database, key: str, seed: int, progress: Progress) -> Changes:
    """The change of every conv and every block of a stored model, on training images drawn by ``seed``.

    Raises:
        PlanError: the model has no saved net, or it is not known which data it was ingested with.
        DataError, ModelError: images or activations that cannot be used.
    """
    from cnngraph.datasets.registry import loader
    from cnngraph.similarity.input_output import changes
    from cnngraph.surgery.calibration import fitting_images

    saved, images = open_net_and_images(db, key, "similarity", _ELSEWHERE, progress)
    batches = fitting_images(loader(images), images=_IMAGES, seed=seed)
    return changes(saved.followed, batches, images=_IMAGES, progress=progress)


def _database(db: Database, key: str, options: Options, progress: Progress) -> Scores:
    found = read_changes(db, key, options.seed, progress)
    layers = tuple(layer for layer in stored_conv_layers(db, key) if layer in found.layers)
    value = np.array([found.layers[layer] for layer in layers], dtype=np.float64)
    return Scores(layers, np.arange(len(layers)), value, claims={"images": found.images}, blocks=found.blocks)


def _oracle(network: Network, options: Options) -> Scores:  # noqa: ARG001
    raise PlanError(
        "similarity needs the net itself and its images: the graph alone does not hold them.",
        f"Measure a stored model without {{engine=local}}, or call {_ELSEWHERE} on the net.",
    )


MEASURE = Measure(
    name="similarity",
    scores="layer",
    summary="1 - unbiased CKA of what a conv is given and what it makes of it",
    database=_database,
    oracle=_oracle,
    property=None,
    reads=("seed",),
    constants={"images": _IMAGES},
    of_net=True,
)
