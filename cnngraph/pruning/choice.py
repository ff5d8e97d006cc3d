"""What a person may say about what goes: the one set of rules, for the command line, Python and the demo alike.

Everything is named as in Python (``round_to``); an :class:`~cnngraph.errors.OptionError` says the same in the words of
the command line. Nothing here looks anything up: what it refuses is refused before any server is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cnngraph.errors import OptionError, listed, nearest
from cnngraph.pruning.limits.limit import BOUNDS, COMPANIONS, GENERAL, LIMITS, TARGETS, TIMED, read_limits
from cnngraph.pruning.method import Method, Need, OptionField
from cnngraph.pruning.registry import METHODS, OPTIONS, find_method
from cnngraph.vocabulary import DEVICES, INITS, INITS_OF_JOINS

if TYPE_CHECKING:
    from cnngraph.plan import Init, Plan
    from cnngraph.pruning.limits.cost_meter import Timing
    from cnngraph.pruning.limits.target import Target

__all__ = ["BY_PERSON", "Choice", "choose"]

# What a person names outright, instead of a method with limits; those of one tuple go together.
BY_PERSON = (("remove_layers", "remove_blocks"), ("plan",), ("run",))
ROUND_FOR_TIME = 8  # kernels compute channels by the eight: a layer of nine takes as long as one of sixteen
KEPT = "it is to be kept"


@dataclass(frozen=True)
class Choice:
    """What goes, as a person said it; checked.

    Attributes:
        method: that decides; ``None`` where a person named what goes. options: of that method, its own dataclass.
        limits: by name, as :data:`~cnngraph.pruning.limits.limit.LIMITS` has them. judged: how, by name (``steps``,
            ``runtime`` ...), as it was typed.
        layers, blocks, plan, run: what a person named.
        keep: layers that stay, with the reason. init: ``None`` where nothing was said.
        tuned: whether the net will be trained after its cut; trials then train too.
    """

    method: Method | None = None
    options: Any = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    judged: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    plan: Plan | str | Path | None = None
    run: str | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    init: Init | None = None
    seed: int = 0
    device: str = "auto"
    tuned: bool = True

    @property
    def bounds(self) -> dict[str, Any]:
        """The limits that are not exceeded and need no trial: a threshold, a count, a share."""
        return {name: value for name, value in self.limits.items() if name in BOUNDS}

    @property
    def targets(self) -> tuple[Target, ...]:
        """The limits that are to be reached."""
        from cnngraph.pruning.limits.target import Kind, Target

        wanted = ((name, self.limits[name]) for name in TARGETS if name in self.limits)
        return tuple(Target(cast("Kind", name.removeprefix("target_")), value) for name, value in wanted)

    @property
    def max_accuracy_drop(self) -> float | None:
        """In points of percent."""
        return self.limits.get("max_accuracy_drop")

    @property
    def max_kappa_drop(self) -> float | None:
        """Of Cohen's kappa, 0 to 2."""
        return self.limits.get("max_kappa_drop")

    @property
    def decides_while_training(self) -> bool:
        """Whether there is no plan before the net is trained."""
        return self.method is not None and self.method.steps is not None

    @property
    def timing(self) -> Timing:
        """How latency is measured."""
        from cnngraph.pruning.limits.cost_meter import Timing

        table = self.judged.get("latency_table")
        return Timing(
            device=self.judged.get("latency_on", "cpu"),
            runtime=self.judged.get("runtime", "eager"),
            batch=self.judged.get("batch", 1),
            table=Path(table) if table is not None else None,
            percentile=self.judged.get("percentile", 50),
        )

    @property
    def measures_time(self) -> bool:
        """Whether the decision hangs on times that are measured, and would come out otherwise another time."""
        return any(name in self.limits for name in TIMED) and "latency_table" not in self.judged

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides, as JSON holds it: what an interrupted decision is remembered by."""
        return {
            "method": self.method.name if self.method else None,
            "options": asdict(self.options) if self.options is not None else None,
            "limits": dict(self.limits),
            "judged": {name: str(value) for name, value in self.judged.items()},
            "keep": dict(self.keep),
            "init": self.init,
            "seed": self.seed,
            "device": self.device,
            "tuned": self.tuned,
        }


def choose(
    said: Mapping[str, Any],
    *,
    ways: Sequence[str] = (),
    needed: bool = False,
    reads_data: bool = False,
) -> Choice:
    """What was said, checked as a whole.

    Args:
        said: by name; ``None`` is as good as left out.
        ways: of :data:`BY_PERSON`, those that may be said here.
        needed: refuse it where nothing says how much goes; else a method that lists does so.
        reads_data: the data are read whatever decides (they are trained on).

    Raises:
        OptionError: an option that there is not, of another method, out of range, or options that do not go together.
        NotFoundError: the file of limits is not there.
        UsageError: a device or runtime that this machine has not.
    """
    given = {name: value for name, value in said.items() if value is not None}
    _require_options(given, ways)
    given = _with_file(given)
    by_person = [name for name in ways if name in given]
    deciding = [name for name in given if name in LIMITS or name in COMPANIONS or name in OPTIONS or name == "method"]
    _require_one_way(by_person, deciding, given)
    if not by_person and needed and not deciding:
        raise OptionError(f"One of these is needed: {_listed(['method', *LIMITS, *ways], 'or')}.", _example(ways))
    general = _general(given)
    if by_person:
        if not {"plan", "run"}.intersection(by_person):  # what these do is not known yet
            _require_init(given, INITS_OF_JOINS)
        if "keep" in given:
            raise OptionError(f"{{keep}} belongs to a method, and {{{by_person[0]}}} names what goes.", "Leave it out.")
        return Choice(
            layers=tuple(given.get("remove_layers", ())),
            blocks=tuple(given.get("remove_blocks", ())),
            plan=given.get("plan"),
            run=given.get("run"),
            **general,
        )
    method = find_method(str(given["method"])) if "method" in given else _implied(given)
    _require_own(method, given)
    _require_init(given, method.inits)
    limits = {name: LIMITS[name].check(value) for name, value in given.items() if name in LIMITS}
    options = _options(method, given, limits)
    if method.says_all is not None and method.says_all in given and limits:
        raise OptionError(
            f"{{{next(iter(limits))}}} and {{{method.says_all}}} exclude each other: both say how much goes.",
            "Give one of them.",
        )
    enough = Need.PERSON in method.needs(options) or method.says_all in given  # how much goes, too
    if not limits and method.limits and not enough and (needed or not method.lists):
        raise OptionError(f"One of these is needed: {_listed(method.limits, 'or')}.", _example(ways))
    judged = _judged(given, method)
    choice = Choice(
        method=method,
        options=options,
        limits=limits,
        judged=judged,
        keep=_kept(given.get("keep", ())),
        **general,
    )
    _require_reader(choice, given, reads_data)
    _require_machine(choice)
    _require_before(choice)
    return choice


def _init_of(name: str) -> Init:
    """``name`` if joins can be initialised so, else OptionError."""
    if name not in INITS:
        raise OptionError(f"There is no init {name!r}.", nearest(name, INITS))
    return cast("Init", name)


def _require_init(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse first weights that are none of ``known``: those for what takes the place of what goes."""
    init = given.get("init")
    if init is None or init in known:
        return
    what = "layers where ends are joined" if known == INITS_OF_JOINS else "a layer that takes the place of a block"
    raise OptionError(f"{{init={init}}} says nothing of {what}.", f"Use one of {listed(known)}.")


