"""Each code of the server, and what it becomes."""

from __future__ import annotations

import pytest
from neo4j.exceptions import AuthError, Neo4jError, ServiceUnavailable

from cnngraph.database.failures import as_database_error, is_short_of_memory, is_worth_repeating
from cnngraph.errors import DatabaseError

URI = "neo4j+s://abc.databases.neo4j.io"


def refusal(code: str, text: str = "no") -> Neo4jError:
    return Neo4jError._hydrate_neo4j(code=code, message=text)


@pytest.mark.parametrize(
    ("code", "text", "message", "hint"),
    [
        ("Neo.ClientError.Security.Unauthorized", "", "the password", "NEO4J_PASSWORD"),
        ("Neo.ClientError.Security.CredentialsExpired", "", "password changed", "NEO4J_PASSWORD"),
        ("Neo.ClientError.Security.AuthenticationRateLimit", "", "too many wrong passwords", "Wait"),
        ("Neo.ClientError.Security.Forbidden", "", "does not allow", "administrator"),
        ("Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", "", "read-only", "NEO4J_DATABASE"),
        ("Neo.ClientError.Statement.AccessMode", "", "read-only", "NEO4J_DATABASE"),
        ("Neo.ClientError.Database.DatabaseNotFound", "", "no such database", "NEO4J_DATABASE"),
        ("Neo.ClientError.Procedure.ProcedureNotFound", "no gds.x", "no Graph Data Science", "--engine local"),
        ("Neo.ClientError.Procedure.ProcedureNotFound", "no `gds.a.b`.", "one without gds.a.b.", "--engine local"),
        (
            "Neo.ClientError.Procedure.ProcedureCallFailed",
            "Caused by: Memory required to run FastRP (336000003568b) exceeds available memory (2109562176b)",
            "FastRP needs about 336.0 GB of memory, and the server has 2.1 GB.",
            "heap",
        ),
        ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", "", "short of memory", "heap"),
        ("Neo.DatabaseError.Transaction.TransactionLogError", "No space left on device", "disk is full", "Free some"),
        ("Neo.DatabaseError.General.UnknownError", "odd", "refuses: odd", "UnknownError"),
        ("Neo.DatabaseError.General.UnknownError", "odd: \n here\nthere", "refuses: odd: here", "UnknownError"),
    ],
)
def test_every_refusal_says_what_to_do(code: str, text: str, message: str, hint: str) -> None:
    error = as_database_error(refusal(code, text), URI)
    assert isinstance(error, DatabaseError)
    assert message in error.message
    assert hint in error.hint
    assert "\n" not in error.message


def test_a_silent_server_was_never_there_or_got_lost() -> None:
    silent = as_database_error(ServiceUnavailable("x"), URI, connecting=True)
    assert "No Neo4j server answers" in silent.message
    assert "without TLS" in silent.hint
    assert "7687" in as_database_error(ServiceUnavailable("x"), "bolt://h:7474", connecting=True).hint
    lost = as_database_error(ServiceUnavailable("x"), URI)
    assert "lost half-way" in lost.message
    assert "same command again" in lost.hint


def test_what_is_worth_repeating() -> None:
    assert is_worth_repeating(refusal("Neo.TransientError.Transaction.DeadlockDetected"))
    assert is_worth_repeating(ServiceUnavailable("x"))
    memory = refusal("Neo.TransientError.General.MemoryPoolOutOfMemoryError")
    assert is_short_of_memory(memory)
    assert not is_worth_repeating(memory)
    assert not is_worth_repeating(AuthError("x"))
    assert not is_worth_repeating(None)
