"""A net that was cut, run once on images with values: some operators refuse there what they take on fake tensors.

So does torchvision's deformable conv with its mask (0.30), and every operator of one's own whose kernel for fake
tensors says no more than the shape of the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from cnngraph.errors import CnngraphError, explain
from cnngraph.network.macs import counting
from cnngraph.network.symbolic import fake_twin, follow_symbolically, left_untouched, line_of_traceback

__all__ = ["error_of", "failure_on_images"]

_SURGERY = f"{Path(__file__).parent}{os.sep}"
_LARGE = 2 * 10**9  # multiply-accumulates for one image beyond which one must do: it takes under a second then


def failure_on_images(model: nn.Module, slim: nn.Module, shape: tuple[int, int, int]) -> str:
    """What fails on real images of ``shape`` in ``slim``, which was made of ``model``, and not in that; or "".

    In eval mode, on zeros. Both nets are left as they were.
    """
    images = 2 if _macs(slim, shape) < _LARGE else 1
    found = error_of(lambda: _run(slim, (images, *shape)))
    if found and error_of(lambda: _run(model, (images, *shape))):
        return ""
    return found


def _macs(net: nn.Module, shape: tuple[int, int, int]) -> int:
    """Of one image; 0 where the net fails."""
    try:
        return sum(node.meta["macs"] for node in follow_symbolically(net, shape).graph.nodes)
    except CnngraphError:  # what cannot be followed, or fails, is run for its operators
        with counting() as counter:
            error_of(lambda: _run_without_values(net, (1, *shape)))
        return counter.macs


def _run_without_values(net: nn.Module, shape: tuple[int, ...]) -> None:
    with left_untouched(net, training=False), fake_twin(net) as (twin, images_of), torch.no_grad():
        twin(images_of(shape))


def _run(net: nn.Module, shape: tuple[int, ...]) -> None:
    weight = next(iter(net.parameters()), torch.empty(0))
    with left_untouched(net, training=False), torch.no_grad():
        net(torch.zeros(shape, device=weight.device, dtype=weight.dtype))


def error_of(run: Callable[[], None]) -> str:
    """Where ``run`` fails in the user's code, and why; "" if it does not."""
    try:
        run()
    except Exception as error:  # noqa: BLE001 (whatever the user's code raises is the reason that is asked for)
        reason = explain(error).partition(" Hint: ")[0].rstrip(".")
        where = line_of_traceback(error.__traceback__)
        own = not where or where.startswith(_SURGERY)  # the line that runs the net is the last that is no library's
        return f"with: {reason}" if own else f"at {where}: {reason}"
    return ""
