"""Who may talk to the page: this machine's browser, with the cookie that the one-time address was exchanged for."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Nothing from elsewhere, nothing inline, in no frame.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Lets a request through to ``app`` only if it comes from a page of this very server.

    The host must be the loopback address (a name that an attacker has pointed to it is another), a request that changes
    something must say that it comes from here, and everything needs the cookie. The address with the token gives the
    cookie, once; then there is a new one, which ``announce`` is told: for another browser.
    """

    def __init__(self, app: App, port: int, announce: Callable[[str], object]) -> None:
        self.app = app
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.origin = f"http://127.0.0.1:{port}"
        self._name = f"cnngraph_review_{port}"
        self._cookie = secrets.token_urlsafe(32)
        self._token = secrets.token_urlsafe(24)
        self._announce = announce

    @property
    def address(self) -> str:
        """The address that opens the page, once."""
        return f"{self.origin}/?token={self._token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refuse(scope["method"], headers)
        if refused is not None:
            await _answer(send, *refused)
            return
        if self._exchanges(scope):
            self._token = secrets.token_urlsafe(24)
            self._announce(self.address)
            await self.app(scope, receive, self._with_headers(send, cookie=True))
        elif self._has_cookie(headers.get("cookie", "")):
            await self.app(scope, receive, self._with_headers(send))
        else:
            await _answer(
                send, 403, "Open the address that cnngraph review has printed; it opens the page once, in one browser."
            )

    def _refuse(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if headers.get("host", "") not in self.hosts:
            return 421, "This page answers to 127.0.0.1 alone."
        origin = headers.get("origin")
        if origin is None and method in ("GET", "HEAD"):
            return None
        if origin != f"http://{headers['host']}":
            return 403, "This request comes from another page."
        return None

    def _exchanges(self, scope: Scope) -> bool:
        if scope["method"] != "GET" or scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _has_cookie(self, header: str) -> bool:
        # Cookies of 127.0.0.1 are shared over its ports: what other programs set there may be no cookie by the book, at
        # which SimpleCookie gives up, and takes the ones after it for nothing.
        wanted = f"{self._name}={self._cookie}".encode()
        return any(hmac.compare_digest(one.strip().encode(), wanted) for one in header.split(";"))

    def _with_headers(self, send: Send, *, cookie: bool = False) -> Send:
        added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        if cookie:
            value = f"{self._name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"
            added.append((b"set-cookie", value.encode()))

        async def send_on(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = added if b"cache-control" in own else [*added, (b"cache-control", b"no-store")]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        return send_on


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
    headers += [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
