"""Many rows to the server, in batches that shrink when it is short of memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnngraph.console import Progress
from cnngraph.database import cypher, failures
from cnngraph.database.connection import Database
from cnngraph.database.rows import Rows
from cnngraph.errors import DatabaseError

__all__ = ["send"]


def send(
    db: Database, query: str, rows: Rows, *, model: str, size: int, progress: Progress, before_each: Callable[[], None]
) -> None:
    """Run the query of that name over all rows, about ``size`` elements a batch.

    A batch for which the server has too little memory is tried again with half as many rows, and so are those after it.

    Args:
        db: the database. query: name of an idempotent query over ``$rows`` and ``$model``.
        rows: what to send. model: the model's key. size: elements (nodes or relationships) a batch.
        progress: advanced by the elements written.
        before_each: called before every batch; what it raises stops the writing.

    Raises:
        DatabaseError: the server refuses, or has too little memory for a single row.
    """
    text = cypher.load(query)
    ends = np.cumsum(rows.sizes) if rows.sizes is not None else np.arange(1, rows.count + 1)
    start = 0
    while start < rows.count:
        before_each()
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + size, side="right")))
        try:
            db.auto(text, rows=rows.make(start, stop), model=model)
        except DatabaseError as error:
            if stop - start == 1 or not failures.is_short_of_memory(error.__cause__):
                raise
            size = max(1, int(ends[stop - 1] - done) // 2)
            continue
        progress.advance(int(ends[stop - 1]) - done)
        start = stop
