"""Start, find and stop the embedded server of a home. Every function can be called at any time, by several processes.

The server belongs to ``CNNGRAPH_HOME`` (two homes are two servers), listens on loopback alone, outlives the command
that started it, and is known by its process number, its start time and its command line together.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from cnngraph.console import Progress, Quiet
from cnngraph.database.embedded import answering, fetch, plugin, process
from cnngraph.database.embedded.home import Home, Ports
from cnngraph.database.embedded.jars import locked_jars
from cnngraph.database.embedded.java import environment
from cnngraph.database.embedded.locking import exclusive, hold_shared, in_use
from cnngraph.errors import ConflictError, DatabaseError, NotFoundError
from cnngraph.settings import Settings

__all__ = ["Server", "clean", "down", "logs", "status", "up"]

USERNAME = "neo4j"
PATIENCE = 180.0  # seconds until a start counts as failed; it takes about 15
ATTEMPTS = 3
_POLL = 0.1


@dataclass(frozen=True)
class Server:
    """A running embedded server.

    Attributes:
        uri, http: addresses of Bolt and of Browser (``http`` + ``/browser/``).
        pid: the server's process.
        home: its folder, which also holds ``password_file``.
    """

    uri: str
    http: str
    username: str
    password: str = field(repr=False)
    pid: int
    home: Path

    @property
    def password_file(self) -> Path:
        """Where the password can be read by its owner."""
        return self.home / "password"


def up(settings: Settings, progress: Progress | None = None) -> Server:
    """Return the home's server: the running one, else a new one, fetched and prepared as far as needed.

    Raises:
        CnngraphError: the download fails, or there is no Java.
        DatabaseError: the server does not start; the message ends with what its log says.
    """
    progress = progress or Quiet()
    running = status(settings)
    if running:
        return running
    home = _home(settings)
    with _only_one(home, progress):
        running = _adopt(home, progress)
        if running:
            return running
        fetch.fetch(home.jars, home.cache, progress)
        plugin.merge(home.jars, home.cache)
        home.prepare()
        return _start(home, progress)


def status(settings: Settings) -> Server | None:
    """The home's server if it runs and answers, else ``None``."""
    home = _home(settings)
    state = process.read_state(home.state_file)
    if state is None or not process.alive(state, _mark(home)) or not answering.bolt(state.bolt):
        return None
    return _server(home, state)


def down(settings: Settings, progress: Progress | None = None) -> bool:
    """Stop the home's server, cleanly if it lets itself be; return whether there was one."""
    progress = progress or Quiet()
    home = _home(settings)
    if not home.folder.exists():
        return False
    with _only_one(home, progress):
        return _stop(home, progress)


def logs(settings: Settings, lines: int = 50) -> str:
    """The last ``lines`` lines of the server's log.

    Raises:
        NotFoundError: no server has run in this home.
    """
    home = _home(settings)
    if not home.console.exists():
        raise NotFoundError(f"There is no log: no embedded server has run in {home.folder}.", "Run: cnngraph db up")
    return _tail(home.console, lines)


def clean(settings: Settings, *, downloads: bool = False, progress: Progress | None = None) -> list[Path]:
    """Stop the home's server and remove its data; with ``downloads`` also the fetched jars. Return what was removed.

    Raises:
        ConflictError: another home's server runs from the downloads; nothing was removed then.
    """
    progress = progress or Quiet()
    home = _home(settings)
    removed = []
    with _only_one(home, progress):
        if home.folder.exists():
            _stop(home, progress)
        if downloads and in_use(_use_lock(home)):
            raise ConflictError(
                f"Another home's server runs from {home.cache}.",
                "Stop it first: CNNGRAPH_HOME=<that home> cnngraph db down",
            )
        for folder in (home.folder, home.cache) if downloads else (home.folder,):
            if folder.exists():
                shutil.rmtree(folder)
                removed.append(folder)
    return removed


def _home(settings: Settings) -> Home:
    return Home(settings.home / "server", locked_jars(), settings.cache / "server")


def _mark(home: Home) -> str:
    return f"@{home.server_arguments}"


def _use_lock(home: Home) -> Path:
    """Held by every server that runs from the cache, so that nobody takes its jars away."""
    return home.cache / ".in-use"


