"""Serve the page on this machine alone, until Ctrl-C."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable

from cnngraph.errors import CnngraphError
from cnngraph.review.judging import Judging

__all__ = ["PORT", "listen", "serve"]

PORT = 8723  # the same as long as it is free, so that what a browser still keeps for the page is found again
_LOOPBACK = "127.0.0.1"


def listen(port: int | None) -> socket.socket:
    """A socket on the loopback address: ``port``; without one :data:`PORT`, or any other that is free.

    Raises:
        CnngraphError: the port is taken, or not for this user.
    """
    for wanted in (port,) if port is not None else (PORT, 0):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
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


def serve(judging: Judging, listening: socket.socket, say: Callable[[str], object], *, open_browser: bool) -> None:
    """Serve the page on ``listening`` until Ctrl-C, which ends it with a KeyboardInterrupt."""
    import uvicorn

    from cnngraph.review.app import make_app
    from cnngraph.review.guard import Guard

    port = listening.getsockname()[1]
    guard = Guard(make_app(judging), port, lambda address: say(f"For another browser: {address}"))
    say(f"Judge the filters of {judging.binding.model} at {guard.address}")
    say("Ctrl-C ends the page; what was decided is stored.")
    if open_browser and not webbrowser.open(guard.address):
        say("No browser could be opened: copy the address.")
    config = uvicorn.Config(
        guard,
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listening])
