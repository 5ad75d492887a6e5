"""The program from its first line to its last: start, serve, reload, drain, stop.

`serve` blocks until a signal ends it. What fails before it serves is a `StartupError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.app.draining import let_end
from proxy.app.object_freezer import ObjectFreezer
from proxy.app.process import (
    StopSignals,
    allow_open_files,
    forbid_core_dumps,
    frequent_thread_switches,
    hide_memory,
    loop_factory,
)
from proxy.app.program import Program
from proxy.app.secret_commands import CommandRefresher
from proxy.config import ReadingMemory, environment, is_folder, redirect_to, stamps_of
from proxy.directory_watch import WatchSettings, changes_in
from proxy.downstream.ports import Availability
from proxy.errors import ConfigurationError, StartupError
from proxy.events import ConfigReloaded, DefectMet, DrainStarted, ServerStopped
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.app.audit import RunOutputs
    from proxy.app.companion import Companion
    from proxy.config import Account, Config, Stamp
    from proxy.intercept.authority import Authority


_STOP_AT_ONCE_TIMEOUT = 1.0
"""Seconds that stopping may take after a second signal."""


def serve(
    load: Loader,
    notes_on: Callable[[Config], tuple[str, ...]],
    *,
    known: tuple[Path, ...] = (),
    announce: Callable[[Program], None] | None = None,
    demo: bool = False,
) -> int:
    """Run until SIGTERM or SIGINT; gives the exit code. `load` reads the configuration, now and at each reload.

    Where the files that it reads are all `known`, they are read once. `notes_on` tells what is worth a word of it.
    `announce` is called once the program serves.
    """
    forbid_core_dumps()
    loaded = read(load, known=known)
    program = Program(loaded.config, notes=notes_on(loaded.config), demo=demo, open_files=allow_open_files())
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(program, load, loaded, announce=announce))


def serve_beside(
    companion: Companion, load: Loader, outputs: RunOutputs, notes: tuple[str, ...], authority: Authority | None = None
) -> int:
    """Run until the companion ends, whose exit code it gives. Log and audit go to `outputs`. With interception,
    certificates come from `authority`.

    The companion is another program of the same user, which must not find the secrets in this process.
    """
    forbid_core_dumps()
    hide_memory()
    loaded = read(load)
    program = Program(loaded.config, notes=notes, open_files=allow_open_files(), run_outputs=outputs)
    program.use_authority(authority)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(program, load, loaded, companion))


async def _serve(
    program: Program,
    load: Loader,
    loaded: LoadedConfig,
    companion: Companion | None = None,
    announce: Callable[[Program], None] | None = None,
) -> int:
    signals = StopSignals()
    manager = ServiceManager(notify_settings(environment(), os.getpid()) if companion is None else None)
    reloader = Reloader(program, load, loaded, manager)
    asyncio.get_running_loop().set_exception_handler(program.met_defect)
    if companion is None:
        signals.install(None if program.demo else reloader.request)
    else:
        companion.install()
    manager.begin()
    code = 0
    try:
        complete = await start(program, signals.stop)
        if complete:
            reloader.start()
            manager.ready(f"Serving clients on {program.listening}.")
            if announce is not None:
                announce(program)
            ObjectFreezer().begin()
            code = await (companion.run(program) if companion else signals.stop_asked())
            await reloader.stop()
        if complete or program.accepts:
            settings = program.config.drain
            manager.stopping(program.in_flight, settings.delay + settings.timeout)
            await drain(program, signals.stop_at_once)
    finally:
        await stop(program, signals.stop_at_once)
        manager.end()
    return 1 if signals.stop_at_once.is_set() else code


async def start(program: Program, stop_asked: asyncio.Event) -> bool:
    """Start the program; False if it is to stop first.

    It may serve clients by then, as they are served before all of it is imported.
    """
    starting, asked = asyncio.create_task(program.start()), asyncio.create_task(stop_asked.wait())
    try:
        await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (asked, starting):
            task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    return not starting.cancelled()


async def drain(program: Program, at_once: asyncio.Event) -> None:
    """Let requests in flight end, and report it. Those of named reports are none: the next program sends them."""
    settings = program.config.drain
    program.forwarder.availability = Availability.DRAINING
    await program.stop_reports()
    program.observers.observe(DrainStarted(program.in_flight, settings.delay, settings.timeout))
    cut = await let_end(program, at_once)
    program.observers.observe(ServerStopped(cut))


async def stop(program: Program, at_once: asyncio.Event) -> None:
    """Close what the program opened; once it is to stop at once, wait no longer than a second."""
    stopping, hurried = asyncio.create_task(program.stop()), asyncio.create_task(at_once.wait())
    await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({stopping}, timeout=_STOP_AT_ONCE_TIMEOUT)
    hurried.cancel()
    if stopping.done():
        stopping.result()


# --- Reload ---------------------------------------------------------------------------------------------------

NO_KEYS = ("sources", "remarks", "account_files", "refused")
"""What a configuration holds of itself."""
RESTART_ONLY = ("listen", "admin_listen", "reuse_port", "state", "invites", "audit", "telemetry")
"""Sections and keys that are read at start alone; so is whether there is `tls`. A listener that others reach also keeps
what guards it."""
RESTART_ONLY_KEYS = {"log": ("format",), "intercept": ("enabled", "ca_dir", "listen")}
"""Keys of other sections that are read at start alone."""
POLL = 2.0
STEP_MS = 100
SETTLE = 0.3
"""Seconds after which a file that is still being written must have changed again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a newly read configuration means for the running one: `config` is what can be put in force."""

    config: Config
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def compare(running: Config, new: Config) -> Change:
    """Tell what changed, and leave as it is what only a restart can change. Pure."""
    if new.admin_listen != running.admin_listen:
        new = new.model_copy(update={"accounts": _come_back(running, new)})
    changed = tuple(
        key for key in type(new).model_fields if key not in NO_KEYS and getattr(new, key) != getattr(running, key)
    )
    unchanged = {key: getattr(running, key) for key in RESTART_ONLY if key in changed}
    waiting = list(unchanged)
    if (new.tls is None) != (running.tls is None):
        unchanged["tls"] = running.tls
        waiting.append("tls")
    for section, keys in RESTART_ONLY_KEYS.items():
        old, newer = getattr(running, section), getattr(new, section)
        kept = {key: getattr(old, key) for key in keys if getattr(newer, key) != getattr(old, key)}
        if kept:
            unchanged[section] = newer.model_copy(update=kept)
            waiting += (f"{section}.{key}" for key in kept)
    if not (_is_on_loopback(running) or new.clients or new.allow_unauthenticated) and running.clients:
        unchanged["clients"] = running.clients
        waiting.append("clients")
    if not running.admin_listen.is_loopback and new.admin.key is None and running.admin.key is not None:
        unchanged["admin"] = new.admin.model_copy(update={"key": running.admin.key})
        waiting.append("admin.key")
    return Change(new.model_copy(update=unchanged), changed, tuple(waiting))


def _is_on_loopback(config: Config) -> bool:
    """Whether only programs of this machine reach the listeners for clients."""
    others = config.intercept.listen
    return config.listen.is_loopback and (others is None or others.is_loopback)


def _come_back(running: Config, new: Config) -> dict[str, Account]:
    """The new accounts with sign-ins that end at the admin listener, where it is until a restart."""
    old, newer = redirect_to(running.admin_listen.port), redirect_to(new.admin_listen.port)
    return {
        name: account.model_copy(update={"redirect_uri": old}) if account.redirect_uri == newer else account
        for name, account in new.accounts.items()
    }


class Reloader:
    """Watches and reloads, one reload at a time."""

    def __init__(
        self,
        program: Program,
        load: Loader,
        loaded: LoadedConfig,
        manager: ServiceManager | None = None,
    ) -> None:
        self._program = program
        self._manager = manager or ServiceManager()
        self._load, self._memory = load, loaded.memory
        self._commands = CommandRefresher(self._memory.commands, self._take_outputs, self._command_ended)
        self._new_outputs = False
        self._problems: tuple[str, ...] = ()
        self._seen = loaded.stamps
        self._asked = False
        self._failing = False
        self._reading_took = 0.0
        self._wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Reloader of {len(self._seen)} files{', failing' if self._failing else ''}>"

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        works = (self._run(), self._poll(), self._watch(), self._commands.run())
        self._tasks = [loop.create_task(work) for work in works]
        self._command_ended()

    def request(self) -> None:
        """Read all files and reload now, whether one changed or not: SIGHUP. Commands run as after every reload."""
        self._asked = True
        self._wanted.set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- when

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            asked, self._asked = self._asked, False
            new_outputs, self._new_outputs = self._new_outputs, False
            stamps = await asyncio.to_thread(stamps_of, self._program.config.sources)
            began = time.monotonic()
            if asked:
                self._memory.forget()
            if asked or new_outputs or self._failing or stamps != self._seen:
                reads_files = asked or stamps != self._seen
                news = reads_files or new_outputs
                if reads_files:
                    self._memory.commands.forget_failures()
                self._seen = stamps
                with self._manager.reloading() if news else contextlib.nullcontext():
                    await self._reload(news)
                if reads_files:
                    self._commands.run_all(began)
                self._command_ended()

    async def _poll(self) -> None:
        """Look at the files from time to time; they may have to be read, so not most of the time."""
        while True:
            await asyncio.sleep(max(POLL, 4 * self._reading_took))
            self._wanted.set()

    async def _watch(self) -> None:
        """Wake at once if the file system reports changes."""
        while True:
            self._moved.clear()
            directories = await asyncio.to_thread(directories_of, self._program.config.sources)
            if directories:
                with contextlib.suppress(OSError, RuntimeError):
                    async for _ in changes_in(directories, WatchSettings(STEP_MS), self._moved):
                        self._wanted.set()
            if not self._moved.is_set():
                await asyncio.sleep(POLL)

    # --- what

    async def _reload(self, news: bool) -> None:
        """Read and apply. Without `news` it is another try after a failure: only another outcome is told."""
        try:
            await self._read_and_apply(news)
        except StartupError as error:
            if news and await self._is_being_written():
                self._wanted.set()
                return
            self._failed(error.problems if isinstance(error, ConfigurationError) else (str(error),), news)
        except Exception as error:  # noqa: BLE001 - whatever it is, the running configuration stays and reloads go on
            problem = "the reload failed because of a defect of the program; the running configuration stays in use"
            if self._failed((problem,), news):
                trace = "".join(traceback.format_exception(error))
                self._program.observers.observe(DefectMet("reload", trace))

    async def _read_and_apply(self, news: bool) -> None:
        program = self._program
        known = program.config.sources
        began = time.monotonic()
        try:
            loaded, change = await asyncio.to_thread(self._read, program.config)
        finally:
            self._reading_took = time.monotonic() - began
        refused = tuple(map(program.logs.redaction.clean, loaded.config.refused))
        if refused and news and await self._is_being_written():
            self._wanted.set()
            return
        await program.apply(change.config)
        program.needs_restart = change.needs_restart
        self._seen, self._failing = loaded.stamps, False
        self._show(refused)
        if loaded.config.sources != known:
            self._moved.set()
        program.observers.observe(ConfigReloaded(not refused, refused, change.changed, change.needs_restart))

    def _read(self, running: Config) -> tuple[LoadedConfig, Change]:
        """What the files say now, compared with the running configuration. For a thread: the files of thousands of
        accounts take seconds."""
        with frequent_thread_switches():
            loaded = read(self._load, running, known=running.sources, memory=self._memory)
            return loaded, compare(running, loaded.config)

    async def _is_being_written(self) -> bool:
        """Whether a file that could not be used was only half written; then there is nothing to tell yet."""
        await asyncio.sleep(SETTLE)
        return await asyncio.to_thread(stamps_of, self._program.config.sources) != self._seen

    def _failed(self, problems: tuple[str, ...], news: bool) -> bool:
        """Keep the failure for `/status`, without secrets that are out of place; tell it where it is news."""
        problems = tuple(map(self._program.logs.redaction.clean, problems))
        news = news or problems != self._problems
        self._failing = True
        self._show(problems)
        if news:
            self._program.observers.observe(ConfigReloaded(False, problems, (), ()))
        return news

    # --- commands that print secrets

    def _take_outputs(self) -> None:
        """A command printed something new: put it in force."""
        self._new_outputs = True
        self._wanted.set()

    def _command_ended(self) -> None:
        """Tell the runs of commands, and show those that failed next to what else is wrong."""
        for event in self._memory.commands.events():
            self._program.observers.observe(event)
        self._show(self._problems)
        self._commands.look_again()

    def _show(self, problems: tuple[str, ...]) -> None:
        self._problems = problems
        others = map(self._program.logs.redaction.clean, self._memory.commands.problems())
        self._program.config_problems = (*problems, *others)


# --- Reading the configuration --------------------------------------------------------------------------------

Loader = Callable[["Config | None", ReadingMemory], "Config"]
"""Reads the configuration. It gets the running one, None at the start, and the same memory each time."""
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and the stamps of its files: a file whose stamp differs now has changed since. `memory` is what
    the next reading knows of it."""

    config: Config
    stamps: Mapping[Path, Stamp]
    memory: ReadingMemory


