"""How the page of ``review`` is opened."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["PageOptions"]

_PANEL = "Of the page"


@dataclass(frozen=True)
class PageOptions:
    """What was typed about the page; what was not is ``None`` or False."""

    layer: Annotated[
        list[str] | None, typer.Option(help="Only filters of this layer; repeat it.", rich_help_panel=_PANEL)
    ] = None
    by: Annotated[str | None, typer.Option(help="Who judges. Default: the owner.", rich_help_panel=_PANEL)] = None
    open: Annotated[bool, typer.Option("--open", help="Open it in the browser.", rich_help_panel=_PANEL)] = False
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Its port. Default: 8723, or a free one.", rich_help_panel=_PANEL),
    ] = None
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="In random order, the same for a person.", rich_help_panel=_PANEL)
    ] = False
    hide_scores: Annotated[
        bool,
        typer.Option(
            "--hide-scores", help="Hide what the machine thinks until the person has decided.", rich_help_panel=_PANEL
        ),
    ] = False
    latency_table: Annotated[
        Path | None,
        typer.Option(help="Of cnngraph latency --out: says the milliseconds.", rich_help_panel=_PANEL),
    ] = None

    no_images: Annotated[
        bool,
        typer.Option("--no-images", help="Open it at once, without a look at the images.", rich_help_panel=_PANEL),
    ] = False

    @property
    def said(self) -> dict[str, Any]:
        """The same by the names of the api."""
        said = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("layer", "open", "no_images")
        }
        return said | {"layers": self.layer or None, "images": not self.no_images}

    @property
    def typed(self) -> list[str]:
        """The options that were typed."""
        return [f"--{one.name.replace('_', '-')}" for one in fields(self) if getattr(self, one.name)]
