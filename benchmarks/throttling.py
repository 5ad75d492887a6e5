"""How fair the proxy is where Amazon limits: greedy tools and a modest one against the simulator's limiter.

Over real sockets: the proxy as a process of its own, the simulator and the tools in this one. A greedy tool asks again
as soon as it is answered, the modest one asks once a second and takes what it gets. What they get is set beside what
one polite tool gets of the same limiter, straight from it: one that waits as long as it is told.
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
_AGAIN = 0.01
"""Seconds after which a greedy tool that was refused asks again."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: *(\d+)")


@dataclass(frozen=True, slots=True)
class Trial:
    """So many greedy tools, a limit of so many requests a second, and how long the proxy lets a request wait."""

    greedy: int
    rate: float
    retry_wait: float


TRIALS = tuple(Trial(*given, wait) for given in ((8, 10.0), (40, 50.0)) for wait in (0.0, 20.0))


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a trial: `polite` is what one polite tool gets, the other numbers are of all tools together."""

    trial: Trial
    polite: int
    good: int
    vain: int
    shares: tuple[int, ...]
    modest: tuple[int, int]

    @property
    def row(self) -> str:
        trial, (served, asked) = self.trial, self.modest
        cells = (
            f"{trial.greedy} greedy, 1 modest; {trial.rate:g} a second",
            f"{trial.retry_wait:g}",
            f"{self.good / self.polite:.0%}",
            f"{self.vain / self.good:.2f}",
            f"{min(self.shares) / max(self.shares):.2f}",
            f"{served / asked:.0%}",
        )
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| tools and limit | `retry_wait` | good work beside one polite tool's | in vain for each good one | "
    "min/max over the greedy | the modest one served |\n|---|---|---|---|---|---|"
)


def measure(seconds: float) -> None:
    """Make every trial for so many seconds, and print the table."""
    print(HEAD, flush=True)
    polite = {rate: asyncio.run(_polite(rate, seconds)) for rate in {trial.rate for trial in TRIALS}}
    for trial in TRIALS:
        print(asyncio.run(_run(trial, polite[trial.rate], seconds)).row, flush=True)


class Tool:
    """One connection, one request after the other."""

    def __init__(self, port: int, lines: str) -> None:
        self._port = port
        self._request = f"GET {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Tool:
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


async def _run(trial: Trial, polite: int, seconds: float) -> Result:
    async with Simulator(SimulatorSettings()) as simulator:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            port, names = free_port(), [f"greedy-{number}" for number in range(trial.greedy)]
            process = await asyncio.to_thread(
                _start, Path(folder), simulator, port, (trial.retry_wait, [*names, "modest"])
            )
            stack.enter_context(stopped_at_end(process))
            scope = simulator.profiles["na"][0]
            _limit(simulator, trial.rate)
            served: Counter[str] = Counter()
            asked: Counter[str] = Counter()
            tools = [_tool(name, port, scope, (served, asked)) for name in (*names, "modest")]
            await _for(seconds, tools)
            limits = simulator.state.limits
            shares = tuple(served[name] for name in names)
            return Result(trial, polite, limits.granted, limits.refused, shares, (served["modest"], asked["modest"]))


async def _tool(name: str, port: int, scope: str, counts: tuple[Counter[str], Counter[str]]) -> None:
    served, asked = counts
    lines = f"Authorization: {_key(name)}\r\nAmazon-Advertising-API-Scope: {scope}\r\n"
    async with Tool(port, lines) as tool:
        while True:
            asked[name] += 1
            status, _ = await tool.ask()
            served[name] += status == 200
            await asyncio.sleep(1.0 if name == "modest" else 0.0 if status == 200 else _AGAIN)


async def _polite(rate: float, seconds: float) -> int:
    """How many one tool gets of the limiter that waits as long as it is told."""
    async with Simulator(SimulatorSettings()) as simulator:
        token = await _access_token(simulator)
        lines = (
            f"Authorization: Bearer {token}\r\nAmazon-Advertising-API-ClientId: {simulator.app.client_id}\r\n"
            f"Amazon-Advertising-API-Scope: {simulator.profiles['na'][0]}\r\n"
        )
        _limit(simulator, rate)

        async def ask() -> None:
            async with Tool(int(simulator.api_urls["na"].rpartition(":")[2]), lines) as tool:
                while True:
                    status, wait = await tool.ask()
                    if status != 200:
                        await asyncio.sleep(max(wait, _AGAIN))

        await _for(seconds, [ask()])
        return simulator.state.limits.granted


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


def _limit(simulator: Simulator, rate: float) -> None:
    simulator.state.limits.rules.append(Limit(rate=rate, burst=rate, match=Match(path=_PATH)))


def _key(name: str) -> str:
    return f"adsproxy_benchmark_{name:_<16}"


def _start(folder: Path, simulator: Simulator, port: int, given: tuple[float, list[str]]) -> Process:
    """The proxy, with a client for each tool."""
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
