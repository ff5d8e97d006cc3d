"""What chooses the filters of one layer that go, in a method that simplifies a net layer by layer.

A criterion is one function: it looks at the net as it is before the step and says which of the groups that belong to
the layer go. Those here score the groups, and the lowest go; another may let a person say it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.pruning.context import Images
from cnngraph.pruning.greedy import Room, count_filters
from cnngraph.surgery.channels.coupling import Coupling, Group

__all__ = ["CHOOSERS", "Candidates", "Choose", "Chosen"]


@dataclass(frozen=True)
class Candidates:
    """The groups of one layer, and all that a criterion may look at.

    Attributes:
        net: as it is before the step, on the CPU; nobody changes it. coupling: of it.
        layer: to which the ``groups`` belong.
        numbers: by layer, which filter of the unpruned net each of its filters is.
        training: training images in random order, the same order for every layer. judged: validation images.
        device: where copies of the net run. batch: images of one run at most.
    """

    net: nn.Module
    input_shape: tuple[int, int, int]
    coupling: Coupling
    layer: str
    groups: Sequence[Group]
    numbers: Mapping[str, Sequence[int]]
    training: Callable[[], Images]
    judged: Images
    device: torch.device
    batch: int


@dataclass(frozen=True)
class Chosen:
    """A group that goes, with its score, and why in a few words."""

    group: Group
    score: float
    reason: str


Numbers = npt.NDArray[np.int64]
Choose = Callable[[Candidates, Room], list[Chosen]]
Score = Callable[[Candidates], Sequence[float]]


@dataclass(frozen=True)
class _LowestFirst:
    """The groups of lowest score go, as many as there is room for; of equals the first."""

    score: Score
    words: str

    def __call__(self, candidates: Candidates, room: Room) -> list[Chosen]:
        scores = self.score(candidates)
        chosen = []
        for place in sorted(range(len(scores)), key=lambda place: (scores[place], place)):
            group = candidates.groups[place]
            if room.fits(group):
                room.take(group)
                chosen.append(Chosen(group, float(scores[place]), self.words))
        return chosen


def _accuracy(candidates: Candidates) -> list[float]:
    """What the validation accuracy loses without the group."""
    answers, labels, whole = _answers(candidates)
    right = int((whole == labels).sum())
    return [(right - int((one == labels).sum())) / len(labels) for one in answers]


def _kappa(candidates: Candidates) -> list[float]:
    """What Cohen's kappa of the validation images loses without the group."""
    answers, labels, whole = _answers(candidates)
    before = kappa(labels, whole)
    return [before - kappa(labels, one) for one in answers]


def kappa(labels: Numbers, answers: Numbers) -> float:
    """Cohen's kappa of the classes that a net gives."""
    from cnngraph.training.evaluate import scores

    classes = int(max(labels.max(), answers.max())) + 1
    confusion = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    return scores(confusion).kappa


def _answers(candidates: Candidates) -> tuple[list[Numbers], Numbers, Numbers]:
    """What the net answers without each group, the labels, and what the whole net answers."""
    from cnngraph.surgery.channels.ablation import AblatedNet, Ablation

    net = copy.deepcopy(candidates.net).to(candidates.device)
    ablation = Ablation(
        AblatedNet(net, candidates.coupling),
        candidates.groups,
        lambda: candidates.judged.batches,
        input_shape=candidates.input_shape,
        classes=candidates.judged.classes,
        batch=candidates.batch,
    )
    return ablation.answers_without(candidates.groups), ablation.labels, ablation.answers


def _fisher(candidates: Candidates) -> list[float]:
    """How well the pooled answer tells the classes apart."""
    from cnngraph.surgery.channels.class_separation import fisher_ratios

    batches = candidates.training().batches
    found = fisher_ratios(candidates.net, candidates.input_shape, candidates.layer, batches, device=candidates.device)
    return _by_group(candidates, found)


def _apoz(candidates: Candidates) -> list[float]:
    """The share of answers that are not zero: the highest share of zeros goes first."""
    from cnngraph.surgery.channels.response_scores import response_scores

    batches = candidates.training().batches
    found = response_scores(candidates.net, candidates.coupling, "apoz", batches, device=candidates.device)
    if candidates.layer not in found:
        raise PlanError(f"{candidates.layer} does not answer channel by channel.", "Choose by {criterion=l1}.")
    return _by_group(candidates, found[candidates.layer])


def _l1(candidates: Candidates) -> list[float]:
    """The sum of the absolute weights."""
    from cnngraph.surgery.channels.filter_scores import absolute_sum

    return _by_group(candidates, absolute_sum(candidates.net, candidates.layer))


def _by_group(candidates: Candidates, scores: Sequence[float]) -> list[float]:
    """The mean over the filters that a group has in the layer to which it belongs."""
    layer = candidates.layer
    return [
        sum(scores[channel] for name, channel in group.filters if name == layer) / count_filters(group, layer)
        for group in candidates.groups
    ]


# By the word that is typed: cnngraph.vocabulary.CRITERIA.
CHOOSERS: dict[str, Choose] = {
    "accuracy": _LowestFirst(_accuracy, "whose absence costs the least validation accuracy"),
    "kappa": _LowestFirst(_kappa, "whose absence costs the least of Cohen's kappa on the validation images"),
    "fisher": _LowestFirst(_fisher, "whose pooled answers tell the classes apart least (Fisher's ratio)"),
    "apoz": _LowestFirst(_apoz, "that answer with zero most often (the score is 1 - APoZ)"),
    "l1": _LowestFirst(_l1, "of the smallest sum of absolute weights"),
}
