"""Names -> nets: ``cnngraph:NAME``, ``torchvision:NAME``, ``timm:NAME`` and ``python:package.module:factory``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from cnngraph.console import say_all
from cnngraph.errors import ModelError, NotFoundError, UsageError, explain, nearest
from cnngraph.models import factories, timm_nets, torchvision_nets
from cnngraph.models.channels import read_channels
from cnngraph.models.small.layout import Layout
from cnngraph.models.small.zoo import OWN_SIZES, ZOO
from cnngraph.models.weights import load_weights, require_finite
from cnngraph.origin import Origin, Preprocessing, set_origin
from cnngraph.randomness import seeded

__all__ = ["WeightsChoice", "build", "default_preprocessing", "known_architectures", "rebuild", "require_known"]

_SMALL_SIZE = 32


def known_architectures() -> list[str]:
    """Every name that :func:`build` knows here (timm's where it is installed); ``python:`` names are the user's."""
    families = [name for name in _FAMILIES if name != "timm" or timm_nets.installed()]
    return [f"{family}:{name}" for family in families for name in _FAMILIES[family].names()]


def require_known(architecture: str) -> None:
    """Raise NotFoundError, with the nearest name, unless ``architecture`` is one that :func:`build` knows."""
    family, _, name = architecture.partition(":")
    if family == "python" or (family in _FAMILIES and name in _FAMILIES[family].names()):
        return
    raise NotFoundError(f"There is no architecture {architecture!r}.", _suggestion(architecture))


def _suggestion(architecture: str) -> str:
    """The nearest name; one typed without its family, or with an unknown one, is looked for in all of them."""
    known = known_architectures()
    bare = architecture.rpartition(":")[2]
    same = [name for name in known if name.rpartition(":")[2] == bare]
    if same:
        return f"Did you mean {' or '.join(same)}?"
    family = f"{architecture.partition(':')[0]}:"
    return nearest(architecture, [name for name in known if name.startswith(family)] or known)


@dataclass(frozen=True)
class WeightsChoice:
    """Which weights a net begins with.

    Attributes:
        source: ``"pretrained"`` or a file (safetensors, or a checkpoint of ``torch.save``).
        key: which of several sets of weights in that file, see :func:`cnngraph.models.weights.load_weights`.
        new_head: leave the output layer untrained, so that weights with other classes fit.
    """

    source: str | Path
    key: str | None = None
    new_head: bool = False


def build(
    name: str,
    *,
    classes: int,
    in_channels: int | None = None,
    size: int | None = None,
    width: float = 1.0,
    seed: int = 0,
    weights: WeightsChoice | None = None,
) -> nn.Module:
    """Build a net by name, with its :class:`~cnngraph.origin.Origin` attached.

    Args:
        name: one of :func:`known_architectures`, or ``python:package.module:factory``.
        classes: number of outputs.
        in_channels: channels that the first conv reads; ``None``: 3, and of a ``python:`` net what it turns out to
            read. ``torchvision:`` nets always read 3.
        size: height and width of the input in pixels; ``None``: the architecture's (or the weights') own.
        width: factor on the hidden channels of a ``cnngraph:`` net.
        seed: of the new weights; the global random state is left as it was.
        weights: ``None``: new ones.

    Raises:
        NotFoundError: an unknown name, module or file.
        ModelError: the net cannot be built so, the weights do not fit or are not finite.
    """
    require_known(name)
    family, _, rest = name.partition(":")
    if width != 1.0 and family != "cnngraph":
        raise UsageError(f"{name} has no width option.", "Leave out --width; cnngraph: nets have one.")
    source = weights.source if weights is not None else None
    options = _options(name, classes=classes, in_channels=in_channels or 3, size=size, width=width, weights=source)
    with seeded(seed):
        model = rebuild(name, options)
    if family == "python":
        options["in_channels"] = read_channels(model, name, options["size"], in_channels)
        set_origin(model, Origin(architecture=name, options=options))
    if weights is not None and weights.source == "pretrained":
        _FAMILIES[family].load_pretrained(model, rest, options, weights.new_head)
    elif weights is not None:
        say_all(load_weights(model, weights.source, new_head=weights.new_head, key=weights.key))
    require_finite(model, name)
    return model


def rebuild(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """The structure that ``architecture`` and the options of an Origin describe, with new weights.

    Raises:
        NotFoundError: an unknown architecture.
        ModelError: the options do not fit it.
    """
    require_known(architecture)
    family, _, rest = architecture.partition(":")
    try:
        model = _FAMILIES[family].build(rest, dict(options))
    except (TypeError, KeyError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ModelError(
            f"{architecture} cannot be built with the options {dict(options)}: {explain(error)}."
        ) from error
    set_origin(model, Origin(architecture=architecture, options=dict(options)))
    return model


def default_preprocessing(
    name: str, weights: str | Path | None = None, size: int | None = None, in_channels: int = 3
) -> Preprocessing:
    """How the net wants its images: what its weights say, else the architecture's own size, mean and std 0.5.

    timm's data config belongs to the architecture, so it is taken whatever the weights are.
    """
    require_known(name)
    family, _, rest = name.partition(":")
    return _FAMILIES[family].preprocessing(rest, weights, size, in_channels)


def _options(
    name: str, *, classes: int, in_channels: int, size: int | None, width: float, weights: str | Path | None
) -> dict[str, Any]:
    """Everything that the structure depends on, and what the net's input looks like."""
    preprocessing = default_preprocessing(name, weights, size, in_channels)
    options: dict[str, Any] = {
        "classes": classes,
        "in_channels": preprocessing.channels,
        "size": preprocessing.size[0],
    }
    if name.startswith("cnngraph:"):
        options["width"] = width
    if name in ("torchvision:googlenet", "torchvision:inception_v3"):
        known = torchvision_nets.find_weights(name.partition(":")[2], weights)
        options["transform_input"] = known is not None
    return options


