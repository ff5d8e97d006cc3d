"""Options and checks that several commands share; a check here runs before anything is looked up (exit 2)."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.vocabulary import DEVICES, MEASURES, NULL_MEASURES, PRECISIONS, UNRANKED_MEASURES

__all__ = [
    "MEASURE_NAMES",
    "Data",
    "DataRoot",
    "Device",
    "DryRun",
    "Finite",
    "Force",
    "ImagesPerClass",
    "Json",
    "Measures",
    "ModelName",
    "OnlyClasses",
    "Positive",
    "Precision",
    "RunOptions",
    "Seed",
    "Size",
    "Yes",
    "above_zero",
    "ask",
    "finite",
    "known",
    "separate",
    "stored_name",
    "writable",
]


def known(value: str | None, names: Any, what: str) -> str | None:
    """``value`` if it is one of ``names``; else exit 2 with the nearest."""
    from cnngraph.errors import nearest

    if value is not None and value not in names:
        raise typer.BadParameter(f"unknown {what} {value!r}. {nearest(value, names)}")
    return value


def writable(value: Path | None) -> Path | None:
    """Refuse a place where nothing can be written, before long work: some command writes there at its end."""
    if value is not None:
        whole = value.absolute()
        nearest = next((folder for folder in whole.parents if folder.exists()), whole)  # the root has no parents
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise typer.BadParameter(f"nothing can be written into {nearest}")
    return value


def finite(value: float | None) -> float | None:
    """Refuse NaN, infinity and negative numbers."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise typer.BadParameter(f"{value} is not a finite number of 0 or more")
    return value


def _not_empty(values: list[str] | None) -> list[str] | None:
    if any(not value.strip() for value in values or []):
        raise typer.BadParameter("an empty text names nothing")
    return values


def above_zero(value: float | None) -> float | None:
    """Refuse NaN, infinity, 0 and negative numbers."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"{value} is not a finite number above 0")
    return value


def separate(values: list[str] | None) -> list[str] | None:
    """Names that stand one after the other with commas between, each by itself; an empty one is refused."""
    names = [name.strip() for value in values or () for name in value.split(",")]
    if any(not name for name in names):
        raise typer.BadParameter("an empty text names nothing")
    return names or None


def _measure_names(values: list[str] | None) -> list[str] | None:
    for value in values or []:
        known(value, (*MEASURES, *UNRANKED_MEASURES), "measure")
    return values


MEASURE_NAMES = (
    f"{', '.join(name for name in MEASURES if name not in NULL_MEASURES)}; to compare with: "
    f"{', '.join(NULL_MEASURES)}; of filters: {', '.join(UNRANKED_MEASURES)}"
)


def ask(question: str) -> None:
    """Return where a person says yes. Ctrl-C stays what it is elsewhere (exit 130).

    Raises:
        CnngraphError: the answer is no, or nobody is there to give one.
    """
    from cnngraph.errors import CnngraphError

    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise CnngraphError("Nobody answers; nothing was removed.", "Add --yes to go on without being asked.")
    if answer.strip().lower() not in ("y", "yes"):
        raise CnngraphError("Nothing was removed.")


def stored_name(value: str) -> str:
    """``value`` if it can be the name of a model in the database; a file is said to be one."""
    from cnngraph.api.offline import check_stored_name

    check_stored_name(value)
    return value


Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say exactly what would be written; write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Force = Annotated[bool, typer.Option("--force", help="Also a model of another owner.")]
ModelName = Annotated[
    str, typer.Argument(metavar="NAME", help="NAME of one's own model, or OWNER/NAME.", callback=stored_name)
]
Data = Annotated[
    str | None, typer.Option(help="digits, mnist, fashion-mnist, cifar10, cifar100, svhn, caltech101 or folder:PATH.")
]
DataRoot = Annotated[Path | None, typer.Option(help="Folder that holds the data set (default: in CNNGRAPH_CACHE).")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random.")]
Size = Annotated[
    int | None, typer.Option(min=1, max=4096, help="Input size in pixels (default: the architecture's own).")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", callback=lambda v: known(v, DEVICES, "device"))]
Precision = Annotated[
    str,
    typer.Option(
        help="Of trainings: auto (half precision where it is faster here) or fp32.",
        callback=lambda v: known(v, PRECISIONS, "precision"),
    ),
]
ImagesPerClass = Annotated[int | None, typer.Option(min=1, help="Use at most this many images of each class.")]
OnlyClasses = Annotated[
    list[str] | None,
    typer.Option(
        help="Only these classes: names or numbers, separated by commas; repeat it for names with commas in them.",
        callback=_not_empty,
    ),
]
Measures = Annotated[
    list[str] | None,
    typer.Option("--measure", "-m", help=f"Repeat for several: {MEASURE_NAMES}.", callback=_measure_names),
]
Positive = Annotated[float | None, typer.Option(callback=above_zero)]
Finite = Annotated[float | None, typer.Option(callback=finite)]


@dataclass(frozen=True)
class RunOptions:
    """On which images, where, and what is said of it."""

    data: Data = None
    data_root: DataRoot = None
    device: Device = "auto"
    dry_run: DryRun = False
    seed: Seed = 0
    json: Json = False
