"""One trial of how critical a block is: the net without it by one scheme, its accuracy before and after each epoch."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.errors import ModelError, PlanError
from cnngraph.jobs.pruned import save_net
from cnngraph.jobs.schemes import Scheme
from cnngraph.jobs.workspace import JobFolder, Stage, hash_inputs
from cnngraph.plan import Plan, Removal
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.network.blocks import Block
    from cnngraph.training.evaluate import Evaluation
    from cnngraph.training.execution import Execution
    from cnngraph.training.fit import Recipe

__all__ = ["Setup", "Trial", "run_trial"]


@dataclass(frozen=True)
class Setup:
    """What all trials have in common.

    Attributes:
        recipe: how a net is trained; its seed is a trial's own. execution: where and how, measured once.
    """

    subject: LoadedModel
    recipe: Recipe
    execution: Execution
    folder: JobFolder
    progress: Progress

    def evaluate(self, net: nn.Module) -> Evaluation:
        """How good a net is on the validation images."""
        from cnngraph.training.evaluate import evaluate

        return evaluate(net, self.subject.data.validation, device=self.execution.device)


@dataclass(frozen=True)
class Trial:
    """A block, what is done to it, and the seed of all that is random in it."""

    block: Block
    scheme: Scheme
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """All that tells it from others on the same net, data and recipe, as JSON holds it."""
        return {"block": self.block.name, "scheme": self.scheme.name, "seed": self.seed}

    @property
    def words(self) -> str:
        """As a person reads it.

        >>> from cnngraph.jobs.schemes import SCHEMES
        >>> from cnngraph.network.blocks import Block
        >>> Trial(Block("layer1.0", "residual", "relu", "layer1.0.relu2", (), "layer1.0"), SCHEMES["tuned"], 0).words
        'layer1.0 tuned, seed 0'
        """
        return f"{self.block.name} {self.scheme.name}, seed {self.seed}"

    @property
    def name(self) -> str:
        """Of its files in the work folder."""
        return hash_inputs(self.identity)

    def stage(self, folder: JobFolder) -> Stage:
        """Where it leaves what it found."""
        return folder.stage(f"trials/{self.name}")

    @property
    def plan(self) -> Plan:
        """What is done to the net before any training."""
        removal = Removal(layer=self.block.name, kind="block", reason=f"scheme {self.scheme.name}")
        return Plan(method="criticality", init=self.scheme.init, removes=(removal,))


def run_trial(setup: Setup, trial: Trial) -> dict[str, Any]:
    """Build the net, train it where its scheme does, judge it; or read back what an earlier run found.

    Returns:
        ``block, scheme, seed``; ``curve``: accuracy on the validation images before training and after each epoch;
        ``accuracy`` and ``kappa``: of the best of these; ``parameters`` and ``macs`` of the net; ``seconds``; and
        ``failed``: why it was not built or not trained to the end, ``None`` mostly.
    """
    done, home = trial.stage(setup.folder), JobFolder(setup.folder.path / f"trial-{trial.name}")
    if not done.is_done:
        home.path.mkdir(parents=True, exist_ok=True)
        done.path.parent.mkdir(exist_ok=True)
        done.write(trial.identity | _carry_out(setup, trial, home))
    shutil.rmtree(home.path, ignore_errors=True)
    return done.read()


def _carry_out(setup: Setup, trial: Trial, home: JobFolder) -> dict[str, Any]:
    from cnngraph.network.graph import follow
    from cnngraph.network.macs import count_parameters
    from cnngraph.surgery.saved import read_saved

    try:
        seconds = _build(setup, trial, home)
    except PlanError as error:
        nothing = dict.fromkeys(("accuracy", "kappa", "parameters", "macs"))
        return {"curve": [], "failed": error.message, "seconds": 0.0} | nothing
    net = read_saved(home.path / "built").model
    graph = follow(net, setup.subject.input_shape)
    sizes = {"parameters": count_parameters(net), "macs": sum(layer.macs for layer in graph.layers)}
    before = setup.evaluate(net)
    curve, kappa, failed = [before.accuracy], before.kappa, None
    if trial.scheme.is_trained:
        try:
            after, took = _train(setup, trial, net, home)
        except ModelError as error:
            failed = error.message
        else:
            curve, seconds = curve + after, seconds + took
            if max(curve) > before.accuracy:  # the net has the weights of its best epoch
                kappa = setup.evaluate(net).kappa
    found = {"curve": curve, "accuracy": max(curve), "kappa": kappa, "failed": failed}
    return found | sizes | {"seconds": seconds}


def _build(setup: Setup, trial: Trial, home: JobFolder) -> float:
    """Leave the net that the training begins with in ``built``: built anew after a kill, it might round otherwise.

    Returns:
        The seconds that it took.

    Raises:
        PlanError: it cannot be built.
    """
    from cnngraph.datasets.registry import loader
    from cnngraph.surgery.apply import apply

    done = home.stage("built")
    if done.is_done:
        return float(done.read()["seconds"])
    began = time.monotonic()
    subject, seed = setup.subject, trial.seed
    net = apply(
        subject.model,
        trial.plan,
        loader=loader(subject.data.train, shuffle=True, seed=seed),
        seed=seed,
        progress=setup.progress,
        input_shape=subject.input_shape,
    )
    shutil.rmtree(home.path / "built", ignore_errors=True)
    save_net(net, subject, home.path / "built", trained=False)
    done.write({"seconds": time.monotonic() - began})
    return float(done.read()["seconds"])


def _train(setup: Setup, trial: Trial, net: nn.Module, home: JobFolder) -> tuple[list[float], float]:
    """Train ``net`` in place; its accuracy after each epoch, and the seconds that it took.

    Raises:
        ModelError: the loss became NaN.
    """
    from cnngraph.training.fit import fit

    data, execution = setup.subject.data, setup.execution
    how = asdict(replace(setup.recipe, seed=trial.seed)) | {"device": execution.device}
    how |= {"precision": execution.precision, "channels_last": execution.channels_last}
    checkpoint = home.path / "checkpoint.safetensors"
    done = fit(net, data.train, data.validation, **how, checkpoint=checkpoint, progress=setup.progress)
    curve = [epoch.validation_accuracy for epoch in done.history if epoch.validation_accuracy is not None]
    return curve, done.seconds
