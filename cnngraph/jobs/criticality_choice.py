"""Which blocks are tried by which schemes, how they are trained, and how long that may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnngraph.errors import OptionError, nearest
from cnngraph.jobs.schemes import PRESETS, Scheme, find_schemes
from cnngraph.sources.stored import OtherData, other_data
from cnngraph.training.teaching import require_teaching
from cnngraph.vocabulary import DEVICES, PRECISIONS

__all__ = ["EPOCHS", "CriticalityChoice", "choose_criticality"]

EPOCHS = 5  # of each training, where nothing is said
_AUTO = "auto"
_PLAIN = ("seeds", "seed", "temperature", "alpha", "minutes", "device", "precision")


@dataclass(frozen=True)
class CriticalityChoice:
    """What was asked for, checked.

    Attributes:
        blocks: by name; none: all blocks that lie in no other one.
        recipe: epochs, batch_size and learning_rate, as far as they were said.
        seeds: how many trials of each block and scheme; the first has the seed ``seed``, the next one more.
        temperature, alpha: of the schemes that distil.
        minutes: no trial is begun that would end later.
        data: instead of the data that the model was ingested with.
    """

    schemes: tuple[Scheme, ...]
    blocks: tuple[str, ...] = ()
    recipe: Mapping[str, int | float | None] = field(default_factory=dict)
    seeds: int = 1
    seed: int = 0
    temperature: float = 4.0
    alpha: float = 0.9
    minutes: float | None = None
    device: str = "auto"
    precision: str = "auto"
    data: OtherData = field(default_factory=OtherData)

    def __post_init__(self) -> None:
        """Raise OptionError for a value out of range."""
        for name, value in (("seeds", self.seeds), *self.recipe.items()):
            if value is not None and not value > 0:
                raise OptionError(f"{{{name}={value}}} is out of range.", "Give more than 0.")
        if self.minutes is not None and not self.minutes > 0:
            raise OptionError(f"{{minutes={self.minutes}}} is out of range.", "Give more than 0.")
        require_teaching(self.temperature, self.alpha)
        if self.device not in DEVICES:
            raise OptionError(f"There is no device {self.device!r}.", nearest(self.device, DEVICES))
        if self.precision not in PRECISIONS:
            raise OptionError(f"There is no precision {self.precision!r} here.", f"Known: {', '.join(PRECISIONS)}.")


def choose_criticality(said: Mapping[str, Any], *, preset: str = "criticality") -> CriticalityChoice:
    """What was said, by name, checked; ``None`` is as good as left out. Nothing is looked up.

    Args:
        preset: whose schemes are tried where none is named.

    Raises:
        OptionError: an unknown scheme, or a value out of range.
    """
    known = {name: value for name, value in said.items() if value is not None}
    blocks = tuple(dict.fromkeys(known.get("blocks", ())))
    if _AUTO in blocks and len(blocks) > 1:
        raise OptionError("{blocks=auto} are all blocks already.", "Name blocks, or say auto alone.")
    recipe = {"epochs": EPOCHS} | {
        name: known[name] for name in ("epochs", "batch_size", "learning_rate") if name in known
    }
    plain = {name: known[name] for name in _PLAIN if name in known}
    return CriticalityChoice(
        find_schemes(known.get("schemes", PRESETS[preset])),
        () if blocks == (_AUTO,) else blocks,
        recipe,
        data=other_data(known.get("data"), known.get("data_root")),
        **plain,
    )
