"""What the small nets share: their options, scaled widths and an initialisation that trains without norm."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from cnngraph.errors import ModelError

__all__ = ["Layout", "initialise"]


@dataclass(frozen=True)
class Layout:
    """The options of a small net.

    Attributes:
        classes: number of outputs.
        in_channels: channels that the first conv reads.
        size: height and width of the input, in pixels; dense layers are sized from it.
        width: factor on the number of channels of every hidden layer.
    """

    classes: int
    in_channels: int = 3
    size: int = 32
    width: float = 1.0

    def channels(self, full: int) -> int:
        """``full`` channels at this width, at least one.

        >>> Layout(10, width=0.25).channels(64), Layout(10, width=0.001).channels(64)
        (16, 1)
        """
        return max(1, round(full * self.width))

    @property
    def dropout(self) -> float:
        """One half at full width; thin dense layers have less to spare, and hardly learn when half of them is gone."""
        return 0.5 * min(1.0, self.width)

    def require_size(self, smallest: int, net: str) -> None:
        """Raise ModelError where a map would shrink to nothing."""
        if self.size < smallest:
            raise ModelError(f"{net} cannot read images of {self.size} px.", f"Use --size {smallest} or more.")


def initialise(model: nn.Module) -> None:
    """He initialisation for every conv and dense layer, so that 13 convs without norm still pass a gradient.

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10 (``fan_in``).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
