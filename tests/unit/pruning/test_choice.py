"""The one set of rules about what a person may say: command, Python and demo ask it, with the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnngraph.errors import CnngraphError, NotFoundError, OptionError, for_command
from cnngraph.pruning.choice import KEPT, choose
from cnngraph.pruning.limits.cost_meter import Timing
from cnngraph.pruning.limits.target import Target
from cnngraph.pruning.methods import filters, multilayer, random_order
from cnngraph.training import runtimes
from cnngraph.vocabulary import RUNTIMES

WAYS = ("remove_layers", "remove_blocks", "plan", "run")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"rato": 0.3}, "There is no option 'rato'"),
        ({"method": "best"}, "There is no method 'best'"),
        (
            {"ratio": 0.3, "threshold": 0.3},
            "threshold belongs to the methods multilayer and similarity, not to filters",
        ),
        (
            {"method": "multilayer", "ratio": 0.3},
            "ratio belongs to the methods filters, random, car and progressive, not to multilayer",
        ),
        ({"ratio": 0.3, "measure": "degree"}, "measure belongs to the method multilayer"),
        ({"ratio": 0.3, "of": "layers"}, "of belongs to the method random"),
        ({"method": "random", "remove": 1, "score": "bn"}, "score belongs to the method filters, not to random"),
        ({"remove_layers": ["a"], "remove": 1}, "remove_layers and remove exclude each other"),
        ({"remove_layers": ["a"], "score": "bn"}, "remove_layers and score exclude each other"),
        ({"remove_layers": ["a"], "method": "random"}, "remove_layers and method=random exclude each other"),
        ({"remove_blocks": ["a"], "run": "r"}, "remove_blocks and run exclude each other"),
        ({"replace_block": ["a"], "remove": 1}, "remove and replace_block exclude each other: both say how much goes"),
        ({"replace_block": ["a"], "remove_blocks": ["b"]}, "remove_blocks and replace_block exclude each other"),
        ({"replace_block": ["a"], "init": "inherit"}, "init=inherit says nothing of a layer that takes the place"),
        ({"replace_block": ["a"], "train": "half"}, "There is no train 'half'"),
        ({"ratio": 0.3, "init": "parent"}, "init=parent says nothing of layers where ends are joined"),
        ({"plan": "p.json", "run": "r"}, "plan and run exclude each other"),
        ({"plan": "p.json", "keep": ["a"]}, "keep belongs to a method"),
        ({"steps": 2, "remove": 1}, "steps belongs to max_accuracy_drop"),
        ({"remove": 1, "runtime": "eager"}, "runtime belongs to a target"),
        ({"remove": 1, "minutes": 3}, "minutes belongs to max_accuracy_drop, target_speedup"),
        ({"target_macs": 0.5, "latency_table": "t.csv"}, "latency_table belongs to target_speedup or"),
        ({"target_macs": 0.5, "percentile": 95}, "percentile belongs to target_speedup or target_latency_ms"),
        ({"target_speedup": 2.0, "percentile": 90}, "There is no percentile 90"),
        ({"target_speedup": 2.0, "batch": 0}, "batch=0 is out of range"),
        ({"target_speedup": 1.0}, "target_speedup=1 is out of range"),
        ({"target_macs": 1.0}, "target_macs=1 is neither a share under 1 nor a count"),
        ({"target_mb": 0.0}, "target_mb=0 is out of range"),
        ({"target_latency_ms": float("inf")}, "target_latency_ms=inf is out of range"),
        ({"ratio": float("nan")}, "ratio=nan is out of range: a number above 0 and below 1"),
        ({"ratio": "half"}, "ratio=half is no number"),
        ({"ratio": True}, "is no number"),
        ({"remove": 1.5}, "remove=1.5 is no whole number"),
        ({"remove": 0}, "remove=0 is out of range"),
        ({"max_accuracy_drop": 101}, "max_accuracy_drop=101 is out of range"),
        ({"ratio": 0.3, "round_to": 0}, "round_to=0 is less than 1"),
        ({"ratio": 0.3, "round_to": 8.0}, "round_to=8.0 is no whole number"),
        ({"ratio": 0.3, "score": "tailor"}, "There is no score 'tailor'"),
        ({"remove": 1, "init": "zero"}, "There is no init 'zero'"),
        ({"remove": 1, "seed": -1}, "seed=-1 is no whole number"),
        ({"remove": 1, "device": "tpu"}, "There is no device 'tpu'"),
        ({"score": "bn"}, "One of these is needed: ratio, max_accuracy_drop"),
        ({"method": "random"}, "One of these is needed: remove, ratio"),
        ({"measure": "depth", "aggregate": "sum"}, "The measure depth does not aggregate"),
        ({"threshold": 0.3, "data": "digits"}, "Nothing in this plan reads images, so data would say nothing"),
    ],
)
def test_what_does_not_go_together_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(CnngraphError) as refused:
        choose(said, ways=WAYS)
    assert refused.value.exit_code == 2
    assert message in refused.value.message
    assert refused.value.hint


def test_an_error_names_flags_to_the_command_and_keywords_to_python() -> None:
    with pytest.raises(OptionError) as refused:
        choose({"remove_layers": ["a"], "max_accuracy_drop": 1.0}, ways=WAYS)
    assert refused.value.message == "remove_layers and max_accuracy_drop exclude each other."
    assert for_command(refused.value)[0] == "--remove-layer and --max-accuracy-drop exclude each other."


def test_nothing_said_is_the_schedule_of_degree_where_nothing_has_to_go() -> None:
    choice = choose({"threshold": None})
    assert (choice.method, choice.options) == (multilayer.METHOD, multilayer.Options())
    assert (dict(choice.limits), choice.init, choice.seed) == ({}, None, 0)
    with pytest.raises(OptionError, match="One of these is needed: method, threshold"):
        choose({}, ways=WAYS, needed=True)
    with pytest.raises(OptionError, match="One of these is needed: threshold"):
        choose({"method": "multilayer"}, ways=WAYS, needed=True)


def test_a_limit_or_an_option_implies_its_method() -> None:
    assert choose({"remove": 1}, needed=True).method is multilayer.METHOD
    assert choose({"target_macs": 0.5}).method is multilayer.METHOD
    choice = choose({"ratio": 0.3, "score": "bn", "seed": 5})
    assert (choice.method, choice.options, choice.seed) == (filters.METHOD, filters.Options(score="bn"), 5)
    assert choose({"target_macs": 0.5, "engine": "local"}).method is multilayer.METHOD
    assert choose({"method": "random", "ratio": 0.3}).method is random_order.METHOD


def test_limits_combine() -> None:
    choice = choose({"threshold": 0.3, "remove": 2, "target_macs": 0.5, "target_mb": 1.0, "max_accuracy_drop": 2})
    assert choice.bounds == {"threshold": 0.3, "remove": 2}
    assert choice.targets == (Target("macs", 0.5), Target("mb", 1.0))
    assert choice.max_accuracy_drop == 2.0


def test_filters_go_by_the_eight_for_a_target_of_time() -> None:
    assert choose({"target_speedup": 2.0, "score": "bn"}).options.round_to == 8
    assert choose({"target_speedup": 2.0, "score": "bn", "round_to": 1}).options.round_to == 1
    assert choose({"target_macs": 0.5, "score": "bn"}).options.round_to == 1


def test_how_a_target_is_judged() -> None:
    choice = choose({"target_speedup": 2.0, "batch": 4, "latency_table": "t.csv", "percentile": 95})
    assert choice.timing == Timing(batch=4, table=Path("t.csv"), percentile=95)
    assert not choice.measures_time
    assert choose({"target_latency_ms": 2.0}).measures_time
    assert RUNTIMES == runtimes.RUNTIMES


def test_layers_to_keep_may_have_reasons() -> None:
    assert choose({"remove": 1, "keep": ["a", "b"]}).keep == {"a": KEPT, "b": KEPT}
    assert choose({"remove": 1, "keep": {"a": "mine"}}).keep == {"a": "mine"}


def test_what_a_person_names_is_a_choice_without_a_method() -> None:
    choice = choose({"remove_layers": ["a"], "remove_blocks": ["b"], "init": "reset"}, ways=WAYS, needed=True)
    assert (choice.method, choice.layers, choice.blocks, choice.init) == (None, ("a",), ("b",), "reset")
    with pytest.raises(OptionError, match="There is no option 'run'"):
        choose({"run": "r"})


def test_limits_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text("target-macs = 0.6\nmax_accuracy_drop = 2\nsteps = 3\n")
    choice = choose({"limits": file, "remove": 4})
    assert dict(choice.limits) == {"remove": 4, "target_macs": 0.6, "max_accuracy_drop": 2.0}
    assert dict(choice.judged) == {"steps": 3}
    with pytest.raises(OptionError, match=r"target_macs stands in .*limits\.toml too"):
        choose({"limits": file, "target_macs": 0.5})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("target_mac = 0.6", "names target_mac, which is no limit"),
        ("score = 'bn'", "names score, which is no limit"),
        ("target_macs 0.6", "is no TOML"),
        ("# nothing yet", "holds no limit"),
        ("target_macs = 'half'", "target_macs=half is no number"),
        ("[target_macs]\nshare = 1", "is no number"),
    ],
)
def test_a_file_of_limits_that_says_something_else(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(content)
    with pytest.raises(OptionError) as refused:
        choose({"limits": file})
    assert message in refused.value.message
    assert refused.value.hint
    with pytest.raises(NotFoundError):
        choose({"limits": tmp_path / "nothing.toml"})
