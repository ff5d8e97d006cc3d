"""The section of triage: what each block costs by each scheme, how soon it is back, what of the paper came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.report import machine_in_words, markdown
from benchmarks.reproduce.subjects import count_seeds, percent

__all__ = ["page", "summarise"]

Row = Mapping[str, Any]

GLOBAL = ("random-global", "parent-global")
DISTILLED = {"random-global": "distill", "parent-global": "parent-distill"}  # the same start, and a teacher
STAGES = 5  # of VGG16
LOCAL = ("random-local", "parent-local")
SCHEMES = (*LOCAL, *GLOBAL, *DISTILLED.values(), "fitted")


def page(rows: Sequence[Row]) -> str:
    """The section of docs/results.md."""
    known = rows[-1]["machine"]
    titles = list(dict.fromkeys(row["title"] for row in rows))
    first = {row["title"]: row for row in rows}
    images = "; ".join(
        f"{title} {row['images_per_class']} training images a class, {row['judged']} for validation, {row['tested']} "
        "for test"
        for title, row in first.items()
    )
    some = rows[0]
    head = (
        f"VGG16 with norm, {some['scale'].partition('-w')[2].partition('-')[0]} of its width, at "
        f"{some['scale'].partition('-s')[2].partition('-')[0]} pixels. {images}. The net was trained for "
        f"{some['parent_epochs']} epochs, each trial for {some['epochs']}; accuracy is of test images, of the epoch "
        "that validation images chose; epochs are counted on validation images. Mean ± standard deviation over seeds. "
        f"{machine_in_words(known)}, load {known['load']}."
    )
    parts = [head]
    for title in titles:
        mine = [row for row in rows if row["title"] == title]
        seeds = {row["seed"] for row in mine if row["scheme"] == "parent"}
        parts += [
            f"### {title}, {count_seeds(len(seeds))}",
            _accuracies(mine),
            _epochs(mine),
            " ".join([*_sentences(mine), *_unfinished(mine, len(seeds))]),
        ]
    parts += ["### Beside the paper", *_verdicts(titles, rows)]
    return "\n\n".join(part for part in parts if part)


def _of(rows: Sequence[Row], scheme: str, block: str | None = None) -> list[Row]:
    found = (row for row in rows if row["scheme"] == scheme and block in (None, row["block"]))
    return sorted((row for row in found if row["accuracy"] is not None), key=lambda row: row["seed"])


def _blocks(rows: Sequence[Row]) -> list[str]:
    return sorted({row["block"] for row in rows if row["block"]})


def _accuracies(rows: Sequence[Row]) -> str:
    blocks = _blocks(rows)
    lines = []
    for scheme in SCHEMES:
        cells = [percent([row["accuracy"] for row in _of(rows, scheme, block)]) for block in blocks]
        if any(cell != "-" for cell in cells):
            lines.append([scheme, *cells, _points(_spreads(rows, scheme))])
    whole = [["the net itself", *[percent([row["accuracy"] for row in _of(rows, "parent")])] * len(blocks), ""]]
    whole.append(
        ["the net, trained on", *[percent([row["accuracy"] for row in _of(rows, "control")])] * len(blocks), ""]
    )
    return markdown(("test accuracy without", *blocks, "spread over blocks"), [*whole, *lines])


def _points(values: Sequence[float]) -> str:
    return f"{mean(values):.1f}" if values else "-"


def _by_seed(rows: Sequence[Row], scheme: str) -> dict[int, list[Row]]:
    """By seed, of the seeds whose trials of a scheme are all done; of the net itself there is one."""
    found: dict[int, list[Row]] = {}
    for row in _of(rows, scheme):
        found.setdefault(row["seed"], []).append(row)
    return {seed: mine for seed, mine in found.items() if len(mine) == STAGES or not mine[0]["block"]}


def _spreads(rows: Sequence[Row], scheme: str) -> list[float]:
    """The standard deviation over the blocks, in points, of each seed."""
    return [100 * stdev(row["accuracy"] for row in mine) for mine in _by_seed(rows, scheme).values()]


def _noise(rows: Sequence[Row]) -> float:
    """The standard error of one accuracy on the test images, in points: what equal nets would differ by."""
    whole = _of(rows, "parent")
    share, count = mean(row["accuracy"] for row in whole), whole[0]["tested"]
    return 100 * float((share * (1 - share) / count) ** 0.5)


def _epochs(rows: Sequence[Row]) -> str:
    """Epochs to 95 % of the net's accuracy, of all blocks."""
    blocks = _blocks(rows)
    lines = []
    for scheme in SCHEMES:
        mine = [_of(rows, scheme, block) for block in blocks]
        if any(mine):
            lines.append([scheme, *(_soon(found) for found in mine)])
    return markdown(("epochs to 95 % of the net without", *blocks), lines) if lines else ""


