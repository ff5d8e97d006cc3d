"""Why an address is not talked to: asked of sockets that speak TLS or not, with certificates made here."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cnngraph.database.address import check_address, driver_options, explain_silence
from cnngraph.errors import CnngraphError, DatabaseError, NotFoundError
from tests.secured import make_certificates


@contextmanager
def listening(certificates: Path | None = None) -> Iterator[int]:
    """A server that does a handshake of TLS, or closes what comes; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificates is not None:
        context.load_cert_chain(certificates / "public.crt", certificates / "private.key")

    def answer() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                if certificates is None:
                    plain.recv(4)
                    plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                else:
                    context.wrap_socket(plain, server_side=True).close()
            except OSError:
                pass
            finally:
                plain.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of localhost and its authority's."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def said(uri: str, ca: Path | None = None) -> str:
    error = explain_silence(uri, ca)
    assert error is None or (error.hint and error.exit_code == 4)
    return str(error)


def test_a_server_that_speaks_tls(certificates: Path) -> None:
    ca = certificates / "ca.crt"
    with listening(certificates) as port:
        assert "is not trusted: unable to get local issuer" in said(f"neo4j+s://localhost:{port}")
        assert "neo4j+ssc://" in said(f"neo4j+s://localhost:{port}")
        assert explain_silence(f"neo4j+s://localhost:{port}", ca) is None
        assert explain_silence(f"bolt+ssc://127.0.0.1:{port}", None) is None
        assert "another host's" in said(f"bolt+s://127.0.0.1:{port}", ca)
        assert f"Write bolt+s://127.0.0.1:{port}" in said(f"bolt://127.0.0.1:{port}")


def test_a_certificate_that_has_expired(certificates: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path, expired=True)
    with listening(tmp_path) as port:
        assert "has expired" in said(f"bolt+s://localhost:{port}", tmp_path / "ca.crt")


def test_a_server_that_speaks_none() -> None:
    with listening() as port:
        assert f"write bolt://127.0.0.1:{port}" in said(f"bolt+s://127.0.0.1:{port}")
        assert explain_silence(f"bolt://127.0.0.1:{port}", None) is None


@pytest.mark.parametrize("scheme", ["neo4j", "neo4j+s", "bolt+ssc"])
def test_nobody(scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert explain_silence(f"{scheme}://127.0.0.1:{taken.getsockname()[1]}", None) is None


def test_an_authority(certificates: Path, tmp_path: Path) -> None:
    ca = certificates / "ca.crt"
    uri, options = driver_options("neo4j+s://host:1", ca)
    assert uri == "neo4j://host:1" and options["encrypted"] is True
    assert driver_options("neo4j+s://host:1", None) == ("neo4j+s://host:1", {})
    for scheme in ("neo4j", "bolt+ssc"):
        with pytest.raises(DatabaseError, match="checks no certificate"):
            driver_options(f"{scheme}://host", ca)
    with pytest.raises(NotFoundError, match="no certificate file"):
        driver_options("neo4j+s://host", tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CnngraphError, match="PEM"):
        driver_options("neo4j+s://host", tmp_path / "text")


@pytest.mark.parametrize("uri", ["http://host", "host:7687", "bolt://", "bolt://host:0", "bolt://host:99999"])
def test_no_address(uri: str) -> None:
    with pytest.raises(DatabaseError, match="no address"):
        check_address(uri)


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(DatabaseError) as refused:
        check_address("neo4j://ada:secret@host:7687")
    assert "secret" not in str(refused.value)
