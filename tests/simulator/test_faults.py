"""Scripted trouble, as a client meets it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from proxy.simulator import Fault, Match
from proxy.simulator.control import ControlRefused, parse_fault, parse_match
from proxy.simulator.faults import FaultBook
from proxy.simulator.named_faults import NAMED
from tests.simulator.conftest import SimulatorClient


async def meet(client: SimulatorClient, fault: Fault, *lines: str, body: bytes = b"", method: str = "GET") -> bytes:
    """All bytes that a client gets which meets the fault once."""
    client.simulator.state.add_fault(fault, times=1)
    await client.sign_in()
    return await client.raw(client.head(method, "/v2/profiles", *lines, "Connection: close") + body)


def body_of(answer: bytes) -> bytes:
    """What follows the head."""
    return answer.partition(b"\r\n\r\n")[2]


async def test_status_with_retry_after_happens_as_often_as_planned(client: SimulatorClient) -> None:
    """Two 429 with Retry-After, then the true answer."""
    fault = Fault(status=429, headers=(("Retry-After", "7"),), body=b'{"code":"429"}')
    planned = client.simulator.state.add_fault(fault, Match(path="/v2/*"), times=2)
    replies = [await client.ask("GET", "/v2/profiles") for _ in range(3)]
    assert [(reply.status, reply.header("Retry-After")) for reply in replies] == [(429, "7"), (429, "7"), (200, None)]
    assert (planned.left, planned.happened, client.simulator.state.counts()["faults"]) == (0, 2, 2)


async def test_fault_without_times_stays_until_cleared(client: SimulatorClient) -> None:
    """A fault without a number happens always, an HTML 503 among them."""
    client.simulator.state.add_fault(Fault(status=503, headers=(("Content-Type", "text/html"),), body=b"<h1>no</h1>"))
    statuses = [(await client.ask("GET", "/v2/profiles")).status for _ in range(3)]
    client.simulator.state.faults.clear()
    assert [*statuses, (await client.ask("GET", "/v2/profiles")).status] == [503, 503, 503, 200]


async def test_abort_before_the_head_gives_no_byte(client: SimulatorClient) -> None:
    """The connection ends without an answer."""
    assert await meet(client, Fault(abort="before_head")) == b""


async def test_reset_before_the_head_is_a_reset(client: SimulatorClient) -> None:
    """With `reset`, the connection ends by RST."""
    with pytest.raises(ConnectionResetError):
        await meet(client, Fault(abort="before_head", reset=True))


async def test_abort_mid_body_of_a_counted_answer_is_short(client: SimulatorClient) -> None:
    """Fewer bytes than Content-Length promised."""
    answer = await meet(client, Fault(status=200, body=b"abcdef", abort="mid_body", abort_after=4))
    assert b"Content-Length: 6" in answer
    assert body_of(answer) == b"abcd"


async def test_abort_mid_body_of_a_chunked_answer_has_no_last_chunk(client: SimulatorClient) -> None:
    """The true answer breaks off without its last chunk."""
    answer = await meet(client, Fault(abort="mid_body", abort_after=5))
    assert b"Transfer-Encoding: chunked" in answer
    assert body_of(answer) == b'5\r\n[{"pr\r\n'


async def test_abort_beyond_the_end_still_ends_the_connection_unfinished(client: SimulatorClient) -> None:
    """Where the body is shorter than `abort_after`, all of it comes, but not its end."""
    answer = await meet(client, Fault(status=200, body=b"abc", framing="chunked", abort="mid_body", abort_after=99))
    assert body_of(answer) == b"3\r\nabc\r\n"


async def test_answer_may_end_with_the_connection(client: SimulatorClient) -> None:
    """Framing `close`: neither length nor chunks."""
    answer = await meet(client, Fault(status=200, body=b"abc", framing="close"))
    assert b"Content-Length" not in answer
    assert b"Transfer-Encoding" not in answer
    assert body_of(answer) == b"abc"


async def test_empty_200_has_no_body(client: SimulatorClient) -> None:
    """A 200 without a body is counted as 0 bytes."""
    answer = await meet(client, Fault(status=200))
    assert b"Content-Length: 0" in answer
    assert body_of(answer) == b""


async def test_interim_answers_come_first(client: SimulatorClient) -> None:
    """102 and 103 precede the true answer."""
    answer = await meet(client, Fault(interim=(102, 103)))
    starts = [answer.find(text) for text in (b"HTTP/1.1 102 ", b"HTTP/1.1 103 ", b"HTTP/1.1 200 OK")]
    assert starts[0] == 0
    assert starts == sorted(starts)


async def test_raw_bytes_replace_the_answer(client: SimulatorClient) -> None:
    """What is no HTTP can be sent too."""
    assert await meet(client, Fault(raw=b"HTTP/9.9 nonsense\r\n")) == b"HTTP/9.9 nonsense\r\n"


async def test_early_answer_does_not_wait_for_the_body(client: SimulatorClient) -> None:
    """The answer comes although the body was promised and not sent."""
    client.simulator.state.add_fault(Fault(status=413, body=b"no", early=True), times=1)
    await client.sign_in()
    reader, writer = await client.connect()
    media_type, scope = "application/vnd.stCampaign.v1+json", "1110000000000001"
    lines = "Content-Length: 1000000", f"Content-Type: {media_type}", f"Amazon-Advertising-API-Scope: {scope}"
    writer.write(client.head("POST", "/st/campaigns", *lines))
    assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_idle_connection_is_closed_after_the_answer(client: SimulatorClient) -> None:
    """The response promises nothing of the kind, and the connection closes nevertheless."""
    client.simulator.state.add_fault(Fault(close_after=0), times=1)
    await client.sign_in()
    answer = await client.raw(client.head("GET", "/v2/profiles"))
    assert answer.endswith(b"0\r\n\r\n")
    assert b"connection: close" not in answer.lower()


async def test_open_connections_can_be_closed_at_once(client: SimulatorClient) -> None:
    """Closing all connections ends one that waits idle."""
    await client.sign_in()
    reader, writer = await client.connect()
    writer.write(client.head("GET", "/sim/bytes/1?length=1"))
    await reader.readuntil(b"\r\n\r\n\x00")
    assert client.simulator.state.close_connections() >= 1
    assert await reader.read() == b""
    writer.close()


async def test_delay_ends_when_the_faults_are_deleted(client: SimulatorClient) -> None:
    """A request that is delayed is answered then, and the next delay is one of its own."""
    await client.sign_in()
    for happened in (1, 2):
        client.simulator.state.add_fault(Fault(delay=3600), times=1)
        delayed = asyncio.create_task(client.ask("GET", "/v2/profiles"))
        while client.simulator.state.counts()["faults"] < happened:
            await client.control("GET", "/counts")
        assert not delayed.done()
        await client.control("DELETE", "/faults")
        assert (await delayed).status == 200


async def test_delay_and_slow_body_take_their_time(client: SimulatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delay comes before the head, an interval between the pieces."""
    sleep, wait_for, pauses = asyncio.sleep, asyncio.wait_for, list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def wait(awaited: Coroutine[Any, Any, Any], seconds: float) -> Any:
        if seconds != fault.delay:
            return await wait_for(awaited, seconds)
        awaited.close()
        await pause(seconds)
        raise TimeoutError

    fault = Fault(status=200, body=b"abcd", delay=50.0, piece_bytes=1, piece_interval=20.0)
    monkeypatch.setattr(asyncio, "sleep", pause)
    monkeypatch.setattr(asyncio, "wait_for", wait)
    assert body_of(await meet(client, fault)) == b"abcd"
    assert [seconds for seconds in pauses if seconds >= 20] == [50.0, 20.0, 20.0, 20.0]


