"""New models out of stored ones: pruned, adopted, rebuilt; the proof of a pruned one, and the page about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cnngraph.api.opened import Opened
from cnngraph.api.options import Decision
from cnngraph.console import Progress, Quiet
from cnngraph.errors import OptionError

if TYPE_CHECKING:
    from cnngraph.plan import Plan

__all__ = ["NewModels"]


class NewModels(Opened):
    """What is made of stored models, each with its lineage."""

    def prune(
        self,
        name: str,
        plan: Plan | str | Path | None = None,
        *,
        run: str | None = None,
        as_name: str | None = None,
        retrain: bool = True,
        control: bool = True,
        reconstruct: bool = False,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        trainer: str | None = None,
        data: str | None = None,
        data_root: str | Path | None = None,
        out: str | Path | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
        **choice: Unpack[Decision],
    ) -> dict[str, Any]:
        """Plan, rebuild, verify, retrain, evaluate, store the new model; the JSON of ``cnngraph prune``.

        The same call goes on after an interruption.

            graph.prune("mine", plan, as_name="slim")
            graph.prune("mine", ratio=0.3, retrain=False, out="slim")

        Args:
            plan: a plan, or the path of one; else ``run``, a PruningRun of the graph; else ``choice`` says what goes.
            as_name: of the new model; default: one is made. out: also write the saved model there.
            retrain, control, reconstruct: train the new net; train the unpruned one beside it; refit what read removed
                filters first. epochs, batch_size, learning_rate: of both trainings.
            trainer: ``package.module:function`` that trains instead.
            data, data_root: instead of what the model was ingested with.
            choice: see :class:`~cnngraph.api.options.Decision`; ``seed`` and ``device`` are of the training too.

        Raises:
            UsageError: options that do not go together. NotFoundError: the model, or what is to go, is not there.
            PlanError: the plan does not fit. VerificationError: the rebuilt net failed its proof; nothing was stored.
            ConflictError: ``as_name`` or ``out`` exists.
        """
        from cnngraph.jobs.prune_job import PruneJob, TrainingChoice, prune_to_graph
        from cnngraph.pruning.choice import choose
        from cnngraph.sources.stored import other_data
        from cnngraph.training.own_trainer import find_trainer

        said = {**choice, "plan": plan, "run": run, "data": data, "data_root": data_root}
        chosen = choose(said, ways=("remove_layers", "remove_blocks", "plan", "run"), needed=True, reads_data=True)
        if trainer is not None and not retrain:
            raise OptionError("{trainer} and {retrain=False} exclude each other.", "Leave out one of them.")
        training = TrainingChoice(
            retrain,
            control,
            reconstruct,
            {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate},
            find_trainer(trainer) if trainer is not None else None,
        )
        job = PruneJob(
            name,
            chosen,
            training,
            data=other_data(data, Path(data_root) if data_root is not None else None),
            as_name=as_name,
            out=Path(out) if out is not None else None,
            dry_run=dry_run,
        )
        return prune_to_graph(job, self.session(progress))[1]

    def adopt(
        self,
        name: str,
        weights: str | Path,
        *,
        as_name: str | None = None,
        data: str | None = None,
        data_root: str | Path | None = None,
        device: str = "auto",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Store weights that were trained elsewhere as a new model, checked, evaluated, with its lineage.

        Args:
            weights: a file (safetensors or a state dict), or the folder of a saved model.
            as_name: of the new model; default: NAME-adopted. data, data_root: instead of what ``name`` was ingested
                with.

        Returns:
            the JSON of ``cnngraph adopt``; the same call again writes nothing.

        Raises:
            NotFoundError: there is no such model or file. ModelError: the weights do not fit, or are the model's own.
            ConflictError: ``as_name`` is another model.
        """
        from cnngraph.jobs.adopt import adopt
        from cnngraph.settings import check_name
        from cnngraph.sources.stored import other_data

        if as_name is not None:
            check_name(as_name)
        return adopt(
            self.database,
            self.settings,
            name,
            Path(weights),
            as_name=as_name,
            data=other_data(data, Path(data_root) if data_root is not None else None),
            device=device,
            dry_run=dry_run,
            progress=progress or Quiet(),
        )

    def rebuild(
        self, name: str, out: Path, *, changed: bool = False, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Save the net whose structure and weights the graph holds (``trace(..., kernels=True)``), compared with the
        stored one; ``changed`` keeps weights that somebody changed in the graph.
        """
        from cnngraph.jobs.rebuild import rebuild_from_graph

        return rebuild_from_graph(self.database, name, Path(out), changed=changed, progress=progress)

    def verify(
        self,
        name: str,
        *,
        data: str | None = None,
        data_root: str | Path | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Prove a pruned model again, by its parent in the lineage; the JSON of ``cnngraph verify``.

        Args:
            data, data_root: whose images slim and masked net are compared on, instead of what it was ingested with.

        Raises:
            NotFoundError: there is no such model. PlanError: it was not pruned. ModelError: its saved net is not here.
        """
        from cnngraph.jobs.proof import prove
        from cnngraph.sources.stored import other_data

        other = other_data(data, Path(data_root) if data_root is not None else None)
        return prove(self.database, name, data=other, seed=seed, progress=progress or Quiet())

    def report(self, name: str, out: str | Path) -> tuple[str, Path]:
        """Write the page about a pruned model; returns its verdict and its path.

        Raises:
            NotFoundError: there is no such model, or it was not made by a prune.
        """
        from cnngraph.jobs.report import write_report

        return write_report(self.database, self.key(name), Path(out))
