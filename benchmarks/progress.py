"""What a run says while it goes, and what failed in it: one measurement that fails does not take the others along."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks.processes import BenchmarkError

T = TypeVar("T")


class Progress:
    """Sentences on standard error; `failures` is for the end."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __repr__(self) -> str:
        return f"<Progress failures={len(self.failures)}>"

    def say(self, sentence: str) -> None:
        """With the time."""
        print(f"{datetime.datetime.now(datetime.UTC):%H:%M:%S} {sentence}", file=sys.stderr, flush=True)

    def tried(self, what: str, do: Callable[[], T]) -> T | None:
        """What came of it; a failure is said and kept, and None."""
        try:
            return do()
        except (BenchmarkError, OSError, subprocess.SubprocessError) as error:
            self.say(f"FAILED: {what}: {error}")
            self.failures.append(f"{what} failed: {str(error).partition(chr(10))[0]}")
            return None


def end(failures: Sequence[str]) -> None:
    """Leave with 1, and say what failed, if anything did."""
    if failures:
        sys.exit("\n".join((f"benchmark: {len(failures)} failed, and the others went on", *failures)))
