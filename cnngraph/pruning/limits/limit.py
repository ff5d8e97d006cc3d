"""The limits of what goes: declared once, for the command line, Python, a TOML file and the documentation.

*Bounds* say what is not exceeded: layers below a threshold, so many, such a share, so much accuracy lost. *Targets* say
what is to be reached: so much faster, so few operations. Several hold together: as far as every bound allows; as little
as reaches every target; where both were given, the targets within the bounds, or nothing at all.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnngraph.errors import NotFoundError, OptionError, nearest
from cnngraph.vocabulary import LATENCY_DEVICES, PERCENTILES, RUNTIMES

__all__ = [
    "BOUNDS",
    "COMPANIONS",
    "GENERAL",
    "LIMITS",
    "SEARCHED",
    "TARGETS",
    "TIMED",
    "Companion",
    "Limit",
    "read_limits",
]


@dataclass(frozen=True)
class Limit:
    """One limit: its option, and which values it may have.

    Attributes:
        role: ``bound`` or ``target`` (see above); ``drop`` is the bound that needs trials.
        kind: float, or int for whole numbers. least, most: the range; without its ends where not ``inclusive``.
        example: a value, for hints.
    """

    name: str
    role: Literal["bound", "drop", "target"]
    kind: type
    help: str
    example: str
    least: float = 0.0
    most: float = math.inf
    inclusive: bool = True

    def check(self, value: Any) -> Any:
        """``value`` as this limit holds it.

        Raises:
            OptionError: it is no number, or out of range.
        """
        shown = f"{{{self.name}={value:g}}}" if isinstance(value, int | float) else f"{{{self.name}={value}}}"
        hint = f"Use one such as {{{self.name}={self.example}}}."
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise OptionError(f"{shown} is no number.", hint)
        if self.kind is int and value != int(value if math.isfinite(value) else 0):
            raise OptionError(f"{shown} is no whole number.", hint)
        inside = self.least <= value <= self.most if self.inclusive else self.least < value < self.most
        if not (math.isfinite(value) and inside):
            raise OptionError(f"{shown} is out of range: {self._range}.", hint)
        return self.kind(value)

    @property
    def _range(self) -> str:
        words = ("at least", "at most") if self.inclusive else ("above", "below")
        parts = [f"{words[0]} {self.least:g}"] + ([f"{words[1]} {self.most:g}"] if math.isfinite(self.most) else [])
        return "a number " + " and ".join(parts)


LIMITS: dict[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("threshold", "bound", float, "Layers go whose theta is below it.", "0.3"),
        Limit("remove", "bound", int, "This many layers (or blocks) go, lowest score first.", "2", least=1),
        Limit("ratio", "bound", float, "This share goes, lowest score first.", "0.3", most=1, inclusive=False),
        Limit("filters", "bound", int, "This many filters of each named layer go.", "8", least=1),
        Limit(
            "max_accuracy_drop",
            "drop",
            float,
            "As many go as cost at most this much validation accuracy, in points of percent; trains on the way (car "
            "does not).",
            "1.0",
            most=100,
        ),
        Limit(
            "max_kappa_drop",
            "drop",
            float,
            "As many go as cost at most this much of Cohen's kappa on the validation images; trains on the way.",
            "0.02",
            most=2,
        ),
        Limit(
            "target_speedup",
            "target",
            float,
            "So many times faster, measured; see --latency-on, --runtime and --batch.",
            "2.0",
            least=1,
            inclusive=False,
        ),
        Limit(
            "target_latency_ms",
            "target",
            float,
            "Milliseconds that a batch may take, measured like --target-speedup.",
            "5.0",
            inclusive=False,
        ),
        Limit(
            "target_macs",
            "target",
            float,
            "The multiply-accumulates that are left: a share such as 0.5, or a count above 1.",
            "0.5",
            inclusive=False,
        ),
        Limit(
            "target_parameters",
            "target",
            float,
            "The parameters that are left: a share such as 0.5, or a count above 1.",
            "0.5",
            inclusive=False,
        ),
        Limit(
            "target_mb",
            "target",
            float,
            "Megabytes (10^6 bytes) that the weights may take, as they are saved.",
            "10",
            inclusive=False,
        ),
    )
}
BOUNDS = tuple(name for name, limit in LIMITS.items() if limit.role == "bound")
TARGETS = tuple(name for name, limit in LIMITS.items() if limit.role == "target")
# What is found by a search along the path; every method whose path can be searched takes all of them.
SEARCHED = ("max_accuracy_drop", *TARGETS)
TIMED = ("target_speedup", "target_latency_ms")


@dataclass(frozen=True)
class Companion:
    """An option that says how a limit is judged; it belongs to one of ``of``."""

    name: str
    of: tuple[str, ...]
    kind: type
    help: str
    words: tuple[Any, ...] = ()
    least: int | None = None
    most: int | None = None


COMPANIONS: dict[str, Companion] = {
    one.name: one
    for one in (
        Companion(
            "steps",
            ("max_accuracy_drop",),
            int,
            "With --max-accuracy-drop: each trial removes in this many steps, fine-tuned between (default: 1).",
            least=1,
            most=1000,
        ),
        Companion(
            "minutes",
            SEARCHED,
            float,
            "Long work begins no trial or step that would end later than this, and takes the best found so far.",
        ),
        Companion("latency_on", TARGETS, str, "cpu (default) or cuda.", LATENCY_DEVICES),
        Companion("runtime", TARGETS, str, f"What runs the net: {', '.join(RUNTIMES)} (default: eager).", RUNTIMES),
        Companion("batch", TARGETS, int, "Images a forward pass (default: 1).", least=1, most=65_536),
        Companion(
            "percentile",
            TIMED,
            int,
            "Of the passes' times: 50, the median (default), or 95, for what must be in time.",
            PERCENTILES,
        ),
        Companion(
            "latency_table",
            TIMED,
            Path,
            "Reckon by this table (layer,milliseconds) of another device instead of measuring.",
        ),
    )
}
# Options of every decision, whatever decides.
GENERAL = ("method", "limits", "keep", "init", "seed", "device", "data", "data_root")


def read_limits(path: str | Path) -> dict[str, Any]:
    """The limits (and how they are judged) that a TOML file names, a key each: ``target_macs = 0.6``.

    Raises:
        NotFoundError: there is no such file. OptionError: it is no TOML, or has a key that is no limit.
    """
    source = Path(path)
    if not source.is_file():
        raise NotFoundError(f"There is no file {source}.", "Write one: a limit a line, such as target_macs = 0.6")
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise OptionError(
            f"{source} is no TOML: {error}.", "Write a limit a line, such as target_macs = 0.6"
        ) from error
    known = {name.replace("-", "_"): value for name, value in content.items()}
    if not known:
        raise OptionError(f"{source} holds no limit.", "Write a limit a line, such as target_macs = 0.6")
    names = [*LIMITS, *COMPANIONS]
    strange = next((name for name in known if name not in names), None)
    if strange is not None:
        raise OptionError(f"{source} names {strange}, which is no limit.", nearest(strange, names))
    return known
