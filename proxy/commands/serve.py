"""`serve`: runs the proxy until a signal ends it. What is worth a word about the configuration is told at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.app.run import serve as run_proxy
from proxy.commands.addresses import at_addresses
from proxy.config import config_path, environment, load, notes

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config import Config


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What the command line says. Its addresses win over file and environment."""

    config: Path | None = None
    env_file: Path | None = None
    listen: str | None = None
    admin_listen: str | None = None

    def load(self, running: Config | None = None) -> Config:
        """The configuration as it is now; a file of variables is one of its sources. Raises `ConfigurationError`."""
        environ = at_addresses(environment(self.env_file), self.listen, self.admin_listen)
        config = load(self.config, environ, running=running)
        if self.env_file is None:
            return config
        return config.model_copy(update={"sources": (*config.sources, self.env_file.absolute())})

    def files(self) -> tuple[Path, ...]:
        """Those that are known before they are read. Raises `ConfigurationError`."""
        named = config_path(self.config, environment(self.env_file)), self.env_file
        return tuple(file.absolute() for file in named if file is not None)


def serve(asked: ServeRequest) -> int:
    """Serve what the file and the environment say, now and after each change; the exit code."""
    return run_proxy(asked.load, notes, known=asked.files())
