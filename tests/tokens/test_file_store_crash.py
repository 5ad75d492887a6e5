"""Kill -9 at any instant of a rotation leaves the old refresh token or the new one, never neither."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from proxy.secret import Secret
from proxy.tokens.opening import open_store
from proxy.tokens.store import StoredSource, StoredToken

ROUNDS = 200
KEY = Secret("a key of sixteen bytes or more")
PADDING = "x" * 2000
ROTATING = """
import asyncio, os, sys
from proxy.secret import Secret
from proxy.tokens.opening import open_store
from proxy.tokens.store import rotated

async def rotate(url, number):
    store = open_store(url, Secret("a key of sixteen bytes or more"))
    while True:
        number += 1
        os.write(1, b"writing %d\\n" % number)
        await store.write("acme", rotated(Secret(f"refresh-{number}" + "x" * 2000), None, float(number)))
        os.write(1, b"held %d\\n" % number)

for line in sys.stdin:
    url, number = line.split()
    child = os.fork()
    if child == 0:
        asyncio.run(rotate(url, int(number)))
    os.write(1, b"process %d\\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"over 0\\n")
"""


class Rotating:
    """A process that has imported everything and forks one that rotates, again and again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.program = subprocess.Popen(
            [sys.executable, "-c", ROTATING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def kill_after(self, number: int, seconds: float) -> tuple[int, int]:
        """Lets it rotate from `number` on and kills it so many seconds after its first write held.

        Tells which number was being written last, and which was the last that held.
        """
        inputs, outputs = self.program.stdin, self.program.stdout
        assert inputs is not None
        assert outputs is not None
        inputs.write(f"{self.url} {number}\n")
        said = {"writing": number, "held": number}
        deadline = time.monotonic() + 30
        while said["held"] == number or "process" not in said:
            self._hear(outputs, said, deadline)
        kill_at = time.monotonic() + seconds
        while (left := kill_at - time.monotonic()) > 0:
            select.select([], [], [], left)
        os.kill(said["process"], signal.SIGKILL)
        while "over" not in said:
            self._hear(outputs, said, deadline)
        return said["writing"], said["held"]

    def _hear(self, outputs: IO[str], said: dict[str, int], deadline: float) -> None:
        assert time.monotonic() < deadline, "the rotating process hangs"
        word, value = outputs.readline().split()
        said[word] = int(value)

    def close(self) -> None:
        self.program.kill()
        self.program.communicate()


def test_two_hundred_kills_lose_no_token(tmp_path: Path) -> None:
    """Each round a process rotates as fast as it can, dies at a random moment, and the store is read back."""
    url = f"file:{tmp_path / 'state'}"
    dice = random.Random(20260101)
    held = within_a_write = 0
    rotating = Rotating(url)
    try:
        for _ in range(ROUNDS):
            writing, acknowledged = rotating.kill_after(held, dice.uniform(0.0, 0.03))
            entry = asyncio.run(open_store(url, KEY).read("acme"))
            kept = int(entry.saved_at) if entry is not None else 0
            assert kept in (acknowledged, writing), "neither the old nor the new token is there"
            if entry is not None:
                assert entry == StoredToken(Secret(f"refresh-{kept}{PADDING}"), StoredSource.ROTATED, "", float(kept))
            within_a_write += writing > acknowledged
            held = kept
    finally:
        rotating.close()
    assert held >= ROUNDS
    assert within_a_write > ROUNDS // 4
    assert not list((tmp_path / "state").glob(".new-*"))
