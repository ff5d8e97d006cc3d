"""``cg.compare``: two saved models layer by layer, without a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cnngraph.console import Progress, Quiet

if TYPE_CHECKING:
    from cnngraph.api.options import Compared

__all__ = ["compare"]


def compare(
    a: str | Path,
    b: str | Path,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **how: Unpack[Compared],
) -> dict[str, Any]:
    """How similar two saved models are layer by layer, and how they differ; the JSON of ``cnngraph compare``.

        cg.compare("runs/vgg16", "slim", similarity="cka", out="changes.html")["mean"]

    :meth:`cnngraph.Graph.compare` takes names of the database too.

    Args:
        out: also write the page there. how: see :class:`~cnngraph.api.options.Compared`.

    Raises:
        UsageError: words or numbers that cannot be, or one model named twice. NotFoundError: there is no such folder.
        ModelError: it is no saved model. DataError: the images are not here, or too few for the similarity.
    """
    from cnngraph.jobs.compare import choose_compare, compare
    from cnngraph.jobs.session import Session
    from cnngraph.settings import load_settings

    job = choose_compare(str(a), str(b), how, saved=True)
    return compare(job, Session(load_settings(), progress or Quiet()), Path(out) if out else None)
