"""A soak: clients of several kinds, troubles one after another, kills, stops and reloads, and the reckoning at the end.

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

from tests.soak.clients import Asked, asking
from tests.soak.disruptions import AT_THE_STATE, DISRUPTIONS, NOTHING, Disruption, Outcomes, plan_early_answers
from tests.support.processes import free_port
from tests.support.running import Serving, SimulatedAmazon, simulated_amazon

TOKEN_LIFETIME = 5
THREADS_OF_POOL = 4
"""The event loop's pool makes its threads, six at most on two cores, only as they are needed; some are there before."""
DISRUPTION_LASTS = 1.5
CALM_LASTS = 1.0
"""Seconds, both; `Soak.pace` says how much of them."""
AFTERMATH = 1.0
"""Seconds for which a disruption that has ended may still be felt."""
ALWAYS: Outcomes = frozenset((200,))
OF_THEIR_KIND: dict[str, Outcomes] = {"early answers": frozenset((413,)), "throttled": frozenset((429,))}
"""What only these kinds may come to at all times."""
KILLED: Outcomes = frozenset(("refused", "ended", "cut"))
STOPPED: Outcomes = frozenset(("refused", 503))


@dataclass(frozen=True)
class Footprint:
    """What a program holds while nothing is asked of it. `amazon` counts connections to the Ads API."""

    files: int
    threads: int
    memory_kib: int
    clients: int
    amazon: int
    in_flight: int
    names: tuple[str, ...]
    """What the files are."""


