"""What the output of a net is: which of its tensors are the logits, and what every tensor in it is called.

A classifier gives a matrix of logits (images, classes): alone, or in a tuple, list, dict, named tuple or dataclass
beside other tensors (features, auxiliary heads), of which it is then the only one that can be meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from torch import Tensor

from cnngraph.errors import ModelError

__all__ = ["Logits", "logits_of", "matrices_of", "tensors_of", "training_logits"]

_NAMES = ("logits", "out")  # what transformers and torchvision call them beside other outputs
_OUTPUT = "output"


@dataclass(frozen=True)
class Logits:
    """The logits of a batch.

    Attributes:
        values: (images, classes).
        name: where they stand, as Python writes it: ``output``, ``output[0]``, ``output['logits']``.
    """

    values: Tensor
    name: str

    @property
    def note(self) -> str:
        """A sentence where they had to be chosen, else ""."""
        return "" if self.name == _OUTPUT else f"The net gives more than its logits: {self.name} is taken."


def tensors_of(output: object) -> dict[str, Tensor]:
    """The tensors of an output by where they stand in it, in its own order; what is none is left out.

    >>> import torch
    >>> list(tensors_of({"logits": torch.zeros(2, 3), "features": [torch.zeros(2, 8), None]}))
    ["output['logits']", "output['features'][0]"]
    """
    return dict(_leaves(_OUTPUT, output))


def _leaves(name: str, value: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
        return
    for part, inner in _parts(value):
        yield from _leaves(f"{name}{part}", inner)


def _parts(value: object) -> list[tuple[str, object]]:
    """What a container holds, each with what selects it."""
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", inner) for key, inner in value.items()]
    if isinstance(value, tuple | list):
        names = getattr(value, "_fields", None)
        if names:  # a named tuple
            return [(f".{key}", inner) for key, inner in zip(names, value, strict=True)]
        return [(f"[{place}]", inner) for place, inner in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return [(f".{field.name}", getattr(value, field.name, None)) for field in fields(value)]
    return []


def matrices_of(output: object, images: int) -> dict[str, Tensor]:
    """The tensors that may be logits, by name: real numbers of shape (images, one or more), each once."""
    found: dict[str, Tensor] = {}
    for name, value in tensors_of(output).items():
        # `x.squeeze()` drops the dimension of a batch of one.
        matrix = value.unsqueeze(0) if images == 1 and value.ndim == 1 else value
        real = matrix.is_floating_point() and matrix.ndim == 2 and len(matrix) == images and matrix.shape[1] > 0
        if real and not any(matrix is one for one in found.values()):
            found[name] = matrix
    return found


def logits_of(output: object, images: int, classes: int | None = None) -> Logits:
    """The logits in the output of a net for a batch of ``images``.

    A matrix that stands alone is taken as it is. Of several tensors it is the one matrix (images, ``classes``), else
    the one of more columns; of several such the one that is called ``logits`` or ``out``.

    Args:
        classes: how many the data has; ``None`` where that is not known.

    Raises:
        ModelError: there is none, there are several, or it has fewer columns than there are classes.
    """
    fitting = _fitting(output, images, classes)
    name = next(iter(fitting)) if len(fitting) == 1 else _named(fitting)
    if name is None:
        shapes = " and ".join(f"{one} {_shape(fitting[one])}" for one in fitting)
        raise ModelError(
            f"The net's output has {len(fitting)} matrices that may be its logits: {shapes}.",
            "Let forward give the logits alone in eval mode, or in a dict under the name 'logits'.",
        )
    return Logits(fitting[name], name)


def training_logits(output: object, images: int, classes: int | None = None) -> tuple[Tensor, list[Tensor]]:
    """The logits in what a net gives in train mode, and its auxiliary heads: other matrices of the same shape.

    Of several the one that is called ``logits`` or ``out`` is the main one, else the first.

    Raises:
        ModelError: there are none, or they have fewer columns than there are classes.
    """
    fitting = _fitting(output, images, classes)
    main = fitting.pop(_named(fitting) or next(iter(fitting)))
    return main, [one for one in fitting.values() if one.shape == main.shape]


def _fitting(output: object, images: int, classes: int | None) -> dict[str, Tensor]:
    """The matrices of as many columns as there are classes, else of more; by name, at least one."""
    found = matrices_of(output, images)
    if not found:
        raise _without(output, images, classes)
    if classes is None:  # one number an image is hardly an answer where there is a matrix of more
        return {name: one for name, one in found.items() if one.shape[1] > 1} or found
    enough = {name: one for name, one in found.items() if one.shape[1] >= classes}
    if not enough:
        most = max(one.shape[1] for one in found.values())
        hint = "Build it with as many outputs as the data has classes, or use --new-head, of train and ingest."
        raise ModelError(
            f"The net has {most} outputs, but the data has {classes} classes.",
            "Give it one output a class, also where there are two, and no sigmoid." if most == 1 else hint,
        )
    return {name: one for name, one in enough.items() if one.shape[1] == classes} or enough


def _named(matrices: Mapping[str, Tensor]) -> str | None:
    """The one that is called as logits are."""
    return next((name for word in _NAMES for name in matrices if _last_word(name) == word), None)


def _last_word(name: str) -> str:
    """
    >>> _last_word("output['heads']['logits']"), _last_word("output.logits"), _last_word("output[0]")
    ('logits', 'logits', '0')
    """
    return re.split(r"\W+", name.rstrip("']"))[-1]


def _shape(tensor: Tensor) -> str:
    return "(" + ", ".join(map(str, tensor.shape)) + ")"


def _without(output: object, images: int, classes: int | None) -> ModelError:
    """Why an output has no logits."""
    wanted = f"(images, {classes if classes is not None else 'classes'})"
    tensors = tensors_of(output)
    said = f"The net's output is no matrix of logits {wanted}"
    if not tensors:
        return ModelError(f"{said}: it holds no tensor, it is a {type(output).__name__}.", "Give a classifier.")
    shapes = ", ".join(f"{name} {_shape(one)} {_type(one)}" for name, one in list(tensors.items())[:5])
    said = f"{said}: for {images} images it is {shapes}."
    first = next(iter(tensors.values()))
    if len(tensors) > 1:
        return ModelError(said, "Give a classifier.")
    if not first.is_floating_point():
        return ModelError(said, "Let forward give the logits themselves, real numbers, and no classes made of them.")
    if first.shape == (images,):
        return ModelError(said, "Give it one output a class, also where there are two, and no sigmoid.")
    if first.ndim == 4 and first.shape[2:] == (1, 1):
        return ModelError(said, "Let forward drop the places of the maps: return x.flatten(1).")
    if first.ndim == 4:
        return ModelError(said, "Give a classifier; a segmenter can be followed and cut, but not judged by classes.")
    return ModelError(said, "Give a classifier.")


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
