"""The least-squares join: a layer after a gap is refitted to the output that it gave before the cut.

For every join, in network order, its inputs in the net as it is by then and its old outputs (before the norm) are taken
at the same sampled places of the same images; a ridge regression between the two gives the new weights. Where an
unpadded conv is gone the maps are larger than before: places are then paired about the middle of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.console import Progress
from cnngraph.errors import CnngraphError, PlanError, explain
from cnngraph.modes import evaluation_mode
from cnngraph.network.symbolic import line_of_traceback
from cnngraph.surgery.layers.bypass import padding_before
from cnngraph.surgery.layers.least_squares import Fit, RankError, Ridge, memory_needed
from cnngraph.surgery.layers.rewrite import Join

__all__ = ["Refitted", "observed", "refit", "run_batch"]

_LEAST_ROWS = 8192
_PLACES_PER_IMAGE = 32  # neighbours tell little new: beyond it rather more images
_LEAST_IMAGES = 256
_MEMORY = 4 * 2**30  # bytes that one fit may take, and never more than half of what is free


@dataclass(frozen=True)
class Refitted:
    """What became of one join: its relative error, or ``None`` and the reason why its weights stayed."""

    join: Join
    relative_error: float | None
    reason: str = ""


@dataclass(frozen=True)
class _Task:
    """One join with the sizes of its system; ``places`` (height, width) that old and new output have in common.

    ``batches``: how many of the batches it is fitted on; a map with many places needs fewer images.
    """

    join: Join
    unknowns: int
    outputs: int
    rows_per_image: int
    batches: int
    dual: bool
    old_size: tuple[int, int]
    new_size: tuple[int, int]
    places: tuple[int, int]


def refit(
    model: nn.Module, slim: nn.Module, joins: Sequence[Join], batches: Sequence[Tensor], seed: int, progress: Progress
) -> list[Refitted]:
    """Refit every join of ``slim`` in place; ``model`` is the old net, run in eval mode and left as it was."""
    tasks: dict[str, _Task] = {}
    results: dict[str, Refitted] = {}
    for join, planned in zip(joins, _plan(model, slim, joins, batches), strict=True):
        if isinstance(planned, str):
            results[join.layer] = Refitted(join, None, planned)
        else:
            tasks[join.layer] = planned
    progress.start("Recording the old net's outputs", len(batches))
    targets = _old_outputs(model, list(tasks.values()), batches, seed, progress)
    for name, task in tasks.items():
        progress.start(f"Refitting {name}", len(batches))
        try:
            fit = _solve(slim, task, targets.pop(name), batches, seed, progress)
        except RankError as error:
            results[name] = Refitted(task.join, None, str(error))
        else:
            _write(slim.get_submodule(name), fit)
            results[name] = Refitted(task.join, fit.relative_error)
    return [results[join.layer] for join in joins]


def _plan(model: nn.Module, slim: nn.Module, joins: Sequence[Join], batches: Sequence[Tensor]) -> Iterator[_Task | str]:
    """The sizes of every join's system, seen on one batch; a string where there can be none."""
    sizes_old: dict[str, tuple[int, ...]] = {}
    sizes_new: dict[str, tuple[int, ...]] = {}
    for net, names, found in (
        (model, [join.target for join in joins], sizes_old),
        (slim, [join.layer for join in joins], sizes_new),
    ):
        with observed(net, {name: _size_recorder(name, found) for name in set(names)}):
            run_batch(net, batches[0][:2])
    for join in joins:
        if join.obstacle:
            yield join.obstacle
        elif join.layer not in sizes_new or join.target not in sizes_old:
            yield "it is not reached in eval mode"
        else:
            yield _task(join, slim.get_submodule(join.layer), sizes_old[join.target], sizes_new[join.layer], batches)


