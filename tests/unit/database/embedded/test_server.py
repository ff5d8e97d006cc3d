"""The life of a server, with a double for Java: start, find, stop, and everything that can be left half done."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cnngraph.database.embedded import answering, plugin, process, server
from cnngraph.database.embedded.home import Ports
from cnngraph.database.embedded.jars import Jar
from cnngraph.database.embedded.releases import RELEASES
from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, NotFoundError, UsageError
from cnngraph.settings import Settings

from .conftest import Notes, Repository


def home_of(settings: Settings) -> Path:
    return settings.home / "server"


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def other_home(settings: Settings) -> Settings:
    return replace(settings, home=settings.home.with_name("another home"))


def test_up_is_idempotent_and_down_leaves_nothing_running(settings: Settings) -> None:
    assert server.status(settings) is None
    running = server.up(settings)
    assert server.up(settings) == running == server.status(settings)
    assert server.down(settings)
    assert not psutil.pid_exists(running.pid)
    assert server.status(settings) is None
    assert not server.down(settings)


def test_the_usual_ports_are_taken_where_they_are_free(settings: Settings) -> None:
    running = server.up(settings)
    assert (port_of(running.uri), port_of(running.http)) == (answering.USUAL.bolt, answering.USUAL.http)


def test_others_where_not(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", answering.USUAL.bolt)):
        running = server.up(settings)
        assert port_of(running.uri) != answering.USUAL.bolt
        assert port_of(running.http) == answering.USUAL.http


def test_ports_that_are_taken_in_the_last_moment_are_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "finds-port-taken-once")
    running = server.up(settings)
    assert port_of(running.uri) != answering.USUAL.bolt


def test_another_homes_server_that_was_faster_is_not_taken_for_ours(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both chose the same ports, and the other one answers on them while ours is still starting.

    Our password is not tried there: real servers lock their user out after a few wrong ones.
    """
    first = server.up(settings)
    taken = [Ports(port_of(first.uri), port_of(first.http))]
    free_ports, login = answering.free_ports, answering.login
    asked: list[int] = []
    monkeypatch.setattr(answering, "login", lambda port, *rest: asked.append(port) or login(port, *rest))
    monkeypatch.setattr(answering, "free_ports", lambda but=None: taken.pop() if taken else free_ports(but))
    monkeypatch.setenv("JAVA_DOUBLE", "starts-late")
    second = server.up(other_home(settings))
    assert not {second.uri, second.http} & {first.uri, first.http}
    assert set(asked) == {port_of(second.http)}
    assert server.status(settings) == first


def test_two_homes_run_side_by_side(settings: Settings) -> None:
    first, second = server.up(settings), server.up(other_home(settings))
    assert first.pid != second.pid
    assert len({first.uri, second.uri, first.http, second.http}) == 4
    assert first.password != second.password
    assert server.down(settings)
    assert server.status(other_home(settings)) == second


def test_the_password_is_long_secret_and_not_shown(settings: Settings) -> None:
    running = server.up(settings)
    assert len(running.password) >= 24
    assert running.password not in repr(running)
    assert running.password_file.read_text().strip() == running.password
    for path in (
        running.password_file,
        home_of(settings) / "conf" / "neo4j.conf",
        home_of(settings) / "run" / "server.args",
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home_of(settings).stat().st_mode) == 0o700
    assert not (home_of(settings) / "run" / "tool.args").exists()


def test_it_listens_on_loopback_alone_and_reports_to_nobody(settings: Settings) -> None:
    server.up(settings)
    conf = dict(line.split("=", 1) for line in (home_of(settings) / "conf" / "neo4j.conf").read_text().splitlines())
    assert conf["server.default_listen_address"] == "127.0.0.1"
    assert conf["server.bolt.listen_address"] == f"127.0.0.1:{answering.USUAL.bolt}"
    assert conf["dbms.usage_report.enabled"] == conf["client.allow_telemetry"] == "false"
    assert conf["dbms.security.auth_enabled"] == "true"


def test_it_is_in_a_session_of_its_own_and_in_its_own_folder(settings: Settings) -> None:
    running = server.up(settings)
    assert os.getsid(running.pid) == running.pid
    assert psutil.Process(running.pid).cwd() == str(home_of(settings))


def test_a_crashed_server_is_noticed_and_started_again(settings: Settings) -> None:
    first = server.up(settings)
    os.kill(first.pid, signal.SIGKILL)
    psutil.Process(first.pid).wait(10)
    assert server.status(settings) is None
    second = server.up(settings)
    assert second.pid != first.pid
    assert second.password == first.password


@pytest.mark.parametrize("content", ["", "{}", "no json", '{"pid": "x"}', "[]"])
def test_a_damaged_state_file_hides_no_running_server(settings: Settings, content: str) -> None:
    first = server.up(settings)
    (home_of(settings) / "run" / "server.json").write_text(content)
    assert server.status(settings) is None
    assert server.up(settings) == first


