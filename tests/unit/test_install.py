"""scripts/install.sh: what stands in the way is one line; stub interpreters play every Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "install.sh"

# Answers what the script asks a Python, by the variables of its folder; `-m venv` makes a copy of it.
STUB = """#!/bin/sh
here=$(dirname "$0")
case "$*" in
    -V) echo "Python {version}" ;;
    *version_info*) exit {wrong} ;;
    *ensurepip*) exit {no_venv} ;;
    *find_spec*) exit {no_torch} ;;
    "-m venv"*) echo "$*" >>"{log}"; for venv; do :; done; mkdir -p "$venv/bin"; cp "$0" "$venv/bin/python" ;;
    "-m pip --version") exit {no_pip} ;;
    "-m pip freeze") echo torch==9.9.9 ;;
    "-m pip install"*) echo "$*" >>"{log}"; cat "$6" >>"{log}" ;;
esac
"""
FREE = """#!/bin/sh
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
echo "/dev/x 99999999 1 {kilobytes} 1% /"
"""


class Machine:
    """A folder with a stub ``python3``, a ``df`` of so many free GiB, and the constraints of two packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.log.write_text("")
        (folder / "bin").mkdir()
        (folder / "constraints.txt").write_text("torch==2.0.0\nnumpy==2.1.0\n")
        self.disk(100)

    def disk(self, gigabytes: int) -> None:
        self._program("df", FREE.format(kilobytes=gigabytes * 1048576))

    def python(self, name: str = "bin/python3", *, version: str = "3.12.1", **faults: bool) -> None:
        answers = {what: int(faults.get(what, False)) for what in ("wrong", "no_venv", "no_torch", "no_pip")}
        self._program(Path(name).name, STUB.format(version=version, log=self.log, **answers), Path(name).parent)

    def install(self, python: str = "python3") -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            ["sh", str(SCRIPT), python, ".venv", "."],
            cwd=self.folder,
            env={"PATH": path, "TMPDIR": str(self.folder), "HOME": os.environ.get("HOME", "/")},
            capture_output=True,
            text=True,
            check=False,
        )

    def refusal(self, python: str = "python3") -> str:
        """The one line that the script ends with; nothing was made or installed."""
        done = self.install(python)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "-m" not in self.log.read_text()
        return done.stderr

    def _program(self, name: str, text: str, folder: Path = Path("bin")) -> None:
        file = self.folder / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_no_python(machine: Machine) -> None:
    assert "there is no python3.99; install Python 3.11 to 3.13" in machine.refusal("python3.99")


def test_wrong_python(machine: Machine) -> None:
    machine.python(version="3.10.2", wrong=True)
    assert "python3 is Python 3.10.2; try: make PYTHON=python3.12" in machine.refusal()


def test_no_venv_module(machine: Machine) -> None:
    machine.python(no_venv=True)
    assert "apt install python3-venv" in machine.refusal()


def test_low_disk(machine: Machine) -> None:
    machine.python(no_torch=True)
    machine.disk(7)
    assert "about 8 GB of free disk are needed here, there are 7" in machine.refusal()


def test_half_a_venv(machine: Machine) -> None:
    machine.python(".venv/bin/python", no_pip=True)
    assert "no pip; remove it (make clean)" in machine.refusal()


def test_a_venv_of_another_python(machine: Machine) -> None:
    machine.python()
    machine.python(".venv/bin/python", version="3.10.2", wrong=True)
    assert ".venv has Python 3.10.2; remove it" in machine.refusal()


def test_a_new_venv_gets_the_pinned_torch_and_the_size_is_said_before(machine: Machine) -> None:
    machine.python(no_torch=True)
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert "3 GB to download and 6 GB on disk" in done.stdout
    assert "pytorch.org" in done.stdout
    assert machine.log.read_text().splitlines()[0] == "-m venv .venv"
    assert "torch==2.0.0" in machine.log.read_text()


def test_a_torch_that_is_there_is_kept_and_needs_less_disk(machine: Machine) -> None:
    machine.python()
    machine.disk(3)
    done = machine.install()
    assert done.returncode == 0, done.stderr
    said = machine.log.read_text()
    assert "-m venv --system-site-packages .venv" in said
    assert "torch==2.0.0" not in said
    assert "torch==9.9.9" in said
    assert "numpy==2.1.0" in said
    assert not list(machine.folder.glob("tmp.*"))


def test_a_venv_that_is_there_decides_not_python3(machine: Machine) -> None:
    machine.python(version="3.14.0", wrong=True)
    machine.python(".venv/bin/python")
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert "-m venv" not in machine.log.read_text()
    assert "--editable ." in machine.log.read_text()
