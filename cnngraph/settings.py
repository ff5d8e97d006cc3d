"""Settings, from where they come first: option > environment > ``.env`` > profile in the config file > embedded server.

The names ``NEO4J_URI``, ``NEO4J_USERNAME``, ``NEO4J_PASSWORD``, ``NEO4J_DATABASE`` are those of the Aura credentials
file. All state lives under ``CNNGRAPH_HOME``, downloads under ``CNNGRAPH_CACHE``; saved models under
``CNNGRAPH_STORAGE`` where that is set.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cnngraph.errors import CnngraphError, UsageError, nearest
from cnngraph.profiles import EMBEDDED, KEYS, Profiles
from cnngraph.vocabulary import EDITIONS

__all__ = ["ServerLimits", "Settings", "cache_dir", "check_name", "home_dir", "load_settings", "split_key"]

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KEYS = frozenset(name for name in KEYS.values() if name)
# Nodes and relationships that an Aura Free instance may hold, all models and everything else together.
_AURA_FREE = (200_000, 400_000)


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
class ServerLimits:
    """How much a server may hold in all.

    Attributes:
        nodes, relationships: the most there may be; ``None`` where there is no limit that a graph of nets would reach.
        edition: what the person said of the server, one of :data:`cnngraph.vocabulary.EDITIONS`; ``None`` if nothing.
    """

    nodes: int | None = None
    relationships: int | None = None
    edition: str | None = None

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.nodes is not None or self.relationships is not None

    @classmethod
    def of(cls, edition: str | None, nodes: int | None = None, relationships: int | None = None) -> ServerLimits:
        """The limits of an edition; a number that is given comes before the edition's own.

        >>> ServerLimits.of("aura-free")
        ServerLimits(nodes=200000, relationships=400000, edition='aura-free')
        """
        known = _AURA_FREE if edition == "aura-free" else (None, None)
        return cls(known[0] if nodes is None else nodes, known[1] if relationships is None else relationships, edition)


@dataclass(frozen=True)
class Settings:
    """One resolved set of settings.

    Attributes:
        uri: Bolt address; ``None`` means the embedded server.
        username, password, database: for ``uri``; ``database`` ``None`` means the user's home database.
        owner: the label of one's own models; ``None`` means the login name.
        home, cache: folders of state and of downloads.
        storage: folder of the saved models, or an address for them that fsspec knows; ``None`` means the home.
        limits: how much the server may hold.
        ca: file with the certificate of the authority that the server's is from; ``None`` means those of the system.
        profile: by whose name the server was found. chosen_by: what chose it, for a person to read.
    """

    uri: str | None
    username: str
    password: str | None
    database: str | None
    configured_owner: str | None
    home: Path
    cache: Path
    storage: Path | str | None = None
    limits: ServerLimits = ServerLimits()
    ca: Path | None = None
    profile: str | None = None
    chosen_by: str = ""

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
    home = home_dir()
    profiles = Profiles(home)
    if profile is None:
        values, name, why = _without_option(profiles, uri)
    else:
        beside = ("CNNGRAPH_OWNER", "CNNGRAPH_STORAGE", "NEO4J_PASSWORD")
        values = {key: os.environ[key] for key in beside if os.environ.get(key)}
        name, why = _named(profiles, profile), "--profile"
        if name is not None:
            values |= profiles.values(name)
    return Settings(
        uri=uri or values.get("NEO4J_URI"),
        username=username or values.get("NEO4J_USERNAME") or "neo4j",
        password=password or values.get("NEO4J_PASSWORD"),
        database=database or values.get("NEO4J_DATABASE"),
        configured_owner=owner or values.get("CNNGRAPH_OWNER"),
        home=home,
        cache=cache_dir(),
        storage=_storage(values.get("CNNGRAPH_STORAGE")),
        limits=_limits(values),
        ca=Path(values["CNNGRAPH_CA"]) if "CNNGRAPH_CA" in values else None,
        profile=name,
        chosen_by=why,
    )


def _without_option(profiles: Profiles, uri: str | None) -> tuple[dict[str, str], str | None, str]:
    """What is said elsewhere than by ``--profile``; the profile that it comes from, if any; and what chose that."""
    dotenv = {key: value for key, value in _dotenv(Path.cwd() / ".env").items() if key in _KEYS and value}
    environment = {key: os.environ[key] for key in _KEYS if os.environ.get(key)}
    values = dotenv | environment
    if uri is not None:  # the password of a profile is for its own server
        return values, None, "--uri"
    if "NEO4J_URI" in values:
        return values, None, f"NEO4J_URI in {'the environment' if 'NEO4J_URI' in environment else '.env'}"
    named, why = os.environ.get("CNNGRAPH_PROFILE"), "CNNGRAPH_PROFILE"
    if not named:
        named, why = profiles.used(), "cnngraph profile use"
    if not named:
        return values, None, "no server is configured"
    name = _named(profiles, named)
    return (profiles.values(name, values.get("NEO4J_PASSWORD")) if name else {}) | values, name, why


def _named(profiles: Profiles, name: str) -> str | None:
    """The profile ``name``; ``None`` for the embedded server, unless a profile has that name."""
    return None if name == EMBEDDED and name not in profiles.all() else name


def _limits(values: dict[str, str]) -> ServerLimits:
    edition = values.get("CNNGRAPH_EDITION")
    if edition is not None and edition not in EDITIONS:
        raise CnngraphError(f"{edition!r} is no edition of a Neo4j server.", nearest(edition, EDITIONS))
    return ServerLimits.of(edition, *(_count(values.get(KEYS[key]), key) for key in ("max_nodes", "max_relationships")))


def _count(text: str | None, key: str) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise CnngraphError(f"{key} is {text!r}.", "Write a whole number, or leave it out.")
    return int(text)


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
        raise CnngraphError(
            f"The file {path} cannot be read: {_reason(error)}.", "Correct it, or move it away."
        ) from error


def _reason(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is no UTF-8 text"


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
