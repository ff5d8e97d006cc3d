"""A method is one file and one line; whoever writes one is told what is wrong with it when it is registered."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest

from cnngraph.measures.registry import MEASURES as MEASURE_FILES
from cnngraph.plan import Init
from cnngraph.pruning.method import Method, Need, option, option_fields
from cnngraph.pruning.methods import filters, multilayer
from cnngraph.pruning.registry import METHODS, register
from cnngraph.vocabulary import INITS, MEASURES


def method(options: type, **changes: Any) -> Method:
    made = Method("mine", "layers", "mine", options, ("remove",), lambda _: frozenset({Need.WEIGHTS}), lambda *_: None)  # type: ignore[arg-type,return-value]
    return replace(made, **changes)


@dataclass(frozen=True)
class Options:
    power: int = option(2, "How strong.", least=1)


def test_a_method_is_registered_with_its_options() -> None:
    named, options = register([multilayer.METHOD, method(Options)])
    assert list(named) == ["multilayer", "mine"]
    assert (options["power"].kind, options["power"].default, options["power"].least) == (int, 2, 1)
    assert set(METHODS) == {
        "multilayer",
        "filters",
        "random",
        "car",
        "progressive",
        "imp",
        "similarity",
        "review",
        "triage",
    }


def test_a_name_is_given_once() -> None:
    with pytest.raises(TypeError, match="two methods called filters"):
        register([filters.METHOD, method(Options, name="filters")])


def test_an_option_means_one_thing_over_all_methods() -> None:
    @dataclass(frozen=True)
    class Other:
        score: float = option(0.5, "Another score.")

    with pytest.raises(TypeError, match="The option score of the method mine has another type or meaning"):
        register([filters.METHOD, method(Other)])


@pytest.mark.parametrize("name", ["remove", "runtime", "seed"])
def test_an_option_is_not_called_like_one_of_all_methods(name: str) -> None:
    made = type("Taken", (), {"__annotations__": {name: "int"}, name: option(1, "Taken.")})
    with pytest.raises(TypeError, match=f"The option {name} of the method mine is called like one of all"):
        register([method(dataclass(frozen=True)(made))])


def test_a_limit_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="takes the limit budget, which there is not"):
        register([method(Options, limits=("budget",))])


@pytest.mark.parametrize(
    ("kind", "field", "said"),
    [
        ("int", 3, "is no option: make it by"),
        ("list", option((), "Many."), "has the type list"),
        ("int", option("3", "Three."), "is a int, and its default '3' is none"),
        ("str", option("c", "One.", words=("a", "b")), "has the default 'c', which is not one of a, b"),
    ],
)
def test_a_field_that_no_option_can_be(kind: str, field: Any, said: str) -> None:
    made = type("Wrong", (), {"__annotations__": {"power": kind}, "power": field})
    if kind == "list":
        made.__annotations__["power"] = "list"
    with pytest.raises(TypeError, match=said):
        option_fields(dataclass(frozen=True)(made))


def test_words_are_those_of_the_rooms_that_read_them() -> None:
    assert set(MEASURES) == set(MEASURE_FILES)
    assert get_args(Init) == INITS


def test_the_registry_is_light_to_import() -> None:
    heavy = "[m for m in sys.modules if m.split('.')[0] in ('torch', 'numpy', 'pydantic', 'neo4j', 'rich')]"
    code = f"import sys, cnngraph.pruning.registry; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
