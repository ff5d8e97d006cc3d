"""The page of a review, its data computed: server's time to the first filter and to the next one, VGG16 at 32 pixels.

    python benchmarks/review.py [--width 1.0] [--images-per-class 20] [--filters 50]

Every request of a browser is made in turn, over HTTP: first the page, its files, what it begins with, the first filter
and its images; then filter after filter, each with its images. A person has judged every filter before, so that the log
is as long as it gets.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import machine  # noqa: E402 (the checkout is no installed package)

FIRST, NEXT = 2.0, 0.1  # seconds
FILES = ("page.css", "page.js", "dom.js", "choices.js", "lenses.js", "grid.js", "icon.svg")


class Browser:
    """One connection, with the cookie of the page."""

    def __init__(self, address: str) -> None:
        host, _, path = address.removeprefix("http://").partition("/")
        self.line = http.client.HTTPConnection(host, timeout=120)
        self.cookie = ""
        self.get(f"/{path}")

    def get(self, path: str) -> bytes:
        self.line.request("GET", path, headers={"cookie": self.cookie})
        answer = self.line.getresponse()
        self.cookie = self.cookie or answer.headers["set-cookie"].split(";")[0]
        content = answer.read()
        assert answer.status == 200, content
        return content

    def filter(self, layer: str, channel: int) -> None:
        """A filter as the page loads it: all lenses, and its images."""
        told = json.loads(self.get(f"/api/filter?layer={layer}&channel={channel}"))
        for one in told["lenses"]["images"]["images"]:
            self.get(f"/picture/image?index={one['index']}")


def run(width: float = 1.0, images_per_class: int = 20, filters: int = 50) -> dict[str, Any]:
    """The figures as a JSON object."""
    import uvicorn

    from cnngraph.api import offline
    from cnngraph.api.choices import TraceOptions
    from cnngraph.api.graph import Graph
    from cnngraph.database.reviews import Choice, append
    from cnngraph.jobs.review import PageChoice, open_judging
    from cnngraph.review.app import make_app
    from cnngraph.review.guard import Guard
    from cnngraph.review.server import listen
    from cnngraph.settings import load_settings
    from cnngraph.sources.data_choice import DataChoice
    from cnngraph.sources.loaded import ModelChoice

    model = ModelChoice(name="cnngraph:vgg16", width=width, size=32)
    data = DataChoice(name="digits", images_per_class=images_per_class)
    traced = offline.map_model(model, data, TraceOptions(view="channels", connections="none"))
    with Graph.open(load_settings()) as graph, listen(None) as listening:
        graph.ingest(traced, "review-benchmark")
        judging = open_judging(graph.session(), "review-benchmark", PageChoice())
        judged = [Choice(f"{layer}/{n}", layer, n, "keep", judging.by) for layer, n in judging.order]
        append(graph.database, judging.binding, judged)
        guard = Guard(make_app(judging), listening.getsockname()[1], lambda _: None)
        server = uvicorn.Server(uvicorn.Config(guard, log_level="error", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            since = perf_counter()
            browser = Browser(guard.address)
            for name in FILES:
                browser.get(f"/static/{name}")
            browser.get("/api/start")
            order = judging.order
            browser.filter(*order[0])
            first = perf_counter() - since
            times = []
            stride = max(1, len(order) // filters)
            for where in order[stride::stride]:
                since = perf_counter()
                browser.filter(*where)
                times.append(perf_counter() - since)
        finally:
            server.should_exit = True
            thread.join()
        graph.delete("review-benchmark", yes=True)
    return {
        "benchmark": "review",
        "net": f"cnngraph vgg16, width {width:g}, 32 x 32, {len(order):,} filters, all judged before",
        "images": 10 * images_per_class,
        "first_seconds": first,
        "next_seconds": {"median": median(times), "slowest": max(times), "filters": len(times)},
        "targets": {"first": FIRST, "next": NEXT},
        "reached": first <= FIRST and median(times) <= NEXT,
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--images-per-class", type=int, default=20)
    parser.add_argument("--filters", type=int, default=50)
    given = parser.parse_args()
    print(json.dumps(run(given.width, given.images_per_class, given.filters), indent=2))


if __name__ == "__main__":
    main()
