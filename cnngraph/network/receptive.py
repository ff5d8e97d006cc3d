"""Which rows (and columns) of its operands each row (column) of a step's value looks at.

Rows and columns are independent of each other in every step that we meet, so a receptive field is a product of two
boolean matrices ``look[out, in]``, one an axis. ``None`` stands for the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from cnngraph.network.kinds import Slide, image_operands, kind_of, module_of, step_of, window_of

__all__ = ["Look", "Places", "compose", "identity", "locate", "stretch"]

Look = NDArray[np.bool_]
Dims = tuple[int | None, int | None]

_PADS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
# Steps that only move values about: where a value came from is read off by moving row numbers instead of values.
_MOVES = frozenset(
    ["view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "squeeze", "unsqueeze", "getitem", "contiguous", "expand", "expandas", "repeat", "repeatinterleave", "chunk", "split", "tensorsplit", "narrow", "select", "flip", "roll", "pad", "zeropad2d", "constantpad2d", "reflectionpad2d", "replicationpad2d", "circularpad2d", "pixelshuffle", "pixelunshuffle", "channelshuffle", "nativechannelshuffle", "stack"]
)
_REDUCTIONS = frozenset({"mean", "sum", "amax", "amin", "std", "var"})
_PER_PLACE = frozenset(
    ["identity", "dropout", "dropout1d", "dropout2d", "alphadropout", "featuredropout", "featurealphadropout", "stochasticdepth", "mul", "sub", "div", "truediv", "add", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "pow", "square", "clamp", "clip", "maximum", "minimum", "clone", "detach", "to", "float", "double", "half", "bfloat16", "typeas", "where", "sigmoid"]
)


@dataclass(frozen=True)
class Places:
    """Where the rows and columns of a step's value are, and what they look at.

    Attributes:
        dims: the dimensions of the value that hold rows and columns; ``None`` once they are folded or averaged away.
        sizes: number of rows and columns; 1 where there are none left.
        looks: for each image operand, in order, one matrix for rows and one for columns.
    """

    dims: Dims
    sizes: tuple[int, int]
    looks: tuple[tuple[Look | None, Look | None], ...]


def identity(size: int) -> Look:
    """Each place looks at itself."""
    return np.eye(size, dtype=np.bool_)


def compose(outer: Look | None, inner: Look) -> Look:
    """What a place sees through ``outer`` of a value whose places see ``inner``."""
    if outer is None:
        return inner
    inner = stretch(inner, outer.shape[1])
    return (outer.astype(np.float32) @ inner.astype(np.float32)) > 0


def stretch(look: Look, size: int) -> Look:
    """``look`` for ``size`` places: one place is repeated; places that cannot be told apart any more see all."""
    if len(look) == size:
        return look
    return np.repeat(look.any(axis=0, keepdims=True), size, axis=0)


def locate(module: fx.GraphModule) -> None:
    """Give every node ``meta["of_image"]`` and, where that holds, ``meta["places"]``."""
    for node in module.graph.nodes:
        of_image = node.op == "placeholder" or (node.meta.get("shape") is not None and bool(image_operands(node)))
        node.meta["of_image"] = of_image and node.op != "output"
        if node.meta["of_image"]:
            node.meta["places"] = _places(node)


def _places(node: fx.Node) -> Places:
    if node.op == "placeholder":
        shape = node.meta["shape"]
        return Places((2, 3), (shape[2], shape[3]), ())
    step = step_of(node)
    kind = kind_of(node)
    if kind in ("Conv", "Pool"):
        return _slide(node)
    if kind == "Linear":
        return _linear(node)
    if kind == "Concat":
        return _concat(node)
    if step in _MOVES or step in _REDUCTIONS:
        return _move(node, reduces=step in _REDUCTIONS)
    return _meet(node, known=step in _PER_PLACE or kind in ("Norm", "Activation", "Add"))


def _slide(node: fx.Node) -> Places:
    """Convolutions and pools: rows and columns are the last two dimensions."""
    operand = image_operands(node)[0]
    before, shape_in = operand.meta["places"], operand.meta["shape"]
    shape = node.meta["shape"][0] if isinstance(node.meta["shape"], list) else node.meta["shape"]
    ranks = (len(shape) - 2, len(shape) - 1)
    dims = before.dims if set(before.dims) == set(ranks) else ranks  # a transposed image stays transposed
    window = window_of(node)
    looks: list[Look | None] = []
    for dim in dims:
        side = ranks.index(dim)
        if window is not None:
            looks.append(_window(shape_in[dim], shape[dim], window.of(side)))
        elif step_of(node).startswith("adaptive"):
            looks.append(_adaptive(shape_in[dim], shape[dim]))
        else:
            looks.append(np.ones((shape[dim], shape_in[dim]), np.bool_))
    return Places((dims[0], dims[1]), (shape[dims[0]], shape[dims[1]]), ((looks[0], looks[1]),))


@lru_cache(maxsize=256)
def _window(size: int, out: int, window: Slide) -> Look | None:
    kernel, stride, padding, dilation, mode = window
    if (kernel, stride, padding) == (1, 1, 0) and size == out:
        return None
    # Number of the row under every padded row; -1 where there is only padding, also beyond the last (ceil mode).
    after = max((out - 1) * stride + dilation * (kernel - 1) + 1 - size - padding, 0)
    rows = np.arange(size)
    if mode in _PADS:
        rows = np.pad(rows, (padding, after), mode=_PADS[mode])  # type: ignore[call-overload]
    else:
        rows = np.pad(rows, (padding, after), constant_values=-1)
    seen = rows[stride * np.arange(out)[:, None] + dilation * np.arange(kernel)]
    look = np.zeros((out, size + 1), np.bool_)
    np.put_along_axis(look, seen, True, axis=1)  # -1 falls into the spare column
    return look[:, :size]


def _adaptive(size: int, out: int) -> Look:
    start = np.arange(out)[:, None] * size // out
    stop = -(-(np.arange(out)[:, None] + 1) * size // out)
    rows = np.arange(size)
    return (start <= rows) & (rows < stop)


def _linear(node: fx.Node) -> Places:
    """A dense layer mixes the last dimension and leaves the others."""
    operand = image_operands(node)[0]
    before = operand.meta["places"]
    last = len(node.meta["shape"]) - 1
    looks = tuple(_all(size) if dim == last else None for dim, size in zip(before.dims, before.sizes, strict=True))
    dims = tuple(None if dim == last else dim for dim in before.dims)
    sizes = tuple(1 if dim == last else size for dim, size in zip(before.dims, before.sizes, strict=True))
    return Places((dims[0], dims[1]), (sizes[0], sizes[1]), ((looks[0], looks[1]),))


def _all(size: int, out: int = 1) -> Look:
    return np.ones((out, size), np.bool_)


def _concat(node: fx.Node) -> Places:
    """Side by side: along the channels every place stays; along rows or columns each operand gets its stretch."""
    parts = node.args[0] if node.args else node.kwargs["tensors"]
    assert isinstance(parts, tuple | list)
    shape = node.meta["shape"]
    chosen = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    dim = int(chosen) % len(shape)  # type: ignore[arg-type, call-overload]
    operands = image_operands(node)
    dims = _first_dims(operands)
    looks: list[list[Look | None]] = []
    start = 0
    for part in parts:
        assert isinstance(part, fx.Node)
        stop = start + part.meta["shape"][dim]
        if part.meta["of_image"]:
            looks.append([_block(start, stop, shape[dim]) if dim == axis else None for axis in dims])
        start = stop
    sizes = [1 if axis is None else shape[axis] for axis in dims]
    return Places(dims, (sizes[0], sizes[1]), tuple((x, y) for x, y in looks))


def _block(start: int, stop: int, out: int) -> Look:
    look = np.zeros((out, stop - start), np.bool_)
    look[start:stop] = identity(stop - start)
    return look


def _first_dims(operands: list[fx.Node]) -> Dims:
    def known(axis: int) -> int | None:
        dims = (operand.meta["places"].dims[axis] for operand in operands)
        return next((dim for dim in dims if dim is not None), None)

    return known(0), known(1)


def _meet(node: fx.Node, *, known: bool) -> Places:
    """Steps whose operands meet place by place, with broadcasting; a step that is not known to do so is probed."""
    shape, operands = node.meta["shape"], image_operands(node)
    if isinstance(shape, list):
        return Places((None, None), (1, 1), tuple((_all(p.sizes[0]), _all(p.sizes[1])) for p in _places_of(operands)))
    dims: list[int | None] = []
    for axis in (0, 1):
        found: int | None = None
        for operand in operands:
            dim, rank = operand.meta["places"].dims[axis], len(operand.meta["shape"])
            same = known or rank == len(shape)
            if dim is not None and same and (found is None or operand.meta["shape"][dim] > 1):
                found = dim + len(shape) - rank
        dims.append(found)
    sizes = [1 if dim is None else shape[dim] for dim in dims]
    looks: list[tuple[Look | None, Look | None]] = []
    for operand in operands:
        pair = [
            _broadcast(operand.meta["places"].sizes[axis], sizes[axis])
            if known or dims[axis] is None or operand.meta["places"].dims[axis] is None
            else _probe(node, operand, axis, dims[axis])
            for axis in (0, 1)
        ]
        looks.append((pair[0], pair[1]))
    return Places((dims[0], dims[1]), (sizes[0], sizes[1]), tuple(looks))


def _places_of(operands: list[fx.Node]) -> list[Places]:
    return [operand.meta["places"] for operand in operands]


def _broadcast(size: int, out: int) -> Look | None:
    return None if size == out else _all(size, out)


def _move(node: fx.Node, *, reduces: bool) -> Places:
    """Steps that move values about: row numbers are moved instead, and show which row lands where."""
    operands = image_operands(node)
    source = operands[0].meta["places"]
    if isinstance(node.meta["shape"], list):  # the parts of a split are told apart by who takes them
        return Places(source.dims, source.sizes, ((None, None),) * len(operands))
    found = [_trail(_replay(node, axis), source.sizes[axis], reduces=reduces) for axis in (0, 1)]
    if found[0][0] is not None and found[0][0] == found[1][0]:  # rows and columns folded into one dimension
        found = [(None, _all(size)) for size in source.sizes]
    (row, look_x), (column, look_y) = found
    sizes = tuple(1 if dim is None else node.meta["shape"][dim] for dim in (row, column))
    return Places((row, column), (sizes[0], sizes[1]), ((look_x, look_y),) * len(operands))


def _replay(node: fx.Node, axis: int) -> Tensor:
    """The value of a moving step when each operand's values are the numbers 1, 2, ... of their rows (columns)."""

    def numbers(operand: fx.Node) -> Any:
        if not operand.meta["of_image"]:
            return _constant(operand)
        if isinstance(operand.meta["shape"], list):
            return _call(operand, numbers)
        return _numbered(operand.meta["shape"], operand.meta["places"].dims[axis])

    value: Tensor = _call(node, numbers)
    return value


