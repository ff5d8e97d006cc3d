"""What ``plan`` and ``prune`` may be told: one field an option, declared once for both commands.

An option of :class:`Choice` that was not typed is ``None``, so that one which belongs to another method is refused
rather than ignored; what it then means stands in its help and in :class:`cnngraph.jobs.decide.Decision`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnngraph.cli.baseline import BatchSize, Epochs, LearningRate, Trainer
from cnngraph.cli.compute import AGGREGATES, REFERENCES, Engine
from cnngraph.cli.options import MEASURE_NAMES, finite, known
from cnngraph.jobs.options import DETAILS, LIMITS, ROUND_FOR_SPEED, TARGETS

if TYPE_CHECKING:
    from cnngraph.jobs.decide import Decision
    from cnngraph.pruning.target import Target

__all__ = ["SCORES", "ByHand", "Choice", "Training"]

INITS = ("least-squares", "inherit", "reset", "scratch")
SCOPES = ("layer", "global")
# cnngraph.jobs.filters knows them too (a test holds the two together), but costs more to import than --help may take.
SCORES = ("magnitude", "strength", "redundancy", "pagerank", "taylor", "bn", "random")


def _measure(value: str | None) -> str | None:
    if value is None:
        return None
    from cnngraph.measures.registry import MEASURES

    return known(value, MEASURES, "measure")


def _points(value: float | None) -> float | None:
    if finite(value) is not None and value is not None and value > 100:
        raise typer.BadParameter(f"{value} is more than 100 points")
    return value


def _share(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and 0 < value < 1):
        raise typer.BadParameter(f"{value} is not a share between 0 and 1, such as 0.3")
    return value


@dataclass(frozen=True)
class Choice:
    """What goes, and by what it is chosen."""

    method: Annotated[
        str | None,
        typer.Option(
            help="multilayer: layers whose every node is weak. filters: a share of the filters, implied by --ratio.",
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
    ratio: Annotated[
        float | None, typer.Option(help="This share of the filters goes, lowest score first.", callback=_share)
    ] = None
    scope: Annotated[
        str | None,
        typer.Option(
            help="The share is that of every layer (layer, the default) or of the net (global).",
            callback=lambda v: known(v, SCOPES, "scope"),
        ),
    ] = None
    score: Annotated[
        str | None,
        typer.Option(
            help=f"What ranks the filters: {', '.join(SCORES)} (default: magnitude).",
            callback=lambda v: known(v, SCORES, "score"),
        ),
    ] = None
    round_to: Annotated[
        int | None,
        typer.Option(
            min=1, help="Layers that lose filters keep a multiple of this many (default: 1; for --target-speedup 8)."
        ),
    ] = None
    at_least: Annotated[
        int | None, typer.Option(min=1, help="Every layer keeps at least this many filters (default: 1).")
    ] = None
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            help="As many go as cost at most this much validation accuracy, in points of percent; trains on the way.",
            callback=_points,
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="With --max-accuracy-drop: each trial removes in this many steps, fine-tuned between (default: 1).",
        ),
    ] = None
    target_speedup: Annotated[
        float | None, typer.Option(help="So many times faster, measured; see --latency-on, --runtime and --batch.")
    ] = None
    target_macs: Annotated[
        float | None,
        typer.Option(
            "--target-macs", help="The multiply-accumulates that are left: a share such as 0.5, or a count above 1."
        ),
    ] = None
    target_parameters: Annotated[
        float | None, typer.Option(help="The parameters that are left: a share such as 0.5, or a count above 1.")
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
        method = self._method()
        for other in LIMITS:
            strange = self._typed(LIMITS[other] + DETAILS[other], besides=LIMITS.get(method, ()))
            if method and other != method and strange:
                raise typer.BadParameter(f"{strange[0]} belongs to --method {other}, not to {method}")
        needed = method == "filters" or (limit_needed and bool(method))
        one_of({flag(name): getattr(self, name) for name in LIMITS[method or "multilayer"]}, at_least=int(needed))
        if method != "filters":
            from cnngraph.measures.registry import find_measure

            find_measure(self.measure or "degree", aggregate=self.aggregate or "mean")
        if self.steps is not None and self.max_accuracy_drop is None:
            raise typer.BadParameter("--steps belongs to --max-accuracy-drop")
        return method

    def require_reader(self, data: str | None, data_root: Path | None) -> None:
        """Refuse data that were typed for a plan which reads no images.

        Raises:
            typer.BadParameter: so it is.
        """
        typed = [flag(name) for name, value in (("data", data), ("data_root", data_root)) if value is not None]
        if typed and self.max_accuracy_drop is None and self.score != "taylor":
            raise typer.BadParameter(
                f"{typed[0]} belongs to --max-accuracy-drop or --score taylor: no other plan reads images "
                "(the measure join reads those that the model was ingested with)"
            )

    def target(self) -> Target | None:
        """What is to be reached, if anything.

        Raises:
            UsageError: it asks for nothing: a speed-up of 1, a share of 1, NaN.
        """
        from cnngraph.pruning.target import KINDS, Target

        typed = [(kind, getattr(self, f"target_{kind}")) for kind in KINDS]
        return next((Target(kind, value) for kind, value in typed if value is not None), None)

    def require_unused(self, chosen: str) -> None:
        """Refuse the options of every method: what goes is said by ``chosen``."""
        for method in LIMITS:
            strange = self._typed(LIMITS[method] + DETAILS[method])
            if strange:
                raise typer.BadParameter(f"{strange[0]} belongs to --method {method}, not to {chosen}")

    def decision(self, **more: Any) -> Decision:
        """The same for the chain; what was not typed is its default there."""
        from cnngraph.jobs.decide import Decision

        typed = {name: value for name, value in vars(self).items() if value is not None and name not in TARGETS}
        typed["method"] = self._method() or "multilayer"
        if self.target_speedup is not None:
            typed.setdefault("round_to", ROUND_FOR_SPEED)
        return Decision(**typed, target=self.target(), **more)

    def _method(self) -> str:
        """The method that was typed, or that an option of it implies; "" where nothing says."""
        if self.method:
            return self.method
        if self._typed(("ratio", *DETAILS["filters"])):
            return "filters"
        return "multilayer" if self._typed(TARGETS) else ""

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
            "--method or --ratio": method or None,
            "--remove-layer or --remove-block": named,
            "--plan": self.plan_file,
            "--run": self.run,
        }
        return one_of(ways, at_least=1)


@dataclass(frozen=True)
class Training:
    """How the rebuilt net is trained."""

    reconstruct: Annotated[
        bool,
        typer.Option(
            "--reconstruct",
            help="Refit the layers that read removed filters to their old outputs, by least squares, before training.",
        ),
    ] = False
    no_retrain: Annotated[bool, typer.Option("--no-retrain", help="Evaluate and store without training.")] = False
    no_control: Annotated[bool, typer.Option("--no-control", help="Do not train the unpruned net beside it.")] = False
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    trainer: Trainer = None

    def require_consistent(self) -> None:
        """Refuse a trainer where nothing is trained."""
        if self.no_retrain and self.trainer is not None:
            raise typer.BadParameter("--trainer and --no-retrain exclude each other")

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
