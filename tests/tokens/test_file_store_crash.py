"""Kill -9 at any instant of a rotation leaves the old refresh token or the new one, never neither."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.secret import Secret
from proxy.tokens.opening import open_store
from proxy.tokens.store import StoredSource, StoredToken

ROUNDS = 200
SPAN = 1500
"""Lines of Python within which a process dies: some three rotations."""
KEY = Secret("a key of sixteen bytes or more")
PADDING = "x" * 2000
ROTATING = """
import asyncio, gc, os, signal, sys, threading
import proxy.tokens.file_store
from proxy.secret import Secret
from proxy.tokens.opening import open_store
from proxy.tokens.store import rotated

def die_after(lines):
    def trace(frame, event, arg):
        nonlocal lines
        if event == "line":
            lines -= 1
            if lines < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    threading.settrace(trace)
    sys.settrace(trace)

async def rotate(url, number, lines):
    store = open_store(url, Secret("a key of sixteen bytes or more"))
    first = number + 1
    while True:
        number += 1
        os.write(1, b"writing %d\\n" % number)
        if number == first + 1:
            die_after(lines)
        await store.write("acme", rotated(Secret(f"refresh-{number}" + "x" * 2000), None, float(number)))
        os.write(1, b"held %d\\n" % number)

asyncio.run(open_store(sys.argv[1], Secret("a key of sixteen bytes or more")).read("acme"))  # imports the rest
gc.freeze()
for line in sys.stdin:
    url, number, lines = line.split()
    child = os.fork()
    if child == 0:
        asyncio.run(rotate(url, int(number), int(lines)))
    os.write(1, b"over %d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class Rotating:
    """A process that has imported everything and forks one that rotates, again and again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.program = subprocess.Popen(
            [sys.executable, "-c", ROTATING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def killed_after(self, number: int, lines: int) -> tuple[int, int]:
        """Lets it rotate from `number` on, and be killed so many lines of Python after its first write held: its own
        code, the store's, the event loop's, in whichever thread.

        Tells which number was being written last, and which was the last that held.
        """
        inputs, outputs = self.program.stdin, self.program.stdout
        assert inputs is not None
        assert outputs is not None
        inputs.write(f"{self.url} {number} {lines}\n")
        said = {"writing": number, "held": number}
        while "over" not in said:
            word, value = outputs.readline().split()
            said[word] = int(value)
        assert said["over"] == -signal.SIGKILL
        return said["writing"], said["held"]

    def close(self) -> None:
        self.program.kill()
        self.program.communicate()


@pytest.mark.integration
def test_two_hundred_kills_lose_no_token(tmp_path: Path) -> None:
    """Each round a process rotates as fast as it can, dies at a random line, and the store is read back."""
    url = f"file:{tmp_path / 'state'}"
    dice = random.Random(20260101)
    held = within_a_write = old = new = 0
    rotating = Rotating(url)
    try:
        for _ in range(ROUNDS):
            writing, acknowledged = rotating.killed_after(held, dice.randrange(SPAN))
            entry = asyncio.run(open_store(url, KEY).read("acme"))
            kept = int(entry.saved_at) if entry is not None else 0
            assert kept in (acknowledged, writing), "neither the old nor the new token is there"
            if entry is not None:
                assert entry == StoredToken(Secret(f"refresh-{kept}{PADDING}"), StoredSource.ROTATED, "", float(kept))
            within_a_write += writing > acknowledged
            old += kept == acknowledged < writing
            new += kept == writing > acknowledged
            held = kept
    finally:
        rotating.close()
    assert held >= ROUNDS
    assert within_a_write > ROUNDS // 4
    assert old and new
    assert not list((tmp_path / "state").glob(".new-*"))
