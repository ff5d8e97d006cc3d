"""The same image in two parts, or in two classes: said when they were read, by digests of the files' bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cnngraph.datasets.images import Images

__all__ = ["ContentWatch", "compare_classes", "compare_parts"]


class ContentWatch:
    """Compares parts as soon as they were read, and tells a person what is found, each once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._compared: set[tuple[str, ...]] = set()

    def compare(self, parts: Mapping[str, Images]) -> None:
        """Look at those of ``parts`` (in the order train, validation, test) that were read whole."""
        read = {name: images for name, images in parts.items() if images.digests is not None}
        for key in [(name,) for name in read] + [(later, former) for former, later in combinations(read, 2)]:
            if key in self._compared:
                continue
            self._compared.add(key)
            name, other = key[0], key[-1]
            if name == other:
                found = compare_classes(name, read[name])
            else:
                found = compare_parts(name, other, read[name], read[other])
            if found:
                self._tell(found)


def compare_parts(name: str, other_name: str, images: Images, other: Images) -> str | None:
    """The sentence about images of one part whose content is in the other too; ``None`` where there are none."""
    assert images.digests is not None and other.digests is not None
    rows = np.flatnonzero(np.isin(images.digests, other.digests))
    if not len(rows):
        return None
    first = int(rows[0])
    twin = int(np.flatnonzero(other.digests == images.digests[first])[0])
    what = f"{len(rows):,} images of {name} have" if len(rows) > 1 else f"one image of {name} has"
    return (
        f"{what} the same content as images of {other_name}, such as {images.name(first)} and {other.name(twin)}: "
        "figures on them say too much."
    )


def compare_classes(name: str, images: Images) -> str | None:
    """The sentence about images of one part that have the same content in different classes."""
    assert images.digests is not None
    order = np.argsort(images.digests, kind="stable")
    digests, labels = images.digests[order], images.labels[order]
    starts = np.flatnonzero(np.concatenate(([True], digests[1:] != digests[:-1])))
    low, high = np.minimum.reduceat(labels, starts), np.maximum.reduceat(labels, starts)
    torn = np.flatnonzero(low != high)
    if not len(torn):
        return None
    ends = np.append(starts[1:], len(digests))
    group = order[starts[torn[0]] : ends[torn[0]]]
    one, two = int(group[0]), int(group[images.labels[group] != images.labels[group[0]]][0])
    count = int((ends - starts)[torn].sum())
    return (
        f"{count:,} images of {name} have the same content as one of another class, such as {images.name(one)} and "
        f"{images.name(two)}: one of the two labels is wrong."
    )
