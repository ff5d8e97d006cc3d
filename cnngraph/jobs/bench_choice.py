"""Which methods are held to which budgets, how often, and how their nets are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from cnngraph.errors import OptionError, nearest
from cnngraph.pruning.limits.limit import LIMITS, TARGETS
from cnngraph.pruning.limits.target import Kind, Target
from cnngraph.pruning.method import Method, Need
from cnngraph.pruning.registry import METHODS, find_method
from cnngraph.sources.stored import OtherData, other_data
from cnngraph.vocabulary import DEVICES, PRECISIONS

__all__ = ["BenchChoice", "Budget", "choose_bench", "methods_with_budget", "saves_nothing"]

# The order of a table where nobody names methods; one that is not listed here comes after them.
_ORDER = ("multilayer", "car", "progressive", "imp", "similarity", "filters", "triage", "random")
_KINDS = {name.removeprefix("target_"): LIMITS[name] for name in TARGETS}
_SEEDS = 2**31  # so many different ones are there
_COUNTED = ("epochs", "batch_size")
_PLAIN = ("seeds", "seed", "minutes", "device", "precision")
_NAMED_TARGET = re.compile(r"\{target_(\w+)=([^{}]*)\}")


@dataclass(frozen=True)
class Budget:
    """What every method is to come down to: one target, as ``prune`` has them.

    Attributes:
        kind: macs, parameters, speedup, latency_ms or mb. value: as in :class:`cnngraph.pruning.limits.target.Target`.
    """

    kind: str
    value: float

    @property
    def text(self) -> str:
        """As it is typed.

        >>> Budget("macs", 0.5).text, Budget("macs", 1234567.0).text
        ('macs=0.5', 'macs=1234567')
        """
        return f"{self.kind}={self.value:.12g}"

    @property
    def limits(self) -> dict[str, float]:
        """The same as the limit of a prune."""
        return {f"target_{self.kind}": self.value}

    @cached_property
    def target(self) -> Target:
        """The same as a search for it has it."""
        return Target(cast("Kind", self.kind), self.value)

    def left_of(self, whole: float | None) -> float:
        """How much is to be left of ``whole``, in the unit of what is counted (milliseconds of a speed-up).

        Args:
            whole: what the net has before; may be ``None`` where the budget is an amount.

        >>> Budget("macs", 0.5).left_of(100), Budget("macs", 40.0).left_of(100), Budget("speedup", 2.0).left_of(6.0)
        (50.0, 40.0, 3.0)
        """
        if self.kind == "speedup" or (self.kind in ("macs", "parameters") and self.value < 1):
            assert whole is not None
            return whole / self.value if self.kind == "speedup" else whole * self.value
        return self.value

    @classmethod
    def read(cls, text: str) -> Budget:
        """From ``macs=0.5``.

        Raises:
            OptionError: there is no such budget, or the value is no number that it may have.
        """
        kind, equals, number = str(text).partition("=")
        kind = kind.strip().replace("-", "_")
        if not equals or kind not in _KINDS:
            known = kind.lower() in _KINDS
            hint = f"For example {{budget={_example(kind.lower())}}}." if known else nearest(kind, _KINDS)
            raise OptionError(f"{{budget={text}}} is no budget: that is a kind and a value.", hint)
        try:
            value = float(number)
        except ValueError:
            raise OptionError(
                f"{{budget={text}}} has no number.", f"For example {{budget={_example(kind)}}}."
            ) from None
        try:
            budget = cls(kind, _KINDS[kind].check(value))
            _ = budget.target
        except OptionError as error:
            message, hint = (_NAMED_TARGET.sub(r"{budget=\1=\2}", text) for text in error.templates)
            raise OptionError(message, hint) from error
        return budget


def _example(kind: str) -> str:
    return f"{kind}={_KINDS[kind].example}"


@dataclass(frozen=True)
class BenchChoice:
    """What was asked for, checked.

    Attributes:
        methods, budgets: in the order of the table.
        recipe: epochs, batch_size and learning_rate, as far as they were said; the epochs are all that a net is
            trained for after the first cut, however many steps it takes.
        seeds: how many times each method; the first has the seed ``seed``, the next one more.
        minutes: no point is begun that would end later.
        precision: of all trainings: auto, or fp32.
        data: instead of the data that the model was ingested with.
    """

    methods: tuple[Method, ...]
    budgets: tuple[Budget, ...]
    recipe: Mapping[str, int | float | None] = field(default_factory=dict)
    seeds: int = 1
    seed: int = 0
    minutes: float | None = None
    device: str = "auto"
    precision: str = "auto"
    data: OtherData = field(default_factory=OtherData)

    def __post_init__(self) -> None:
        """Raise OptionError for a value out of range."""
        counted = {"seeds": self.seeds} | {name: value for name, value in self.recipe.items() if name in _COUNTED}
        for name, count in counted.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise OptionError(f"{{{name}={count}}} is no whole number above 0.", f"For example {{{name}=3}}.")
        for name, amount in (("learning_rate", self.recipe.get("learning_rate")), ("minutes", self.minutes)):
            if amount is not None and not amount > 0:
                raise OptionError(f"{{{name}={amount}}} is out of range.", "Give more than 0.")
        whole = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        if not (whole and 0 <= self.seed < _SEEDS):
            raise OptionError(f"{{seed={self.seed}}} is out of range.", "Use one such as {seed=1}.")
        if self.seed + self.seeds > _SEEDS:
            raise OptionError(f"{{seeds={self.seeds}}} is out of range.", "Use a few, such as {seeds=3}.")
        if self.device not in DEVICES:
            raise OptionError(f"There is no device {self.device!r}.", nearest(self.device, DEVICES))
        if self.precision not in PRECISIONS:
            raise OptionError(f"There is no precision {self.precision!r} here.", f"Known: {', '.join(PRECISIONS)}.")

    @property
    def all_seeds(self) -> range:
        """Of each method."""
        return range(self.seed, self.seed + self.seeds)


def methods_with_budget() -> tuple[str, ...]:
    """Names of the methods that can be held to a budget by themselves, in the order of a table."""
    able = [name for name, method in METHODS.items() if why_without_budget(method) is None]
    return (*(name for name in _ORDER if name in able), *(name for name in able if name not in _ORDER))


def saves_nothing(method: Method, budget: Budget) -> bool:
    """Whether a method can come near to this kind of budget not at all."""
    return bool(method.saves) and budget.kind not in method.saves


def why_without_budget(method: Method) -> str | None:
    """Why a method cannot be held to a budget by itself; ``None``: it can."""
    if Need.PERSON in method.needs(method.options()):
        return "it carries out what people decided, however much that is"
    if method.fit_to_target is None and not set(TARGETS) & set(method.limits):
        return "it has no target"
    return None


def choose_bench(said: Mapping[str, Any]) -> BenchChoice:
    """What was said, by name, checked; ``None`` is as good as left out. Nothing is looked up.

    Raises:
        OptionError: an unknown method or budget, one twice, a method that takes none, or a value out of range.
    """
    known = {name: value for name, value in said.items() if value is not None}
    recipe: dict[str, int | float | None] = {
        name: known[name] for name in ("epochs", "batch_size", "learning_rate") if name in known
    }
    plain = {name: known[name] for name in _PLAIN if name in known}
    budgets = _each(known.get("budget", ()))
    if not budgets:
        raise OptionError("A budget is needed: {budget}.", "For example {budget=macs=0.5} or {budget=speedup=2}.")
    names = _each(known.get("methods", methods_with_budget()))
    if not names:
        raise OptionError(
            "{methods} names no method.", f"Leave it out, or name some: {', '.join(methods_with_budget())}."
        )
    methods = tuple(_able(name) for name in _once("methods", names))
    read = tuple(Budget.read(text) for text in budgets)
    _once("budget", [budget.text for budget in read])
    return BenchChoice(methods, read, recipe, data=other_data(known.get("data"), known.get("data_root")), **plain)


def _each(names: object) -> list[str]:
    """One name, several with commas between, or a list of them."""
    each = list(names) if isinstance(names, list | tuple) else [names]
    return [part.strip() for name in each for part in str(name).split(",")]


def _once(option: str, names: Sequence[str]) -> Sequence[str]:
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise OptionError(f"{{{option}}} names {twice} twice.", "Name it once: more runs of it are {seeds}.")
    return names


def _able(name: str) -> Method:
    method = find_method(name)
    why = why_without_budget(method)
    if why is not None:
        raise OptionError(
            f"The method {name} cannot be held to a budget: {why}.",
            f"Those that can: {', '.join(methods_with_budget())}.",
        )
    return method
