"""What a fleet asks of Login with Amazon when everything happens at once, on virtual time.

`python -m tests.support.herds --replicas 10 --accounts 200`. The program's own token managers, store and leases, before
a real Redis or Valkey that takes no time, and a Login with Amazon that answers after a tenth of a second. The dice are
seeded, and the store's clock is the virtual one. `tests/tokens/test_herds.py` holds a small one to docs/scaling.md.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.fleet import Fleet, Replica
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tokens import JumpingLoop, ScriptedLogin, source

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.tokens.values import TokenSource

HOUR = 3600.0
"""Seconds that an access token lives, and that each herd is watched for."""
OUTAGE = 600.0
LOOK = 5.0
"""Seconds between two looks at who has a token."""


class Herd(StrEnum):
    """What happens, and when."""

    START = "all start at once"
    OUTAGE = "Login with Amazon is down for ten minutes, before the tokens are due"
    EMPTIED = "the store is emptied after ten minutes"
    ROLLING = "one replica after the other is replaced, a minute apart"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Requests to Login with Amazon from the start to the end of the hour, the most of them in one second, and the most
    for one account. `without` is for how many seconds some replica had no token for some account, the start apart."""

    herd: Herd
    requests: int
    peak: int
    most: int
    without: float


class Dice(Replica):
    """A replica with jitter by a seed."""

    def __init__(self, server: RedisServer, login: ScriptedLogin) -> None:
        super().__init__(server, login)
        self.connection.pause = 2.0
        self._dice = random.Random(Replica.made)

    def roll(self) -> float:
        return self._dice.random()


def simulate(server: RedisServer, herd: Herd, replicas: int, accounts: int) -> Outcome:
    """One herd, from a fresh start."""
    Replica.made = 0
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(_simulate(server, herd, replicas, accounts))


async def _simulate(server: RedisServer, herd: Herd, replicas: int, accounts: int) -> Outcome:
    fleet = Fleet(server, 0, HOUR)
    fleet.replicas = [Dice(server, fleet.login) for _ in range(replicas)]
    names = [f"account-{number}" for number in range(accounts)]
    sources = [source(name, f"refresh-{name}") for name in names]
    began, hour, without = asyncio.get_running_loop().time(), HOUR, 0.0
    if herd is Herd.OUTAGE:
        fleet.login.outage = (3200.0, 3200.0 + OUTAGE)
        hour += OUTAGE
    await asyncio.gather(*(replica.manager.start(sources) for replica in fleet.replicas))
    await _until(lambda: _all_serve(fleet, names))
    happening = asyncio.create_task(_happen(herd, fleet, sources))
    while asyncio.get_running_loop().time() - began < hour:
        await asyncio.sleep(LOOK)
        without += 0 if _all_serve(fleet, names) else LOOK
    await happening
    await fleet.stop()
    moments = Counter(int(moment - began) for moment, _ in fleet.login.asked)
    each = Counter(token for _, token in fleet.login.asked)
    return Outcome(herd, fleet.mints, max(moments.values()), max(each.values()), without)


async def _happen(herd: Herd, fleet: Fleet, sources: list[TokenSource]) -> None:
    await asyncio.sleep(600)
    if herd is Herd.EMPTIED:
        fleet.server.client.flushall()
    for place in range(len(fleet.replicas)) if herd is Herd.ROLLING else ():
        young = Dice(fleet.server, fleet.login)
        await young.manager.start(sources)
        await asyncio.sleep(5)
        fleet.replicas[place], old = young, fleet.replicas[place]
        await old.manager.stop()
        await asyncio.sleep(55)


def _all_serve(fleet: Fleet, names: list[str]) -> bool:
    return all(replica.serves(name) for replica in fleet.replicas for name in names)


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(1)


def main() -> None:
    """Every herd, as a table of docs/scaling.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.herds", description="Herds before one store.")
    parser.add_argument("--replicas", type=int, default=10, help="(10)")
    parser.add_argument("--accounts", type=int, default=200, help="(200)")
    given = parser.parse_args()
    print(
        "| what happens | requests | most in a second | most for an account | seconds without |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        for herd in Herd:
            found = simulate(server, herd, given.replicas, given.accounts)
            print(f"| {herd} | {found.requests:,} | {found.peak:,} | {found.most} | {found.without:g} |", flush=True)


if __name__ == "__main__":
    main()
