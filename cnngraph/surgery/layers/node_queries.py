"""What surgery asks of single steps of a followed net: is it a conv, a norm, an activation, a sum; who reads it."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from cnngraph.network.known_sizes import OTHERWISE
from cnngraph.surgery.layers.whole_convs import OWN_FORWARD, with_whole_convs

__all__ = ["NORMS", "NodeQueries", "is_product", "is_sum", "module_path", "step_name", "within"]

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Softmin, nn.GLU)
_PASSING = (
    nn.Dropout,
    nn.Dropout2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Identity,
)
_FUNCTIONAL_ACTIVATIONS: dict[Any, type[nn.Module]] = {
    F.relu: nn.ReLU,
    F.relu_: nn.ReLU,
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    F.relu6: nn.ReLU6,
    F.silu: nn.SiLU,
    F.gelu: nn.GELU,
    F.hardswish: nn.Hardswish,
    F.elu: nn.ELU,
    F.leaky_relu: nn.LeakyReLU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    F.hardsigmoid: nn.Hardsigmoid,
}
_FUNCTIONAL_LAYERS = {F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.linear}
_FUNCTIONAL_NORMS = {F.batch_norm, F.group_norm, F.instance_norm}
_FUNCTIONAL_PASSING = {F.max_pool2d, F.avg_pool2d, F.dropout, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_SUMS = {operator.add, operator.iadd, torch.add}
_PRODUCTS = {operator.mul, operator.imul, torch.mul}
_IDEMPOTENT = (nn.ReLU, nn.ReLU6, nn.Hardtanh)


class NodeQueries:
    """Questions about the nodes of a followed net: is this a conv, what reads it, how often is its module called?

    ``graph_module`` is one that ``cnngraph.network.symbolic`` made.
    """

    def __init__(self, graph_module: fx.GraphModule) -> None:
        graph_module = with_whole_convs(graph_module)
        self.graph_module = graph_module
        self.nodes = list(graph_module.graph.nodes)
        self.order = {node: place for place, node in enumerate(self.nodes)}
        self._modules = dict(graph_module.named_modules())
        self.parameters = {name for name, _ in graph_module.named_parameters(remove_duplicate=False)}
        self._dense = {node: made for node in self.nodes if (made := _dense_module(node, graph_module)) is not None}
        self.calls_of: dict[int, list[fx.Node]] = {}
        for node in self.nodes:
            if node.op == "call_module":
                self.calls_of.setdefault(id(self.module(node)), []).append(node)
        self._owners = Counter(
            id(parameter) for module in self._modules.values() for parameter in module.parameters(recurse=False)
        )

    @cached_property
    def of_image(self) -> set[fx.Node]:
        """The nodes whose values are tensors made from the image."""
        found: set[fx.Node] = set()
        for node in self.nodes:
            made = node.meta.get("shape") is not None and any(source in found for source in node.all_input_nodes)
            if node.op == "placeholder" or (made and node.op != "output"):
                found.add(node)
        return found

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """The steps that read the value of ``node``, the net's output among them: not those that ask its size."""
        return [user for user in node.users if user in self.of_image or user.op == "output"]

    def is_size(self, node: fx.Node) -> bool:
        """Whether the value of ``node`` is no tensor, nor holds one: a number that is read off a map, a shape."""
        if node.op == "output" or node.meta.get("shape") is not None:
            return False
        return not _holds_tensor(node.meta.get("value"))

    def sources(self, node: fx.Node) -> list[fx.Node]:
        """The operands of ``node`` that are made from the image."""
        return [source for source in node.all_input_nodes if source in self.of_image]

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that ``node`` calls, if it calls one.

        For the one call inside of a dense layer that has a forward of its own, a layer of its sizes without values.
        """
        if node in self._dense:
            return self._dense[node][1]
        return self._modules[str(node.target)] if node.op == "call_module" else None

    def path(self, node: fx.Node) -> str:
        """The path of the module that ``node`` calls, or of the dense layer that makes the call."""
        return self._dense[node][0] if node in self._dense else str(node.target)

    def calls(self, node: fx.Node) -> int:
        """How often the module of ``node`` is called in one forward pass."""
        if node in self._dense:
            return sum(path == self._dense[node][0] for path, _ in self._dense.values())
        return len(self.calls_of[id(self.module(node))]) if node.op == "call_module" else 0

    def takes_one_map(self, path: str) -> bool:
        """Whether the module ``path`` is called with one value and nothing else, as what may stand there instead is."""
        return path not in self.nodes[0].meta.get(OTHERWISE, ())

    def shares_weights(self, node: fx.Node) -> bool:
        """Whether a parameter of the module of ``node`` is another module's too (tied weights)."""
        module = self.module(node)
        return module is not None and any(self._owners[id(parameter)] > 1 for parameter in module.parameters())

    def is_conv(self, node: fx.Node) -> bool:
        """Whether ``node`` calls a Conv2d."""
        return isinstance(self.module(node), nn.Conv2d)

    def has_own_forward(self, node: fx.Node) -> bool:
        """Whether ``node`` calls a conv with a forward of its own, which may do more with its weights and its map."""
        return bool(node.meta.get(OWN_FORWARD, False))

    def is_weighted(self, node: fx.Node) -> bool:
        """Whether ``node`` is a conv or dense layer, of any kind: what ends a gap."""
        if isinstance(self.module(node), nn.modules.conv._ConvNd | nn.Linear | nn.Bilinear):
            return True
        return node.op == "call_function" and node.target in _FUNCTIONAL_LAYERS

    @cached_property
    def convs(self) -> list[fx.Node]:
        """Calls of Conv2d modules in network order."""
        return [node for node in self.nodes if self.is_conv(node)]

    @property
    def functional_convs(self) -> list[fx.Node]:
        """Convolutions that are function calls and have no module that could be replaced."""
        return [node for node in self.nodes if node.op == "call_function" and node.target is F.conv2d]

    def is_norm(self, node: fx.Node) -> bool:
        """Whether ``node`` calls a normalisation."""
        return isinstance(self.module(node), NORMS) or node.target in _FUNCTIONAL_NORMS

    def is_activation(self, node: fx.Node) -> bool:
        """Whether ``node`` is an element-wise non-linearity, module or function."""
        module = self.module(node)
        if module is not None:
            return type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, _NO_ACTIVATIONS)
        return node.op in {"call_function", "call_method"} and node.target in _FUNCTIONAL_ACTIVATIONS

    def is_passing(self, node: fx.Node) -> bool:
        """Whether ``node`` keeps channels apart and as many: a pool, a dropout, the identity."""
        return isinstance(self.module(node), _PASSING) or node.target in _FUNCTIONAL_PASSING

    def keeps_channels(self, node: fx.Node) -> bool:
        """Whether ``node`` has one operand and gives its channels on, one by one."""
        return self.is_passing(node) or self.is_norm(node) or self.is_activation(node)

    def activation_module(self, node: fx.Node) -> nn.Module | None:
        """A module that does what the activation ``node`` does out of place; ``None`` where its arguments say more."""
        if node.op == "call_module":
            return self.module(node)
        made = _FUNCTIONAL_ACTIVATIONS.get(node.target)
        plain = len(node.args) == 1 and set(node.kwargs) <= {"inplace"}
        return made() if made is not None and plain else None

    def is_already_activated(self, node: fx.Node, like: fx.Node, identities: Iterable[fx.Node]) -> bool:
        """Whether the value of ``node`` has already been through the idempotent activation of ``like``."""
        wanted = self.activation_module(like)
        passed = set(identities)
        while self.is_passing(node) or node in passed:
            node = node.all_input_nodes[0]
        there = self.activation_module(node) if self.is_activation(node) else None
        return isinstance(wanted, _IDEMPOTENT) and type(there) is type(wanted) and _range(there) == _range(wanted)

    def upstream_maps(self, number: fx.Node) -> list[fx.Node]:
        """The values of the image whose sizes ``number`` is reckoned from."""
        found: list[fx.Node] = []
        waiting = [number]
        while waiting:
            here = waiting.pop()
            if here in self.of_image:
                found.append(here)
            else:
                waiting.extend(here.all_input_nodes)
        return list(dict.fromkeys(found))

    def upstream(self, node: fx.Node, end: fx.Node) -> list[fx.Node] | None:
        """What ``node`` is made of up to ``end``, in network order; ``None`` if the image comes in another way too."""
        found: set[fx.Node] = set()
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if here is end or here in found:
                continue
            if here.op == "placeholder" or (here in self.of_image and self.order[here] < self.order[end]):
                return None
            found.add(here)
            waiting.extend(here.all_input_nodes)
        return sorted(found, key=self.order.__getitem__)


