"""Fetching: parallel, checked, resumed, safe for two at once; clear words where it cannot be done."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from cnngraph.database.embedded import fetch as fetching
from cnngraph.database.embedded.fetch import discard_damaged, fetch, lock_of
from cnngraph.database.embedded.jars import Jar, locked_jars
from cnngraph.database.embedded.releases import DEFAULT, LATEST, Release
from cnngraph.errors import CnngraphError, UsageError

from .conftest import Notes, Repository


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE", 0.001)


@pytest.fixture
def jars(repository: Repository) -> list[Jar]:
    return [repository.add("org.example", f"part{number}", bytes([number]) * 5000) for number in range(20)]


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def test_all_arrive_whole_and_a_second_time_nothing_is_asked(
    repository: Repository, jars: list[Jar], tmp_path: Path, notes: Notes
) -> None:
    assert fetch(jars, tmp_path / "c", notes, repositories=[repository.address]) == 20
    assert all(jar.intact(tmp_path / "c") for jar in jars)
    assert notes.amount == pytest.approx(0.1)  # MB
    assert leftovers(tmp_path) == []
    assert fetch(jars, tmp_path / "c", repositories=[repository.address]) == 0
    assert set(repository.asked.values()) == {1}


def test_says_size_disk_and_licence_before_the_first_byte(
    repository: Repository, jars: list[Jar], tmp_path: Path, notes: Notes
) -> None:
    fetch(jars, tmp_path / "c", notes, repositories=[repository.address])
    (text,) = notes.notes
    assert "20 files, 0 MB to download, 67 MB of disk" in text
    assert "GPL-3" in text
    assert "separate process" in text


def test_sixteen_at_a_time(repository: Repository, jars: list[Jar], tmp_path: Path) -> None:
    repository.barrier = threading.Barrier(16)
    fetch(jars[:16], tmp_path / "c", repositories=[repository.address])
    assert repository.most_together == 16


@pytest.mark.parametrize("fault", ["wrong", "truncated", "missing"])
def test_a_fault_that_passes_is_tried_again(
    fault: str, repository: Repository, jars: list[Jar], tmp_path: Path
) -> None:
    repository.misbehave["part3-1.jar"] = [fault, fault]
    fetch(jars, tmp_path / "c", repositories=[repository.address])
    assert repository.asked["part3-1.jar"] == 3
    assert jars[3].intact(tmp_path / "c")


@pytest.mark.parametrize(
    ("fault", "said"),
    [("wrong", "has not the locked SHA-256"), ("truncated", "connection failed"), ("missing", "answers 404")],
)
def test_a_fault_that_stays_is_named_and_what_arrived_is_kept(
    fault: str, said: str, repository: Repository, jars: list[Jar], tmp_path: Path
) -> None:
    repository.misbehave["part3-1.jar"] = [fault] * fetching.ROUNDS
    with pytest.raises(CnngraphError, match=f"Cannot fetch org.example:part3:1: .*{said}") as caught:
        fetch(jars, tmp_path / "c", repositories=[repository.address])
    assert "what has arrived is kept" in caught.value.hint
    assert not jars[3].path(tmp_path / "c").exists()
    assert leftovers(tmp_path) == []
    there = [jar for jar in jars if jar.present(tmp_path / "c")]
    repository.asked.clear()
    assert fetch(jars, tmp_path / "c", repositories=[repository.address]) == 20 - len(there)
    assert not {f"{jar.artifact}-1.jar" for jar in there} & set(repository.asked)


def test_nobody_there_is_one_clear_error(jars: list[Jar], tmp_path: Path) -> None:
    with pytest.raises(CnngraphError, match="connection failed"):
        fetch(jars, tmp_path / "c", repositories=["http://127.0.0.1:1"])


def test_the_second_repository_is_asked_where_the_first_has_it_not(
    repository: Repository, jars: list[Jar], tmp_path: Path
) -> None:
    fetch(jars, tmp_path / "c", repositories=[f"{repository.address}/elsewhere/", f"{repository.address}/"])
    assert all(jar.intact(tmp_path / "c") for jar in jars)


def test_two_at_once_fetch_everything_once(
    repository: Repository, jars: list[Jar], tmp_path: Path, notes: Notes
) -> None:
    counts: list[int] = []

    def run() -> None:
        counts.append(fetch(jars, tmp_path / "c", notes, repositories=[repository.address]))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 20]
    assert set(repository.asked.values()) == {1}


def test_what_a_killed_run_left_is_removed(repository: Repository, jars: list[Jar], tmp_path: Path) -> None:
    half = jars[0].path(tmp_path / "c").with_suffix(".part")
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    jars[1].path(tmp_path / "c").write_bytes(b"short")  # as a power failure leaves it
    assert fetch(jars, tmp_path / "c", repositories=[repository.address]) == 20
    assert leftovers(tmp_path) == []


def test_too_small_a_disk_is_said_before_the_first_byte(
    repository: Repository, jars: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int = 10_000_000

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage())
    with pytest.raises(CnngraphError, match=r"needs 67 MB in .*; 10 MB are free") as caught:
        fetch(jars, tmp_path / "c", repositories=[repository.address])
    assert "CNNGRAPH_CACHE" in caught.value.hint
    assert not repository.asked


def test_a_damaged_jar_is_found_and_removed(repository: Repository, jars: list[Jar], tmp_path: Path) -> None:
    fetch(jars, tmp_path / "c", repositories=[repository.address])
    jars[5].path(tmp_path / "c").write_bytes(b"x" * jars[5].size)
    assert discard_damaged(jars, tmp_path / "c") == [jars[5]]
    assert fetch(jars, tmp_path / "c", repositories=[repository.address]) == 1


def test_ctrl_c_leaves_no_part_behind(repository: Repository, jars: list[Jar], tmp_path: Path) -> None:
    class Impatient(Notes):
        def advance(self, amount: float = 1) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(jars, tmp_path / "c", Impatient(), repositories=[repository.address])
    assert leftovers(tmp_path) == []
    assert lock_of(tmp_path / "c").exists()


def test_the_mirror_must_be_an_address(jars: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNGRAPH_MAVEN", "nonsense")
    with pytest.raises(UsageError, match="CNNGRAPH_MAVEN is no http address: 'nonsense'"):
        fetch(jars, tmp_path / "c")


@pytest.mark.parametrize(("release", "of_gds"), [(DEFAULT, 114), (LATEST, 128)])
def test_the_locked_list_is_whole(release: Release, of_gds: int) -> None:
    jars = locked_jars(release)
    assert len(jars) > 300
    assert len({jar.path(Path()) for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    assert {jar.version for jar in jars if jar.of_gds} == {release.gds}
    assert sum(jar.of_gds for jar in jars) == of_gds
    names = set(map(str, jars))
    assert f"org.neo4j:neo4j:{release.neo4j}" in names
    assert f"org.neo4j.client:neo4j-browser:{release.browser}" in names
