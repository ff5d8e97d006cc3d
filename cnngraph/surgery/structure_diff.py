"""Compare a net with what a plan gives, module by module: outputs alone do not show sizes, hooks or unused weights."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from cnngraph.surgery.execution import Execution

__all__ = ["described", "described_as", "hooks_of", "structure_diff"]

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")


def structure_diff(net: nn.Module, wanted: Execution, *, trained: bool = False) -> str:
    """The first thing in which ``net`` is not what was ``wanted``, in words, or "".

    Args:
        trained: the weights of ``net`` are its own by now, so that they are not compared.
    """
    found, expected = _with_tensors(net), _with_tensors(wanted.model)
    for path in dict.fromkeys((*expected, *found)):
        if found.get(path) != expected.get(path):
            named = path or "the net itself"
            return f"{named} is {found.get(path, 'missing')}, the plan gives {expected.get(path, 'none')}"
    fitted = None if trained else wanted.fitted
    if fitted is None:
        return ""
    own = dict(_tensors(wanted.model))
    for name, tensor in _tensors(net):
        if name.rpartition(".")[0] not in fitted and not _equal(tensor, own[name]):
            return f"{name} does not hold what the plan leaves of the user's weights"
    return ""


def hooks_of(module: nn.Module) -> tuple[dict[int, Any], ...]:
    """The hooks of a module, by kind."""
    return module._forward_hooks, module._forward_pre_hooks, module._backward_hooks


def described(net: nn.Module) -> dict[str, str]:
    """By path: each module of ``net`` (:func:`described_as`)."""
    return {path: described_as(module) for path, module in net.named_modules()}


def described_as(module: nn.Module) -> str:
    """Its class and what it says of its settings, without addresses in memory."""
    return f"{type(module).__name__}({_ADDRESS.sub('', module.extra_repr())})"


def _with_tensors(net: nn.Module) -> dict[str, str]:
    """The same with the shapes of each module's own tensors, and its hooks if there are any."""
    found = described(net)
    for path, module in net.named_modules():
        tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors)
        hooks = sum(map(len, hooks_of(module)))
        found[path] += (f" with {shapes}" if shapes else "") + (f" and {hooks} hooks" if hooks else "")
    return found


def _tensors(net: nn.Module) -> list[tuple[str, Tensor]]:
    return [*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)]


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.detach().to(other.device), other.detach())
