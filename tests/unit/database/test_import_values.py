"""What neo4j-admin reads: text and type of each value, as seen with the real tool (tests/db/test_neo4j_admin)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from neo4j.spatial import CartesianPoint
from neo4j.time import Date, DateTime, Duration

from cnngraph.database import cypher
from cnngraph.database.import_values import can_be_written, choose_delimiter, field, field_type
from cnngraph.errors import CnngraphError


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, "boolean", "true"),
        (-(2**63), "long", "-9223372036854775808"),
        (16777217.0, "double", "16777217.0"),
        ([0.1, float("nan"), float("-inf")], "double[]", "0.1;NaN;-Infinity"),
        ([True, False], "boolean[]", "true;false"),
        ("", "string", '""'),
        ('a "b",\nc', "string", '"a ""b"",\nc"'),
        (["a", ' "b" '], "string[]", '"a; ""b"" "'),
        (b"\x00\x80", "byte[]", "0;-128"),
        (Date(2026, 11, 28), "date", "2026-11-28"),
        (DateTime(2026, 11, 28, 1, 2, 3), "localdatetime", "2026-11-28T01:02:03"),
        (Duration(days=1, hours=2), "duration", "P1DT2H"),
    ],
)
def test_values(value: Any, kind: str, text: str) -> None:
    assert (field_type(value, "L.p"), field(value, ";")[: len(text)]) == (kind, text)


def test_what_has_no_form() -> None:
    assert [can_be_written(value) for value in ([], [""], b"", "", ["", ""], [0])] == [False] * 3 + [True] * 3
    with pytest.raises(CnngraphError, match=r"Layer\.place is a CartesianPoint"):
        field_type(CartesianPoint((1.0, 2.0)), "Layer.place")


def test_the_delimiter_stands_in_no_text() -> None:
    assert choose_delimiter([["a", "b"]]) == ";"
    assert choose_delimiter([["a;b"], ["c|"]]) == "^"
    with pytest.raises(CnngraphError, match="Every sign"):
        choose_delimiter([[";|^\x1f\x1e\x1d\x1c"]])


def test_everything_that_a_delete_removes_is_exported() -> None:
    """One list of what belongs to a model: a new label must be in both queries."""
    ours, theirs = (set(re.findall(r":(\w+)", _code(name))) for name in ("read/whole_rest", "catalogue/delete_rest"))
    assert ours == theirs
    used = set(re.findall(r":(\w+)", _code("catalogue/usage")))
    assert used == ours | {"FeatureMap", "Position"}


def _code(name: str) -> str:
    return re.sub(r"//.*", "", cypher.load(name)).replace("|", "|:")
