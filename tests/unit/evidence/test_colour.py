"""How much filters are about colour: hand-made ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnngraph.datasets.images import Images, loader
from cnngraph.datasets.pixels import ArrayPixels
from cnngraph.errors import NotFoundError
from cnngraph.evidence.collect import collect
from cnngraph.evidence.colour import Excited, answers_to_colour, greyed, weights_on_colour
from cnngraph.evidence.fields import is_empty
from cnngraph.evidence.record import About, Evidence, Looked, write_evidence
from cnngraph.jobs.filter_pictures import patches
from cnngraph.network.followed_net import FollowedNet
from cnngraph.origin import Preprocessing

PREPROCESSING = Preprocessing(size=(2, 2), channels=3, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))


def test_weights_off_the_grey_axis() -> None:
    kernels = torch.zeros(5, 3, 2, 2)
    kernels[0] = torch.tensor([[1.0, -2.0], [3.0, 0.5]])  # the same in each channel: grey
    kernels[1, 0], kernels[1, 1] = 1.0, -1.0  # red against green: colour alone
    kernels[2, 2] = 4.0  # blue alone: a third of it is grey
    kernels[3, :, 0, 0] = 1.0  # energy 3 along grey at one place ...
    kernels[3, 0, 1, 1], kernels[3, 1, 1, 1] = 1.0, -1.0  # ... and 2 of colour at another
    shares = weights_on_colour(kernels, (1.0,))
    assert shares[:4] == pytest.approx([0.0, 1.0, 2 / 3, 2 / 5])
    assert np.isnan(shares[4])


def test_weights_act_on_channels_divided_by_their_std() -> None:
    """A filter that is blind to colour answers alike to an image and to its grey one: only one in proportion to std."""
    std = torch.tensor(PREPROCESSING.std).view(3, 1, 1)
    pattern = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    blind, alike = std * pattern, pattern.expand(3, 2, 2)
    kernels = torch.stack([blind, alike])
    images = torch.rand(20, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor(PREPROCESSING.mean).view(3, 1, 1)
    read = (images - mean) / std
    apart = nn.functional.conv2d(read, kernels) - nn.functional.conv2d(greyed(read, PREPROCESSING), kernels)
    assert apart[:, 0].abs().max() < 1e-4 < 0.1 < apart[:, 1].abs().max()
    assert weights_on_colour(kernels, PREPROCESSING.std) == pytest.approx([0.0, 14 / 135], abs=1e-6)  # of (2, 4, 5)


def test_one_std_for_all_channels_changes_nothing() -> None:
    kernels = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    plain = weights_on_colour(kernels, (1.0,))
    for std in ((0.3,), (0.3, 0.3, 0.3)):
        assert weights_on_colour(kernels, std).tolist() == plain.tolist()


def test_filters_of_a_grey_image_have_no_grey_axis() -> None:
    with pytest.raises(ValueError, match="1 channels have no grey axis"):
        weights_on_colour(torch.ones(2, 1, 3, 3), (1.0,))


def test_a_greyed_image_is_the_mean_of_its_channels() -> None:
    seen = torch.tensor([0.9, 0.3, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std))
    back = greyed((seen - mean) / std, PREPROCESSING) * std + mean
    assert torch.allclose(back, torch.full((1, 3, 2, 2), 0.4), atol=1e-6)


def images() -> Images:
    """A red image, a white one and a black one, 2 x 2."""
    array = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    array[0, :, :, 0] = 255
    array[1] = 255
    plain = Preprocessing(size=(2, 2), channels=3, mean=(0.0,), std=(1.0,))
    return Images(ArrayPixels(array), np.array([0, 1, 1]), plain)


def net() -> nn.Sequential:
    """Filters: red minus green; brightness; a dead one."""
    made = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 2)).eval()
    with torch.no_grad():
        weights = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
        next(made.parameters()).copy_(weights.view(3, 3, 1, 1))
    return made


def test_answers_that_go_with_colour() -> None:
    followed = FollowedNet(net(), (3, 2, 2))
    found = collect(followed, loader(images()), ["red", "grey"]).layers["0"]
    shares = answers_to_colour(followed, "0", images(), Excited(found.values, found.images, found.places))
    # Red minus green answers 1 to red and 0 once it is grey. Brightness answers 3 to white and 1 to red, and so it
    # does in grey. The third answers to nothing.
    assert shares[:2] == pytest.approx([1.0, 0.0], abs=1e-6)
    assert np.isnan(shares[2])


def test_evidence_is_read_back_from_its_folder(tmp_path: Path) -> None:
    shown = images()
    model = net()
    found = collect(FollowedNet(model, (3, 2, 2)), loader(shown), ["red", "grey", "none"])
    write_evidence(found, tmp_path, About(["red", "grey", "none"], "train", shown.labels, ["0"]))
    evidence = Evidence(tmp_path, lambda: Looked(model, shown))
    assert (evidence.layers, evidence.images, evidence.images_of, evidence.in_colour) == (("0",), 3, (1, 2, 0), True)
    first, second = evidence.top_images("0", 1)
    assert (first.image_index, first.value, first.box, first.label) == (1, 3.0, (0, 0, 1, 1), "grey")
    assert (second.image_index, second.value, second.label) == (0, 1.0, "red")
    assert evidence.top_images("0", 2) == []
    maps = evidence.occurrence("0", 1)
    assert maps.shape == (3, 2, 2)
    assert maps[0].tolist() == [[1.0] * 2] * 2
    assert maps[1].tolist() == [[0.5] * 2] * 2  # the white one of two
    assert np.isnan(maps[2]).all()
    assert evidence.answers_to_colour("0")[:2] == pytest.approx([1.0, 0.0], abs=1e-6)
    assert evidence.kernel_picture("0", 0) is None  # a single weight a channel
    assert evidence.image(0).startswith(b"\x89PNG")
    assert evidence.reads_image("0")


def test_a_place_that_sees_padding_alone_has_no_patch(tmp_path: Path) -> None:
    """A layer of 1 x 1 with padding answers its bias outside the image, and most there."""
    array = np.full((2, 2, 2, 3), 255, dtype=np.uint8)
    shown = Images(
        ArrayPixels(array), np.array([0, 1]), Preprocessing(size=(2, 2), channels=3, mean=(0.0,), std=(1.0,))
    )
    model = nn.Sequential(nn.Conv2d(3, 2, 1, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))
        model[0].bias.copy_(torch.tensor([1.0, 0.0]))
    found = collect(FollowedNet(model, (3, 2, 2)), loader(shown), ["a", "b"])
    write_evidence(found, tmp_path, About(["a", "b"], "train", shown.labels, ["0"]))
    evidence = Evidence(tmp_path, lambda: Looked(model, shown))
    assert [is_empty(one.box) for one in evidence.top_images("0", 0)] == [True, True]
    assert [is_empty(one.box) for one in evidence.top_images("0", 1)] == [False, False]
    assert list(patches(evidence, "0", 0)) == []
    assert [one.startswith(b"\x89PNG") for one in patches(evidence, "0", 1)] == [True, True]
    with pytest.raises(NotFoundError, match="no pixel of image 0"):
        evidence.image(0, evidence.top_images("0", 0)[0].box)


def test_maps_by_blocks_are_the_means_of_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    plain = Preprocessing(size=(5, 4), channels=3, mean=(0.5,), std=(0.5,))
    shown = Images(ArrayPixels(random.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)), np.arange(6) % 2, plain)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(40, 2)).eval()
    maps = {}
    for block in (1, 2):
        monkeypatch.setattr("cnngraph.evidence.collect.block_sizes", lambda *_, block=block: {"0": block})
        found = collect(FollowedNet(model, (3, 5, 4)), loader(shown), ["a", "b"])
        write_evidence(found, tmp_path / str(block), About(["a", "b"], "train", shown.labels, ["0"]))
        evidence = Evidence(tmp_path / str(block), lambda: Looked(model, shown))
        assert evidence.block("0") == block
        maps[block] = evidence.occurrence("0", 1)
    assert maps[2].shape == (2, 3, 2)
    for row, column in np.ndindex(3, 2):
        cut = maps[1][:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert maps[2][:, row, column] == pytest.approx(cut.mean((1, 2)))
