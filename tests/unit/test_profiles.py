"""The config file of profiles: what is written, what stays, who may read it, and which profile is used."""

from __future__ import annotations

import multiprocessing
import os
import stat
import tomllib
from pathlib import Path

import pytest

from cnngraph.errors import CnngraphError, ConflictError, NotFoundError
from cnngraph.profiles import Profiles, read_password
from cnngraph.settings import ServerLimits, load_settings

WRITTEN = """\
# by hand
[other]  # of another program
list = [1, 2,
        3]

[profiles.team]
uri = "neo4j://team:7687"  # the new machine
username = "ada"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working folder, and an environment without settings."""
    for name in list(os.environ):
        if name.startswith(("NEO4J_", "CNNGRAPH_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("CNNGRAPH_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secret(path: Path, text: str = "of-the-file\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there"
    Profiles(home).add("team", {"uri": "neo4j://team:7687"})
    assert tomllib.loads((home / "config.toml").read_text()) == {"profiles": {"team": {"uri": "neo4j://team:7687"}}}
    assert mode(home / "config.toml") == 0o600
    assert sorted(path.name for path in home.iterdir()) == ["config.lock", "config.toml"]


def test_what_the_person_wrote_stays(home: Path) -> None:
    file = home / "config.toml"
    file.write_text(WRITTEN)
    file.chmod(0o644)
    profiles = Profiles(home)
    profiles.add("mine", {"uri": "bolt://localhost:7687", "max_nodes": 5})
    profiles.use("mine")
    text = file.read_text()
    for part in ("# by hand", "# of another program", "        3]", "# the new machine"):
        assert part in text
    found = tomllib.loads(text)
    assert found["other"] == {"list": [1, 2, 3]}
    assert found["profile"] == "mine" and profiles.used() == "mine"
    assert found["profiles"]["mine"] == {"uri": "bolt://localhost:7687", "max_nodes": 5}
    assert mode(file) == 0o600
    profiles.use(None)
    assert profiles.remove("mine") is False
    assert tomllib.loads(file.read_text()) == tomllib.loads(WRITTEN)


def test_a_profile_is_written_anew_only_on_purpose(home: Path) -> None:
    (home / "config.toml").write_text(WRITTEN)
    profiles = Profiles(home)
    with pytest.raises(ConflictError, match="neo4j://team:7687") as refused:
        profiles.add("team", {"uri": "bolt://new:7687"})
    assert "--replace" in refused.value.hint
    assert (home / "config.toml").read_text() == WRITTEN
    profiles.add("team", {"uri": "bolt://new:7687"}, replace=True)
    assert profiles.entry("team") == {"uri": "bolt://new:7687"}
    assert "# the new machine" in (home / "config.toml").read_text()


def test_a_link_to_the_file_stays_one(home: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text(WRITTEN)
    (home / "config.toml").symlink_to(real)
    Profiles(home).use("team")
    assert (home / "config.toml").is_symlink()
    assert tomllib.loads(real.read_text())["profile"] == "team"


@pytest.mark.parametrize("text", ["[profiles.team", "profiles = 3", "profiles = {team = {uri = 'x'}}"])
def test_a_file_of_another_kind_is_changed_rightly_or_not_at_all(home: Path, text: str) -> None:
    (home / "config.toml").write_text(text)
    try:
        Profiles(home).add("mine", {"uri": "bolt://localhost"})
    except CnngraphError:
        assert (home / "config.toml").read_text() == text
    else:
        assert tomllib.loads((home / "config.toml").read_text())["profiles"] == {
            "team": {"uri": "x"},
            "mine": {"uri": "bolt://localhost"},
        }


def _add_some(home: Path, first: int) -> None:
    for number in range(first, first + 5):
        Profiles(home).add(f"p{number}", {"uri": f"bolt://host{number}"})


def test_processes_at_once_lose_nothing(home: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=_add_some, args=(home, 5 * n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert set(Profiles(home).all()) == {f"p{number}" for number in range(20)}


def test_a_kept_password_has_a_file_of_its_own(home: Path) -> None:
    profiles = Profiles(home)
    profiles.add("team", {"uri": "neo4j://team"}, password="hunter22")
    assert mode(home / "passwords" / "team") == 0o600
    assert mode(home / "passwords") == 0o700
    assert "hunter22" not in (home / "config.toml").read_text()
    assert load_settings(profile="team").password == "hunter22"
    profiles.add("team", {"uri": "neo4j://team"}, replace=True)
    assert not (home / "passwords" / "team").exists()
    assert load_settings(profile="team").password is None
    profiles.add("team", {"uri": "neo4j://team"}, password="hunter22", replace=True)
    profiles.use("team")
    assert profiles.remove("team") is True
    assert not (home / "passwords" / "team").exists()
    assert profiles.used() is None


def test_a_password_file_is_read_if_nobody_else_can(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = secret(home / "mine")
    Profiles(home).add("team", {"uri": "neo4j://team", "password_file": "mine"})
    Profiles(home).use("team")
    assert load_settings().password == load_settings(profile="team").password == "of-the-file"
    file.chmod(0o640)
    with pytest.raises(CnngraphError, match="read by others") as refused:
        load_settings()
    assert "chmod 600" in refused.value.hint and "of-the-file" not in str(refused.value)
    monkeypatch.setenv("NEO4J_PASSWORD", "of-the-environment")
    assert load_settings().password == "of-the-environment"  # the file is not looked at
    with pytest.raises(CnngraphError, match="read by others"):
        load_settings(profile="team")  # what was typed comes first
    file.unlink()
    with pytest.raises(NotFoundError, match="no password file"):
        load_settings(profile="team")


def test_a_password_file_without_a_password(tmp_path: Path) -> None:
    with pytest.raises(CnngraphError, match="no password in"):
        read_password(secret(tmp_path / "empty", "\n"))
    assert read_password(secret(tmp_path / "spaces", " a b \r\nsecond\n")) == " a b "


def test_what_is_used_and_why(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def used() -> tuple[str | None, str | None, str]:
        settings = load_settings()
        return settings.profile, settings.uri, settings.chosen_by

    profiles = Profiles(home)
    profiles.add("team", {"uri": "neo4j://team", "username": "ada"}, password="hunter22")
    profiles.add("other", {"uri": "neo4j://other"})
    assert used() == (None, None, "no server is configured")
    profiles.use("team")
    assert used() == ("team", "neo4j://team", "cnngraph profile use")
    monkeypatch.setenv("CNNGRAPH_PROFILE", "other")
    assert used() == ("other", "neo4j://other", "CNNGRAPH_PROFILE")
    monkeypatch.setenv("CNNGRAPH_PROFILE", "embedded")
    assert used() == (None, None, "CNNGRAPH_PROFILE")
    (tmp_path / ".env").write_text("NEO4J_URI=bolt://dotenv\n")
    assert used() == (None, "bolt://dotenv", "NEO4J_URI in .env")
    monkeypatch.setenv("NEO4J_URI", "bolt://environment")
    assert used() == (None, "bolt://environment", "NEO4J_URI in the environment")
    assert load_settings(profile="embedded").embedded
    assert load_settings(profile="team").chosen_by == "--profile"


def test_the_password_of_a_profile_goes_to_its_own_server_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Profiles(home).add("team", {"uri": "neo4j://team", "username": "ada"}, password="hunter22")
    Profiles(home).use("team")
    found = load_settings(uri="bolt://elsewhere")
    assert (found.uri, found.username, found.password, found.profile) == ("bolt://elsewhere", "neo4j", None, None)
    monkeypatch.setenv("NEO4J_URI", "bolt://elsewhere")
    assert load_settings().password is None


def test_a_used_profile_that_is_not_there(home: Path) -> None:
    (home / "config.toml").write_text('profile = "teem"\n' + WRITTEN)
    with pytest.raises(NotFoundError, match="Did you mean team"):
        load_settings()
    assert load_settings(profile="team").uri == "neo4j://team:7687"
    with pytest.raises(NotFoundError):
        Profiles(home).use("teem")


def test_limits_and_authority_of_a_profile(home: Path) -> None:
    Profiles(home).add("free", {"uri": "neo4j+s://x", "edition": "aura-free", "ca": "ca.pem"})
    found = load_settings(profile="free")
    assert found.limits == ServerLimits(200_000, 400_000, "aura-free")
    assert found.ca == home / "ca.pem"
    Profiles(home).add("small", {"uri": "neo4j+s://x", "max_nodes": 1000})
    assert load_settings(profile="small").limits == ServerLimits(1000, None, None)
    assert not load_settings().limits.limited
    for key, value in (("edition", "aura-fre"), ("max_nodes", -1), ("max_nodes", "many")):
        Profiles(home).add("bad", {"uri": "neo4j+s://x", key: value}, replace=True)
        with pytest.raises(CnngraphError) as refused:
            load_settings(profile="bad")
        assert refused.value.hint
