"""A Neo4j of its own home whose Bolt speaks TLS alone, with a certificate made here; and with any other settings."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cnngraph.console import Quiet
from cnngraph.database.embedded import answering, fetch, plugin, server
from cnngraph.database.embedded.home import USERNAME, Home
from cnngraph.database.embedded.java import environment
from cnngraph.settings import Settings

__all__ = ["READ_ONLY", "TLS", "Secured", "make_certificates", "running"]

TLS = {
    "dbms.ssl.policy.bolt.enabled": "true",
    "dbms.ssl.policy.bolt.base_directory": "certificates",
    "dbms.ssl.policy.bolt.client_auth": "NONE",
    "server.bolt.tls_level": "REQUIRED",
}
READ_ONLY = {"server.databases.default_to_read_only": "true"}


@dataclass(frozen=True)
class Secured:
    """A running server: its port of Bolt, and how to log in as its administrator."""

    port: int
    username: str
    password: str
    home: Home
    process: subprocess.Popen[bytes]

    @property
    def certificates(self) -> Path:
        """The folder where its certificate is looked for."""
        return self.home.folder / "certificates"

    def stop(self) -> None:
        """End it, if it runs."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)


def make_certificates(folder: Path, host: str = "localhost", *, expired: bool = False) -> Path:
    """Make a certificate authority and a certificate of ``host`` alone into ``folder``; the authority's own."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
    key = ("-newkey", "rsa:2048", "-nodes")
    ca = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
    until = ("-days", "-1" if expired else "2")
    for arguments in (
        ("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=cnngraph test CA"),
        ("req", *key, "-keyout", "private.key", "-out", "public.csr", "-subj", f"/CN={host}"),
        ("x509", "-req", "-in", "public.csr", *ca, "-out", "public.crt", *until, "-extfile", "names"),
    ):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "ca.crt"


@contextmanager
def running(settings: Settings, more: Mapping[str, str]) -> Iterator[Secured]:
    """Run the server of ``settings.home`` with the settings ``more`` beside its own; ended afterwards."""
    home = server._home(settings)
    ports = answering.free_ports()
    fetch.fetch(home.jars, home.cache, Quiet(), release=home.release)
    plugin.merge(home.jars, home.cache)
    home.prepare(Quiet())
    home.configure(ports)
    with home.conf.open("a") as conf:
        conf.writelines(f"{name}={value}\n" for name, value in more.items())
    with home.console.open("w") as console:
        process = subprocess.Popen(
            home.command(),
            cwd=home.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Secured(ports.bolt, USERNAME, home.password(), home, process)
    try:
        end = time.monotonic() + server.STARTING
        while answering.login(ports.http, USERNAME, home.password()) != 202:
            assert process.poll() is None and time.monotonic() < end, home.console.read_text()[-2000:]
            time.sleep(0.2)
        yield started
    finally:
        started.stop()