def _soon(found: Sequence[Row]) -> str:
    return " / ".join("never" if row["epochs_to_95"] is None else str(row["epochs_to_95"]) for row in found) or "-"


def _count_epochs(row: Row) -> int:
    """Epochs to 95 %, one more than were trained where it never came."""
    return int(row["epochs_to_95"]) if row["epochs_to_95"] is not None else int(row["epochs"]) + 1


def _pairs(rows: Sequence[Row], one: str, other: str) -> list[tuple[Row, Row]]:
    """The same block and seed by two schemes."""
    mine = {(row["seed"], row["block"]): row for row in _of(rows, one)}
    return [(mine[row["seed"], row["block"]], row) for row in _of(rows, other) if (row["seed"], row["block"]) in mine]


def _sentences(rows: Sequence[Row]) -> list[str]:
    """What came out and what did not, in plain words, from the figures."""
    return [said for said in (_spread_said(rows), _recovered(rows), _sooner(rows), _capped(rows)) if said]


def _unfinished(rows: Sequence[Row], seeds: int) -> list[str]:
    """Said where trials are still to come."""
    done, whole = sum(bool(row["block"]) for row in rows), STAGES * len(SCHEMES) * seeds
    return [f"So far {done} of {whole} trials are done."] if done < whole else []


def _spread_said(rows: Sequence[Row]) -> str:
    said = []
    for scheme in GLOBAL:
        found = _spreads(rows, scheme)
        if found:
            said.append(f"{mean(found):.1f} points by {scheme}")
    if not said:
        return ""
    return (
        f"After the whole net was trained the blocks' accuracies have a standard deviation of {' and '.join(said)}, "
        f"where so few test images alone give about {_noise(rows):.1f}."
    )


def _level(rows: Sequence[Row], scheme: str) -> float | None:
    """Mean over seeds and blocks, in points against the net itself."""
    parent = {row["seed"]: row["accuracy"] for row in _of(rows, "parent")}
    found = [
        100 * (row["accuracy"] - parent[seed])
        for seed, mine in _by_seed(rows, scheme).items()
        for row in mine
        if seed in parent
    ]
    return mean(found) if found else None


def _recovered(rows: Sequence[Row]) -> str:
    said = []
    for scheme in (*LOCAL, *GLOBAL, "fitted"):
        level = _level(rows, scheme)
        if level is not None:
            said.append(f"{scheme} {level:+.1f}")
    control = _level(rows, "control")
    if not said or control is None:
        return ""
    return f"Against the net itself: {', '.join(said)} points; the net trained on for as long {control:+.1f}."


def _sooner(rows: Sequence[Row]) -> str:
    said = []
    for plain, taught in DISTILLED.items():
        pairs = _pairs(rows, plain, taught)
        if not pairs:
            continue
        gaps = [_count_epochs(one) - _count_epochs(other) for one, other in pairs]
        said.append(
            f"{taught} was sooner than {plain} at 95 % in {sum(gap > 0 for gap in gaps)} and later in "
            f"{sum(gap < 0 for gap in gaps)} of {len(gaps)} trials, {mean(gaps):+.1f} epochs saved in the mean"
        )
    return f"{'; '.join(said)}." if said else ""


def _above_parent(rows: Sequence[Row], schemes: Sequence[str]) -> tuple[int, int, float] | None:
    """How many trials beat the net itself on test images, of how many, and by how many points the best one."""
    parent = {row["seed"]: row["accuracy"] for row in _of(rows, "parent")}
    gaps = [
        100 * (row["accuracy"] - parent[row["seed"]])
        for scheme in schemes
        for row in _of(rows, scheme)
        if row["seed"] in parent
    ]
    return (sum(gap > 0 for gap in gaps), len(gaps), max(gaps)) if gaps else None


def _capped(rows: Sequence[Row]) -> str:
    taught, plain = _above_parent(rows, tuple(DISTILLED.values())), _above_parent(rows, GLOBAL)
    if taught is None or plain is None:
        return ""
    return (
        f"Above the net itself are {taught[0]} of {taught[1]} distilled nets (the best by {taught[2]:+.1f} points) and "
        f"{plain[0]} of {plain[1]} that were trained without a teacher ({plain[2]:+.1f})."
    )


