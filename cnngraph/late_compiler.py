"""Import torchvision, or what needs it, without the compiler of torch, which it asks for one small function.

``torchvision.ops.roi_align`` (0.30) imports ``torch._dynamo.utils`` for ``is_compile_supported``, which it calls when a
region is pooled. Behind that lie torch's compiler, Triton and SymPy: as long to import as torch itself. While
torchvision is imported the two modules are placeholders, which become the real ones as soon as anything is asked of
them; afterwards they are gone, so that whoever imports the compiler gets it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["import_without_compiler"]

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


def import_without_compiler(module: str) -> ModuleType:
    """A module of torchvision or timm, by its full name, as ``importlib.import_module`` gives it.

    Raises:
        ImportError: there is none.
    """
    if "torchvision" in sys.modules or _COMPILER[0] in sys.modules:
        return import_module(module)
    import torch  # noqa: F401 (before the placeholders: it may look at its own modules)

    with _later():
        return import_module(module)


class _Later(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and (self.__name__, name) != (_COMPILER[0], "__path__"):
            raise AttributeError(name)  # what the import system and inspect look for; the path: a part is imported
        _forget()
        return getattr(import_module(self.__name__), name)


def _is_compile_supported(device_type: Any) -> Any:
    """What torch says; the function that torchvision keeps."""
    return import_module(_COMPILER[1]).is_compile_supported(device_type)


@contextmanager
def _later() -> Iterator[None]:
    placeholders = {name: _Later(name) for name in _COMPILER}
    setattr(placeholders[_COMPILER[1]], "is_compile_supported", _is_compile_supported)  # noqa: B010
    sys.modules.update(placeholders)
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    """Take the placeholders away, as far as they are still there."""
    for name in _COMPILER:
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]
