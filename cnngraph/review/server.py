"""Serve the page on this machine alone, until Ctrl-C."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable

from cnngraph.errors import CnngraphError
from cnngraph.review.judging import Judging

__all__ = ["PORT", "PageServer", "listen"]

PORT = 8723  # the same as long as it is free, so that what a browser still keeps for the page is found again
_LOOPBACK = "127.0.0.1"


def listen(port: int | None) -> socket.socket:
    """A socket on the loopback address: ``port``; without one :data:`PORT`, or any other that is free.

    Raises:
        CnngraphError: the port is taken, or not for this user.
    """
    for wanted in (port,) if port is not None else (PORT, 0):
        # The protocol is named, since asyncio sends small answers at once (TCP_NODELAY) only where it is: 40 ms each.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((_LOOPBACK, wanted))
            listening.listen(64)  # two may bind to one port, only one may listen
        except OSError as error:
            listening.close()
            if port is not None:
                raise CnngraphError(
                    f"Port {port} of this machine cannot be had: {error.strerror}.",
                    "Leave --port out: a free one is found.",
                ) from error
        else:
            return listening
    raise CnngraphError("This machine has no free port for the page.", "Close some programs and try again.")


class PageServer:
    """The page on a socket of this machine."""

    def __init__(self, judging: Judging, listening: socket.socket) -> None:
        from cnngraph.review.app import make_app
        from cnngraph.review.guard import Guard

        self._judging, self._listening = judging, listening
        self._told: Callable[[str], object] = lambda _: None
        self._guard = Guard(make_app(judging), listening.getsockname()[1], self._announce)

    @property
    def address(self) -> str:
        """The address that opens the page, once."""
        return self._guard.address

    def serve(self, told: Callable[[str], object], *, open_browser: bool) -> None:
        """Answer until Ctrl-C, which ends it with a KeyboardInterrupt."""
        import uvicorn

        self._told = told
        told(f"Judge the filters of {self._judging.binding.model} at {self.address}")
        told("Ctrl-C ends the page; what was decided is stored.")
        if open_browser and not webbrowser.open(self.address):
            told("No browser could be opened: copy the address.")
        config = uvicorn.Config(
            self._guard,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(config).run(sockets=[self._listening])

    def close(self) -> None:
        """Give the port back."""
        self._listening.close()

    def _announce(self, address: str) -> None:
        self._told(f"For another browser: {address}")
