"""Settings, from where they come first: option > environment > ``.env`` > profile in the config file > embedded server.

The names ``NEO4J_URI``, ``NEO4J_USERNAME``, ``NEO4J_PASSWORD``, ``NEO4J_DATABASE`` are those of the Aura credentials
file. All state lives under ``CNNGRAPH_HOME``, downloads under ``CNNGRAPH_CACHE``; saved models under
``CNNGRAPH_STORAGE`` where that is set.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cnngraph.errors import CnngraphError, NotFoundError, UsageError, nearest

__all__ = ["Settings", "cache_dir", "check_name", "home_dir", "load_settings", "split_key"]

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KEYS = ("NEO4J_URI", "NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_DATABASE", "CNNGRAPH_OWNER", "CNNGRAPH_STORAGE")


def home_dir() -> Path:
    """Where all state lives: ``CNNGRAPH_HOME``, else the platform's user data folder."""
    chosen = os.environ.get("CNNGRAPH_HOME")
    if chosen:
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_data_path

    return user_data_path("cnngraph", appauthor=False)


def cache_dir() -> Path:
    """Where downloads are kept: ``CNNGRAPH_CACHE``, else the user cache folder."""
    chosen = os.environ.get("CNNGRAPH_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("cnngraph", appauthor=False)


@dataclass(frozen=True)
class Settings:
    """One resolved set of settings.

    Attributes:
        uri: Bolt address; ``None`` means the embedded server.
        username, password, database: for ``uri``; ``database`` ``None`` means the user's home database.
        owner: the label of one's own models; ``None`` means the login name.
        home, cache: folders of state and of downloads.
        storage: folder of the saved models, or an address for them that fsspec knows; ``None`` means the home.
    """

    uri: str | None
    username: str
    password: str | None
    database: str | None
    configured_owner: str | None
    home: Path
    cache: Path
    storage: Path | str | None = None

    @property
    def embedded(self) -> bool:
        """True where no server is configured."""
        return self.uri is None

    @cached_property
    def owner(self) -> str:
        """The label of one's own models: the configured one, else the login name made fit for a name."""
        if self.configured_owner:
            return check_name(self.configured_owner, "owner")
        import getpass

        try:
            login = getpass.getuser()
        except (OSError, KeyError):
            login = "me"
        return re.sub(r"[^A-Za-z0-9._-]", "-", login)[:100] or "me"

    def __repr__(self) -> str:
        # Without the password: a repr ends in logs.
        return f"Settings(uri={self.uri!r}, username={self.username!r}, home={str(self.home)!r})"


def load_settings(
    *,
    uri: str | None = None,
    username: str | None = None,
    password: str | None = None,
    database: str | None = None,
    owner: str | None = None,
    profile: str | None = None,
) -> Settings:
    """Resolve the settings; arguments are what the command line's options gave.

    A profile named on purpose (``profile=``) outranks the environment and ``.env``, since it was typed.

    Raises:
        NotFoundError: ``profile`` is not in the config file.
        CnngraphError: ``.env`` or the config file cannot be read, others may read passwords in the latter, or the
            storage is no folder's path.
    """
    values: dict[str, str] = {}
    home = home_dir()
    if profile is None:
        values |= {key: value for key, value in _dotenv(Path.cwd() / ".env").items() if key in _KEYS and value}
        values |= {key: os.environ[key] for key in _KEYS if os.environ.get(key)}
        named = os.environ.get("CNNGRAPH_PROFILE")
        if named and "NEO4J_URI" not in values:
            values = _profile(home / "config.toml", named) | values
    else:
        beside = ("CNNGRAPH_OWNER", "CNNGRAPH_STORAGE", "NEO4J_PASSWORD")
        values |= {key: os.environ[key] for key in beside if os.environ.get(key)}
        values |= _profile(home / "config.toml", profile)
    return Settings(
        uri=uri or values.get("NEO4J_URI"),
        username=username or values.get("NEO4J_USERNAME") or "neo4j",
        password=password or values.get("NEO4J_PASSWORD"),
        database=database or values.get("NEO4J_DATABASE"),
        configured_owner=owner or values.get("CNNGRAPH_OWNER"),
        home=home,
        cache=cache_dir(),
        storage=_storage(values.get("CNNGRAPH_STORAGE")),
    )


def _storage(typed: str | None) -> Path | str | None:
    """A folder, or an address as it was typed; ``file:///FOLDER`` is the folder."""
    if not typed:
        return None
    if typed.startswith("file://"):
        return Path(url2pathname(urlsplit(typed).path)).resolve()
    if "://" in typed:  # else a folder "s3:" would be looked for
        from cnngraph.store import check_address

        return check_address(typed)
    return Path(typed).expanduser().resolve()


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {key: value for key, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> CnngraphError:
    reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
    return CnngraphError(f"The file {path} cannot be read: {reason}.", "Correct it, or move it away.")


def _profile(path: Path, name: str) -> dict[str, str]:
    """The profile as environment names: ``[profiles.team] uri = ..., username = ..., password = ...``."""
    if not path.is_file():
        raise NotFoundError(
            f"There is no profile {name!r}: no config file {path}.",
            "Write [profiles.NAME] with uri, username, password.",
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    except tomllib.TOMLDecodeError as error:
        raise CnngraphError(f"The config file {path} is not valid TOML: {error}.") from error
    profiles = content.get("profiles", {})
    if not isinstance(profiles, dict) or name not in profiles:
        raise NotFoundError(f"There is no profile {name!r} in {path}.", nearest(name, profiles))
    entry = profiles[name]
    known = {
        "uri": "NEO4J_URI",
        "username": "NEO4J_USERNAME",
        "password": "NEO4J_PASSWORD",
        "database": "NEO4J_DATABASE",
        "owner": "CNNGRAPH_OWNER",
        "storage": "CNNGRAPH_STORAGE",
    }
    if not isinstance(entry, dict):
        raise CnngraphError(
            f"The profile {name!r} in {path} is no table.", "Write [profiles.NAME] with uri, username, password."
        )
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise CnngraphError(
            f"The profile {name!r} in {path} has an unknown key {unknown[0]!r}.", nearest(unknown[0], known)
        )
    if "password" in entry and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CnngraphError(
            f"The config file {path} holds a password and others can read it.", f"Run: chmod 600 {path}"
        )
    return {known[key]: str(value) for key, value in entry.items()}


def check_name(name: str, what: str = "model name") -> str:
    """Return ``name`` if it is allowed.

    Raises:
        UsageError: it is not 1 to 100 of ``A-Z a-z 0-9 . _ -``.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no valid {what}.", "Use 1 to 100 of the characters A-Z a-z 0-9 . _ -")
    return name


def split_key(name: str, owner: str) -> str:
    """The key ``owner/name`` of a name as typed: without an owner it is one's own.

    >>> split_key("lenet", "ada"), split_key("bob/lenet", "ada")
    ('ada/lenet', 'bob/lenet')
    """
    parts = name.split("/")
    if len(parts) > 2:
        raise UsageError(f"{name!r} is no valid model name.", "Write NAME, or OWNER/NAME for somebody else's.")
    if len(parts) == 2:
        return f"{check_name(parts[0], 'owner')}/{check_name(parts[1])}"
    return f"{owner}/{check_name(name)}"
