"""The merged plugin: services joined, nothing that would mislead the server, made once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from cnngraph.database.embedded import plugin
from cnngraph.database.embedded.fetch import fetch
from cnngraph.database.embedded.jars import GDS_GROUP, Jar
from cnngraph.errors import CnngraphError

from .conftest import Repository, jar_of

SERVICE = "META-INF/services/org.neo4j.Extension"


@pytest.fixture
def cache(repository: Repository, few_jars: tuple[Jar, ...], tmp_path: Path) -> Path:
    fetch(few_jars, tmp_path / "c", repositories=[repository.address])
    return tmp_path / "c"


def test_services_are_joined_and_the_servers_own_jars_left_alone(few_jars: tuple[Jar, ...], cache: Path) -> None:
    with zipfile.ZipFile(plugin.merge(few_jars, cache)) as merged:
        assert merged.read(SERVICE).decode() == "one\ntwo\nthree\n"
        assert set(merged.namelist()) == {"b.class", "c.class", SERVICE}


def test_manifests_and_module_descriptions_are_left_out(repository: Repository, tmp_path: Path) -> None:
    misleading = {
        "META-INF/MANIFEST.MF": "",
        "module-info.class": "",
        "META-INF/versions/21/d.class": "",
        "d.class": "",
    }
    jars = (repository.add(GDS_GROUP, "d", jar_of(misleading)),)
    fetch(jars, tmp_path / "c", repositories=[repository.address])
    with zipfile.ZipFile(plugin.merge(jars, tmp_path / "c")) as merged:
        assert merged.namelist() == ["d.class"]


def test_it_is_made_once_and_anew_from_other_parts(few_jars: tuple[Jar, ...], cache: Path) -> None:
    made = plugin.merge(few_jars, cache)
    before = made.stat().st_mtime_ns
    assert plugin.merge(few_jars, cache).stat().st_mtime_ns == before
    assert plugin.path(few_jars[:2], cache) != made


def test_a_damaged_plugin_is_removed(few_jars: tuple[Jar, ...], cache: Path) -> None:
    assert not plugin.discard_damaged(few_jars, cache)
    made = plugin.merge(few_jars, cache)
    assert not plugin.discard_damaged(few_jars, cache)
    made.write_bytes(made.read_bytes().replace(b"three", b"THREE"))
    assert plugin.discard_damaged(few_jars, cache)
    assert not made.exists()


def test_a_broken_part_is_one_clear_error(few_jars: tuple[Jar, ...], cache: Path) -> None:
    few_jars[1].path(cache).write_bytes(b"no zip")
    with pytest.raises(CnngraphError, match=r"Cannot make .*neo4j-graph-data-science\.jar") as caught:
        plugin.merge(few_jars, cache)
    assert "clean --downloads" in caught.value.hint
    assert not plugin.path(few_jars, cache).exists()
