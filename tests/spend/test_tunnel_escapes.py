"""A tunnel is no way around spend limits, and a large body that is judged holds up nobody."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from proxy.intercept.contexts import Contexts
from proxy.spend import reading
from tests.intercept.conftest import OpenTunnel, authority, contexts, open_tunnel, trusting
from tests.spend.escape import WRITES, among_others, harmless
from tests.spend.test_escapes import KEY, Arrivals, attacked, plain_request, spending
from tests.support.proxy_bench import Running

__all__ = ["authority", "contexts", "open_tunnel", "trusting"]
WRITE = WRITES[1]


async def test_no_write_over_a_limit_leaves_through_a_tunnel(
    running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """The client of a tunnel is that of the requests inside."""
    arrivals = Arrivals()
    async with running(arrivals, contexts=contexts, **spending()) as bench:
        over, _ = plain_request(WRITE, WRITE.content)
        small, body = plain_request(WRITE, harmless(WRITE.content))
        tunnel = await open_tunnel(bench, login=f"agent:{KEY.decode()}")
        statuses = []
        for request in (over, small, over):
            named = request.replace(b"Host: 127.0.0.1", b"Host: advertising-api.amazon.com")
            tunnel.send(named.replace(b"X-Ads-Proxy-Key: %b\r\n" % KEY, b""))
            statuses.append((await tunnel.answer()).status)
        assert (statuses, arrivals.bodies) == ([403, 207, 403], [body])


async def test_a_body_above_64_kib_is_judged_in_a_thread(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop serves others meanwhile."""
    threads: list[threading.Thread] = []
    walk = reading.RestRequest.walk

    def noted(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return walk(*given)

    monkeypatch.setattr(reading.RestRequest, "walk", noted)
    async with attacked(running) as attack:
        content = harmless(among_others(WRITE.content, WRITE.in_list, 999, 0))
        large, body = plain_request(WRITE, content, 70_000)
        assert len(json.loads(body)["campaigns"]) == 1000
        assert (await attack.bench.ask(large)).status == 207
        small, _ = plain_request(WRITE, harmless(WRITE.content), 70_000)
        assert (await attack.bench.ask(small)).status == 207
    assert len(threads) == 2 and threading.main_thread() not in threads
