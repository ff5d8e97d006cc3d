"""The methods there are: one line each. Light to import, since ``--help`` reads it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from cnngraph.errors import OptionError, nearest
from cnngraph.pruning.limits.limit import COMPANIONS, GENERAL, LIMITS
from cnngraph.pruning.method import Method, OptionField

__all__ = ["METHODS", "OPTIONS", "find_method", "register"]

# One line a method: the file of cnngraph.pruning.methods that holds it, as METHOD. Listings keep this order.
_FILES = (
    "multilayer",
    "filters",
    "random_order",
    "car",
    "progressive",
    "imp",
    "similarity",
    "review",
    "triage",
)


def register(methods: Iterable[Method]) -> tuple[dict[str, Method], dict[str, OptionField]]:
    """The methods by name, and their options by name.

    Raises:
        TypeError: two methods of one name; one that decides in no way or in two; a limit that there is not; an option
            that means one thing in one method and another in another, or that is called like a limit or a general
            option.
    """
    named: dict[str, Method] = {}
    options: dict[str, OptionField] = {}
    for method in methods:
        if method.name in named:
            raise TypeError(f"There are two methods called {method.name}")
        named[method.name] = method
        if (method.path is None) == (method.steps is None):
            raise TypeError(f"The method {method.name} needs a path, or steps between which the net is trained")
        strange = [limit for limit in method.limits if limit not in LIMITS]
        if strange:
            raise TypeError(f"The method {method.name} takes the limit {strange[0]}, which there is not")
        for one in method.fields:
            if one.name in LIMITS or one.name in COMPANIONS or one.name in GENERAL:
                raise TypeError(f"The option {one.name} of the method {method.name} is called like one of all methods")
            known = options.setdefault(one.name, one)
            if known != one:
                raise TypeError(
                    f"The option {one.name} of the method {method.name} has another type or meaning than in a method "
                    "before it: give it another name, or the same type, words, default and help"
                )
    return named, options


METHODS, OPTIONS = register(import_module(f"cnngraph.pruning.methods.{file}").METHOD for file in _FILES)


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        OptionError: there is none; the hint has the nearest.
    """
    if name not in METHODS:
        raise OptionError(f"There is no method {name!r}.", nearest(name, METHODS))
    return METHODS[name]
