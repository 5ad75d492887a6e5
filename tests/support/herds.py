"""What a fleet asks of Login with Amazon and of the Ads API when everything happens at once, on virtual time.

`python -m tests.support.herds --replicas 10 --accounts 200`. The program's own token managers, directories, store and
leases, before a real Redis or Valkey that takes no time, and an Amazon that answers after a tenth of a second. The dice
are seeded, and the store's clock is the virtual one. `tests/tokens/test_herds.py` holds a small one to
docs/explanation/fleet.md.
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

from proxy.tokens.redis_connection import ALIVE
from tests.support.fleet import Fleet, Replica
from tests.support.herd_lists import ScriptedAds, make_directory, profile_sources
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
    for one account. `without` is for how many seconds some replica had no token for some account, the start apart.
    `lists` and `most_lists` are requests for lists, and the most of them for one list of an account in a region."""

    herd: Herd
    requests: int
    peak: int
    most: int
    without: float
    lists: int
    most_lists: int


class Dice(Replica):
    """A replica with jitter by a seed, which also lists what its accounts reach."""

    def __init__(self, server: RedisServer, login: ScriptedLogin, ads: ScriptedAds) -> None:
        super().__init__(server, login)
        self.server = server
        self.connection.pause = 2.0
        self.connection.block = ALIVE - 1
        self._dice = random.Random(Replica.made)
        self._directory = make_directory(self, ads, Replica.made)

    async def start(self, sources: list[TokenSource]) -> None:
        await self.manager.start(sources)
        await self._directory.start(profile_sources([source.account for source in sources]))

    async def stop(self) -> None:
        await self._directory.stop()
        await self.manager.stop()

    def roll(self) -> float:
        return self._dice.random()


def simulate(server: RedisServer, herd: Herd, replicas: int, accounts: int) -> Outcome:
    """One herd, from a fresh start."""
    Replica.made = 0
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(_simulate(server, herd, replicas, accounts))


async def _simulate(server: RedisServer, herd: Herd, replicas: int, accounts: int) -> Outcome:
    fleet, ads = Fleet(server, 0, HOUR), ScriptedAds()
    members = [Dice(server, fleet.login, ads) for _ in range(replicas)]
    names = [f"account-{number}" for number in range(accounts)]
    sources = [source(name, f"refresh-{name}", client=f"app-of-{name}") for name in names]
    began, hour, without = asyncio.get_running_loop().time(), HOUR, 0.0
    if herd is Herd.OUTAGE:
        fleet.login.outage = (3200.0, 3200.0 + OUTAGE)
        hour += OUTAGE
    await asyncio.gather(*(member.start(sources) for member in members))
    await _until(lambda: _all_serve(members, names))
    happening = asyncio.create_task(_happen(herd, members, sources, ads))
    while asyncio.get_running_loop().time() - began < hour:
        await asyncio.sleep(LOOK)
        without += 0 if _all_serve(members, names) else LOOK
    await happening
    for member in members:
        await member.stop()
    moments = Counter(int(moment - began) for moment, _ in fleet.login.asked)
    each = Counter(token for _, token in fleet.login.asked)
    lists = Counter(target for _, target in ads.asked)
    peaks = max(moments.values()), max(each.values())
    return Outcome(herd, fleet.mints, *peaks, without, lists.total(), max(lists.values()))


async def _happen(herd: Herd, members: list[Dice], sources: list[TokenSource], ads: ScriptedAds) -> None:
    await asyncio.sleep(600)
    if herd is Herd.EMPTIED:
        members[0].server.client.flushall()
    for place in range(len(members)) if herd is Herd.ROLLING else ():
        young = Dice(members[0].server, members[0].login, ads)
        await young.start(sources)
        await asyncio.sleep(5)
        members[place], old = young, members[place]
        await old.stop()
        await asyncio.sleep(55)


def _all_serve(members: list[Dice], names: list[str]) -> bool:
    return all(member.serves(name) for member in members for name in names)


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(1)


def main() -> None:
    """Every herd, as a table; docs/explanation/fleet.md has its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.herds", description="Herds before one store.")
    parser.add_argument("--replicas", type=int, default=10, help="(10)")
    parser.add_argument("--accounts", type=int, default=200, help="(200)")
    given = parser.parse_args()
    titles = ("what happens", "requests", "most in a second", "most for an account", "seconds without")
    print(f"| {' | '.join((*titles, 'requests for lists', 'most for one'))} |\n{'|---' * 7}|")
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        for herd in Herd:
            found = simulate(server, herd, given.replicas, given.accounts)
            counts = f"{found.requests:,} | {found.peak:,} | {found.most} | {found.without:g}"
            print(f"| {herd} | {counts} | {found.lists:,} | {found.most_lists} |", flush=True)


if __name__ == "__main__":
    main()
