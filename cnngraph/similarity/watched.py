"""Runs a followed net and shows the values of some steps, each the moment it is there: no value is kept for long."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor, fx

__all__ = ["Watched"]


class Watched(fx.Interpreter):
    """The steps of a followed net.

    Attributes:
        see: called with the name of each wanted step and its value, which a later step may change in place.
    """

    see: Callable[[str, Tensor], None]

    def __init__(self, module: fx.GraphModule, wanted: Collection[str]) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.extra_traceback = False
        self._wanted = frozenset(wanted)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self._wanted:
            self.see(n.name, value)
        return value
