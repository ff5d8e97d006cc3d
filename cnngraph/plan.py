"""Plan: what goes out of a net, and why. Types and their validation only; nothing here reads a net or a database.

Every number is finite: JSON has no other ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from cnngraph.errors import NotFoundError, PlanError
from cnngraph.files import write_text
from cnngraph.validation import parse_as, parse_json
from cnngraph.vocabulary import INITS_OF_JOINS, INITS_OF_NEW_LAYERS

__all__ = ["Init", "LayerScore", "Plan", "Removal", "Replacement", "Step", "read_plan", "write_plan"]

PLAN_VERSION = 2

_HINT = "Mend it there, or write one with: cnngraph plan NAME --out plan.json"

Init = Literal["least-squares", "inherit", "reset", "scratch", "random", "parent"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerScore(_Strict):
    """One layer's place in the ranking: ``theta = value / reference``, ``value`` the layer's maximum over its nodes."""

    layer: str
    theta: FiniteFloat
    value: FiniteFloat


class Step(_Strict):
    """One threshold at which the set of removed layers changes; ``removed`` is the whole set, in network order.

    ``parameters`` and ``macs`` are those of the net that is left, ``latency_ms`` an estimate for one image; each is
    ``None`` where the step cannot be built (it names every conv, say) or was not asked for.
    """

    threshold: FiniteFloat
    removed: tuple[str, ...]
    parameters: int | None = None
    macs: int | None = None
    latency_ms: FiniteFloat | None = None


class Replacement(_Strict):
    """The one layer that takes the place of a block: a conv, with norm and activation as the block's last have them.

    ``kernel``: rows and columns. ``stride``: (rows, columns), by default the block's: the product of its layers'.
    ``norm``, ``activation``: what stands behind it, by class; said for people, since the net itself decides it.
    """

    kernel: int = Field(default=3, ge=1)
    stride: tuple[int, int] | None = None
    groups: Literal[1] = 1
    norm: str | None = None
    activation: str | None = None

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a kernel of {value} x {value} has no middle; an odd one is wanted")
        return value

    @property
    def in_words(self) -> str:
        """What it is called: ``one 3x3 conv``."""
        return f"one {self.kernel}x{self.kernel} conv"


class Removal(_Strict):
    """One thing that goes, and why: a layer, a block, some filters of a layer or some of its weights, or a block for
    which one layer comes.

    ``filters``: with ``kind="filters"`` the output channels of ``layer`` that go, numbered as in the net that the plan
    is for. Channels of other layers that are coupled with them go along, whether the plan names them or not.
    ``scores``: of these filters, in the same order (empty where there are none); ``score`` is then their largest.
    ``steps``: in the same order, the step in which each went, from 1, where the net was trained between steps.
    ``replacement``: with ``kind="replace"`` the layer that takes the place of the block ``layer``.
    ``mask``, ``alive``: with ``kind="weights"`` which weights of ``layer`` stay, by the sha256 of the mask that lies
    beside the weights of the new net, and how many they are.
    """

    layer: str
    kind: Literal["layer", "block", "filters", "weights", "replace"] = "layer"
    filters: tuple[int, ...] = ()
    scores: tuple[FiniteFloat, ...] = ()
    steps: tuple[int, ...] = ()
    mask: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    alive: int | None = Field(default=None, ge=0)
    score: FiniteFloat | None = None
    threshold: FiniteFloat | None = None
    reason: str = ""
    replacement: Replacement | None = None

    @property
    def new_layer(self) -> Replacement:
        """The layer that takes the place of a replaced block."""
        return self.replacement or Replacement()

    @property
    def is_whole(self) -> bool:
        """Whether a whole layer or block goes, and nothing comes for it."""
        return self.kind in ("layer", "block")

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without steps or a new layer it reads as it did before there were any: fingerprints hold what is written."""
        content: dict[str, Any] = write(self)
        for name in ("steps", "replacement"):
            if not content.get(name):
                content.pop(name, None)
        if self.kind != "weights":
            del content["mask"], content["alive"]
        return content

    @property
    def identity(self) -> list[Any]:
        """What of it decides the structure of the net that it leaves."""
        replacement = [self.new_layer.kernel, *(self.new_layer.stride or ())]
        more: dict[str, Any] = {"weights": self.mask, "replace": replacement}
        return [self.kind, self.layer, self.filters, *([more[self.kind]] if self.kind in more else [])]

    @model_validator(mode="after")
    def _mask_of_weights(self) -> Removal:
        known = bool(self.mask) and self.alive is not None
        if (self.kind == "weights") != known or (self.kind != "weights" and (self.mask or self.alive is not None)):
            wanted = "names no mask" if self.kind == "weights" else f"is a {self.kind}, which has no mask"
            raise ValueError(f"{self.layer} {wanted}")
        return self

    @model_validator(mode="after")
    def _replaced_block(self) -> Removal:
        if self.replacement is not None and self.kind != "replace":
            raise ValueError(f"{self.layer} is a {self.kind}, which has no field replacement")
        return self

    @model_validator(mode="after")
    def _filters_of_a_layer(self) -> Removal:
        if (self.kind == "filters") != bool(self.filters):
            wanted = "names no filters" if self.kind == "filters" else f"is a {self.kind}, which has no field filters"
            raise ValueError(f"{self.layer} {wanted}")
        twins = sorted({channel for channel in self.filters if self.filters.count(channel) > 1})
        if twins:
            raise ValueError(f"{self.layer} names filter {twins[0]} more than once")
        if min(self.filters, default=0) < 0:
            raise ValueError(f"{self.layer} names filter {min(self.filters)}; they are numbered from 0")
        if self.scores and len(self.scores) != len(self.filters):
            raise ValueError(f"{self.layer} has {len(self.scores)} scores for {len(self.filters)} filters")
        if self.steps and (len(self.steps) != len(self.filters) or min(self.steps) < 1):
            raise ValueError(f"{self.layer} has {len(self.steps)} steps, from 1, for {len(self.filters)} filters")
        return self


