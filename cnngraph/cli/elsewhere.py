"""``prune FILE --to-bundle DIR``: the machine that prunes has no database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli import connection
from cnngraph.cli.options import writable

if TYPE_CHECKING:
    from cnngraph.cli.decide_options import ByHand, Choice, Training
    from cnngraph.console import Progress
    from cnngraph.jobs.decide import Decision
    from cnngraph.jobs.stored import OtherData
    from cnngraph.plan import Plan

__all__ = ["ModelOrFolder", "ToBundle", "prune_file", "require_of_database"]

_CARDS = ("model.json", "network.json")  # of a saved model and of a bundle


def _is_folder(name: str) -> bool:
    return any((Path(name) / card).is_file() for card in _CARDS)


ModelOrFolder = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="NAME of one's own model, or OWNER/NAME; with --to-bundle the folder of a saved model or a bundle.",
    ),
]
ToBundle = Annotated[
    Path | None,
    typer.Option(
        help="Ask no database: prune a saved model, write a bundle there; `cnngraph ingest DIR` stores it.",
        callback=writable,
    ),
]


def require_of_database(name: str) -> None:
    """Refuse what can only be the path of a saved model where a model of the database is meant (exit 2)."""
    from cnngraph.cli.options import stored_name
    from cnngraph.errors import UsageError

    try:
        stored_name(name)
    except UsageError as error:
        if not _is_folder(name):
            raise
        raise typer.BadParameter(f"{name} is a folder: add --to-bundle DIR, or ingest it first") from error


def prune_file(
    name: str,
    to_bundle: Path,
    choice: Choice,
    decision: Decision,
    by_hand: ByHand,
    training: Training,
    *,
    forbidden: dict[str, Any],
    data: OtherData,
    dry_run: bool,
    progress: Progress,
) -> tuple[Plan, dict[str, Any]]:
    """The executed plan and the JSON of ``prune``; no connection to a database is opened.

    Args:
        decision: ``choice`` as the chain wants it. forbidden: values of other options that need a database.

    Raises:
        typer.BadParameter: an option needs a database.
    """
    from cnngraph.cli.baseline import own_trainer
    from cnngraph.cli.decide_options import flag
    from cnngraph.jobs import offline
    from cnngraph.jobs.filters import filters_of_file
    from cnngraph.jobs.options import LIMITS, TARGETS

    searched = {flag(name): getattr(choice, name) for name in (*LIMITS["multilayer"], *TARGETS)}
    ranked = {"--method multilayer": True if decision.method == "multilayer" and choice.method else None}
    values = forbidden | {"--run": by_hand.run} | searched | ranked
    wrong = [option for option, value in values.items() if value is not None]
    if wrong:
        raise typer.BadParameter(
            f"{wrong[0]} and --to-bundle exclude each other: without a database there are --plan, --ratio, "
            "--remove-layer and --remove-block"
        )
    offline.require_new(to_bundle)
    trainer = own_trainer(training.trainer)
    source = offline.open_source(name)
    if decision.ratio is not None:
        plan = filters_of_file(source.folder, decision, lambda: source.data(data), progress=progress)
    else:
        plan = offline.plan_for(
            source, layers=by_hand.remove_layer, blocks=by_hand.remove_block, file=by_hand.plan_file, init=choice.init
        )
    result = offline.prune_to_bundle(
        source,
        plan,
        to_bundle,
        work=connection.settings().home / "work",
        retrain=not training.no_retrain,
        control=not training.no_control,
        reconstruct=training.reconstruct,
        typed=training.typed,
        trainer=trainer,
        data=data,
        device=decision.device,
        seed=decision.seed,
        dry_run=dry_run,
        progress=progress,
    )
    return plan, result
