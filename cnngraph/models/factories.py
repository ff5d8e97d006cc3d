"""``python:package.module:factory``: the user's own function or class that returns a net."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from cnngraph.errors import ModelError
from cnngraph.models.own_code import describe, find
from cnngraph.models.weights import require_values
from cnngraph.models.wrappers import unwrapped

__all__ = ["build"]


def build(path: str, classes: int) -> nn.Module:
    """Call the factory ``package.module:factory`` with the number of classes, or with nothing if it takes nothing.

    What it wraps in ``DataParallel`` or ``torch.compile`` is unwrapped. Modules are looked for on ``PYTHONPATH`` and in
    the current folder.

    Raises:
        UsageError: ``path`` is not of the form ``package.module:factory``.
        NotFoundError: there is no such module, or no such name in it.
        ModelError: importing or calling raised (the message names the line), the result is no ``nn.Module``, or its
            parameters have no values yet.
    """
    factory = find(path, "factory", scheme="python:")
    arguments = (classes,) if _takes_an_argument(factory) else ()
    try:
        model = factory(*arguments)
    except Exception as error:
        raise ModelError(f"python:{path} raised {describe(error)}.", "Mend the factory; it is your code.") from error
    model = unwrapped(model)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"python:{path} returned {type(model).__name__}, not a torch.nn.Module.", "Return the net itself."
        )
    require_values(model)
    return model


def _takes_an_argument(factory: Callable[..., Any]) -> bool:
    """Whether the factory can be called with one positional argument; an unreadable signature counts as yes."""
    try:
        inspect.signature(factory).bind(0)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
