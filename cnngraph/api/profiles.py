"""Profiles of servers: named, kept, looked at and tried, as ``cnngraph profile`` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnngraph.errors import CnngraphError, DatabaseError, UsageError
from cnngraph.profiles import EMBEDDED, Profiles, read_password, shown_address
from cnngraph.settings import Settings, check_name, home_dir, load_settings

if TYPE_CHECKING:
    from cnngraph.jobs.profile_check import ServerFacts

__all__ = ["NewProfile", "add", "check_profile_name", "check_server", "list_profiles", "remove", "use", "used"]


@dataclass(frozen=True)
class NewProfile:
    """What a profile is to say; ``None``: nothing.

    Attributes:
        store: folder (or address) of the saved models. ca: certificate of the authority that signed the server's.
        password_file: where the password is, a file that only its owner can read.
    """

    uri: str
    username: str | None = None
    database: str | None = None
    owner: str | None = None
    store: str | None = None
    edition: str | None = None
    max_nodes: int | None = None
    max_relationships: int | None = None
    ca: Path | None = None
    password_file: Path | None = None

    def check(self) -> list[str]:
        """Remarks on what will work but should be known.

        Raises:
            UsageError: the address is none, the authority does not fit it, or the owner is no possible name.
            NotFoundError, CnngraphError: a file is missing, or others can read the password.
        """
        from cnngraph.database.address import check_address, driver_options, is_encrypted, is_local

        try:
            check_address(self.uri)
            driver_options(self.uri, self.ca)
        except DatabaseError as error:  # typed here, not found there
            hint = error.hint.replace("the two in NEO4J_USERNAME and NEO4J_PASSWORD", "the user in --username")
            raise UsageError(error.message, hint) from error
        if self.owner is not None:
            check_name(self.owner, "owner")
        if self.password_file is not None:
            read_password(self.password_file.expanduser())
        remarks = []
        if not is_encrypted(self.uri) and not is_local(self.uri):
            secure = self.uri.replace("://", "+s://", 1)
            remarks.append(f"What goes to {self.uri} is not encrypted, the password included; {secure} would be.")
        if self.store is not None and "://" not in self.store and not Path(self.store).expanduser().is_dir():
            remarks.append(f"The store {self.store} is not there now: mount or make it before you store a model.")
        return remarks

    def entry(self) -> dict[str, Any]:
        """As it stands in the config file."""
        paths = {"ca": self.ca, "password_file": self.password_file, "storage": self.store}
        entry: dict[str, Any] = {
            "uri": self.uri,
            "username": self.username or "neo4j",
            "database": self.database,
            "owner": self.owner,
            "edition": self.edition,
            "max_nodes": self.max_nodes,
            "max_relationships": self.max_relationships,
        }
        for key, value in paths.items():
            if value is not None:
                is_address = key == "storage" and "://" in str(value)
                entry[key] = str(value) if is_address else str(Path(value).expanduser().absolute())
        return {key: value for key, value in entry.items() if value is not None}


def add(name: str, profile: NewProfile, *, password: str | None = None, replace: bool = False) -> None:
    """Write the profile ``name``, which :meth:`NewProfile.check` has let through.

    Args:
        password: to keep, in a file of its own that only its owner can read.

    Raises:
        UsageError: it can be no name. ConflictError: there is one, without ``replace``.
    """
    check_profile_name(name)
    Profiles(home_dir()).add(name, profile.entry(), password=password, replace=replace)


def check_profile_name(name: str) -> str:
    """Return ``name`` if a profile may have it; raises UsageError."""
    if name == EMBEDDED or name.startswith("."):
        raise UsageError(
            f"{name!r} cannot be the name of a profile.", "It means the server that needs none; choose another."
        )
    return check_name(name, "profile name")


def list_profiles() -> list[dict[str, Any]]:
    """Every profile; of a password only where it is kept (``file``, ``config`` or ``None``)."""
    profiles = Profiles(home_dir())
    chosen = used()["profile"]
    listed = []
    for name, entry in profiles.all().items():
        found = entry if isinstance(entry, dict) else {}
        keys = ("username", "database", "owner", "storage", "edition", "max_nodes", "max_relationships", "ca")
        kept = "config" if "password" in found else "file" if "password_file" in found else None
        uri = shown_address(str(found["uri"])) if "uri" in found else None
        row = {"name": name, "uri": uri} | {key: found.get(key) for key in keys}
        listed.append(row | {"password": kept, "used": name == chosen})
    return listed


def used() -> dict[str, Any]:
    """The server that a command uses that says none itself, and why: ``profile``, ``uri``, ``why``, ``problem``."""
    try:
        settings = load_settings()
    except CnngraphError as error:
        return {"profile": None, "uri": None, "why": None, "problem": str(error)}
    uri = shown_address(settings.uri) if settings.uri else None
    return {"profile": settings.profile, "uri": uri, "why": settings.chosen_by, "problem": None}


def use(name: str | None) -> None:
    """Let ``name`` be the server of every command that says none; ``None`` or ``embedded``: the embedded one.

    Raises:
        NotFoundError: there is no such profile.
    """
    profiles = Profiles(home_dir())
    if name == EMBEDDED and name not in profiles.all():
        name = None
    profiles.use(name)


def remove(name: str) -> bool:
    """Remove a profile and the password kept for it; whether it was the one in use. Raises NotFoundError."""
    return Profiles(home_dir()).remove(name)


def check_server(settings: Settings) -> ServerFacts:
    """What the server is that ``settings`` name; raises DatabaseError where it cannot be reached or refuses."""
    from cnngraph.jobs import profile_check

    return profile_check.check_server(settings)
