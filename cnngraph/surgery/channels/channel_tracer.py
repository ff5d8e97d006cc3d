"""Trace channels: a followed net is run on labels of its channels instead of numbers.

Every value of an image is a tensor of its real shape that holds, for each element, the label of the channel it belongs
to. Operations that only move values (flatten, concat, split, shuffle) are run as they are. Layers with weights read
the labels along their input axis and give new ones; element-wise operations couple labels; what is not known to keep
channels apart pins those that enter it, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnngraph.network.kinds import entry_of, module_of, operation_of, step_of
from cnngraph.network.known_sizes import DECIDES
from cnngraph.network.operations import Channels
from cnngraph.surgery.channels import shapes
from cnngraph.surgery.channels.channel_dependencies import ChannelDependencies
from cnngraph.surgery.channels.layer_labels import LayerLabels
from cnngraph.surgery.channels.reshape_rules import (
    RESHAPE_RULES,
    ReshapeStep,
    UnknownError,
    filled,
    over_places,
    unlabelled,
)
from cnngraph.surgery.channels.tracked_ints import TrackedInt

__all__ = ["ChannelTracer"]

_AXES_SECOND = frozenset({"norm", "vectornorm", "linalgvectornorm"})  # others are given their axes first
_KINDS_OF_NUMBERS = (("device",), ("dtype",))  # of a weight, which say nothing of its size
_NAMES = {"add": "the sum", "mul": "the product", "cat": "the concatenation"}


class ChannelTracer(fx.Interpreter):
    """One run over a followed net; findings go into ``dependencies``.

    Attributes:
        reached: identities of the parameters that the net uses.
        last_outputs: by module path, the labels of the channels that its last call returned.
    """

    def __init__(self, model: nn.Module, module: fx.GraphModule, dependencies: ChannelDependencies) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.model = model
        self.dependencies = dependencies
        self.layers = LayerLabels(model, dependencies)
        self.reached: set[int] = set()
        self.last_outputs: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The labels of one step's value."""
        if n.op == "placeholder":
            return unlabelled(n.meta["shape"])
        if n.op == "get_attr":
            return self._parameter(n)
        self.dependencies.at = _in_words(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        operands = list(_tensors((args, kwargs)))
        if n.op == "output":
            self._pin(operands, "they are what the net gives")
            return None
        try:
            value = self._through(n, args, kwargs, operands)
        except UnknownError as error:
            _mark_used((args, kwargs))
            value = self._stop(n, operands, str(error))
        except Exception as error:  # noqa: BLE001 (whatever labels cannot go through is only no place to cut)
            value = self._stop(n, operands, f"{operation_of(n)} cannot be read ({type(error).__name__})")
        if n.meta.get(DECIDES):  # with another number of channels the code would go another way
            _mark_used((args, kwargs) if isinstance(value, bool) else () if isinstance(value, tuple) else value)
        if _shape(value) != n.meta["shape"]:
            value = self._stop(n, operands, f"{operation_of(n)} does not keep them apart")
        for path, _ in n.meta.get("nn_module_stack", {}).values():
            if isinstance(value, Tensor):
                self.last_outputs[path] = value
        return value

    def _through(self, n: fx.Node, args: Any, kwargs: Any, operands: list[Tensor]) -> Any:
        operation, does, module = step_of(n), entry_of(n).channels, module_of(n)
        if module is not None:
            self.reached.update(id(parameter) for parameter in module.parameters())
        if does is Channels.FILLED:
            return filled(self.dependencies, _sizes(args, kwargs))
        if not operands:
            value = getattr(self, n.op)(n.target, args, kwargs)
            if isinstance(value, Tensor):  # of a size that may be a number of channels
                _mark_used((args, kwargs))
            return _without_labels(value)
        if module is not None and self.layers.knows(module):
            return self.layers.called(str(n.target), module, (*args, *kwargs.values())[0], n.meta["shape"])
        if operation in RESHAPE_RULES:
            return RESHAPE_RULES[operation](
                ReshapeStep(
                    self.dependencies, n, module, args, kwargs, lambda: getattr(self, n.op)(n.target, args, kwargs)
                )
            )
        if does is Channels.ELEMENTWISE or (does is Channels.REDUCES and len(operands) > 1):
            return self._elementwise(n, operands, (args, kwargs))
        if does is Channels.PLACEWISE:
            self._pin(operands[1:], f"{operation_of(n)} goes by them")  # a grid of places, say
            return over_places(args[0], n.meta["shape"])
        if does is Channels.REDUCES:
            return _reduced(n, args, kwargs)
        if does is Channels.SOFTMAX:
            return _softmax(n, module, args[0])
        if does is Channels.BY_CHANNEL:
            columns = [part.reshape(1, -1, *[1] * (args[0].dim() - 2)) for part in operands[1:]]
            return self._elementwise(n, [args[0], *columns])
        if operation == "layernorm":
            return self._layer_norm(n, args, kwargs, operands)
        if does is Channels.WEIGHTED:
            return self._weighted(n, args)
        if operation == "groupnorm":
            return self._group_norm(n, args, kwargs)
        raise UnknownError(f"{operation_of(n)} may mix them")

    def _pin(self, operands: Sequence[Tensor], reason: str) -> None:
        for operand in operands:
            self.dependencies.pin(shapes.flat(operand), reason)

    def _stop(self, n: fx.Node, operands: Sequence[Tensor], reason: str) -> Any:
        """What enters stays; what comes out belongs to no channel."""
        self._pin(operands, reason)
        shape = n.meta["shape"]
        if isinstance(shape, list):
            return [unlabelled(each) for each in shape]
        return _without_labels(n.meta["value"]) if shape is None else unlabelled(shape)

    def _parameter(self, n: fx.Node) -> Any:
        """A parameter or buffer that the code uses itself: labels along its one axis that is longer than 1.

        A tensor that is neither (a plain attribute, or what the code made of a buffer before any image met it) cannot
        be cut: it belongs to no channel.
        """
        path = str(n.target)
        value = self.fetch_attr(path)
        if not isinstance(value, Tensor):
            return value
        self.reached.add(id(value))
        long = [axis for axis, size in enumerate(value.shape) if size > 1]
        owner, _, name = path.rpartition(".")
        if any(not _weighs(user) and user.args[1:] not in _KINDS_OF_NUMBERS for user in n.users):
            self.dependencies.reckoned.add(owner)
        if len(long) != 1 or not self._holds(owner, name):
            return unlabelled(value.shape)
        labels = self.layers.own(owner, name, long[0], value)
        line = [-1 if axis == long[0] else 1 for axis in range(value.dim())]
        return torch.from_numpy(labels).reshape(line)

    def _holds(self, owner: str, name: str) -> bool:
        """Whether the net keeps the tensor ``owner.name`` as a parameter or buffer of its own."""
        try:
            module = self.model.get_submodule(owner)
        except AttributeError:
            return False
        return name in module._parameters or name in module._buffers

    def _elementwise(self, n: fx.Node, operands: Sequence[Tensor], arguments: Any = ()) -> Tensor:
        """Labels that meet are coupled; a single channel that is spread over many stays and is coupled with none."""
        shape = n.meta["shape"]
        _mark_used(arguments)
        whole = [operand.expand(shape) for operand in operands]
        alone = [_is_spread(operand, whole, shape) for operand in operands]
        self._pin([labels for labels, single in zip(whole, alone, strict=True) if single], "they scale whole maps")
        meeting = [labels for labels, single in zip(whole, alone, strict=True) if not single]
        result = meeting[0]
        for labels in meeting[1:]:
            one, other = shapes.compact(result), shapes.compact(labels)
            self.dependencies.couple(one.numpy(), other.numpy())
            result = torch.where(one == 0, other, one).expand(shape)
        return result

    def _layer_norm(self, n: fx.Node, args: Any, kwargs: Any, operands: Sequence[Tensor]) -> Tensor:
        weight = n.kwargs.get("weight", (*n.args, None, None, None)[2])
        sizes = kwargs.get("normalized_shape", (*args, ())[1])
        if not isinstance(weight, fx.Node) or weight.op != "get_attr" or len(sizes) != 1:
            raise UnknownError("a norm without weights runs over them")
        shapes.reshaped(self.dependencies, args[0], args[0], [-1] * (args[0].dim() - 1) + list(sizes))
        owner, _, name = str(weight.target).rpartition(".")
        self.dependencies.across.add((owner, name))
        return self._elementwise(n, operands)

    def _group_norm(self, n: fx.Node, args: Any, kwargs: Any) -> Tensor:
        """A norm whose own ``forward`` calls the function with its weight."""
        path, module = self._owner(n, 2)
        groups = kwargs.get("num_groups", (*args, None)[1])
        if not isinstance(module, nn.GroupNorm) or groups != module.num_groups:
            raise UnknownError("a norm without weights runs over them")
        return self.layers(path, module, args[0], n.meta["shape"])

    def _owner(self, n: fx.Node, place: int) -> tuple[str, nn.Module | None]:
        """Path of the module whose ``weight`` a function is called with, and the module."""
        weight = n.kwargs.get("weight", (*n.args, None, None, None)[place])
        path, _, name = str(weight.target if isinstance(weight, fx.Node) else "").rpartition(".")
        known = isinstance(weight, fx.Node) and weight.op == "get_attr" and name == "weight"
        return path, self.model.get_submodule(path) if known else None

    def _weighted(self, n: fx.Node, args: Any) -> Tensor:
        """A layer whose own ``forward`` calls the function with its weight."""
        path, module = self._owner(n, 1)
        if module is None or not self.layers.knows(module) or path in self.dependencies.known_kernels:
            raise UnknownError(f"{operation_of(n)} reads them by weights that are no layer's own")
        return self.layers(path, module, args[0], n.meta["shape"])


def _in_words(n: fx.Node) -> str:
    """The operation as a reason names it: ``the sum add_3``, ``Conv2d features.4``."""
    name = str(n.target) if n.op == "call_module" else n.name
    return f"{_NAMES.get(step_of(n), operation_of(n))} {name}"


def _sizes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int]:
    """Sizes that are given as one sequence or one by one."""
    given = (kwargs["size"],) if "size" in kwargs else args
    return list(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else list(given)


def _softmax(n: fx.Node, module: nn.Module | None, labels: Tensor) -> Tensor:
    axis = getattr(module, "dim", None) if module is not None else n.kwargs.get("dim", (*n.args, None)[1])
    if not isinstance(axis, int) or shapes.varies(labels, axis % labels.dim()):
        raise UnknownError("a softmax runs over them")
    return labels


def _weighs(node: fx.Node) -> bool:
    return entry_of(node).channels is Channels.WEIGHTED


def _reduced(n: fx.Node, args: Any, kwargs: Any) -> Any:
    """A mean, a sum or the like: over anything but channels it keeps them apart."""
    place = 2 if step_of(n) in _AXES_SECOND else 1
    axes = kwargs.get("dim", args[place] if len(args) > place else None)
    if axes is None or isinstance(axes, Tensor):
        raise UnknownError(f"{operation_of(n)} runs over them")
    value: Tensor = args[0]
    axes = sorted({axis % value.dim() for axis in ([axes] if isinstance(axes, int) else axes)}, reverse=True)
    if any(shapes.varies(value, axis) for axis in axes):
        raise UnknownError(f"{operation_of(n)} runs over them")
    shape = n.meta["shape"]
    keep = len(shape[0] if isinstance(shape, list) else shape) == value.dim()
    for axis in axes:
        value = value.narrow(axis, 0, 1) if keep else value.select(axis, 0)
    return [value for _ in shape] if isinstance(shape, list) else value


def _is_spread(operand: Tensor, others: Sequence[Tensor], shape: tuple[int, ...]) -> bool:
    """Whether one entry of ``operand`` meets several channels of another operand."""
    missing = len(shape) - operand.dim()
    short = [axis for axis in range(len(shape)) if axis < missing or operand.shape[axis - missing] < shape[axis]]
    return any(shapes.varies(other, axis) for other in others for axis in short)


def _without_labels(value: Any) -> Any:
    """``value`` with every tensor in it replaced by one that belongs to no channel."""
    if isinstance(value, Tensor):
        return unlabelled(value.shape)
    return type(value)(map(_without_labels, value)) if type(value) in (tuple, list) else value


def _tensors(argument: Any) -> Iterator[Tensor]:
    return (part for part in _parts(argument) if isinstance(part, Tensor))


def _parts(argument: Any) -> Iterator[Any]:
    if isinstance(argument, tuple | list):
        for part in argument:
            yield from _parts(part)
    elif isinstance(argument, dict):
        yield from _parts(list(argument.values()))
    else:
        yield argument


def _mark_used(arguments: Any) -> None:
    """The numbers of channels among ``arguments`` matter themselves: they may not change."""
    for number in _parts(arguments):
        if isinstance(number, TrackedInt):
            number.mark_used()


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, tuple | list) and value and all(isinstance(part, Tensor) for part in value):
        return [tuple(part.shape) for part in value]
    return None
