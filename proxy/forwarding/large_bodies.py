"""A thread in which large bodies are read, so that the event loop goes on meanwhile: one, as threads run in turns.

A body of 240 KB takes 10 to 30 ms to read. Once there was one, the event loop waits for 1 ms for its turn, not for the
5 ms that are Python's default.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

LARGE: Final = 4096
"""Bytes from which on a body is large: a smaller one takes less than the way to the thread and back may take."""
_TURN: Final = 0.001
READER: Final = ThreadPoolExecutor(1, "large-bodies", sys.setswitchinterval, (_TURN,))