def _numbered(shape: tuple[int, ...], dim: int | None) -> Tensor:
    if dim is None:
        return torch.ones(shape)
    numbers = torch.arange(1.0, shape[dim] + 1)
    return numbers.reshape([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape).contiguous()


def _trail(value: Tensor, size: int, *, reduces: bool) -> tuple[int | None, Look | None]:
    """The dimension along which the row numbers vary, and which row each of its places holds (0 is padding)."""
    varying = [d for d in range(value.dim()) if bool((value != value.narrow(d, 0, 1)).any())]
    if not varying and not reduces:
        look = np.arange(1, size + 1)[None] == float(value.flatten()[0])
        return None, None if size == 1 else look
    if len(varying) != 1 or varying[0] == 0:
        return None, None if size == 1 else _all(size)
    dim = varying[0]
    if reduces and value.shape[dim] == size:
        return dim, None
    rows = value.movedim(dim, 0).reshape(value.shape[dim], -1)[:, :1].numpy()
    look = rows == np.arange(1, size + 1)
    return dim, None if np.array_equal(look, identity(size)) else look


def _probe(node: fx.Node, operand: fx.Node, axis: int, dim: int | None) -> Look:
    """Ask a step that we don't know: a NaN in one row of an operand reaches the rows that look at it."""
    source: int = operand.meta["places"].dims[axis]
    others = [d for d in range(len(node.meta["shape"])) if d != dim]

    def ones(other: fx.Node) -> Any:
        if not other.meta["of_image"]:
            return _constant(other)
        return torch.ones(other.meta["shape"], dtype=other.meta["dtype"])

    look = np.zeros((node.meta["shape"][dim], operand.meta["places"].sizes[axis]), np.bool_)
    for row in range(look.shape[1]):
        marked = ones(operand)
        marked.select(source, row).fill_(float("nan"))
        value = _call(node, lambda other, marked=marked: marked if other is operand else ones(other))
        look[:, row] = torch.isnan(value).amax(others).numpy()
    return look


def _constant(node: fx.Node) -> Any:
    if node.meta.get("shape") is None:
        return node.meta["value"]
    return torch.ones(node.meta["shape"], dtype=node.meta["dtype"])


def _call(node: fx.Node, value_of: Callable[[fx.Node], Any]) -> Any:
    args, kwargs = fx.map_arg(node.args, value_of), fx.map_arg(node.kwargs, value_of)
    with torch.no_grad():
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        module = module_of(node)
        return (node.target if module is None else module.forward)(*args, **kwargs)  # type: ignore[operator]
