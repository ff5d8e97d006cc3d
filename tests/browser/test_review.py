"""The page of ``cnngraph review`` in a browser: by keyboard, by touch, in two tabs, by two people, when things go."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cnngraph.database import catalogue
from cnngraph.database.connection import Database, connect
from cnngraph.database.reviews import read_log
from cnngraph.database.writer import WriteOptions, write_network
from cnngraph.jobs.session import Session
from cnngraph.review.agreement import standing
from cnngraph.review.progress import describe_progress
from cnngraph.settings import load_settings
from tests.synthetic import small_network

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, Route, expect  # noqa: E402

from tests.browser.review_page import Forwarder, decided, served, visit  # noqa: E402

pytestmark = pytest.mark.browser

Run = Callable[..., Any]
NAME, KEY = "eye", "tester/eye"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One person's browser."""
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    yield made
    made.close()


@pytest.fixture(scope="module")
def ingested(command: Run, server: Any) -> str:
    """A narrow LeNet, 3 and 8 filters, with its saved model and its images."""
    arguments = ("--width", 0.5, "--data", "digits", "--view", "channels", "--images-per-class", 5)
    done = command("ingest", "cnngraph:lenet5", *arguments, "--name", NAME, "--json")
    assert done.code == 0, done.err
    return NAME


@pytest.fixture
def session(database: Database, ingested: str) -> Iterator[Session]:
    """The session's database, in which nobody has judged the net yet."""
    yield Session(load_settings(), connected=database)
    database.write("MATCH (r:Review)-[:OF]->(:Model {key: $key}) DETACH DELETE r", key=KEY)


def answers(database: Database, key: str = KEY) -> dict[str, dict[tuple[str, int], str]]:
    """What counts, by person and filter."""
    found: dict[str, dict[tuple[str, int], str]] = {}
    for where, people in standing(read_log(database, key).choices).items():
        for by, one in people.items():
            found.setdefault(by, {})[where] = one.decision
    return found


def at(page: Page) -> str:
    return page.locator("#title").inner_text()


def nameless(page: Page) -> list[str]:
    """What a screen reader could not name, of all that is shown and can be pressed, chosen or looked at."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, img, canvas, [role=progressbar]')]
            .filter((one) => one.offsetParent && !one.textContent.trim() && !one.getAttribute('aria-label')
                && !one.labels?.length && !one.alt)
            .map((one) => one.outerHTML)"""
    )
    return found


def test_a_whole_session_by_keyboard(session: Session, context: BrowserContext) -> None:
    with served(session, NAME, by="ann") as site:
        page = visit(context, site)
        assert "token" not in page.url
        expect(page.locator("#title")).to_have_text("Filter 0 of features.0")
        for number, shown in enumerate(("figure img", "figure canvas", "img.large", "code", "figure, p", "table"), 1):
            page.keyboard.press(str(number))
            expect(page.locator("#lens").locator(shown).first).to_be_visible()
            if "img" in shown:
                expect(page.locator("#lens img").first).not_to_have_js_property("naturalWidth", 0)
        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        page.keyboard.press("Escape")
        assert nameless(page) == []
        page.keyboard.press("n")
        expect(page.locator("#title")).to_have_text("Filter 1 of features.0")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#title")).to_have_text("Filter 0 of features.0")
        wanted = "kduddkkkdku"
        for count, key in enumerate(wanted, 1):
            before = at(page)
            page.keyboard.press(key)
            expect(page.locator("#progress")).to_have_attribute("aria-valuenow", str(count))
            if count < len(wanted):
                expect(page.locator("#title")).not_to_have_text(before)
        expect(page.locator("#summary")).to_be_visible()  # all are judged
        decided(page, 11)
        expect(page.locator("#sums")).to_contain_text("11 of 11 filters were judged")
        expect(page.locator("#said")).to_contain_text("All are judged")  # heard, where it is not seen
        page.keyboard.press("z")
        expect(page.locator("#title")).to_have_text("Filter 7 of features.3")
        page.keyboard.press("z")
        expect(page.locator("#title")).to_have_text("Filter 6 of features.3")
        page.keyboard.press("d")
        decided(page, 10)
        page.locator("#last li").nth(9).get_by_role("button", name="don't know").press("Enter")  # the oldest of ten
        expect(page.locator("#last li").first).to_contain_text("don't know")
        decided(page, 10)
        assert page.faults == []  # type: ignore[attr-defined]
    words = {"k": "keep", "d": "drop", "u": "unknown"}
    filters = [*(("features.0", n) for n in range(3)), *(("features.3", n) for n in range(8))]
    expected = {where: words[key] for where, key in zip(filters, wanted, strict=True)}
    expected |= {("features.3", 6): "drop", ("features.0", 0): "unknown"}
    del expected["features.3", 7]
    assert answers(session.database) == {"ann": expected}
    log = read_log(session.database, KEY)
    assert len(log.choices) == 11 + 2 + 2
    assert {one.lens for one in log.choices} == {"scores", ""}  # which lens was open


