"""What clients get under rate limits: directly and through the proxy, from the simulator's limiter.

Over real sockets: the proxy as a process of its own, the simulator and the clients in this one. A polite client asks
again at once after a good response, and waits as long as Retry-After says after a 429. A greedy client ignores it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import yaml

from benchmarks.checkout import this_checkout
from benchmarks.processes import Process, free_port, stopped_at_end
from proxy.simulator import Limit, Match, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine

_PATH = "/sd/campaigns"
_RATE = 10.0
"""Requests a second that the limiter takes, and as many at once."""
_AGAIN = 0.01
"""Seconds after which a greedy client asks again after a 429."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: *(\d+)")


@dataclass(frozen=True, slots=True)
class Clients:
    """How many of each kind share one limit."""

    name: str
    polite: int
    greedy: int

    @property
    def names(self) -> list[str]:
        return [f"{kind}-{n}" for kind in ("polite", "greedy") for n in range(getattr(self, kind))]


CLIENTS = (Clients("1 polite", 1, 0), Clients("8 greedy", 0, 8), Clients("8 greedy, 1 polite", 1, 8))
RETRY_WAITS = (None, 0.0, 10.0)
"""The values of `upstream.retry_wait`; None stands for requests without the proxy."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial: good responses of each client, and the requests that Amazon took and refused."""

    clients: Clients
    retry_wait: float | None
    served: Counter[str]
    granted: int
    refused: int

    @property
    def row(self) -> str:
        good = [self.served[name] for name in self.clients.names]
        greedy = good[self.clients.polite :]
        cells = (
            self.clients.name,
            "direct" if self.retry_wait is None else f"`retry_wait: {self.retry_wait:g}`",
            str(sum(good)),
            str(good[0]) if self.clients.polite else "",
            f"{min(greedy)} to {max(greedy)}" if greedy else "",
            f"{self.refused / self.granted:.2f}",
        )
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| clients | through | good responses | of the polite client | of each greedy client | "
    "429 of Amazon for each good response |\n|---|---|---|---|---|---|"
)


def measure(seconds: float) -> None:
    """Make every trial for so many seconds, and print the table."""
    print(HEAD, flush=True)
    for clients in CLIENTS:
        for retry_wait in RETRY_WAITS:
            print(asyncio.run(_run(clients, retry_wait, seconds)).row, flush=True)


class Connection:
    """One connection, one request after the other."""

    def __init__(self, port: int, lines: str) -> None:
        self._port = port
        self._request = f"GET {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self) -> tuple[int, float]:
        """The status, and what Retry-After says."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readuntil(b"\r\n")
        else:
            await self._reader.readexactly(int(length[1]))
        status, wait = _STATUS.match(head), _RETRY_AFTER.search(head)
        assert status is not None
        return int(status[1]), float(wait[1]) if wait else 0.0


async def _run(clients: Clients, retry_wait: float | None, seconds: float) -> Result:
    async with Simulator(SimulatorSettings()) as simulator:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            if retry_wait is None:
                port = int(simulator.api_urls["na"].rpartition(":")[2])
                login = (
                    f"Authorization: Bearer {await _access_token(simulator)}\r\n"
                    f"Amazon-Advertising-API-ClientId: {simulator.app.client_id}\r\n"
                )
                logins = dict.fromkeys(clients.names, login)
            else:
                port = free_port()
                given = retry_wait, clients.names
                process = await asyncio.to_thread(_start, Path(folder), simulator, port, given)
                stack.enter_context(stopped_at_end(process))
                logins = {name: f"Authorization: {_key(name)}\r\n" for name in clients.names}
            scope = f"Amazon-Advertising-API-Scope: {simulator.profiles['na'][0]}\r\n"
            limits, served = simulator.state.limits, Counter[str]()
            limits.rules.append(Limit(rate=_RATE, burst=_RATE, match=Match(path=_PATH)))
            await _for(seconds, [_client(name, port, login + scope, served) for name, login in logins.items()])
            return Result(clients, retry_wait, served, limits.granted, limits.refused)


async def _client(name: str, port: int, lines: str, served: Counter[str]) -> None:
    async with Connection(port, lines) as connection:
        while True:
            status, wait = await connection.ask()
            if status == 200:
                served[name] += 1
            else:
                await asyncio.sleep(_AGAIN if name.startswith("greedy") else wait)


async def _for(seconds: float, work: list[Coroutine[None, None, None]]) -> None:
    tasks = [asyncio.create_task(each) for each in work]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _access_token(simulator: Simulator) -> str:
    app = simulator.app
    form = {"grant_type": "refresh_token", "refresh_token": simulator.refresh_token}
    form.update(client_id=app.client_id, client_secret=app.client_secret)
    async with aiohttp.ClientSession() as session, session.post(simulator.token_urls["na"], data=form) as answer:
        return str((await answer.json())["access_token"])


def _key(name: str) -> str:
    return f"adsproxy_benchmark_{name:_<16}"


def _start(folder: Path, simulator: Simulator, port: int, given: tuple[float, list[str]]) -> Process:
    """Start the proxy, with a configured client for each client of the benchmark."""
    retry_wait, names = given
    checkout, url = this_checkout(), simulator.api_urls["na"]
    config = folder / "proxy.yaml"
    account = {
        "client_id": simulator.app.client_id,
        "client_secret": simulator.app.client_secret,
        "refresh_token": simulator.refresh_token,
        "region": "na",
    }
    clients = [{"name": name, "key_sha256": hashlib.sha256(_key(name).encode()).hexdigest()} for name in names]
    settings = {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "state": {"url": "memory:"},
        "log": {"level": "error", "access": False},
        "regions": {"na": {"api_url": url, "token_url": simulator.token_urls["na"]}},
        "accounts": {"acme": account},
        "clients": clients,
        "upstream": {"retry_wait": retry_wait},
    }
    config.write_text(yaml.safe_dump(settings))
    command = [checkout.python, "-m", "proxy", "serve", "--config", str(config)]
    process = Process(command, folder / "output.log", env=checkout.environment())
    try:
        process.wait_ready(port, headers=f"Authorization: {_key(names[0])}\r\n")
    except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
        process.stop()
        raise
    return process
