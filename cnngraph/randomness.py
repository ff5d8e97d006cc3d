"""Random numbers that follow from a seed, and leave the person's own random state as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global random state starts from ``seed``; afterwards it is what it was, on CUDA devices too.

    Where CUDA was not used yet it is not seeded either: ``torch.manual_seed`` would do so later, over another seed.
    """
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if in_use else []):
        torch.default_generator.manual_seed(seed)
        if in_use:
            torch.cuda.manual_seed_all(seed)
        yield
