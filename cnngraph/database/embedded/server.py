"""Start, find and stop the embedded server of a home. Each function can be called at any time, by several processes.

The server belongs to ``CNNGRAPH_HOME`` (two homes are two servers), listens on loopback alone, outlives the command
that started it, and is known by its process number, start time and command line together.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnngraph.console import Progress, Quiet
from cnngraph.database.embedded import answering, fetch, plugin, process
from cnngraph.database.embedded.home import USERNAME, Home, Ports
from cnngraph.database.embedded.jars import locked_jars
from cnngraph.database.embedded.java import environment
from cnngraph.database.embedded.locking import exclusive, if_unused, shared
from cnngraph.database.embedded.releases import chosen_release
from cnngraph.errors import CnngraphError, ConflictError, DatabaseError, NotFoundError
from cnngraph.files import recover_folder
from cnngraph.settings import Settings

__all__ = ["Server", "clean", "down", "end", "logs", "provide", "start", "status", "stopped", "up"]

STARTING = 300.0  # seconds until a start counts as failed; about 10 on two idle cores, minutes on very busy ones
ANSWERING = 30.0  # seconds until a server that has answered before counts as hung
TRIES = 3
_POLL = 0.1


@dataclass(frozen=True)
class Server:
    """A running embedded server.

    Attributes:
        uri, http: addresses of Bolt, and of HTTP (Browser is at ``http`` + ``/browser/``).
        pid: its process.
        home: its folder.
        neo4j, gds: the versions that run.
    """

    uri: str
    http: str
    username: str
    password: str = field(repr=False)
    pid: int
    home: Path
    neo4j: str
    gds: str

    @property
    def password_file(self) -> Path:
        """Where its owner can read the password."""
        return self.home / "password"


def up(settings: Settings, progress: Progress | None = None) -> Server:
    """Return the home's server: the running one, else a new one, fetched and prepared as far as needed.

    What an earlier, disturbed start has left is noticed and mended. Ctrl-C leaves no half-started server behind.

    Raises:
        CnngraphError: the download fails, there is no Java, or a folder cannot be written.
        DatabaseError: the home is another release's, or the server does not start; then the message ends with what its
            log says.
    """
    progress = progress or Quiet()
    home = _home(settings)
    home.require_fitting_version()
    running = status(settings)
    if running:
        return running
    try:
        with _alone(home, progress):
            return start(home, progress)
    except OSError as error:
        raise CnngraphError(
            f"Cannot use {error.filename or settings.home}: {error.strerror}.",
            "CNNGRAPH_HOME and CNNGRAPH_CACHE can name folders that you may write.",
        ) from error


def start(home: Home, progress: Progress) -> Server:
    """As :func:`up`, for who holds the right to start and stop the server already (:func:`stopped`)."""
    with shared(_use_lock(home)) as use:
        return _adopt(home, progress) or _begin(home, progress, use)


@contextmanager
def stopped(settings: Settings, progress: Progress) -> Iterator[Home]:
    """The home without its server, which nobody else can start meanwhile."""
    home = _home(settings)
    with _alone(home, progress):
        end(home, progress)
        yield home


def status(settings: Settings) -> Server | None:
    """The home's server if it is up and answers, else ``None``."""
    home = _home(settings)
    state = process.read_state(home.state_file)
    if state is None or not state.ready or not home.password_file.exists():
        return None
    if not process.alive(state, home.mark) or not answering.bolt(state.bolt):
        return None
    return _server(home, state)


def down(settings: Settings, progress: Progress | None = None) -> bool:
    """Stop the home's server, cleanly if it lets itself be; return whether there was one."""
    progress = progress or Quiet()
    home = _home(settings)
    if not home.folder.exists():
        return False
    with _alone(home, progress):
        return end(home, progress)


def logs(settings: Settings, lines: int = 50) -> str:
    """The last ``lines`` lines of the server's log.

    Raises:
        NotFoundError: no server has run in this home.
    """
    home = _home(settings)
    if not home.console.exists():
        raise NotFoundError(f"No embedded server has run in {home.folder}.", "Run: cnngraph db up")
    return _tail(home.console, lines)


def clean(settings: Settings, *, downloads: bool = False, progress: Progress | None = None) -> list[Path]:
    """Stop the home's server and remove its data; with ``downloads`` also what was fetched. Return what was removed.

    Raises:
        ConflictError: another home's server uses the downloads; nothing was removed then.
    """
    progress = progress or Quiet()
    home = _home(settings)
    with _alone(home, progress):
        end(home, progress)
        with if_unused(_use_lock(home)) as unused:
            if downloads and not unused:
                raise ConflictError(
                    f"Another home's server uses {home.cache}.",
                    "Stop it first: CNNGRAPH_HOME=<that home> cnngraph db down",
                )
            folders = (home.folder, home.cache) if downloads else (home.folder,)
            removed = [folder for folder in folders if folder.exists()]
            for folder in removed:
                shutil.rmtree(folder)
    return removed


def _home(settings: Settings) -> Home:
    folder, release = settings.home / "server", chosen_release()
    recover_folder(folder)  # a restore that was killed may have moved it aside
    return Home(folder, release, locked_jars(release), settings.cache / "server")


