"""Fixtures of the simulator's tests: a running simulator with a clock that only tests move, and a client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from proxy.simulator import Simulator, SimulatorSettings, SimulatorState
from tests.support.patience import PATIENCE

SKIPPED = ("Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add by itself."""


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """One header's value."""
        values = [v for n, v in self.headers.items() if n.lower() == name.lower()]
        return values[0] if values else None


@dataclass
class SimulatorClient:
    """A client that knows the simulator's credentials and follows no redirect."""

    simulator: Simulator
    session: aiohttp.ClientSession
    region: str = "na"
    token: str = ""
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host and port of the API."""
        return urlsplit(self.simulator.api_urls[self.region]).netloc

    async def send(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        """Send one request, with exactly these headers next to those that HTTP needs."""
        options: dict[str, Any] = {"allow_redirects": False, "skip_auto_headers": SKIPPED}
        async with self.session.request(
            method, URL(url, encoded=True), headers=headers, data=body, **options
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def sign_in(self) -> str:
        """An access token by the refresh grant, used from now on."""
        self.token = (await self.refresh()).json()["access_token"]
        return self.token

    async def refresh(self, **changed: str | None) -> Reply:
        """A token request by the refresh grant; `changed` fields replace the right ones, None leaves one out."""
        fields: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "refresh_token": self.simulator.refresh_token,
            "client_id": self.simulator.app.client_id,
            "client_secret": self.simulator.app.client_secret,
            **changed,
        }
        return await self.form({name: value for name, value in fields.items() if value is not None})

    async def form(self, fields: dict[str, str], headers: dict[str, str] | None = None) -> Reply:
        """A form POST to the token endpoint."""
        url = self.simulator.token_urls[self.region]
        async with self.session.post(
            url, data=fields, headers=headers, skip_auto_headers=("Accept-Encoding",)
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    def headers(self, **changed: str | None) -> dict[str, str]:
        """The headers that a proxy adds; names in `changed` are written with `_` for `-`."""
        right: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token}",
            "Amazon-Advertising-API-ClientId": self.simulator.app.client_id,
            "Amazon-Ads-ClientId": self.simulator.app.client_id,
        }
        right |= {name.replace("_", "-"): value for name, value in changed.items()}
        return {name: value for name, value in right.items() if value is not None}

    async def ask(self, method: str, path: str, body: Any = None, **changed: str | None) -> Reply:
        """A request to the API with a good token. A body that is no bytes is sent as JSON."""
        if not self.token:
            await self.sign_in()
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = self.simulator.api_urls[self.region] + path
        return await self.send(method, url, self.headers(**changed), data)

    async def control(self, method: str, path: str, body: Any = None) -> Reply:
        """A request to the control API."""
        data = None if body is None else json.dumps(body).encode()
        return await self.send(method, f"{self.simulator.control_url}/control{path}", {}, data)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection to the API."""
        address = urlsplit(self.simulator.api_urls[self.region])
        return await self._open(address.hostname or "", address.port or 0)

    async def raw(self, data: bytes) -> bytes:
        """Writes bytes to the API's port and reads to the end of the connection."""
        return await self.raw_at(urlsplit(self.simulator.api_urls[self.region]).netloc, data.decode("latin-1"))

    async def raw_at(self, netloc: str, data: str) -> bytes:
        """Writes Latin-1 text to an address and reads to the end of the connection."""
        host, _, port = netloc.rpartition(":")
        reader, writer = await self._open(host, int(port))
        writer.write(data.encode("latin-1"))
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        return answer

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = await asyncio.open_connection(host, port)
        self.opened.append(streams[1])
        return streams

    async def close(self) -> None:
        """Ends every bare connection, however its test ended and whatever was not sent on it."""
        for writer in self.opened:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self.opened), return_exceptions=True)

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """A request's head as bytes, with the right headers and the further `lines`."""
        right = [f"{name}: {value}" for name, value in self.headers().items()]
        host = f"Host: {self.host}"
        return "\r\n".join([f"{method} {path} HTTP/1.1", host, *right, *lines, "", ""]).encode("latin-1")

    def kinds(self) -> list[str]:
        """The kinds of all refusals so far."""
        return [refusal.kind for refusal in self.simulator.state.refusals]


@pytest.fixture
def settings() -> SimulatorSettings:
    """Settings with a clock that does not move; modules replace them."""
    return SimulatorSettings(clock=lambda: 1000.0)


@pytest.fixture
async def simulator(settings: SimulatorSettings) -> AsyncIterator[Simulator]:
    """A running simulator at ports of the system's choice."""
    async with Simulator(settings) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[SimulatorClient]:
    """A client of the simulator."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        made = SimulatorClient(simulator, session)
        yield made
        await made.close()


@pytest.fixture
def simulator_state(settings: SimulatorSettings) -> SimulatorState:
    """A simulator's memory, without listeners."""
    return SimulatorState(settings)
