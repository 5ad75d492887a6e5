"""`python -m tests.replay record` or `compare`: the whole session, twenty thousand requests and the conformance suite.

Record before a change that is to keep every byte, or when a change is meant to be seen; compare after it. `warm`
compares a program that remembers requests with one that remembers none.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tests.replay import conformance
from tests.replay.player import session
from tests.replay.recording import RECORDED, REQUESTS, corpus, differences, read, write
from tests.replay.warm_and_cold import SEED, all_compared


async def played(requests: int) -> list[dict[str, Any]]:
    """The session played now."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        async with session(Path(folder)) as player:
            recording = await player.play(corpus(), requests)
    return [*recording.entries(), *await conformance.entries()]


def warm(requests: int, seed: int) -> int:
    """Print how many differences there are between a warm program and a cold one."""
    found = asyncio.run(all_compared(requests, seed))
    print("\n".join(found[:50]))
    print(f"{requests} requests, {len(found)} differences")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description=__doc__)
    parser.add_argument("action", choices=("record", "compare", "warm"))
    parser.add_argument("--file", type=Path, default=RECORDED)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=SEED, help="for `warm` only")
    asked = parser.parse_args()
    if asked.action == "warm":
        return warm(asked.requests, asked.seed)
    entries = asyncio.run(played(asked.requests))
    if asked.action == "record":
        write(asked.file, entries)
        print(f"recorded: {len(entries)} entries, {asked.file.stat().st_size} bytes")
        return 0
    found = list(differences(read(asked.file), entries))
    print("\n".join(found[:50]))
    print(f"compared: {len(entries)} entries, {len(found)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
