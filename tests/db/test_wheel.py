"""What a user installs: the wheel, in an empty environment outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.db


def test_the_wheel_works_in_an_empty_environment(server: Any, session_home: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("cnngraph/cypher/queries/") for name in names)
    assert {name.split("/")[0] for name in names} == {
        "cnngraph",
        next(n for n in names if ".dist-info" in n).split("/")[0],
    }

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    binary = tmp_path / "env" / "bin"
    install = [
        binary / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--constraint",
        ROOT / "constraints.txt",
        wheel,
    ]
    subprocess.run(install, check=True, timeout=800)

    def run(*arguments: str) -> str:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [binary / "cnngraph", *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "prune" in run("--help")
    assert "server" in run("doctor")
    ingested = run(
        "ingest", "cnngraph:lenet5", "--data", "digits", "--images-per-class", "5", "--name", "wheel", "--json"
    )
    assert '"model": "tester/wheel"' in ingested
