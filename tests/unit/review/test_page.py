"""The page as files: nothing from elsewhere, nothing inline, texts that can be read."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

import cnngraph.review
from cnngraph.errors import CnngraphError
from cnngraph.review.server import PORT, listen

ROOM = Path(cnngraph.review.__file__).parent
FILES = sorted([*(ROOM / "static").iterdir(), *(ROOM / "templates").iterdir()])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_outside_resource_and_no_markup_from_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"https?://|@import|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", text)
        assert "|safe" not in text.replace(" ", "")


def test_every_key_of_the_help_is_one_of_the_page() -> None:
    html = (ROOM / "templates" / "page.html").read_text(encoding="utf-8")
    code = (ROOM / "static" / "page.js").read_text(encoding="utf-8")
    keys = re.search(r"const KEYS = \{(.*?)\};", code, flags=re.DOTALL)
    assert keys is not None
    known = set(re.findall(r'(?<=\s)"?([a-z?])"?: ', keys[1]))
    shown = {key for term in re.findall(r"<dt>.*?</dt>", html) for key in re.findall(r"<kbd>([a-z?])</kbd>", term)}
    assert shown == known
    assert len(known) == 10


def test_contrast_of_every_text_is_seven_to_one() -> None:
    css = (ROOM / "static" / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", css))
    on_light = [colours[name] for name in ("ink", "keep", "drop", "unknown", "link")]
    pairs = [(text, ground) for text in on_light for ground in ("#ffffff", colours["soft"])]
    pairs += [("#ffffff", colours[name]) for name in ("keep", "drop", "unknown", "link")]
    assert min(_contrast(*pair) for pair in pairs) >= 7
    assert _contrast(colours["line"], "#ffffff") >= 3  # borders of what can be pressed


def _contrast(one: str, other: str) -> float:
    """Of two colours, by WCAG 2: 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_port_that_is_taken_is_said_and_a_free_one_found() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CnngraphError, match=f"Port {port} of this machine cannot be had") as refused:
            listen(port)
    assert "--port" in refused.value.hint
    with listen(None) as first, listen(None) as second:
        ports = [one.getsockname() for one in (first, second)]
        assert {host for host, _ in ports} == {"127.0.0.1"}
        assert ports[0][1] != ports[1][1]
        assert first.proto == socket.IPPROTO_TCP  # else asyncio lets every small answer wait for 40 ms
    assert PORT > 1023
