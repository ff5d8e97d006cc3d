"""What the trials of blocks come to: how critical each block is, by which scheme it is missed least, how soon."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cnngraph.database.criticality import CriticalityRecord
from cnngraph.jobs.criticality_blocks import Reasons, options_of_prune
from cnngraph.jobs.criticality_trial import Trial
from cnngraph.jobs.schemes import SCHEMES
from cnngraph.reporting.criticality import SHARE, find_best

if TYPE_CHECKING:
    from cnngraph.network.blocks import Block
    from cnngraph.network.followed_net import FollowedNet

__all__ = ["TrialResult", "describe", "epochs_to"]


def epochs_to(curve: Sequence[float], accuracy: float) -> int | None:
    """The first epoch with so high an accuracy; 0 is before any training, ``None`` that it is never reached.

    >>> epochs_to([0.1, 0.5, 0.9], 0.5), epochs_to([0.9], 0.5), epochs_to([0.1], 0.5)
    (1, 0, None)
    """
    return next((epoch for epoch, reached in enumerate(curve) if reached >= accuracy), None)


@dataclass(frozen=True)
class TrialResult:
    """What one trial found.

    Attributes:
        parent: ``accuracy, kappa, parameters, macs`` of the net with the block. found: the file that the trial left,
            see :func:`cnngraph.jobs.criticality_trial.run_trial`.
    """

    trial: Trial
    parent: Mapping[str, Any]
    found: Mapping[str, Any]

    @property
    def curve(self) -> list[float]:
        """Accuracy before training and after each epoch; empty where the net could not be built."""
        return list(self.found["curve"])

    @property
    def epochs_to_95(self) -> int | None:
        """After how many epochs it has 95 % of the parent's accuracy."""
        return epochs_to(self.curve, SHARE * self.parent["accuracy"])

    @property
    def words(self) -> str:
        """A sentence."""
        found, failed = self.found, self.found["failed"]
        if not self.curve:
            return f"{self.trial.words}: not built: {failed}"
        trained = f", {self.curve[0]:.2%} before training" if len(self.curve) > 1 else ""
        said = f"{self.trial.words}: validation accuracy {found['accuracy']:.2%}{trained}; {found['seconds']:.1f} s."
        return said if failed is None else f"{said} The training failed: {failed}"

    def as_json(self) -> dict[str, Any]:
        """One entry of ``schemes``."""
        names = ("accuracy", "kappa", "curve", "seconds", "failed")
        mine = {"scheme": self.trial.scheme.name, "seed": self.trial.seed, "epochs_to_95": self.epochs_to_95}
        return mine | {name: self.found[name] for name in names}

    def record(self, budget: Mapping[str, Any], work: str) -> CriticalityRecord:
        """The same for the graph, of one that was built.

        Args:
            budget: how it was trained and what it was judged on. work: name of the work folder.
        """
        return CriticalityRecord(
            block=self.trial.block.name,
            last_layer=self.trial.block.layers[-1],
            scheme=self.trial.scheme.name,
            seed=self.trial.seed,
            temperature=self.trial.temperature,
            alpha=self.trial.alpha,
            value=self.parent["accuracy"] - self.found["accuracy"],
            accuracy=self.found["accuracy"],
            kappa=self.found["kappa"],
            parent_accuracy=self.parent["accuracy"],
            curve=tuple(self.curve),
            epochs_to_95=self.epochs_to_95,
            parameters_saved=self.parent["parameters"] - self.found["parameters"],
            macs_saved=self.parent["macs"] - self.found["macs"],
            seconds=self.found["seconds"],
            budget=json.dumps(dict(budget), sort_keys=True),
            work=work,
            failed=self.found["failed"],
        )


def describe(
    model: str,
    parent: Mapping[str, Any],
    blocks: Sequence[Block],
    reasons: Reasons,
    results: Sequence[TrialResult],
    net: FollowedNet,
) -> dict[str, Any]:
    """The JSON of ``cnngraph criticality``, but for what was left out.

    Args:
        reasons: why some blocks cannot be tried by some schemes.
        results: of the trials that are done. net: the one with all blocks.
    """
    mine = {block.name: [one for one in results if one.trial.block.name == block.name] for block in blocks}
    return {
        "model": model,
        "parent": {"accuracy": parent["accuracy"], "kappa": parent["kappa"]},
        "blocks": [_describe_block(block, reasons[block.name], mine[block.name], net) for block in blocks],
        "trainings": sum(one.trial.scheme.is_trained for one in results),
        "seconds": sum(one.found["seconds"] for one in results),
    }


def _describe_block(
    block: Block, skipped: Mapping[str, str], results: Sequence[TrialResult], net: FollowedNet
) -> dict[str, Any]:
    """One entry of ``blocks``."""
    best = find_best([asdict(one.record({}, "")) for one in results if one.curve])
    best.pop("accuracy")  # each scheme has its own
    return {
        "block": block.name,
        "kind": block.kind,
        **best,
        "carry_out": options_of_prune(block, SCHEMES[best["best_scheme"]], net) if best["best_scheme"] else None,
        "skipped": dict(skipped),
        "schemes": [one.as_json() for one in results],
    }
