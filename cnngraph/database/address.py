"""Addresses of servers: which are possible, how a certificate is trusted, and why one that answers is not talked to."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cnngraph.errors import CnngraphError, DatabaseError, NotFoundError

__all__ = ["check_address", "driver_options", "explain_silence", "is_encrypted", "is_local"]

_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
_PORT = 7687
_PATIENCE = 5.0
_EXPIRED = 10  # OpenSSL: X509_V_ERR_CERT_HAS_EXPIRED
_OTHER_HOST = (62, 64)  # OpenSSL: X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def check_address(uri: str) -> None:
    """Return if ``uri`` is a Bolt address; the driver would take ``http://`` for a preview of its own.

    Raises:
        DatabaseError: it is none; or a password stands in it, which is not shown then.
    """
    try:
        parts = urlsplit(uri)
        if "@" in parts.netloc:
            raise DatabaseError(
                "The address of the server holds a user name or a password.",
                "Write neo4j://HOST:7687, and the two in NEO4J_USERNAME and NEO4J_PASSWORD.",
            )
        good = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise DatabaseError(
            f"{uri!r} is no address of a Neo4j server.",
            f"Write neo4j://HOST:7687; the schemes are {', '.join(_SCHEMES)}.",
        )


def is_encrypted(uri: str) -> bool:
    """Whether what goes to this address is encrypted.

    >>> is_encrypted("bolt+ssc://host"), is_encrypted("neo4j://host")
    (True, False)
    """
    return "+s" in urlsplit(uri).scheme


def is_local(uri: str) -> bool:
    """Whether the address is this machine itself, so that nobody listens on the way."""
    return urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1")


def driver_options(uri: str, ca: Path | None) -> tuple[str, dict[str, Any]]:
    """The address and the options that the driver takes for a server whose certificate ``ca`` has signed.

    The driver takes no authority beside an address with ``+s``: the same is said by an option then.

    Raises:
        DatabaseError: the address asks for no check of a certificate.
        NotFoundError, CnngraphError: ``ca`` is not there, or is no certificate.
    """
    if ca is None:
        return uri, {}
    import neo4j

    if not urlsplit(uri).scheme.endswith("+s"):
        raise DatabaseError(
            f"A certificate authority is given for {uri}, which checks no certificate.",
            "Write neo4j+s:// or bolt+s://, or leave the authority (ca) out.",
        )
    _context(uri, ca)
    return uri.replace("+s://", "://", 1), {
        "encrypted": True,
        "trusted_certificates": neo4j.TrustCustomCAs(str(ca)),
    }


def explain_silence(uri: str, ca: Path | None) -> DatabaseError | None:
    """Why no Bolt server answers at an address although something listens there; ``None`` where that is not known.

    It asks for TLS by itself: of a certificate that it refuses the driver only says that there is no connection.
    """
    parts = urlsplit(uri)
    host, port = parts.hostname or "", parts.port or _PORT
    at = f"{host}:{port}"
    encrypted = is_encrypted(uri)
    try:
        plain = socket.create_connection((host, port), timeout=_PATIENCE)
    except OSError:  # nobody listens
        return None
    try:
        with plain, _context(uri, ca).wrap_socket(plain, server_hostname=host):
            pass
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error, at, parts.scheme)
    except TimeoutError:
        return None
    except (ssl.SSLError, ConnectionError):
        if not encrypted:
            return None
        return DatabaseError(
            f"What listens at {at} does not speak TLS, which {parts.scheme}:// asks for.",
            f"If it is Neo4j without TLS, write {parts.scheme.partition('+')[0]}://{at}; else see its log.",
        )
    except OSError:
        return None
    if encrypted:
        return None
    return DatabaseError(
        f"The server at {at} speaks TLS, which {parts.scheme}:// does not.",
        f"Write {parts.scheme}+s://{at} (or {parts.scheme}+ssc:// where nobody else could answer there).",
    )


def _untrusted(error: ssl.SSLCertVerificationError, at: str, scheme: str) -> DatabaseError:
    if error.verify_code == _EXPIRED:
        return DatabaseError(
            f"The certificate of the server at {at} has expired.", "Ask whoever runs the server for a new one there."
        )
    if error.verify_code in _OTHER_HOST:
        return DatabaseError(
            f"The certificate of the server at {at} is another host's: {error.verify_message.rstrip('.')}.",
            "Write the host's name as it stands in the certificate.",
        )
    return DatabaseError(
        f"The certificate of the server at {at} is not trusted: {error.verify_message.rstrip('.')}.",
        "Name the authority that signed it: ca in the profile (cnngraph profile add --ca FILE), or CNNGRAPH_CA; "
        f"{scheme}sc:// trusts any certificate.",
    )


def _context(uri: str, ca: Path | None) -> ssl.SSLContext:
    """What the driver checks of a certificate at this address."""
    if urlsplit(uri).scheme.endswith("+s"):
        try:
            return ssl.create_default_context(cafile=ca)
        except FileNotFoundError as error:
            raise NotFoundError(f"There is no certificate file {ca}.", "Correct ca (or CNNGRAPH_CA).") from error
        except (ssl.SSLError, OSError) as error:
            raise CnngraphError(f"{ca} is no certificate in PEM format.", "Correct ca (or CNNGRAPH_CA).") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
