"""Which classes are meant by what was typed: names, numbers, and names with commas in them."""

from __future__ import annotations

from collections.abc import Sequence

from cnngraph.errors import NotFoundError, UsageError, nearest

__all__ = ["choose_classes"]


def choose_classes(typed: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes that ``typed`` means, in the order typed.

    Each of ``typed`` holds names or numbers (from 0, in the order of ``names``), separated by commas. A name wins over
    the same text read otherwise: as a number, or as several names.

    Raises:
        UsageError: a text is empty, or one class is chosen twice. NotFoundError: there is no such class.

    >>> choose_classes(["Blast, late,0"], ["early", "Blast, late", "3"])
    ('Blast, late', 'early')
    """
    chosen: list[str] = []
    for text in typed:
        for name in _named(text, names):
            if name in chosen:
                raise UsageError(f"The class {name!r} is chosen twice.", "Name each once in --only-classes.")
            chosen.append(name)
    return tuple(chosen)


def _named(text: str, names: Sequence[str]) -> list[str]:
    """The classes in one text: from its beginning on, the longest name that has its commas in the text, or a number."""
    for whole in (text, text.strip()):
        if whole in names:
            return [whole]
    parts = text.split(",")
    found: list[str] = []
    at = 0
    while at < len(parts):
        ends = range(len(parts), at, -1)
        joined = {end: ",".join(parts[at:end]).strip() for end in ends}
        end = next((end for end in ends if joined[end] in names), at + 1)
        found.append(joined[end] if joined[end] in names else _numbered(joined[end], text, names))
        at = end
    return found


def _numbered(part: str, text: str, names: Sequence[str]) -> str:
    if not part:
        raise UsageError(f"--only-classes {text!r} names nothing at one place.", "Write names or numbers: 0,3")
    if part.isascii() and part.isdecimal():
        if int(part[:9]) < len(names) and len(part) < 10:
            return names[int(part)]
        raise NotFoundError(
            f"There is no class {part}: the data has {len(names)}, numbered from 0 to {len(names) - 1}.",
            nearest(part, names),
        )
    raise NotFoundError(f"There is no class {part!r}.", nearest(part, names))
