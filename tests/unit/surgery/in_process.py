"""The proof without its new process, whose start takes seconds, for tests that look for faults of other kinds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from torch import Tensor

__all__ = ["replace_process"]


def replace_process(monkeypatch: pytest.MonkeyPatch, outputs: Callable[[Path], dict[str, Tensor]]) -> None:
    """Let ``outputs(folder)`` say what the net that is saved in ``folder`` gives."""

    class Here:
        def open(self, folder: Path) -> Callable[[], dict[str, Tensor]]:
            return lambda: outputs(folder)

    monkeypatch.setattr("cnngraph.surgery.reloading.new_process", lambda *_: nullcontext(Here()))
