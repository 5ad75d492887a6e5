"""The real program and the real simulator as processes: their configuration, their signals, what they say and show.

`tests/integration/rig.py` starts both with one call for tests that need no more. Nothing is asserted about behaviour
here.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import yaml

from tests.support.patience import PATIENCE
from tests.support.processes import Process, ReadyProcess, fetch, until

REGIONS = ("na", "eu", "fe")


class SimulatedAmazon:
    """The simulator as a process, steered through its control API."""

    def __init__(self, *options: str) -> None:
        self.process = ReadyProcess("proxy.simulator", "--base-port", "0", *options)
        self.facts = self.process.first(lambda line: "control_url" in line)

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}).encode()
        status, answer = fetch(f"{self.facts['control_url']}/control/{path}", data)
        assert status == 200, answer
        return json.loads(answer)

    def look(self, path: str, **query: Any) -> Any:
        return json.loads(fetch(f"{self.facts['control_url']}/control/{path}?{urlencode(query)}")[1])

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.look("counts")
        return found

    def fault(self, fault: dict[str, Any], times: int | None = None, **match: str) -> None:
        self.control("faults", {"fault": fault, "times": times, "match": match})

    def heal(self) -> None:
        """No fault is planned any more."""
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.facts["control_url"]).netloc)) as connection:
            connection.request("DELETE", "/control/faults")
            assert connection.getresponse().read()

    def regions(self) -> dict[str, Any]:
        """`regions:` that leads here."""
        facts = self.facts
        kinds = {"api_url": "api_urls", "token_url": "token_urls", "auth_grant_url": "auth_grant_urls"}
        return {
            name: {**{key: facts[kind][name] for key, kind in kinds.items()}, "mcp_url": facts["mcp_urls"][name]}
            for name in REGIONS
        }

    def account(self, **changes: Any) -> dict[str, Any]:
        """An account of the first app and user."""
        names = ("client_id", "client_secret", "refresh_token")
        return {**{name: self.facts[name] for name in names}, "region": "na", **changes}

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """A configuration with the account `acme`; `changes` are further keys."""
        return {
            "listen": "127.0.0.1:0",
            "admin_listen": "127.0.0.1:0",
            "regions": self.regions(),
            "accounts": {"acme": self.account()},
            "state": {"url": "memory:"},
            **changes,
        }


def replace_file(path: Path, text: str) -> None:
    """In one step: a configuration that is half written is one more reload, which fails. A link stays one."""
    file = path.resolve()
    whole = file.with_name(f"{file.name}.new")
    whole.write_text(text)
    whole.replace(file)


@contextlib.contextmanager
def simulated_amazon(*options: str) -> Iterator[SimulatedAmazon]:
    amazon = SimulatedAmazon(*options)
    try:
        yield amazon
    finally:
        amazon.process.end()


class Serving:
    """`ads-proxy serve` as a process, with a configuration file that a test can rewrite.

    `prefix` is what runs the command, if not the system. Without one, the process begins where the imports end.
    """

    def __init__(
        self, path: Path, configuration: dict[str, Any], prefix: tuple[str | Path, ...] = (), **process: Any
    ) -> None:
        self.path = path
        self.write(configuration)
        command = ("proxy", "serve", "--config", path)
        self.process: Process
        if prefix:
            self.process = Process(*prefix, sys.executable, "-u", "-m", *command, **process)
        else:
            self.process = ReadyProcess(*command, **process)
        line = self.process.first(lambda line: line.get("event") == "server_started")
        scheme = "https" if "tls" in configuration else "http"
        self.proxy_url = f"{scheme}://{line['listen']}"
        self.netloc: str = line["listen"]
        self.admin = f"http://{line['admin_listen']}"
        self.started = line

    def write(self, configuration: dict[str, Any] | str) -> None:
        replace_file(self.path, configuration if isinstance(configuration, str) else yaml.safe_dump(configuration))

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """A client's request."""
        return fetch(self.proxy_url + path, headers=headers)

    def admin_get(self, path: str) -> tuple[int, bytes]:
        return fetch(self.admin + path)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.admin_get("/status")[1])
        return found

    def account(self, name: str = "acme") -> dict[str, Any]:
        """An account as `/status` has it; empty where there is none."""
        accounts: list[dict[str, Any]] = self.status()["accounts"]
        return next((account for account in accounts if account["name"] == name), {})

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels; 0 where there is none."""
        total = 0.0
        for line in self.admin_get("/metrics")[1].decode().splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == f"ads_proxy_{name}":
                has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if labels.items() <= has.items():
                    total += float(found[3])
        return total

    def events(self, event: str, **values: Any) -> list[dict[str, Any]]:
        """The log lines of an event that have these values."""
        wanted = {"event": event, **values}.items()
        return [entry for entry in self.process.output.entries() if wanted <= entry.items()]

    def told(self, event: str, count: int = 1, **values: Any) -> list[dict[str, Any]]:
        """Wait for at least so many `events`: lines come up to a tenth of a second late."""
        self.until(lambda: len(self.events(event, **values)) >= count)
        return self.events(event, **values)

    def until(self, found: Any, patience: float = PATIENCE) -> Any:
        """What `found()` gives once it gives something; on failure the newest log lines are shown, requests apart."""
        return until(found, lambda: "".join(self._notable_lines()[-15:]), patience)

    def _notable_lines(self) -> list[str]:
        lines = list(self.process.output.lines)
        return [line for line in lines if '"event":"request"' not in line] or lines

    def until_ready(self) -> None:
        self.until(lambda: self.admin_get("/readyz")[0] == 200)

    def until_listed(self, account: str = "acme") -> None:
        """Wait until the account's profiles are known in every region, and what else is listed behind them."""
        self.until(lambda: set(self.account(account).get("profiles", {})) == set(REGIONS))
        self.until(lambda: set(self.account(account)["ads_accounts"]) == set(REGIONS))

    def stop(self) -> tuple[int, float]:
        """SIGTERM; its exit code, and how many seconds it took."""
        since = time.monotonic()
        self.process.signal(signal.SIGTERM)
        return self.process.wait(), time.monotonic() - since


