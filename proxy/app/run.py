"""The program from its first line to its last: start, serve, reload, drain, stop.

`serve` blocks until a signal ends it. What fails before it serves is a `StartupError`.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, TextIO

from proxy.app.draining import let_end
from proxy.app.kept_objects import KeptObjects
from proxy.app.process import StopSignals, allow_open_files, forbid_core_dumps, hide_memory, loop_factory
from proxy.app.program import Program
from proxy.app.reload import Reloader, read
from proxy.app.service_manager import ServiceManager, notify_settings
from proxy.config import environment
from proxy.downstream.ports import Availability
from proxy.errors import StartupError
from proxy.events import DrainStarted, ServerStopped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.app.companion import Companion
    from proxy.app.reload import LoadedConfig, Loader
    from proxy.config import Config

_STOP_AT_ONCE_TIMEOUT = 1.0
"""Seconds that stopping may take after a second signal."""


def serve(
    load: Loader,
    notes_on: Callable[[Config], tuple[str, ...]],
    *,
    known: tuple[Path, ...] = (),
    demo: bool = False,
) -> int:
    """Run until SIGTERM or SIGINT; gives the exit code. `load` reads the configuration, now and at each reload, where
    it gets the running one.

    Where the files that it reads are all `known`, they are read once. `notes_on` tells what is worth a word of it.
    """
    forbid_core_dumps()
    require_compiled_parser()
    loaded = read(partial(load, None), known)
    program = Program(loaded.config, notes=notes_on(loaded.config), demo=demo, open_files=allow_open_files())
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(program, load, loaded))


def serve_beside(companion: Companion, load: Loader, output: TextIO, notes: tuple[str, ...]) -> int:
    """Run until the companion ends, whose exit code it gives. The log goes to `output`.

    The companion is another program of the same user, which must not find the secrets in this process.
    """
    forbid_core_dumps()
    hide_memory()
    require_compiled_parser()
    loaded = read(partial(load, None))
    program = Program(loaded.config, notes=notes, open_files=allow_open_files(), output=output)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(program, load, loaded, companion))


def require_compiled_parser() -> None:
    """Refuse aiohttp's parser in Python: most of the smuggling that was found in aiohttp was in that one alone."""
    from aiohttp import http_parser

    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartupError(
            "aiohttp is here without its compiled HTTP parser; unset AIOHTTP_NO_EXTENSIONS, or install the wheel that "
            "requirements.lock names."
        )


async def _serve(program: Program, load: Loader, loaded: LoadedConfig, companion: Companion | None = None) -> int:
    signals = StopSignals()
    manager = ServiceManager(notify_settings(environment(), os.getpid()) if companion is None else None)
    reloader = Reloader(program, load, loaded, manager)
    asyncio.get_running_loop().set_exception_handler(program.met_defect)
    if companion is None:
        signals.install(reloader.request)
    else:
        companion.install()
    manager.begin()
    try:
        await program.start()
        reloader.start()
        manager.ready(f"Serving tools on {program.listening}.")
        KeptObjects().begin()
        code = await (companion.run(program) if companion else signals.stop_asked())
        await reloader.stop()
        settings = program.config.drain
        manager.stopping(program.in_flight, settings.delay + settings.timeout)
        await drain(program, signals.stop_at_once)
    finally:
        stopping = asyncio.create_task(program.stop())
        await asyncio.wait({stopping}, timeout=_STOP_AT_ONCE_TIMEOUT if signals.stop_at_once.is_set() else None)
        manager.end()
        if stopping.done():
            stopping.result()
    return 1 if signals.stop_at_once.is_set() else code


async def drain(program: Program, at_once: asyncio.Event) -> None:
    """Let requests in flight end, here or in the workers, and tell of it."""
    settings = program.config.drain
    program.forwarder.availability = Availability.DRAINING
    program.observers.observe(DrainStarted(program.in_flight, settings.delay, settings.timeout))
    cut = await (program.workers.drain(at_once) if program.workers is not None else let_end(program, at_once))
    program.observers.observe(ServerStopped(cut))
