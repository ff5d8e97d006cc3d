"""Who may talk to the page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cnngraph.review.guard import Guard

HOST = "127.0.0.1:8723"
HERE = {"host": HOST, "origin": f"http://{HOST}"}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def guard(told: list[str]) -> Guard:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"the page"})

    return Guard(app, 8723, told.append)


def ask(guard: Guard, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    """(status, headers of the answer); the host is the right one unless another is given."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing to read")

    path, _, query = path.partition("?")
    named = {"host": HOST} | headers
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
    }
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def exchange(guard: Guard) -> str:
    """The cookie that the printed address gives."""
    status, headers = ask(guard, guard.address.removeprefix(guard.origin))
    assert status == 200
    return headers["set-cookie"].split(";")[0]


def test_the_address_works_once_and_another_one_is_said(guard: Guard, told: list[str]) -> None:
    first = guard.address
    cookie = exchange(guard)
    assert ask(guard, cookie=cookie)[0] == 200
    assert ask(guard, first.removeprefix(guard.origin))[0] == 403
    assert told == [guard.address]
    assert guard.address != first
    assert exchange(guard) == cookie  # another browser of the same person


def test_the_cookie_is_kept_from_other_pages_and_from_scripts(guard: Guard) -> None:
    _, headers = ask(guard, guard.address.removeprefix(guard.origin))
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(headers["set-cookie"].split("; "))


@pytest.mark.parametrize("cookie", ["", "cnngraph_review_8723=guess", "cnngraph_review_8723", "\x00;=;"])
def test_without_the_cookie_nothing_is_said(guard: Guard, cookie: str) -> None:
    for path in ("/", "/api/start", "/static/page.js", "/?token=", "/?token=guess", "/layer/x/filter/7"):
        status, headers = ask(guard, path, cookie=cookie)
        assert (status, "set-cookie" in headers) == (403, False)


@pytest.mark.parametrize(
    "other", ['theme={"dark": true}', "flag", "a=b=c", "=", 'q="x', "cnngraph_review_9=theirs", "näme=ß", "a b=c,d"]
)
def test_cookies_of_other_programs_lock_nobody_out(guard: Guard, other: str) -> None:
    mine = exchange(guard)
    for cookie in (f"{other}; {mine}", f"{mine}; {other}", f"{other};{mine};{other}", f" {mine} "):
        assert ask(guard, cookie=cookie)[0] == 200
    for cookie in (other, f"{other}; x{mine}", f"{other}; {mine}x", f"{other}, {mine}"):
        assert ask(guard, cookie=cookie)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:8723", ""])
def test_another_host_is_refused_whatever_it_brings(guard: Guard, host: str) -> None:
    cookie = exchange(guard)
    assert ask(guard, cookie=cookie, host=host)[0] == 421
    assert ask(guard, guard.address.removeprefix(guard.origin), host=host)[0] == 421


def test_only_this_page_may_change_something(guard: Guard) -> None:
    cookie = exchange(guard)
    assert ask(guard, "/api/choices", "POST", cookie=cookie, origin=f"http://{HOST}")[0] == 200
    for origin in ("http://evil.example", "null", f"https://{HOST}", "http://localhost:8723"):
        assert ask(guard, "/api/choices", "POST", cookie=cookie, origin=origin)[0] == 403
        assert ask(guard, "/api/start", cookie=cookie, origin=origin)[0] == 403
    assert ask(guard, "/api/choices", "POST", cookie=cookie)[0] == 403
    assert ask(guard, "/api/choices", "DELETE", cookie=cookie)[0] == 403
    assert ask(guard, "/api/choices", "POST", origin=f"http://{HOST}")[0] == 403


def test_localhost_is_this_machine_too(guard: Guard) -> None:
    cookie = exchange(guard)
    assert ask(guard, cookie=cookie, host="localhost:8723", origin="http://localhost:8723")[0] == 200


def test_nothing_from_elsewhere_may_be_loaded(guard: Guard) -> None:
    for _, headers in (ask(guard, cookie=exchange(guard)), ask(guard)):
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
