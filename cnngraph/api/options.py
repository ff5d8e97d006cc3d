"""What :meth:`Graph.plan` and :meth:`Graph.prune` may be told about what goes: by name, for type checkers and readers,
and as the registries have it, for ``--help``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from cnngraph.pruning.limits.limit import COMPANIONS, LIMITS
from cnngraph.pruning.method import OptionField
from cnngraph.pruning.registry import METHODS, OPTIONS

__all__ = [
    "COMPANIONS",
    "LIMITS",
    "METHODS",
    "OPTIONS",
    "Benched",
    "Compared",
    "Copying",
    "Decision",
    "OptionField",
    "Trials",
]


class Decision(TypedDict, total=False):
    """What goes; ``None`` is as good as left out. The rules are those of the commands: ``cnngraph.pruning.choice``.

    By hand: ``remove_layers``, ``remove_blocks`` (names).

    By a ``method``: ``multilayer`` (layers by a measure, the default), ``filters`` (implied by its options),
    ``random``, ``car`` or ``progressive`` (which :meth:`Graph.prune` alone takes), with its own options: ``measure``,
    ``aggregate``, ``reference``, ``engine``; ``score``, ``scope``, ``round_to``, ``at_least``; ``of``; ``layer``,
    ``per_step``, ``judged_on``; ``criterion``, ``layer``, ``agree``. Or ``review``, what people decided on the page of
    ``cnngraph review``: ``agree``. Or ``triage``, one layer in the place of each block of ``replace_block``, or, with a
    limit instead, of those of least criticality in the graph; ``train``: the whole net (``global``) or the new layers
    alone (``local``). Or ``imp`` (:meth:`Graph.prune` alone), which says
    by itself how much goes: ``rounds``, ``rate``, ``rewind``, ``mask``, ``one_shot``, ``prune_biases``,
    ``structured``.

    How much goes is said by limits, which hold together, or by ``limits``, a TOML file of them. As far as every bound
    allows: ``threshold`` (of theta), ``remove`` (how many), ``ratio`` (a share), ``filters`` (how many of each named
    layer), ``max_accuracy_drop`` (points of percent), ``max_kappa_drop`` (of Cohen's kappa). As little as reaches every
    target: ``target_speedup`` (times, measured), ``target_latency_ms``, ``target_macs`` and ``target_parameters`` (what
    is left: a share, or a count above 1), ``target_mb``.

    ``keep``: layers that cannot go, or a mapping with the reasons. ``steps`` belongs to ``max_accuracy_drop``,
    ``minutes`` to every search, ``latency_on``, ``runtime`` and ``batch`` to a target, ``percentile`` and
    ``latency_table`` (a CSV file) to one of time. ``init``: the weights where ends are joined, and of
    layers that replace blocks. ``seed``: of everything random. ``device``: where nets are trained and judged.
    """

    method: str | None
    remove_layers: Sequence[str] | None
    remove_blocks: Sequence[str] | None
    measure: str | None
    aggregate: str | None
    reference: str | None
    engine: str | None
    score: str | None
    scope: str | None
    round_to: int | None
    at_least: int | None
    of: str | None
    layer: str | Sequence[str] | None
    per_step: int | None
    judged_on: str | None
    agree: str | None
    criterion: str | None
    rounds: int | None
    rate: float | None
    rewind: str | None
    mask: str | None
    one_shot: bool | None
    prune_biases: bool | None
    structured: bool | None
    replace_block: str | Sequence[str] | None
    train: str | None
    limits: str | Path | None
    threshold: float | None
    remove: int | None
    ratio: float | None
    filters: int | None
    max_accuracy_drop: float | None
    max_kappa_drop: float | None
    target_speedup: float | None
    target_latency_ms: float | None
    target_macs: float | None
    target_parameters: float | None
    target_mb: float | None
    steps: int | None
    minutes: float | None
    latency_on: str | None
    runtime: str | None
    batch: int | None
    percentile: int | None
    latency_table: str | Path | None
    keep: Mapping[str, str] | Iterable[str] | None
    init: str | None
    seed: int | None
    device: str | None


class Trials(TypedDict, total=False):
    """How blocks are tried by :meth:`Graph.criticality` and :meth:`Graph.triage`; ``None`` is as good as left out.

    ``blocks``: names; by default all that lie in no other one. ``schemes``: see :mod:`cnngraph.jobs.schemes`.
    ``epochs`` (5), ``batch_size``, ``learning_rate``: of each training, else as the net itself was trained.
    ``temperature`` (4) and ``alpha`` (0.9): of the schemes that learn from the parent's answers. ``seeds``: trials of
    each block and scheme; ``seed``: of the first, each further one has the next number. ``minutes``: no trial is begun
    that would end later. ``data``, ``data_root``: instead of what the model was ingested with. ``precision``: of the
    trainings, ``auto`` (half precision where it is faster here) or ``fp32``.
    """

    blocks: Sequence[str] | None
    schemes: Sequence[str] | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    temperature: float | None
    alpha: float | None
    seeds: int | None
    seed: int | None
    minutes: float | None
    data: str | None
    data_root: str | Path | None
    device: str | None
    precision: str | None


class Benched(TypedDict, total=False):
    """Which methods :meth:`Graph.bench` holds to which budgets; ``None`` is as good as left out.

    ``methods``: names, by default all that can be held to a budget. ``budget``: one such as ``"macs=0.5"``, or several:
    what is left, ``macs`` and ``parameters`` (a share, or a count above 1), ``mb``, ``latency_ms``; or ``speedup``
    (times). ``epochs`` of each net in all, ``batch_size``, ``learning_rate``: else as the net itself was trained.
    ``seeds`` (1): how many nets of each method and budget; ``seed`` (0): of the first, each further one has the next
    number. ``minutes``: no net is begun that would be done later. ``data``, ``data_root``: instead of what the model
    was ingested with. ``device``: where nets are trained, judged and timed. ``precision``: of the trainings, ``auto``
    (half precision where it is faster here) or ``fp32``.
    """

    methods: str | Sequence[str] | None
    budget: str | Sequence[str] | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    seeds: int | None
    seed: int | None
    minutes: float | None
    data: str | None
    data_root: str | Path | None
    device: str | None
    precision: str | None


class Copying(TypedDict, total=False):
    """How :meth:`Graph.push` and :meth:`Graph.pull` copy a model into another database.

    ``as_name``: another name there, as one's own. ``replace``: take the place of another model of that name, or of
    values that are there otherwise. ``alone``: without ancestors. ``dry_run``: count, write nothing. ``yes``,
    ``force``: as in :meth:`Graph.delete`.
    """

    as_name: str | None
    replace: bool
    alone: bool
    dry_run: bool
    yes: bool
    force: bool


class Compared(TypedDict, total=False):
    """What is compared by :func:`cnngraph.compare` and :meth:`Graph.compare`, and on which images.

    ``similarity`` (svcca), ``keep`` (0.99, of svcca), ``estimator`` (unbiased, of cka), ``by`` (a, of pwcca): what is
    measured, see docs/compare.md. ``all_pairs``: all layers against all. ``images`` (5,000 at most), ``part`` (train),
    ``data``, ``data_root``, ``seed`` (0): on which images. ``at_least``: what each pair of layers is to reach:
    ``at_least`` of the result says which do not. ``device`` (auto): where the nets run.
    """

    similarity: str
    keep: float
    estimator: str
    by: str
    all_pairs: bool
    images: int
    part: str
    data: str | None
    data_root: str | Path | None
    at_least: float | None
    seed: int
    device: str
