"""What goes: measures, plans, and what layers cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cnngraph.api.opened import Opened
from cnngraph.api.options import Decision
from cnngraph.console import Progress, Quiet

if TYPE_CHECKING:
    from cnngraph.measures.measure import MeasureResult
    from cnngraph.plan import Plan

__all__ = ["Decisions"]


class Decisions(Opened):
    """Decisions about stored models; nothing is changed by them."""

    def measure(
        self,
        name: str,
        measure: str,
        *,
        aggregate: str = "mean",
        seed: int = 0,
        engine: str = "auto",
        reference: str = "median",
        progress: Progress | None = None,
    ) -> MeasureResult:
        """Compute and store one measure; see docs/measures.md for what each says."""
        from cnngraph.measures.registry import measure as run

        return run(
            self.database,
            self.key(name),
            measure,
            aggregate=aggregate,
            seed=seed,
            engine=engine,
            reference=reference,
            progress=progress or Quiet(),
        )

    def plan(
        self,
        name: str,
        *,
        data: str | None = None,
        data_root: str | Path | None = None,
        costs: bool = False,
        progress: Progress | None = None,
        **choice: Unpack[Decision],
    ) -> Plan:
        """The decision only: nothing is changed, and nothing is trained but for ``max_accuracy_drop``.

            graph.plan("mine", measure="degree", threshold=0.3)
            graph.plan("mine", ratio=0.3, score="strength")
            graph.plan("mine", remove_blocks=["layer1.0"])
            graph.plan("mine", target_speedup=2.0, runtime="onnxruntime")

        Args:
            data, data_root: images instead of those that the model was ingested with, where the decision reads any.
            costs: also measure the parameters, MACs and latency of what would be left.
            choice: see :class:`~cnngraph.api.options.Decision`.

        Raises:
            UsageError: options that do not go together, out of range, or unknown.
            NotFoundError: the model, a layer or a block is not there. PlanError: no such plan can be made.
        """
        from cnngraph.jobs.plan import plan_stored
        from cnngraph.pruning.choice import choose
        from cnngraph.sources.stored import other_data

        chosen = choose({**choice, "data": data, "data_root": data_root}, ways=("remove_layers", "remove_blocks"))
        other = other_data(data, Path(data_root) if data_root is not None else None)
        return plan_stored(self.session(progress), name, chosen, other, costs=costs)

    def latency(
        self,
        name: str,
        *,
        latency_on: str = "cpu",
        runtime: str = "eager",
        batch: int = 1,
        out: str | Path | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Milliseconds of each layer and block in its place, beside the whole net; the JSON of ``cnngraph latency``.

        Args:
            out: also write the table there, as the CSV file that ``latency_table`` of :meth:`plan` reads.

        Raises:
            UsageError: there is no such device or runtime. CnngraphError: it is not installed.
            ModelError: the model has no saved net.
        """
        from cnngraph.jobs.latency import tabulate
        from cnngraph.pruning.limits.cost_meter import Timing
        from cnngraph.sources.stored import stored

        folder = stored(self.database, name).folder
        return tabulate(folder, Timing(latency_on, runtime, batch), progress or Quiet(), Path(out) if out else None)
