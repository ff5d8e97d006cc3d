"""Profiles: servers by name, in the config file of the home, which is kept as the person has written it.

    profile = "team"                # what `cnngraph profile use` chose; none: the embedded server

    [profiles.team]
    uri = "neo4j+s://graph.example:7687"
    username = "ada"
    password_file = "passwords/team"

Whoever writes it holds a lock and puts a whole new file in the old one's place, which its owner alone can read.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import CnngraphError, ConflictError, NotFoundError, nearest
from cnngraph.files import write_private

if TYPE_CHECKING:
    import tomlkit

__all__ = ["EMBEDDED", "KEYS", "Profiles", "read_password"]

EMBEDDED = "embedded"  # the name of the server that needs no profile
# What may stand in a profile, and the environment's name for the same.
KEYS = {
    "uri": "NEO4J_URI",
    "username": "NEO4J_USERNAME",
    "password": "NEO4J_PASSWORD",
    "database": "NEO4J_DATABASE",
    "owner": "CNNGRAPH_OWNER",
    "storage": "CNNGRAPH_STORAGE",
    "password_file": "",
    "ca": "CNNGRAPH_CA",
    "edition": "CNNGRAPH_EDITION",
    "max_nodes": "CNNGRAPH_MAX_NODES",
    "max_relationships": "CNNGRAPH_MAX_RELATIONSHIPS",
}
_WRITE = "Make one: cnngraph profile add NAME --uri neo4j+s://HOST:7687 --username USER"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Profiles:
    """The profiles of one config file, ``HOME/config.toml``; nothing is kept in memory between two calls."""

    def __init__(self, home: Path) -> None:
        self.path = home / "config.toml"
        self._lock = home / "config.lock"
        self._passwords = home / "passwords"

    def all(self) -> dict[str, Any]:
        """Every profile as it stands in the file.

        Raises:
            CnngraphError: the file cannot be read, or is not what it should be.
        """
        return _profiles_of(self._read(), self.path)

    def used(self) -> str | None:
        """The name that :meth:`use` chose; ``None`` where there is none."""
        chosen = self._read().get("profile")
        if chosen is not None and not isinstance(chosen, str):
            raise CnngraphError(f"In {self.path} profile is {chosen!r}, not a name.", "Run: cnngraph profile use NAME")
        return chosen

    def values(self, name: str, password: str | None = None) -> dict[str, str]:
        """What the profile says, under the environment's names.

        Args:
            password: one that comes before the profile's own, whose file is not looked at then.

        Raises:
            NotFoundError: there is no such profile, or its password file is missing.
            CnngraphError: the profile has an unknown key, or others may read its password.
        """
        entry = self.entry(name)
        unknown = sorted(set(entry) - set(KEYS))
        if unknown:
            raise CnngraphError(
                f"The profile {name!r} in {self.path} has an unknown key {unknown[0]!r}.", nearest(unknown[0], KEYS)
            )
        if "password" in entry and self.path.stat().st_mode & _OTHERS:
            raise CnngraphError(
                f"The config file {self.path} holds a password and others can read it.", f"Run: chmod 600 {self.path}"
            )
        found = {KEYS[key]: str(value) for key, value in entry.items() if KEYS[key]}
        if "ca" in entry:
            found[KEYS["ca"]] = str(self.place(str(entry["ca"])))
        if password is None and "password_file" in entry and "password" not in entry:
            found[KEYS["password"]] = read_password(self.place(str(entry["password_file"])))
        return found

    def entry(self, name: str) -> dict[str, Any]:
        """One profile as it stands in the file; raises NotFoundError, CnngraphError where it is no table."""
        if not self.path.is_file():
            raise NotFoundError(f"There is no profile {name!r}: no config file {self.path}.", _WRITE)
        profiles = self.all()
        if name not in profiles:
            raise NotFoundError(
                f"There is no profile {name!r} in {self.path}.", nearest(name, profiles) if profiles else _WRITE
            )
        if not isinstance(profiles[name], dict):
            raise CnngraphError(
                f"The profile {name!r} in {self.path} is no table.",
                "Write [profiles.NAME] with uri, username, password.",
            )
        return dict(profiles[name])

    def place(self, typed: str) -> Path:
        """A path as it stands in the file: beside the file where it is not absolute."""
        return (self.path.parent / Path(typed).expanduser()).absolute()

    def add(self, name: str, entry: Mapping[str, Any], *, password: str | None = None, replace: bool = False) -> None:
        """Write the profile ``name``.

        Args:
            entry: its keys, of :data:`KEYS`. password: to be kept in a file of its own, which its owner alone can read.
            replace: whether a profile of that name may go.

        Raises:
            ConflictError: there is one, without ``replace``.
        """
        with self._changed() as content:
            profiles = _profiles_of(content, self.path)
            if name in profiles and not replace:
                raise ConflictError(
                    f"There is a profile {name!r} already, for {shown_address(str(_uri_of(profiles[name])))}.",
                    "Choose another name, or add --replace to write it anew.",
                )
            new = dict(entry)
            if password is not None:
                new["password_file"] = f"passwords/{name}"
            _put(content, name, new)
            own = self._passwords / name
            if password is not None:
                own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_private(own, password + "\n")
            else:
                own.unlink(missing_ok=True)  # of the profile that is replaced

    def use(self, name: str | None) -> None:
        """Let ``name`` be what is used where nothing else is said; ``None``: the embedded server.

        Raises:
            NotFoundError: there is no such profile.
        """
        if name is not None:
            self.entry(name)
        elif not self.path.exists():
            return
        with self._changed() as content:
            if name is not None:
                content["profile"] = name
            else:
                content.pop("profile", None)

    def remove(self, name: str) -> bool:
        """Remove a profile and the password that was kept for it; whether it was the one in use.

        Raises:
            NotFoundError: there is no such profile.
        """
        self.entry(name)
        with self._changed() as content:
            profiles = content.get("profiles", {})
            profiles.pop(name, None)
            if not profiles:
                content.pop("profiles", None)
            in_use = content.get("profile") == name
            if in_use:
                content.pop("profile")
            (self._passwords / name).unlink(missing_ok=True)
        return in_use

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(self.path, error) from error
        except tomllib.TOMLDecodeError as error:
            raise CnngraphError(f"The config file {self.path} is not valid TOML: {error}.", "Correct it.") from error

    @contextmanager
    def _changed(self) -> Iterator[tomlkit.TOMLDocument]:
        """The content of the file with its comments, to be changed; written when the block ends without an error."""
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        self._lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._read()  # says what is wrong with it, where something is
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            content = tomlkit.parse(text)
            try:
                yield content
                new = tomlkit.dumps(content)
                whole = tomllib.loads(new) == content.unwrap()
            except (ValueError, TypeError, TOMLKitError):  # tables on one line, say, take no other table
                whole = False
            if not whole:  # a file that says something else is worse than none
                raise CnngraphError(
                    f"The config file {self.path} is written in a way that cannot be changed here.",
                    "Write the profile by hand, as [profiles.NAME] with uri and username.",
                )
            write_private(self.path.resolve(), new)  # where it is a link, what it leads to
        finally:
            os.close(descriptor)


def read_password(path: Path) -> str:
    """The password in ``path``: its first line.

    Raises:
        NotFoundError: there is no such file. CnngraphError: others can read it, or there is no password in it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no password file {path}.", "Write the password into it, for you alone (chmod 600)."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    if mode & _OTHERS:
        raise CnngraphError(f"The password file {path} can be read by others.", f"Run: chmod 600 {path}")
    password = text.split("\n", 1)[0].rstrip("\r")
    if not password:
        raise CnngraphError(f"There is no password in {path}.", "Write it into the first line.")
    return password


