"""Random small chains of convs and their mapping computed the naive way, image by image and place by place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

__all__ = ["Chain", "chains", "naive_activation", "naive_weights"]


@dataclass(frozen=True)
class Chain:
    """A chain net in float64, and images with labels in batches."""

    net: nn.Sequential
    images: Tensor
    labels: Tensor
    classes: int

    def loader(self, batch: int = 3) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.images.split(batch), self.labels.split(batch), strict=True))

    def values(self) -> dict[str, np.ndarray[Any, Any]]:
        """What every module gives for every image (copied before the next one can overwrite it)."""
        found, value = {"input": self.images.numpy()}, self.images
        self.net.eval()
        with torch.no_grad():
            for name, module in self.net.named_children():
                value = module(value.clone())
                found[name] = value.numpy().copy()
        return found


@st.composite
def chains(draw: st.DrawFn, min_convs: int = 2) -> Chain:
    """Two or three convs with random kernels, strides, norms, activations and pools; one dense layer."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    size = draw(st.integers(5, 9))
    channels = first = draw(st.integers(1, 2))
    modules: list[nn.Module] = []
    for _ in range(draw(st.integers(min_convs, 3))):
        width, kernel = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, (1, 3), (3, 2)]))
        padding = (kernel // 2) if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
        modules.append(nn.Conv2d(channels, width, kernel, stride=draw(st.sampled_from([1, 1, 2])), padding=padding))
        channels = width
        modules += [nn.BatchNorm2d(width)] if draw(st.booleans()) else []
        modules += draw(st.sampled_from([[nn.ReLU(inplace=True)], [nn.SiLU()], []]))
        modules += [nn.MaxPool2d(3, stride=1, padding=1)] if draw(st.booleans()) else []
    net = nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2)).double()
    with torch.no_grad():
        for tensor in (*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())):
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64).abs() + 0.1)
            tensor.mul_(torch.randint(0, 3, tensor.shape, generator=generator).sub(1).sign() if tensor.dim() > 1 else 1)
    classes, images = draw(st.integers(1, 3)), draw(st.integers(3, 7))
    return Chain(
        net,
        torch.randn(images, first, size, size, generator=generator, dtype=torch.float64),
        torch.arange(images) % classes,
        classes,
    )


def naive_activation(chain: Chain, name: str) -> np.ndarray[Any, Any]:
    """(classes, channels): the mean over places and images."""
    values = chain.values()[name]
    labels = chain.labels.numpy()
    rows = [values[labels == k].mean(axis=0) for k in range(chain.classes)]
    return np.array([row.reshape(len(row), -1).mean(axis=1) for row in rows])


def naive_weights(
    chain: Chain, name: str, places: list[tuple[int, int]], kernel: tuple[int, int], patch: str, size: tuple[int, int]
) -> np.ndarray[Any, Any]:
    """(places, classes + 1): the weight of each place under ``patch``, and over all images alike."""
    values, labels = chain.values()[name], chain.labels.numpy()
    means = [values[labels == k].mean(axis=0) for k in range(chain.classes)] + [values.mean(axis=0)]
    return np.array([[_weight(mean, x, y, kernel, patch, size) for mean in means] for x, y in places])


def _weight(
    mean: np.ndarray[Any, Any], x: int, y: int, kernel: tuple[int, int], patch: str, size: tuple[int, int]
) -> float:
    height, width = mean.shape[1:]
    x, y = x * height // size[0], y * width // size[1]
    rows = [i for i in range(x - (kernel[0] - 1) // 2, x - (kernel[0] - 1) // 2 + kernel[0]) if 0 <= i < height]
    columns = [j for j in range(y - (kernel[1] - 1) // 2, y - (kernel[1] - 1) // 2 + kernel[1]) if 0 <= j < width]
    cells = np.array([[channel[i, j] for i, j in product(rows, columns)] for channel in mean])
    sums = cells.sum(axis=1)
    shares = sums / sums.sum() if sums.sum() else np.zeros_like(sums)
    terms = np.array([-p * np.log2(p) if p > 0 else 0.0 for p in shares])
    return float(
        {
            "mean": cells.mean(),
            "max": cells.max(),
            "sum": cells.sum(),
            "max_filter": sums.max(),
            "mean_filter": sums.mean(),
            "max_entropy": terms.max(),
            "min_entropy": terms.min(),
            "sum_entropy": terms.sum(),
            "mean_entropy": terms.mean(),
        }[patch]
    )
