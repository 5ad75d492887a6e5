"""A client cannot write members of its own into the access log: each value stands in a line as one escaped text."""

from __future__ import annotations

import hashlib
import json
from itertools import permutations
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from tests.forwarding.test_waiting_for_keys import NEW, OLD, Desk, get
from tests.support.issuers import service_account
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

HEAD = "GET /adsApi/v1/query/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FORGED = b'","client":"alice","path":"/other'
TARGETS = (
    b"/v2/campaigns/1?q=/0?",
    b"/v2/campaigns/1?q=/12345678901234567890?",
    b"/v2/campaigns/1?q=" + FORGED + b"/0?",
    b"/v2/campaigns/2?q=" + FORGED + b"/000000000000000000000000000000000000?",
    b"/v2/campaigns/3?/0/0/0?" + FORGED,
    b"/v2/campaigns/44444444444444?/1/2/3333333333333333333333333333?" + FORGED,
    b"/v2/campaigns/5" + FORGED + b"/6",
    b"/v2/campaigns/55" + FORGED + b"/66",
    b"/v2/campaigns/\\" + FORGED + b"/7",
    b"/v2/campaigns/?/9",
    b"/v2/campaigns/?/99999999999999",
    b"/v2/campaigns/1??/2",
    b"/v2/campaigns/1??/2222222",
)


def without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(members)) == len(members), members
    return dict(members)


def logged(bench: ProxyBench) -> list[dict[str, Any]]:
    """The access lines so far; a member that stands twice in one fails."""
    assert bench.logs.flush(10)
    lines = [json.loads(line, object_pairs_hook=without_repetition) for line in bench.lines.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("rounds", [1, 3])
async def test_each_line_holds_the_path_of_its_request(rounds: int, running: Running) -> None:
    """The path without its query, whatever query or path came before, and the client that sent it."""
    sent = [target for target in TARGETS for _ in range(rounds)] * 2
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        for target in sent:
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await client.answer()).status == 200
        await bench.settled(lambda: not bench.accounting.in_flight)
        lines = logged(bench)
    assert [line["path"] for line in lines] == [target.split(b"?")[0].decode() for target in sent]
    assert {line["client"] for line in lines} == {"anonymous"}