def _require_options(given: Mapping[str, Any], ways: Sequence[str]) -> None:
    known = [*GENERAL, *ways, *LIMITS, *COMPANIONS, *OPTIONS]
    strange = next((name for name in given if name not in known), None)
    if strange is not None:
        raise OptionError(f"There is no option {strange!r}.", nearest(strange, known))


def _with_file(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with the limits of the file that it names."""
    if "limits" not in given:
        return given
    of_file = read_limits(given["limits"])
    twice = next((name for name in of_file if name in given), None)
    if twice is not None:
        raise OptionError(f"{{{twice}}} stands in {given['limits']} too.", "Say it in one place.")
    return {name: value for name, value in given.items() if name != "limits"} | of_file


def _require_one_way(by_person: Sequence[str], deciding: Sequence[str], given: Mapping[str, Any]) -> None:
    ways = [names for names in BY_PERSON if any(name in by_person for name in names)]
    named = [next(name for name in names if name in by_person) for names in ways]
    if len(named) > 1 or (named and deciding):
        first, second = [*named, *deciding][:2]
        value = f"={given[second]}" if second == "method" else ""
        raise OptionError(f"{{{first}}} and {{{second}{value}}} exclude each other.", "Give one of them.")


def _implied(given: Mapping[str, Any]) -> Method:
    """The method whose limit or option was named: the last that has one which no method before it has."""
    earlier: set[str] = set()
    found = next(method for method in METHODS.values() if method.implied)
    for method in METHODS.values():
        if not method.implied:
            continue
        own = _own(method)
        if any(name in own - earlier for name in given):
            found = method
        earlier |= own
    return found


def _own(method: Method) -> set[str]:
    return {*method.limits, *(one.name for one in method.fields)}


def _require_own(method: Method, given: Mapping[str, Any]) -> None:
    """Refuse options and limits of other methods, and say whose they are."""
    own = _own(method)
    strange = next((name for name in given if (name in LIMITS or name in OPTIONS) and name not in own), None)
    if strange is None:
        return
    others = [other.name for other in METHODS.values() if strange in _own(other)]
    what = f"the method {others[0]}" if len(others) == 1 else f"the methods {listed(others)}"
    raise OptionError(f"{{{strange}}} belongs to {what}, not to {method.name}.", f"Leave out {{{strange}}}.")


def _general(given: Mapping[str, Any]) -> dict[str, Any]:
    device = given.get("device", "auto")
    if device not in DEVICES:
        raise OptionError(f"There is no device {device!r}.", nearest(str(device), DEVICES))
    seed = given.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise OptionError(f"{{seed={seed}}} is no whole number from 0 to 2147483647.", "Use one such as {seed=1}.")
    return {
        "init": _init_of(given["init"]) if "init" in given else None,
        "seed": seed,
        "device": device,
    }


def _options(method: Method, given: Mapping[str, Any], limits: Mapping[str, Any]) -> Any:
    """The method's own dataclass, filled with what was said."""
    values = {one.name: _checked(one, given[one.name]) for one in method.fields if one.name in given}
    missing = next((one.name for one in method.fields if one.needed and not values.get(one.name)), None)
    if missing is not None:
        raise OptionError(f"The method {method.name} needs {{{missing}}}.", f"Give {{{missing}}}.")
    names = [one.name for one in method.fields]
    if "round_to" in names and any(name in limits for name in TIMED):
        values.setdefault("round_to", ROUND_FOR_TIME)
    options = method.options(**values)
    if "aggregate" in names:
        from cnngraph.measures.registry import find_measure

        find_measure(options.measure, aggregate=options.aggregate)
    return options


def _checked(one: OptionField, value: Any) -> Any:
    if one.words and value not in one.words:
        raise OptionError(f"There is no {one.name.replace('_', ' ')} {value!r}.", nearest(str(value), one.words))
    if one.kind is tuple and isinstance(value, list | str):
        value = (value,) if isinstance(value, str) else tuple(value)
    right = isinstance(value, int | float) if one.kind is float else isinstance(value, one.kind)
    if not right or (isinstance(value, bool) and one.kind is not bool):
        raise OptionError(f"{{{one.name}={value}}} is no {_WORDS[one.kind]}.", f"Its default is {one.default}.")
    if one.least is not None and value < one.least:
        raise OptionError(f"{{{one.name}={value}}} is less than {one.least}.", f"Its default is {one.default}.")
    return value


_WORDS: dict[type, str] = {
    int: "whole number",
    float: "number",
    str: "word",
    bool: "choice of yes or no",
    tuple: "list of names",
}


def _judged(given: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """How the limits are judged; refused without the limit that it belongs to."""
    judged = {}
    for name, one in COMPANIONS.items():
        if name not in given:
            continue
        value = given[name]
        if not any(limit in given for limit in one.of) and not (name == "minutes" and method.takes_long):
            belongs = "a target, such as {target_speedup=2.0}" if one.of == TARGETS else _listed(one.of, "or")
            raise OptionError(f"{{{name}}} belongs to {belongs}.", f"Leave out {{{name}}}.")
        if one.kind in (int, float) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OptionError(f"{{{name}={value}}} is no number.", "")
        if one.words and value not in one.words:
            raise OptionError(
                f"There is no {name.replace('_', ' ')} {value!r}.",
                nearest(str(value), [str(word) for word in one.words]),
            )
        low, high = one.least or 0, one.most
        if one.kind in (int, float) and not (low <= value and (high is None or value <= high)):
            raise OptionError(f"{{{name}={value}}} is out of range.", f"From {low} to {high or 'as many as you like'}.")
        judged[name] = value
    return judged


def _kept(keep: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    return dict(keep) if isinstance(keep, Mapping) else dict.fromkeys(keep, KEPT)


def _require_reader(choice: Choice, given: Mapping[str, Any], reads_data: bool) -> None:
    """Refuse data that nothing reads: they would be passed over in silence."""
    named = next((name for name in ("data", "data_root") if name in given), None)
    if named is None or reads_data or choice.max_accuracy_drop is not None:
        return
    assert choice.method is not None
    if choice.options is not None and Need.IMAGES in choice.method.needs(choice.options):
        return
    raise OptionError(
        f"Nothing in this plan reads images, so {{{named}}} would say nothing.",
        "Leave it out. Images are read for {max_accuracy_drop}, and by what needs them, such as {score=taylor}.",
    )


def _require_machine(choice: Choice) -> None:
    """Refuse a runtime or device that is not there; raises UsageError or CnngraphError."""
    if not choice.targets:
        return
    from cnngraph.training.execution import pick_device
    from cnngraph.training.runtimes import check_runtime

    check_runtime(choice.timing.runtime)
    pick_device(choice.timing.device)


def _require_before(choice: Choice) -> None:
    """Refuse what is said of a plan that is made before any training, where there is none."""
    for name, said in (("steps", choice.judged.get("steps")), ("init", choice.init)):
        if choice.decides_while_training and said is not None:
            assert choice.method is not None
            raise OptionError(
                f"{{{name}={said}}} says nothing with {{method={choice.method.name}}}, which trains after each step.",
                f"Leave out {{{name}}}.",
            )


def _listed(names: Iterable[str], word: str) -> str:
    return listed([f"{{{name}}}" for name in names], word)


def _example(ways: Sequence[str]) -> str:
    return "For example {ratio=0.3}" + (" or {remove_layers}." if "remove_layers" in ways else ".")
