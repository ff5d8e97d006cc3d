"""A net that is followed once: what every room reads of it is a view of one object, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from cnngraph.network.graph import LayerGraph, follow

if TYPE_CHECKING:
    from cnngraph.network.blocks import Block
    from cnngraph.network.channels import Maps, Wiring
    from cnngraph.network.topology import Topology

__all__ = ["FollowedNet"]

View = TypeVar("View")


class FollowedNet:
    """The views of one net for images of one shape. The net must keep its structure; its weights may change.

    Args:
        model: the net, left as it is. input_shape: (channels, height, width).

    Raises:
        ModelError, TraceError: at the first view, see :func:`cnngraph.network.graph.follow`.
    """

    def __init__(self, model: nn.Module, input_shape: tuple[int, int, int]) -> None:
        self.model, self.input_shape = model, input_shape
        self._views: dict[str, Any] = {}

    @cached_property
    def graph(self) -> LayerGraph:
        """Its layers, what feeds what, and where the rows and columns of each look."""
        return follow(self.model, self.input_shape)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Its blocks, in network order."""
        from cnngraph.network.blocks import find_blocks

        return tuple(find_blocks(self.graph))

    @cached_property
    def maps(self) -> Maps:
        """Its feature maps."""
        from cnngraph.network.channels import Maps

        return Maps.of(self.graph)

    @cached_property
    def wiring(self) -> Wiring:
        """Which map reads which."""
        from cnngraph.network.channels import Wiring

        return Wiring.of(self.graph, self.maps)

    @cached_property
    def places(self) -> Topology:
        """Its positions and arcs."""
        from cnngraph.network.topology import positions_and_arcs

        return positions_and_arcs(self.graph)

    def view(self, name: str, make: Callable[[nn.Module, tuple[int, int, int]], View]) -> View:
        """A view of a higher room, made once: the coupling of channels, say, which surgery knows."""
        if name not in self._views:
            self._views[name] = make(self.model, self.input_shape)
        found: View = self._views[name]
        return found
