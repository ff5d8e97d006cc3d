"""``timm:NAME`` (extra ``timm``): every net of PyTorch Image Models, its weights and how they want their images.

A name may carry the tag of its weights, ``timm:resnet18d.ra2_in1k``; without one, timm's default tag is meant.
"""

from __future__ import annotations

import math
from functools import cache
from types import ModuleType
from typing import Any

from torch import nn

from cnngraph.errors import ModelError, NotFoundError, explain
from cnngraph.late_compiler import import_without_compiler
from cnngraph.models.weights import fit_weights
from cnngraph.origin import Preprocessing

__all__ = ["build", "installed", "load_pretrained", "names", "preprocessing"]


def installed() -> bool:
    """Whether the extra is there, without the seconds that importing it takes."""
    from importlib.util import find_spec

    return find_spec("timm") is not None


@cache
def names() -> list[str]:
    """Every architecture, and every architecture with the tag of weights that there are for it."""
    timm = _timm()
    return [*timm.list_models(), *timm.list_models(pretrained=True)]


def build(name: str, *, classes: int, in_channels: int, size: int) -> nn.Module:
    """The net with new weights.

    Args:
        name: a name from :func:`names`.
        classes: number of outputs.
        in_channels: channels that the first conv reads.
        size: height and width of the input; part of the structure where timm says that the size is fixed.

    Raises:
        ModelError: the structure does not allow this size or these channels.
    """
    return _create(name, pretrained=False, classes=classes, in_channels=in_channels, size=size)


def preprocessing(name: str, size: int | None, in_channels: int) -> Preprocessing:
    """What timm's data config says of the weights that ``name`` means, scaled to ``size`` where one is given.

    Nets with other than three channels get the mean over the three of the published mean and deviation.
    """
    timm = _timm()
    config = timm.data.resolve_data_config(pretrained_cfg=_config(timm, name))
    own = int(config["input_size"][-1])
    side = size or own
    mean, std = tuple(map(float, config["mean"])), tuple(map(float, config["std"]))
    if len(mean) != in_channels:
        mean, std = (math.fsum(mean) / len(mean),), (math.fsum(std) / len(std),)
    # Anything but a centre crop (squash, border) fits the whole picture into the input.
    cropped = config["crop_mode"] == "center" and config["crop_pct"] < 1
    return Preprocessing(
        size=(side, side),
        channels=in_channels,
        mean=mean,
        std=std,
        resize=math.floor(side / config["crop_pct"]) if cropped else None,
    )


def load_pretrained(model: nn.Module, name: str, *, in_channels: int, size: int, new_head: bool) -> None:
    """Fetch the weights that ``name`` means through timm's own loader and copy them into ``model``.

    Raises:
        NotFoundError: timm has none. ModelError: they cannot be fetched, or have other classes without ``new_head``.
    """
    config = _config(_timm(), name)
    published = [config.get(key) for key in ("hf_hub_id", "url", "file")]
    if not any(published):
        raise NotFoundError(f"timm has no pretrained weights for {name}.", "Leave out --weights.")
    classes = int(config["num_classes"])
    pretrained = _create(name, pretrained=True, classes=classes, in_channels=in_channels, size=size)
    fit_weights(model, pretrained.state_dict(), where=f"timm's {name}.{config['tag']}", new_head=new_head)


def _create(name: str, *, pretrained: bool, classes: int, in_channels: int, size: int) -> nn.Module:
    timm = _timm()
    config = _config(timm, name)
    own = int(config["input_size"][-1])
    options: dict[str, Any] = {"num_classes": classes, "in_chans": in_channels}
    if config["fixed_input_size"] and size != own:
        options["img_size"] = size
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:  # what requests, urllib and the hub raise
        raise ModelError(
            f"The pretrained weights of timm:{name} could not be fetched: {explain(error)}.",
            "Fetch them by other means and pass the file: --weights FILE.",
        ) from error
    except (AssertionError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(
            f"timm:{name} cannot be built for images of {size} px with {in_channels} channels: {explain(error)}.",
            f"Use --size {own}.",
        ) from error
    return model


def _config(timm: ModuleType, name: str) -> dict[str, Any]:
    """timm's record of the weights that ``name`` means, or its defaults for a net without weights."""
    found = timm.get_pretrained_cfg(name, allow_unregistered=True)
    defaults = {"input_size": (3, 224, 224), "num_classes": 1000, "fixed_input_size": False, "tag": ""}
    return defaults | (found.to_dict() if found else {})


def _timm() -> ModuleType:
    try:
        found = import_without_compiler("timm")
        import_without_compiler("timm.data")
    except ImportError as error:
        raise NotFoundError("timm is not installed.", 'Run: pip install "cnngraph[timm]"') from error
    return found
