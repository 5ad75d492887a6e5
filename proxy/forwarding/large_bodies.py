"""A thread in which large bodies are read, so that the event loop goes on meanwhile: one, as threads run in turns.

A body of 240 KB takes 10 to 30 ms to read; the event loop waits for at most `sys.getswitchinterval()` at a time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

LARGE: Final = 4096
"""Bytes from which on a body is large: a smaller one takes less than the way to the thread and back may take."""
READER: Final = ThreadPoolExecutor(1, "large-bodies")
