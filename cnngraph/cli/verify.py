"""``verify``: the proof of a pruned model, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import Data, DataRoot, Json, Seed
from cnngraph.console import emit_json, progress, say
from cnngraph.errors import VerificationError

__all__ = ["register"]


def verify(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="NAME of one's own model, or OWNER/NAME; or a saved model.")
    ],
    of: Annotated[
        Path | None, typer.Option(metavar="SAVED", help="For a saved model: the saved model that it was pruned from.")
    ] = None,
    data: Data = None,
    data_root: DataRoot = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Prove a pruned model again: its last plan is carried out anew on the net that it was pruned from.

    Filters: slim and masked net give the same, in eval and train mode. Always: structure, shapes, gradients, a save and
    load in a new process, torch.export. A saved model needs no database. Exit code 5 where the proof fails.

    Example: cnngraph verify demo-slim

    Example: cnngraph verify slim --of runs/vgg16
    """
    from cnngraph.api import offline

    path = offline.saved_path(name)
    how: dict[str, Any] = {"data": data, "data_root": data_root, "seed": seed}
    with progress() as bars:
        if path is not None:
            found = offline.verify(path, of=of, **how, progress=bars)
        elif of is not None:
            raise typer.BadParameter("--of belongs to a saved model; the graph knows what a model was pruned from")
        else:
            connection.key(name)  # what is no name is said before any server is started
            with connection.graph() as graph:
                found = graph.verify(name, **how, progress=bars)
    if json:
        emit_json(found)
    else:
        _tell(found)
    if not found["ok"]:
        raise VerificationError(
            f"{name} failed its proof: {'; '.join(found['failures'])}.",
            "Prune its parent again, or remove other layers.",
        )


def _tell(found: dict[str, Any]) -> None:
    for note in found["notes"]:
        say(note)
    checks = {
        "train forward and backward": found["train_forward"],
        "saved and loaded in a new process": found["save_load"],
        "torch.export": found["export"],
    }
    if found["relative_diff"] is not None:
        within = f"{found['relative_diff']:.2g} of the largest logit in float64"
        print(f"slim equals masked, eval and train: {within} ({found['relative_diff_float32']:.2g} in float32)")
    for check, held in checks.items():
        print(f"{check}: {'yes' if held else 'NO'}")
    if found.get("pruned_weights"):
        left = sum(found["pruned_weights"].values())
        print(f"pruned weights: {'exactly zero' if found['ok'] else 'NOT PROVEN'}; {left:,} are left where masks are")
    kept = (
        "the parent's, but in what replaces blocks" if found["replaced"] else "the parent's, where no join was fitted"
    )
    weights = kept if found["weights_kept"] else "trained or refitted since"
    print(f"weights: {weights}")
    print(f"{found['model']}: {'proven' if found['ok'] else 'NOT PROVEN'} in {found['seconds']:.1f} s")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(verify)