@pytest.mark.parametrize(("target", "path"), [(b"?code=1", ""), (b"x?code=1", "x"), (b"/x?code=1#", "/x")])
async def test_a_malformed_target_is_logged_without_its_query(target: bytes, path: str, running: Running) -> None:
    """A query may hold a secret, wherever it stands."""
    async with running(answering(HELLO)) as bench:
        assert (await bench.ask(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).status == 400
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert [line["path"] for line in logged(bench)] == [path]


REFUSED: dict[str, tuple[bytes, int]] = {
    "an unknown account": (b"GET /@nobody/v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    "no HTTP": (b"GET /v2/profiles\r\n\r\n", 400),
    "MCP": (b"POST /@nobody/mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", 404),
    "by the local token endpoint": (b"PUT /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
    "as Amazon does not answer": (GET, 502),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_the_size_of_an_error_of_the_proxys_own_is_logged(name: str, running: Running) -> None:
    """The line has the size of the body, as for a response of Amazon's."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.close()

    sent, status = REFUSED[name]
    async with running(script) as bench:
        answer = await bench.ask(sent)
        await bench.settled(lambda: not bench.accounting.in_flight)
        (line,) = logged(bench)
    assert answer.status == status
    assert line["bytes_out"] == len(answer.body) > 0


async def test_the_answer_to_a_head_has_no_size(running: Running) -> None:
    """Its header says how large it would be."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        client.send(REFUSED["an unknown account"][0].replace(b"GET", b"HEAD"))
        assert (await client.answer(to_head=True)).status == 404
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert [line["bytes_out"] for line in logged(bench)] == [0]


@pytest.mark.parametrize("names", list(permutations(("Amazon-Ads-AccountId", "Amazon-Ads-Account-ID"))))
async def test_of_two_ads_accounts_the_first_is_logged(names: tuple[str, str], running: Running) -> None:
    """The request is refused for both; what the log says of it does not depend on the process."""
    lines = "".join(f"{name}: amzn1.{number}\r\n" for number, name in enumerate(names, 1))
    async with running(answering(HELLO)) as bench:
        assert (await bench.ask(f"{HEAD}{lines}\r\n".encode())).status == 400
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert [line["ads_account"] for line in logged(bench)] == ["amzn1.1"]


# --- who was refused, and until when


def with_budget(per_minute: int) -> Clients:
    """One client, whose key is `known`."""
    key = ClientKey(hashlib.sha256(b"known").hexdigest())
    return Clients([Policy("reporting", (key,), requests_per_minute=per_minute)], Placeholders(b"key"), Budgets())


KEYED = GET.replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: known\r\n\r\n")


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (GET, "client-unknown"),
        (KEYED.replace(b"known", b"old"), "client-unknown"),
        (b"GET /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "method-not-allowed"),
        (b"GET\r\n\r\n", "malformed-request"),
    ],
)
async def test_the_line_of_an_unknown_client_has_its_address(sent: bytes, refusal: str, running: Running) -> None:
    """The peer of the socket: it leads to the machine that sends an old key."""
    async with running(answering(HELLO), clients=with_budget(100)) as bench:
        assert 400 <= (await bench.ask(sent)).status < 500
        await bench.settled(lambda: not bench.accounting.in_flight)
        (line,) = logged(bench)
    assert (line["client"], line["refusal"], line["address"]) == ("", refusal, "127.0.0.1")


async def test_a_forwarded_for_header_is_no_address(running: Running) -> None:
    """Anybody can write one."""
    forged = GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n\r\n")
    async with running(answering(HELLO), clients=with_budget(100)) as bench:
        assert (await bench.ask(forged)).status == 401
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert [line["address"] for line in logged(bench)] == ["127.0.0.1"]


async def test_the_line_of_a_429_has_when_to_come_again(running: Running) -> None:
    """The seconds of Retry-After; where the client is known, its address is not logged."""
    async with running(answering(HELLO), clients=with_budget(1)) as bench:
        assert (await bench.ask(KEYED)).status == 200
        refused = await bench.ask(KEYED)
        await bench.settled(lambda: not bench.accounting.in_flight)
        served, line = logged(bench)
    assert (line["status"], line["refusal"]) == (429, "budget-spent")
    assert str(line["retry_after"]).encode() == refused.value(b"retry-after")
    assert not {"retry_after", "address"} & served.keys()
    assert "address" not in line


@pytest.mark.parametrize(("asked", "logs"), [(b"Retry-After: 7\r\n", 7), (b"", None), (b"Retry-After: 0\r\n", None)])
async def test_so_has_the_line_of_amazons_429(asked: bytes, logs: int | None, running: Running) -> None:
    """Amazon's own Retry-After passes, and is logged; none is not."""
    throttled = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n" + asked + b"\r\n"
    async with running(answering(throttled)) as bench:
        assert (await bench.ask(GET)).status == 429
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert [(line["upstream_status"], line.get("retry_after")) for line in logged(bench)] == [(429, logs)]


async def test_the_line_of_a_refused_jwt_has_the_subject_that_it_claims(running: Running) -> None:
    """As another member than that of a verified one; and where it came from, also after a wait for the keys."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        client = await bench.client(get(NEW))
        await bench.settled(lambda: desk.missed == ["cluster"])
        desk.put(OLD)
        assert (await client.answer()).status == 401
        assert (await bench.ask(get(NEW))).status == 401
        await bench.settled(lambda: not bench.accounting.in_flight)
        lines = logged(bench)
    subject = service_account(0)["sub"]
    assert len(lines) == 2
    for line in lines:
        assert (line["refusal"], line["unverified_subject"], line["address"]) == ("token-refused", subject, "127.0.0.1")
        assert "subject" not in line
