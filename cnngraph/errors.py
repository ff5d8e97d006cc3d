"""Every error that cnngraph raises on purpose, and the exit code that each one gives the command line.

    CnngraphError            1  failed, also a thing that is there but unusable
    ├── UsageError           2  wrong on the command line itself, found before any look-up
    ├── NotFoundError        3  a named model, layer, data set, query, profile or file is not there
    ├── DatabaseError        4  the database is unreachable or refuses
    ├── VerificationError    5  a rebuilt net is not what the plan says
    ├── TraceError           1  a network that cannot be followed
    ├── SpecError            1  a Network (in memory, in a bundle, in the database) that contradicts itself
    ├── ModelError           1  a model or weights file that is there but unusable
    ├── DataError            1  a data set that is there but unusable
    ├── PlanError            1  a plan that cannot be made or carried out
    └── ConflictError        1  the thing exists with other content, or somebody else holds it

The message is one line that says what is wrong; ``hint`` is one line that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CnngraphError",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "ModelError",
    "NotFoundError",
    "PlanError",
    "SpecError",
    "TraceError",
    "UsageError",
    "VerificationError",
    "nearest",
]


class CnngraphError(Exception):
    """Root of the tree; ``message`` says what is wrong, ``hint`` (may be empty) what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(CnngraphError):
    """Wrong on the command line itself: unknown method or measure, a value out of range."""

    exit_code = 2


class NotFoundError(CnngraphError):
    """Something was named that is not there."""

    exit_code = 3


class DatabaseError(CnngraphError):
    """The database cannot be reached, refuses, or lacks what the command needs."""

    exit_code = 4


class VerificationError(CnngraphError):
    """The rebuilt net failed its proof; nothing was stored."""

    exit_code = 5


class TraceError(CnngraphError):
    """The net cannot be followed; the message names the line of the user's code."""


class SpecError(CnngraphError):
    """A Network contradicts itself; the message names table, column and row."""


class ModelError(CnngraphError):
    """A model or weights file is there but unusable."""


class DataError(CnngraphError):
    """A data set is there but unusable."""


class PlanError(CnngraphError):
    """A plan cannot be made, or does not fit the net that it is applied to."""


class ConflictError(CnngraphError):
    """The name exists with other content, or another writer holds it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence 'Did you mean ...?' for a misspelt name, or the list of what is known.

    >>> nearest("degre", ["degree", "entropy"])
    'Did you mean degree?'
    >>> nearest("x", ["degree", "entropy"])
    'Known: degree, entropy.'
    """
    names = sorted(set(known))  # a module that is called twice is one name
    begun = [other for other in names if len(name) > 2 and other.startswith(name)]
    close = (begun or get_close_matches(name, names, n=3, cutoff=0.6))[:3]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if not names:
        return "There are none."
    shown = ", ".join(names[:20])
    return f"Known: {shown}{', ...' if len(names) > 20 else ''}."
