"""Calibration images, which layers are refitted on, and the shapes of a net's input and output."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from cnngraph.errors import DataError, PlanError
from cnngraph.origin import get_origin
from cnngraph.randomness import seeded
from cnngraph.surgery.output_diff import list_tensors

__all__ = ["IMAGES", "fitting_images", "input_shape_of", "outputs_of"]

IMAGES = 1024  # training images that a layer is refitted on
_BATCH = 64
_MEMORY = 512 * 2**20  # bytes of images that are kept while joins are fitted
_SIZES = (32, 28, 64, 48, 96, 128, 224, 299)


def fitting_images(loader: Iterable[Any], *, images: int, seed: int) -> list[Tensor]:
    """About ``images`` images of ``loader`` as batches (N, channels, height, width), at most 512 MB of them.

    From a DataLoader over a data set with a length they are drawn at random by ``seed``, whatever the loader's own
    order; from another iterable they are the first ones.

    Raises:
        DataError: the loader gives nothing, or no (images, labels).
    """
    source: Iterable[Any] = loader
    dataset: Any = getattr(loader, "dataset", None)
    if isinstance(loader, DataLoader) and hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))[:images]
        chosen = Subset(dataset, sorted(order.tolist()))
        # A loader without a batch size (its sampler gives whole batches) has no collate function to take over.
        collate = loader.collate_fn if loader.batch_size is not None else None
        source = DataLoader(chosen, batch_size=_BATCH, collate_fn=collate)
    with seeded(seed):  # workers and augmentation draw from the global state
        batches = _take(source, images)
    if not batches:
        raise DataError("The loader gives no image.", "Give it at least one batch of (images, labels).")
    return batches


def _take(source: Iterable[Any], images: int) -> list[Tensor]:
    batches: list[Tensor] = []
    left, room = images, _MEMORY
    for batch in source:
        found = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(found, Tensor) or found.dim() != 4:
            raise DataError(
                "The loader gives no (images, labels).", "Give batches of a tensor (N, C, H, W) and its labels."
            )
        found = found[:left]
        batches.extend(torch.split(found, _BATCH))
        left, room = left - len(found), room - found.numel() * found.element_size()
        if left <= 0 or room <= 0:
            break
    return batches


def input_shape_of(model: nn.Module, loader: Iterable[Any] | None = None) -> tuple[int, int, int]:
    """(channels, height, width) of the images that ``model`` reads.

    From the loader's first batch, else from the net's origin (what the last plan was executed for, else the size that
    it was built with), else the first of some usual sizes that the net takes.

    Raises:
        PlanError: none of these says it. DataError: the loader gives no images.
    """
    if loader is not None:
        first = next(iter(fitting_images(loader, images=1, seed=0)))
        return int(first.shape[1]), int(first.shape[2]), int(first.shape[3])
    origin = get_origin(model)
    if origin is not None and origin.input_shape is not None:
        return origin.input_shape
    options = origin.options if origin else {}
    conv = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    channels = int(options.get("in_channels") or (conv.in_channels if conv else 3))
    if options.get("size"):
        return channels, int(options["size"]), int(options["size"])
    for size in _SIZES:
        if _takes(model, (channels, size, size)):
            return channels, size, size
    raise PlanError("The net does not say which input size it reads.", "Pass input_shape=(channels, height, width).")


def _takes(model: nn.Module, shape: tuple[int, int, int]) -> bool:
    from cnngraph.errors import TraceError
    from cnngraph.network.graph import follow

    try:
        follow(model, shape)
    except TraceError:
        return False
    return True


def outputs_of(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """How many logits an image gets: the number of classes of a net that says nothing else.

    Of several outputs the first counts; of a net that cannot be asked what its last layer gives.
    """
    weight = next(model.parameters(), torch.zeros(()))
    logits: list[Tensor] = []
    with torch.no_grad():
        try:
            # In another memory format a view may fail that works otherwise; the copy takes what forward leaves.
            twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()
            logits = list_tensors(twin(torch.zeros(1, *shape, device=weight.device, dtype=weight.dtype)))
        except Exception:  # noqa: BLE001 (whatever the user's code raises)
            logits = []
    if logits and logits[0].ndim > 1:
        return int(logits[0].shape[-1])
    last = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1:]
    return max((m.out_features if isinstance(m, nn.Linear) else m.out_channels for m in last), default=0)
