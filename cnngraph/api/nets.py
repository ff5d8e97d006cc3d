"""What is done with a net in memory, by keywords: ``cg.trace``, ``cg.plan_filters``, ``cg.save``, ``cg.verify``.

The functions of the rooms take what belongs together as one object; here it is spread out, as a person types it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.console import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnngraph.datasets.split_record import SplitRecord
    from cnngraph.network.tables import Network
    from cnngraph.origin import Preprocessing
    from cnngraph.plan import Plan
    from cnngraph.surgery.channels.coupling import Coupling
    from cnngraph.surgery.execution import Execution
    from cnngraph.surgery.reloading import Elsewhere
    from cnngraph.surgery.verify import Verification

__all__ = ["plan_filters", "save", "trace", "verify"]


def trace(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    classes: Sequence[str] | None = None,
    source: str = "activation",
    patch: str = "mean",
    view: str = "both",
    connections: str = "auto",
    correlations: bool = True,
    images_per_class: int | None = None,
    only_classes: Sequence[str | int] | None = None,
    kernels: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """Map ``model`` with the images of ``loader`` (batches of (images, labels), read once or more).

    ``model`` runs in eval mode where it is and is the same afterwards, bit for bit.

    Args:
        classes: names by label; without them the labels that occur are the classes, for which the loader is read once
            more. ``only_classes`` (names or labels) chooses some: images of other classes are not looked at.
        source: which map the weight of a position comes from: the conv's ``input``, its ``output``, or ``activation``:
            the first non-linearity after it with no conv and no sum between, else its norm's output, else its own.
        patch: the aggregation over the patch and all channels, a key of ``patches.PATCHES``.
        view: ``channels`` (feature maps and kernels), ``positions`` (class networks) or ``both``.
        connections: which kernels become connections: ``auto``, ``all``, ``none`` or ``top:K``.
        correlations: whether maps are compared (the table ``resembles``).
        images_per_class: take that many images of each class, the first ones of the loader.
        kernels: keep every weight: the raw floats of each connection's kernel, and all other parameters and buffers.
        seed: of the sample of images that a very wide net's correlations are limited to.

    Raises:
        UsageError: an option has an unknown value.
        TraceError: the net cannot be followed.
        DataError: the loader's images or labels are unusable, or a class has no image.
        ModelError: weights or activations that are NaN or infinite.

    The same net, images (in the same order), options and machine give identical tables.
    """
    from cnngraph.network.trace import trace
    from cnngraph.network.trace_options import TraceOptions

    chosen = None if only_classes is None else tuple(only_classes)
    how = TraceOptions(source, patch, view, connections, correlations, kernels, chosen, seed)
    return trace(model, loader, how, classes=classes, images_per_class=images_per_class, progress=progress)


def plan_filters(
    coupling: Coupling,
    scores: Mapping[str, Sequence[float]],
    *,
    ratio: float,
    scope: str = "layer",
    round_to: int = 1,
    at_least: int = 1,
    score_name: str = "magnitude",
    model: str = "",
    architecture: str = "",
    run: str | None = None,
) -> Plan:
    """The plan that removes this share of the filters, lowest score first.

    Args:
        coupling: which channels go together, which cannot go, and how wide the layers are (:func:`cnngraph.coupled`).
        scores: by layer the score of each filter (:func:`cnngraph.score_filters`), low goes first, none negative. A
            NaN, or a layer that is not there, has none: groups all of whose filters have none stay, and a note says so.
        ratio, scope, round_to, at_least: how many, see :class:`cnngraph.pruning.filters.FilterShare`.
        score_name, model, architecture, run: what the plan says of itself.

    Returns:
        The plan, see :func:`cnngraph.pruning.filters.plan_filters`.

    Raises:
        OptionError: an option out of range.
        PlanError: no filter can go at all, or no layer is wide enough for ``round_to`` or ``at_least``.
    """
    from cnngraph.pruning.filters import FilterShare, ScoredModel, plan_filters

    share = FilterShare(ratio, scope, round_to, at_least)
    return plan_filters(coupling, scores, share, ScoredModel(score_name, model, architecture, run))


def save(
    model: nn.Module,
    folder: str | Path,
    *,
    architecture: str | None = None,
    options: Mapping[str, Any] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    dataset: str = "",
    training: Mapping[str, Any] | None = None,
    trained: bool = True,
    split: SplitRecord | None = None,
) -> Path:
    """Write ``model`` to ``folder``, which must not be there or hold a saved model (that one is replaced).

    Whenever this ends, by a kill too, the folder holds the old model or the new one, whole. ``DataParallel`` and
    compiled nets are saved as the net inside. The net is built again and compared first, in one forward pass of two
    images on the CPU: what its architecture does not say is not lost in silence.

    Args:
        architecture: how the unpruned net is built, as on the command line (``python:package.module:factory``); by
            default the net's origin, else its own class if that, called with the number of classes or nothing, fits.
        options: of that architecture; by default the origin's, else the number of classes.
        input_shape: (channels, height, width); by default what ``preprocessing`` or the origin says.
        split: which images it was trained and judged on (``Data.record``), so that these stay apart.
        preprocessing: how it wants its images; by default what a net that was loaded wants.

    Raises:
        ModelError: the net cannot be built again from its architecture or comes out as another one, its weights are
            NaN or infinite, or the folder holds something else or is the one that the process works in.
    """
    from cnngraph.surgery.saved import HowBuilt, SavedFacts, save

    facts = SavedFacts(preprocessing, classes, dataset, training or {}, trained, split)
    return save(model, folder, facts, HowBuilt(architecture, options, input_shape))


def verify(
    model: nn.Module,
    slim: nn.Module,
    plan: Plan,
    *,
    input_shape: tuple[int, int, int] | None = None,
    images: Tensor | None = None,
    seed: int = 0,
    trained: bool = False,
    repeatable: bool = False,
    execution: Execution | None = None,
    float32: bool = True,
    process: Elsewhere | None = None,
) -> Verification:
    """Check that ``slim`` is a sound net in the place of ``model``; raises nothing itself, and changes neither.

    Where ``plan`` names filters alone, ``slim`` must equal the masked net. Where it names layers too, the net without
    the filters must. In every case ``slim`` must have the modules, sizes and hooks that the plan gives, and, until it
    is trained, the user's own weights wherever no join was made: the proof comes before any training.

    Args:
        input_shape: (channels, height, width); by default what ``slim`` was cut for, else what the net's origin says.
        images: real ones (N, channels, height, width), eight at least, to compare on besides random ones.
        trained: the weights of ``slim`` are its own by now: it was trained or reconstructed.
        repeatable, execution, process, float32: see :class:`cnngraph.surgery.verify.ProofOptions`.

    Raises:
        ValueError: ``execution`` is of another net or plan.
    """
    from cnngraph.surgery.verify import ProofOptions, verify

    how = ProofOptions(repeatable, execution, process, float32)
    return verify(model, slim, plan, how, input_shape=input_shape, images=images, seed=seed, trained=trained)
