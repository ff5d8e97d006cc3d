"""``torchvision:NAME``: every classifier of torchvision, its pretrained weights and how they want their images."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from cnngraph.errors import ModelError, NotFoundError, explain
from cnngraph.late_compiler import import_without_compiler
from cnngraph.models.weights import fit_weights
from cnngraph.origin import Preprocessing

__all__ = [
    "DEFAULT_SIZE",
    "build",
    "find_weights",
    "layer_classes",
    "load_pretrained",
    "names",
    "own_size",
    "preprocessing",
]

DEFAULT_SIZE = 224
_OWN_SIZE = {"inception_v3": 299}


def _models() -> ModuleType:
    """``torchvision.models``, imported when a net of torchvision is asked for."""
    return import_without_compiler("torchvision.models")


def layer_classes(*names: str) -> tuple[type[nn.Module], ...]:
    """Layers of ``torchvision.ops``, for ``isinstance``; none before torchvision is imported, when no net has them."""
    ops = sys.modules.get("torchvision.ops")
    return () if ops is None else tuple(getattr(ops, name) for name in names)


def names() -> list[str]:
    """Every classifier, by the name that ``torchvision.models.get_model`` takes."""
    zoo = _models()
    return [str(name) for name in zoo.list_models(module=zoo)]


def own_size(name: str) -> int:
    """The input size that the architecture was made for, in pixels."""
    return _OWN_SIZE.get(name, DEFAULT_SIZE)


def build(name: str, *, classes: int, size: int, transform_input: bool = False) -> nn.Module:
    """The net with new weights.

    Args:
        name: a name from :func:`names`.
        classes: number of outputs.
        size: height and width of the input; part of the structure of vision transformers, else only a wish.
        transform_input: GoogLeNet and Inception renormalise their input, as their pretrained weights need it.

    Raises:
        ModelError: the structure does not allow this size.
    """
    options: dict[str, Any] = {"num_classes": classes}
    if name.startswith("vit_"):
        options["image_size"] = size
    elif name.startswith("maxvit_"):
        options["input_size"] = (size, size)
    elif name in ("googlenet", "inception_v3"):
        options |= {"init_weights": True, "aux_logits": True, "transform_input": transform_input}
    try:
        model: nn.Module = _models().get_model(name, weights=None, **options)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"torchvision:{name} cannot be built for images of {size} px: {explain(error)}.",
            f"Use --size {own_size(name)}.",
        ) from error
    return model


def find_weights(name: str, weights: str | Path | None) -> Any | None:
    """The entry of torchvision's weights list that ``weights`` means, or ``None`` where it says nothing.

    ``"pretrained"`` means the default entry; a file is known by the name that torchvision publishes it under.
    """
    if weights is None:
        return None
    entries = _models().get_model_weights(name)
    if weights == "pretrained":
        return entries.DEFAULT
    file_name = Path(weights).name
    return next((entry for entry in entries if entry.url.rpartition("/")[2] == file_name), None)


def preprocessing(name: str, entry: Any | None, size: int | None) -> Preprocessing:
    """What the weights ``entry`` was trained with, scaled to ``size`` where one is given; else plain 0.5 and 0.5."""
    if entry is None:
        side = size or own_size(name)
        return Preprocessing(size=(side, side), channels=3)
    recipe = entry.transforms()
    crop, short_side = recipe.crop_size[0], recipe.resize_size[0]
    side = size or crop
    return Preprocessing(
        size=(side, side),
        channels=3,
        mean=tuple(recipe.mean),
        std=tuple(recipe.std),
        resize=round(short_side * side / crop),
    )


def load_pretrained(model: nn.Module, name: str, *, new_head: bool) -> None:
    """Fetch torchvision's default weights through its own loading code and copy them into ``model``.

    Raises:
        ModelError: they cannot be fetched, or do not fit the number of classes without ``new_head``.
    """
    entry = find_weights(name, "pretrained")
    if entry is None:
        raise NotFoundError(f"torchvision has no pretrained weights for {name}.", "Leave out --weights.")
    try:
        pretrained: nn.Module = _models().get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise ModelError(
            f"The pretrained weights of torchvision:{name} could not be fetched: {explain(error)}.",
            f"Fetch {entry.url} by other means and pass the file: --weights FILE.",
        ) from error
    fit_weights(model, pretrained.state_dict(), where=f"{name}'s {entry}", new_head=new_head)
