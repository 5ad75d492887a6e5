"""A configuration file that a command changes: read, shown as a difference, checked as a whole, and replaced.

Either the new text is one that `serve` takes and holds the intended change and no other, or the file stays as it is.
Where lines go is decided in `yaml_edits`. Everything blocks.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import tempfile
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from proxy.commands.terminal import tell
from proxy.commands.yaml_edits import NoPlace
from proxy.config import config_path, load, variables_of
from proxy.config.reading.document import parse_document
from proxy.errors import ConfigurationError, StartupError
from proxy.redaction import Redaction
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.config import Config

BY_HAND = "change the file by hand (docs/reference/configuration.md)"
_CONTEXT = 2
"""Lines of the file that are shown around a change."""


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """A valid file as it was read. `command` is the one that changes it; problems begin with its name."""

    command: str
    path: Path
    environ: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    config: Config = field(repr=False)

    @classmethod
    def open(
        cls, command: str, option: Path | None, environ: Mapping[str, str], assumed: Mapping[str, str] | None = None
    ) -> ConfigurationFile:
        """The file of `--config` or `ADS_PROXY_CONFIG`. Raises `StartupError`, also where the file is not valid yet.

        It may lack what the command adds: with the `assumed` variables instead of it, the file has to be valid.
        """
        path = config_path(option, environ)
        if path is None:
            advice = "name one with --config FILE, or make one with `ads-proxy init`"
            raise ConfigurationError((f"{command}: no configuration file; {advice}",))
        try:
            config = load(path, environ)
        except ConfigurationError:
            if assumed is None:
                raise
            config = load(path, {**environ, **assumed})
        return cls(command, path, environ, _read(command, path), config)

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def values(self) -> dict[str, Any]:
        """What the file says, without the environment."""
        return parse_document(self.content, str(self.path)).values

    def refuse_variables(self, *keys: str) -> None:
        """Raise `ConfigurationError` if variables replace what the file says of a key."""
        names = variables_of(keys, self.environ)
        if names:
            key = ".".join(keys)
            problem = f"{', '.join(names)} sets `{key}`, which replaces that of {self.path}"
            raise ConfigurationError((f"{self.command}: {problem}; change the variable, or unset it first",))

    def edited(self, edit: Callable[[str], str], intended: Mapping[str, Any]) -> str:
        """The text after an edit that leads to the intended values. Raises `ConfigurationError` if it cannot."""
        try:
            text = edit(self.text)
        except (NoPlace, yaml.YAMLError, ValueError) as error:
            why = str(error) if isinstance(error, NoPlace) else "its form is not one that the program can change"
            raise ConfigurationError((f"{self.command}: {self.path}: {why}; {BY_HAND}",)) from None
        found = parse_document(text.encode(), str(self.path))
        if found.problems or found.values != intended:
            raise ConfigurationError((f"{self.command}: {self.path}: the change has no place in it; {BY_HAND}",))
        return text

    def difference(self, text: str) -> str:
        """The unified difference to a new text, without secrets."""
        redaction = Redaction()
        redaction.know(self.config.secrets())
        before, after, name = self.text.splitlines(), text.splitlines(), str(self.path)
        lines = difflib.unified_diff(before, after, name, name, lineterm="", n=_CONTEXT)
        return "\n".join(map(redaction.clean, lines))

    def finish(self, text: str, *, dry_run: bool, answers: bool) -> None:
        """Show the difference, and put the text in the place of the file, unless it is a dry run. Raises
        `StartupError`; the file stays as it is then.

        The difference is the answer of the command, or a remark next to it.
        """
        if dry_run:
            self.check(text)
        else:
            self.replace(text)
        (sys.stdout if answers else sys.stderr).write(f"{self.difference(text)}\n")
        if dry_run:
            tell("Nothing was written.")

    def check(self, text: str) -> None:
        """Raise `StartupError` if the program would refuse a text in the place of this file."""
        with self._trial(text):
            pass

    def replace(self, text: str) -> None:
        """Put a text in the place of the file in one step. Raises `StartupError`; the file stays as it is then."""
        with self._trial(text) as trial:
            if _read(self.command, self.path) != self.content:
                raise StartupError(f"{self.command}: {self.path}: was changed meanwhile; run the command again")
            target = self.path.resolve()
            trial.chmod(target.stat().st_mode & 0o7777)
            os.chown(trial, target.stat().st_uid, target.stat().st_gid)
            trial.replace(target)

    @contextlib.contextmanager
    def _trial(self, text: str) -> Iterator[Path]:
        """A file next to this one with a text that the program takes; it is removed unless it was moved."""
        from proxy.app.report_orders import refuse_misfits

        trial = None
        try:
            descriptor, name = tempfile.mkstemp(".yaml", ".ads-proxy-", self.path.parent)
            trial = Path(name)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(text.encode())
                opened.flush()
                os.fsync(descriptor)
            config = load(trial, self.environ)
            refuse_misfits(config)
            yield trial
        except OSError as error:
            where = self.path.parent if trial is None else error.filename or self.path
            raise StartupError(f"{self.command}: {where}: {error.strerror or error}") from None
        finally:
            if trial is not None:
                trial.unlink(missing_ok=True)


def _read(command: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"{command}: {path}: {error.strerror or error}") from None
