"""The checkpoint of a training: one safetensors file, replaced atomically, its JSON state in the file's header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer

from cnngraph.datasets.images import Images
from cnngraph.errors import ConflictError, ModelError
from cnngraph.models.masks import get_masks
from cnngraph.models.weights import copy_state

__all__ = ["Checkpoint", "read_checkpoint", "settings_of", "write_checkpoint"]

_MODEL, _BEST, _OPTIMIZER = "model.", "best.", "optimizer."
_TOLD_BY = 16  # images


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stood after an epoch.

    Attributes:
        state: JSON: the settings it was started with, the next epoch, the history.
        model, best: state dicts of the last and of the best epoch.
        optimizer: the optimizer's tensors, named ``NUMBER.NAME`` by the place of their parameter.
    """

    state: dict[str, Any]
    model: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]

    def restore(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Put the tensors back; each parameter's memory format is kept."""
        copy_state(model, self.model)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for name, value in self.optimizer.items():
            place, _, field = name.partition(".")
            parameter = parameters[int(place)]
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter).copy_(value)
            optimizer.state[parameter][field] = value


def settings_of(model: nn.Module, images: Images, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What names one training, so that no other goes on from its checkpoint: the recipe, hashes of the weights that it
    begins with, of its masks and of the data.

    The data are told by their labels in order and by the first images as the net reads them: every one would be read
    once more.
    """
    from cnngraph.network.trace import weights_sha256

    digest = hashlib.sha256(images.labels.tobytes())
    digest.update(images[range(min(_TOLD_BY, len(images)))][0].numpy().tobytes())
    masks = get_masks(model)
    known = {"weights": weights_sha256(model), "masks": masks.sha256 if masks else None}
    return dict(recipe) | known | {"images": f"{len(images)} {digest.hexdigest()}"}


def write_checkpoint(
    path: Path,
    state: Mapping[str, Any],
    model: nn.Module,
    best: Mapping[str, torch.Tensor],
    optimizer: Optimizer,
) -> None:
    """Write ``path`` so that a reader, also after a crash, finds either the old checkpoint or this one."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    tensors = {f"{_MODEL}{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"{_BEST}{name}": value for name, value in best.items()}
    for place, parameter in enumerate(parameters):
        for field, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{_OPTIMIZER}{place}.{field}"] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    # Cloned, since safetensors refuses tensors that share memory (tied weights, best = last).
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(copies, part, metadata={"state": json.dumps(dict(state))})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_checkpoint(path: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint at ``path``, or ``None`` where there is none.

    Raises:
        ConflictError: it is of a training with other settings.
        ModelError: it cannot be read.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as content:
            state = json.loads(content.metadata()["state"])
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The checkpoint {path} cannot be read: {error}.", "Delete it to train anew.") from error
    changed = sorted(key for key, value in settings.items() if state.get("settings", {}).get(key) != value)
    if changed:
        raise ConflictError(
            f"The checkpoint {path} is of a training with other {', '.join(changed)}.",
            "Train with the same options, weights and data to go on, or delete it to train anew.",
        )
    return Checkpoint(state, *(_strip(tensors, prefix) for prefix in (_MODEL, _BEST, _OPTIMIZER)))


def _strip(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
