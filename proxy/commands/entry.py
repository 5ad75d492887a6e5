"""Where the command line begins: `serve`, which is waited for, is read here; everything else, and its help, in `cli`.

The library that reads command lines takes a tenth of the time until the program serves. So `serve` with its options
each at most once, as `--name value`, is read without it. `cli` reads every other command line.
What both then do is here as well: `serve.py` declares options, and so imports that library.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy import advice
from proxy.commands.addresses import at_addresses
from proxy.commands.terminal import INTERRUPTED, complain, tell
from proxy.errors import StartupError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.app.program import Program
    from proxy.config import Config, ReadingMemory

SERVE_OPTIONS: Final = {
    "--config": "config",
    "-c": "config",
    "--env-file": "env_file",
    "--listen": "listen",
    "--admin-listen": "admin_listen",
}
"""The options of `serve` and what each sets: those that `serve.py` declares."""
PATHS: Final = ("config", "env_file")


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What the command line says. Its addresses win over file and environment."""

    config: Path | None = None
    env_file: Path | None = None
    listen: str | None = None
    admin_listen: str | None = None

    def load(self, running: Config | None = None, memory: ReadingMemory | None = None) -> Config:
        """The configuration as it is now; a file of variables is one of its sources. Raises `ConfigurationError`."""
        from proxy.config import environment, load

        environ = at_addresses(environment(self.env_file), self.listen, self.admin_listen)
        config = load(self.config, environ, running=running, memory=memory)
        if self.env_file is None:
            return config
        return config.model_copy(update={"sources": (*config.sources, self.env_file.absolute())})

    def files(self) -> tuple[Path, ...]:
        """The files that are known before they are read. Raises `ConfigurationError`."""
        from proxy.config import config_path, environment

        named = config_path(self.config, environment(self.env_file)), self.env_file
        return tuple(file.absolute() for file in named if file is not None)

    def announce(self, program: Program) -> None:
        """Tell the person at a terminal where clients and the console go."""
        from proxy.app.sources import console_url
        from proxy.config import admin_key_place, environment

        place = admin_key_place(self.config, environment(self.env_file))
        key = f" (its key: {place})" if place else ""
        console = console_url(program.config, program.admin_listening)
        tell(f"console: {console}/{key}; clients: {program.listening.reachable}")


def serve_as_asked(asked: ServeRequest) -> int:
    """Serve what the file and the environment say, now and after each change; the exit code."""
    from proxy.app.run import serve
    from proxy.config import notes

    return serve(asked.load, notes, known=asked.files(), announce=asked.announce if sys.stdout.isatty() else None)


def main() -> None:
    """Run the command line; a failure with a name becomes its lines and its exit code."""
    plain = read_plain_serve(sys.argv[1:])
    if plain is None:
        from proxy.commands.cli import main as run_any

        run_any()
        return
    gc.disable()  # what a start makes is kept; garbage is looked for from when the program serves
    advice.options_in_use.update({f"--{name.replace('_', '-')}": plain[name] for name in PATHS if name in plain})
    try:
        paths = {name: Path(plain[name]) for name in PATHS if name in plain}
        code = serve_as_asked(ServeRequest(**paths, listen=plain.get("listen"), admin_listen=plain.get("admin_listen")))
    except StartupError as error:
        complain(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def read_plain_serve(arguments: Sequence[str]) -> Mapping[str, str] | None:
    """What each option of a plain `serve` is given; None for any other command line. Pure."""
    if not arguments or arguments[0] != "serve" or len(arguments) % 2 == 0:
        return None
    found: dict[str, str] = {}
    for option, value in zip(arguments[1::2], arguments[2::2], strict=True):
        name = SERVE_OPTIONS.get(option)
        if name is None or name in found or value.startswith("-"):
            return None
        found[name] = value
    return found
