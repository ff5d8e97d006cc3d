"""A training function of one's own on the command line: what it raises is shown, and nothing is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]

BROKEN = """
def fit(model, train_loader, validation_loader, *, epochs):
    print("so far so good")
    raise RuntimeError("my own words")
"""


def test_what_it_raises_is_one_line_and_with_v_the_traceback(command: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    net = ("cnngraph:lenet5", "--data", "digits", "--images-per-class", 3, "--epochs", 1, "--out", "net")
    done = command("train", *net, "--trainer", "broken:fit", cwd=tmp_path)
    assert done.code == 1
    assert "error: The trainer broken:fit raised RuntimeError: my own words (broken.py, line 4)." in done.err
    assert "Traceback" not in done.err
    assert (done.out, "so far so good" in done.err) == ("", True)
    told = command("train", *net, "--trainer", "broken:fit", "-v", cwd=tmp_path)
    assert told.code == 1
    assert 'raise RuntimeError("my own words")' in told.err
    assert not (tmp_path / "net").exists()
