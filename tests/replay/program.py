"""The program with a calendar that the player moves: `program.py FILE arguments`, where FILE holds the seconds to add.

The session begins on the same day each time. Only the time of day is moved, by which keys and placeholders expire;
timers go by another clock.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

FIRST_MOMENT = 1795608000.0
"""2026-11-25, noon UTC."""


def main() -> None:
    path = sys.argv.pop(1)
    with Path(path).open("r+b") as file:
        added = mmap.mmap(file.fileno(), 8)
    real, began = time.time, time.time()
    time.time = lambda: real() - began + FIRST_MOMENT + struct.unpack("d", added[:8])[0]
    sys.argv[0] = "ads-proxy"
    runpy.run_module("proxy", run_name="__main__")


main()
