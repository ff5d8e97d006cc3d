"""cnngraph: a trained convolutional network goes in; a smaller, faster, proven and explained one comes out.

What ``import cnngraph as cg`` offers is defined in :mod:`cnngraph.api` and loaded on first use, so that
``import cnngraph`` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    api = import_module("cnngraph.api")
    if name not in api.__all__:
        raise AttributeError(f"module 'cnngraph' has no attribute {name!r}")
    return getattr(api, name)
