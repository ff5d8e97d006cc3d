"""What the driver raises, as a :class:`~cnngraph.errors.DatabaseError` that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from neo4j.exceptions import (
    AuthError,
    ClientError,
    ConfigurationError,
    DriverError,
    Forbidden,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
    TransientError,
)

from cnngraph.errors import DatabaseError

__all__ = [
    "as_database_error",
    "as_said_in_profile",
    "is_lost",
    "is_short_of_memory",
    "is_silent",
    "is_worth_repeating",
    "refused",
    "translated",
    "without_gds",
]

_AGAIN = "Run the same command again: it goes on where it stopped."
_GDS = (
    "Install Graph Data Science on the server, use the embedded one (unset NEO4J_URI), "
    "or choose --engine local where a command has it."
)


_PROCEDURE = re.compile(r"\bgds\.[\w.]*\w", re.IGNORECASE)
# What Graph Data Science says where an algorithm would not fit.
_GUARD = re.compile(r"Memory required to run (.+?) \((\d+)b\) exceeds available memory \((\d+)b\)")


@contextmanager
def translated(uri: str, *, connecting: bool = False) -> Iterator[None]:
    """Let nothing of the driver's own exceptions out of this block.

    Args:
        uri: the server's address, for the message.
        connecting: True while nothing has been answered yet, so that a silent server was never there.
    """
    try:
        yield
    except (Neo4jError, DriverError, OSError, ValueError) as error:
        raise as_database_error(error, uri, connecting=connecting) from error


def as_database_error(error: Exception, uri: str, *, connecting: bool = False) -> DatabaseError:
    """The one line for a person, and what to do, for an exception of the driver."""
    text = _first_line(error)
    if isinstance(error, Neo4jError):
        return _refusal(error, text)
    if isinstance(error, ConfigurationError | ValueError):
        return DatabaseError(
            f"{uri!r} is no address of a Neo4j server: {text}", "Write neo4j://HOST:7687, bolt://... or neo4j+s://..."
        )
    if connecting:
        return DatabaseError(f"No Neo4j server answers at {uri}.", _where_else(uri))
    if isinstance(error, ServiceUnavailable | SessionExpired | OSError):
        return DatabaseError(f"The connection to {uri} was lost half-way.", f"See that the server runs. {_AGAIN}")
    return DatabaseError(f"The Neo4j driver gave up: {text}", _AGAIN)


def as_said_in_profile(error: DatabaseError, profile: str | None) -> DatabaseError:
    """The same error, where its advice is about settings that come from a profile, with advice about that."""
    if profile is None or "NEO4J_" not in error.hint:
        return error
    hint = error.hint.replace("; unset, the embedded server is used", "")
    for variable in ("URI", "USERNAME", "PASSWORD", "DATABASE"):
        hint = hint.replace(f"NEO4J_{variable}", f"the {variable.lower()}")
    again = f"These stand in the profile {profile}: cnngraph profile add {profile} --replace writes it anew."
    return DatabaseError(error.message, f"{hint} {again}")


def is_silent(error: BaseException | None) -> bool:
    """Whether ``error`` of the driver says only that nobody answers."""
    return isinstance(error, DriverError | OSError) and not isinstance(error, ConfigurationError)


def _where_else(uri: str) -> str:
    if "+s" in uri.partition("://")[0]:
        return "Start it, or correct NEO4J_URI; a server without TLS is neo4j://HOST:7687."
    return "Start it, or correct NEO4J_URI (Bolt's port, 7687); unset, the embedded server is used."


def _refusal(error: Neo4jError, text: str) -> DatabaseError:
    """What the server itself answered, by its code."""
    code = error.code or ""
    if "CredentialsExpired" in code:
        return DatabaseError(
            "The server wants this user's password changed before anything else.",
            "Change it in Neo4j Browser or cypher-shell, then set NEO4J_PASSWORD.",
        )
    if "AuthenticationRateLimit" in code:
        return DatabaseError(
            "The server has seen too many wrong passwords.", "Wait a few seconds, then set NEO4J_PASSWORD to its own."
        )
    if isinstance(error, AuthError) and not isinstance(error, Forbidden):
        return DatabaseError(
            "The server refuses the user name or the password.", "Set NEO4J_USERNAME and NEO4J_PASSWORD to its own."
        )
    if "No space left" in text or ("disk" in text.lower() and "full" in text.lower()):
        return DatabaseError("The server's disk is full.", f"Free some space (cnngraph delete). {_AGAIN}")
    if is_short_of_memory(error):
        return DatabaseError(
            "The server is short of memory.", "Raise its heap and transaction memory, then run it again."
        )
    if "ReadOnly" in code or "AccessMode" in code or "NotALeader" in code:
        return DatabaseError(
            "The database is read-only.", "Reading works; to write, choose another with NEO4J_DATABASE or --profile."
        )
    if isinstance(error, Forbidden) or "Security" in code:
        return DatabaseError(
            f"The server does not allow this user to do that: {text}", "Ask its administrator for a role."
        )
    if "DatabaseNotFound" in code or "DatabaseUnavailable" in code:
        return DatabaseError(f"There is no such database to use: {text}", "Set NEO4J_DATABASE to one that is online.")
    if "gds." in text.lower() and isinstance(error, ClientError) and ("NotFound" in code or "nknown function" in text):
        return without_gds(_PROCEDURE.search(text))
    guarded = _GUARD.search(text)
    if guarded:
        return DatabaseError(
            f"{guarded[1]} needs about {int(guarded[2]) / 1e9:.1f} GB of memory, and the server has "
            f"{int(guarded[3]) / 1e9:.1f} GB.",
            "Raise the server's heap, or measure with --engine local.",
        )
    if isinstance(error, TransientError):
        return DatabaseError(f"The server could not do it now: {text}", _AGAIN)
    return DatabaseError(f"The server refuses: {text}", f"({code})")


def without_gds(missing: re.Match[str] | None = None) -> DatabaseError:
    """The error for a server without Graph Data Science, or without the procedure ``missing`` of it."""
    if missing is not None:
        return DatabaseError(f"The server has no Graph Data Science library, or one without {missing[0]}.", _GDS)
    return DatabaseError("The server has no Graph Data Science library.", _GDS)


def is_short_of_memory(error: BaseException | None) -> bool:
    """Whether the server had too little memory for a transaction: half as much may fit."""
    return isinstance(error, Neo4jError) and "OutOfMemory" in (error.code or "")


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection broke, so that nobody knows if the last statement took effect."""
    return isinstance(error, ServiceUnavailable | SessionExpired)


def is_worth_repeating(error: BaseException | None) -> bool:
    """Whether the same statement may pass in a moment: a deadlock, a change of leader, a broken connection."""
    if is_short_of_memory(error):
        return False
    return is_lost(error) or (isinstance(error, Neo4jError) and error.is_retryable())


def refused(error: BaseException, code: str) -> bool:
    """Whether the server's answer, the cause of ``error``, has ``code`` in its name."""
    cause = error.__cause__
    return isinstance(cause, Neo4jError) and code in (cause.code or "")


def _first_line(error: Exception) -> str:
    """The first line of what it says; with the second where the first only announces it."""
    first, *others = (getattr(error, "message", None) or str(error)).strip().splitlines() or [type(error).__name__]
    return f"{first.rstrip()} {others[0].strip()}" if others and first.rstrip().endswith(":") else first