def test_by_touch_at_400_pixels(session: Session, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    with served(session, NAME, by="ann", layers=("features.0",)) as site:
        page = visit(context, site)
        for count, name in enumerate(("keep", "drop", "unknown"), 1):
            page.locator(f"#{name}").tap()
            decided(page, count)
        expect(page.locator("#summary")).to_be_visible()
        page.locator("#undo").tap()
        decided(page, 2)
        page.locator("#to-grid").tap()
        page.locator("#tiles li").nth(2).get_by_role("checkbox").tap()
        page.locator("#drop").tap()
        decided(page, 3)
        for view in ("filter", "grid", "summary"):
            page.locator(f"#to-{view}").tap()
            expect(page.locator(f"#{view}")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
        sizes = page.evaluate(
            "[...document.querySelectorAll('button, select')].filter((b) => b.offsetParent)"
            ".map((b) => [b.id || b.textContent, b.getBoundingClientRect().height])"
        )
        assert [one for one in sizes if one[1] < 44] == []
    context.close()
    assert answers(session.database) == {
        "ann": {("features.0", 0): "keep", ("features.0", 1): "drop", ("features.0", 2): "drop"}
    }


def test_a_reload_in_the_middle_and_an_address_of_ones_own(session: Session, context: BrowserContext) -> None:
    with served(session, NAME, by="ann") as site:
        page = visit(context, site)
        page.keyboard.press("d")
        decided(page, 1)
        page.goto(f"{site.origin}/layer/features.3/filter/7")
        expect(page.locator("#title")).to_have_text("Filter 7 of features.3")
        page.keyboard.press("k")
        page.reload()  # whether it was stored yet or not
        decided(page, 2)
        page.goto(f"{site.origin}/layer/features.3/filter/7")
        expect(page.locator("#state")).to_have_text("You: kept.")
        page.goto(f"{site.origin}/layer/features.9/filter/0")
        expect(page.locator("#message")).to_contain_text("There is no filter 0 of features.9")
    assert answers(session.database) == {"ann": {("features.0", 0): "drop", ("features.3", 7): "keep"}}


def test_two_tabs_see_each_other(session: Session, context: BrowserContext) -> None:
    with served(session, NAME, by="ann") as site:
        first = visit(context, site)
        second = context.new_page()
        second.goto(f"{site.origin}/layer/features.3/filter/2")  # the cookie is the browser's
        expect(second.locator("#title")).to_have_text("Filter 2 of features.3")
        first.keyboard.press("d")
        decided(second, 1)
        second.keyboard.press("k")
        decided(first, 2)
        first.keyboard.press("z")  # the last decision of the person, whichever tab it was made in
        decided(second, 1)
        assert len(site.announced) == 1
    assert answers(session.database) == {"ann": {("features.0", 0): "drop"}}
    assert len(read_log(session.database, KEY).choices) == 3


def test_an_answer_that_was_overtaken_forgets_no_decision(session: Session, context: BrowserContext) -> None:
    """It was made before a decision was stored, and comes after that decision ceased to wait in the browser."""
    with served(session, NAME, by="ann") as site:
        first = visit(context, site)
        second = context.new_page()
        second.goto(f"{site.origin}/layer/features.3/filter/2")
        expect(second.locator("#title")).to_have_text("Filter 2 of features.3")
        held: list[tuple[Route, APIResponse]] = []

        def hold(route: Route) -> None:
            if held:
                route.continue_()
            else:
                held.append((route, route.fetch()))

        first.route("**/api/start", hold)
        second.keyboard.press("k")
        decided(second, 1)
        for _ in range(200):
            if held:
                break
            first.wait_for_timeout(50)
        first.keyboard.press("d")
        decided(first, 1)  # what the other tab decided is not there yet
        (route, answer) = held[0]
        route.fulfill(response=answer)
        decided(first, 2)
        first.keyboard.press("z")
        decided(first, 1)
        assert first.faults == []  # type: ignore[attr-defined]
    assert answers(session.database) == {"ann": {("features.3", 2): "keep"}}


def test_two_people_disagree(session: Session, browser: Browser) -> None:
    keys = {"ann": "dkd", "ben <b>bold</b>": "ddk"}
    for by, typed in keys.items():
        context = browser.new_context()
        with served(session, NAME, by=by, layers=("features.0",)) as site:
            page = visit(context, site)
            assert page.locator("header b").count() == 0  # a name is text
            for count, key in enumerate(typed, 1):
                page.keyboard.press(key)
                decided(page, count)
            expect(page.locator("#sums")).to_contain_text("3 of 11 filters were judged")
            if by != "ann":  # the disagreement on filter 1
                expect(page.locator("#sums")).to_contain_text("ben <b>bold</b>: dropped")
            assert page.faults == []  # type: ignore[attr-defined]
        context.close()
    status = describe_progress(session.database, KEY, "all")
    assert status["drops"] == {"features.0": [0]}
    assert [one["channel"] for one in status["disagreements"]] == [1, 2]
    (pair,) = status["kappa"]
    assert (pair["filters"], pair["agreed"], pair["kappa"]) == (3, 1, pytest.approx(-0.5))


def test_in_random_order_with_the_score_hidden(session: Session, context: BrowserContext) -> None:
    with served(session, NAME, by="ann", shuffle=True, hide_scores=True) as site:
        page = visit(context, site)
        seen = [at(page)]
        page.keyboard.press("6")
        expect(page.locator("#lens")).to_have_text("Hidden until you have decided.")
        expect(page.locator("#cost")).to_contain_text("hidden until you have decided")
        page.keyboard.press("d")
        expect(page.locator("#title")).not_to_have_text(seen[0])
        decided(page, 1)
        page.keyboard.press("p")
        expect(page.locator("#title")).to_have_text(seen[0])
        expect(page.locator("#lens table")).to_be_visible()
        for _ in range(10):
            page.keyboard.press("n")
            expect(page.locator("#title")).not_to_have_text(seen[-1])
            seen.append(at(page))
        page.keyboard.press("k")
        decided(page, 2)
        page.keyboard.press("s")
        expect(page.locator("#sums")).to_contain_text("Concordance")
    filters = [*(f"Filter {n} of features.0" for n in range(3)), *(f"Filter {n} of features.3" for n in range(8))]
    assert sorted(seen) == sorted(filters)
    assert seen != filters
    assert [one.blind for one in read_log(session.database, KEY).choices] == [True, True]
    with served(session, NAME, by="ann", shuffle=True) as site:  # the same order another time
        page = visit(context, site)
        assert at(page) == seen[1]


def test_a_group_of_twins_with_an_exception(session: Session, context: BrowserContext, database: Database) -> None:
    database.write(
        "UNWIND [[0, 2], [2, 5]] AS pair "
        "MATCH (a:FeatureMap {model: $key, layer: 'features.3', channel: pair[0]}) "
        "MATCH (b:FeatureMap {model: $key, layer: 'features.3', channel: pair[1]}) "
        "MERGE (a)-[t:RESEMBLES {scope: 'within'}]->(b) SET t.correlation = -0.99",
        key=KEY,
    )
    with served(session, NAME, by="ann") as site:
        page = visit(context, site)
        page.goto(f"{site.origin}/layer/features.3")
        expect(page.locator("#tiles li")).to_have_count(8)
        assert [one for one in nameless(page) if not one.startswith("<img")] == []  # a tile's image stands by its name
        expect(page.locator("#tiles img")).to_have_count(8)
        expect(page.locator("#tiles img").last).not_to_have_js_property("naturalWidth", 0)
        page.locator("#sort").select_option("magnitude")
        page.locator("#tiles li[data-channel='5'] input").focus()
        page.keyboard.press("t")
        expect(page.locator("#tiles li.chosen")).to_have_count(3)
        page.locator("#tiles li[data-channel='2'] input").focus()
        page.keyboard.press("x")  # but not this one
        expect(page.locator("#chosen")).to_contain_text("2 chosen")
        page.keyboard.press("d")
        decided(page, 2)
        page.locator("#show").select_option("drop")
        expect(page.locator("#tiles li")).to_have_count(2)
    assert answers(database) == {"ann": {("features.3", 0): "drop", ("features.3", 5): "drop"}}


def test_the_database_is_gone_for_a_while(session: Session, context: BrowserContext, database: Database) -> None:
    settings = load_settings()
    way = Forwarder(database.uri)
    user, password = _login(settings)
    around = dataclasses.replace(settings, uri=way.uri, username=user, password=password)
    with connect(around) as beside, served(Session(around, connected=beside), NAME, by="ann") as site:
        page = visit(context, site)
        way.shut()
        page.keyboard.press("d")
        expect(page.locator("#last .waits")).to_have_count(1)
        expect(page.locator("#message")).to_contain_text("1 decision waits in this browser", timeout=40_000)
        page.locator("#last li").get_by_role("button", name="keep").click()
        expect(page.locator("#last .waits")).to_have_count(2)
        for _ in range(3):
            page.keyboard.press("n")  # to a filter that was never loaded
        expect(page.locator("#message")).to_contain_text("lost half-way", timeout=40_000)
        assert answers(database) == {}
        way.open()
        expect(page.locator("#last .waits")).to_have_count(0, timeout=60_000)
        expect(page.locator("#message")).to_be_hidden()
    assert answers(database) == {"ann": {("features.0", 0): "keep"}}
    assert len(read_log(database, KEY).choices) == 2


def _login(settings: Any) -> tuple[str, str]:
    if settings.uri is not None:
        return settings.username, settings.password
    from cnngraph.console import Quiet
    from cnngraph.database.embedded import server as embedded

    running = embedded.up(settings, Quiet())
    return running.username, running.password


def test_the_page_is_left_and_opened_again(session: Session, context: BrowserContext) -> None:
    with served(session, NAME, by="ann") as site:
        page = visit(context, site)
        page.keyboard.press("d")
        decided(page, 1)
    page.keyboard.press("n")  # what was loaded already is there
    page.keyboard.press("k")  # nobody is there to store it
    expect(page.locator("#message")).to_contain_text("does not answer")
    with served(session, NAME, by="ann", port=site.port) as again:
        page.goto(again.address)
        decided(page, 2)
    assert sorted(answers(session.database)["ann"].values()) == ["drop", "keep"]


def test_the_model_is_replaced_while_the_page_is_open(
    session: Session, context: BrowserContext, database: Database
) -> None:
    first, second = small_network(4), small_network(5)
    key = write_network(database, first, "moving", WriteOptions(yes=True), sha256="ab" * 32)["model"]
    with served(session, "moving", by="ann") as site:
        page = visit(context, site)
        expect(page.locator("#lens")).to_contain_text("The images could not be looked at")
        page.keyboard.press("d")
        decided(page, 1)
        write_network(database, second, "moving", WriteOptions(replace=True, yes=True), sha256="cd" * 32)
        page.keyboard.press("k")
        expect(page.locator("#message")).to_contain_text("was replaced by another net since the review began")
        expect(page.locator("#message")).to_contain_text("1 decision waits in this browser")
        expect(page.locator("#keep")).to_be_disabled()
    assert read_log(database, key).choices == ()
    catalogue.delete(database, key, yes=True)


def test_names_are_text(session: Session, context: BrowserContext, database: Database) -> None:
    evil = "<img src=x onerror=alert(1)>"
    key = write_network(database, small_network(6), "named", WriteOptions(yes=True), sha256="ab" * 32)["model"]
    database.write("MATCH (c:Class {model: $key, index: 0}) SET c.name = $evil", key=key, evil=evil)
    database.write("MATCH (l:Layer {model: $key, layer: 'conv1'}) SET l.layer = $evil", key=key, evil=evil)
    database.write("MATCH (f:FeatureMap {model: $key, layer: 'conv1'}) SET f.layer = $evil", key=key, evil=evil)
    database.write(
        "MATCH (f:FeatureMap {model: $key, layer: $evil, channel: 0}) SET f.carByClass = [0.1, 0.2, 0.3], f.car = 0.2",
        key=key,
        evil=evil,
    )
    with served(session, "named", by=evil) as site:
        page = visit(context, site)
        expect(page.locator("#title")).to_have_text(f"Filter 0 of {evil}")
        page.keyboard.press("4")
        page.locator("#lens summary").click()
        expect(page.locator("#lens")).to_contain_text(evil)
        page.keyboard.press("d")
        decided(page, 1)
        page.keyboard.press("g")
        expect(page.locator("#grid-title")).to_contain_text(evil)
        page.keyboard.press("s")
        expect(page.locator("#sums")).to_contain_text(evil)
        assert page.locator("img[src='x']").count() == 0
        assert page.faults == []  # type: ignore[attr-defined]
    assert answers(database, key) == {evil: {(evil, 0): "drop"}}
    catalogue.delete(database, key, yes=True)


def test_nothing_is_asked_of_another_host(session: Session, context: BrowserContext) -> None:
    asked: set[str] = set()
    context.on("request", lambda request: asked.add(re.sub(r"^(\w+://[^/]+).*", r"\1", request.url)))
    with served(session, NAME, by="ann") as site:
        page = visit(context, site)
        page.keyboard.press("2")
        page.keyboard.press("s")
        expect(page.locator("#summary")).to_be_visible()
        assert asked == {site.origin}
