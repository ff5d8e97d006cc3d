"""What a net, its data, its mapping and its training were chosen by: the words of a person, checked, as the jobs take
them. Without torch, but pydantic costs what ``--help`` must not: :mod:`cnngraph.api.options` is for that.
"""

from __future__ import annotations

from pathlib import Path

from cnngraph.errors import NotFoundError
from cnngraph.files import file_sha256
from cnngraph.jobs.prune_job import TrainingWords
from cnngraph.network.trace_options import TraceOptions
from cnngraph.sources.data_choice import DataChoice
from cnngraph.sources.loaded import ModelChoice

__all__ = ["DataChoice", "ModelChoice", "TraceOptions", "TrainingWords", "choose_data"]


def choose_data(
    name: str,
    *,
    data_root: Path | None = None,
    split_file: Path | None = None,
    seed: int = 0,
    images_per_class: int | None = None,
    layout: str | None = None,
    group_by: str | None = None,
) -> DataChoice:
    """A data set as it was named, with whole paths and the content of the split file.

    Raises:
        NotFoundError: there is no such split file.
    """
    if split_file is not None and not split_file.is_file():
        raise NotFoundError(f"There is no split file {split_file}.", "Give --split-file a file that is there.")
    return DataChoice(
        name=name,
        root=str(data_root.resolve()) if data_root else None,
        seed=seed,
        images_per_class=images_per_class,
        layout=layout,
        split_file=str(split_file.resolve()) if split_file else None,
        split_sha256=file_sha256(split_file) if split_file else None,
        group_by=group_by,
    )
