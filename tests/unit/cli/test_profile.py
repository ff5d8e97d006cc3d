"""``cnngraph profile`` without a server: what is written and said, what is refused, and a password that nobody sees."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
TEAM = ("profile", "add", "team", "--uri", "neo4j+s://team:7687", "--username", "ada")
# Runs a command at a terminal of its own; what is typed there comes from stdin.
AT_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(command: Run, home: Path) -> Run:
    """Run a command in ``home``, with an environment that names no server."""
    empty = dict.fromkeys(("NEO4J_URI", "NEO4J_PASSWORD", "NEO4J_USERNAME", "CNNGRAPH_OWNER"), "")

    def in_home(*arguments: object, env: dict[str, str] | None = None) -> Any:
        return command(*arguments, env=empty | {"CNNGRAPH_HOME": str(home)} | (env or {}), cwd=home.parent)

    return in_home


def test_a_profile_from_first_to_last(run: Run, home: Path) -> None:
    assert run("profile", "list", "--json").json["profiles"] == []
    added = run(*TEAM, "--store", "weights", "--edition", "aura-free", "--owner", "lovelace", "--json")
    assert added.json["profile"] == "team" and not added.json["password_kept"]
    assert added.json["remarks"] == ["The store weights is not there now: mount or make it before you store a model."]
    assert tomllib.loads((home / "config.toml").read_text())["profiles"]["team"] == {
        "uri": "neo4j+s://team:7687",
        "username": "ada",
        "owner": "lovelace",
        "edition": "aura-free",
        "storage": str(home.parent / "weights"),
    }
    assert "Used: the embedded server (no server is configured)." in run("profile", "list").out
    assert run("profile", "use", "team", "--json").json["used"]["why"] == "cnngraph profile use"
    assert "Used: team (cnngraph profile use)." in run("profile", "list").out
    other = run("profile", "use", "team", env={"NEO4J_URI": "bolt://other"})
    assert "bolt://other is used all the same (NEO4J_URI in the environment)" in other.err
    assert run("profile", "use", "--none").code == 0
    assert run("profile", "use", "team").code == 0
    assert run("profile", "remove", "team", "--json").json == {"removed": "team", "was_used": True}
    assert run("profile", "list", "--json").json["used"]["profile"] is None


def test_an_address_of_a_store_stays_one(run: Run, home: Path) -> None:
    assert run(*TEAM, "--store", "s3://bucket/models").code == 0
    assert tomllib.loads((home / "config.toml").read_text())["profiles"]["team"]["storage"] == "s3://bucket/models"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--uri", "http://team:7474"), 2, "no address"),
        (("--uri", "neo4j://ada:hunter22@team:7687"), 2, "holds a user name or a password"),
        (("--uri", "neo4j://team", "--ca", "nowhere.pem"), 2, "checks no certificate"),
        (("--uri", "neo4j+s://team", "--ca", "nowhere.pem"), 3, "no certificate file"),
        (("--uri", "neo4j+s://team", "--edition", "aura-fre"), 2, "Did you mean aura-free"),
        (("--uri", "neo4j+s://team", "--owner", "a b"), 2, "no valid owner"),
        (("--uri", "neo4j+s://team", "--password-file", "nowhere"), 3, "no password file"),
        (("--uri", "neo4j+s://team", "--password-file", "x", "--save-password"), 2, "in no file yet"),
        (("--uri", "neo4j+s://team", "--save-password"), 2, "no password to keep"),
        (("--uri", "neo4j+s://team", "--password=hunter22"), 2, "--password-file"),
        (("--username", "ada"), 2, "--uri"),
    ],
)
def test_what_is_refused(run: Run, home: Path, options: tuple[str, ...], code: int, said: str) -> None:
    done = run("profile", "add", "team", *options)
    assert done.code == code, done.err
    assert said in done.err
    assert "hunter22" not in done.err + done.out and "Traceback" not in done.err
    assert not (home / "config.toml").exists()


@pytest.mark.parametrize("name", ["embedded", "a b", ".hidden", "a/b"])
def test_a_name_that_is_refused(run: Run, home: Path, name: str) -> None:
    assert run("profile", "add", name, "--uri", "bolt://localhost").code == 2
    assert not (home / "config.toml").exists()


def test_twice_and_never(run: Run) -> None:
    assert run(*TEAM).code == 0
    again = run(*TEAM)
    assert again.code == 1 and "for neo4j+s://team:7687" in again.err and "--replace" in again.err
    assert run(*TEAM, "--replace").code == 0
    for words in (("use", "teem"), ("remove", "teem"), ("test", "teem")):
        done = run("profile", *words)
        assert done.code == 3 and "Did you mean team?" in done.err
    assert run("list", "--profile", "teem").code == 3


def test_an_address_that_is_not_encrypted_is_told(run: Run) -> None:
    assert "neo4j+s://team:7687 would be" in run("profile", "add", "far", "--uri", "neo4j://team:7687").err
    assert "warning" not in run("profile", "add", "near", "--uri", "neo4j://localhost:7687").err


def test_a_password_of_the_environment_is_kept_and_never_said(run: Run, home: Path) -> None:
    done = run(*TEAM, "--save-password", "--json", env={"NEO4J_PASSWORD": "hunter22"})
    assert done.json["password_kept"]
    listed = run("profile", "list", "--json")
    failed = run("-v", "profile", "test", "team")
    assert failed.code == 4
    for finished in (done, listed, failed, run("profile", "list"), run("doctor", "--profile", "team")):
        assert "hunter22" not in finished.out + finished.err
    assert "hunter22" not in (home / "config.toml").read_text()
    assert (home / "passwords" / "team").read_text() == "hunter22\n"


def test_a_password_in_an_address_that_somebody_wrote_is_not_shown(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('profile = "team"\n[profiles.team]\nuri = "neo4j://ada:hunter22@team:7687"\n')
    for done in (run("profile", "list"), run("profile", "list", "--json"), run("list"), run("doctor")):
        assert "hunter22" not in done.out + done.err
    assert run("list").code == 4


def test_a_password_is_typed_unseen(home: Path) -> None:
    """At a terminal, by the installed program: it is asked for, not echoed, and kept for its owner alone."""
    program = [sys.executable, "-W", "ignore", "-c", "from cnngraph.cli.main import main; main()"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("NEO4J_")}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", AT_TERMINAL, *program, *TEAM, "--save-password"],
        env=env | {"CNNGRAPH_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        shown = b""
        while not shown.endswith(b"Password of ada at neo4j+s://team:7687: "):
            more = process.stdout.read(1)
            assert more, shown
            shown += more
        process.stdin.write(b"typed-unseen\n")
        process.stdin.flush()
        rest = process.stdout.read()
    assert process.returncode == 0, rest
    assert b"Wrote the profile team" in rest and b"typed-unseen" not in rest
    assert (home / "passwords" / "team").read_text() == "typed-unseen\n"
