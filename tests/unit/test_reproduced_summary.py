"""The table of all papers in the README: rows are kept where nothing was found, and the largest scale counts."""

from __future__ import annotations

from benchmarks.report import read_section
from benchmarks.reproduce.summary import NAME, PAPERS, README, largest_scale, rows_of, table

CELLS = [paper.cell for paper in PAPERS]
FOUND = {CELLS[0]: [("VGG16 on MNIST", "time -21 %", "time -30 %")]}


def test_what_is_found_is_told_what_stands_there_kept_and_the_rest_not_run() -> None:
    kept = {
        CELLS[0]: [("old", "old", "old")],
        CELLS[1]: [("AlexNet", "26 %", "+48.7 %"), ("AlexNet", "20 %", "-1.2 %")],
    }
    lines = table(FOUND, kept).splitlines()[2:]
    assert lines[0] == f"| {CELLS[0]} | VGG16 on MNIST | time -21 % | time -30 % |"
    assert [line.split(" | ")[0] for line in lines] == [f"| {cell}" for cell in (CELLS[0], CELLS[1], *CELLS[1:])]
    assert all(line.endswith("| not run |") for line in lines[3:])


def test_a_table_reads_back_as_it_was_written() -> None:
    assert rows_of(table(FOUND, {})) == FOUND
    again = table({}, rows_of(table(FOUND, {})))
    assert again == table(FOUND, {})


def test_the_scale_with_most_findings_counts_for_each_title() -> None:
    rows = [
        {"title": title, "scale": scale, "what": what}
        for title, scale, count in (("a", 1, 1), ("a", 2, 3), ("b", 1, 2), ("b", 3, 2))
        for what in range(count)
    ]
    chosen = {(row["title"], row["scale"]) for row in largest_scale(rows, "title", ("scale",))}
    assert chosen == {("a", 2), ("b", 3)}  # of b's equals the later


def test_the_readme_names_every_paper() -> None:
    text = read_section(NAME, README)
    assert all(f"| {cell} |" in text for cell in CELLS)
