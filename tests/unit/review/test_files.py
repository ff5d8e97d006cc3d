"""Logs of reviews as files, without a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnngraph.database.review_files import _cell, _value, read_file, write_file
from cnngraph.database.reviews import Binding, Choice, Log
from cnngraph.errors import CnngraphError, ModelError, NotFoundError, UsageError

LOG = Log(
    Binding("ann/net", "ab" * 32, "0123"),
    (
        Choice("1", "conv,1", 0, "drop", "=cmd()", at="2026-11-29T09:00:00.123Z", lens="weights", number=1),
        Choice("2", 'a "b"', 7, "unknown", "'ann", at="2026-11-29T09:00:01Z", blind=True, number=2),
        Choice("3", "conv,1", 0, "undo", "=cmd()", undoes="1", number=3),
    ),
)


@pytest.mark.parametrize("name", ["log.json", "log.csv", "LOG.CSV"])
@pytest.mark.parametrize("log", [LOG, Log(LOG.binding, ())])
def test_what_was_written_is_read(tmp_path: Path, name: str, log: Log) -> None:
    assert read_file(write_file(log, tmp_path / name)) == log


@given(st.text())
def test_no_cell_is_a_formula_and_every_text_comes_back(text: str) -> None:
    cell = _cell(text)
    assert cell[:1] not in {*"=+-@", "\t", "\r"}
    assert not cell or _value("by", cell) == text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "it is not JSON"),
        ("a.json", "[1]", "it is no JSON object"),
        ("a.json", "{}", "it has no version"),
        ("a.json", '{"version": 1, "model": "m", "sha256": "a", "recipe": "", "digest": "", "choices": []}', "changed"),
        ("a.csv", "", "it is not the CSV of one"),
        ("a.csv", "version,model\n1,m\n", "it is not the CSV of one"),
        ("a.csv", "nonsense\n", "it is not the CSV of one"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=said):
        read_file(tmp_path / name)


def test_every_field_counts_in_the_digest(tmp_path: Path) -> None:
    path = write_file(LOG, tmp_path / "log.json")
    whole = json.loads(path.read_text(encoding="utf-8"))
    for field in ("model", "sha256", "recipe"):
        path.write_text(json.dumps(whole | {field: "other"}), encoding="utf-8")
        with pytest.raises(ModelError, match="was changed"):
            read_file(path)
    for number, choice in enumerate(whole["choices"]):
        for field in choice:
            changed = [dict(one) for one in whole["choices"]]
            del changed[number][field]
            path.write_text(json.dumps(whole | {"choices": changed}), encoding="utf-8")
            with pytest.raises(ModelError, match="was changed"):
                read_file(path)
    rows = write_file(LOG, tmp_path / "log.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "log.csv").write_text("".join(rows[:-1]), encoding="utf-8")  # one row is gone
    with pytest.raises(ModelError, match="was changed"):
        read_file(tmp_path / "log.csv")


def test_a_place_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_file(tmp_path / "none.json")
    for act in (lambda path: write_file(LOG, path), read_file):
        with pytest.raises(UsageError, match=r"neither \.json nor \.csv"):
            act(tmp_path / "log.xlsx")


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": ""},
        {"by": "a" * 101},
        {"by": "two\nlines"},
        {"id": " "},
        {"decision": "perhaps"},
        {"lens": "moon"},
        {"decision": "undo"},
        {"undoes": "1"},
    ],
)
def test_what_is_no_choice_cannot_be_made(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        Choice(**({"id": "1", "layer": "conv", "channel": 0, "decision": "keep", "by": "ann"} | wrong))


def test_errors_are_the_documented_kind() -> None:
    assert issubclass(ModelError, CnngraphError) and ModelError.exit_code == 1