def test_a_stale_pid_of_somebody_else_is_never_touched(settings: Settings) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        started = psutil.Process(stranger.pid).create_time()
        file = home_of(settings) / "run" / "server.json"
        file.parent.mkdir(parents=True)
        process.State(stranger.pid, started, 1, 2, ready=True).write(file)
        assert server.status(settings) is None
        assert not server.down(settings)
        running = server.up(settings)
        assert running.pid != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_another_command_began_is_waited_for(settings: Settings) -> None:
    first = server.up(settings)
    file = home_of(settings) / "run" / "server.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ready": False}))
    assert server.status(settings) is None
    assert server.up(settings) == first


def test_a_hung_server_is_ended_and_replaced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWERING", 0.3)
    monkeypatch.setattr(process.end, "__defaults__", (0.3,))
    first = server.up(settings)
    os.kill(first.pid, signal.SIGSTOP)
    while psutil.Process(first.pid).status() != psutil.STATUS_STOPPED:  # until then it may still answer
        time.sleep(0.01)
    monkeypatch.setattr(answering.bolt, "__defaults__", (0.1,))
    second = server.up(settings)
    assert second.pid != first.pid
    assert not psutil.pid_exists(first.pid)


def test_one_that_ignores_the_request_is_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "deaf")
    monkeypatch.setattr(process.end, "__defaults__", (0.3,))
    running = server.up(settings)
    assert server.down(settings)
    assert not psutil.pid_exists(running.pid)


