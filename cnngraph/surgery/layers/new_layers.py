"""The first weights of a layer that replaces a block: at random, from the parent's filters, or fitted to its output.

``random``: He et al. 2015, and its norm starts anew. ``parent``: Nowak and Corso, "Deep Net Triage", arXiv 1801.04651,
2018, take the mean of the block's filters, rescaled to the variance of the block's output. Filters of one block differ
in shape; our choice: each conv's kernels are brought to the new layer's shape (rows and columns cut, or padded with
zeros, about the middle; channels averaged over equal shares where there are more, repeated where there are fewer), then
the mean over the convs is taken; and each output channel gets the mean and variance that the block's has on calibration
images.
``least-squares``, ours: fitted to the block's output on the same images (:mod:`cnngraph.surgery.layers.refit`). With a
norm behind it the output is what the block's last conv gave that norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.console import Progress
from cnngraph.surgery.layers.joints import Join
from cnngraph.surgery.layers.refit import observed, refit, run_batch
from cnngraph.surgery.layers.replace_block import BlockReplacement

__all__ = ["Initialised", "initialise", "mean_filter"]

_LEAST = 1e-12  # a variance below that is none


@dataclass(frozen=True)
class Initialised:
    """How a new layer starts: ``random``, ``parent`` or ``least-squares``, its relative error where it was fitted, and
    why it does not start as asked."""

    layer: str
    target: str
    init: str
    relative_error: float | None = None
    reason: str = ""


def initialise(
    model: nn.Module,
    slim: nn.Module,
    replaced: Sequence[BlockReplacement],
    init: str,
    batches: Sequence[Tensor],
    seed: int,
    progress: Progress,
) -> list[Initialised]:
    """Give the new layers of ``slim``, one after another in network order, their first weights; in place.

    Args:
        model: the net whose blocks were replaced, left as it is. init: ``random``, ``parent`` or ``least-squares``.
        batches: calibration images; without any a layer stays random.
    """
    found: list[Initialised] = []
    for one in replaced:
        if init == "random" or not batches:
            _renew_norm(slim, one)
            reason = "" if init == "random" else "no training images were given"
            found.append(Initialised(one.layer, one.target, "random", None, reason))
        elif init == "parent":
            progress.start(f"Rescaling {one.layer}", 2 * len(batches))
            found.append(_from_parent(model, slim, one, batches, progress))
        else:
            found.append(_fitted(model, slim, one, batches, seed, progress))
    return found


def mean_filter(weights: Sequence[Tensor], shape: Sequence[int], groups: Sequence[int] | None = None) -> Tensor:
    """The mean of the kernels of several convs, (outputs, inputs / groups, rows, columns) each, in one shape.

    >>> mean_filter([torch.full((2, 1, 1, 1), 3.0), torch.ones(4, 2, 3, 3)], (2, 2, 3, 3))[0, 0].tolist()
    [[0.5, 0.5, 0.5], [0.5, 2.0, 0.5], [0.5, 0.5, 0.5]]
    """
    outputs, inputs, rows, columns = shape
    total = torch.zeros(*shape, dtype=torch.float64)
    for weight, parts in zip(weights, groups or [1] * len(weights), strict=True):
        dense = _dense(weight.detach().to("cpu", torch.float64), parts)
        for axis, size in ((2, rows), (3, columns)):
            dense = _about_the_middle(dense, axis, size)
        channels = dense.permute(2, 3, 0, 1)  # what is averaged over comes last
        total += F.adaptive_avg_pool2d(channels, (outputs, inputs)).permute(2, 3, 0, 1)
    return total / len(weights)


def _dense(weight: Tensor, groups: int) -> Tensor:
    """The kernels of a grouped conv as those of one that reads all channels: zeros where it reads nothing."""
    outputs, inputs, rows, columns = weight.shape
    dense = weight.new_zeros(outputs, inputs * groups, rows, columns)
    share = outputs // groups
    for part in range(groups):
        own = slice(part * share, (part + 1) * share)
        dense[own, part * inputs : (part + 1) * inputs] = weight[own]
    return dense


def _about_the_middle(x: Tensor, axis: int, size: int) -> Tensor:
    """``x`` cut, or padded with zeros, to ``size`` along ``axis``."""
    now = x.shape[axis]
    if now > size:
        return x.narrow(axis, (now - size) // 2, size)
    before = (size - now) // 2
    pads = [0, 0, 0, 0]
    pads[2 * (3 - axis)], pads[2 * (3 - axis) + 1] = before, size - now - before
    return F.pad(x, pads)


def _from_parent(
    model: nn.Module, slim: nn.Module, one: BlockReplacement, batches: Sequence[Tensor], progress: Progress
) -> Initialised:
    conv, norm = slim.get_submodule(one.layer), _norm(slim, one)
    assert isinstance(conv, nn.Conv2d)
    old = [model.get_submodule(path) for path in one.convs]
    kernels = [module.weight for module in old if isinstance(module, nn.Conv2d)]
    mean = mean_filter(kernels, conv.weight.shape, [module.groups for module in old if isinstance(module, nn.Conv2d)])
    with torch.no_grad():
        conv.weight.copy_(mean)
        if conv.bias is not None:
            conv.bias.zero_()
    wanted, found = _moments(model, one.target, batches, progress), _moments(slim, one.layer, batches, progress)
    alive = found[1] > _LEAST
    scale = torch.where(alive, (wanted[1] / found[1].clamp(min=_LEAST)).sqrt(), torch.ones_like(found[1]))
    shift = wanted[0] - scale * found[0]
    with torch.no_grad():
        conv.weight.mul_(scale.view(-1, 1, 1, 1).to(conv.weight))
        if conv.bias is not None:
            conv.bias.copy_(shift)
            shift = torch.zeros_like(shift)
    _match(norm, one, wanted, shift)
    dead = int((~alive).sum())
    reason = f"{dead} of its {len(alive)} channels are constant, which no scale changes" if dead else ""
    return Initialised(one.layer, one.target, "parent", None, reason)


def _fitted(
    model: nn.Module,
    slim: nn.Module,
    one: BlockReplacement,
    batches: Sequence[Tensor],
    seed: int,
    progress: Progress,
) -> Initialised:
    (found,) = refit(model, slim, [Join(one.layer, one.target, first=True)], batches, seed, progress)
    if found.relative_error is None:
        _renew_norm(slim, one)
        return Initialised(one.layer, one.target, "random", None, found.reason)
    norm = _norm(slim, one)
    if norm is not None and one.renewed:
        progress.start(f"Setting {one.norm}", len(batches))
        moments = _moments(slim, one.layer, batches, progress)
        _match(norm, one, moments, torch.zeros_like(moments[0]))
    return Initialised(one.layer, one.target, "least-squares", found.relative_error)


def _norm(slim: nn.Module, one: BlockReplacement) -> nn.Module | None:
    return slim.get_submodule(one.norm) if one.norm else None


def _renew_norm(slim: nn.Module, one: BlockReplacement) -> None:
    norm = _norm(slim, one)
    if norm is not None and hasattr(norm, "reset_parameters"):
        norm.reset_parameters()  # type: ignore[operator]


def _match(norm: nn.Module | None, one: BlockReplacement, wanted: tuple[Tensor, Tensor], shift: Tensor) -> None:
    """Let a batch norm give what the block gave: what it reads has the mean ``wanted[0] - shift`` and that variance.

    A copy of the block's last norm expects the block's mean. One that is new changes nothing at first.
    """
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        return
    with torch.no_grad():
        if not one.renewed:
            norm.running_mean.sub_(shift.to(norm.running_mean))
            return
        norm.running_mean.copy_(wanted[0] - shift)
        norm.running_var.copy_(wanted[1])
        if norm.affine:
            norm.weight.copy_((wanted[1] + norm.eps).sqrt())
            norm.bias.copy_(wanted[0])


def _moments(net: nn.Module, path: str, batches: Sequence[Tensor], progress: Progress) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of what the module ``path`` gives for all images, float64 on the CPU."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())

    def add(_module: nn.Module, _args: Any, output: Tensor) -> None:
        nonlocal count, total, squares
        values = output.detach().to("cpu", torch.float64)
        count += values.numel() // values.shape[1]
        total = total + values.sum((0, 2, 3))
        squares = squares + values.square().sum((0, 2, 3))

    hooks: dict[str, Callable[..., None]] = {path: add}
    with observed(net, hooks):
        for batch in batches:
            run_batch(net, batch)
            progress.advance()
    mean = total / count
    return mean, (squares / count - mean.square()).clamp(min=0)
