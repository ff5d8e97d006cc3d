"""cnngraph: a trained convolutional network goes in; a smaller, faster, proven and explained one comes out.

What ``import cnngraph as cg`` offers is defined in :mod:`cnngraph.api` and loaded on first use, so that
``import cnngraph`` alone costs nothing. Type checkers, ``dir`` and TAB know the names at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnngraph.api import (
        METHODS,
        CnngraphError,
        Graph,
        Network,
        Plan,
        Preprocessing,
        Removal,
        Verification,
        apply,
        compare,
        connect,
        coupled,
        export,
        get_masks,
        get_preprocessing,
        keep_zeros,
        load,
        plan_filters,
        read_plan,
        reconstruct,
        save,
        score_filters,
        trace,
        verify,
        write_plan,
    )

__version__ = "0.1.0"

# The same list as that of cnngraph.api (a test holds the two together), which costs more to import than this may.
__all__ = [
    "METHODS",
    "CnngraphError",
    "Graph",
    "Network",
    "Plan",
    "Preprocessing",
    "Removal",
    "Verification",
    "__version__",
    "apply",
    "compare",
    "connect",
    "coupled",
    "export",
    "get_masks",
    "get_preprocessing",
    "keep_zeros",
    "load",
    "plan_filters",
    "read_plan",
    "reconstruct",
    "save",
    "score_filters",
    "trace",
    "verify",
    "write_plan",
]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


if not TYPE_CHECKING:  # else every misspelt name would be one of type Any

    def __getattr__(name: str) -> object:
        if name.startswith("_") or name not in __all__:
            raise AttributeError(f"module 'cnngraph' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module("cnngraph.api"), name)
