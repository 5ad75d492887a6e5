"""A changed configuration or secret file, or SIGHUP, takes effect without a restart; a broken one changes nothing.

Files are watched through their directories, so that editors that replace files and Kubernetes' symlink swaps are seen,
and looked at every two seconds beside that, since not every file system tells of changes. While the files cannot be
used they are tried again as often: what is missing may lie in a file that is not known yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from proxy.app.service_manager import ServiceManager
from proxy.directory_watch import WatchSettings, changes_in
from proxy.errors import ConfigurationError, StartupError
from proxy.events import ConfigReloaded, DefectMet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.app.program import Program
    from proxy.config import Config


NO_KEYS = ("sources", "remarks", "account_files", "refused")
"""What a configuration holds of itself."""
RESTART_ONLY = ("listen", "admin_listen", "workers", "state", "invites", "audit", "telemetry")
"""Keys that are read at start alone; so are `log.format`, and whether there is `tls`."""
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
    changed = tuple(
        key for key in type(new).model_fields if key not in NO_KEYS and getattr(new, key) != getattr(running, key)
    )
    unchanged = {key: getattr(running, key) for key in RESTART_ONLY if key in changed}
    waiting = list(unchanged)
    if (new.tls is None) != (running.tls is None):
        unchanged["tls"] = running.tls
        waiting.append("tls")
    if new.log.format != running.log.format:
        unchanged["log"] = new.log.model_copy(update={"format": running.log.format})
        waiting.append("log.format")
    return Change(new.model_copy(update=unchanged), changed, tuple(waiting))


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
        self._load = load
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
        self._tasks = [loop.create_task(work) for work in (self._run(), self._poll(), self._watch())]

    def request(self) -> None:
        """Reload now, whether a file changed or not: SIGHUP."""
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
            stamps = await asyncio.to_thread(stamps_of, self._program.config.sources)
            if asked or self._failing or stamps != self._seen:
                news = asked or stamps != self._seen
                self._seen = stamps
                with self._manager.reloading() if news else contextlib.nullcontext():
                    await self._reload(news)

    async def _poll(self) -> None:
        """Look at the files from time to time; they may have to be read, so not most of the time."""
        while True:
            await asyncio.sleep(max(POLL, 4 * self._reading_took))
            self._wanted.set()

    async def _watch(self) -> None:
        """Wake at once where the file system tells of changes."""
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
            problem = "the reload met a defect of this program; the running configuration stays in force"
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
        program.config_problems, program.needs_restart = refused, change.needs_restart
        self._seen, self._failing = loaded.stamps, False
        if loaded.config.sources != known:
            self._moved.set()
        program.observers.observe(ConfigReloaded(not refused, refused, change.changed, change.needs_restart))

    def _read(self, running: Config) -> tuple[LoadedConfig, Change]:
        """What the files say now, beside the running configuration. For a thread; the event loop gets the interpreter
        ten times as often as usual meanwhile, since the files of thousands of accounts take seconds."""
        usual = sys.getswitchinterval()
        sys.setswitchinterval(usual / 10)
        try:
            loaded = read(partial(self._load, running), running.sources)
            return loaded, compare(running, loaded.config)
        finally:
            sys.setswitchinterval(usual)

    async def _is_being_written(self) -> bool:
        """Whether a file that could not be used was only half written; then there is nothing to tell yet."""
        await asyncio.sleep(SETTLE)
        return await asyncio.to_thread(stamps_of, self._program.config.sources) != self._seen

    def _failed(self, problems: tuple[str, ...], news: bool) -> bool:
        """Keep the failure for `/status`, without secrets that are out of place; tell it where it is news."""
        problems = tuple(map(self._program.logs.redaction.clean, problems))
        news = news or problems != self._program.config_problems
        self._program.config_problems, self._failing = problems, True
        if news:
            self._program.observers.observe(ConfigReloaded(False, problems, (), ()))
        return news


# --- The configuration and the files it came from --------------------------------------------------------

Stamp = tuple[int, ...]
Loader = Callable[["Config | None"], "Config"]
"""Reads the configuration; it gets the running one, None at the start."""
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and the stamps of its files: a file whose stamp differs now has changed since."""

    config: Config
    stamps: Mapping[Path, Stamp]


def read(load: Callable[[], Config], known: tuple[Path, ...] = ()) -> LoadedConfig:
    """Load, and again where a file changed meanwhile or was not among those `known`. Raises what `load` raises."""
    stamps = stamps_of(known)
    for _ in range(_ATTEMPTS):
        config = load()
        after = stamps_of(config.sources)
        if after == stamps:
            break
        stamps = after
    return LoadedConfig(config, stamps)


def directories_of(files: tuple[Path, ...]) -> set[Path]:
    """The folders that these are in, or are: what happens in one is told by the system."""
    folders = {file if file.is_dir() else file.parent for file in files}
    return {folder for folder in folders if folder.is_dir()}


def stamps_of(files: tuple[Path, ...]) -> dict[Path, Stamp]:
    """What tells that a file was written, replaced or made readable; links are followed, a missing file has none."""
    stamps: dict[Path, Stamp] = {}
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            stamps[file] = (found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino, found.st_size)
    return stamps
