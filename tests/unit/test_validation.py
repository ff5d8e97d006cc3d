"""What was stored as JSON and cannot be read: one line, which names the first wrong field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from cnngraph.errors import CnngraphError, ModelError, PlanError
from cnngraph.validation import parse_as, parse_json, parse_stored, read_object, read_stage


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seed: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: tuple[Inner, ...] = ()


def fail(why: str) -> CnngraphError:
    return PlanError(f"It is wrong: {why}.", "Mend it.")


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe{", "[" * 200_000], ids=["empty", "half", "no text", "deep"])
def test_what_is_no_json_is_one_line(text: str | bytes) -> None:
    with pytest.raises(PlanError, match=r"It is wrong: it is not JSON \(") as refused:
        parse_json(text, fail)
    assert (refused.value.hint, "\n" in refused.value.message) == ("Mend it.", False)
    assert refused.value.__cause__ is not None


@pytest.mark.parametrize("text", ["[1]", "3", "null", '"text"'])
def test_what_is_no_object_is_said(text: str) -> None:
    with pytest.raises(PlanError, match="it is no JSON object"):
        read_object(text, fail)
    assert read_object('{"a": 1}', fail) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "n", "later": 1}, "later: Extra inputs are not permitted."),
        ({"name": "n", "inner": [{"seed": 1}, {"seed": "x"}]}, "inner.1.seed: Input should be a valid integer"),
        ([1], "It is wrong: Input should be a valid dictionary"),
    ],
)
def test_the_first_wrong_field_is_named(value: object, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse_as(Outer, value, fail)
    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_what_the_graph_holds_says_how_to_mend_it() -> None:
    assert parse_stored(Outer, {"name": "n"}, "The recipe of ada/m").name == "n"
    with pytest.raises(ModelError, match=r"The recipe of ada/m cannot be read: name: ") as refused:
        parse_stored(Outer, {}, "The recipe of ada/m")
    assert "ingest the model again" in refused.value.hint


def test_a_damaged_stage_names_the_folder_to_delete(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    path.write_text('{"epoch_seconds": 1.5}')
    assert read_stage(path) == {"epoch_seconds": 1.5}
    path.write_bytes(b"\xff")
    with pytest.raises(ModelError, match="is damaged: it is not JSON") as refused:
        read_stage(path)
    assert str(tmp_path) in refused.value.hint
