"""The Python API, as a script of somebody else uses it, and its exported names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.mark.db
def test_somebody_elses_training_loop(server: Any, session_home: Path) -> None:
    script = ROOT / "tests" / "examples" / "own_loop.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=os.environ, cwd=session_home
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("removed ")


def test_exported_names() -> None:
    import cnngraph as cg
    from cnngraph import api

    assert api.__all__ == sorted(api.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    for name in api.__all__:
        assert getattr(cg, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="nosuch"):
        cg.nosuch  # noqa: B018


def test_import_costs_no_torch() -> None:
    heavy = ("torch", "neo4j", "pandas", "graphdatascience")
    modules = "sys, cnngraph.cli.main, cnngraph.api, cnngraph.measures.registry"
    code = f"import {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