def _only_one(home: Home, progress: Progress) -> AbstractContextManager[None]:
    return exclusive(
        home.lock, lambda: progress.note("Another command is starting or stopping the server; waiting for it.")
    )


def _server(home: Home, state: process.State) -> Server:
    return Server(
        uri=f"bolt://127.0.0.1:{state.bolt}",
        http=f"http://127.0.0.1:{state.http}",
        username=USERNAME,
        password=home.password(),
        pid=state.pid,
        home=home.folder,
    )


def _adopt(home: Home, progress: Progress) -> Server | None:
    """A server that another command has begun and left behind: wait for it, or end it and forget it."""
    state = _remembered(home)
    if state is None:
        return None
    progress.note("A server is already starting; waiting for it.")
    if home.password_file.exists() and _wait(home, state):
        state.write(home.state_file)
        return _server(home, state)
    process.end(state, _mark(home))
    home.state_file.unlink(missing_ok=True)
    return None


def _remembered(home: Home) -> process.State | None:
    """The live process of this home, also one whose starter was killed before it could write the state."""
    mark = _mark(home)
    state = process.read_state(home.state_file)
    if state and process.alive(state, mark):
        return state
    found = process.find(mark)
    ports = state.ports if state else answering.configured_ports(home.conf)
    home.state_file.unlink(missing_ok=True)
    return process.State(*found, ports.bolt, ports.http) if found and ports else None


def _start(home: Home, progress: Progress) -> Server:
    """Launch and wait; where the ports were taken between the look and the launch, take others."""
    ports = answering.free_ports()
    for attempt in range(ATTEMPTS):
        home.configure(ports)
        progress.start("Starting the embedded Neo4j", None)
        state = _launch(home, ports)
        try:
            ready = _wait(home, state)
        except BaseException:  # Ctrl-C as well: nothing half-started is left behind
            process.end(state, _mark(home))
            home.state_file.unlink(missing_ok=True)
            raise
        if ready:
            return _server(home, state)
        process.end(state, _mark(home))
        home.state_file.unlink(missing_ok=True)
        if attempt + 1 == ATTEMPTS or not _port_was_taken(home.console):
            break
        ports = answering.free_ports(taken=ports)
    raise _failed(home)


def _launch(home: Home, ports: Ports) -> process.State:
    if home.console.exists():
        home.console.replace(home.console.with_suffix(".previous.log"))
    with hold_shared(_use_lock(home)) as held:
        os.set_inheritable(held, True)
        pid, started = process.launch(home.command(), home.console, environment())
    state = process.State(pid, started, ports.bolt, ports.http)
    state.write(home.state_file)
    return state


def _wait(home: Home, state: process.State) -> bool:
    """Wait until Bolt answers and our password works; ``False`` where the process ends or stays mute."""
    end = time.monotonic() + PATIENCE
    password = home.password()
    while time.monotonic() < end and process.alive(state, _mark(home)):
        if answering.bolt(state.bolt):
            answer = answering.query(state.http, USERNAME, password)
            if answer == 202:
                return True
            if answer == 401:
                raise DatabaseError(
                    f"The embedded server does not take the password in {home.password_file}.",
                    "Put the right one back, or remove the server's data with: cnngraph db clean",
                )
        time.sleep(_POLL)
    return False


def _stop(home: Home, progress: Progress) -> bool:
    state = _remembered(home)
    if state is not None:
        progress.start("Stopping the embedded Neo4j", None)
        process.end(state, _mark(home))
    home.state_file.unlink(missing_ok=True)
    return state is not None


def _port_was_taken(console: Path) -> bool:
    text = _tail(console, 200)
    return "Address already in use" in text or "is already in use" in text or "BindException" in text


def _failed(home: Home) -> DatabaseError:
    """Why the server did not start, as far as its log and its jars tell."""
    damaged = fetch.discard_damaged(home.jars, home.cache)
    if damaged:
        return DatabaseError(
            f"{len(damaged)} cached files were damaged, {damaged[0]} first; they are removed.", "Run it again."
        )
    tail = _tail(home.console, 15)
    return DatabaseError(
        f"The embedded server did not start. The end of its log ({home.console}):\n{tail}", "Run: cnngraph db logs"
    )


def _tail(path: Path, lines: int) -> str:
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
