"""What plugs into the core: which capabilities, in which order, and what each has to do with a request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.forwarding.decision import Rules
from proxy.reports.overview import NamedReports
from proxy.reports.sharing import ReportRules
from proxy.reports.store import ReportFolder
from proxy.routing.operations import Access
from tests.support.capabilities import Plugged
from tests.support.memory_bench import MemoryBench

ALWAYS = ["Mcp", "FrozenMessages", "OwnOrders", "SharedOrders", "WriteOutcomes", "TokenEndpoint"]
"""In the order in which their gates see a request."""
SHARING = ReportRules(True, 60.0, True, 60.0, adopts=True)
KEY = b"a key of a client"


def names(rules: Rules) -> list[str]:
    return [type(each).__name__ for each in rules.capabilities]


async def test_all_rules_have_the_same_capabilities(tmp_path: Path) -> None:
    """Only named reports need a section of the configuration; without them, the proxy has no paths of its own."""
    named = NamedReports(ReportFolder(tmp_path), {}, 900.0)
    plain, reporting = MemoryBench(), MemoryBench(named_reports=named)
    assert (names(plain.forwarder.rules), plain.forwarder.rules.own_paths) == (ALWAYS, False)
    assert names(reporting.forwarder.rules) == [*ALWAYS, "NamedReportAnswers"]
    assert reporting.forwarder.rules.own_paths
    for bench in (plain, reporting):
        await bench.stop()


async def test_what_capabilities_know_outlives_a_reload() -> None:
    """New rules have new capabilities, with the same memory."""
    bench = MemoryBench()
    before = bench.forwarder.rules.capabilities
    bench.apply(bench.rules)
    after = bench.forwarder.rules.capabilities
    assert names(bench.forwarder.rules) == ALWAYS
    assert not {*map(id, before)} & {*map(id, after)}
    assert [getattr(each, "memory", None) for each in before] == [getattr(each, "memory", None) for each in after]
    assert [getattr(each, "sharing", None) for each in before] == [getattr(each, "sharing", None) for each in after]
    await bench.stop()


def clients(**limits: Any) -> Clients:
    """One client with these limits."""
    policy = Policy("tool", (ClientKey(hashlib.sha256(KEY).hexdigest()),), **limits)
    return Clients([policy], Placeholders(b"key"), Budgets())


def made_by(factories: tuple[Callable[..., Any], ...]) -> list[str]:
    """The names of what each request gets; some factories are partial."""
    return [getattr(each, "func", each).__name__ for each in factories]


OWN: dict[str, Any] = {"account_ids": frozenset({b"amzn1.own"})}
READS: dict[str, Any] = {"access": Access.READ}
ORDER_V1 = "POST /adsApi/v1/create/reports"


@pytest.mark.parametrize(
    ("line", "limits", "sharing", "gates", "taps"),
    [
        ("GET /v2/profiles", None, None, [], []),
        ("GET /v2/profiles", READS, SHARING, [], []),
        ("DELETE /sp/campaigns/1", None, SHARING, [], ["WriteTap"]),
        ("POST /reporting/reports", None, None, [], []),
        ("POST /reporting/reports", None, SHARING, ["SharedReport"], []),
        ("GET /reporting/reports/1", None, SHARING, ["SharedReport"], []),
        (ORDER_V1, OWN, None, ["OwnOrderGate"], []),
        (ORDER_V1, OWN, SHARING, ["OwnOrderGate", "SharedReport"], []),
        ("POST /mcp", None, None, [], ["McpTap", "WriteTap"]),
        ("GET /mcp", None, None, [], ["McpTap"]),
        ("POST /mcp", READS, None, ["McpGate"], ["WriteTap"]),
    ],
)
async def test_each_request_passes_what_has_to_do_with_it(
    line: str, limits: dict[str, Any] | None, sharing: ReportRules | None, gates: list[str], taps: list[str]
) -> None:
    """A plain read passes nothing, for any client and with any configuration."""
    changed = {} if limits is None else {"clients": clients(**limits)}
    bench = MemoryBench(reports=sharing, **changed)
    asked = Plugged(at_end=True)
    bench.forwarder.apply(replace(bench.forwarder.rules, capabilities=(*bench.forwarder.rules.capabilities, asked)))
    client = bench.client()
    client.send(f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: {KEY.decode()}\r\n\r\n".encode())
    await bench.rest(client)
    [decision] = asked.decisions
    assert (made_by(decision.gates), made_by(decision.taps)) == (gates, taps)
    await bench.stop(client)
