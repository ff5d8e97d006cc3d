"""Pictures of images and of weights, as PNG."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cnngraph.evidence.fields import Box
from cnngraph.origin import Preprocessing

__all__ = ["as_seen", "kernel_picture", "picture_of_image"]

Pixels = npt.NDArray[np.uint8]

_SIDE = 96  # pixels that a picture of weights has at least, so that it is not a speck
_MOST_TILES = 256  # kernels of one filter that are shown
_GREY = 128


def as_seen(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The image (or images) before normalisation: values 0..1, of the same shape."""
    mean = torch.tensor(preprocessing.mean, dtype=torch.float32).reshape(-1, 1, 1)
    std = torch.tensor(preprocessing.std, dtype=torch.float32).reshape(-1, 1, 1)
    return (image.float() * std + mean).clamp(0, 1)


def picture_of_image(image: Tensor, preprocessing: Preprocessing, box: Box | None = None) -> bytes:
    """One image as the net sees it, as PNG; ``box``: only that part.

    Of images with other than 3 channels the mean is shown, in grey.
    """
    seen = as_seen(image, preprocessing)
    seen = seen if len(seen) == 3 else seen.mean(0, keepdim=True)
    if box is not None:
        top, left, bottom, right = box
        seen = seen[:, top:bottom, left:right]
    return _png((seen * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def kernel_picture(weight: Tensor, *, reads_image: bool) -> bytes | None:
    """The weights of one filter, (channels, height, width), as PNG: grey is 0, white or black the largest of them.

    A filter of three channels that reads the image is one picture in colour. Every other one is a grid with a tile a
    channel, those of the largest norm where there are more than 256, in their order. ``None`` where a tile is a single
    weight, which is no picture.
    """
    values = weight.detach().float().cpu().numpy()
    channels, height, width = values.shape
    if height * width == 1:
        return None
    largest = float(np.abs(values).max()) or 1.0
    shown = np.rint(_GREY + 127 * values / largest).clip(0, 255).astype(np.uint8)
    if reads_image and channels == 3:
        return _png(_enlarged(shown.transpose(1, 2, 0)))
    if channels > _MOST_TILES:
        norms = np.square(values).sum((1, 2))
        shown = shown[np.sort(np.argsort(-norms, kind="stable")[:_MOST_TILES])]
    return _png(_enlarged(_grid(shown)))


def _grid(tiles: Pixels) -> Pixels:
    """(rows, columns, 1): the tiles side by side, a line between them."""
    count, height, width = tiles.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    if count == 1:
        return tiles.transpose(1, 2, 0)
    whole = np.full((down * (height + 1) + 1, across * (width + 1) + 1), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // across * (height + 1) + 1, place % across * (width + 1) + 1
        whole[top : top + height, left : left + width] = tile
    return whole[:, :, None]


def _enlarged(pixels: Pixels) -> Pixels:
    factor = max(1, math.ceil(_SIDE / max(pixels.shape[:2])))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _png(pixels: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(content, format="PNG")
    return content.getvalue()
