"""Weights files: safetensors and plain state dicts. Nothing is ever unpickled."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from cnngraph.errors import ModelError, NotFoundError

__all__ = ["copy_state", "fit_weights", "heads", "load_weights", "read_weights", "require_finite"]

# Where training scripts commonly put the state dict inside a checkpoint.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_AUXILIARY_HEADS = ("AuxLogits.fc", "aux1.fc2", "aux2.fc2")


def load_weights(model: nn.Module, path: str | Path, *, new_head: bool = False) -> None:
    """Load a file of weights into ``model``, in place.

    Args:
        model: the net; its last conv or dense layer (and the heads of auxiliary classifiers) is the head.
        path: a safetensors file, or what ``torch.save(model.state_dict(), path)`` wrote.
        new_head: leave the head as it was initialised, whatever the file holds for it.

    Raises:
        NotFoundError: there is no such file.
        ModelError: it is no weights file, a pickle, does not fit the net, or holds NaN or infinity.
    """
    fit_weights(model, read_weights(path), where=str(path), new_head=new_head)


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by name, on the CPU."""
    source = Path(path)
    if source.is_dir():
        raise ModelError(f"{source} is a folder, not a weights file.", "Name the .safetensors or .pt file in it.")
    if not source.is_file():
        raise NotFoundError(f"There is no weights file {source}.", "Give a path, or --weights pretrained.")
    if source.suffix == ".safetensors":
        return _read_safetensors(source)
    return _unwrap(_read_torch(source), source)


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


def _read_torch(source: Path) -> object:
    try:
        with warnings.catch_warnings():
            # torch remarks on pickle protocols and archives that it is about to refuse; our error says it.
            warnings.simplefilter("ignore")
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{source} is no plain state dict but a pickle of other Python objects; it was never executed.",
            "Save the weights with torch.save(model.state_dict(), FILE) or as safetensors.",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError) as error:
        first_line = str(error).partition("\n")[0]
        raise ModelError(
            f"{source} is not a readable weights file: {first_line}.", "Write or fetch it again."
        ) from error


def _unwrap(content: object, source: Path) -> dict[str, torch.Tensor]:
    """The state dict itself: out of a checkpoint's wrapper, without the prefix of DataParallel."""
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{source} holds no state dict.", "Save one with torch.save(model.state_dict(), FILE).")
    odd = next((key for key, value in content.items() if not isinstance(value, torch.Tensor)), None)
    if odd is not None:
        raise ModelError(
            f"{source} is no plain state dict: its entry {odd!r} is no tensor.",
            "Save one with torch.save(model.state_dict(), FILE).",
        )
    prefix = "module." if all(str(key).startswith("module.") for key in content) else ""
    return {str(key).removeprefix(prefix): value for key, value in content.items()}


def fit_weights(model: nn.Module, tensors: Mapping[str, torch.Tensor], *, where: str, new_head: bool = False) -> None:
    """Copy ``tensors`` into ``model`` after checking every name, shape and value; ``where`` names them in messages."""
    own = model.state_dict()
    kept = tuple(f"{head}." for head in heads(model)) if new_head else ()
    given = {key: value for key, value in tensors.items() if not key.startswith(kept)} if kept else dict(tensors)
    wanted = {key: value for key, value in own.items() if not (kept and key.startswith(kept))}
    # Files from before torch 0.4.1 lack this counter; batch norm does not need it.
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    extra = [key for key in given if key not in wanted]
    if missing or extra:
        parts = [f"lacks {_some(missing)}" if missing else "", f"has unknown {_some(extra)}" if extra else ""]
        raise ModelError(
            f"{where} does not fit the net: it {' and '.join(part for part in parts if part)}.",
            "Name the architecture that these weights were trained in.",
        )
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            raise _misfit(model, key, value, wanted[key], where)
    _require_finite(given, where)
    copy_state(model, given)


def copy_state(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors of known names and shapes into ``model``; what is not among them stays.

    A plain dict lacks the versions that some modules (MNASNet) demand from a state dict, so the net's own is filled.
    """
    state = model.state_dict()
    state.update(tensors)
    model.load_state_dict(state)


def _misfit(model: nn.Module, key: str, given: torch.Tensor, wanted: torch.Tensor, where: str) -> ModelError:
    if key.rpartition(".")[0] in heads(model) and given.shape[1:] == wanted.shape[1:]:
        return ModelError(
            f"{where} has {given.shape[0]} outputs, but the data has {wanted.shape[0]} classes.",
            "Use --new-head to give the net an untrained output layer.",
        )
    return ModelError(
        f"{where} does not fit the net: {key} is {tuple(given.shape)}, the net needs {tuple(wanted.shape)}.",
        "Check the architecture, --size, --width and the input channels.",
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def heads(model: nn.Module) -> list[str]:
    """Names of the layers whose outputs are the classes: the last conv or dense layer, and auxiliary heads."""
    weighted = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    auxiliary = [name for name in _AUXILIARY_HEADS if name in weighted]
    return auxiliary + weighted[-1:]


def require_finite(model: nn.Module, where: str) -> None:
    """Raise ModelError, naming the first tensor, if a parameter or buffer of ``model`` is NaN or infinite."""
    _require_finite(model.state_dict(), where)


def _require_finite(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    for key, value in tensors.items():
        if value.is_floating_point() and value.device.type != "meta" and not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            raise ModelError(
                f"{where} has {bad} NaN or infinite values in {key}.", "Use weights from before the training diverged."
            )
