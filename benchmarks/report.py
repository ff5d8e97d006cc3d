"""Where benchmarks keep what they measured, and how it gets into ``docs/results.md``.

A benchmark that takes long appends one JSON line a finding to ``benchmarks/results/NAME.jsonl`` and skips what is
there, so that it can be interrupted and taken up again. Its table stands in ``docs/results.md`` between two markers;
what a person changed there is never overwritten without being kept and said.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "RESULTS",
    "Findings",
    "machine",
    "machine_in_words",
    "markdown",
    "peak_megabytes",
    "read_section",
    "write_result",
    "write_section",
]

RESULTS = Path(__file__).resolve().parent / "results"
_PAGE = Path(__file__).resolve().parent.parent / "docs" / "results.md"
_PACKAGES = ("cnngraph", "torch", "torchvision", "timm", "torch-pruning", "onnxruntime")


def machine() -> dict[str, Any]:
    """The processor, the load, and the versions that a figure belongs to."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def machine_in_words(known: Mapping[str, Any]) -> str:
    """What a page says of a :func:`machine`.

    >>> machine_in_words({"processor": "AMD EPYC", "threads": 1, "date": "2026-11-29"})
    'AMD EPYC, 1 thread, 2026-11-29'
    """
    return f"{known['processor']}, {known['threads']} thread, {known['date']}"


def peak_megabytes() -> float:
    """The most memory that the process has had so far."""
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _processor() -> str:
    source = Path("/proc/cpuinfo")
    lines = source.read_text(encoding="utf-8").splitlines() if source.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Findings:
    """Findings by key in a JSON-lines file; the later of two with one key holds.

    Args:
        name: of the file in ``benchmarks/results``. keys: the fields that make up the key.
    """

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        self.path, self.keys = RESULTS / f"{name}.jsonl", tuple(keys)
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        self._rows = {self._key(row): row for row in map(json.loads, lines)}

    def _key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[key] for key in self.keys)

    def get(self, *key: Any) -> dict[str, Any] | None:
        """The finding with this key, or ``None``."""
        return self._rows.get(key)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a finding, at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._rows[self._key(row)] = row

    def all(self) -> list[dict[str, Any]]:
        """Every finding, in the order in which they were found first."""
        return list(self._rows.values())


def write_result(name: str, result: dict[str, Any]) -> None:
    """Write ``benchmarks/results/NAME.json``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table: the first column text, the others right-aligned."""
    lines = [f"| {' | '.join(header)} |", "|---" + "|--:" * (len(header) - 1) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)


def write_section(name: str, text: str, page: Path = _PAGE) -> Path | None:
    """Put ``text`` between the markers of ``name`` in a page (``docs/results.md``); everything else there stays.

    The end marker keeps a hash of what was written. What a person has changed since between the markers, or what no
    hash vouches for, is kept in a file beside the page, and that is said.

    Returns:
        the file with what stood there, where that was kept.

    Raises:
        ValueError: the page has no such markers, or more than one pair.
    """
    known = page.read_text(encoding="utf-8")
    found = _find_section(name, known, page)
    old, new = found["text"].strip(), text.strip()
    kept = None
    if old and _hash_text(old) not in (found["hash"], _hash_text(new)):
        kept = page.with_name(f"{page.stem}.{name.replace('/', '-')}.edited-{_hash_text(old)}.txt")
        kept.write_text(f"{old}\n", encoding="utf-8")
        edited = "was" if found["hash"] else "may have been"  # without a hash it cannot be known
        print(
            f"{page.name}: the section {name} {edited} edited by hand since it was written. What stood there is kept "
            f"in {kept}. It is written anew all the same: put what is yours outside the markers.",
            file=sys.stderr,
        )
    body = f"{found['begin']}\n\n{new}\n\n<!-- end of {name}, {_hash_text(new)} -->"
    page.write_text(f"{known[: found.start()]}{body}{known[found.end() :]}", encoding="utf-8")
    return kept


def read_section(name: str, page: Path = _PAGE) -> str:
    """What stands between the markers of ``name``; raises as :func:`write_section`."""
    return _find_section(name, page.read_text(encoding="utf-8"), page)["text"].strip()


def _find_section(name: str, text: str, page: Path) -> re.Match[str]:
    """Groups ``begin`` (its marker), ``text`` and ``hash`` (``None`` in a section of an older version)."""
    begin = f"<!-- {re.escape(name)}: written by benchmarks/{re.escape(name)}\\.py -->"
    end = f"<!-- end of {re.escape(name)}(?:, (?P<hash>[0-9a-f]{{16}}))? -->"
    found = list(re.finditer(f"(?P<begin>{begin})(?P<text>.*?){end}", text, re.DOTALL))
    if len(found) != 1:
        raise ValueError(f"{page} has {len(found)} sections {name}, and must have one.")
    return found[0]


def _hash_text(text: str) -> str:
    """16 hex digits; blanks at the ends of lines count for nothing, since editors take them away."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