@dataclass(frozen=True)
class _Family:
    """One source of nets; ``name`` is the part behind the colon, options are those of an Origin.

    Attributes:
        names: the names that it knows.
        build: (name, options) -> a net with new weights.
        preprocessing: (name, weights, size, in_channels) -> how the net wants its images.
        load_pretrained: (net, name, options, new_head) fetches the published weights into the net.
    """

    names: Callable[[], list[str]]
    build: Callable[[str, dict[str, Any]], nn.Module]
    preprocessing: Callable[[str, str | Path | None, int | None, int], Preprocessing]
    load_pretrained: Callable[[nn.Module, str, Mapping[str, Any], bool], None]


def _no_pretrained(_model: nn.Module, name: str, _options: Mapping[str, Any], _new_head: bool) -> None:
    raise ModelError(f"{name} has no pretrained weights.", "Give a weights file, or train it first.")


def _plain(
    default_size: int, own_sizes: Mapping[str, int] | None = None
) -> Callable[[str, str | Path | None, int | None, int], Preprocessing]:
    """``own_sizes``: by name, where a net is for images of another size."""

    def preprocessing(name: str, _weights: str | Path | None, size: int | None, channels: int) -> Preprocessing:
        side = size or (own_sizes or {}).get(name, default_size)
        return Preprocessing(size=(side, side), channels=channels)

    return preprocessing


def _small(name: str, options: dict[str, Any]) -> nn.Module:
    return ZOO[name](Layout(**options))


def _torchvision(name: str, options: dict[str, Any]) -> nn.Module:
    options.pop("in_channels", None)  # always 3: grey images are repeated
    return torchvision_nets.build(name, **options)


def _factory(path: str, options: dict[str, Any]) -> nn.Module:
    return factories.build(path, options["classes"])


# A new family of architectures is one new file and one entry here.
_FAMILIES = {
    "cnngraph": _Family(
        names=lambda: list(ZOO),
        build=_small,
        preprocessing=_plain(_SMALL_SIZE, OWN_SIZES),
        load_pretrained=_no_pretrained,
    ),
    "torchvision": _Family(
        names=torchvision_nets.names,
        build=_torchvision,
        preprocessing=lambda name, weights, size, _channels: torchvision_nets.preprocessing(
            name, torchvision_nets.find_weights(name, weights), size
        ),
        load_pretrained=lambda model, name, _options, new_head: torchvision_nets.load_pretrained(
            model, name, new_head=new_head
        ),
    ),
    "timm": _Family(
        names=timm_nets.names,
        build=lambda name, options: timm_nets.build(name, **options),
        preprocessing=lambda name, _weights, size, channels: timm_nets.preprocessing(name, size, channels),
        load_pretrained=lambda model, name, options, new_head: timm_nets.load_pretrained(
            model, name, in_channels=options["in_channels"], size=options["size"], new_head=new_head
        ),
    ),
    "python": _Family(
        names=list,
        build=_factory,
        preprocessing=_plain(torchvision_nets.DEFAULT_SIZE),
        load_pretrained=_no_pretrained,
    ),
}
