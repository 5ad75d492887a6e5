"""The profile directory between an Amazon that a test scripts and pauses that a test ends. Nothing is asserted here."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from aiohttp import web

from proxy.errors import NoUsableToken, StateError
from proxy.events import (
    AdsAccountsFailed,
    AdsAccountsListed,
    Event,
)
from proxy.profiles.directory import ProfileDirectory
from proxy.profiles.index import document_of
from proxy.profiles.listing import ListingSchedule, ProfileSource
from proxy.profiles.stored_lists import ListStore
from proxy.secret import Secret
from proxy.tokens.delayed_writer import SAVE_DELAY
from proxy.tokens.leases import LocalLeases, SharedFormat, T
from tests.support.patience import PATIENCE


class EventQueue:
    """An observer whose events can be waited for; those of ads accounts are kept apart."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.of_ads_accounts: asyncio.Queue[Event] = asyncio.Queue()

    def observe(self, event: Event) -> None:
        kept = self.of_ads_accounts if isinstance(event, AdsAccountsListed | AdsAccountsFailed) else self.events
        kept.put_nowait(event)

    async def next(self) -> Event:
        async with asyncio.timeout(PATIENCE):
            return await self.events.get()

    async def next_of_ads_accounts(self) -> Event:
        async with asyncio.timeout(PATIENCE):
            return await self.of_ads_accounts.get()


class HeldPauses:
    """HeldPauses that last until the test ends them, or they are woken. Saving waits for nothing."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[float] = asyncio.Queue()
        self._over: list[asyncio.Future[None]] = []

    async def pause(self, seconds: float, wake: asyncio.Event) -> None:
        if seconds == SAVE_DELAY:
            return
        over = asyncio.get_running_loop().create_future()
        self._over.append(over)
        self.begun.put_nowait(seconds)
        waking = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait((over, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def next(self) -> float:
        async with asyncio.timeout(PATIENCE):
            return await self.begun.get()

    def end(self) -> None:
        for over in self._over:
            if not over.done():
                over.set_result(None)


class DocumentStore:
    """A store of documents; `document` is the one of the profiles of `acme`, `others` are kept by name."""

    def __init__(self, document: object | None = None) -> None:
        self.document = document
        self.others: dict[str, object] = {}
        self.written = asyncio.Event()
        self.broken = False

    async def read_document(self, name: str) -> object | None:
        if self.broken:
            raise StateError("the disk is gone")
        return self.document if name == document_of("acme") else self.others.get(name)

    async def write_document(self, name: str, data: object) -> None:
        if name != document_of("acme"):
            self.others[name] = json.loads(json.dumps(data))
            return
        self.written.set()
        if self.broken:
            raise StateError("the disk is gone")
        self.document = json.loads(json.dumps(data))

    def leases_for(self, form: SharedFormat[T]) -> LocalLeases[T]:
        return LocalLeases()


@dataclass(frozen=True)
class Token:
    value: Secret
    client_id: str
    lineage: str


class RunningDirectory:
    """A directory before a scripted Amazon: `/REGION/v2/profiles` answers with that region's ids.

    `further` answers by region and the rest of the target what else is asked for; it is empty where nothing is said.
    `asked` holds the usual lists alone, `asked_further` the targets of all others, `client_ids` those of both.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.events, self.pauses, self.documents = EventQueue(), HeldPauses(), DocumentStore()
        self.lineage = "f" * 64
        self.now = 1000.0
        self.ids: dict[str, list[int]] = {"na": [11, 12], "eu": [21], "fe": []}
        self.further: dict[tuple[str, str], Any] = {}
        self.further_status = 200
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.arrived = asyncio.Event()
        self.asked_further: list[str] = []
        self.tokens: set[str] = {"acme", "zeta"}
        self.generation = 1
        self.ended: set[int] = set()
        """Generations of tokens that are refused."""
        self.application = "app"
        self.client_ids: list[str] = []
        self.gate: asyncio.Event | None = None
        self.gates: dict[str, asyncio.Event] = {}
        """By region, instead of `gate`."""
        self.directory = self.open()

    def open(self, store: ListStore | None = None) -> ProfileDirectory:
        schedule = ListingSchedule(self.pauses.pause, lambda: self.now, lambda: 5.0, lambda: 0.0)
        return ProfileDirectory(self.session, self.token, store or self.documents, self.events, schedule)

    async def token(self, account: str, *, hastens: bool) -> Token:
        if account not in self.tokens:
            raise NoUsableToken(f"{account} has to sign in", retryable=False)
        client_id = f"{self.application}-of-{account}"
        return Token(Secret(f"Atza|{account}|{self.generation}"), client_id, self.lineage)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        region, _, target = request.path_qs[1:].partition("/")
        self.client_ids.append(request.headers["Amazon-Ads-ClientId"])
        if int(request.headers["Authorization"].rpartition("|")[2]) in self.ended:
            return web.Response(status=401)
        if target != "v2/profiles":
            self.asked_further.append(target)
            nothing: Any = [] if target.startswith("v2/profiles") else {}
            return web.json_response(self.further.get((region, target), nothing), status=self.further_status)
        self.asked.append((request.headers["Authorization"].split("|")[1], region))
        self.arrived.set()
        ids = self.ids[region]
        if (gate := self.gates.get(region, self.gate)) is not None:
            await gate.wait()
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers)
        return web.json_response([{"profileId": number} for number in ids])

    def source(self, account: str = "acme", *regions: str, **changed: Any) -> ProfileSource:
        urls = {region: f"{self.url}/{region}" for region in regions or ("na",)}
        return replace(ProfileSource(account, f"app-of-{account}", urls, pins_first=True), **changed)

    async def asked_for(self, count: int) -> None:
        """Wait until the usual lists were asked for so often."""
        async with asyncio.timeout(PATIENCE):
            while len(self.asked) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def settle(self, count: int) -> list[float]:
        """Wait until so many listings have ended; how long each pauses now."""
        return [await self.pauses.next() for _ in range(count)]
