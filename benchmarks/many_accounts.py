"""What ten thousand accounts cost: start, reload, console, `/status`, scrape, memory, and who waits meanwhile.

`python -m benchmarks accounts --count 10000`. The accounts are in files of `accounts_from`, a thousand in
each. Requests come at a fixed rate, whether earlier ones are answered or not, over all accounts in turn; what one waits
counts from the moment when it was due. Quiet stretches and stretches in which somebody looks take turns, so that a
machine that is busy with other things slows both.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.checkout import Checkout, Setting, configuration, this_checkout
from benchmarks.processes import BenchmarkError, Process, free_port, stopped_at_end
from benchmarks.progress import Progress
from benchmarks.upstream import Upstream, start_upstream

PER_FILE = 1000
PROFILES = 10
"""How many profiles each account has in its home region."""
RATE = 400
"""Requests a second."""
CONNECTIONS = 16
_GZIP = b"\x1f\x8b"
_START_WITHIN = 900.0
_SCRAPE_EVERY, _CONSOLE_EVERY = 5.0, 2.0
_LOOKED, _BETWEEN_LOOKS = 5, 2.0


@dataclass(frozen=True, slots=True)
class Waited:
    """Seconds: of the requests of one stretch."""

    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Look:
    """A request to the admin listener: seconds, seconds of CPU and bytes of an answer, medians of several."""

    seconds: float
    cpu: float
    size: int


@dataclass(frozen=True, slots=True)
class Stretches:
    """Pairs of stretches: without, and with what is measured."""

    quiet: tuple[Waited, ...]
    busy: tuple[Waited, ...]

    @property
    def ratio(self) -> float:
        """The ratio of the p99, as the median of the pairs."""
        return statistics.median(busy.p99 / quiet.p99 for quiet, busy in zip(self.quiet, self.busy, strict=True))


@dataclass(frozen=True, slots=True)
class Findings:
    """Seconds and bytes. `starting` is the CPU of a start until it listens; `tokens` and `lists` are until all accounts
    have theirs."""

    accounts: int
    listening: float
    starting: float
    tokens: float
    lists: float
    memory: int
    looks: dict[str, Look]
    watched: Stretches
    reload: Stretches
    reload_seconds: float


class Program:
    """The program with so many accounts, and its addresses."""

    def __init__(self, source: Checkout, upstream: Upstream, work: Path, count: int) -> None:
        self.port, self.admin = free_port(), free_port()
        self.count, self._work = count, work
        config = configuration(upstream, Setting(), self.port, self.admin)
        config |= {"accounts": {}, "accounts_from": ["accounts.d/*.yaml"], "state": {"url": "file:state"}}
        config["upstream"] = {"max_connections": 64}
        config["log"] = {"level": "warning"}
        (work / "accounts.d").mkdir(parents=True)
        for number in range(0, count, PER_FILE):
            self.write_accounts(number)
        (work / "proxy.yaml").write_text(yaml.safe_dump(config))
        command = [source.python, "-m", "proxy", "serve", "--config", str(work / "proxy.yaml")]
        self.process = Process(command, work / "output.log", env=source.environment())

    def write_accounts(self, first: int, default_profile: int | None = None) -> None:
        """The file that begins with this account; `default_profile` is a place in the list of each of them."""
        names = range(first, min(first + PER_FILE, self.count))
        entries = "".join(
            f"  {name_of(number)}:\n    client_id: amzn1.application-oa2-client.{number:032x}\n"
            f"    client_secret: benchmark-secret-{number:040x}\n    refresh_token: Atzr|{number:0300x}\n"
            + ("" if default_profile is None else f"    default_profile: '{profile_of(number, default_profile)}'\n")
            for number in names
        )
        new = self._work / "accounts.d" / f".{first:06}"
        new.write_text(f"accounts:\n{entries}")
        new.replace(new.with_name(f"{first:06}.yaml"))

    def ask(self, path: str, **headers: str) -> bytes:
        """An answer of the admin listener."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=300) as answer:
            return bytes(answer.read())

    def metric(self, name: str, *labels: str, series: bool = False) -> float:
        """The sum of a metric's series that have these labels, or how many there are."""
        body = self.ask("/metrics", **{"Accept-Encoding": "gzip"})
        text = gzip.decompress(body) if body.startswith(_GZIP) else body
        lines = (line for line in text.decode().splitlines() if line.startswith(f"ads_proxy_{name}"))
        return sum(
            1 if series else float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels)
        )

    def states(self) -> dict[str, int]:
        """How many accounts are in which state."""
        counts: dict[str, int] = json.loads(self.ask("/status"))["account_counts"]["states"]
        return counts

    def wait(self, found: Callable[[], bool], pause: float) -> float:
        """Seconds from the start of the process until this holds."""
        while time.monotonic() - self.process.started_at < _START_WITHIN:
            with contextlib.suppress(OSError):
                if found():
                    return time.monotonic() - self.process.started_at
            time.sleep(pause)
        raise BenchmarkError(f"not ready within {_START_WITHIN:.0f} seconds: {self.process.last_words()}")


