"""`serve`: runs the proxy until a signal ends it. What is worth a word about the configuration is told at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.app.run import serve as run_proxy
from proxy.commands.addresses import at_addresses
from proxy.config import environment, load, notes

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

    def load(self) -> Config:
        """The configuration as it is now; a file of variables is one of its sources. Raises `ConfigurationError`."""
        environ = at_addresses(environment(self.env_file), self.listen, self.admin_listen)
        config = load(self.config, environ)
        if self.env_file is None:
            return config
        return config.model_copy(update={"sources": (*config.sources, self.env_file.absolute())})


def serve(asked: ServeRequest) -> int:
    """Serve what the file and the environment say, now and after each change; the exit code."""
    told = notes(asked.load())
    return run_proxy(asked.load, notes=told)
