"""The blocks of a model of the database, and which of them can be removed as a whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cnngraph.errors import CnngraphError
from cnngraph.sources.stored import StoredModel, stored

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.network.followed_net import FollowedNet

__all__ = ["blocks_of", "lacks_blocks", "store_missing_blocks"]

_COLUMNS = ("name", "kind", "layers", "parent", "module", "entry", "exit")


def blocks_of(db: Database, name: str) -> dict[str, Any]:
    """The model's blocks in network order, each before the blocks inside it.

    Blocks are read from the graph; for a model that was stored before there were Block nodes, off its saved model. The
    saved model also says which can go.

    Returns:
        ``model`` and ``blocks``: a list of ``name, kind, layers, parent, module, entry, exit``, ``removable``
        and ``replaceable`` (``None``, or the reason why not).

    Raises:
        NotFoundError: there is no such model. ConflictError: it is still loading.
    """
    from cnngraph.database import cypher

    model = stored(db, name)
    found = [row["row"] for row in db.read(cypher.load("read/blocks"), key=model.key)]
    reasons: dict[str, str | None] = {}
    obstacles: dict[str, str | None] = {}
    unknown = "its name is not a block of the saved model"
    try:
        followed = _followed(model)
    except CnngraphError as error:
        unknown = f"the saved model cannot say: {error.message}"
    else:
        from cnngraph.surgery.check import removable_blocks, replaceable_blocks

        found = found or [asdict(block) for block in followed.blocks]
        reasons = removable_blocks(followed.graph)
        obstacles = replaceable_blocks(followed.graph)
    blocks = [
        {column: row.get(column) for column in _COLUMNS}
        | {"removable": reasons.get(row["name"], unknown), "replaceable": obstacles.get(row["name"], unknown)}
        for row in found
    ]
    return {"model": model.key, "blocks": blocks}


def lacks_blocks(db: Database, model: str) -> bool:
    """Whether a model has no Block node: it was stored before such blocks were found, or has none."""
    from cnngraph.database import cypher

    return not db.read(cypher.load("lineage/block_names"), model=model)


def store_missing_blocks(db: Database, model: StoredModel) -> None:
    """Write the Block nodes of a model that was stored before such blocks were found, so that a run can point at them.

    Raises:
        ModelError: its saved model is not here.
    """
    from cnngraph.database import cypher

    if not lacks_blocks(db, model.key):
        return
    rows = [
        {name: value for name, value in asdict(block).items() if value is not None}
        | {"index": index, "model": model.key, "layers": list(block.layers)}
        for index, block in enumerate(_followed(model).blocks)
    ]
    db.write(cypher.load("write/blocks"), model=model.key, rows=rows)


def _followed(model: StoredModel) -> FollowedNet:
    """The net of the saved model."""
    folder = model.folder  # whether it has one is known without torch
    from cnngraph.surgery.saved import read_saved

    return read_saved(folder).followed