def _task(
    join: Join, layer: nn.Module, old: tuple[int, ...], new: tuple[int, ...], batches: Sequence[Tensor]
) -> _Task | str:
    if isinstance(layer, nn.Conv2d):
        unknowns = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
        outputs = layer.out_channels
        old_size, new_size = (old[2], old[3]), (new[2], new[3])
    else:
        assert isinstance(layer, nn.Linear)
        unknowns, outputs = layer.in_features, layer.out_features
        old_size, new_size = (_rows(old), 1), (_rows(new), 1)
        if old_size != new_size:
            return "its outputs are laid out otherwise than before"
    places = (min(old_size[0], new_size[0]), min(old_size[1], new_size[1]))
    wanted = max(_LEAST_ROWS, 4 * unknowns)
    rows = min(places[0] * places[1], _PLACES_PER_IMAGE)
    used, images = 0, 0
    while used < len(batches) and (images < _LEAST_IMAGES or images * rows < wanted):
        used, images = used + 1, images + len(batches[used])
    needed = memory_needed(unknowns, outputs, rows * images)
    if needed > min(_MEMORY, psutil.virtual_memory().available // 2):
        return f"its system would take {needed / 2**30:.1f} GB"
    return _Task(join, unknowns, outputs, rows, used, unknowns > rows * images, old_size, new_size, places)


def _rows(shape: tuple[int, ...]) -> int:
    rows = 1
    for side in shape[1:-1]:
        rows *= side
    return rows


def _old_outputs(
    model: nn.Module, tasks: Sequence[_Task], batches: Sequence[Tensor], seed: int, progress: Progress
) -> dict[str, list[Tensor]]:
    """By join: its targets (rows, outputs), one tensor a batch; one pass for all of them."""
    found: dict[str, list[Tensor]] = {task.join.layer: [] for task in tasks}
    number = 0

    def keep(task: _Task) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
            if len(found[task.join.layer]) == number < task.batches:
                found[task.join.layer].append(_pick(output, task, _places(task, len(output), number, seed)))

        return hook

    with observed(model, [(task.join.target, keep(task)) for task in tasks]):
        needed = max((task.batches for task in tasks), default=0)
        for number, batch in enumerate(batches[:needed]):  # noqa: B007 (read by the hooks)
            run_batch(model, batch)
            progress.advance()
    return found


def _solve(
    slim: nn.Module, task: _Task, targets: list[Tensor], batches: Sequence[Tensor], seed: int, progress: Progress
) -> Fit:
    layer = slim.get_submodule(task.join.layer)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    ridge = Ridge(task.unknowns, task.outputs, bias=layer.bias is not None, dual=task.dual)
    for number, batch in enumerate(batches[: task.batches]):
        seen: list[Tensor] = []

        def hook(_module: nn.Module, args: Any, kwargs: dict[str, Any], seen: list[Tensor] = seen) -> None:
            seen.append((*args, *kwargs.values())[0])
            raise _EnoughError

        with observed(slim, [(task.join.layer, hook)], before=True):
            run_batch(slim, batch)
        ridge.add(_patches(layer, seen[0], task, _places(task, len(batch), number, seed)), targets[number])
        progress.advance()
    return ridge.solve()


def _write(layer: nn.Module, fit: Fit) -> None:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(fit.weight.view_as(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(fit.bias)


def _places(task: _Task, images: int, batch: int, seed: int) -> Tensor:
    """Sampled places of a batch: (rows, 3) of image, row and column in the part that old and new output share."""
    height, width = task.places
    generator = torch.Generator().manual_seed(seed + crc32(f"{task.join.layer}:{batch}".encode()))
    chosen = torch.rand(images, height * width, generator=generator).argsort(dim=1)[:, : task.rows_per_image]
    image = torch.arange(images).repeat_interleave(chosen.shape[1])
    flat = chosen.flatten()
    return torch.stack([image, flat // width, flat % width], dim=1)


def _pick(output: Tensor, task: _Task, places: Tensor) -> Tensor:
    """The old outputs at ``places``: (rows, outputs)."""
    image, row, column = places.to(output.device).unbind(1)
    if output.dim() == 4 and task.old_size != (_rows(tuple(output.shape)), 1):
        top, left = _offset(task.old_size, task.places)
        picked = output[image, :, row + top, column + left]
    else:
        picked = output.reshape(len(output), -1, output.shape[-1])[image, row]
    kept = task.join.kept
    return picked.clone() if kept is None else picked[:, list(kept)]


def _offset(size: tuple[int, int], places: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - places[0]) // 2, (size[1] - places[1]) // 2


def _patches(layer: nn.Module, x: Tensor, task: _Task, places: Tensor) -> Tensor:
    """What the layer reads for its output at ``places``: (rows, unknowns)."""
    image, row, column = places.to(x.device).unbind(1)
    if isinstance(layer, nn.Linear):
        return x.reshape(len(x), -1, x.shape[-1])[image, row]
    assert isinstance(layer, nn.Conv2d)
    (top, bottom), (left, right) = padding_before(layer)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(x, (left, right, top, bottom), mode=mode)
    first, second = _offset(task.new_size, task.places)
    rows = (row + first)[:, None] * layer.stride[0] + torch.arange(
        layer.kernel_size[0], device=x.device
    ) * layer.dilation[0]
    columns = (column + second)[:, None] * layer.stride[1] + torch.arange(
        layer.kernel_size[1], device=x.device
    ) * layer.dilation[1]
    taken = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (rows, kernel, kernel, channels)
    return taken.permute(0, 3, 1, 2).flatten(1)


class _EnoughError(Exception):
    """A hook has what it wants; the rest of the forward pass is not needed."""


def run_batch(net: nn.Module, batch: Tensor) -> None:
    """Run ``net`` on a batch for what hooks see of it; raises PlanError where it fails."""
    weight = next(net.parameters())
    try:
        with torch.no_grad():
            net(batch.to(weight.device, weight.dtype))
    except _EnoughError:
        pass
    except (CnngraphError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        where = f" at {line}" if (line := line_of_traceback(error.__traceback__)) else ""
        raise PlanError(
            f"The joins cannot be fitted, the net fails{where}: {explain(error)}.",
            "Give images that the net takes, and let its forward do without what is gone.",
        ) from error


def _size_recorder(name: str, found: dict[str, tuple[int, ...]]) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
        found[name] = tuple(output.shape)

    return hook


@contextmanager
def observed(
    net: nn.Module,
    hooks: Sequence[tuple[str, Callable[..., None]]] | dict[str, Callable[..., None]],
    *,
    before: bool = False,
) -> Iterator[None]:
    """``net`` in eval mode with hooks on the named modules; afterwards both are as they were."""
    handles = []
    try:
        for name, hook in hooks.items() if isinstance(hooks, dict) else hooks:
            module = net.get_submodule(name)
            handles.append(
                module.register_forward_pre_hook(hook, with_kwargs=True)
                if before
                else module.register_forward_hook(hook)
            )
        with evaluation_mode(net):
            yield
    finally:
        for handle in handles:
            handle.remove()