@dataclass
class Soak:
    """A soak of a program with troubles one after another. `windows` are (disruption, from, to); a `pace` of 0.2 is
    five times as fast."""

    folder: Path
    amazon: SimulatedAmazon
    pace: float = 1.0
    windows: list[tuple[Disruption, float, float]] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    logs: list[list[str]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.configuration = self.amazon.configuration(
            listen=f"127.0.0.1:{free_port()}",
            admin_listen=f"127.0.0.1:{free_port()}",
            upstream={"connect_timeout": 2, "response_timeout": 3},
            drain={"timeout": 10},
            state={"url": f"file:{self.folder / 'state'}"},
        )
        self.running = self._start()

    def _start(self) -> Serving:
        running = Serving(self.folder / "proxy.yaml", self.configuration)
        self.logs.append(running.process.output.lines)
        running.until_ready()
        return running

    # --- what happens

    @contextlib.contextmanager
    def _window(self, disruption: Disruption) -> Iterator[None]:
        began = time.monotonic()
        self.done[disruption.name] += 1
        yield
        self.windows.append((disruption, began, time.monotonic() + AFTERMATH))

    def _act(self, name: str, allowed: Outcomes = NOTHING) -> contextlib.AbstractContextManager[None]:
        """Something of our own doing."""
        return self._window(Disruption(name, lambda _amazon: None, allowed))

    def disruption(self, disruption: Disruption) -> None:
        with self._window(disruption):
            disruption.begin(self.amazon)
            time.sleep(DISRUPTION_LASTS * self.pace)
            disruption.end(self.amazon)
            self.amazon.heal()
            plan_early_answers(self.amazon)

    def stop(self) -> None:
        with self._act("stop", STOPPED):
            code, _ = self.running.stop()
            assert code == 0, self.running.process.text[-2000:]
            self.running.process.end()
            self.running = self._start()

    def kill(self) -> None:
        with self._act("kill", KILLED):
            self.killed.add(len(self.logs) - 1)
            self.running.process.signal(signal.SIGKILL)
            self.running.process.wait()
            self.running.process.end()
            self.running = self._start()

    def reload(self) -> None:
        with self._act("reload"):
            level = "debug" if self.done["reload"] % 2 else "info"
            self.running.write({**self.configuration, "log": {"level": level}})
            self.running.process.signal(signal.SIGHUP)

    def harm_state(self) -> None:
        """Damage the state: what the program holds is written again, and the directory watched again."""
        watches = self._watches()
        for name, harm in AT_THE_STATE:
            with self._act(name):
                harm(self.folder / "state")
                self.running.until(lambda: any((self.folder / "state").glob("account-*")), 30)
                self.running.until(lambda: self._watches() == watches, 30)

    def _watches(self) -> int:
        return self._open_files().count("anon_inode:inotify")

    def _open_files(self) -> list[str]:
        found = []
        for each in Path(f"/proc/{self.running.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(each.readlink()))
        return sorted(found)

    # --- the whole

    def run(self, seconds: float) -> dict[str, Any]:
        """The summary."""
        plan_early_answers(self.amazon)
        end, number = time.monotonic() + seconds, 0
        with asking(self.running.netloc) as tools:
            order = random.Random(1).sample(DISRUPTIONS, len(DISRUPTIONS))
            for _ in range(max(1, int(seconds / 90))):
                for act in (self.stop, self.kill, self.reload, self.stop):
                    time.sleep(CALM_LASTS * self.pace)
                    act()
        asked = [one for tool in tools for one in tool.asked]
        with asking(self.running.netloc) as tools:
            for number, disruption in enumerate(order, 1):
                time.sleep(CALM_LASTS * self.pace)
                self.disruption(disruption)
                if number % 5 == 0:
                    self.reload()
            self.harm_state()
        asked += [one for tool in tools for one in tool.asked]
        before = self.footprint(0)
        with asking(self.running.netloc) as tools:
            for disruption in itertools.cycle(order):
                time.sleep(CALM_LASTS * self.pace)
                self.disruption(disruption)
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
        running.until(lambda: running.status()["connections"]["clients"] == 0, 60)
        self.amazon.control("connections/close")
        running.until(lambda: self._to_amazon() == 0, 60)
        with contextlib.suppress(AssertionError):
            running.until(lambda: len(self._open_files()) <= (files or 10**6), 30)
        names = tuple(self._open_files())
        return Footprint(
            files=len(names),
            threads=len(list((process / "task").iterdir())),
            memory_kib=running.process.resident_kib,
            clients=running.status()["connections"]["clients"],
            amazon=self._to_amazon(),
            in_flight=int(running.metric("requests_in_flight")),
            names=names,
        )

    def _to_amazon(self) -> int:
        counted: dict[str, int] = self.running.status()["connections"]
        return sum(count for name, count in counted.items() if ":" in name)

    def reckoned(self, asked: list[Asked], before: Footprint, after: Footprint) -> dict[str, Any]:
        """What was lost, what is left over, and whether both sides counted the same."""
        self.running.until(lambda: self._logged_last() == self.running.metric("requests_total"), 30)
        lost = [one for one in asked if one.outcome not in self.allowed(one)]
        return {
            "requests": len(asked),
            "outcomes": dict(Counter(f"{one.kind}: {one.outcome}" for one in asked).most_common()),
            "happened": dict(self.done),
            "lost": [f"{one.kind}: {one.outcome} during {self.names(one)}" for one in lost],
            "miscounted": self.miscounted(asked),
            "before": before,
            "after": after,
            "defects": [line for log in self.logs for line in log if '"defect_met"' in line or "Traceback" in line],
        }

    def _overlapping(self, one: Asked) -> list[tuple[Disruption, float, float]]:
        return [window for window in self.windows if window[1] < one.ended and one.began < window[2]]

    def allowed(self, one: Asked) -> Outcomes:
        always = ALWAYS | OF_THEIR_KIND.get(one.kind, NOTHING)
        return always.union(*(disruption.allows(one.kind) for disruption, _, _ in self._overlapping(one)))

    def names(self, one: Asked) -> str:
        return ", ".join(disruption.name for disruption, _, _ in self._overlapping(one)) or "calm"

    def _logged_last(self) -> int:
        return sum('"event":"request"' in line for line in list(self.logs[-1]))

    def miscounted(self, asked: list[Asked]) -> list[str]:
        """Requests that the log has otherwise, or not at all, or that no client made; killed programs lose their
        last."""
        logged: dict[str, int] = {}
        excused: set[str] = set()
        for number, log in enumerate(self.logs):
            for entry in entries(log):
                logged[entry["request_id"]] = entry["status"]
                if number in self.killed:
                    excused.add(entry["request_id"].split("-")[0])
        told = [one for one in asked if one.request_id and one.request_id.split("-")[0] not in excused]
        wrong = [
            f"{one.request_id}: {one.outcome} told, {logged.get(one.request_id)} logged"
            for one in told
            if one.outcome != "cut" and logged.get(one.request_id) != one.outcome
        ]
        unseen = {name for name in logged if name.split("-")[0] not in excused} - {one.request_id for one in told}
        nameless = sum(not one.request_id for one in asked)
        if len(unseen) > nameless:
            wrong.append(f"{len(unseen)} requests are in the log alone, and only {nameless} clients got no head")
        return wrong


def entries(log: list[str]) -> Iterator[dict[str, Any]]:
    """The lines of requests in a log."""
    for line in list(log):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") == "request":
                yield entry


@contextlib.contextmanager
def soaking(folder: Path, pace: float = 1.0) -> Iterator[Soak]:
    with simulated_amazon("--access-token-lifetime", str(TOKEN_LIFETIME)) as amazon:
        amazon.control("settings", {"rotation": "grace"})
        soak = Soak(folder, amazon, pace)
        try:
            yield soak
        finally:
            soak.running.process.end()


def failures(summary: dict[str, Any]) -> list[str]:
    """What must not be; empty where all is well."""
    before, after = summary["before"], summary["after"]
    found = [f"lost: {line}" for line in summary["lost"]] + [f"miscounted: {line}" for line in summary["miscounted"]]
    found += [f"defect: {line}" for line in summary["defects"]]
    for name in ("files", "threads", "clients", "amazon", "in_flight"):
        allowed = THREADS_OF_POOL if name == "threads" else 0
        if getattr(after, name) > getattr(before, name) + allowed:
            found.append(f"left over: {name} were {getattr(before, name)}, are {getattr(after, name)}")
    if after.memory_kib > before.memory_kib * 1.05:
        found.append(f"memory grew from {before.memory_kib} to {after.memory_kib} KiB")
    return found