def shown_address(uri: str) -> str:
    """An address for a person to read: one that somebody has written a password into is not shown.

    >>> shown_address("neo4j://ada:secret@host:7687"), shown_address("neo4j://host:7687")
    ('(an address with a password in it)', 'neo4j://host:7687')
    """
    return "(an address with a password in it)" if "@" in uri else uri


def _uri_of(entry: Any) -> Any:
    return entry.get("uri", "-") if isinstance(entry, Mapping) else "-"


def _profiles_of(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    profiles = content.get("profiles", {})
    if not isinstance(profiles, Mapping):
        raise CnngraphError(f"In {path} profiles is no table.", "Write [profiles.NAME] with uri, username, password.")
    return dict(profiles)


def _put(content: tomlkit.TOMLDocument, name: str, entry: Mapping[str, Any]) -> None:
    """Write one profile into the document; of one that is there the comments stay."""
    import tomlkit

    if "profiles" not in content:
        content.append("profiles", tomlkit.table(is_super_table=True))
    profiles: Any = content["profiles"]
    if name not in profiles:
        profiles[name] = tomlkit.table()
    table = profiles[name]
    for key in [key for key in table if key not in entry]:
        table.remove(key)
    for key, value in entry.items():
        table[key] = value


def _unreadable(path: Path, error: OSError | ValueError) -> CnngraphError:
    reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
    return CnngraphError(f"The file {path} cannot be read: {reason}.", "Correct it, or move it away.")
