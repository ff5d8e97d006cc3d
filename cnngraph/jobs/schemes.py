"""What is done to a block to see how critical it is: taken out or replaced by one layer, and what is trained then.

Nowak, Corso, "Deep Net Triage", arXiv 1801.04651, 2018, replace a block by one layer that starts at random or from the
block's own filters, and train it alone, the whole net, or the whole net by the answers of the parent. Ours are ``join``
and ``tuned``, without any layer in its place, and ``fitted``.
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
        summary: in words.
        replaces: whether a new layer takes the block's place; else nothing does.
        init: the weights that a training begins with, as a plan names them.
        trains: what may change in training; all else stays bit for bit.
        distils: whether it learns from the parent's answers too.
    """

    name: str
    summary: str
    replaces: bool = True
    init: Init = "least-squares"
    trains: Literal["nothing", "layer", "net"] = "net"
    distils: bool = False

    @property
    def is_trained(self) -> bool:
        """Whether there is a training."""
        return self.trains != "nothing"


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("join", "removed, the ends joined by least squares, nothing trained", replaces=False, trains="nothing"),
        Scheme("tuned", "removed and joined, then the whole net trained", replaces=False),
        Scheme("random-local", "a new layer at random, it alone trained", init="random", trains="layer"),
        Scheme("random-global", "a new layer at random, the whole net trained", init="random"),
        Scheme("parent-local", "a new layer from the block's filters, it alone trained", init="parent", trains="layer"),
        Scheme("parent-global", "a new layer from the block's filters, the whole net trained", init="parent"),
        Scheme(
            "distill", "a new layer at random, the net trained by the parent's answers", init="random", distils=True
        ),
        Scheme(
            "parent-distill", "from the block's filters, trained by the parent's answers", init="parent", distils=True
        ),
        Scheme("fitted", "a new layer fitted to the block's output by least squares, the whole net trained"),
    )
}
# Which schemes a command tries where none is named.
PRESETS = {
    "criticality": ("join", "tuned"),
    "triage": tuple(name for name, scheme in SCHEMES.items() if scheme.replaces),
}


def find_schemes(names: Sequence[str]) -> tuple[Scheme, ...]:
    """The schemes of these names, each once, in their order here.

    Raises:
        OptionError: there is none of a name.
    """
    strange = next((name for name in names if name not in SCHEMES), None)
    if strange is not None:
        raise OptionError(f"There is no scheme {strange!r}.", nearest(strange, SCHEMES))
    return tuple(scheme for name, scheme in SCHEMES.items() if name in names)
