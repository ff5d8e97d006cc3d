"""Which layers of a net are compared, and how the value of one becomes points."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, fx

from cnngraph.errors import NotFoundError, TraceError, nearest
from cnngraph.network.channels import channel_dim
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.graph import Layer

__all__ = ["ComparedLayer", "compared_layers", "find_layer"]

_SEEN = ("Activation", "Pool")


@dataclass(frozen=True)
class ComparedLayer:
    """A layer as it is compared.

    Attributes:
        layer: its name in the layer graph. kind: Activation, Pool, Linear, ... node: of the followed net.
        channels: how many neurons. places: how many rows times columns, 1 for a dense layer. size: (rows, columns), or
            None where the value has none.
        channel_dim: the dimension of the value that holds the channels.
        depth: share of the net's multiply-accumulates up to and with this layer, 0..1.
    """

    layer: str
    kind: str
    node: str
    channels: int
    places: int
    size: tuple[int, int] | None
    channel_dim: int
    depth: float

    def shares_places(self, other: ComparedLayer) -> bool:
        """Whether the two have the same places, so that each is a point; else points are images."""
        return self.places == other.places and (self.size == other.size or self.places == 1)

    def points(self, value: Tensor) -> Tensor:
        """(images, places, channels): the value as points, without a copy where its layout allows."""
        moved = value.movedim(self.channel_dim, -1)
        return moved.reshape(len(value), self.places, self.channels)


def compared_layers(followed: FollowedNet) -> tuple[ComparedLayer, ...]:
    """What comes out of every activation and every pool, and the logits, in network order.

    Found in the layer graph, whether the net has modules or calls functions. What lays places beside images, as
    attention in windows does, is left out, and so is what has no one dimension of channels.

    Raises:
        ModelError, TraceError: the net cannot be followed.
    """
    logits = _logits(followed)
    found = []
    for layer in followed.graph.layers:
        if layer.kind in _SEEN or layer.node == logits:
            one = _compared(followed, layer)
            if one is not None:
                found.append(one)
    return tuple(found)


def find_layer(followed: FollowedNet, name: str) -> ComparedLayer:
    """Any layer of the net by its name, as a layer that can be compared.

    Raises:
        NotFoundError: there is none. TraceError: its value has no one dimension of channels, or no images.
    """
    if name not in followed.graph.by_name:
        known = [one.layer for one in compared_layers(followed)]
        raise NotFoundError(f"The net has no layer {name!r}.", nearest(name, known))
    found = _compared(followed, followed.graph.layer(name))
    if found is None:
        raise TraceError(f"What layer {name} gives has no one dimension of channels.", "Name another layer.")
    return found


def _compared(followed: FollowedNet, layer: Layer) -> ComparedLayer | None:
    node = _nodes(followed)[layer.node]
    shape = node.meta["shape"]
    images = next(iter(followed.graph.graph_module.graph.nodes)).meta["shape"][0]
    if isinstance(shape, list) or len(shape) < 2 or shape[0] != images:
        return None
    dim = channel_dim(node, layer.kind)
    if dim is None:
        return None
    places = 1
    for other in (*shape[1:dim], *shape[dim + 1 :]):
        places *= other
    size = None
    if layer.out_height is not None and layer.out_width is not None and layer.out_height * layer.out_width == places:
        size = layer.out_height, layer.out_width
    return ComparedLayer(
        layer.layer, layer.kind, layer.node, shape[dim], places, size, dim, _depths(followed)[layer.layer]
    )


def _logits(followed: FollowedNet) -> str | None:
    """The step that gives the logits: the last matrix that the net returns."""
    *_, output = followed.graph.graph_module.graph.nodes
    matrices = [
        node.name
        for node in output.all_input_nodes
        if node.meta["of_image"] and not isinstance(node.meta["shape"], list) and len(node.meta["shape"]) == 2
    ]
    return matrices[0] if matrices else None


def _nodes(followed: FollowedNet) -> dict[str, fx.Node]:
    return followed.view("similarity nodes", lambda *_: {n.name: n for n in followed.graph.graph_module.graph.nodes})


def _depths(followed: FollowedNet) -> dict[str, float]:
    def reckon(*_: object) -> dict[str, float]:
        total = sum(layer.macs for layer in followed.graph.layers) or 1
        done, depths = 0, {}
        for layer in followed.graph.layers:
            done += layer.macs
            depths[layer.layer] = done / total
        return depths

    return followed.view("similarity depths", reckon)
