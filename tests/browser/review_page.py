"""A page of ``cnngraph review`` in headless Chromium: its server in a thread of the test, on the session's database."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from playwright.sync_api import BrowserContext, Page, expect

from cnngraph.jobs.review import PageChoice, open_judging
from cnngraph.jobs.session import Session
from cnngraph.review.app import make_app
from cnngraph.review.guard import Guard
from cnngraph.review.server import listen

__all__ = ["Forwarder", "Site", "decided", "served", "visit"]

expect.set_options(timeout=20_000)  # a busy machine takes its time to compile the first query that stores


@dataclass
class Site:
    """A page's server that runs; ``address`` opens it, once."""

    guard: Guard
    port: int
    announced: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.guard.address

    @property
    def origin(self) -> str:
        return self.guard.origin


@contextmanager
def served(session: Session, model: str, *, port: int | None = None, **choice: Any) -> Iterator[Site]:
    """The page of ``model``; ``choice`` are fields of a PageChoice."""
    with listen(port) as listening:
        site = Site(None, listening.getsockname()[1])  # type: ignore[arg-type]
        app = make_app(open_judging(session, model, PageChoice(**choice)))
        site.guard = Guard(app, site.port, site.announced.append)
        config = uvicorn.Config(site.guard, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield site
        finally:
            server.should_exit = True
            thread.join(30)


def visit(context: BrowserContext, site: Site) -> Page:
    """A new tab on the page; its ``faults`` are errors of the page's code and breaches of its policy."""
    page = context.new_page()
    page.set_default_timeout(20_000)
    faults: list[str] = []
    page.faults = faults  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    page.goto(site.address)
    expect(page.locator("#cost dt").first).to_be_visible()
    return page


def decided(page: Page, count: int) -> None:
    """Wait until the server has stored everything, and the page shows ``count`` filters as judged."""
    expect(page.locator("#progress")).to_have_attribute("aria-valuenow", str(count))
    expect(page.locator("#last .waits")).to_have_count(0)


class Forwarder:
    """A port that hands on to a server, and can be shut for a while: the server is gone, for whoever uses the port."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._there = (parts.hostname, parts.port)
        self._pairs: list[socket.socket] = []
        self.port = 0
        self.open()

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Hand on, from the same port as before."""
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind(("127.0.0.1", self.port))
        self._listening.listen()
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def shut(self) -> None:
        """Refuse every connection, and break those there are."""
        for one in (self._listening, *self._pairs):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._pairs.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                here, _ = listening.accept()
            except OSError:
                return
            there = socket.create_connection(self._there)
            self._pairs += [here, there]
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(2**16):
            target.sendall(chunk)
    except OSError:
        pass
    finally:
        for one in (source, target):
            one.close()
