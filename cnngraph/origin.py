"""Where a net comes from and how it wants its images: types that every other module may hold.

An :class:`Origin` travels on the live ``nn.Module`` (attribute ``cnngraph_origin``), in the JSON of a saved model
and, as ``architecture`` and ``recipe``, on the Model node: structure = architecture + options + executed plans.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from cnngraph.plan import Plan

__all__ = ["Origin", "Preprocessing", "get_origin", "get_preprocessing", "set_origin", "set_preprocessing"]

_ATTRIBUTE = "cnngraph_origin"
_PREPROCESSING = "cnngraph_preprocessing"


class Preprocessing(BaseModel):
    """How an image becomes the net's input.

    Attributes:
        size: height and width of the input, in pixels.
        channels: channels that the net reads; grey images are repeated, colour ones averaged to 1.
        mean, std: per channel, on the 0..1 scale; the input is ``(image - mean) / std``.
        resize: short side before a centre crop to ``size``; ``None`` resizes straight to ``size``.
        value_range: the stored numbers that become 0 and 1, what lies beyond is clipped; ``None`` is the full range of
            their type (8 bits: 0..255), which 32-bit integers and floats do not have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: tuple[int, int]
    channels: int = 3
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    resize: int | None = None
    value_range: tuple[float, float] | None = None

    @field_validator("value_range")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not (all(map(math.isfinite, value)) and value[0] < value[1]):
            raise ValueError("value_range must be two finite numbers, the lower one first")
        return value

    @model_serializer(mode="wrap")
    def _without_a_range_that_was_not_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a range it reads as it did before there were any: fingerprints hold what is written."""
        content: dict[str, Any] = write(self)
        if self.value_range is None:
            content.pop("value_range", None)
        return content


class Origin(BaseModel):
    """Architecture name, the options that its builder was called with, and the executed plans in order.

    ``input_shapes``: the (channels, height, width) that each plan was executed for, in the order of ``plans``: what
    takes the place of a layer depends on it. ``None``, or fewer than plans, where that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    plans: tuple[Plan, ...] = ()
    input_shapes: tuple[tuple[int, int, int] | None, ...] = ()

    @property
    def executed(self) -> tuple[tuple[Plan, tuple[int, int, int] | None], ...]:
        """Each plan with the input shape that it was executed for (``None`` where that is not known)."""
        unknown = (None,) * (len(self.plans) - len(self.input_shapes))
        return tuple(zip(self.plans, self.input_shapes + unknown, strict=False))

    @property
    def input_shape(self) -> tuple[int, int, int] | None:
        """What the last plan was executed for; ``None`` where that is not known or nothing was executed."""
        return self.executed[-1][1] if self.plans else None

    @property
    def parent(self) -> Origin:
        """Of the net that the last plan was executed on; itself where nothing was executed."""
        return self._with(self.executed[:-1])

    @property
    def last_steps(self) -> tuple[Plan, ...]:
        """The plans of the last prune in order: one, or those between which the net was trained (``settings["step"]``).

        >>> first, second = (Plan(settings={"step": number}) for number in (1, 2))
        >>> len(Origin(architecture="a", plans=(Plan(), first, second)).last_steps)
        2
        """
        number = self.plans[-1].settings.get("step") if self.plans else None
        count = number if isinstance(number, int) and 0 < number <= len(self.plans) else min(1, len(self.plans))
        steps = self.plans[len(self.plans) - count :]
        whole = [one.settings.get("step") for one in steps] == list(range(1, count + 1))
        return steps if whole else self.plans[-1:]

    @property
    def before_steps(self) -> Origin:
        """Of the net that the last prune was carried out on; itself where nothing was executed."""
        return self._with(self.executed[: len(self.plans) - len(self.last_steps)])

    def then(self, plan: Plan, input_shape: tuple[int, int, int] | None) -> Origin:
        """Of the net that ``plan``, executed for ``input_shape``, leaves."""
        return self._with((*self.executed, (plan, input_shape)))

    def _with(self, executed: tuple[tuple[Plan, tuple[int, int, int] | None], ...]) -> Origin:
        plans, shapes = (plan for plan, _ in executed), (shape for _, shape in executed)
        return self.model_copy(update={"plans": tuple(plans), "input_shapes": tuple(shapes)})

    @model_serializer(mode="wrap")
    def _without_what_was_not_known_once(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An origin without shapes reads as it did before there were any: fingerprints hold what is written."""
        content: dict[str, Any] = write(self)
        if not any(self.input_shapes):
            content.pop("input_shapes", None)
        return content

    @property
    def digest(self) -> str:
        """Names the structure: the same for nets that are built by the same options and lost the same, 12 digits."""
        gone = [[one.identity for one in plan.removes] for plan in self.plans]
        text = json.dumps([self.architecture, self.options, gone], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def get_origin(model: object) -> Origin | None:
    """The origin that a live net carries, or ``None`` for a net that was not made by cnngraph."""
    origin = getattr(model, _ATTRIBUTE, None)
    return origin if isinstance(origin, Origin) else None


def set_origin(model: object, origin: Origin) -> None:
    """Attach ``origin`` to a live net; it survives ``copy.deepcopy`` and is no part of the state dict."""
    object.__setattr__(model, _ATTRIBUTE, origin)


def get_preprocessing(model: object) -> Preprocessing | None:
    """How a net that was loaded wants its images, or ``None`` where that is not known.

    net = cg.load("slim/")
    cg.get_preprocessing(net).value_range
    """
    wanted = getattr(model, _PREPROCESSING, None)
    return wanted if isinstance(wanted, Preprocessing) else None


def set_preprocessing(model: object, wanted: Preprocessing) -> None:
    """Attach ``wanted`` to a live net, so that it is saved and exported with it; it survives ``copy.deepcopy``."""
    object.__setattr__(model, _PREPROCESSING, wanted)
