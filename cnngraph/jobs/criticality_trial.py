"""One trial of how critical a block is: the net without it by one scheme, its accuracy before and after each epoch."""

from __future__ import annotations

import copy
import shutil
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress
from cnngraph.errors import ModelError, PlanError
from cnngraph.jobs.criticality_blocks import plan_without
from cnngraph.jobs.pruned import save_net, trained_alone
from cnngraph.jobs.schemes import Scheme
from cnngraph.jobs.workspace import JobFolder, Stage, hash_inputs
from cnngraph.sources.loaded import LoadedModel

if TYPE_CHECKING:
    from torch import nn

    from cnngraph.network.blocks import Block
    from cnngraph.network.graph import LayerGraph
    from cnngraph.training.evaluate import Evaluation
    from cnngraph.training.execution import Execution
    from cnngraph.training.fit import Recipe

__all__ = ["PICTURES", "Setup", "Trial", "pictures_stage", "run_trial"]

PICTURES = 12  # filters of a new layer whose pictures are kept


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

    @cached_property
    def teacher(self) -> nn.Module:
        """The net with the block, a copy: a trainer may move it and lay its weights out anew."""
        return copy.deepcopy(self.subject.model)

    def evaluate(self, net: nn.Module) -> Evaluation:
        """How good a net is on the validation images."""
        from cnngraph.training.evaluate import evaluate

        return evaluate(net, self.subject.data.validation, device=self.execution.device)


@dataclass(frozen=True)
class Trial:
    """A block, what is done to it, and the seed of all that is random in it.

    Attributes:
        temperature, alpha: of the distillation; ``None`` where the scheme has none.
    """

    block: Block
    scheme: Scheme
    seed: int
    temperature: float | None = None
    alpha: float | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """All that tells it from others on the same net, data and recipe, as JSON holds it."""
        mine = {"block": self.block.name, "scheme": self.scheme.name, "seed": self.seed}
        return mine | ({"temperature": self.temperature, "alpha": self.alpha} if self.scheme.distils else {})

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

    def home(self, folder: JobFolder) -> JobFolder:
        """Where it leaves its stages until then."""
        return JobFolder(folder.path / f"trial-{self.name}")

    def pictures(self, folder: JobFolder) -> Stage:
        """Where it leaves pictures of the new layer's filters, if it has any: PNG in base64."""
        return pictures_stage(folder, self.identity)


def pictures_stage(folder: JobFolder, trial: Mapping[str, Any]) -> Stage:
    """Where a trial leaves the pictures of its new filters; ``trial``: what :attr:`Trial.identity` holds, and more."""
    names = ("block", "scheme", "seed", "temperature", "alpha")
    return folder.stage(f"trials/{hash_inputs({name: trial[name] for name in names if name in trial})}-filters")


def run_trial(setup: Setup, trial: Trial) -> dict[str, Any]:
    """Build the net, train it where its scheme does, judge it; or read back what an earlier run found.

    Returns:
        ``block, scheme, seed``; ``curve``: accuracy on the validation images before training and after each epoch;
        ``accuracy`` and ``kappa``: of the best of these; ``parameters`` and ``macs`` of the net; ``seconds``; and
        ``failed``: why it was not built or not trained to the end, ``None`` mostly.
    """
    done, home = trial.stage(setup.folder), trial.home(setup.folder)
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
        built = _build(setup, trial, home)
    except PlanError as error:
        nothing = dict.fromkeys(("accuracy", "kappa", "parameters", "macs"))
        return {"curve": [], "failed": error.message, "seconds": 0.0} | nothing
    net = read_saved(home.path / "built").model
    graph = follow(net, setup.subject.input_shape)
    sizes = {"parameters": count_parameters(net), "macs": sum(layer.macs for layer in graph.layers)}
    before = setup.evaluate(net)
    curve, kappa, failed = [before.accuracy], before.kappa, None
    seconds = float(built["seconds"])
    if trial.scheme.is_trained:
        try:
            after, took = _train(setup, trial, net, built["new"], home)
        except ModelError as error:
            failed = error.message
        else:
            curve, seconds = curve + after, seconds + took
            if max(curve) > before.accuracy:  # the net has the weights of its best epoch
                kappa = setup.evaluate(net).kappa
    if built["new"] and failed is None:
        _keep_pictures(setup, trial, net, graph, built["new"][0])
    found = {"curve": curve, "accuracy": max(curve), "kappa": kappa, "failed": failed}
    return found | sizes | {"seconds": seconds}


