"""``import cnngraph as cg``: what ``dir``, TAB and a type checker find, at no cost."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import cnngraph as cg
from cnngraph import api

LOOK = """
import json, sys
import cnngraph as cg
names = dir(cg)
star = {}
heavy = [name for name in ("torch", "neo4j", "pyarrow", "pandas", "numpy") if name in sys.modules]
exec("from cnngraph import *", star)
print(json.dumps([names, heavy, sorted(set(star) - {"__builtins__"})]))
"""
PROGRAM = """
import cnngraph as cg

reveal_type(cg.trace)
reveal_type(cg.Plan)
reveal_type(cg.connect())
reveal_type(cg.load("x"))
cg.tarce
"""


def test_dir_gives_the_public_names_and_imports_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    names, heavy, star = json.loads(done.stdout)
    assert {name for name in names if not name.startswith("__")} == set(api.__all__)
    assert heavy == []
    assert star == sorted([*api.__all__, "__version__"])


def test_the_list_is_that_of_the_api() -> None:
    assert sorted(cg.__all__) == sorted([*api.__all__, "__version__"])
    assert all(getattr(cg, name) is getattr(api, name) for name in api.__all__)
    assert {name for name in dir(api) if not name.startswith("__")} == set(api.__all__)
    for module in (cg, api):
        with pytest.raises(AttributeError, match="no attribute 'tarce'"):
            module.tarce  # noqa: B018  the access is the test
    assert (Path(cg.__file__).parent / "py.typed").exists()


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_a_type_checker_knows_the_names(tmp_path: Path) -> None:
    """With the cache of ``make lint``, where that was run before."""
    (tmp_path / "own.py").write_text(PROGRAM, encoding="utf-8")
    root = Path(cg.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "mypy", tmp_path / "own.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout
    assert 'Revealed type is "def (model:' in said and "-> cnngraph.network.tables.Network" in said, said + done.stderr
    assert '-> cnngraph.plan.Plan"' in said
    assert 'Revealed type is "cnngraph.api.graph.Graph"' in said
    assert 'Revealed type is "torch.nn.modules.module.Module"' in said
    assert 'Module has no attribute "tarce"' in said
