"""How a net is mapped: what was typed, or what is known of one that was mapped before."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from cnngraph.validation import parse_stored

__all__ = ["TraceOptions"]


@dataclass(frozen=True)
class TraceOptions:
    """How a net is mapped by :func:`cnngraph.network.trace.trace`.

    Attributes:
        source: which map the weight of a position comes from: the conv's ``input``, its ``output``, or ``activation``:
            the first non-linearity after it with no conv and no sum between, else its norm's output, else its own.
        patch: the aggregation over the patch and all channels, a key of ``patches.PATCHES``.
        view: ``channels`` (feature maps and kernels), ``positions`` (class networks) or ``both``.
        connections: which kernels become connections: ``auto``, ``all``, ``none`` or ``top:K``.
        correlations: whether maps are compared (the table ``resembles``).
        kernels: keep every weight: the raw floats of each connection's kernel, and all other parameters and buffers.
        only_classes: images of other classes are not looked at: names or labels; what was typed until
            :func:`cnngraph.jobs.ingest.prepare` knows the classes, then their names.
        seed: of the sample of images that a very wide net's correlations are limited to.
        device: where a command maps the net.
    """

    source: str = "activation"
    patch: str = "mean"
    view: str = "both"
    connections: str = "auto"
    correlations: bool = True
    kernels: bool = False
    only_classes: tuple[str | int, ...] | None = None
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
