"""``cg.compare``: two saved models layer by layer, without a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnngraph.console import Progress, Quiet

__all__ = ["compare"]


def compare(
    a: str | Path,
    b: str | Path,
    *,
    similarity: str = "svcca",
    keep: float = 0.99,
    estimator: str = "unbiased",
    by: str = "a",
    all_pairs: bool = False,
    images: int = 5000,
    part: str = "train",
    data: str | None = None,
    data_root: str | Path | None = None,
    at_least: float | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """How similar two saved models are layer by layer, and how they differ; the JSON of ``cnngraph compare``.

        cg.compare("runs/vgg16", "slim", similarity="cka", out="changes.html")["mean"]

    :meth:`cnngraph.Graph.compare` takes names of the database too, and says what each argument means.

    Raises:
        UsageError: words or numbers that cannot be, or one model named twice. NotFoundError: there is no such folder.
        ModelError: it is no saved model. DataError: the images are not here, or too few for the similarity.
    """
    from cnngraph.jobs.compare import choose_compare, compare
    from cnngraph.jobs.session import Session
    from cnngraph.settings import load_settings

    said = {"similarity": similarity, "keep": keep, "estimator": estimator, "by": by, "all_pairs": all_pairs}
    said |= {"images": images, "part": part, "data": data, "data_root": data_root, "at_least": at_least}
    job = choose_compare(str(a), str(b), said | {"seed": seed, "device": device}, saved=True)
    return compare(job, Session(load_settings(), progress or Quiet()), Path(out) if out else None)
