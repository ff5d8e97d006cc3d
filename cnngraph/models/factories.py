"""``python:package.module:factory``: the user's own function or class that returns a net."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from cnngraph.errors import ModelError, NotFoundError, UsageError, nearest

__all__ = ["build"]


def build(path: str, classes: int) -> nn.Module:
    """Call the factory ``package.module:factory`` with the number of classes, or with nothing if it takes nothing.

    Modules are looked for on ``PYTHONPATH`` and in the current folder.

    Raises:
        UsageError: ``path`` is not of the form ``package.module:factory``.
        NotFoundError: there is no such module, or no such name in it.
        ModelError: importing or calling raised (the message names the line), or the result is no ``nn.Module``.
    """
    module_name, colon, factory_name = path.partition(":")
    if not (colon and factory_name and all(part.isidentifier() for part in module_name.split("."))):
        raise UsageError(f"python:{path} names no factory.", "Write python:package.module:factory.")
    factory = _find(_import(module_name), factory_name, path)
    arguments = (classes,) if _takes_an_argument(factory) else ()
    try:
        model = factory(*arguments)
    except Exception as error:
        raise ModelError(f"python:{path} raised {_describe(error)}.", "Mend the factory; it is your code.") from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"python:{path} returned {type(model).__name__}, not a torch.nn.Module.", "Return the net itself."
        )
    return model


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotFoundError(
                f"There is no Python module {name!r}.", "It is looked for on PYTHONPATH and in the current folder."
            ) from error
        raise ModelError(f"Importing {name} raised {_describe(error)}.", "Install what it needs.") from error
    except Exception as error:
        raise ModelError(f"Importing {name} raised {_describe(error)}.", "Mend the module; it is your code.") from error


def _find(module: ModuleType, name: str, path: str) -> Callable[..., Any]:
    factory = getattr(module, name, None)
    if factory is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise NotFoundError(f"The module {module.__name__} has no factory {name!r}.", nearest(name, known))
    if not callable(factory):
        raise ModelError(f"python:{path} is no function or class but {type(factory).__name__}.", "Name a factory.")
    return factory  # type: ignore[no-any-return]


def _takes_an_argument(factory: Callable[..., Any]) -> bool:
    """Whether the factory can be called with one positional argument; an unreadable signature counts as yes."""
    try:
        inspect.signature(factory).bind(0)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _describe(error: Exception) -> str:
    """The error with the last line of code that is not a library's: ``ValueError: text (nets.py, line 12)``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_library(frame.filename)] or list(frames)
    text = str(error).partition("\n")[0]
    place = own[-1]
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"


def _is_library(filename: str) -> bool:
    return filename.startswith("<") or "site-packages" in filename or filename == __file__
