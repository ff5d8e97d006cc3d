"""What chooses the filters of a layer: each criterion beside the same reckoned plainly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cnngraph.datasets.images import loader
from cnngraph.datasets.registry import Data, Subset, open_data
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.pruning.context import Images
from cnngraph.pruning.criteria import CHOOSERS, Candidates, kappa
from cnngraph.pruning.greedy import Room, groups_of
from cnngraph.surgery.channels.class_separation import LARGEST_RATIO, fisher_ratios, separation
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.masked import masked
from cnngraph.training.evaluate import evaluate
from cnngraph.training.fit import fit
from cnngraph.vocabulary import CRITERIA

LAYER, SHAPE = "features.3", (3, 32, 32)


@pytest.fixture(scope="module")
def data() -> Data:
    pixels = Preprocessing(size=(32, 32), channels=3)
    return open_data("digits", preprocessing=pixels, subset=Subset(images_per_class=40))


@pytest.fixture(scope="module")
def candidates(data: Data) -> Candidates:
    net = build("cnngraph:lenet5", classes=10, size=32, seed=0)
    fit(net, data.train, None, epochs=3, seed=0, device="cpu", channels_last=False)
    coupling = coupled(net.eval(), SHAPE)
    return Candidates(
        net=net,
        input_shape=SHAPE,
        coupling=coupling,
        layer=LAYER,
        groups=groups_of(coupling, list(coupling.layers))[LAYER],
        numbers={layer: list(range(width)) for layer, width in coupling.layers.items()},
        training=lambda: Images(loader(data.train, shuffle=True, seed=0), 10),
        judged=Images(loader(data.validation, batch_size=16), 10),
        device=torch.device("cpu"),
        batch=16,
    )


def chosen(name: str, candidates: Candidates, share: int = 15) -> dict[int, float]:
    """Filters in the order in which they go, with their scores."""
    room = Room.of(candidates.coupling, {LAYER: share})
    return {one.group.filters[0][1]: one.score for one in CHOOSERS[name](candidates, room)}


def test_every_criterion_has_its_word() -> None:
    assert (*CHOOSERS, "person") == CRITERIA


@pytest.mark.parametrize("name", ["accuracy", "kappa"])
def test_a_drop_is_that_of_the_masked_net(name: str, candidates: Candidates, data: Data) -> None:
    def figure(net: nn.Module) -> float:
        return float(getattr(evaluate(net, data.validation, device="cpu"), name))

    before = figure(candidates.net)
    drops = [before - figure(masked(candidates.net, candidates.coupling, {LAYER: [i]})) for i in range(16)]
    found = chosen(name, candidates)
    assert len(set(drops)) > 2
    assert [found[i] for i in found] == pytest.approx([drops[i] for i in found], abs=1e-12)
    rounded = [round(drop, 9) for drop in drops]
    assert list(found) == sorted(range(16), key=lambda i: (rounded[i], i))[:15]


def test_kappa_is_the_evaluations() -> None:
    labels, answers = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 1, 1])
    assert kappa(labels, answers) == pytest.approx(0.75)
    assert kappa(labels * 0, answers * 0) == 0.0  # one class: nothing beyond chance


def test_fishers_ratio_is_that_of_the_pooled_answers(candidates: Candidates, data: Data) -> None:
    answers: list[torch.Tensor] = []
    hook = candidates.net.get_submodule("features.4").register_forward_hook(
        lambda _module, _inputs, maps: answers.append(maps.detach().mean((2, 3)).double())
    )
    images, labels = data.train[range(len(data.train))]
    with torch.no_grad():
        candidates.net(images)
    hook.remove()
    values, wanted = answers[0].numpy(), []
    for column in values.T:
        means = {label: column[labels.numpy() == label].mean() for label in range(10)}
        of_image = np.array([means[int(label)] for label in labels])
        wanted.append(((of_image - column.mean()) ** 2).sum() / ((column - of_image) ** 2).sum())
    found = chosen("fisher", candidates)
    assert [found[i] for i in found] == pytest.approx([wanted[i] for i in found], rel=1e-5)
    assert list(found) == np.argsort(wanted)[:15].tolist()
    few = fisher_ratios(
        candidates.net, SHAPE, LAYER, [(images[:64], labels[:64]), (images[64:], labels[64:])], images=64
    )
    assert few != pytest.approx(wanted)


@pytest.mark.parametrize(
    ("answers", "ratio"),
    [
        ([0.0, 0.0, 0.0, 0.0], 0.0),  # dead
        ([0.1, 0.1, 0.1, 0.1], 0.0),
        ([0.1, 0.1, 0.3, 0.3], LARGEST_RATIO),
        ([1.0, 3.0, 1.0, 3.0], 0.0),
        ([1.0, 3.0, 5.0, 7.0], 4.0),
    ],
)
def test_separation_by_hand(answers: Sequence[float], ratio: float) -> None:
    found = separation(np.array(answers)[:, None], np.array([0, 0, 1, 1]))
    assert found.tolist() == pytest.approx([ratio])


def test_l1_and_zeros(candidates: Candidates, data: Data) -> None:
    weight = candidates.net.get_submodule(LAYER).weight
    sums = weight.detach().double().abs().sum((1, 2, 3)).tolist()
    found = chosen("l1", candidates)
    assert list(found) == np.argsort(sums)[:15].tolist()
    assert [found[i] for i in found] == pytest.approx([sums[i] for i in found])
    found = chosen("apoz", candidates, share=3)
    net, zeros = candidates.net.get_submodule("features"), []
    with torch.no_grad():
        for images, _ in loader(data.train, shuffle=True, seed=0):
            zeros.append(nn.Sequential(*list(net.children())[:5])(images).eq(0).double().mean((0, 2, 3)) * len(images))
            if len(zeros) * 128 >= 256:
                break
    most = torch.stack(zeros).sum(0)
    assert list(found) == sorted(range(16), key=lambda i: (-float(most[i]), i))[:3]


def test_a_share_is_not_exceeded_and_of_equals_the_first_goes(candidates: Candidates) -> None:
    with torch.no_grad():
        net = build("cnngraph:lenet5", classes=10, size=32, seed=1)
        net.get_submodule(LAYER).weight.fill_(0.1)
    same = replace(candidates, net=net, coupling=coupled(net, SHAPE))
    same = replace(same, groups=groups_of(same.coupling, [LAYER])[LAYER])
    assert list(chosen("l1", same, share=4)) == [0, 1, 2, 3]
