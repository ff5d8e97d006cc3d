"""Some saved queries in the real Neo4j Browser of the embedded server: log in, paste, see the graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnngraph.database import catalogue, cypher, queries
from cnngraph.database.comparisons import SimilarLayers, StoredComparison, store_comparison
from cnngraph.database.connection import Database
from cnngraph.database.lineage import store_evaluation, store_produced, store_pruning_run
from cnngraph.database.records import Evaluation
from cnngraph.database.writer import write_network
from cnngraph.measures.registry import measure
from cnngraph.plan import Plan, Removal
from tests.browser.conftest import give_up
from tests.synthetic import small_network, with_car

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from tests.browser.neo4j_browser import Neo4jBrowser, chromium, opened  # noqa: E402

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(server: Any) -> Iterator[Neo4jBrowser]:
    if server is None:
        give_up("the address of Neo4j Browser on a given server is not known")
    with playwright.sync_playwright() as found:
        if chromium(found) is None:
            give_up("there is no Chromium: install one, or run: playwright install chromium")
    with opened(f"{server.http}/browser/", server.uri, server.username, server.password) as page:
        yield page


@pytest.fixture(scope="module")
def model(database: Database) -> Iterator[str]:
    """A small net that was measured and pruned."""
    parent = write_network(database, with_car(small_network(0), ["conv1"]), "browser-net")["model"]
    child = write_network(database, small_network(1), "browser-net-pruned")["model"]
    measure(database, parent, "depth")
    run = store_pruning_run(
        database, Plan(model=parent, removes=(Removal(layer="block.conv3", reason="theta 0.1 < 0.3"),))
    )
    store_produced(database, run, child, parent, {"conv1": "conv1"})
    alike = [SimilarLayers(layer, layer, 0.5, 0.1, "unbiased", 64, 8, "survives_as") for layer in ("conv1", "relu")]
    store_comparison(database, StoredComparison(parent, child, "cka", {}, {"images": 8}, alike))
    store_evaluation(database, child, Evaluation.of({"split": "test", "accuracy": 0.97}))
    yield parent
    for key in (parent, child):
        catalogue.delete(database, key)


@pytest.mark.parametrize(
    ("stem", "nodes"),
    [
        ("overview", 13),  # eleven layers, the measure run, the pruning run
        ("arcs-into-position", 26),  # one position, and what its 3 x 3 kernel looks at through a 2 x 2 pool
        ("removed", 3),  # the pruning run, the layer, the new model
        ("lineage", 4),  # two models, the run between, an evaluation
        ("similar-layers", 6),  # the model, the comparison, two layers and what each is like
        ("filters-of-class", 2),  # a class, and the one feature map that serves it
    ],
)
def test_paste_and_see(browser: Neo4jBrowser, database: Database, model: str, stem: str, nodes: int) -> None:
    frame = browser.paste(queries.query_text(stem, model, {}))
    assert frame.nodes() == nodes
    assert frame.relationships() >= nodes - 1


def test_style_sheet(browser: Neo4jBrowser, model: str) -> None:
    """A conv has the colour of its kind, red where it is removed, and is the larger, the larger its theta."""
    browser.use_style(Path(cypher.folder(), "style.grass").read_text(encoding="utf-8"))
    drawn = {}
    for layer in ("conv1", "block.conv3"):
        frame = browser.paste(f'MATCH (l:Conv {{model: "{model}", layer: "{layer}"}}) RETURN l')
        assert frame.nodes() == 1
        circle = frame.panel.locator("g.node circle.b-outline")
        drawn[layer] = (circle.get_attribute("fill"), circle.get_attribute("r"))
    assert drawn == {"conv1": ("#4C8EDA", "42.5"), "block.conv3": ("#DA4A4A", "20")}
