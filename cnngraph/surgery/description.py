"""What a saved model says of itself: the JSON beside its weights, and the refusal of one that cannot be meant."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from cnngraph.datasets.split_record import SplitRecord
from cnngraph.errors import ModelError
from cnngraph.origin import Origin, Preprocessing
from cnngraph.plan import PLAN_VERSION
from cnngraph.validation import parse_as, read_object

__all__ = ["FORMAT", "JOINS_SINCE", "MASKS_FILE", "MASKS_SINCE", "SPLIT_SINCE", "Description", "format_of", "parse"]

MASKS_FILE = "masks.safetensors"  # beside the weights, where some are pruned

FORMAT = 4
JOINS_SINCE = 2
SPLIT_SINCE = 3
MASKS_SINCE = 4


class Description(BaseModel):
    """Where the net comes from and how it is used; an unknown key means a newer or a broken file.

    Attributes:
        format: version of this description. cnngraph: the version that wrote it.
        origin: architecture, options and executed plans.
        input_shape: (channels, height, width) of one input.
        classes: names of the outputs (empty where unknown). dataset: name of the data that it was trained on, or "".
        training: the settings that it was trained with ({} where unknown).
        trained: whether its weights are more than an initialisation.
        joins: what stands where plans removed layers and blocks, by path (``rebuilding.Rebuilt``): a plan names what
            goes, and a later cnngraph may join the ends otherwise. Not known before format 2.
        split: which images it was trained and judged on, in short; ``None`` where it was saved without data. Not known
            before format 3.
        sha256: of the weights file beside it; in a single file, of the tensors (``trace.weights_sha256``).
        masks: sha256 of its masks (``Masks.sha256``); ``None`` where no weight is pruned. initial: of the weights that
            its training began with (``Initial.sha256``), where they were kept. Only format 4 has one of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    cnngraph: str = ""
    origin: Origin
    input_shape: tuple[int, int, int]
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    dataset: str = ""
    training: dict[str, Any] = Field(default_factory=dict)
    trained: bool = True
    joins: dict[str, str] = Field(default_factory=dict)
    split: SplitRecord | None = None
    sha256: str
    masks: str | None = None
    initial: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_it_has_not(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A model without masks reads as it did before there were any."""
        content: dict[str, Any] = write(self)
        for name in ("masks", "initial"):
            if content[name] is None:
                del content[name]
        return content


def format_of(*, masks: str | None, initial: str | None) -> int:
    """The version of a description: the oldest that can say this, so that as many programs as may be read it."""
    return MASKS_SINCE if masks or initial else SPLIT_SINCE


def parse(text: str | bytes, where: str) -> Description:
    """Read a description; ``where`` names the file in messages.

    Raises:
        ModelError: it is not JSON, describes no saved model (the first field that is wrong), or was written by a newer
            cnngraph.
    """

    def fail(why: str) -> ModelError:
        return ModelError(f"{where} does not describe a saved model: {why}.", "Save the model again.")

    content = read_object(text, fail)
    version = content.get("format")
    if not isinstance(version, int):
        raise fail("it names no format")
    newest = max((found for found in map(_version, _plans(content)) if found), default=1)
    if version > FORMAT or newest > PLAN_VERSION:
        writer = str(content.get("cnngraph") or "")
        raise ModelError(
            f"{where} was written by a newer cnngraph ({writer or 'unknown'}): format {version}, "
            f"plans {newest}; this one reads up to {FORMAT} and {PLAN_VERSION}.",
            f"Install cnngraph {writer} or newer.".replace("  ", " "),
        )
    return parse_as(Description, content, fail)


def _plans(content: dict[str, Any]) -> list[dict[str, Any]]:
    origin = content.get("origin")
    plans = origin.get("plans") if isinstance(origin, dict) else None
    return [plan for plan in plans if isinstance(plan, dict)] if isinstance(plans, list) else []


def _version(plan: dict[str, Any]) -> int | None:
    version = plan.get("version", 1)
    return version if isinstance(version, int) else None