def name_of(number: int) -> str:
    return f"account-{number:05}"


def profile_of(number: int, place: int) -> int:
    """One of the account's profiles: an unlisted one would cause the proxy to read the lists again."""
    return 1_000_000_000_000 + number * 100 + place


# --- the load


class _Connection(asyncio.Protocol):
    """One request at a time; `answered` is set when an answer is whole."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.failed = 0
        self._left = 0
        self._head = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> None:
        self.answered.clear()
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._head += data
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self.failed += not head.startswith(b"HTTP/1.1 200")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._left, data = int(length), rest
        self._left -= len(data)
        if self._left <= 0:
            self.answered.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _send(program: Program, seconds: float, first: int) -> Waited:
    """Requests at the fixed rate, and how long each waited."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Connection, "127.0.0.1", program.port) for _ in range(CONNECTIONS)]
    connections = [connection for _, connection in made]
    waited: list[float] = []
    began = loop.time() + 0.1

    async def work(place: int, connection: _Connection) -> None:
        for number in range(place, int(seconds * RATE), CONNECTIONS):
            due = began + number / RATE
            await asyncio.sleep(due - loop.time())
            name = name_of((first + number) % program.count)
            connection.send(f"GET /@{name}/sd/campaigns/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await connection.answered.wait()
            waited.append(loop.time() - due)

    await asyncio.gather(*(work(place, connection) for place, connection in enumerate(connections)))
    failed = sum(connection.failed for connection in connections)
    for connection in connections:
        connection.close()
    if failed:
        raise BenchmarkError(f"{failed} of {len(waited)} requests were not answered 200")
    waited.sort()
    return Waited(waited[len(waited) // 2], waited[len(waited) * 99 // 100], waited[-1])


async def _look(program: Program, path: str) -> None:
    """Ask the admin listener as a browser or a scraper does, and read the answer without looking into it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", program.admin)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    while await reader.read(1 << 18):
        pass
    writer.close()


async def _watch(program: Program) -> None:
    """Keep the console open, and scrape as Prometheus does."""

    async def again(path: str, every: float) -> None:
        while True:
            await asyncio.gather(_look(program, path), asyncio.sleep(every))

    await asyncio.gather(again("/console/state", _CONSOLE_EVERY), again("/metrics", _SCRAPE_EVERY))


async def _pairs(program: Program, rounds: int, seconds: int, busy: Callable[[int], Awaitable[None]]) -> Stretches:
    quiet: list[Waited] = []
    with_it: list[Waited] = []
    for number in range(rounds):
        quiet.append(await _send(program, seconds, number * 7919))
        task = asyncio.ensure_future(busy(number))
        with_it.append(await _send(program, seconds, number * 7919))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return Stretches(tuple(quiet), tuple(with_it))


# --- all of it


def measure(count: int, rounds: int, seconds: int) -> Findings:
    """With so many accounts, each with its profiles."""
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    progress = Progress()
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        _write_profiles(work / "upstream" / "files" / "profiles", count)
        program = Program(this_checkout(), upstream, work / "proxy", count)
        stack.enter_context(stopped_at_end(program.process))
        for process in (upstream.process, program.process):
            process.use(set(range(os.cpu_count() or 1)))
        listening = program.wait(lambda: bool(program.ask("/livez")), 0.05)
        starting = program.process.cpu()
        progress.say(f"listens after {listening:.1f} s, {starting:.1f} s of CPU")
        tokens = program.wait(lambda: program.states().get("valid") == count, 3)
        progress.say(f"all tokens after {tokens:.0f} s")
        lists = program.wait(lambda: program.metric("ads_accounts{", series=True) == count, 10)
        asyncio.run(_send(program, count / RATE, 0))
        memory = program.process.memory().pss
        progress.say(f"all lists after {lists:.0f} s")
        looks = {path: _measure_look(program, path) for path in _LOOKS}
        watched = asyncio.run(_pairs(program, rounds, seconds, lambda _: _watch(program)))
        before = program.metric("config_reloads_total", "success")
        reload = asyncio.run(_pairs(program, rounds, seconds, lambda number: _change(program, number)))
        program.wait(lambda: program.metric("config_reloads_total", "success") >= before + rounds, 0.2)
        took = _reload(program)
        return Findings(count, listening, starting, tokens, lists, memory, looks, watched, reload, took)


_LOOKS = ("/metrics", "/status", "/console/state", "/livez")


async def _change(program: Program, number: int) -> None:
    """A file of accounts changes."""
    await asyncio.sleep(0.5)
    program.write_accounts(0, number % PROFILES)


def _reload(program: Program) -> float:
    """Seconds from a changed file until it is in force."""
    before = program.metric("config_reloads_total", "success")
    program.write_accounts(0)
    began = time.monotonic()
    while program.metric("config_reloads_total", "success") == before:
        time.sleep(0.1)
    return time.monotonic() - began


def _measure_look(program: Program, path: str) -> Look:
    times, costs, size = [], [], 0
    for _ in range(_LOOKED):
        time.sleep(_BETWEEN_LOOKS)
        began, spent = time.monotonic(), program.process.cpu()
        size = len(program.ask(path, **{"Accept-Encoding": "gzip"}))
        times.append(time.monotonic() - began)
        costs.append(program.process.cpu() - spent)
    return Look(statistics.median(times), statistics.median(costs), size)


def _write_profiles(folder: Path, count: int) -> None:
    for number in range(count):
        profiles = [
            {
                "profileId": profile_of(number, place),
                "countryCode": "US",
                "currencyCode": "USD",
                "timezone": "America/Los_Angeles",
                "accountInfo": {"id": f"A{number}", "type": "seller", "name": f"Advertiser {number}-{place}"},
            }
            for place in range(PROFILES)
        ]
        (folder / f"amzn1.application-oa2-client.{number:032x}").write_text(json.dumps(profiles))


def report(found: Findings) -> Iterator[str]:
    """The costs as lines for people."""
    yield f"{found.accounts} accounts with {found.accounts * PROFILES} profiles"
    yield f"start: listens after {found.listening:.1f} s, {found.starting:.1f} s of CPU"
    yield f"start: has all tokens after {found.tokens:.0f} s, and all lists after {found.lists:.0f} s"
    yield f"memory: {found.memory / 2**20:.0f} MiB"
    for path, look in found.looks.items():
        yield f"{path}: {look.seconds * 1e3:.0f} ms, {look.cpu * 1e3:.0f} ms of CPU, {look.size / 1024:.0f} KiB"
    for name, pairs in (("console and scrape", found.watched), ("reload", found.reload)):
        quiet, busy = (statistics.median(each.p99 for each in side) * 1e3 for side in (pairs.quiet, pairs.busy))
        longest = max(each.longest for each in pairs.busy) * 1e3
        yield f"{name}: p99 {quiet:.1f} ms without, {busy:.1f} ms with, ratio {pairs.ratio:.2f}"
        yield f"{name}: the longest that a request waited: {longest:.0f} ms"
    yield f"a changed file is in force after {found.reload_seconds:.1f} s"
