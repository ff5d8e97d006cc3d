"""A folder that takes another one's place, or does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnngraph.files import recover_folder, replace_folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A new folder, and the one whose place it shall take."""
    for name in ("new", "place"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    return tmp_path / "new", tmp_path / "place"


def test_what_the_check_refuses_goes_back(folders: tuple[Path, Path]) -> None:
    part, place = folders

    def refuse() -> None:
        assert (place / "content").read_text() == "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_folder(part, place, refuse)
    assert (place / "content").read_text() == "place"
    assert (part / "content").read_text() == "new"
    replace_folder(part, place, lambda: None)
    assert (place / "content").read_text() == "new"
    assert [path.name for path in place.parent.iterdir()] == ["place"]


def test_where_nothing_was_nothing_is_after_a_refusal(folders: tuple[Path, Path], tmp_path: Path) -> None:
    part, _ = folders

    def refuse() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        replace_folder(part, tmp_path / "empty", refuse)
    assert not (tmp_path / "empty").exists()
    assert part.exists()


def test_a_kill_between_the_two_moves_is_mended(folders: tuple[Path, Path]) -> None:
    _, place = folders
    place.replace(place.with_name(".place.999999999.old"))
    recover_folder(place)
    assert (place / "content").read_text() == "place"
