"""Which net is meant where both a model of the database and the path of a saved one can be named."""

from __future__ import annotations

from pathlib import Path

__all__ = ["saved_path"]


def saved_path(name: str) -> Path | None:
    """The path that ``name`` is, or None where it is the name of a model in the database.

    A saved model that is there wins, as for ``ingest``; a file that is none, or what cannot be a name, is a path too.
    """
    from cnngraph.surgery.saved import is_saved

    path = Path(name)
    only_a_path = path.is_file() or path.is_absolute() or name.startswith(("./", "../", "~")) or name.count("/") > 1
    return path if only_a_path or is_saved(path) else None
