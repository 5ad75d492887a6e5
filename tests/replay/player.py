"""Plays the corpus against the whole program, and writes down what came of it; nothing is judged here.

What differs from run to run is masked: times, durations, ports, tokens that are made at random. A chunked body counts
by its payload, since how it is cut depends on how the bytes arrived.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from proxy.audit.records import BEGUN
from tests.replay.amazon import Amazon, shown_body
from tests.replay.corpus import PLACEHOLDER, Change, Corpus, Group
from tests.replay.settings import ACCOUNTS, configuration, limit_clients
from tests.support.patience import PATIENCE
from tests.support.processes import Process, fetch, free_port, until
from tests.support.wire import Wire

SECONDS_PER_DAY = 86_400.0
_TIMES = frozenset(
    (
        "timestamp",
        "duration_ms",
        "upstream_ms",
        "overhead_ms",
        "waited_ms",
        "@timestamp",
        "duration",
        "hash",
        "previous",
        "sequence",
    )
)
_NOT_COMPARED = re.compile(
    r"_sum|_bucket|_created|timestamp|seconds|process_|python_|build_info|upstream_connections|connections|"
    r"in_flight|memory|token_refresh|fast_path|log_|audit_records|profiles|ads_accounts|uptime"
)


@dataclass(slots=True)
class Recording:
    """What came of a session."""

    sent: dict[int, list[str]] = field(default_factory=dict)
    """Case number -> the requests that reached Amazon for it."""
    got: dict[int, str] = field(default_factory=dict)
    """Case number -> what the client read for it: one final response with what preceded it, or how it ended."""
    lines: dict[int, Any] = field(default_factory=dict)
    audit: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))
    metrics: list[dict[str, float]] = field(default_factory=list)
    """For each block of groups, the counters that moved and by how much."""

    def entries(self) -> Iterable[dict[str, Any]]:
        """One JSON object for each case, in order, and one for each block of metrics."""
        for number in sorted(self.got):
            yield {
                "case": number,
                "sent": self.sent.get(number, []),
                "got": self.got[number],
                "line": self.lines.get(number),
                "audit": self.audit.get(number, []),
            }
        for number, moved in enumerate(self.metrics):
            yield {"block": number, "metrics": moved}


class Player:
    """One session: the program, the server that replaces Amazon, and the clients. The program is of a `kind` that
    `program.py` names."""

    def __init__(self, amazon: Amazon, folder: Path, *, kind: str = "usual") -> None:
        self.amazon, self.folder = amazon, folder
        self._kind = kind
        self.recording = Recording()
        self._config, self._calendar = folder / "proxy.yaml", folder / "seconds"
        self._admin_port, self._days, self._variant = free_port(), 0, 0
        self._placeholders = dict.fromkeys(ACCOUNTS, b"none-yet")
        self._counters: dict[str, float] = {}
        self._reloads = 0
        self._process: Process
        self._port = 0

    async def start(self) -> None:
        """The program, until it serves and has listed all profiles."""
        self._calendar.write_bytes(struct.pack("d", 0.0))
        self._write()
        program = Path(__file__).with_name("program.py")
        self._process = await asyncio.to_thread(
            lambda: Process(
                *(sys.executable, "-P", program, self._calendar, self._kind, "serve", "--config", self._config),
                PYTHONPATH=str(Path(__file__).parents[2]),
            )
        )
        started = await asyncio.to_thread(
            self._process.first, lambda line: "listening" in line or line.get("event") == "server_started"
        )
        self._port = int(str(started["listen"]).rpartition(":")[2])
        await asyncio.to_thread(until, self._has_listed)
        self._counters = await self._scrape()

    def _has_listed(self) -> bool:
        found = dict(re.findall(r'ads_proxy_profiles\{account="(\w+)",region="(?:na|eu)"\} ([0-9.]+)', self._metrics()))
        return set(found) == set(ACCOUNTS) and all(
            f'ads_proxy_ads_accounts{{account="{account}"}}' in self._metrics() for account in ACCOUNTS
        )

    def _metrics(self) -> str:
        return fetch(f"http://127.0.0.1:{self._admin_port}/metrics")[1].decode()

    async def stop(self) -> None:
        await asyncio.to_thread(self._process.end)

    def _write(self) -> None:
        values = configuration(self.amazon.port, self._admin_port, self.folder, self._variant)
        if self._kind != "usual":
            limit_clients(values, self._days)
        self._config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    # --- playing

    async def play(self, corpus: Corpus, requests: int) -> Recording:
        async for _ in self._played(corpus, requests):
            pass
        await self._close_block()
        await self.stop()
        self._read_lines()
        return self.recording

    async def _played(self, corpus: Corpus, requests: int) -> AsyncIterator[None]:
        for place, step in enumerate(corpus.steps(requests)):
            if isinstance(step, Change):
                if place:
                    await self._close_block()
                await self._change(step)
            else:
                await self._group(step)
            yield

    async def _change(self, change: Change) -> None:
        if change.days:
            self._days += change.days
            self._calendar.write_bytes(struct.pack("d", self._days * SECONDS_PER_DAY))
        if change.variant is not None and (change.variant != self._variant or self._kind != "usual"):
            self._variant = change.variant
            self._write()
            self._reloads += 1
            wanted = f'ads_proxy_config_reloads_total{{result="success"}} {self._reloads}.0'
            await asyncio.to_thread(until, lambda: wanted in self._metrics())
            self._counters = await self._scrape()

    async def _group(self, group: Group) -> None:
        for cases in group.connections:
            for case in cases:
                self.amazon.replies[case.mark] = case.replies
        try:
            await asyncio.wait_for(self._exchange(group), PATIENCE)
        except TimeoutError:
            waiting = [case for cases in group.connections for case in cases if case.number not in self.recording.got]
            raise AssertionError(f"no answer within {PATIENCE:g} s to {waiting}") from None
        for cases in group.connections:
            for case in cases:
                seen = [self.masked(each) for each in self.amazon.seen.pop(case.mark, [])]
                self.recording.sent[case.number] = seen if self._kind == "usual" else sorted(seen)

    async def _exchange(self, group: Group) -> None:
        clients = [await _connect(self._port) for _ in group.connections]
        for place, piece in group.writes:
            clients[place].send(self._with_placeholders(piece))
            await asyncio.sleep(0)
        for client, cases in zip(clients, group.connections, strict=True):
            for case in cases:
                answer = await _next_answer(client, case.to_head)
                self.recording.got[case.number] = self.masked(answer)
                self._keep_placeholder(case.data, answer)
        for client in clients:
            client.close()
        while self.amazon.closing:
            await asyncio.sleep(0.001)

    def _with_placeholders(self, piece: bytes) -> bytes:
        for account, token in self._placeholders.items():
            piece = piece.replace(PLACEHOLDER % account.encode(), token)
        return piece

    def _keep_placeholder(self, request: bytes, answer: bytes) -> None:
        token = re.search(rb'"access_token": ?"([^"]+)"', answer)
        account = re.search(rb"refresh_token=(\w+)$", request)
        if token and account and account[1].decode() in self._placeholders:
            self._placeholders[account[1].decode()] = token[1]

    def masked(self, data: bytes) -> str:
        data = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")  # none is needed where the body came with the head
        data = re.sub(rb"\r\nDate: (?!Wed, 25 Nov 2026 13:00:00 GMT)[^\r]*", b"\r\nDate: (now)", data)
        data = re.sub(rb"(127\.0\.0\.[1-4]):%d\b" % self.amazon.port, rb"\1:(amazon)", data)
        data = data.replace(b":%d" % self._port, b":(proxy)")
        data = re.sub(rb'"access_token": ?"[^"]+"', b'"access_token": "(placeholder)"', data)
        data = re.sub(rb"(Atza\|\w+)-[0-9]+", rb"\1-(generation)", data)
        data = re.sub(rb"\b[0-9a-f]{12}-[0-9a-f]+\b", b"(new id)", data)
        if len(data) > 20_000:
            data = data[:2_000] + b"(%d bytes)" % (len(data) - 4_000) + data[-2_000:]
        return data.decode("latin-1")

    # --- log, audit and metrics

    async def _close_block(self) -> None:
        counters = await self._scrape()
        moved = {name: value - self._counters.get(name, 0.0) for name, value in counters.items()}
        self.recording.metrics.append({name: value for name, value in sorted(moved.items()) if value})
        self._counters = counters

    async def _scrape(self) -> dict[str, float]:
        text = await asyncio.to_thread(self._metrics)
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        found: dict[str, float] = defaultdict(float)
        for name, _, value in lines:
            if not _NOT_COMPARED.search(name.partition("{")[0]):
                # Whether a refused version's method was read depends on whether the head came in one piece.
                label = re.sub(r'(code="505",method=)"\w+"', r'\1"(any)"', name)
                found[label] += float(value)
        return found

    def request_lines(self) -> list[dict[str, Any]]:
        """The access log, without times."""
        lines = map(_json, self._process.output.lines)
        return [_without_times(line) for line in lines if line.get("event") == "request"]

    def audit_records(self) -> list[dict[str, Any]]:
        """The audit of requests, without times. What one process writes before a write leaves is left out, as workers
        have no such record: one for each write that was sent, and none for another request."""
        texts = (self.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()
        records = [record for record in map(_json, texts) if "http" in record]
        begun = Counter(_id_of(record) for record in records if record["event"]["action"] == BEGUN)
        sent = Counter(_id_of(record) for record in records if record["event"]["action"] == "amazon-write")
        assert begun in (sent, Counter())
        return [_without_times(record) for record in records if record["event"]["action"] != BEGUN]

    def _read_lines(self) -> None:
        for line in self.request_lines():
            number = _case_of(line.get("request_id"))
            if number is not None:
                self.recording.lines[number] = line
        for record in self.audit_records():
            number = _case_of(record.get("http", {}).get("request", {}).get("id"))
            if number is not None:
                self.recording.audit[number].append(record)


def _id_of(record: dict[str, Any]) -> Any:
    return record["http"]["request"]["id"]


async def _connect(port: int) -> Wire:
    """A client's connection; how long it waits is for the whole group to say."""
    _, client = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
    client.patience = None
    return client


async def _next_answer(client: Wire, to_head: bool) -> bytes:
    """The next final response with the interim ones before it; `(ended)` for a missing one."""
    seen = b""
    try:
        while True:
            head = await client.head()
            seen += head + b"\r\n"
            if int(head.split(b" ", 2)[1]) >= 200:
                return seen if to_head else seen + shown_body(head, await client.answer_body(head))
    except EOFError as error:
        return seen + bytes(error.args[0]) + b"(ended)"


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _case_of(identifier: object) -> int | None:
    found = re.fullmatch(r"case-([0-9]+)", identifier) if isinstance(identifier, str) else None
    return int(found[1]) if found else None


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(member) for name, member in value.items() if name not in _TIMES}
    return value


@asynccontextmanager
async def session(folder: Path, *, echoes: bool = False, **program: Any) -> AsyncIterator[Player]:
    """A program that serves, with nothing played yet; `program` is what `Player` takes of it."""
    amazon = Amazon(echoes)
    await amazon.start()
    player = Player(amazon, folder, **program)
    try:
        await player.start()
        yield player
        await player.stop()
    finally:
        await amazon.stop()
