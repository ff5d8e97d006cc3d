"""Where settings come from, in which order, and what is refused on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnngraph.errors import CnngraphError, NotFoundError, UsageError
from cnngraph.settings import check_name, load_settings, split_key

CONFIG = """
[profiles.team]
uri = "neo4j://team:7687"
username = "ada"
password = "of-the-team"
owner = "lovelace"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and home, and an environment without settings."""
    names = ("NEO4J_URI", "NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_DATABASE", "CNNGRAPH_OWNER", "CNNGRAPH_PROFILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CNNGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CNNGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder: Path, text: str | bytes = CONFIG, mode: int = 0o600) -> Path:
    path = folder / "home" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_nothing_configured_is_the_embedded_server(folder: Path) -> None:
    settings = load_settings()
    assert settings.embedded
    assert (settings.uri, settings.username, settings.password, settings.database) == (None, "neo4j", None, None)
    assert (settings.home, settings.cache) == (folder / "home", folder / "cache")
    check_name(settings.owner)


def test_option_before_environment_before_dotenv_before_profile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config(folder)
    monkeypatch.setenv("CNNGRAPH_PROFILE", "team")
    assert load_settings().uri == "neo4j://team:7687"
    assert load_settings().owner == "lovelace"
    (folder / ".env").write_text("NEO4J_URI=neo4j+s://x.databases.neo4j.io\nNEO4J_PASSWORD=of-aura\nPATH=/nowhere\n")
    found = load_settings()
    assert (found.uri, found.username, found.password) == ("neo4j+s://x.databases.neo4j.io", "neo4j", "of-aura")
    monkeypatch.setenv("NEO4J_URI", "bolt://environment:7687")
    assert load_settings().uri == "bolt://environment:7687"
    assert load_settings().password == "of-aura"
    assert load_settings(uri="bolt://typed:7687").uri == "bolt://typed:7687"


def test_a_profile_that_was_typed_outranks_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config(folder)
    monkeypatch.setenv("NEO4J_URI", "bolt://environment:7687")
    monkeypatch.setenv("NEO4J_PASSWORD", "of-the-environment")
    found = load_settings(profile="team")
    assert (found.uri, found.username, found.password) == ("neo4j://team:7687", "ada", "of-the-team")


def test_a_password_is_in_no_repr(folder: Path) -> None:
    config(folder)
    assert "of-the-team" not in repr(load_settings(profile="team"))


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (CONFIG, 0o644, "chmod 600"),
        ("[profiles.team", 0o600, "not valid TOML"),
        (b"\xff\xfe", 0o600, "no UTF-8"),
        ("[profiles.team]\nurl = 'x'", 0o600, "Did you mean uri"),
        ("[profiles]\nteam = 3", 0o600, "is no table"),
    ],
)
def test_a_config_file_that_does_not_do(folder: Path, text: str | bytes, mode: int, said: str) -> None:
    config(folder, text, mode)
    with pytest.raises(CnngraphError) as refused:
        load_settings(profile="team")
    assert said in str(refused.value)
    assert "of-the-team" not in str(refused.value)
    assert refused.value.exit_code == 1


def test_a_profile_that_is_not_there(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="no config file"):
        load_settings(profile="team")
    config(folder)
    with pytest.raises(NotFoundError, match="Did you mean team"):
        load_settings(profile="teem")


def test_a_dotenv_that_is_no_text(folder: Path) -> None:
    (folder / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(CnngraphError, match="no UTF-8"):
        load_settings()


@pytest.mark.parametrize("name", ["", "a b", "a/b/c", "x`y", "é", "a\n", "x" * 101, "/x", "x/"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        split_key(name, "ada")


def test_a_login_name_that_is_no_name_is_made_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "Ada Lovelace\\x")
    assert load_settings().owner == "Ada-Lovelace-x"
    monkeypatch.setenv("CNNGRAPH_OWNER", "a b")
    with pytest.raises(UsageError, match="no valid owner"):
        _ = load_settings().owner
