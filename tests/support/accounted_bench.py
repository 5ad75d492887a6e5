"""The proxy between two peers in memory, with its metrics, its log and an auditor; and what is seen of it from outside.

As in the running program, nobody hears of every request. Times and dates are masked.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from dataclasses import replace
from typing import Any

from proxy.admin.history import RequestHistory
from proxy.app.request_path import EventOutputs, make_accounting
from proxy.events import RequestFinished
from proxy.forwarding.accounting import Accounting
from proxy.observability.logs import Logs
from proxy.observability.metrics import Metrics
from tests.support.memory_bench import End, MemoryBench
from tests.support.rules import changed_rules
from tests.support.scraping import scraped

TIMES = frozenset(("timestamp", "duration_ms", "upstream_ms", "overhead_ms"))
_COUNTED = re.compile(r"^(ads_proxy_(?:requests_|writes_|replays|throttled|\w+_count)\S*) (\S+)$", re.MULTILINE)


class AccountedBench(MemoryBench):
    """Has its requests counted, logged and audited, as the program has. `events` are those that an auditor hears."""

    def account(self) -> Accounting:
        self.lines = io.StringIO()
        self.output = Logs(self.lines, form="json", level="info", access=True)
        self.metrics = Metrics("test")
        outputs = EventOutputs(self.metrics, self.output, RequestHistory(self.metrics), auditors=(self.events,))
        accounting = make_accounting(outputs)
        accounting.journal.gather(asyncio.get_running_loop().call_soon)
        return accounting

    def reload(self, **changed: Any) -> None:
        """Take rules with these changes, named as `changed_rules` has them."""
        self.rules = changed_rules(self.rules, changed)
        self.apply(self.rules)
        self.reach()

    async def ask(self, client: End, *pieces: bytes) -> bytes:
        """What a request in these pieces gets, whole or not."""
        before = len(client.pipe.written)
        client.send(*pieces)
        await self.rest(client)
        return masked(bytes(client.pipe.written[before:]))

    def begin(self) -> None:
        """Forget what was seen so far."""
        self.output.flush(10)
        self.lines.seek(0)
        self.lines.truncate()
        self.sent.clear()
        self.events.events.clear()
        self.tokens.uses.clear()
        self._numbers = self._count()

    def seen(self) -> dict[str, Any]:
        """What left for Amazon, and what is told of requests, since `begin`."""
        moved = {name: value - self._numbers.get(name, 0.0) for name, value in self._count().items()}
        return {
            "sent": sorted(self.sent),
            "lines": sorted(self._request_lines()),
            "numbers": {name: value for name, value in moved.items() if value},
            "audit": sorted(map(repr, map(timeless, self.events.finished))),
            "uses": sorted(map(repr, self.tokens.uses)),
        }

    def _request_lines(self) -> list[str]:
        self.output.flush(10)
        lines = map(json.loads, self.lines.getvalue().splitlines())
        return [json.dumps(without_times(line)) for line in lines if line["event"] == "request"]

    def _count(self) -> dict[str, float]:
        return {name: float(value) for name, value in _COUNTED.findall(scraped(self.metrics).decode())}

    def end(self) -> None:
        """Release everything. A defect fails."""
        self.pools.close()
        self.deadlines.stop()
        self.output.close()
        assert not self.events.defects, self.events.defects[0]
        assert self.accounting.in_flight == 0


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    """A line of the log without what differs from run to run."""
    return {name: value for name, value in line.items() if name not in TIMES}


def timeless(event: RequestFinished) -> RequestFinished:
    """An event with no time in it."""
    return replace(event, duration=0.0, upstream=0.0, overhead=0.0)


def masked(data: bytes) -> bytes:
    """Responses without the date that was added, and what is counted in seconds."""
    data = re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: (now)", data)
    return re.sub(rb"\r\nRetry-After: [0-9]+|\b[0-9]+ s\b", b"(soon)", data)