def test_two_commands_at_once_start_one_server(settings: Settings) -> None:
    found: list[server.Server] = []
    threads = [threading.Thread(target=lambda: found.append(server.up(settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({running.pid for running in found}) == 1


def test_the_log_says_why_it_did_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "dies")
    with pytest.raises(DatabaseError, match=r"did not start(.|\n)*the disk is on fire") as caught:
        server.up(settings)
    assert caught.value.hint == "Run: cnngraph db logs"
    assert "the disk is on fire" in server.logs(settings)
    assert not (home_of(settings) / "run" / "server.json").exists()


def test_one_that_stays_mute_is_given_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "mute")
    monkeypatch.setattr(server, "STARTING", 0.5)
    with pytest.raises(DatabaseError, match="did not start"):
        server.up(settings)
    assert process.find(f"@{home_of(settings) / 'run' / 'server.args'}") is None


def test_ctrl_c_stops_a_half_started_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "mute")

    def press(_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(answering, "bolt", press)
    with pytest.raises(KeyboardInterrupt):
        server.up(settings)
    assert process.find(f"@{home_of(settings) / 'run' / 'server.args'}") is None
    assert not (home_of(settings) / "run" / "server.json").exists()


def test_a_home_cut_off_before_the_first_start_is_finished(settings: Settings) -> None:
    home = home_of(settings)
    (home / "data" / "dbms").mkdir(parents=True)
    (home / "data" / "dbms" / "auth.ini").write_text("half")  # killed while the first password was being set
    (home / "password").write_text("")
    assert server.up(settings).password


def test_a_home_cut_off_in_the_first_start_begins_anew_and_loses_nothing(
    settings: Settings, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_DOUBLE", "dies-on-unfinished-data")
    left = home_of(settings) / "data" / "databases" / "system"
    left.mkdir(parents=True)
    (left / "unfinished").touch()
    (home_of(settings) / "password").write_text("something")
    server.up(settings, notes)
    assert (home_of(settings) / "data.unfinished-1" / "databases" / "system" / "unfinished").exists()
    assert any("data.unfinished-1" in note for note in notes.notes)


def test_data_that_have_run_are_never_put_aside(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    server.up(settings)
    server.down(settings)
    (home_of(settings) / "data" / "databases" / "system" / "unfinished").touch()
    monkeypatch.setenv("JAVA_DOUBLE", "dies-on-unfinished-data")
    with pytest.raises(DatabaseError, match="the store is half there"):
        server.up(settings)
    assert not list(home_of(settings).glob("data.*"))


def test_a_lost_password_is_replaced(settings: Settings, notes: Notes) -> None:
    first = server.up(settings)
    server.down(settings)
    first.password_file.unlink()
    second = server.up(settings, notes)
    assert second.password != first.password
    assert (home_of(settings) / "system.lost-password-1" / "databases").exists()


def test_a_wrong_password_is_said(settings: Settings) -> None:
    running = server.up(settings)
    server.down(settings)
    running.password_file.write_text("another one\n")
    with pytest.raises(DatabaseError, match="does not take the password in"):
        server.up(settings)
    assert process.find(f"@{home_of(settings) / 'run' / 'server.args'}") is None


def test_data_of_a_newer_neo4j_are_refused(settings: Settings) -> None:
    server.up(settings)
    server.down(settings)
    (home_of(settings) / "made.json").write_text('{"neo4j": "5.26.31", "gds": "2.13.9"}')
    said = r"those of Neo4j 5\.26\.31; CNNGRAPH_SERVER=default runs 5\.26\.30"
    with pytest.raises(DatabaseError, match=said) as caught:
        server.up(settings)
    assert caught.value.hint.startswith("Upgrade cnngraph")


@pytest.mark.parametrize(("first", "second"), [("default", "latest"), ("latest", "default")])
def test_data_of_the_other_release_are_refused_also_while_it_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    monkeypatch.setenv("CNNGRAPH_SERVER", first)
    running = server.up(settings)
    assert running.neo4j == RELEASES[first].neo4j
    assert running.gds == RELEASES[first].gds
    assert f"{RELEASES[first].main}\n" in (home_of(settings) / "run" / "server.args").read_text().replace('"', "")
    monkeypatch.setenv("CNNGRAPH_SERVER", second)
    for _ in range(2):
        with pytest.raises(DatabaseError, match=f"those of Neo4j {running.neo4j}; CNNGRAPH_SERVER={second} ") as caught:
            server.up(settings)
        assert f"CNNGRAPH_SERVER={first}" in caught.value.hint
        assert json.loads((home_of(settings) / "made.json").read_text())["neo4j"] == running.neo4j
        server.down(settings)


def test_a_release_that_is_not_there_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNGRAPH_SERVER", "lastest")
    with pytest.raises(UsageError, match="CNNGRAPH_SERVER names no server that cnngraph has: 'lastest'") as caught:
        server.up(settings)
    assert caught.value.hint == "Did you mean latest?"


@pytest.mark.parametrize("note", ['{"neo4j": "5.26.4", "gds": "2.13.9"}', "damaged"])
def test_data_of_an_older_patch_are_taken_over(settings: Settings, note: str) -> None:
    server.up(settings)
    server.down(settings)
    (home_of(settings) / "made.json").write_text(note)
    server.up(settings)
    assert json.loads((home_of(settings) / "made.json").read_text())["neo4j"] == "5.26.30"


def test_damaged_files_are_fetched_again(
    settings: Settings, few_jars: tuple[Jar, ...], notes: Notes, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.up(settings)
    server.down(settings)
    cache = settings.cache / "server"
    few_jars[0].path(cache).write_bytes(b"x" * few_jars[0].size)
    plugin.path(few_jars, cache).write_bytes(b"no zip")
    (home_of(settings) / "tried").unlink(missing_ok=True)
    monkeypatch.setenv("JAVA_DOUBLE", "dies")
    with pytest.raises(DatabaseError):
        server.up(settings, notes)
    assert any("1 fetched files were damaged" in note for note in notes.notes)
    assert all(jar.intact(cache) for jar in few_jars)
    assert not plugin.discard_damaged(few_jars, cache)


def test_clean_stops_the_server_and_keeps_the_downloads(settings: Settings, few_jars: tuple[Jar, ...]) -> None:
    running = server.up(settings)
    assert server.clean(settings) == [home_of(settings)]
    assert not psutil.pid_exists(running.pid)
    assert all(jar.present(settings.cache / "server") for jar in few_jars)
    assert server.clean(settings) == []
    assert server.clean(settings, downloads=True) == [settings.cache / "server"]


def test_downloads_that_another_server_uses_are_kept(settings: Settings) -> None:
    other = other_home(settings)
    server.up(other)
    server.up(settings)
    server.down(settings)
    with pytest.raises(ConflictError, match="Another home's server uses"):
        server.clean(settings, downloads=True)
    assert home_of(settings).exists()
    server.down(other)
    assert len(server.clean(settings, downloads=True)) == 2


def test_logs_of_no_server_are_not_found(settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="No embedded server has run"):
        server.logs(settings)


def test_the_log_of_the_start_before_is_kept(settings: Settings) -> None:
    for _ in range(2):
        server.up(settings)
        server.down(settings)
    assert server.logs(settings) == "Started."
    assert (home_of(settings) / "logs" / "console.previous.log").read_text() == "Started.\n"


def test_a_home_that_cannot_be_made_is_one_clear_error(settings: Settings) -> None:
    settings.home.write_text("a file where the folder should be")
    with pytest.raises(CnngraphError, match=r"Cannot use .*a home") as caught:
        server.up(settings)
    assert "CNNGRAPH_HOME" in caught.value.hint


OUTLIVED = """
from cnngraph.database.embedded import process
from pathlib import Path
import os, sys
keep = os.open(os.devnull, os.O_RDONLY)
print(*process.launch(["/bin/sleep", "60"], folder=Path("/"), output=Path(os.devnull), environment={}, keep=keep))
"""


def test_a_server_outlives_the_command_that_started_it() -> None:
    done = subprocess.run([sys.executable, "-c", OUTLIVED], check=True, capture_output=True, text=True)
    pid, started = done.stdout.split()
    state = process.State(int(pid), float(started), 0, 0)
    assert process.alive(state, "60")
    process.end(state, "60")
    assert not process.alive(state, "60")
