"""Convs with a forward of their own (weight standardisation, a padding that follows the image) as one step each.

Following a net goes into them, down to the function that convolves. Surgery takes such a conv out or leaves it as a
whole, so here all that its forward does becomes one call of the module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from cnngraph.network.step_runner import StepRunner

__all__ = ["OWN_FORWARD", "with_whole_convs"]

OWN_FORWARD = "own_forward"  # in the meta of a node: it calls a conv with a forward of its own


@dataclass(frozen=True)
class _Call:
    """One call: the conv's path, its nodes that are made from the image, the one it reads and the one it gives."""

    path: str
    inside: frozenset[fx.Node]
    entry: fx.Node
    leaving: fx.Node

    @property
    def name(self) -> str:
        """The name of the step that convolves, as the layer graph has it."""
        convolving = [node.name for node in self.inside if getattr(node.target, "__name__", "") == "conv2d"]
        return convolving[0] if len(convolving) == 1 else self.leaving.name


def with_whole_convs(module: fx.GraphModule) -> fx.GraphModule:
    """``module``, or a copy of its graph in which each such call that reads one map and gives one is a single node.

    Nodes keep their names and metas; a call is named after the step inside that convolves.
    """
    calls = {call.leaving: call for call in _calls(module)}
    if not calls:
        return module
    inside = {node for call in calls.values() for node in call.inside}
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        if node in calls:
            copies[node] = _called(graph, calls[node], copies)
        elif node not in inside:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    for node in reversed(list(module.graph.nodes)):  # what was made of the weights, and of the size of the map
        if node in copies and _conv_around(node) is not None and node not in calls and not copies[node].users:
            graph.erase_node(copies[node])
    model = module.meta["model"]
    found: dict[str, Any] = {call.path: model.get_submodule(call.path) for call in calls.values()}
    kept = {str(node.target) for node in graph.nodes if node.op in {"call_module", "get_attr"}} - set(found)
    found |= {target: _at(module, target) for target in kept}
    return StepRunner(found, graph, type(module).__name__)


def _called(graph: fx.Graph, call: _Call, copies: dict[fx.Node, fx.Node]) -> fx.Node:
    made = graph.create_node("call_module", call.path, (copies[call.entry],), {}, call.name)
    stack = list(call.leaving.meta["nn_module_stack"].items())
    end = next(place for place, (_, (path, _)) in enumerate(stack) if path == call.path)
    made.meta = {**call.leaving.meta, "nn_module_stack": dict(stack[: end + 1]), OWN_FORWARD: True}
    return made


def _calls(module: fx.GraphModule) -> list[_Call]:
    of_image: set[fx.Node] = set()
    members: dict[tuple[str, str], set[fx.Node]] = {}
    for node in module.graph.nodes:
        made = node.meta.get("shape") is not None and any(source in of_image for source in node.all_input_nodes)
        if node.op == "placeholder" or (made and node.op != "output"):
            of_image.add(node)
            key = _conv_around(node)
            if key is not None:
                members.setdefault(key, set()).add(node)
    found = [_call(path, frozenset(inside), of_image.__contains__) for (_, path), inside in members.items()]
    return [call for call in found if call is not None]


def _call(path: str, inside: frozenset[fx.Node], is_of_image: Callable[[fx.Node], bool]) -> _Call | None:
    entries = {source for node in inside for source in node.all_input_nodes if is_of_image(source)} - inside
    leaving = [node for node in inside if any(_is_read(user, is_of_image) for user in node.users if user not in inside)]
    if len(entries) != 1 or len(leaving) != 1:
        return None
    (entry,), (end,) = entries, leaving
    maps = all(isinstance(node.meta["shape"], tuple) and len(node.meta["shape"]) == 4 for node in (entry, end))
    return _Call(path, inside, entry, end) if maps else None


def _is_read(user: fx.Node, is_of_image: Callable[[fx.Node], bool]) -> bool:
    """Whether a step reads a map itself, not its size alone."""
    return is_of_image(user) or user.op == "output"


def _conv_around(node: fx.Node) -> tuple[str, str] | None:
    """The key of the call, and the path, of the conv with a forward of its own in which ``node`` is made."""
    for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items():
        if isinstance(kind, type) and issubclass(kind, nn.Conv2d) and path != node.target:
            return key, path
    return None


def _at(module: nn.Module, path: str) -> object:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)
