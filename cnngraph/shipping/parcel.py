"""What is shipped: a net with everything that its user must know, from a saved model or a live one."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cnngraph import __version__
from cnngraph.models.weights import require_finite, require_values
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.trace import weights_sha256
from cnngraph.origin import Preprocessing, get_origin
from cnngraph.surgery.calibration import input_shape_of
from cnngraph.surgery.description import FORMAT, Description
from cnngraph.surgery.saved import HowBuilt, Saved, SavedFacts, describe, own_preprocessing, read_saved

__all__ = ["Parcel", "pack", "pack_saved"]


@dataclass(frozen=True)
class Parcel:
    """A net on the CPU, in eval mode, with how it wants its images and what its outputs mean.

    Attributes:
        input_shape: (channels, height, width).
        classes: names of the outputs; empty where unknown.
        dataset: name of the data that it was trained on, or "".
        saved: the saved model that it is, or None for a live net.
    """

    model: nn.Module
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    dataset: str = ""
    saved: Saved | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of its parameters, and so of its images."""
        floats = (tensor.dtype for tensor in self.model.state_dict().values() if tensor.is_floating_point())
        return next(floats, torch.float32)

    @property
    def labels(self) -> dict[str, str]:
        """What travels inside every format, as JSON texts: ``preprocessing``, ``classes`` and ``model``."""
        origin = get_origin(self.model)
        model = {
            "architecture": origin.architecture if origin else type(self.model).__qualname__,
            "dataset": self.dataset,
            "input_shape": self.input_shape,
            "cnngraph": __version__,
        }
        return {
            "preprocessing": self.preprocessing.model_dump_json(),
            "classes": json.dumps(self.classes),
            "model": json.dumps(model),
        }

    def describe(self) -> Description:
        """From what the net can be built again.

        Raises:
            ModelError: a live net cannot be built again.
        """
        if self.saved is None:
            return describe(
                self.model,
                built=HowBuilt(input_shape=self.input_shape),
                facts=SavedFacts(preprocessing=self.preprocessing, classes=self.classes, dataset=self.dataset),
            )
        known = {name: getattr(self.saved, name) for name in Saved.model_fields if name not in ("model", "format")}
        return Description(format=FORMAT, cnngraph=__version__, **known | {"sha256": weights_sha256(self.model)})


def pack_saved(path: str | Path) -> Parcel:
    """The saved model at ``path``. Raises as :func:`cnngraph.surgery.saved.read_saved`."""
    saved = read_saved(path)
    return Parcel(saved.model, saved.input_shape, saved.preprocessing, saved.classes, saved.dataset, saved)


def pack(
    model: nn.Module,
    *,
    input_shape: tuple[int, int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
) -> Parcel:
    """A live net, copied: what happens to the copy does not touch the user's. Wrappers (DataParallel) are left out.

    Args:
        input_shape: (channels, height, width); by default what ``preprocessing`` or the net's origin says.
        preprocessing: by default what a net that was loaded wants.

    Raises:
        ModelError: its weights are NaN or infinite, or lie on no device.
    """
    model = unwrapped(model)
    require_values(model)
    require_finite(model, "The net")
    preprocessing = preprocessing or own_preprocessing(model, input_shape)
    if input_shape is None and preprocessing is not None:
        input_shape = (preprocessing.channels, *preprocessing.size)
    twin = copy.deepcopy(model).cpu().eval()
    shape = input_shape or input_shape_of(twin)
    wanted = preprocessing or Preprocessing(size=(shape[1], shape[2]), channels=shape[0])
    return Parcel(twin, shape, wanted, tuple(classes))
