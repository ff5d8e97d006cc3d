"""How a net is mapped: what was typed, or what is known of one that was mapped before."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from cnngraph.validation import parse_stored

__all__ = ["TraceOptions"]


@dataclass(frozen=True)
class TraceOptions:
    """How a net is mapped; the fields are the options of :func:`cnngraph.network.trace.trace`.

    ``only_classes`` is what was typed until :func:`cnngraph.jobs.ingest.prepare` knows the classes, then their names.
    """

    source: str = "activation"
    patch: str = "mean"
    view: str = "both"
    connections: str = "auto"
    correlations: bool = True
    kernels: bool = False
    only_classes: tuple[str, ...] | None = None
    seed: int = 0
    device: str = "auto"

    @classmethod
    def of(cls, inputs: dict[str, Any], what: str) -> TraceOptions:
        """How a net was mapped whose Network has these ``details.inputs``, so that another's numbers compare.

        Args:
            what: it is the mapping of, for the message.

        Raises:
            ModelError: a value is not of its type.
        """
        names = {field.name for field in fields(cls)}
        return parse_stored(cls, {name: value for name, value in inputs.items() if name in names}, what)