@contextlib.contextmanager
def serving(path: Path, configuration: dict[str, Any], **process: Any) -> Iterator[Serving]:
    """`path` is the configuration file to write, or a folder for it."""
    running = Serving(path / "proxy.yaml" if path.is_dir() else path, configuration, **process)
    try:
        yield running
    finally:
        running.process.end()


REUSE = 0.15
"""Seconds: a stopping program serves what comes so soon behind an answer. It closes idle connections a little later."""


@dataclass
class Load:
    """Clients that send requests without pause, each over one kept connection or over a new one for each request.

    `late` are those `failures` that a client itself caused: it was so slow that the connection may have been closed as
    idle.
    """

    serving: Serving
    paths: tuple[str, ...] = ("/v2/profiles",)
    method: str = "GET"
    workers: int = 4
    pause: float = 0.0
    keep: bool = True
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Load:
        self._stop, self._counting = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.workers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    @property
    def total(self) -> int:
        return sum(self.statuses.values())

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            self.connections += 1
            connection = http.client.HTTPConnection(self.serving.netloc, timeout=PATIENCE)
            last = time.monotonic()
            try:
                while not self._stop.is_set():
                    number += 1
                    began = time.monotonic()
                    answer = self._ask(connection, self.paths[number % len(self.paths)], last)
                    last = began
                    answer.read()
                    with self._counting:
                        self.statuses[answer.status] += 1
                    if self.pause:
                        self._stop.wait(self.pause)
                    if answer.will_close or not self.keep:
                        break
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                self._stop.wait(0.01)
            finally:
                connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str, last: float) -> http.client.HTTPResponse:
        """The answer to a request; `last` is when the one before began, or the connection."""
        idle = 0.0
        try:
            try:
                connection.request(self.method, path)
            finally:
                idle = time.monotonic() - last
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            if idle >= REUSE:
                self.late.append(repr(error))
            raise


def burst(serving: Serving, paths: list[str], headers: dict[str, str] | None = None) -> list[int]:
    """The statuses of requests that are sent all at once, each on a connection of its own."""

    async def send() -> list[int]:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(serving.proxy_url, connector=connector) as session:

            async def one(path: str) -> int:
                async with session.get(path, headers=headers) as answer:
                    await answer.read()
                    return answer.status

            return await asyncio.gather(*(one(path) for path in paths))

    return asyncio.run(send())
