"""What one step of a followed net is: its kind, its operation's name and, for windows, its geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from cnngraph.network.operations import OPERATIONS, UNKNOWN, Operation, Places

__all__ = [
    "Slide",
    "Window",
    "entry_of",
    "image_operands",
    "kind_of",
    "module_of",
    "operation_of",
    "step_of",
    "window_of",
]

_RESHAPES = frozenset({"view", "reshape"})
_IN_PLACE_OPERATORS = {"iadd": "add", "imul": "mul", "isub": "sub"}

_PARAMETERS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "maxpool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avgpool2d": ("input", "kernel_size", "stride", "padding", "ceil_mode"),
    "lppool2d": ("input", "norm_type", "kernel_size", "stride", "ceil_mode"),
}


Slide = tuple[int, int, int, int, str]


@dataclass(frozen=True)
class Window:
    """A window that slides over rows and columns; pairs are (rows, columns), ``padding`` is what is put before."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int = 1
    padding_mode: str = "zeros"

    def of(self, side: int) -> Slide:
        """Kernel, stride, padding, dilation and padding mode along rows (0) or columns (1)."""
        return self.kernel[side], self.stride[side], self.padding[side], self.dilation[side], self.padding_mode


def module_of(node: fx.Node) -> nn.Module | None:
    """The module that a ``call_module`` node calls; ``None`` for functional steps."""
    if node.op != "call_module":
        return None
    owner = node.graph.owning_module
    assert owner is not None
    return owner.get_submodule(str(node.target))


def operation_of(node: fx.Node) -> str:
    """The name that a person knows: ``Conv2d``, ``ReLU``, ``add``, ``flatten``.

    A class made on the fly (a parametrised layer) and a user's subclass go by the torch class that they behave like.
    """
    module = module_of(node)
    if module is not None:
        homes = ("torch.nn.modules.", "torch.ao.", "torchvision.")
        return next((c.__name__ for c in type(module).__mro__ if c.__module__.startswith(homes)), type(module).__name__)
    if node.op == "placeholder":
        return "Input"
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def step_of(node: fx.Node) -> str:
    """The operation in one spelling for modules and functions, in-place or not: ``relu_``, ``ReLU`` -> ``relu``."""
    name = operation_of(node)
    return _IN_PLACE_OPERATORS.get(name, name.replace("_", "").lower())


def entry_of(node: fx.Node) -> Operation:
    """The row of the table of operations for this step."""
    return OPERATIONS.get(step_of(node), UNKNOWN)


def image_operands(node: fx.Node) -> list[fx.Node]:
    """The operands that depend on the image, in order; one that is used twice comes twice."""
    return [operand for operand in _operands((node.args, node.kwargs)) if operand.meta.get("of_image")]


def _operands(argument: Any) -> Iterator[fx.Node]:
    if isinstance(argument, fx.Node):
        yield argument
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _operands(part)
    elif isinstance(argument, dict):
        for part in argument.values():
            yield from _operands(part)


def kind_of(node: fx.Node, *, places_vanish: bool = False) -> str:
    """The layer's kind, one of :data:`cnngraph.network.tables.KINDS`.

    ``places_vanish``: the step leaves neither rows nor columns of an image that had some (a global mean, a flatten).
    """
    step = step_of(node)
    if node.op == "placeholder":
        return "Input"
    operation = entry_of(node)
    if operation.kind != "Other":
        return operation.kind
    if step in ("conv2d", "linear"):
        return {"conv2d": "Conv", "linear": "Linear"}[step]
    if step == "add" and len(image_operands(node)) == 2:
        return "Add"
    if step == "flatten" or (step in _RESHAPES and places_vanish):
        return "Flatten"
    if (operation.places is Places.REDUCES or step == "max") and places_vanish:
        return "Pool"
    return "Other"


def window_of(node: fx.Node) -> Window | None:
    """The sliding window of a convolution or pool (adaptive and fractional ones have none)."""
    step = step_of(node)
    if step not in _PARAMETERS:
        return None
    given = _settings(node, step)
    kernel = _pair(given["kernel_size"])
    dilation = _pair(given.get("dilation", 1))
    stride = given.get("stride", 1 if step == "conv2d" else None)
    return Window(
        kernel=kernel,
        stride=_pair(kernel if stride in (None, ()) else stride),
        padding=_before(given.get("padding", 0), kernel, dilation),
        dilation=dilation,
        groups=int(given.get("groups", 1)),
        padding_mode=str(given.get("padding_mode", "zeros")),
    )


def _settings(node: fx.Node, step: str) -> dict[str, Any]:
    module = module_of(node)
    if module is not None:
        names = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        return {name: getattr(module, name) for name in names if hasattr(module, name)}
    given: dict[str, Any] = dict(zip(_PARAMETERS[step], node.args, strict=False)) | node.kwargs
    # A size that the code reads off an image (a pool over ``x.size(2)``) is a step of its own, which has a value.
    read = {name: part for name, part in given.items() if name not in ("input", "weight", "bias")}
    given |= fx.node.map_arg(read, lambda part: part.meta.get("value", part))
    if step == "conv2d":
        weight = given["weight"]
        assert isinstance(weight, fx.Node)
        given["kernel_size"] = weight.meta["shape"][2:]
    return given


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    values = [int(part) for part in value]
    return values[0], values[-1]


def _before(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2
    return _pair(padding)
