"""What a plan changes in a net, as a list of edits with a reason each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Edit", "Kind"]

Kind = Literal[
    "filters",  # outputs of a layer go
    "inputs",  # inputs of a layer go with the filters that gave them
    "norm channels",  # of a norm that scales filters that go
    "values",  # of a parameter that the code uses itself, one a channel
    "number",  # that a module stores: how many channels there are
    "resize",  # a conv or dense layer gets other widths
    "new norm",  # a norm behind a layer of another width is made anew
    "resize norm",  # a batch norm gets other widths
    "replace",  # something without weights stands there
    "adapter",  # a 1x1 conv stands there
    "open gate",  # it always lets through
    "leave out",  # zeros stand for a branch of a sum
    "remove",  # nothing stands there any more: an identity
    "skip block",  # a residual block returns what its shortcut gives
    "new layer",  # a conv stands for all of a block's
    "new block",  # a module of one conv stands for all of a block's
    "zeros",  # some weights of a layer are zero and stay so
]


@dataclass(frozen=True)
class Edit:
    """One change of one module.

    Attributes:
        kind: what is done. path: to which module, as ``named_modules()`` calls it.
        reason: why, a sentence without its full stop. asked: the names in the plan that it is for.
        detail: all that applying the change needs, and counting what it costs: a SliceEdit for channels, else
            one of :mod:`cnngraph.surgery.layers.replacements`.
    """

    kind: Kind
    path: str
    reason: str
    asked: tuple[str, ...]
    detail: Any = field(default=None, repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """What ``lineage --json`` says of it: everything but the detail."""
        return {"module": self.path, "kind": self.kind, "reason": self.reason, "removed": list(self.asked)}
