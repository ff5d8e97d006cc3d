"""What a method is: one file of :mod:`cnngraph.pruning.methods` fills these types, one line of the registry names it.

A method looks at a net (and at its graph, its images, ...) and answers with a
:class:`~cnngraph.pruning.path.PruningPath`: plans that remove more from level to level. How far along the path the
decision goes is said by limits, the same for every method (:mod:`cnngraph.pruning.limits.limit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from cnngraph.vocabulary import AGREE, ENGINES, INITS_OF_JOINS

if TYPE_CHECKING:
    from cnngraph.pruning.budget import Allowance, Way
    from cnngraph.pruning.context import Context
    from cnngraph.pruning.path import PruningPath
    from cnngraph.pruning.stepwise import Stepwise

__all__ = [
    "ALL",
    "Method",
    "Need",
    "OptionField",
    "agree_option",
    "engine_option",
    "layer_option",
    "option",
    "option_fields",
]

ALL = "all"  # in the place of the names of layers


class Need(StrEnum):
    """What a method must have to decide."""

    GRAPH = "graph"  # the model in the database
    WEIGHTS = "weights"  # its saved net
    IMAGES = "images"
    OWN_IMAGES = "own images"  # those that the model was ingested with, no others
    LABELS = "labels"
    TRAINING = "training"
    PERSON = "person"


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    words: tuple[str, ...] = (),
    least: int | None = None,
    needed: bool = False,
) -> Any:
    """A field of a method's ``Options``: a choice that a person has, by command line, Python and documentation.

    Args:
        default: what it is where nothing is said. help: one sentence for ``--help``, without the default.
        words: all values that it may have, where these are words. least: the smallest number.
        needed: the method says nothing without it.
    """
    return field(default=default, metadata={"help": help, "words": words, "least": least, "needed": needed})


def engine_option() -> Any:
    """The field of methods that may have to measure the graph: where that happens."""
    return option(
        "auto", "Where it is measured: auto; database (Cypher, GDS); local, on the graph read back.", words=ENGINES
    )


def layer_option() -> Any:
    """The field of methods that may be told whose filters go."""
    return option((), f"Filters of this layer may go; repeat it, or {ALL}.")


def agree_option() -> Any:
    """The field of methods that carry out what people said on the page of ``cnngraph review``."""
    return option(
        "all", f"How many of those who judged a filter must say that it goes: {', '.join(AGREE)}.", words=AGREE
    )


@dataclass(frozen=True)
class OptionField:
    """One option of a method as the registry, the command line and the rules see it."""

    name: str
    kind: type
    default: Any
    help: str
    words: tuple[str, ...]
    least: int | None
    needed: bool = False


@dataclass(frozen=True)
class Method:
    """A way to decide what goes.

    Attributes:
        name: as it is typed: ``--method NAME``. summary: one sentence for ``--help`` and the documentation.
        removes: what a plan of it removes.
        options: a frozen dataclass whose fields are made by :func:`option`.
        limits: names of the limits that it takes (:data:`cnngraph.pruning.limits.limit.LIMITS`); none: it says by
            itself how much goes.
        needs: what it must have, for these options.
        path: plans that remove more from level to level; the mapping holds the bounds that were given, by name (a
            threshold, a count, a share), which no plan of the path may exceed. ``None`` of a method with ``steps``.
        steps: of a method that decides while the net is trained: what goes step by step, from the same. There is no
            plan before; only a prune carries it out.
        within: of a method without targets, by which of its options and bounds it comes down to one; raises PlanError,
            which says why it cannot. ``None``: nobody can hold it to a budget.
        says_all: an option that says by itself how much goes, so that no limit is needed beside it, nor allowed.
        implied: whether naming one of its limits or options is enough, so that ``--method`` may be left out.
        inits: first weights that what takes the place of what goes may have.
        lists: whether a plan without any limit says something: a ranking, a schedule.
        takes_long: whether the path itself is long work, which ``minutes`` ends with any limit.
        paper: where it was published; "" for our own.
    """

    name: str
    removes: Literal["layers", "filters", "weights"]
    summary: str
    options: type
    limits: tuple[str, ...]
    needs: Callable[[Any], frozenset[Need]]
    path: Callable[[Context, Any, Mapping[str, Any]], PruningPath] | None = None
    steps: Callable[[Context, Any, Mapping[str, Any]], Stepwise] | None = None
    within: Callable[[Context, Any, Allowance], Way] | None = None
    says_all: str | None = None
    implied: bool = False
    inits: tuple[str, ...] = INITS_OF_JOINS
    lists: bool = False
    takes_long: bool = False
    paper: str = ""

    @property
    def fields(self) -> tuple[OptionField, ...]:
        """Its options."""
        return option_fields(self.options)


# A tuple is an option that may be repeated.
_KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "tuple[str, ...]": tuple}


def option_fields(options: type) -> tuple[OptionField, ...]:
    """The options that a dataclass declares.

    Raises:
        TypeError: a field was not made by :func:`option`, or has a type that no option can have, or a default of
            another type or word. It is said to whoever writes a method, when it is registered.
    """
    return tuple(_read(options.__name__, one) for one in fields(options))


def _read(owner: str, one: Any) -> OptionField:
    where = f"{owner}.{one.name}"
    if "help" not in one.metadata:
        raise TypeError(f"{where} is no option: make it by cnngraph.pruning.method.option(default, help)")
    name = one.type if isinstance(one.type, str) else one.type.__name__
    if name not in _KINDS:
        raise TypeError(f"{where} has the type {name}: an option is one of {', '.join(_KINDS)}")
    kind, words = _KINDS[name], one.metadata["words"]
    if type(one.default) is not kind:
        raise TypeError(f"{where} is a {name}, and its default {one.default!r} is none")
    if words and one.default not in words:
        raise TypeError(f"{where} has the default {one.default!r}, which is not one of {', '.join(words)}")
    said = one.metadata
    return OptionField(one.name, kind, one.default, said["help"], words, said["least"], said["needed"])
