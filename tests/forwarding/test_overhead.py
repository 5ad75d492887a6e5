"""What counts as the proxy's own time: not that in which a client sends its body. Each test moves the clock itself."""

from __future__ import annotations

import pytest

from tests.forwarding.test_exchange import POST
from tests.forwarding.test_gated_request import FOREIGN, HEAD, MINE, clients
from tests.local.test_token_request import COUNTED as TOKEN_HEAD
from tests.local.test_token_request import FORM
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, UNAUTHORIZED, Wire, answering

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What all that measures a request reads."""
    clock = Clock()
    forwarding = ("forwarding.exchange", "forwarding.request_stats", "local.request", "forwarding.replays")
    for module in ("downstream.connection", "net.deadlines", *forwarding, "upstream.connection"):
        monkeypatch.setattr(f"proxy.{module}.perf_counter", clock)
    return clock


@pytest.mark.parametrize("begun", [False, True])
async def test_a_body_that_stops_coming_costs_its_client_alone(begun: bool, running: Running, clock: Clock) -> None:
    """Whether Amazon has asked for it or has not heard of it yet."""

    async def script(wire: Wire) -> None:
        await wire.head()
        clock.now += 1.0
        wire.send(CONTINUE)
        await wire.end()

    async with running(script) as bench:
        expects = b"Expect: 100-continue\r\n" if begun else b""
        client = await bench.client(POST, expects, b"Content-Length: 10\r\n\r\n")
        if begun:
            await client.until(lambda: bytes(client.received) == CONTINUE)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        clock.now += 20.0
        bench.sweep(20.0)
        event = await bench.events.last()
        assert (event.status, event.attempts) == (408, int(begun))
        assert (event.duration, event.overhead) == (20.0 + begun, 0.0)


@pytest.mark.parametrize("expects", [False, True])
@pytest.mark.parametrize(("body", "status"), [(MINE, 200), (FOREIGN, 403)])
async def test_a_checked_body_costs_its_client_alone(
    expects: bool, body: bytes, status: int, running: Running, clock: Clock
) -> None:
    """However long it takes to come, and whether it may leave or not."""
    async with running(answering(HELLO), clients=clients()) as bench:
        line = b"Expect: 100-continue\r\n" if expects else b""
        client = await bench.client(HEAD, line, b"Content-Length: %d\r\n\r\n" % len(body))
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        clock.now += 5.0
        client.send(body)
        event = await bench.events.last()
        assert event.status == status
        assert (event.duration, event.overhead) == (5.0, 0.0)


async def test_a_body_that_is_too_large_to_be_checked_costs_its_client_alone(running: Running, clock: Clock) -> None:
    """It is known in the middle of it."""
    async with running(answering(HELLO), clients=clients(), replay_bytes=100) as bench:
        client = await bench.client(HEAD, b"Transfer-Encoding: chunked\r\n\r\n")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        clock.now += 5.0
        client.send(b"64\r\n", bytes(100))
        event = await bench.events.last()
        assert (event.status, event.duration, event.overhead) == (413, 5.0, 0.0)


async def test_a_renewal_without_a_newer_token_is_no_time_of_the_proxys_own(running: Running, clock: Clock) -> None:
    """It was waited for, and then the 401 is delivered."""

    async def script(wire: Wire) -> None:
        await wire.request()
        clock.now += 1.0
        wire.send(UNAUTHORIZED)
        await wire.end()

    async with running(script) as bench:
        bench.tokens.fruitless = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        clock.now += 5.0
        bench.tokens.gate.set()
        assert (await client.answer()).status == 401
        event = await bench.events.last()
        assert (event.duration, event.overhead, event.upstream) == (6.0, 0.0, 1.0)


@pytest.mark.parametrize("away", [False, True])
async def test_amazons_time_is_that_of_all_attempts_without_what_lies_between_them(
    away: bool, running: Running, clock: Clock
) -> None:
    """Neither is the wait for a newer token Amazon's time, nor is the attempt before it forgotten."""

    async def script(wire: Wire) -> None:
        await wire.request()
        clock.now += 1.0
        wire.send(UNAUTHORIZED)
        await wire.request()
        clock.now += 2.0
        wire.send(HELLO)

    async with running(script) as bench:
        bench.tokens.away = away
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        clock.now += 5.0
        bench.tokens.gate.set()
        assert (await client.answer()).status == (503 if away else 200)
        event = await bench.events.last()
        assert (event.duration, event.overhead, event.upstream) == ((6.0, 0.0, 1.0) if away else (8.0, 0.0, 3.0))


@pytest.mark.parametrize("how", ["whole", "left", "too slow"])
async def test_the_body_of_a_token_request_costs_its_client_alone(how: str, running: Running, clock: Clock) -> None:
    """However long it takes to come, and if it never comes whole."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(TOKEN_HEAD, FORM[:5])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        clock.now += 5.0
        if how == "whole":
            client.send(FORM[5:])
        elif how == "left":
            client.close()
        else:
            bench.sweep(31.0)
        event = await bench.events.last()
        assert event.status == {"whole": 200, "left": 0, "too slow": 408}[how]
        assert (event.duration, event.overhead) == (5.0, 0.0)


@pytest.mark.parametrize("sent", [False, True])
async def test_a_request_that_is_cut_at_the_end_waited_for_others(sent: bool, running: Running, clock: Clock) -> None:
    """The program ends while Amazon takes its time, or the client."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.end()

    async with running(script) as bench:
        await bench.client(GET if sent else POST + b"Content-Length: 10\r\n\r\n")
        await bench.settled(lambda: bench.accounting.in_flight == 1 and len(bench.upstream.wires) == sent)
        await bench.settled(lambda: not sent or b"\r\n\r\n" in bench.upstream.wires[0].received)
        clock.now += 20.0
        bench.connection().end()
        event = await bench.events.last()
        assert (event.refusal, event.duration, event.overhead) == ("draining", 20.0, 0.0)
        assert event.upstream == (20.0 if sent else 0.0)