def _build(setup: Setup, trial: Trial, home: JobFolder) -> dict[str, Any]:
    """Leave the net that the training begins with in ``built``: built anew after a kill, it might round otherwise.

    Returns:
        ``seconds`` that it took; ``new``: paths of the layers that stand for the block, the conv first.

    Raises:
        PlanError: it cannot be built.
    """
    from cnngraph.datasets.registry import loader
    from cnngraph.surgery.apply import apply_with_report

    done = home.stage("built")
    if not done.is_done:
        began, subject, seed = time.monotonic(), setup.subject, trial.seed
        net, report = apply_with_report(
            subject.model,
            plan_without(trial.block, trial.scheme, subject.followed),
            loader=loader(subject.data.train, shuffle=True, seed=seed),
            seed=seed,
            progress=setup.progress,
            input_shape=subject.input_shape,
        )
        shutil.rmtree(home.path / "built", ignore_errors=True)
        save_net(net, subject, home.path / "built", trained=False)
        replaced = report.execution.replaced if report.execution is not None else ()
        new = [path for one in replaced for path in (one.layer, one.norm) if path]
        done.write({"seconds": time.monotonic() - began, "new": new})
    return done.read()


def _train(
    setup: Setup, trial: Trial, net: nn.Module, new: Sequence[str], home: JobFolder
) -> tuple[list[float], float]:
    """Train ``net`` in place; its accuracy after each epoch, and the seconds that it took.

    Args:
        new: the layers that stand for the block. Where they alone are trained, all else stays bit for bit.

    Raises:
        ModelError: the loss became NaN. VerificationError: something else did not stay.
    """
    from cnngraph.surgery.freezing import named_tensors
    from cnngraph.training.distillation import Distillation
    from cnngraph.training.fit import fit

    data, execution, scheme = setup.subject.data, setup.execution, trial.scheme
    how = asdict(replace(setup.recipe, seed=trial.seed)) | {"execution": execution}
    how |= {"checkpoint": home.path / "checkpoint.safetensors", "progress": setup.progress}
    if scheme.distils:
        assert trial.temperature is not None
        assert trial.alpha is not None
        how["distillation"] = Distillation(setup.teacher, trial.temperature, trial.alpha)
    names = named_tensors(net).keys()
    trained = {name for name in names if scheme.trains == "net" or name.startswith(tuple(f"{path}." for path in new))}
    with trained_alone(net, trained, home.path, "training"):
        done = fit(net, data.train, data.validation, **how)
    curve = [epoch.validation_accuracy for epoch in done.history if epoch.validation_accuracy is not None]
    return curve, done.seconds


def _keep_pictures(setup: Setup, trial: Trial, net: nn.Module, graph: LayerGraph, layer: str) -> None:
    """Leave pictures of the first filters of the new layer beside what the trial found; ``graph``: of ``net``."""
    from cnngraph.evidence.kernels import kernels_of
    from cnngraph.evidence.pictures import kernel_picture

    kernels = kernels_of(net, layer)
    if kernels is None:
        return
    reads_image = any(one.kind == "Input" for one in graph.predecessors(layer))
    found = [kernel_picture(kernel, reads_image=reads_image) for kernel in kernels[:PICTURES]]
    pictures = [b64encode(one).decode("ascii") for one in found if one is not None]
    trial.pictures(setup.folder).write({"layer": layer, "filters": len(kernels), "pictures": pictures})
