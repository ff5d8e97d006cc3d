"""What a temperature and a share of a teacher's answers may be; torch is not needed to say so.

The loss that they are of: :mod:`cnngraph.training.distillation`.
"""

from __future__ import annotations

import math

from cnngraph.errors import OptionError

__all__ = ["require_teaching"]


def require_teaching(temperature: float, alpha: float) -> None:
    """Return if logits can be divided by ``temperature``, and ``alpha`` is a share of the loss.

    Raises:
        OptionError: the temperature is not finite and above 0, or alpha not within 0..1.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise OptionError(f"{{temperature={temperature}}} is not a finite number above 0.", "Use one such as 4.")
    if not 0 <= alpha <= 1:  # NaN is none either
        raise OptionError(f"{{alpha={alpha}}} is not a share from 0 to 1.", "Use one such as 0.9.")