def read(
    load: Loader,
    running: Config | None = None,
    *,
    known: tuple[Path, ...] = (),
    memory: ReadingMemory | None = None,
) -> LoadedConfig:
    """Load, and again where a file changed meanwhile or was not among those `known`. Raises what `load` raises."""
    memory = memory or ReadingMemory()
    stamps = stamps_of(known)
    for _ in range(_ATTEMPTS):
        config = load(running, memory)
        after = stamps_of(config.sources)
        if after == stamps:
            break
        stamps = after
    return LoadedConfig(config, stamps, memory)


def directories_of(files: tuple[Path, ...]) -> set[Path]:
    """The folders that these are in, or are: what happens in one is told by the system."""
    folders = {file if is_folder(file) else file.parent for file in files}
    return {folder for folder in folders if is_folder(folder)}


# --- Notifying the service manager ----------------------------------------------------------------------------

_MICROSECONDS = 1_000_000
_STOP_MARGIN = 15.0
"""Seconds that stopping may take beyond draining: a token request and the store get ten of them."""


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """`address` is a Unix socket's, empty for none; a sign of life is due every `alive_every` seconds, if not 0."""

    address: str = ""
    alive_every: float = 0.0


def notify_settings(environ: Mapping[str, str], pid: int) -> NotifySettings:
    """What the environment of the process with this id says; what makes no sense, or is another process's, counts as
    nothing. Twice as many signs of life are given as are wanted."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return NotifySettings()
    wanted, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(pid))
    watched = wanted.isascii() and wanted.isdigit() and whose == str(pid)
    return NotifySettings(address, int(wanted) / _MICROSECONDS / 2 if watched else 0.0)


class ServiceManager:
    """The service manager, if one started the program."""

    def __init__(self, settings: NotifySettings | None = None) -> None:
        self._settings = settings or NotifySettings()
        self._alive: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ServiceManager at {self._settings.address or 'nowhere'}>"

    def begin(self) -> None:
        """Give signs of life from now on, where they are wanted: as long as the event loop turns."""
        if self._settings.alive_every > 0:
            self._alive = asyncio.get_running_loop().create_task(self._live())

    def end(self) -> None:
        if self._alive is not None:
            self._alive.cancel()

    def ready(self, status: str) -> None:
        """The program serves; `status` is a sentence for people."""
        self._tell("READY=1", f"STATUS={status}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """The configuration is being read; the program is ready again behind it, whatever came of it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    def stopping(self, in_flight: int, seconds: float) -> None:
        """The program drains, for so long at most."""
        patience = round((seconds + _STOP_MARGIN) * _MICROSECONDS)
        self._tell("STOPPING=1", f"STATUS=Draining {in_flight} requests.", f"EXTEND_TIMEOUT_USEC={patience}")

    async def _live(self) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._settings.alive_every)

    def _tell(self, *lines: str) -> None:
        address = self._settings.address
        if not address:
            return
        name = f"\0{address[1:]}" if address.startswith("@") else address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), name)
