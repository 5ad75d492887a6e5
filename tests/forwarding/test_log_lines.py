"""A client cannot write members of its own into the access log: each value stands in a line as one escaped text."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, answering

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


@pytest.mark.parametrize("names", list(permutations(("Amazon-Ads-AccountId", "Amazon-Ads-Account-ID"))))
async def test_of_two_ads_accounts_the_first_is_logged(names: tuple[str, str], running: Running) -> None:
    """The request is refused for both; what the log says of it does not depend on the process."""
    lines = "".join(f"{name}: amzn1.{number}\r\n" for number, name in enumerate(names, 1))
    async with running(answering(HELLO)) as bench:
        assert (await bench.ask(f"{HEAD}{lines}\r\n".encode())).status == 400
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert [line["ads_account"] for line in logged(bench)] == ["amzn1.1"]
