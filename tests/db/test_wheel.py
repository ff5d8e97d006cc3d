"""What a user installs: the wheel, in an empty environment outside the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

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
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    pip = [binary / "python", "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", "--no-compile", "--no-deps", wheel], check=True)
    (installed,) = importlib.metadata.distributions(name="cnngraph", path=[str(packages)])
    _link_requirements(installed, packages)
    subprocess.run([*pip, "check"], check=True)

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


def _link_requirements(installed: importlib.metadata.Distribution, packages: Path) -> None:
    """Put what ``installed`` declares as required, without any extra, into ``packages``.

    The files are those of the environment that runs the tests, which pip made from the same constraints: unpacking the
    six GB of torch once more takes minutes.
    """
    found: set[tuple[str, str]] = set()
    open_ones = [(installed, "")]
    while open_ones:
        distribution, extra = open_ones.pop()
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                for each in {(requirement.name.lower(), extra) for extra in ("", *requirement.extras)} - found:
                    found.add(each)
                    open_ones.append((importlib.metadata.distribution(each[0]), each[1]))
    for name in {name for name, _ in found}:
        for file in importlib.metadata.distribution(name).files or ():
            new = packages / file
            if ".." not in file.parts and file.locate().exists() and not new.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                _link(file.locate(), new)


def _link(old: os.PathLike[str], new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # another file system
        shutil.copy2(old, new)
