"""The images that excite each filter most, found in one pass: memory depends on the filters alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["TOP", "TopImages"]

TOP = 9


class TopImages:
    """The images of largest response of each filter of one layer; of equal responses the first image counts.

    Only responses above 0 count: an image that leaves a filter silent says nothing about it.
    """

    def __init__(self, filters: int, top: int = TOP) -> None:
        self._filters, self._top = filters, top
        self._values = torch.zeros(filters, top)
        self._images = torch.full((filters, top), -1, dtype=torch.int64)
        self._places = torch.full((filters, top), -1, dtype=torch.int64)

    def see(self, flat: Tensor, first: int) -> None:
        """Take the responses (images, filters, places) of the images ``first``, ``first + 1``, ..."""
        largest = flat.amax(2).t().cpu().float()  # (filters, images)
        some = torch.nonzero((largest > self._values[:, -1:]).any(1)).flatten()
        if not len(some):
            return
        numbers = torch.arange(first, first + len(flat)).expand(len(some), -1)
        values = torch.cat([self._values[some], largest[some]], dim=1)
        images = torch.cat([self._images[some], numbers], dim=1)
        values, order = torch.sort(values, dim=1, descending=True, stable=True)
        values, images = values[:, : self._top], images.gather(1, order[:, : self._top])
        places = torch.cat([self._places[some], torch.full_like(numbers, -1)], dim=1).gather(1, order[:, : self._top])
        new_filter, new_rank = torch.nonzero((images >= first) & (values > 0), as_tuple=True)
        if len(new_filter):
            which = (images[new_filter, new_rank] - first).to(flat.device)
            responses = flat[which, some[new_filter].to(flat.device)]
            places[new_filter, new_rank] = responses.argmax(1).cpu()
        self._values[some], self._images[some], self._places[some] = values, images, places

    def found(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(filters, top) each: responses, images and places, largest first; image and place are -1 where none is."""
        none = self._values <= 0
        images, places = self._images.masked_fill(none, -1), self._places.masked_fill(none, -1)
        return self._values.numpy(), images.numpy(), places.numpy()
