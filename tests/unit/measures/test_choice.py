"""Which option belongs to which measure."""

from __future__ import annotations

from typing import Any

import pytest

from cnngraph.errors import UsageError
from cnngraph.measures.choice import choose_measures


def test_each_measure_gets_what_it_reads() -> None:
    said = {"layer": ["conv1"], "engine": "local"}
    assert choose_measures(["degree", "car"], said) == [{"engine": "local"}, {"layer": ["conv1"]}]
    assert choose_measures(["car"], {}) == [{}]


@pytest.mark.parametrize(
    ("names", "said", "words"),
    [
        (["degree"], {"layer": ["conv1"]}, "layer belongs to the measure car"),
        (["car"], {"seed": 1}, "seed belongs to measures that rank layers, not to car"),
        (["car"], {"layers": ["conv1"]}, "no option 'layers' of measures"),
        (["cars"], {}, "no measure 'cars'"),
        (["degree"], {"aggregate": "max"}, "no aggregate 'max'"),
        (["depth"], {"aggregate": "sum"}, "does not aggregate"),
        (["degree"], {"engine": "gpu"}, "no engine 'gpu'"),
        (["degree"], {"reference": "most"}, "no reference 'most'"),
    ],
)
def test_what_nothing_reads_is_refused(names: list[str], said: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose_measures(names, said)
