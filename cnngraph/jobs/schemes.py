"""What is done to a block to see how critical it is: taken out and joined, and what is trained after that.

Our schemes, beside those of Nowak, Corso, "Deep Net Triage", arXiv 1801.04651, 2018, who replace a block by a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cnngraph.errors import OptionError, nearest
from cnngraph.plan import Init

__all__ = ["PRESETS", "SCHEMES", "Scheme", "find_schemes"]


@dataclass(frozen=True)
class Scheme:
    """One way to do without a block.

    Attributes:
        init: the weights that the training begins with, as a plan names them.
        trains: what may change in training.
        summary: in words.
    """

    name: str
    summary: str
    init: Init = "least-squares"
    trains: Literal["nothing", "net"] = "net"

    @property
    def is_trained(self) -> bool:
        """Whether there is a training."""
        return self.trains != "nothing"


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("join", "removed, the layers at the gap joined by least squares, nothing trained", trains="nothing"),
        Scheme("tuned", "removed and joined, then the whole net trained"),
    )
}
# Which schemes a command tries where none is named.
PRESETS = {"criticality": ("join", "tuned")}


def find_schemes(names: Sequence[str]) -> tuple[Scheme, ...]:
    """The schemes of these names, each once, in their order here.

    Raises:
        OptionError: there is none of a name.
    """
    strange = next((name for name in names if name not in SCHEMES), None)
    if strange is not None:
        raise OptionError(f"There is no scheme {strange!r}.", nearest(strange, SCHEMES))
    return tuple(scheme for name, scheme in SCHEMES.items() if name in names)
