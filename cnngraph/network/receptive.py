"""Which rows (and columns) of its operands each row (column) of a step's value looks at.

Rows and columns are independent of each other in every step that we meet, so a receptive field is a product of two
boolean matrices ``look[out, in]``, one an axis. ``None`` stands for the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from cnngraph.network import operations
from cnngraph.network.kinds import Slide, entry_of, image_operands, kind_of, module_of, step_of, window_of

__all__ = ["Look", "Places", "compose", "identity", "locate", "stretch"]

Look = NDArray[np.bool_]
Dims = tuple[int | None, int | None]

_PADS: dict[str, Literal["reflect", "edge", "wrap"]] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
# Rows are numbered from here on while they are moved, so that no padding value is taken for a row.
_FIRST_ROW = 1_000_000
_SHOCK = 1_000.0


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
    does, kind = entry_of(node).places, kind_of(node)
    if kind in ("Conv", "Pool"):
        return _slide(node)
    if kind == "Linear":
        return _linear(node)
    if kind == "Concat":
        return _concat(node)
    if does in (operations.Places.MOVES, operations.Places.REDUCES):
        return _move(node, reduces=does is operations.Places.REDUCES)
    return _meet(node, known=does is operations.Places.MEETS or kind in ("Norm", "Activation", "Add"))


def _slide(node: fx.Node) -> Places:
    """Convolutions and pools slide over the last two dimensions."""
    operand = image_operands(node)[0]
    before, shape_in = operand.meta["places"], operand.meta["shape"]
    shape = node.meta["shape"][0] if isinstance(node.meta["shape"], list) else node.meta["shape"]
    dims = (len(shape) - 2, len(shape) - 1)
    window = window_of(node)
    looks: list[Look | None] = []
    for axis, dim in enumerate(dims):
        size, out = shape_in[dim], shape[dim]
        if before.dims[axis] != dim:  # the places were folded away, or the image was turned: nothing is known
            looks.append(_all(before.sizes[axis], out))
        elif window is not None:
            looks.append(_window(size, out, window.of(axis)))
        elif step_of(node).startswith("adaptive"):
            looks.append(_adaptive(size, out))
        else:
            looks.append(_all(size, out))
    return Places(dims, (shape[dims[0]], shape[dims[1]]), ((looks[0], looks[1]),))


@lru_cache(maxsize=256)
def _window(size: int, out: int, window: Slide) -> Look | None:
    kernel, stride, padding, dilation, mode = window
    if (kernel, stride, padding) == (1, 1, 0) and size == out:
        return None
    # Number of the row under every padded row; -1 where there is only padding, also beyond the last (ceil mode).
    after = max((out - 1) * stride + dilation * (kernel - 1) + 1 - size - padding, 0)
    rows = np.arange(size)
    if mode == "zeros":
        rows = np.pad(rows, (padding, after), constant_values=-1)
    else:
        rows = np.pad(rows, (padding, after), mode=_PADS[mode])
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
    assert isinstance(chosen, int)
    dim = chosen % len(shape)
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
        sizes_in = [operand.meta["places"].sizes for operand in operands]
        return Places((None, None), (1, 1), tuple((_all(rows), _all(columns)) for rows, columns in sizes_in))
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
        before: Places = operand.meta["places"]
        pair: list[Look | None] = []
        for axis, dim in enumerate(dims):
            if known or dim is None or before.dims[axis] is None:
                pair.append(_broadcast(before.sizes[axis], sizes[axis]))
            else:
                pair.append(_probe(node, operand, axis, dim))
        looks.append((pair[0], pair[1]))
    return Places((dims[0], dims[1]), (sizes[0], sizes[1]), tuple(looks))


def _broadcast(size: int, out: int) -> Look | None:
    return None if size == out else _all(size, out)


def _move(node: fx.Node, *, reduces: bool) -> Places:
    """Steps that move values about: row numbers are moved instead, and show which row lands where."""
    operands = image_operands(node)
    source: Places = operands[0].meta["places"]
    stays = ((None, None),) * len(operands)
    if isinstance(node.meta["shape"], list):  # the parts of a split are told apart by who takes them
        return Places(source.dims, source.sizes, stays)
    if isinstance(operands[0].meta["shape"], list) and entry_of(operands[0]).places is not operations.Places.MOVES:
        return Places(source.dims, source.sizes, stays)  # one of several results of the same step
    try:
        found = [_trail(_replay(node, axis), source, axis, reduces=reduces) for axis in (0, 1)]
    except (IndexError, RuntimeError, TypeError, ValueError):  # places that the image itself chooses, say
        return _meet(node, known=False)
    if found[0][0] is not None and found[0][0] == found[1][0]:  # rows and columns folded into one dimension
        found = [(None, _all(size)) for size in source.sizes]
    (row, look_x), (column, look_y) = found
    sizes = tuple(1 if dim is None else node.meta["shape"][dim] for dim in (row, column))
    return Places((row, column), (sizes[0], sizes[1]), ((look_x, look_y),) * len(operands))


def _replay(node: fx.Node, axis: int) -> Tensor:
    """The value of a moving step when each operand's values are the numbers of their rows (columns)."""

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
        return torch.full(shape, _FIRST_ROW, dtype=torch.float64)
    numbers = torch.arange(shape[dim], dtype=torch.float64) + _FIRST_ROW
    return numbers.reshape([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape).contiguous()


def _trail(value: Tensor, source: Places, axis: int, *, reduces: bool) -> tuple[int | None, Look | None]:
    """The dimension along which the row numbers run, and which row each of its places holds (none: padding)."""
    size, before = source.sizes[axis], source.dims[axis]
    found: dict[int, Tensor] = {}
    for dim in range(1, value.dim()):
        held = value.amax([other for other in range(value.dim()) if other != dim], keepdim=True)
        runs = bool((held != held.flatten()[0]).any()) or (dim == before and held.numel() == 1)
        if runs and bool(((value == held) | (value < _FIRST_ROW)).all()):
            found[dim] = held.flatten()
    if not found:
        one_row = not reduces and bool((value == value.flatten()[0]).all())
        look = _rows_held(value.flatten()[:1], size) if one_row else _all(size)
        return None, None if size == 1 else look
    dim = before if before is not None and before in found else min(found)
    if reduces:  # the numbers themselves may be sums; rows are either kept as they are or made one
        return dim, _broadcast(size, len(found[dim]))
    look = _rows_held(found[dim], size)
    return dim, None if np.array_equal(look, identity(size)) else look


def _rows_held(numbers: Tensor, size: int) -> Look:
    look: Look = numbers.numpy()[:, None] == np.arange(_FIRST_ROW, _FIRST_ROW + size)
    return look


def _probe(node: fx.Node, operand: fx.Node, axis: int, dim: int) -> Look:
    """Ask a step that we don't know: a shock to one row of an operand moves the rows that look at it.

    The shock is tried upwards and downwards, since a maximum hides the one and a minimum the other. A step that takes
    no such values (probabilities, say) may look everywhere.
    """
    shape, source = operand.meta["shape"], operand.meta["places"].dims[axis]
    everywhere = _all(shape[source], node.meta["shape"][dim])
    if not operand.meta["dtype"].is_floating_point:
        return everywhere
    try:
        return _shaken(node, operand, source, dim)
    except Exception:  # noqa: BLE001 (any operator, of torch or of the user, with values that it never had)
        return everywhere


def _shaken(node: fx.Node, operand: fx.Node, source: int, dim: int) -> Look:
    """The rows that move when one row of the operand does."""
    shape = operand.meta["shape"]
    look = _all(shape[source], node.meta["shape"][dim])
    others = [d for d in range(len(node.meta["shape"])) if d != dim]
    calm = _call(node, _constant)
    for row in range(shape[source]):
        moved = torch.zeros_like(calm, dtype=torch.bool)
        for shock in (_SHOCK, -_SHOCK):
            shaken = _constant(operand)
            shaken.select(source, row).add_(shock)
            moved |= _call(node, partial(_substitute, operand, shaken)) != calm
        look[:, row] = moved.amax(others).cpu().numpy()
    return look


def _substitute(operand: fx.Node, value: Tensor, node: fx.Node) -> Any:
    return value if node is operand else _constant(node)


def _constant(node: fx.Node) -> Any:
    """A stand-in for a node's value: ones of its shape, or the value itself where it is no tensor."""
    shape = node.meta.get("shape")
    if shape is None:
        return node.meta["value"]
    return torch.ones(shape, dtype=node.meta["dtype"], device=node.meta["device"])


def _call(node: fx.Node, value_of: Callable[[fx.Node], Any]) -> Any:
    args, kwargs = fx.map_arg(node.args, value_of), fx.map_arg(node.kwargs, value_of)
    module = module_of(node)
    with torch.no_grad():
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        function: Callable[..., Any] = node.target if module is None else module.forward  # type: ignore[assignment]
        return function(*args, **kwargs)