async def test_client_that_goes_away_is_counted(client: SimulatorClient) -> None:
    """A client that leaves before its response is seen as a disconnect."""
    client.simulator.state.add_fault(Fault(delay=60), times=1)
    await client.sign_in()
    reader, writer = await client.connect()
    writer.write(client.head("GET", "/v2/profiles"))
    while not client.simulator.state.requests[-1].fault:
        await client.control("GET", "/counts")
    writer.close()
    while not client.simulator.state.counts()["disconnects"]:
        await client.control("GET", "/counts")
    assert client.simulator.state.requests[-1].disconnected
    assert await reader.read() == b""


async def test_refused_request_meets_no_fault_unless_wanted(client: SimulatorClient) -> None:
    """A broken rule comes before a fault, but not before one with `before_checks`."""
    client.simulator.state.add_fault(Fault(status=500))
    refused = await client.ask("GET", "/v2/profiles", Authorization=None)
    client.simulator.state.faults.clear()
    client.simulator.state.add_fault(Fault(status=500, before_checks=True))
    met = await client.ask("GET", "/v2/profiles", Authorization=None)
    assert (refused.status, met.status) == (401, 500)


async def test_login_with_amazon_has_faults_of_its_own(client: SimulatorClient) -> None:
    """A fault of the target `lwa` meets token requests and no others, in its region only."""
    await client.sign_in()
    client.simulator.state.add_fault(Fault(status=500, body=b"oops"), Match(target="lwa", region="na"))
    assert (await client.refresh()).status == 500
    assert (await client.ask("GET", "/v2/profiles")).status == 200
    client.region = "eu"
    assert (await client.refresh()).status == 200


