"""What a method may read to decide; each part is opened when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress, Quiet
from cnngraph.errors import NotFoundError, PlanError, nearest
from cnngraph.plan import Init, Plan
from cnngraph.pruning.limits.time_budget import TimeBudget

if TYPE_CHECKING:
    from cnngraph.database.connection import Database
    from cnngraph.datasets.images import Loader
    from cnngraph.network.graph import LayerGraph
    from cnngraph.surgery.channels.coupling import Coupling
    from cnngraph.surgery.saved import Saved

__all__ = ["Context", "Images"]

_IMAGES, _LARGEST_MAP = 256, 2**28  # of one run: images at most, bytes of a map of all of them


@dataclass(frozen=True)
class Images:
    """Batches of (images, labels), and how many classes there are.

    Attributes:
        taken_from: which images they are, in words.
    """

    batches: Loader
    classes: int
    taken_from: str = ""


def _no_images(part: str) -> Images:
    raise PlanError(f"This is judged on {part} images, and there are none here.", "Name them: {data}.")


@dataclass
class Context:
    """One net, as a method may read it.

    Attributes:
        model: its key in the database, ``owner/name``; "" where it is in none. architecture: as plans name it.
        open_saved: its saved net; raises ModelError where it has none.
        open_images: training images in random order. open_judged: those of a part (``validation`` or ``train``) on
            which a decision is judged, in a fixed order.
        budget: how long a decision may take. state: the file in which an interrupted one of these inputs left what it
            had found; ``None``: nothing is kept.
        open_database: ``None`` where the decision is made without one.
        try_blocks: finds out and stores there what the blocks are worth; ``None``: nobody does that here.
        has_net: whether there is a saved net (an imported network has none).
        searching: whether a limit needs the path itself, not only its end. max_accuracy_drop: that limit, in points.
            max_kappa_drop: that limit.
        other_data: whether other data were named than the model was ingested with.
        keep: layers that must stay, with the reason. init, seed, device: as everywhere.
    """

    model: str
    architecture: str
    open_saved: Callable[[], Saved]
    open_images: Callable[[], Images]
    open_judged: Callable[[str], Images] = field(default=_no_images)
    open_database: Database | None = None
    try_blocks: Callable[[], None] | None = None
    has_net: bool = True
    searching: bool = False
    max_accuracy_drop: float | None = None
    max_kappa_drop: float | None = None
    other_data: bool = False
    keep: Mapping[str, str] = field(default_factory=dict)
    init: Init = "least-squares"
    seed: int = 0
    device: str = "auto"
    progress: Progress = field(default_factory=Quiet)
    budget: TimeBudget = field(default_factory=TimeBudget)
    state: Callable[[str, Mapping[str, Any]], Path] | None = None

    @property
    def database(self) -> Database:
        """Where the graph of the model is.

        Raises:
            PlanError: the decision is made without a database.
        """
        if self.open_database is None:
            raise PlanError("This is decided by the graph, and there is no database here.", "Ingest the model first.")
        return self.open_database

    def empty_plan(self, method: str, **settings: Any) -> Plan:
        """A plan of this net by ``method`` that removes nothing yet."""
        return Plan(model=self.model, architecture=self.architecture, method=method, init=self.init, settings=settings)

    @cached_property
    def saved(self) -> Saved:
        """The saved net."""
        return self.open_saved()

    @cached_property
    def graph(self) -> LayerGraph:
        """The layers of the net."""
        return self.saved.followed.graph

    @cached_property
    def batch(self) -> int:
        """Images of one run: as many as keep its largest map small."""
        layers = self.graph.layers
        largest = max((one.out_channels or 1) * (one.out_height or 1) * (one.out_width or 1) for one in layers)
        return int(max(1, min(_IMAGES, _LARGEST_MAP // (4 * largest))))

    @cached_property
    def coupling(self) -> Coupling:
        """Which channels go together; the groups with a channel of a layer to keep are fixed."""
        from cnngraph.surgery.channels.coupling import coupled

        self.progress.start("Finding the filters that go together")
        return self.saved.followed.view("coupling", coupled).keeping(self.keep)

    @cached_property
    def images(self) -> Images:
        """Training images."""
        return self.open_images()

    @cached_property
    def stays(self) -> dict[str, str]:
        """The layers that cannot go by themselves, with the reason, and those to keep."""
        from cnngraph.surgery.check import removable

        return {layer: reason for layer, reason in removable(self.graph).items() if reason} | dict(self.keep)

    def require_feature_maps(self) -> None:
        """Return if the graph, where there is one, can say which filters go; raises PlanError where it cannot."""
        if self.open_database is not None:
            from cnngraph.measures.database_scores import ranked_sizes
            from cnngraph.measures.registry import MEASURES

            ranked_sizes(self.open_database, self.model, MEASURES["magnitude"])

    def require_known(self) -> None:
        """Return if every layer to keep is there; raises NotFoundError with the nearest names."""
        if not self.keep or not self.has_net:
            return
        names = [layer.layer for layer in self.graph.layers]
        strange = next((layer for layer in self.keep if layer not in names), None)
        if strange is not None:
            raise NotFoundError(f"There is no layer {strange!r} to keep.", nearest(strange, names))
