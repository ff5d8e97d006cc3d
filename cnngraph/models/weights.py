"""Weights files into nets: whatever does not fit is named, and nothing of a file is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from cnngraph.errors import ModelError
from cnngraph.models.checkpoints import COUNTER, choose, flatten
from cnngraph.models.misfits import misfit, require_readable
from cnngraph.models.torch_files import read_torch
from cnngraph.models.weight_files import require_file, require_kind, shards

__all__ = [
    "copy_state",
    "fit_weights",
    "heads",
    "load_weights",
    "read_weights",
    "require_finite",
    "require_values",
    "with_aliases",
]

_AUXILIARY_HEADS = ("AuxLogits.fc", "aux1.fc2", "aux2.fc2")


def load_weights(model: nn.Module, path: str | Path, *, new_head: bool = False, key: str | None = None) -> list[str]:
    """Load a file of weights into ``model``, in place, and say what else the file holds, a line each.

    Args:
        model: the net; its last conv or dense layer (and the heads of auxiliary classifiers) is the head.
        path: a safetensors file, what ``torch.save`` wrote, or the index of such files; whatever its suffix.
        new_head: leave the head as it was initialised, whatever the file holds for it.
        key: what the names of the weights begin with, where the file holds several sets of them.

    Raises:
        NotFoundError: there is no such file, or nothing in it begins with ``key``.
        ModelError: it is no weights file, holds objects that are not read, several sets of weights, weights that do not
            fit the net, or NaN or infinity.
    """
    tensors = read_weights(require_file(path))
    head = tuple(f"{name}." for name in heads(model)) if new_head else ()
    chosen = choose(tensors, model.state_dict(), where=str(path), tied=_tied(model), head=head, key=key)
    fit_weights(model, chosen.tensors, where=str(path), new_head=new_head)
    return list(chosen.notes)


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Every tensor of a weights file by its dotted name, on the CPU. Raises as :func:`load_weights` of the file."""
    source = require_file(path, "Give the path of one.")
    kind = require_kind(source)
    if kind.reader == "index":
        return {name: value for shard in shards(source) for name, value in _read_shard(shard, source).items()}
    tensors = _read_safetensors(source) if kind.reader == "safetensors" else flatten(read_torch(source))
    if not tensors:
        raise ModelError(f"{source} holds no state dict.", "Save one with torch.save(model.state_dict(), FILE).")
    return tensors


def _read_shard(shard: Path, index: Path) -> dict[str, torch.Tensor]:
    if require_kind(shard).reader == "index":
        raise ModelError(f"{index} names {shard.name}, which is an index itself.", "Fetch that file again.")
    return read_weights(shard)


def _read_safetensors(source: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(source)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{source} is not a readable safetensors file: {error}.", "Write or fetch it again."
        ) from error
    return tensors


def fit_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor], *, where: str, new_head: bool = False) -> None:
    """Copy ``tensors`` into ``model`` after checking every name, shape and value.

    The names are the net's own. Tied parameters may be there under one of their names alone.

    Args:
        where: names the tensors in messages.
        new_head: leave the head as it was initialised.

    Raises:
        ModelError: names are missing or unknown or shapes differ (each is named), or a value is NaN or infinite;
            nothing was copied.
    """
    require_values(model)
    own = model.state_dict()
    kept = tuple(f"{head}." for head in heads(model)) if new_head else ()
    named = with_aliases(model, tensors)
    given = {key: value for key, value in named.items() if not (kept and key.startswith(kept))}
    wanted = {key: value for key, value in own.items() if not (kept and key.startswith(kept))}
    # Files from before torch 0.4.1 lack this counter; batch norm does not need it.
    missing = [key for key in wanted if key not in given and not key.endswith(COUNTER)]
    extra = [key for key in given if key not in wanted]
    misshapen = [key for key in given if key in wanted and given[key].shape != wanted[key].shape]
    if not missing and not extra and _only_the_head_differs(model, misshapen, given, wanted):
        raise ModelError(
            f"{where} has {given[misshapen[0]].shape[0]} outputs, "
            f"but the data has {wanted[misshapen[0]].shape[0]} classes.",
            "Give the net an untrained output layer: --new-head, of train and ingest.",
        )
    if missing or extra or misshapen:
        raise misfit(where, given, wanted, missing, extra, misshapen, heads(model))
    require_readable(given, wanted, where)
    _require_finite(given, where)
    copy_state(model, given)


def with_aliases(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``tensors``, with those that are tied in ``model`` under all of their names: safetensors files hold them once."""
    found = dict(tensors)
    for names in _tied(model):
        stored = next((name for name in names if name in tensors), None)
        if stored is not None:
            found |= {name: tensors[stored] for name in names if name not in tensors}
    return found


def _tied(model: nn.Module) -> list[list[str]]:
    """The names of tensors that have several."""
    named: dict[Any, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        # Two parameters over the same memory are tied as well; an empty one has none.
        where = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) if tensor.numel() else ()
        named.setdefault(where if where and where[0] else id(tensor), []).append(name)
    return [names for names in named.values() if len(names) > 1]


def _only_the_head_differs(
    model: nn.Module, misshapen: list[str], given: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> bool:
    outputs = heads(model)
    return bool(misshapen) and all(
        key.rpartition(".")[0] in outputs and given[key].shape[1:] == wanted[key].shape[1:] for key in misshapen
    )


def copy_state(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors of known names and shapes into ``model``; what is not among them stays.

    A plain dict lacks the versions that some modules (MNASNet) demand from a state dict, so the net's own is filled.
    """
    state = model.state_dict()
    state.update(tensors)
    model.load_state_dict(state)


def heads(model: nn.Module) -> list[str]:
    """Names of the layers whose outputs are the classes: the last conv or dense layer, and auxiliary heads."""
    weighted = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    auxiliary = [name for name in _AUXILIARY_HEADS if name in weighted]
    return auxiliary + weighted[-1:]


def require_values(model: nn.Module) -> None:
    """Raise ModelError, naming the first, if a parameter or buffer of ``model`` has no shape or no values yet."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise ModelError(
                f"The weight {name} has no shape yet.", "Run the net once on a batch of images where it is made."
            )
        if tensor.is_meta:
            raise ModelError(f"The weight {name} is on the meta device and has no values.", "Load the weights first.")


def require_finite(model: nn.Module, where: str) -> None:
    """Raise ModelError, naming the first tensor, if one of ``model`` is NaN or infinite; one without values is not."""
    _require_finite(model.state_dict(), where)


def _require_finite(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    for key, value in tensors.items():
        if value.is_floating_point() and value.device.type != "meta" and not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            raise ModelError(
                f"{where} has {bad} NaN or infinite values in {key}.", "Use weights from before the training diverged."
            )
