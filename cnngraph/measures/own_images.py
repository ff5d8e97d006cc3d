"""What measures of the net itself read: the saved net of a stored model, and the images that it was ingested with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnngraph.errors import ModelError, PlanError

if TYPE_CHECKING:
    from cnngraph.console import Progress
    from cnngraph.database.connection import Database
    from cnngraph.datasets.images import Images
    from cnngraph.surgery.saved import Saved

__all__ = ["open_net_and_images"]


def open_net_and_images(
    db: Database, key: str, measure: str, elsewhere: str, progress: Progress
) -> tuple[Saved, Images]:
    """The saved net, and its training images.

    Args:
        key: the model. measure: which needs them. elsewhere: the call that does the same of a net in memory.

    Raises:
        PlanError: the model has no saved net, or it is not known which data it was ingested with.
        NotFoundError, DataError: the data cannot be had.
    """
    from cnngraph.database import catalogue
    from cnngraph.database.fingerprint import json_property
    from cnngraph.database.saved_models import find_saved
    from cnngraph.datasets.registry import SplitOptions, Subset, open_data
    from cnngraph.surgery.saved import read_saved

    properties = catalogue.properties(db, key)
    try:
        folder = find_saved(db.storage, key, properties)
    except ModelError as error:
        raise PlanError(f"{measure} reads the net itself. {error.message}", error.hint) from error
    chosen = json_property(properties, "inputs").get("data")
    if not isinstance(chosen, dict) or "name" not in chosen:
        raise PlanError(
            f"It is not known which data {key} was ingested with: {measure} reads them.",
            f"Ingest it from a saved model (cnngraph ingest DIR --data D), or call {elsewhere} on the net.",
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
    return saved, data.train
