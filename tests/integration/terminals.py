"""A terminal with a shell in it, as a person who follows a page has it open. Nothing is asserted here but waiting."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.processes import until
from tests.support.programs import require_program

_END = "=== end of the block, code"


@dataclass(frozen=True)
class Said:
    """What a block printed, and the exit code of its last command."""

    text: str
    code: int


class Terminal:
    """Bash on pipes; standard output and standard error come as one."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            [require_program("bash"), "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=dict(environ),
            start_new_session=True,
        )
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._keyboard, self._screen = self._shell.stdin, self._shell.stdout
        self.text = ""
        self._seen = 0
        self._reader = threading.Thread(target=self._read, args=(self._screen,), daemon=True)
        self._reader.start()

    def _read(self, screen: IO[str]) -> None:
        with contextlib.suppress(ValueError):
            while piece := os.read(screen.fileno(), 65536):
                self.text += piece.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        """Type, and press Enter."""
        self._keyboard.write(text.rstrip("\n") + "\n")
        self._keyboard.flush()

    def run(self, block: str) -> Said:
        """Type a block and wait for its end."""
        self.type(block)
        return self.end()

    def end(self) -> Said:
        """Wait for the end of what was typed."""
        self.type(f"printf '\\n{_END} %s\\n' $?")
        found = self.wait_for(rf"\n{_END} (\d+)\n")
        return Said(found.string[: found.start()], int(found[1]))

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what came since the last one; its string begins there."""
        found: re.Match[str] = until(lambda: re.search(pattern, self.text[self._seen :]), lambda: self.text[-3000:])
        self._seen += found.end()
        return found

    def interrupt(self) -> None:
        """Ctrl-C, and close the window."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGINT)
        with contextlib.suppress(OSError):
            self._keyboard.close()
        try:
            self._shell.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
        self._reader.join(5)
        self._screen.close()
