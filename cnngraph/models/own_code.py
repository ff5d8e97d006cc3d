"""``package.module:name``: a function of the user's own, and what its errors say."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from cnngraph.errors import ModelError, NotFoundError, UsageError, explain, nearest

__all__ = ["describe", "find"]

_OURS = str(Path(__file__).parent.parent)


def find(path: str, what: str, *, scheme: str = "") -> Callable[..., Any]:
    """The function or class ``package.module:name``, looked for on ``PYTHONPATH`` and in the current folder.

    Args:
        path: as typed, without its scheme.
        what, scheme: what it is meant to be (factory, trainer), and what was typed before the path; for the messages.

    Raises:
        UsageError: ``path`` is not of that form.
        NotFoundError: there is no such module, or no such name in it.
        ModelError: importing raised (the message names the line), or the name is no function or class.
    """
    module_name, colon, name = path.partition(":")
    if not (colon and name and all(part.isidentifier() for part in module_name.split("."))):
        raise UsageError(f"{scheme}{path} names no {what}.", f"Write {scheme}package.module:{what}.")
    module = _import(module_name)
    found = getattr(module, name, None)
    if found is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise NotFoundError(f"The module {module.__name__} has no {what} {name!r}.", nearest(name, known))
    if not callable(found):
        raise ModelError(f"{scheme}{path} is no function or class but {type(found).__name__}.", f"Name a {what}.")
    return found  # type: ignore[no-any-return]


def describe(error: BaseException) -> str:
    """The error with the last line of code that is not a library's: ``ValueError: text (nets.py, line 12)``."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_library(frame.filename)] or list(frames)
    text = explain(error).removeprefix(f"{type(error).__name__}: ")
    place = own[-1]
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"


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
        raise ModelError(f"Importing {name} raised {describe(error)}.", "Install what it needs.") from error
    except Exception as error:
        raise ModelError(f"Importing {name} raised {describe(error)}.", "Mend the module; it is your code.") from error


def _is_library(filename: str) -> bool:
    return filename.startswith(("<", _OURS)) or "site-packages" in filename
