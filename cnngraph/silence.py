"""Quiet while torch exports: what it says of its own steps is not for the person, and ``--json`` has stdout alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

__all__ = ["silence"]


@contextmanager
def silence() -> Iterator[None]:
    """No warning and no word on either stream inside; errors are raised as ever. torch's logs go to stderr, too."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