def _verdicts(titles: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The paper's findings beside ours, a row each, and what did not come out."""
    lines, short = [], []
    for claim, ours, came in _claims(titles, rows):
        lines.append((claim, ours, came))
        if came == "no":
            short.append(claim)
    if not lines:
        return []
    table = markdown(("the paper", "here", "came out"), lines)
    said = f"What did not come out: {'; '.join(short)}." if short else "All of it came out."
    small = "The nets are narrow and were trained briefly on few images; the paper's were not."
    chance = (
        "Chance is the standard error of one accuracy on so many test images: blocks are not told apart where their "
        "accuracies spread by at most twice as much, and accuracy counts as recovered down to one such error below the "
        "net itself."
    )
    return [table, f"{said} {chance} {small}"]


def _claims(titles: Sequence[str], rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Each finding of the paper, ours over all data sets, and whether it came out."""
    by_title = {title: [row for row in rows if row["title"] == title] for title in titles}
    found = []
    spreads = {
        title: (mean(one), _noise(mine))
        for title, mine in by_title.items()
        if (one := [spread for scheme in GLOBAL for spread in _spreads(mine, scheme)])
    }
    if spreads:
        ours = ", ".join(f"{title} {spread:.1f} (chance {noise:.1f})" for title, (spread, noise) in spreads.items())
        came = all(spread <= 2 * noise for spread, noise in spreads.values())
        found.append(
            (
                "accuracy does not depend on which block was compressed",
                f"standard deviation over blocks, the whole net trained, in points: {ours}",
                _word(came),
            )
        )
    levels = {title: _best_global(mine) for title, mine in by_title.items()}
    known = {title: level for title, level in levels.items() if level is not None}
    if known:
        ours = ", ".join(
            f"{title} {level:+.1f} (the net trained on {_level(by_title[title], 'control') or 0.0:+.1f})"
            for title, level in known.items()
        )
        came = all(level >= -_noise(by_title[title]) for title, level in known.items())
        claim = "fine-tuning the whole net recovers or exceeds the accuracy"
        found.append((claim, f"better of both starts, mean over blocks, points beside the net: {ours}", _word(came)))
    pairs = [
        pair
        for mine in by_title.values()
        for plain, taught in DISTILLED.items()
        for pair in _pairs(mine, plain, taught)
    ]
    if pairs:
        gaps = [_count_epochs(one) - _count_epochs(other) for one, other in pairs]
        sooner, later = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
        ours = (
            f"epochs to 95 % of the net: sooner with a teacher in {sooner}, later in {later} of {len(gaps)} trials, "
            f"{mean(gaps):+.1f} epochs saved in the mean"
        )
        found.append(("distillation hastens convergence", ours, _word(sooner > later and mean(gaps) > 0)))
        found.append(_cap(by_title))
    return found


def _word(came: bool) -> str:
    return "yes" if came else "no"


def _best_global(rows: Sequence[Row]) -> float | None:
    known = [level for scheme in GLOBAL if (level := _level(rows, scheme)) is not None]
    return max(known) if known else None


def _cap(by_title: Mapping[str, Sequence[Row]]) -> tuple[str, str, str]:
    """Whether distilled nets stay at or below the net itself."""
    claim = "distillation caps accuracy at the parent's"
    taught = [one for mine in by_title.values() if (one := _above_parent(mine, tuple(DISTILLED.values())))]
    plain = [one for mine in by_title.values() if (one := _above_parent(mine, GLOBAL))]
    above, count = sum(one[0] for one in taught), sum(one[1] for one in taught)
    others, whole = sum(one[0] for one in plain), sum(one[1] for one in plain)
    ours = f"above the net itself on test images: {above} of {count} with a teacher, {others} of {whole} without"
    if not above and not others:
        return claim, ours, "cannot be told: nothing lies above it"
    return claim, ours, _word(above / count <= others / whole / 2)


def summarise(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Rows of the summary of all papers: what it is about, the paper's claim, ours."""
    titles = list(dict.fromkeys(row["title"] for row in rows))
    seeds = min(len({row["seed"] for row in rows if row["title"] == title}) for title in titles) if titles else 0
    about = f"VGG16 on {', '.join(titles)}, {count_seeds(seeds)}"
    return [(about, claim, ours) for claim, ours, _ in _claims(titles, rows)]
