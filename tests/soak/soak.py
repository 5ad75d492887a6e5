"""A soak: tools of several kinds, troubles one after another, kills, stops and reloads, and the reckoning at the end.

python -m tests.soak --seconds 1800
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.tools import Asked, asking
from tests.soak.troubles import TROUBLES, Outcomes, Trouble, plan_early_answers
from tests.support.processes import free_port
from tests.support.running import Serving, SimulatedAmazon, simulated_amazon

TOKEN_LIFETIME = 5
TROUBLE_LASTS = 1.5
CALM_LASTS = 1.0
AFTERMATH = 1.0
"""Seconds for which a trouble that has ended may still be felt."""
ALWAYS: Outcomes = frozenset((200, 413))
KILLED: Outcomes = frozenset(("refused", "ended", "cut"))
STOPPED: Outcomes = frozenset(("refused", 503))


@dataclass(frozen=True)
class Footprint:
    """What a program holds while nothing is asked of it."""

    files: int
    threads: int
    memory_kib: int
    tools: int
    in_flight: int


@dataclass
class Soak:
    """See the module's docstring. `windows` are (name, from, to, what may happen)."""

    folder: Path
    amazon: SimulatedAmazon
    windows: list[tuple[str, float, float, Outcomes]] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    logs: list[list[str]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.configuration = self.amazon.configuration(
            listen=f"127.0.0.1:{free_port()}",
            admin_listen=f"127.0.0.1:{free_port()}",
            upstream={"connect_timeout": 2, "response_timeout": 3},
            drain={"timeout": 10},
        )
        self.running = self._start()

    def _start(self) -> Serving:
        running = Serving(self.folder / "proxy.yaml", self.configuration)
        self.logs.append(running.process.output.lines)
        running.until_ready()
        return running

    # --- what happens

    @contextlib.contextmanager
    def _window(self, name: str, allowed: Outcomes) -> Iterator[None]:
        began = time.monotonic()
        self.done[name] += 1
        yield
        self.windows.append((name, began, time.monotonic() + AFTERMATH, allowed))

    def trouble(self, trouble: Trouble) -> None:
        with self._window(trouble.name, trouble.allowed):
            trouble.begin(self.amazon)
            time.sleep(TROUBLE_LASTS)
            trouble.end(self.amazon)
            self.amazon.heal()
            plan_early_answers(self.amazon)

    def stop(self) -> None:
        with self._window("stop", STOPPED):
            code, _ = self.running.stop()
            assert code == 0, self.running.process.text[-2000:]
            self.running.process.end()
            self.running = self._start()

    def kill(self) -> None:
        with self._window("kill", KILLED):
            self.killed.add(len(self.logs) - 1)
            self.running.process.signal(signal.SIGKILL)
            self.running.process.wait()
            self.running.process.end()
            self.running = self._start()

    def reload(self) -> None:
        with self._window("reload", frozenset()):
            level = "debug" if self.done["reload"] % 2 else "info"
            self.running.write({**self.configuration, "log": {"level": level}})
            self.running.process.signal(signal.SIGHUP)

    # --- the whole

    def run(self, seconds: float) -> dict[str, Any]:
        """The summary."""
        plan_early_answers(self.amazon)
        end, number = time.monotonic() + seconds, 0
        with asking(self.running.netloc) as tools:
            order = random.Random(1).sample(TROUBLES, len(TROUBLES))
            for _ in range(max(1, int(seconds / 90))):
                for act in (self.stop, self.kill, self.reload, self.stop):
                    time.sleep(CALM_LASTS)
                    act()
        asked = [one for tool in tools for one in tool.asked]
        with asking(self.running.netloc) as tools:
            for number, trouble in enumerate(itertools.cycle(order), 1):
                time.sleep(CALM_LASTS)
                self.trouble(trouble)
                if number % 5 == 0:
                    self.reload()
                if number >= len(order) // 2 and time.monotonic() > end - (end - time.monotonic()) / 2:
                    break
                if number == len(order):
                    break
        asked += [one for tool in tools for one in tool.asked]
        before = self.footprint(0)
        with asking(self.running.netloc) as tools:
            for trouble in itertools.cycle(order):
                time.sleep(CALM_LASTS)
                self.trouble(trouble)
                number += 1
                if number % 5 == 0:
                    self.reload()
                if time.monotonic() > end:
                    break
        asked += [one for tool in tools for one in tool.asked]
        return self.reckoned(asked, before, self.footprint(before.files))

    def footprint(self, files: int) -> Footprint:
        """Taken when nothing runs; a connection to LWA that is kept for a while is waited out down to so many files."""
        running, process = self.running, Path(f"/proc/{self.running.process.pid}")
        running.until(lambda: running.metric("requests_in_flight") == 0, 60)
        running.until(lambda: running.status()["connections"]["tools"] == 0, 60)
        self.amazon.control("connections/close")
        running.until(lambda: running.metric("upstream_connections") == 0, 60)
        with contextlib.suppress(AssertionError):
            running.until(lambda: len(list((process / "fd").iterdir())) <= (files or 10**6), 30)
        return Footprint(
            files=len(list((process / "fd").iterdir())),
            threads=len(list((process / "task").iterdir())),
            memory_kib=running.process.resident_kib,
            tools=running.status()["connections"]["tools"],
            in_flight=int(running.metric("requests_in_flight") + running.metric("waiting_requests")),
        )

    def reckoned(self, asked: list[Asked], before: Footprint, after: Footprint) -> dict[str, Any]:
        """What was lost, what is left over, and whether both sides counted the same."""
        self.running.until(lambda: self._logged_last() == self.running.metric("requests_total"), 30)
        lost = [one for one in asked if one.outcome not in self.allowed(one)]
        return {
            "requests": len(asked),
            "outcomes": dict(Counter(f"{one.kind}: {one.outcome}" for one in asked).most_common()),
            "happened": dict(self.done),
            "lost": [f"{one.kind}: {one.outcome} amid {self.names(one)}" for one in lost],
            "miscounted": self.miscounted(asked),
            "before": before,
            "after": after,
            "defects": [line for log in self.logs for line in log if '"defect_met"' in line or "Traceback" in line],
        }

    def _overlapping(self, one: Asked) -> list[tuple[str, float, float, Outcomes]]:
        return [window for window in self.windows if window[1] < one.ended and one.began < window[2]]

    def allowed(self, one: Asked) -> Outcomes:
        always = ALWAYS | {429} if one.kind == "throttled" else ALWAYS
        return always.union(*(window[3] for window in self._overlapping(one)))

    def names(self, one: Asked) -> str:
        return ", ".join(window[0] for window in self._overlapping(one)) or "calm"

    def _logged_last(self) -> int:
        return sum('"event":"request"' in line for line in list(self.logs[-1]))

    def miscounted(self, asked: list[Asked]) -> list[str]:
        """Requests that the log has otherwise, or not at all; but of killed programs, whose last lines are lost."""
        logged: dict[str, int] = {}
        excused: set[str] = set()
        for number, log in enumerate(self.logs):
            for entry in entries(log):
                logged[entry["request_id"]] = entry["status"]
                if number in self.killed:
                    excused.add(entry["request_id"].split("-")[0])
        told = [one for one in asked if one.request_id and one.request_id.split("-")[0] not in excused]
        return [
            f"{one.request_id}: {one.outcome} told, {logged.get(one.request_id)} logged"
            for one in told
            if one.outcome != "cut" and logged.get(one.request_id) != one.outcome
        ]


def entries(log: list[str]) -> Iterator[dict[str, Any]]:
    """The lines of requests in a log."""
    for line in list(log):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") == "request":
                yield entry


@contextlib.contextmanager
def soaking(folder: Path) -> Iterator[Soak]:
    with simulated_amazon("--access-token-lifetime", str(TOKEN_LIFETIME)) as amazon:
        soak = Soak(folder, amazon)
        try:
            yield soak
        finally:
            soak.running.process.end()


def failures(summary: dict[str, Any]) -> list[str]:
    """What must not be; empty where all is well."""
    before, after = summary["before"], summary["after"]
    found = [f"lost: {line}" for line in summary["lost"]] + [f"miscounted: {line}" for line in summary["miscounted"]]
    found += [f"defect: {line}" for line in summary["defects"]]
    for name in ("files", "threads", "tools", "in_flight"):
        if getattr(after, name) > getattr(before, name):
            found.append(f"left over: {name} were {getattr(before, name)}, are {getattr(after, name)}")
    if after.memory_kib > before.memory_kib * 1.05:
        found.append(f"memory grew from {before.memory_kib} to {after.memory_kib} KiB")
    return found