@pytest.mark.parametrize(
    ("match", "meets"),
    [
        (Match(), True),
        (Match(target="any"), True),
        (Match(target="lwa"), False),
        (Match(region="na"), True),
        (Match(region="eu"), False),
        (Match(method="post"), True),
        (Match(method="GET"), False),
        (Match(path="/sp/*"), True),
        (Match(path="/sp"), False),
    ],
)
def test_match_chooses_by_listener_region_method_and_path(match: Match, meets: bool) -> None:
    """A request `POST /sp/campaigns` to the API of na meets these and not those."""
    assert match.meets("api", "na", "POST", "/sp/campaigns") is meets


def test_first_planned_fault_that_is_left_happens() -> None:
    """The first of two that match happens until it is used up."""
    book = FaultBook()
    first, second = book.add(Match(), Fault(status=500), 1), book.add(Match(), Fault(status=429))
    found = book.find("api", "na", "GET", "/")
    assert found is first
    book.use(first)
    assert book.find("api", "na", "GET", "/") is second


def test_fault_is_read_from_json() -> None:
    """Text, base64, header pairs and header objects become what a fault needs."""
    assert parse_fault({"body": "é", "headers": {"A": 1}}) == Fault(body="é".encode(), headers=(("A", "1"),))
    assert parse_fault({"raw_base64": "AP8=", "headers": [["A", "1"]]}) == Fault(raw=b"\x00\xff", headers=(("A", "1"),))
    assert parse_match({"target": "lwa"}) == Match(target="lwa")


@pytest.mark.parametrize("value", [{"stauts": 500}, [], "abort", {"interim": ["x"]}])
def test_unclear_fault_is_refused(value: object) -> None:
    """A misspelt member, and what is no object, are errors that name the members."""
    with pytest.raises(ValueError, match=r"stauts|object|invalid literal"):
        parse_fault(value)
    assert issubclass(ControlRefused, ValueError)


@pytest.mark.parametrize("name", sorted(NAMED))
async def test_every_named_fault_happens(client: SimulatorClient, name: str) -> None:
    """What has a name is answered with the status and body that are shown for it."""
    shown = (await client.control("GET", "/faults/named")).json()[name]
    await client.control("POST", "/faults", {"fault": {"named": name, "delay": 0}})
    reply = await client.ask("GET", "/v2/profiles")
    assert (reply.status, reply.body.decode()) == (shown["status"], shown["body"])


async def test_timeout_of_the_mcp_endpoint_is_its_own(client: SimulatorClient) -> None:
    """A tool of the MCP endpoint that takes too long gets the gateway's 504."""
    client.simulator.state.add_fault(NAMED["timeout"], Match(target="mcp"))
    reply = await client.ask("POST", "/mcp", {})
    assert (reply.status, reply.json()) == (504, {"message": "Endpoint request timed out"})


def test_named_fault_can_be_changed() -> None:
    """Members next to the name replace those that the name stands for."""
    assert parse_fault({"named": "throttled"}) == NAMED["throttled"]
    changed = parse_fault({"named": "throttled", "headers": {"Retry-After": "9"}, "delay": 1})
    assert (changed.headers, changed.delay, changed.body) == ((("Retry-After", "9"),), 1, NAMED["throttled"].body)
    with pytest.raises(ControlRefused, match="app-not-approved"):
        parse_fault({"named": "nothing"})