def _dense_module(node: fx.Node, module: nn.Module) -> tuple[str, nn.Linear] | None:
    """Path and sizes of the dense layer that makes the call ``node`` of ``F.linear`` in a forward of its own."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if node.op != "call_function" or node.target is not F.linear or not stack:
        return None
    path, kind = stack[-1]
    weight = next((source for source in node.all_input_nodes if source.target == f"{path}.weight"), None)
    if weight is None or not (isinstance(kind, type) and issubclass(kind, nn.Linear)):
        return None
    outputs, inputs = weight.meta["shape"]
    bias = getattr(module.get_submodule(path), "bias", None)
    return path, nn.Linear(inputs, outputs, bias=bias is not None, device="meta")


def _holds_tensor(value: object) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return isinstance(value, Tensor) or any(map(_holds_tensor, parts))


def _range(clamp: nn.Module) -> tuple[object, object]:
    """Between which values an idempotent activation leaves its input as it is."""
    return getattr(clamp, "min_val", None), getattr(clamp, "max_val", None)


def is_sum(node: fx.Node) -> bool:
    """Whether ``node`` adds two maps, each as it is (no ``alpha``)."""
    return _meets(node, _SUMS, {"add", "add_"})


def is_product(node: fx.Node) -> bool:
    """Whether ``node`` multiplies two maps."""
    return _meets(node, _PRODUCTS, {"mul", "mul_"})


def _meets(node: fx.Node, functions: set[Any], methods: set[str]) -> bool:
    named = node.op == "call_function" and node.target in functions
    named = named or (node.op == "call_method" and node.target in methods)
    shapes = [source.meta.get("shape") for source in node.all_input_nodes]
    plain = len(node.args) + len(node.kwargs) == 2
    return (
        named and plain and len(shapes) == 2 and all(isinstance(shape, tuple) and len(shape) == 4 for shape in shapes)
    )


def step_name(node: fx.Node) -> str:
    """How a step is called in messages: a module's path, or a function's name and the module that calls it."""
    if node.op == "call_module":
        return str(node.target)
    home = module_path(node)
    return f"{node.name} in {home}" if home else node.name


def module_path(node: fx.Node) -> str:
    """Path of the module whose forward made this call; "" for the net itself."""
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    if node.op == "call_module" and stack and stack[-1] == node.target:
        stack.pop()
    return stack[-1] if stack else ""


def within(node: fx.Node, home: str) -> bool:
    """Whether ``node`` is called by the module ``home`` or one inside it."""
    path = module_path(node)
    return path == home or path.startswith(f"{home}.")
