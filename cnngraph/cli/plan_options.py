"""What ``plan`` and ``prune`` may be told about what goes: an option for each limit and method field.

Nothing here knows which option belongs to what: an option that was not typed is ``None``, and
:func:`cnngraph.pruning.choice.choose` has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cnngraph.api.options import COMPANIONS, LIMITS, METHODS, OPTIONS, OptionField
from cnngraph.vocabulary import INITS

__all__ = ["ByHand", "Limits"]

_SHORT = {"measure": "-m"}
_LIMITS = "Limits: how much goes; several hold together"
_JUDGED = "How limits are judged"


def _of_method(one: OptionField) -> Any:
    owners = [method.name for method in METHODS.values() if one in method.fields]
    names = [f"--{one.name.replace('_', '-')}", *([_SHORT[one.name]] if one.name in _SHORT else [])]
    many = one.kind is tuple
    said = one.help if many else f"{one.help} Default: {one.default}."
    return Annotated[
        (list[str] if many else one.kind) | None,
        typer.Option(*names, help=said, rich_help_panel=f"Of --method {', '.join(owners)}"),
    ]


def _optional(kind: type, help: str, panel: str) -> Any:  # noqa: A002
    return Annotated[kind | None, typer.Option(help=help, rich_help_panel=panel)]


def _fields() -> dict[str, Any]:
    """The type of each option, by name, in the order of --help."""
    summaries = "; ".join(f"{method.name}: {method.summary}" for method in METHODS.values())
    fields: dict[str, Any] = {"method": Annotated[str | None, typer.Option(help=f"{summaries}.")]}
    fields |= {name: _optional(limit.kind, limit.help, _LIMITS) for name, limit in LIMITS.items()}
    fields["limits"] = Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="A file of limits, one a line: target_macs = 0.6", rich_help_panel=_LIMITS
        ),
    ]
    fields |= {name: _optional(one.kind, one.help, _JUDGED) for name, one in COMPANIONS.items()}
    fields |= {name: _of_method(one) for name, one in OPTIONS.items()}
    fields["keep"] = Annotated[
        list[str] | None, typer.Option(metavar="LAYER", help="This layer stays, with all its filters; repeat it.")
    ]
    fields["init"] = Annotated[
        str | None,
        typer.Option(
            help=f"First weights where ends are joined, or of layers that replace blocks: {', '.join(INITS)} "
            f"(default: {INITS[0]})."
        ),
    ]
    return fields


_Typed: Any = make_dataclass("_Typed", [(name, kind, None) for name, kind in _fields().items()], frozen=True)


class Limits(_Typed):  # type: ignore[misc]  # its fields come from the registry
    """Method, limits and options as they were typed; ``None`` where nothing was."""


@dataclass(frozen=True)
class ByHand:
    """What goes, said by a person."""

    remove_layer: Annotated[list[str] | None, typer.Option(help="This layer goes; repeat for several.")] = None
    remove_block: Annotated[list[str] | None, typer.Option(help="This block goes; repeat for several.")] = None
    plan_file: Annotated[Path | None, typer.Option("--plan", help="Carry out this plan.")] = None
    run: Annotated[str | None, typer.Option(help="Carry out this PruningRun of the graph, also one made by hand.")] = (
        None
    )

    @property
    def said(self) -> dict[str, Any]:
        """The same by the names that the rules know."""
        return {
            "remove_layers": self.remove_layer or None,
            "remove_blocks": self.remove_block or None,
            "plan": self.plan_file,
            "run": self.run,
        }
