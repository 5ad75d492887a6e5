"""The Ads API as far as it lists what accounts reach, on virtual time, and a directory that asks it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from proxy.profiles.directory import ProfileDirectory
from proxy.profiles.listing import ListingSchedule, ProfileSource
from tests.support.tokens import EPOCH, RunningManager

REGIONS = ("na", "eu", "fe")


class ScriptedAds:
    """In the place of a session: answers each list after a tenth of a second, empty, and remembers who asked for what.

    `asked` holds the moment, and client id, address and target.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[float, tuple[str, ...]]] = []

    def request(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> Answer:
        where = urlsplit(url)
        target = (headers["Amazon-Ads-ClientId"], where.netloc, f"{where.path}?{where.query}")
        self.asked.append((asyncio.get_running_loop().time(), target))
        return Answer(b"[]" if where.path == "/v2/profiles" else b"{}")


class Answer:
    """200, with this body."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content = self

    async def __aenter__(self) -> Answer:
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: there is no connection to close."""

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body


def make_directory(running: RunningManager, ads: ScriptedAds, seed: int) -> ProfileDirectory:
    """One that asks with the manager's tokens and shares its store."""
    clock, dice = asyncio.get_running_loop().time, random.Random(seed)
    schedule = ListingSchedule(clock=clock, wall=lambda: EPOCH + clock(), random=dice.random)
    session: Any = ads
    return ProfileDirectory(session, running.manager.get, running.store, running.events, schedule)


def profile_sources(names: list[str]) -> list[ProfileSource]:
    """The profile sources of accounts, each with an application of its own, in every region."""
    urls = {region: f"https://{region}.test" for region in REGIONS}
    return [ProfileSource(name, f"app-of-{name}", urls, pins_first=False) for name in names]
