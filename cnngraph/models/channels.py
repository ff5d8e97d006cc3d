"""How many channels a net of one's own reads: found by showing it images and looking at its first layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from cnngraph.errors import ModelError
from cnngraph.models.own_code import describe
from cnngraph.modes import evaluation_mode
from cnngraph.randomness import seeded

__all__ = ["read_channels"]

_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Conv1d, nn.Linear)
_USUAL = (1, 2, 4, 5, 6, 8, 10, 12, 13)  # what is tried where no layer says it


class _ReachedError(Exception):
    """The first layer with weights took what it was given: the rest of the net need not run."""


class _ReadsVolumesError(Exception):
    """The images went into a conv over volumes."""


def read_channels(model: nn.Module, name: str, size: int, typed: int | None = None) -> int:
    """The number of channels of the images of ``size`` px that ``model`` reads; 3 where it reads these and others.

    The net is run, up to its first layer with weights, on two black images with 3 channels; if it refuses them, with as
    many as its first layers read, and with a few usual numbers. Nothing of it is changed.

    Args:
        name: of the net, for the messages. typed: what a person said, which is only checked.

    Raises:
        ModelError: the net takes none of them; says what it raised.
    """
    first = typed or 3
    refusal, seen = _refusal(model, first, size)
    if refusal is None:
        return first
    others = dict.fromkeys((*seen, *_first_inputs(model), *_USUAL))
    found = next((count for count in others if count != first and _refusal(model, count, size)[0] is None), None)
    if found is not None and typed is None:
        return found
    if isinstance(refusal, _ReadsVolumesError):
        raise ModelError(f"{name} reads volumes or videos ({refusal}), not images.", "Give a net that reads images.")
    if found is not None:
        raise ModelError(
            f"{name} reads {found} channel{'s' if found > 1 else ''}, not {typed}.",
            f"Use --channels {found}, or leave it out.",
        )
    tried = f"{first} x {size} x {size}" if typed else f"{size} x {size} px, whatever their channels"
    raise ModelError(
        f"{name} cannot read images of {tried}: {describe(refusal)}.", "Say what it reads: --channels N, --size PX."
    )


def _refusal(model: nn.Module, channels: int, size: int) -> tuple[Exception | None, list[int]]:
    """What the net raises on images with so many channels (``None``: it reads them), and what the first layer with
    weights that is called reads."""
    seen: list[int] = []
    parameter = next(model.parameters(), torch.empty(0))
    images = torch.zeros(2, channels, size, size, device=parameter.device, dtype=parameter.dtype)
    try:
        with seeded(0), evaluation_mode(model), torch.no_grad(), _watched(model, seen):
            model(images)
    except _ReachedError:
        return None, seen
    except Exception as error:  # noqa: BLE001  the net is the user's own: whatever it raises, it does not read these
        return error, seen
    return None, seen


@contextmanager
def _watched(model: nn.Module, seen: list[int]) -> Iterator[None]:
    """Stop the net behind its first layer with weights, and at a conv over volumes."""

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            if inputs and getattr(inputs[0], "ndim", 5) == 4:
                raise _ReadsVolumesError(type(module).__name__)
        elif not seen:
            seen.extend(_inputs_of(module))

    def after(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        raise _ReachedError

    watched = [each for each in model.modules() if isinstance(each, (*_WEIGHTED, nn.Conv3d, nn.ConvTranspose3d))]
    hooks = [each.register_forward_pre_hook(before) for each in watched]
    hooks += [each.register_forward_hook(after) for each in watched]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _first_inputs(model: nn.Module) -> list[int]:
    """What the convs read, in the order in which they were registered; only a few of them."""
    return [count for module in model.modules() for count in _inputs_of(module) if not isinstance(module, nn.Linear)][
        :8
    ]


def _inputs_of(module: nn.Module) -> list[int]:
    count = getattr(module, "in_channels", None)
    return [count] if isinstance(count, int) and 0 < count <= 64 else []