def _use_lock(home: Home) -> Path:
    """Held by everybody who runs from the cache, above all by the servers, so that nobody takes the jars away."""
    return home.cache.with_name(f"{home.cache.name}.in-use")


def _alone(home: Home, progress: Progress) -> AbstractContextManager[None]:
    """The right to start and stop this home's server."""
    return exclusive(home.lock, lambda: progress.note("Another command starts or stops the server; waiting for it."))


def _server(home: Home, state: process.State) -> Server:
    return Server(
        uri=f"bolt://127.0.0.1:{state.bolt}",
        http=f"http://127.0.0.1:{state.http}",
        username=USERNAME,
        password=home.password(),
        pid=state.pid,
        home=home.folder,
        neo4j=home.versions()[0],
        gds=home.versions()[1],
    )


def _remembered(home: Home) -> process.State | None:
    """This home's live process, also one whose starter was killed before it could write its state."""
    state = process.read_state(home.state_file)
    if state and process.alive(state, home.mark):
        return state
    home.state_file.unlink(missing_ok=True)
    found = process.find(home.mark)
    ports = answering.configured_ports(home.conf)
    return process.State(*found, ports.bolt, ports.http) if found and ports else None


def _adopt(home: Home, progress: Progress) -> Server | None:
    """A live process that does not count as up: begun by a killed command, or hung. Wait for it, or end it."""
    state = _remembered(home)
    if state is None:
        return None
    progress.start("Waiting for the embedded Neo4j that is there already", None)
    patience = ANSWERING if state.ready else STARTING
    if home.password_file.exists() and _answers(home, state, patience):
        return _ready(home, state)
    _forget(home, state)
    return None


def provide(home: Home, progress: Progress) -> None:
    """Fetch what the server runs from, as far as it is not there."""
    fetch.fetch(home.jars, home.cache, progress, release=home.release)
    plugin.merge(home.jars, home.cache)


def _begin(home: Home, progress: Progress, use: int) -> Server:
    """Fetch, prepare and start, again as long as something can be mended."""
    ports = answering.free_ports()
    for last in (False,) * (TRIES - 1) + (True,):
        provide(home, progress)
        home.prepare(progress)
        home.configure(ports)
        progress.start("Starting the embedded Neo4j", None)
        try:
            state = _launch(home, ports, use)
            answers = _answers(home, state, STARTING)
        except BaseException:  # Ctrl-C as well: nothing half-started stays behind
            end(home, Quiet())
            raise
        if answers:
            return _ready(home, state)
        _forget(home, state)
        if "Address already in use" in _tail(home.console, 200):
            ports = answering.free_ports(but=ports)
        elif last or not _mended(home, progress):
            break
    raise DatabaseError(
        f"The embedded server did not start. Its log, {home.console}, ends with:\n{_tail(home.console, 15)}",
        "Run: cnngraph db logs",
    )


def _launch(home: Home, ports: Ports, use: int) -> process.State:
    if home.console.exists():
        home.console.replace(home.console.with_name("console.previous.log"))
    pid, started = process.launch(
        home.command(), folder=home.folder, output=home.console, environment=environment(), keep=use
    )
    state = process.State(pid, started, ports.bolt, ports.http)
    state.write(home.state_file)
    return state


def _answers(home: Home, state: process.State, patience: float) -> bool:
    """Wait until Bolt answers and our password works; ``False`` where the process ends or stays mute."""
    end = time.monotonic() + patience
    while time.monotonic() < end and process.alive(state, home.mark):
        # Another home's server may have taken the ports while this one was starting: then this one gives up soon. Our
        # password is not tried there: a few wrong ones lock that server's own user out.
        if answering.bolt(state.bolt) and process.listens(state, state.http):
            answer = answering.login(state.http, USERNAME, home.password())
            if answer == 202:
                return True
            if answer == 401:
                raise DatabaseError(
                    f"The embedded server does not take the password in {home.password_file}.",
                    "Write the right one into it; or give up the server's data with: cnngraph db clean",
                )
        time.sleep(_POLL)
    return False


def _ready(home: Home, state: process.State) -> Server:
    home.mark_made()
    replace(state, ready=True).write(home.state_file)
    return _server(home, state)


def _mended(home: Home, progress: Progress) -> bool:
    """Remove or put aside what may have kept the server from starting; whether there was anything."""
    damaged = fetch.discard_damaged(home.jars, home.cache)
    if damaged:
        progress.note(f"{len(damaged)} fetched files were damaged and are fetched again, {damaged[0]} first.")
    broken_plugin = plugin.discard_damaged(home.jars, home.cache)
    aside = None if damaged or broken_plugin else home.put_unfinished_aside()
    if aside:
        progress.note(f"The first start was cut off; what it left is now in {aside}.")
    return bool(damaged or broken_plugin or aside)


def end(home: Home, progress: Progress) -> bool:
    """As :func:`down`, for who holds the right to start and stop the server already."""
    state = _remembered(home)
    if state is None:
        return False
    progress.start("Stopping the embedded Neo4j", None)
    _forget(home, state)
    return True


def _forget(home: Home, state: process.State) -> None:
    process.end(state, home.mark)
    home.state_file.unlink(missing_ok=True)


def _tail(path: Path, lines: int) -> str:
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