class Plan(_Strict):
    """What goes out of one model, with the reasons; ``surgery.apply`` executes it.

    ``model`` is the key ``owner/name`` (empty for a live net); ``architecture`` guards against another net's plan,
    ``recipe`` (:attr:`cnngraph.origin.Origin.digest`) against that of a net of this architecture which was built or
    pruned otherwise, whose filters have other numbers; each is empty where it is not known.
    ``removes`` decides; ``layers`` and ``schedule`` are its explanation, ``settings`` what the method was asked for
    (ratio, scope, target). ``notes`` are sentences for a person.
    """

    version: int = PLAN_VERSION
    model: str = ""
    architecture: str = ""
    recipe: str = ""
    method: str = "manual"
    measure: str | None = None
    aggregate: str | None = None
    run: str | None = None
    reference: FiniteFloat | None = None
    reference_rule: str = "median"
    threshold: FiniteFloat | None = None
    layers: tuple[LayerScore, ...] = ()
    schedule: tuple[Step, ...] = ()
    removes: tuple[Removal, ...] = ()
    init: Init = "least-squares"
    settings: dict[str, Any] = Field(default_factory=dict)
    correlations: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def removed(self) -> list[str]:
        """Names of the layers and blocks that go, in the plan's order; blocks that are replaced too."""
        return [removal.layer for removal in self.removes if removal.kind in ("layer", "block", "replace")]

    @property
    def replaced(self) -> list[str]:
        """Names of the blocks that one layer replaces."""
        return [removal.layer for removal in self.removes if removal.kind == "replace"]

    @property
    def filters(self) -> dict[str, tuple[int, ...]]:
        """The filters that go, by layer."""
        return {removal.layer: removal.filters for removal in self.removes if removal.kind == "filters"}

    @property
    def weights(self) -> dict[str, Removal]:
        """The masks of layers that lose weights, by layer."""
        return {removal.layer: removal for removal in self.removes if removal.kind == "weights"}

    @property
    def unguarded(self) -> Plan:
        """The same for whatever net fits it: of one that was checked when it was first carried out."""
        return self.model_copy(update={"architecture": "", "recipe": ""})

    @property
    def in_words(self) -> str:
        """What goes, in a few words: the layers and blocks by name, the filters counted."""
        parts = [
            f"{one.layer} (replaced by {one.new_layer.in_words})" if one.kind == "replace" else one.layer
            for one in self.removes
            if one.kind in ("layer", "block", "replace")
        ]
        if self.filters:
            count, layers = sum(map(len, self.filters.values())), len(self.filters)
            parts.append(f"{count:,} filter{'s' * (count > 1)} of {layers:,} layer{'s' * (layers > 1)}")
        if self.weights:
            count = len(self.weights)
            parts.append(f"weights of {count:,} layer{'s' * (count > 1)}")
        return ", ".join(parts) or "nothing"

    @field_validator("version")
    @classmethod
    def _known_version(cls, value: int) -> int:
        if value > PLAN_VERSION:
            raise ValueError(
                f"plan version {value} was written by a newer cnngraph (this one reads up to {PLAN_VERSION})"
            )
        return value

    @model_validator(mode="after")
    def _no_twins(self) -> Plan:
        # What is left of a layer that loses filters may lose weights, too.
        names = [(removal.kind == "weights", removal.layer) for removal in self.removes]
        twins = sorted({name for which, name in names if names.count((which, name)) > 1})
        if twins:
            raise ValueError(f"removes names {', '.join(twins)} more than once")
        return self

    @model_validator(mode="after")
    def _replaces_alone(self) -> Plan:
        """Blocks that are replaced keep their shapes, other removals do not: one plan does the one or the other."""
        replaced = self.replaced
        if replaced and len(replaced) != len(self.removes):
            other = next(one.layer for one in self.removes if one.kind != "replace")
            raise ValueError(
                f"it replaces {replaced[0]} and removes {other}: that takes two plans, one after the other"
            )
        wanted = INITS_OF_NEW_LAYERS if replaced else INITS_OF_JOINS
        if self.removes and self.init not in wanted:
            what = "a layer that replaces a block" if replaced else "layers where ends are joined"
            raise ValueError(f"init: {self.init} is nothing for {what}; one of {', '.join(wanted)}")
        return self


def write_plan(plan: Plan, path: str | Path) -> None:
    """Write ``plan`` as indented JSON that a person can edit; atomic."""
    write_text(path, plan.model_dump_json(indent=2) + "\n")


def read_plan(path: str | Path) -> Plan:
    """Read a plan.

    Raises:
        NotFoundError: there is no such file.
        PlanError: the file is not a plan; the message names the first field that is wrong.
    """
    source = Path(path)
    if not source.is_file():
        raise NotFoundError(f"There is no plan file {source}.", "Write one with: cnngraph plan NAME --out plan.json")

    def fail(why: str) -> PlanError:
        return PlanError(f"{source} is not a valid plan: {why}.", _HINT)

    return parse_as(Plan, parse_json(source.read_bytes(), fail), fail)
