"""Replicas on virtual time before a real Redis: what they ask of it takes no time, and its clock is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from proxy.config.model.redis_address import parse_redis_address
from proxy.errors import RefreshTokenRevoked, StateUnavailable, TokenServerError
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.redis_connection import BLOCK, CHECK, PREFIX, RedisConnection
from proxy.tokens.redis_scripts import BEAT
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.token_response import Grant
from proxy.tokens.values import TokenSettings, TokenSource
from tests.support.redis_server import KEY, RedisServer
from tests.support.tokens import EPOCH, RunningManager, ScriptedLogin, source

LIFE = 300.0
"""Seconds that an access token of a fleet lives in the tests; it is renewed a quarter of that, and a little, ahead."""


class VirtualConnection(RedisConnection):
    """Asks at once. While it is `cut`, the server is away."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__(parse_redis_address(server.url))
        self._server = server
        self.cut = False
        self.pause = 0.25
        """Seconds until it learns of news."""
        self.block = BLOCK
        """Seconds that a read waits for news; a pulse follows each read."""
        self._published = asyncio.Event()
        self._published.set()  # by others, before this one came
        server.readers.add(self._published)

    async def command(self, *words: str | bytes | float) -> Any:
        self._refuse()
        return self._server.ask(*words)

    def _refuse(self) -> None:
        if self.cut:
            self.note(StateUnavailable("The state store is away."))
        if self.problem is not None:
            raise type(self.problem)(str(self.problem))

    async def run(self, script: str, keys: tuple[str, ...], *arguments: str | bytes | float) -> Any:
        now = int((EPOCH + asyncio.get_running_loop().time()) * 1000)
        if script is not BEAT:
            for published in self._server.readers:
                published.set()
        self._refuse()
        return self._server.evaluate(script, len(keys), *(PREFIX + key for key in keys), now, *arguments)

    async def news(self, stream: str, last: str) -> list[tuple[str, dict[bytes, bytes]]]:
        """Asks only when a script ran that can have published something."""
        try:
            async with asyncio.timeout(self.block):
                await self._published.wait()
        except TimeoutError:
            return []
        await asyncio.sleep(self.pause)
        self._published.clear()
        found = await self.command("XREAD", "STREAMS", PREFIX + stream, last)
        return [(id_.decode(), fields) for _, entries in found or () for id_, fields in entries]

    async def returned(self) -> None:
        while self.cut:
            await asyncio.sleep(0.5)
        self.problem = None

    async def pulse(self) -> bytes | None:
        return self._felt(await self.run(BEAT, ("replicas", CHECK, "roster"), self.id, 5000))


class NumberedLogin(ScriptedLogin):
    """Numbers its grants by when they were asked for, so that no two are alike.

    `outage` is from when to when it answers 503, in seconds since it was made.
    """

    def __init__(self, expires_in: float) -> None:
        super().__init__(expires_in=expires_in)
        self.outage = (0.0, 0.0)
        self.began = asyncio.get_running_loop().time()

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        number, scripted = len(self.asked) + 1, bool(self.script)
        now = asyncio.get_running_loop().time()
        if self.outage[0] <= now - self.began < self.outage[1]:
            self.asked.append((now, refresh_token.reveal()))
            await asyncio.sleep(0.1)
            raise TokenServerError("503")
        granted = await super().refresh(token_url, credentials, refresh_token)
        return granted if scripted else replace(granted, access_token=Secret(f"access-{number}"))


class StrictLogin(ScriptedLogin):
    """Kills a refresh token, and nothing else, when it issues the successor: `acme-0`, `acme-1`, ..."""

    def __init__(self, expires_in: float) -> None:
        super().__init__(expires_in=expires_in)
        self.alive: dict[str, int] = {}
        self.under_way = 0
        """The token requests under way. A replica that is killed during one loses the login: Amazon has issued a token
        that no replica received."""

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        name, _, number = refresh_token.reveal().rpartition("-")
        self.asked.append((asyncio.get_running_loop().time(), refresh_token.reveal()))
        self.under_way += 1
        try:
            await asyncio.sleep(0.1)
        finally:
            self.under_way -= 1
        if int(number) != self.alive.setdefault(name, 0):
            raise RefreshTokenRevoked("The refresh token was replaced.")
        self.alive[name] += 1
        access, successor = (Secret(f"{name}-{kind}{self.alive[name]}") for kind in ("access-", ""))
        return Grant(access, successor, self.expires_in, credentials.client_id)


class Fleet:
    """A number of replicas with the same accounts. `login` is the one Login with Amazon that all of them ask."""

    def __init__(self, server: RedisServer, replicas: int = 3, expires_in: float = LIFE) -> None:
        server.client.flushall()
        self.server = server
        self.login = NumberedLogin(expires_in)
        self.replicas = [self.make() for _ in range(replicas)]

    def make(self) -> Replica:
        return Replica(self.server, self.login)

    async def start(self, *sources: TokenSource, block: float = BLOCK) -> None:
        """Start all replicas. A long `block` saves many pulses in tests of hours; a pulse counts for five seconds."""
        for replica in self.replicas:
            replica.connection.block = block
            await replica.manager.start(sources or (source(),))

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.manager.stop()

    @property
    def mints(self) -> int:
        return len(self.login.asked)

    def tokens(self, account: str = "acme") -> list[str]:
        """What each replica serves."""
        return [replica.serves(account) for replica in self.replicas]


class Replica(RunningManager):
    """One of them, with jitter of its own."""

    made = 0

    def __init__(self, server: RedisServer, login: ScriptedLogin, settings: TokenSettings | None = None) -> None:
        self.connection = VirtualConnection(server)
        super().__init__(login, RedisStore(self.connection, (Secret(KEY),)), settings)
        Replica.made += 1
        self.chance = Replica.made % 7 / 7

    def serves(self, account: str = "acme") -> str:
        token = self.manager.current(account)
        return token.value.reveal() if token is not None else ""

    async def kill(self) -> None:
        """Remove a replica without a word to the server."""
        self.connection.cut = True
        await self.manager.stop(grace=0)


def hanging(seconds: float, then: Any) -> Callable[[], Awaitable[Any]]:
    """A response of Login with Amazon that comes late."""

    async def answer() -> Any:
        await asyncio.sleep(seconds)
        return then

    return answer
