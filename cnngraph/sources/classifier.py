"""What a job asks of a net before anything long begins: that it is a classifier, and gives the same answers twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cnngraph.console import say, warn
from cnngraph.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Examination", "examine", "require_repeatable"]

# sound: a net without logits and one that is random are refused. classifier: the second is said. none: both are said.
Examination = Literal["sound", "classifier", "none"]
_IMAGES = 4
_ALWAYS = (
    "Let forward do it in training alone: F.dropout(x, p, training=self.training), or nn.Dropout; noise under "
    "`if self.training:`."
)


def examine(model: nn.Module, input_shape: tuple[int, int, int], classes: int, required: Examination) -> None:
    """Run the net on a few random images of its size; what is wrong with it is said or refused, as ``required``.

    Raises:
        ModelError: its output has no logits for so many classes, or it is random in eval mode.
    """
    from cnngraph.training.fitness import require_classifier

    images = _random_images(input_shape)
    try:
        note = require_classifier(model, images, classes).note
        if note:
            say(note)
    except ModelError as error:
        if required != "none":
            raise
        warn(f"{error.message} It can be mapped and measured, but not trained, evaluated or pruned by a command.")
    _say_repeatable(model, images, refuse=required == "sound")


def require_repeatable(model: nn.Module, input_shape: tuple[int, int, int]) -> None:
    """Return if runs of ``model`` in eval mode on the same images give the same.

    Raises:
        ModelError: they do not: nothing can be proven equal to such a net.
    """
    _say_repeatable(model, _random_images(input_shape), refuse=True)


def _random_images(input_shape: tuple[int, int, int]) -> Tensor:
    import torch

    return torch.randn(_IMAGES, *input_shape, generator=torch.Generator().manual_seed(0))


def _say_repeatable(model: nn.Module, images: Tensor, *, refuse: bool) -> None:
    from cnngraph.training.repeatability import repeatability

    found = repeatability(model, images)
    if found.random:
        said = f"The net gives other outputs for the same images each time, in eval mode too: {found.random}."
        if refuse:
            raise ModelError(said, _ALWAYS)
        warn(f"{said} Every figure of it is one draw, and it cannot be pruned. {_ALWAYS}")
    if found.batch:
        warn(
            f"What the net gives for an image depends on the others of its batch, in eval mode too: {found.batch}. "
            "Its figures depend on how images are batched, and one image alone gets other answers."
        )
