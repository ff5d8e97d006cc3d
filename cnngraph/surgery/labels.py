"""The label pass: a followed net is run on labels of its channels instead of numbers.

Every value of an image is a tensor of its real shape that holds, for each element, the label of the channel it belongs
to. Operations that only move values (flatten, concat, split, shuffle) are run as they are. Layers with weights read
the labels along their input axis and give new ones; element-wise operations tie labels; what is not known to keep
channels apart fixes those that enter it, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnngraph.network.kinds import operation_of, step_of
from cnngraph.surgery import shapes
from cnngraph.surgery.counts import Count, Labels, Measured
from cnngraph.surgery.layer_labels import LayerLabels
from cnngraph.surgery.ledger import Ledger

__all__ = ["LabelPass"]

_ELEMENTWISE = frozenset(
    "relu relu6 gelu silu hardswish hardsigmoid sigmoid tanh elu celu selu leakyrelu mish softplus hardtanh "  # noqa: SIM905
    "logsigmoid rrelu softsign tanhshrink hardshrink softshrink threshold dropout dropout1d dropout2d dropout3d "
    "alphadropout featurealphadropout featuredropout stochasticdepth identity clamp clampmin clampmax clip abs neg "
    "sqrt rsqrt exp expm1 log log1p log2 pow square reciprocal sin cos erf round floor ceil sign float half double "
    "bfloat16 to type cuda cpu detach clone contiguous requiresgrad add sub rsub mul div truediv multiply "
    "divide subtract maximum minimum lerp addcmul addcdiv where fmod remainder floordivide truedivide zeroslike "
    "oneslike alias swish maskedfill".split()
)
_MOVES = frozenset(
    "flatten permute transpose swapaxes swapdims movedim moveaxis t unsqueeze squeeze flip expandas repeat "  # noqa: SIM905
    "tile repeatinterleave pixelshuffle pixelunshuffle channelshuffle adjoint ravel".split()
)
_PLACEWISE = frozenset(
    "maxpool1d maxpool2d maxpool3d avgpool1d avgpool2d avgpool3d lppool2d adaptiveavgpool1d adaptiveavgpool2d "  # noqa: SIM905
    "adaptiveavgpool3d adaptivemaxpool1d adaptivemaxpool2d fractionalmaxpool2d interpolate upsample "
    "upsamplingnearest2d upsamplingbilinear2d zeropad2d reflectionpad2d replicationpad2d constantpad2d circularpad2d "
    "gridsample".split()
)
_REDUCTIONS = frozenset({"mean", "sum", "amax", "amin", "max", "min", "std", "var", "prod", "median", "logsumexp"})
_SOFTMAX = frozenset({"softmax", "logsoftmax", "softmax2d", "softmin"})


class LabelPass(fx.Interpreter):
    """One run over a followed net; findings go into ``ledger``.

    Attributes:
        reached: identities of the parameters that the net uses.
        given: by module path, the labels of the channels of what its call last gave.
    """

    def __init__(self, model: nn.Module, module: fx.GraphModule, ledger: Ledger) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.model = model
        self.ledger = ledger
        self.layers = LayerLabels(model, ledger)
        self.reached: set[int] = set()
        self.given: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "placeholder":
            return _none(n.meta["shape"])
        if n.op == "get_attr":
            return self._parameter(str(n.target))
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        operands = list(_tensors((args, kwargs)))
        if n.op == "output":
            self._fix(operands, "they are what the net gives")
            return None
        try:
            value = self._through(n, args, kwargs, operands)
        except _UnknownError as error:
            value = self._stop(n, operands, str(error))
        except Exception as error:  # noqa: BLE001 (whatever labels cannot go through is only no place to cut)
            value = self._stop(n, operands, f"{operation_of(n)} cannot be read ({type(error).__name__})")
        if _shape(value) != n.meta["shape"]:
            value = self._stop(n, operands, f"{operation_of(n)} does not keep them apart")
        for path, _ in n.meta.get("nn_module_stack", {}).values():
            if isinstance(value, Tensor):
                self.given[path] = value
        return value

    def _through(self, n: fx.Node, args: Any, kwargs: Any, operands: list[Tensor]) -> Any:
        step = step_of(n)
        if n.op == "call_module":
            module = self.fetch_attr(str(n.target))
            self.reached.update(id(parameter) for parameter in module.parameters())
            if self.layers.knows(module):
                return self.layers(str(n.target), module, args[0], n.meta["shape"])
        if not operands:
            return self._plain(n, args, kwargs)
        if step == "prelu" and n.op == "call_module":
            return self.layers.prelu(str(n.target), self.fetch_attr(str(n.target)), args[0])
        handler = getattr(self, f"_{step}", None)
        if handler is not None:
            return handler(n, args, kwargs)
        if step in _ELEMENTWISE:
            return self._elementwise(operands, n.meta["shape"])
        if step in _MOVES:
            return self._run(n, args, kwargs)
        if step in _PLACEWISE:
            return _over_places(args[0], n.meta["shape"])
        if step in _REDUCTIONS:
            return self._reduced(n, args, kwargs)
        if step in _SOFTMAX:
            return self._softmax(n, args[0])
        raise _UnknownError(f"{operation_of(n)} may mix them")

    def _plain(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        value = n.meta["value"] if n.op == "call_module" else self._run(n, args, kwargs)
        return _none(value.shape) if isinstance(value, Tensor) else value

    def _run(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        return getattr(self, n.op)(n.target, args, kwargs)

    def _fix(self, operands: Sequence[Tensor], reason: str) -> None:
        for operand in operands:
            self.ledger.fix(shapes.flat(operand), reason)

    def _stop(self, n: fx.Node, operands: Sequence[Tensor], reason: str) -> Any:
        """What enters stays; what comes out belongs to no channel."""
        self._fix(operands, reason)
        shape = n.meta["shape"]
        if isinstance(shape, list):
            return [_none(each) for each in shape]
        return n.meta["value"] if shape is None else _none(shape)

    def _parameter(self, path: str) -> Any:
        """A parameter or buffer that the code uses itself: labels along its one axis that is longer than 1."""
        value = self.fetch_attr(path)
        if not isinstance(value, Tensor):
            return value
        self.reached.add(id(value))
        long = [axis for axis, size in enumerate(value.shape) if size > 1]
        if len(long) != 1:
            return _none(value.shape)
        owner, _, name = path.rpartition(".")
        labels = self.layers.own(owner, name, long[0], value.shape[long[0]])
        return _spread(labels, long[0], tuple(value.shape))

    # -- arithmetic ---------------------------------------------------------------------------------------------------

    def _elementwise(self, operands: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
        """Labels that meet are tied; a single channel that is spread over many stays and is tied to none."""
        whole = [operand.expand(shape) for operand in operands]
        alone = [_is_spread(operand, whole, shape) for operand in operands]
        self._fix([labels for labels, single in zip(whole, alone, strict=True) if single], "they scale all of a map")
        meeting = [labels for labels, single in zip(whole, alone, strict=True) if not single]
        result = meeting[0]
        for labels in meeting[1:]:
            one, other = shapes.compact(result), shapes.compact(labels)
            self.ledger.tie(one.numpy(), other.numpy())
            result = torch.where(one == 0, other, one).expand(shape)
        return result

    def _softmax(self, n: fx.Node, labels: Tensor) -> Tensor:
        module = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        axis = getattr(module, "dim", None) if module is not None else n.kwargs.get("dim", (*n.args, None)[1])
        if not isinstance(axis, int) or shapes.varies(labels, axis % labels.dim()):
            raise _UnknownError("a softmax runs over them")
        return labels

    def _reduced(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        axes = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if axes is None or isinstance(axes, Tensor):
            raise _UnknownError(f"{operation_of(n)} runs over them")
        axes = [axes] if isinstance(axes, int) else list(axes)
        if any(shapes.varies(args[0], axis % args[0].dim()) for axis in axes):
            raise _UnknownError(f"{operation_of(n)} runs over them")
        keep = kwargs.get("keepdim", args[2] if len(args) > 2 and isinstance(args[2], bool) else False)
        value = args[0]
        for axis in sorted((axis % args[0].dim() for axis in axes), reverse=True):
            value = value.narrow(axis, 0, 1) if keep else value.select(axis, 0)
        return [value, value] if isinstance(n.meta["shape"], list) else value

    # -- functions that read a module's weights -----------------------------------------------------------------------

    def _weighted(self, n: fx.Node, args: Any, kwargs: Any) -> Tensor:  # noqa: ARG002
        """A layer whose own ``forward`` calls the function with its weight."""
        weight = n.kwargs.get("weight", (*n.args, None)[1])
        if not isinstance(weight, fx.Node) or weight.op != "get_attr":
            raise _UnknownError(f"{operation_of(n)} reads them by weights that are no layer's own")
        path, _, name = str(weight.target).rpartition(".")
        module = self.model.get_submodule(path)
        if name != "weight" or not self.layers.knows(module):
            raise _UnknownError(f"{operation_of(n)} reads them by weights that are no layer's own")
        return self.layers(path, module, args[0], n.meta["shape"])

    _linear = _conv1d = _conv2d = _conv3d = _weighted

    def _batchnorm(self, n: fx.Node, args: Any, kwargs: Any) -> Tensor:
        labels: Tensor = args[0]
        tensors = [part for part in (*args[1:], *kwargs.values()) if isinstance(part, Tensor)]
        columns = [part.reshape(1, -1, *[1] * (labels.dim() - 2)) for part in tensors]
        return self._elementwise([labels, *columns], n.meta["shape"])

    def _instancenorm(self, n: fx.Node, args: Any, kwargs: Any) -> Tensor:
        return self._batchnorm(n, args, kwargs)

    def _layernorm(self, n: fx.Node, args: Any, kwargs: Any) -> Tensor:
        names = ("input", "normalized_shape", "weight", "bias")
        given = dict(zip(names, n.args, strict=False)) | n.kwargs
        sizes = kwargs.get("normalized_shape", (*args, None)[1])
        weight = given.get("weight")
        if not isinstance(weight, fx.Node) or weight.op != "get_attr" or len(sizes) != 1:
            raise _UnknownError("a norm without weights runs over them")
        shapes.reshaped(self.ledger, args[0], args[0], [-1] * (args[0].dim() - 1) + list(sizes))
        owner, _, name = str(weight.target).rpartition(".")
        self.ledger.across.add((owner, name))
        tensors = [part for part in (*args[1:], *kwargs.values()) if isinstance(part, Tensor)]
        return self._elementwise([args[0], *tensors], n.meta["shape"])

    # -- operations that move values and name sizes -------------------------------------------------------------------

    def _view(self, n: fx.Node, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        labels, sizes = args[0], _numbers(args[1:] or tuple(kwargs.values()))
        if sizes is None:
            raise _UnknownError("a view by type")
        after = labels.reshape([int(size) for size in sizes])
        shapes.reshaped(self.ledger, labels, after, sizes)
        return after

    _reshape = _view

    def _unflatten(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        after = self._run(n, args, kwargs)
        if n.op == "call_module":
            module = self.fetch_attr(str(n.target))
            axis, parts = module.dim, module.unflattened_size
        else:
            axis, parts = args[1], args[2]
        axis %= args[0].dim()
        rest = after.dim() - axis - len(parts)
        shapes.reshaped(self.ledger, args[0], after, [-1] * axis + list(parts) + [-1] * rest)
        return after

    def _expand(self, n: fx.Node, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        labels, sizes = args[0], _numbers(args[1:])
        assert sizes is not None
        for axis, size in enumerate(labels.shape, start=len(sizes) - labels.dim()):
            if size == int(sizes[axis]):
                shapes.reshaped(self.ledger, labels, labels, _only(labels, axis - len(sizes), sizes[axis]))
        return labels.expand([int(size) for size in sizes])

    def _chunk(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        axis = kwargs.get("dim", args[2] if len(args) > 2 else 0)
        shapes.pieces(self.ledger, args[0], axis % args[0].dim(), kwargs.get("chunks", (*args, None)[1]), number=True)
        return self._run(n, args, kwargs)

    def _split(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        sizes = next((kwargs[key] for key in kwargs if key.startswith("split")), (*args, None)[1])
        axis = kwargs.get("dim", args[2] if len(args) > 2 else 0)
        shapes.pieces(self.ledger, args[0], axis % args[0].dim(), sizes)
        return self._run(n, args, kwargs)

    def _unbind(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        if shapes.varies(args[0], axis % args[0].dim()):
            raise _UnknownError("unbind takes them apart")
        return self._run(n, args, kwargs)

    def _roll(self, n: fx.Node, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        axes = kwargs.get("dims", (*args, None, None)[2])
        axes = [axes] if isinstance(axes, int) else list(axes)
        if any(shapes.varies(args[0], axis % args[0].dim()) for axis in axes):
            raise _UnknownError("roll moves them around")
        return args[0]

    def _pad(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        """Padding of places changes no channel; padding of channels adds some that belong to nobody."""
        widths = [int(width) for width in kwargs.get("pad", (*args, None)[1])]
        labels: Tensor = args[0]
        if len(widths) > 4:  # the last two axes, two sides each
            labels = torch.nn.functional.pad(labels, [0, 0, 0, 0, *widths[4:]])
        return _over_places(labels, n.meta["shape"])

    def _getitem(self, n: fx.Node, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        labels, index = args
        if not isinstance(labels, Tensor):
            return labels[index]
        parts = list(index) if isinstance(index, tuple) else [index]
        if any(isinstance(part, Tensor | list) for part in parts):
            raise _UnknownError("an index takes them one by one")
        missing = labels.dim() - sum(part is not None and part is not Ellipsis for part in parts)
        where = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
        full = [*parts[:where], *[slice(None)] * missing, *parts[where + 1 :]]
        axis = 0
        for part in full:
            if part is None:
                continue
            self._cut(labels, axis, part)
            axis += 1
        return labels[tuple(_whole(part) for part in full)]

    def _cut(self, labels: Tensor, axis: int, part: Any) -> None:
        if isinstance(part, int):
            shapes.boundary(self.ledger, labels, axis, int(part) if part < 0 else int(part) + 1)
            if part == labels.shape[axis] - 1 and shapes.varies(labels, axis):
                raise _UnknownError("an index takes them one by one")
        elif part.step not in (None, 1):
            if shapes.varies(labels, axis):
                raise _UnknownError("a slice skips some of them")
        else:
            shapes.boundary(self.ledger, labels, axis, part.start)
            shapes.boundary(self.ledger, labels, axis, part.stop)

    def _cat(self, n: fx.Node, args: Any, kwargs: Any) -> Tensor:  # noqa: ARG002
        parts = kwargs.get("tensors", args[0] if args else None)
        axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
        assert parts is not None
        return torch.cat(shapes.joined(self.ledger, parts, axis), axis)

    _concat = _concatenate = _cat

    def _stack(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        shapes.stacked(self.ledger, kwargs.get("tensors", args[0] if args else None))
        return self._run(n, args, kwargs)

    # -- sizes --------------------------------------------------------------------------------------------------------

    def _getattr(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        if args[1] == "shape":
            return _counts(args[0])
        return self._run(n, args, kwargs)

    def _size(self, n: fx.Node, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        counts = _counts(args[0])
        axis = kwargs.get("dim", args[1] if len(args) > 1 else None)
        return counts if axis is None else counts[axis]

    def _dim(self, n: fx.Node, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        return args[0].dim()

    def _eq(self, n: fx.Node, args: Any, kwargs: Any) -> Any:
        if any(isinstance(part, Tensor) for part in args):
            raise _UnknownError("they are compared")
        return self._run(n, args, kwargs)


class _UnknownError(Exception):
    """Why labels end here."""


def _none(shape: Sequence[int]) -> Tensor:
    """A value that belongs to no channel."""
    return torch.zeros((), dtype=torch.int64).expand(tuple(shape))


def _spread(labels: Labels, axis: int, shape: tuple[int, ...]) -> Tensor:
    """``labels`` along ``axis`` of a value of ``shape``."""
    line = [1] * len(shape)
    line[axis] = -1
    return torch.from_numpy(labels).reshape(line).expand(shape)


def _is_spread(operand: Tensor, others: Sequence[Tensor], shape: tuple[int, ...]) -> bool:
    """Whether one entry of ``operand`` meets several channels of another operand."""
    missing = len(shape) - operand.dim()
    short = [axis for axis in range(len(shape)) if axis < missing or operand.shape[axis - missing] < shape[axis]]
    return any(shapes.varies(other, axis) for other in others for axis in short)


def _over_places(labels: Tensor, shape: Any) -> Tensor:
    """The result of a step that mixes rows and columns alone."""
    places = len(shape) - 2
    if labels.dim() != len(shape) or places < 1 or tuple(labels.shape[:2]) != tuple(shape[:2]):
        raise _UnknownError("a step over places changes their number")
    for axis in range(2, len(shape)):
        if shapes.varies(labels, axis):
            raise _UnknownError("they lie where places are expected")
        labels = labels.narrow(axis, 0, 1)
    return labels.expand(tuple(shape))


def _counts(labels: Tensor) -> tuple[int, ...]:
    found: list[int] = []
    for axis, size in enumerate(labels.shape):
        row = shapes.compact(labels, (axis,)).movedim(axis, 0).flatten(1)[:, 0].numpy()
        found.append(Count(size, Measured(row.copy())) if size > 1 and shapes.varies(labels, axis) else size)
    return tuple(found)


def _tensors(argument: Any) -> Iterator[Tensor]:
    if isinstance(argument, Tensor):
        yield argument
    elif isinstance(argument, tuple | list):
        for part in argument:
            yield from _tensors(part)
    elif isinstance(argument, dict):
        for part in argument.values():
            yield from _tensors(part)


def _numbers(arguments: Sequence[Any]) -> list[int] | None:
    """Sizes given as one sequence or one by one."""
    sizes = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], tuple | list) else arguments
    return list(sizes) if all(isinstance(size, int) for size in sizes) else None


def _only(labels: Tensor, axis: int, size: int) -> list[int]:
    sizes = [-1] * labels.dim()
    sizes[axis] = size
    return sizes


def _whole(part: Any) -> Any:
    if isinstance(part, slice):
        return slice(*(None if edge is None else int(edge) for edge in (part.start, part.stop, part.step)))
    return int(part) if isinstance(part, int) else part


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, tuple | list) and value and all(isinstance(part, Tensor) for part in value):
        return [tuple(part.shape) for part in value]
    return None
