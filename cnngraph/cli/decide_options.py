"""What ``plan`` and ``prune`` may be told: one field an option, declared once for both commands.

An option of :class:`Choice` that was not typed is ``None``, so that one which belongs to another method is refused
rather than ignored; what it then means stands in its help and in :class:`cnngraph.chain.decide.Decision`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli.baseline import BatchSize, Epochs, LearningRate
from cnngraph.cli.compute import AGGREGATES, REFERENCES, Engine
from cnngraph.cli.options import MEASURE_NAMES, finite, known

if TYPE_CHECKING:
    from cnngraph.chain.decide import Decision

__all__ = ["ByHand", "Choice", "Training"]

INITS = ("least-squares", "inherit", "reset", "scratch")
# By method: the options of which one says how much goes, and those that say by what.
LIMITS = {"multilayer": ("threshold", "remove", "max_accuracy_drop")}
DETAILS = {
    "multilayer": ("measure", "aggregate", "reference"),
}


def _measure(value: str | None) -> str | None:
    if value is None:
        return None
    from cnngraph.measures.registry import MEASURES

    return known(value, MEASURES, "measure")


def _points(value: float | None) -> float | None:
    if finite(value) is not None and value is not None and value > 100:
        raise typer.BadParameter(f"{value} is more than 100 points")
    return value


@dataclass(frozen=True)
class Choice:
    """What goes, and by what it is chosen."""

    method: Annotated[
        str | None,
        typer.Option(
            help="multilayer: layers whose every node is weak.",
            callback=lambda v: known(v, tuple(LIMITS), "method"),
        ),
    ] = None
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure", "-m", help=f"What ranks the layers (default: degree): {MEASURE_NAMES}.", callback=_measure
        ),
    ] = None
    aggregate: Annotated[
        str | None,
        typer.Option(
            help="Over classes: mean (default), sum or median.", callback=lambda v: known(v, AGGREGATES, "aggregate")
        ),
    ] = None
    threshold: Annotated[float | None, typer.Option(help="Layers go whose theta is below it.", callback=finite)] = None
    remove: Annotated[int | None, typer.Option(min=1, help="This many layers go, lowest theta first.")] = None
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            help="As many go as cost at most this much validation accuracy, in points of percent; trains on the way.",
            callback=_points,
        ),
    ] = None
    reference: Annotated[
        str | None,
        typer.Option(
            help="Of all scores: median (default), mean, median-positive.",
            callback=lambda v: known(v, REFERENCES, "reference"),
        ),
    ] = None
    engine: Engine = "auto"
    init: Annotated[
        str | None,
        typer.Option(
            help="Weights where ends are joined: least-squares (default), inherit, reset or scratch.",
            callback=lambda v: known(v, INITS, "init"),
        ),
    ] = None

    def resolved(self, *, limit_needed: bool) -> str:
        """The method: the one that was typed, or the one whose limit was; "" where nothing says.

        Args:
            limit_needed: refuse ``multilayer`` without a limit as well, which lists the schedule only.

        Raises:
            typer.BadParameter: options of two methods, or two limits; or none where one is needed.
            UsageError: the measure does not aggregate so.
        """
        method = self.method or ""
        for other in LIMITS:
            strange = self._typed(LIMITS[other] + DETAILS[other], besides=LIMITS.get(method, ()))
            if method and other != method and strange:
                raise typer.BadParameter(f"{strange[0]} belongs to --method {other}, not to {method}")
        one_of(
            {flag(name): getattr(self, name) for name in LIMITS[method or "multilayer"]},
            at_least=int(limit_needed and bool(method)),
        )
        if method != "filters":
            from cnngraph.measures.registry import find_measure

            find_measure(self.measure or "degree", aggregate=self.aggregate or "mean")
        return method

    def require_unused(self, chosen: str) -> None:
        """Refuse the options of every method: what goes is said by ``chosen``."""
        for method in LIMITS:
            strange = self._typed(LIMITS[method] + DETAILS[method])
            if strange:
                raise typer.BadParameter(f"{strange[0]} belongs to --method {method}, not to {chosen}")

    def decision(self, **more: Any) -> Decision:
        """The same for the chain; what was not typed is its default there."""
        from cnngraph.chain.decide import Decision

        return Decision(**{name: value for name, value in vars(self).items() if value is not None}, **more)

    def _typed(self, names: tuple[str, ...], besides: tuple[str, ...] = ()) -> list[str]:
        return [flag(name) for name in names if name not in besides and getattr(self, name) is not None]


@dataclass(frozen=True)
class ByHand:
    """What goes, said by a person."""

    remove_layer: Annotated[list[str] | None, typer.Option(help="This layer goes; repeat for several.")] = None
    remove_block: Annotated[list[str] | None, typer.Option(help="This block goes; repeat for several.")] = None
    plan_file: Annotated[Path | None, typer.Option("--plan", help="Carry out this plan.")] = None
    run: Annotated[str | None, typer.Option(help="Carry out this PruningRun of the graph, also one made by hand.")] = (
        None
    )

    def chosen(self, method: str) -> str:
        """The one option that says what goes; ``method`` is that of :meth:`Choice.resolved`.

        Raises:
            typer.BadParameter: none was given, or several.
        """
        named = (self.remove_layer or []) + (self.remove_block or []) or None
        ways = {
            "--method": method or None,
            "--remove-layer or --remove-block": named,
            "--plan": self.plan_file,
            "--run": self.run,
        }
        return one_of(ways, at_least=1)


@dataclass(frozen=True)
class Training:
    """How the rebuilt net is trained."""

    no_retrain: Annotated[bool, typer.Option("--no-retrain", help="Evaluate and store without training.")] = False
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the unpruned net beside it.")] = False
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None

    @property
    def typed(self) -> dict[str, int | float | None]:
        """The settings of the training; ``None`` where nothing was typed."""
        return {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}


def flag(name: str) -> str:
    """The option of a field.

    >>> flag("round_to")
    '--round-to'
    """
    return f"--{name.replace('_', '-')}"


def one_of(options: dict[str, Any], at_least: int) -> str:
    """The one option that was given, "" where none was; exit 2 where there are several, or fewer than ``at_least``."""
    given = [option for option, value in options.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other")
    if len(given) < at_least:
        raise typer.BadParameter(f"one of these is needed: {', '.join(options)}")
    return given[0] if given else ""
