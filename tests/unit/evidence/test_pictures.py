"""PNGs of weights and images, read back pixel by pixel."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from cnngraph.evidence.pictures import kernel_picture, picture_of_image
from cnngraph.origin import Preprocessing


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_filter_that_reads_the_image_is_one_picture_in_colour() -> None:
    weight = torch.zeros(3, 2, 2)
    weight[0, 0, 0], weight[2, 1, 1] = 1.0, -1.0
    shown = pixels(kernel_picture(weight, reads_image=True))
    assert shown.shape == (96, 96, 3)
    assert shown[0, 0].tolist() == [255, 128, 128]
    assert shown[95, 95].tolist() == [128, 128, 1]


def test_a_deeper_filter_is_a_grid_of_its_kernels() -> None:
    weight = torch.arange(5.0).view(5, 1, 1).expand(5, 3, 3)
    shown = pixels(kernel_picture(weight, reads_image=False))
    step = shown.shape[1] // (3 * 4 + 1)  # three tiles across, lines between
    assert shown[0, 0] == 255  # a line
    assert [shown[step, step + tile * 4 * step] for tile in range(3)] == [128, 160, 192]
    assert shown[5 * step, 5 * step] == 255  # the fifth, of the largest weight


def test_many_kernels_leave_the_weakest_out() -> None:
    weight = torch.ones(300, 2, 2)
    weight[:44] = 0.0
    shown = pixels(kernel_picture(weight, reads_image=False))
    assert set(np.unique(shown)) == {255}


def test_single_weights_are_no_picture() -> None:
    assert kernel_picture(torch.ones(8, 1, 1), reads_image=False) is None


def test_an_image_is_shown_as_it_was_before_normalisation() -> None:
    preprocessing = Preprocessing(size=(2, 2), channels=3, mean=(0.5,), std=(0.25,))
    seen = torch.tensor([1.0, 0.2, 0.0]).view(3, 1, 1).expand(3, 2, 2)
    shown = pixels(picture_of_image((seen - 0.5) / 0.25, preprocessing))
    assert shown.tolist() == [[[255, 51, 0]] * 2] * 2
    assert pixels(picture_of_image((seen - 0.5) / 0.25, preprocessing, (0, 1, 2, 2))).shape == (2, 1, 3)


def test_other_numbers_of_channels_are_shown_in_grey() -> None:
    preprocessing = Preprocessing(size=(1, 2), channels=2, mean=(0.0,), std=(1.0,))
    image = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    assert pixels(picture_of_image(image, preprocessing)).tolist() == [[128, 0]]
