"""What is learned of requests, how long it holds, and how much of it is kept."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.forwarding.quick import recognition, responses
from proxy.routing.table import AccountEntry, Selection
from tests.forwarding.quick.test_differential import LINES, SECTIONS, both, request
from tests.forwarding.quick.test_exchange import HELLO, outcomes
from tests.support.both_settings import KEYS, Ask, ChangingDirectory, Step
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, Wire, answering

KEY = b"key-of-reader"
KEYED = GET[:-2] + b"Authorization: Bearer " + KEY + b"\r\n\r\n"
SCOPED = GET[:-2] + b"Amazon-Advertising-API-Scope: 77\r\n\r\n"


def clients(**changed: Any) -> Clients:
    """One client with this key."""
    ends_at = changed.pop("ends_at", None)
    policy = Policy("reader", (ClientKey(hashlib.sha256(KEY).hexdigest(), ends_at),), **changed)
    return Clients((policy,), Placeholders(b"key"), Budgets())


class AskedDirectory(ChangingDirectory):
    """Counts how often it is asked for a profile or an ads account."""

    asked = 0

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        self.asked += 1
        return super().owners(profile, account)

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        self.asked += 1
        return super().ads_account_owners(identifier, account)


def look_up_in(bench: ProxyBench, directory: AskedDirectory, default_profile: str = "", ads_account: str = "") -> None:
    """Have the rules' table ask this directory, with one account that has these defaults."""
    entry = AccountEntry("default", "na", default_profile, ads_account)
    table = replace(bench.rules.table, directory=directory, accounts={"default": entry})
    bench.apply(table=replace(table, names={"default": Selection(entry)}))


async def ask(tool: Wire, data: bytes, times: int = 1) -> list[int]:
    """The statuses of the answers."""
    statuses = []
    for _ in range(times):
        tool.send(data)
        statuses.append((await tool.answer()).status)
    return statuses


async def test_a_key_that_has_ended_is_looked_at_anew(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decided for it holds until then."""
    now = time.time()
    async with running(answering(HELLO), clients=clients(ends_at=now + 1000)) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 4) == [200] * 4
        assert outcomes(bench)["taken"] == 2
        monkeypatch.setattr(time, "time", lambda: now + 2000)
        assert await ask(tool, KEYED) == [401]


async def test_what_a_client_may_still_send_is_counted(running: Running) -> None:
    """A quick request costs its budget as any other, and the key was used."""
    known = clients(requests_per_minute=5)
    async with running(answering(HELLO), clients=known) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 6) == [*[200] * 5, 429]
        assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 3}
        assert known.known_keys()[0][2] is not None


async def test_a_profile_that_nobody_lists_is_looked_up_each_time(running: Running) -> None:
    """So that the lists are read again; and when it is listed, the lane is not used any longer."""
    directory = AskedDirectory()
    async with running(answering(HELLO)) as bench:
        look_up_in(bench, directory)
        tool = await bench.tool()
        for data in (SCOPED, GET[:-2] + b"Amazon-Ads-AccountId: a.1\r\n\r\n"):
            await ask(tool, data, 3)
            asked = directory.asked
            assert await ask(tool, data, 5) == [200] * 5
            assert directory.asked == asked + 5
        directory._owners["77"] = (("default", "na"),)
        await ask(tool, SCOPED)
        assert outcomes(bench) == {"unseen": 2, "response": 1, "taken": 13, "profile": 1}


async def test_a_default_that_nobody_lists_is_not_learned(running: Running) -> None:
    """Whether it is by now is asked with each request."""
    for defaults in (("99", ""), ("", "a.9")):
        async with running(answering(HELLO)) as bench:
            look_up_in(bench, AskedDirectory(), *defaults)
            tool = await bench.tool()
            target = b"/v2/sp/campaigns" if defaults[0] else b"/adsApi/v1/query/campaigns"
            data = (b"GET " if defaults[0] else b"POST ") + target + GET[GET.index(b" HTTP/1.1") :]
            assert await ask(tool, data, 4) == [200] * 4
            assert outcomes(bench) == {"unseen": 4}


async def test_a_changed_list_of_profiles_makes_all_void(running: Running) -> None:
    """By a number that differs."""
    directory = AskedDirectory()
    async with running(answering(HELLO)) as bench:
        look_up_in(bench, directory)
        tool = await bench.tool()
        await ask(tool, GET, 3)
        directory.change()
        await ask(tool, GET, 2)
        assert outcomes(bench) == {"unseen": 2, "response": 1, "taken": 2}


BOUNDS = [
    (recognition, "MAX_SHAPES"),
    (recognition, "MAX_SENDERS"),
    (recognition, "MAX_SECTIONS"),
    (recognition, "MAX_PLANS"),
    (recognition, "MAX_REQUESTS"),
    (responses, "MAX_SHAPES"),
    (responses, "MAX_KNOWN"),
]


@pytest.mark.parametrize(("module", "bound"), BOUNDS)
async def test_little_memory_costs_time_and_nothing_else(
    running: Running, monkeypatch: pytest.MonkeyPatch, module: Any, bound: str
) -> None:
    """Where only one is kept, all goes on as it would."""
    monkeypatch.setattr(module, bound, 1)
    different = [
        request(line, section) for line in (LINES[0], LINES[7], LINES[2] % b"missing") for section in SECTIONS[:4]
    ]
    steps: list[Step] = [Ask((data,)) for data in different * 3]
    await both(running, steps)


async def test_odd_shapes_are_not_made_without_end(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one takes a while: there are some at once, and then one in a while."""
    monkeypatch.setattr(recognition, "MAX_SHAPES", 2)
    async with running(answering(HELLO)) as bench:
        tool = await bench.tool()
        for number in range(6):
            await ask(tool, GET[:-2] + b"X-%d: x\r\n\r\n" % number, 3)
        assert outcomes(bench)["taken"] == 3


async def test_a_client_without_rules_for_requests_needs_no_screening(running: Running) -> None:
    """A new target of a known client is asked about as any other."""
    line = b"GET /v2/%d HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + KEYS["writer"] + b"\r\n\r\n"
    writer = Policy("writer", (ClientKey(hashlib.sha256(KEYS["writer"]).hexdigest()),))
    known = Clients((writer,), Placeholders(b"key"), Budgets())
    async with running(answering(HELLO), clients=known) as bench:
        tool = await bench.tool()
        for number in range(5):
            assert await ask(tool, line % number) == [200]
        assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 3}
        assert repr(bench.forwarder.quick) == "<Recognition: 1 shapes, 1 senders, 2 plans>"  # numbers are not kept


async def test_a_query_is_kept_when_it_comes_again(running: Running) -> None:
    """Ever new ones push out nothing that is known; their requests are known again all the same."""
    line = b"GET /v2/list?startIndex=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with running(answering(HELLO)) as bench:
        tool = await bench.tool()
        for number, plans in ((0, 1), (1, 1), (2, 1), (3, 1), (3, 2), (3, 2)):
            assert await ask(tool, line % number) == [200]
            assert repr(bench.forwarder.quick) == f"<Recognition: 1 shapes, 1 senders, {plans} plans>"
        assert outcomes(bench) == {"unseen": 1, "response": 1, "taken": 4}


@pytest.mark.parametrize("query", [b"", b"?a=1"], ids=["plain", "query"])
async def test_a_number_that_a_policy_names_is_told_from_others(running: Running, query: bytes) -> None:
    """One path is permitted and others are not, although they differ in a number only."""
    patterns = ("/v2/profiles", "/v2/7", "/v2/8*")
    known = clients(paths=tuple(map(PathPattern.read, patterns)))
    async with running(answering(HELLO), clients=known) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 2) == [200] * 2
        statuses = [await ask(tool, KEYED.replace(b"profiles", b"%d%b" % (n, query)), 2) for n in (7, 9, 8, 81, 7)]
        assert statuses == [[200] * 2, [403] * 2, [200] * 2, [200] * 2, [200] * 2]


async def test_a_query_that_a_policy_forbids_is_seen_behind_others(running: Running) -> None:
    """New numbers with the same query are of one kind, another query is asked about."""
    known = clients(methods=frozenset((b"GET",)))
    lines = [b"/v2/1?a=1", b"/v2/2?a=1", b"/v2/3?_method=PUT", b"/v2/4?a=1", b"/v2/5"]
    async with running(answering(HELLO), clients=known) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 2) == [200] * 2
        assert [await ask(tool, KEYED.replace(b"/v2/profiles", line)) for line in lines] == [
            [200],
            [200],
            [403],
            [200],
            [200],
        ]


async def test_new_numbers_behind_a_prefix_are_sent_without_it(running: Running) -> None:
    """A target of a kind that is known differs from none that was read as a whole."""
    steps: list[Step] = [
        Ask((request(b"GET /@other/eu/v2/%d/x%b HTTP/1.1" % (number, query), SECTIONS[0]),))
        for number in range(6)
        for query in (b"", b"?a=b")
    ]
    assert (await both(running, steps)).taken >= 8


async def test_new_numbers_go_as_they_came_whatever_else_holds_numbers(running: Running) -> None:
    """In the middle of a path, in a query, or so long that it is no target any longer."""
    targets = (
        b"/v2/%d",
        b"/v2/%d/x/%d",
        b"/v2/%d?next=/v2/%d",
        b"/v2/%d/?a=/1/",
        b"/v2/%dx/%d",
        b"/v2/" + b"9" * 9000,
    )
    steps: list[Step] = [
        Ask((request(b"GET " + target.replace(b"%d", b"%d" % number) + b" HTTP/1.1", SECTIONS[1]),))
        for number in (0, 1, 12, 123, 123, 7, 12)
        for target in targets
    ]
    assert (await both(running, steps)).taken >= 20


async def test_what_came_twice_is_remembered_and_what_came_once_is_not(running: Running) -> None:
    """Ever new targets would push out the others."""
    line = GET.replace(b"profiles", b"%d")
    async with running(answering(HELLO)) as bench:
        tool = await bench.tool()
        assert await ask(tool, line % 1) == [200]
        for number in (11, 12, 13, 12):
            assert await ask(tool, line % number) == [200]
        assert bench.forwarder.quick is not None
        assert list(bench.forwarder.quick._requests) == [line % 12]


METHODS = (b"GET", b"POST", b"DELETE")


@pytest.mark.parametrize("method", METHODS)
async def test_bodies_behind_one_head_differ(running: Running, method: bytes) -> None:
    """Each has as many bytes as its head says."""
    head = SCOPED.replace(b"GET /v2/profiles", method + b" /sp/campaigns").replace(b": 77", b": 1")[:-2]
    bodies = (b"a", b"b", b"c", b"", b"dd", b"", b"ee", b"f")
    steps: list[Step] = [Ask((head + b"Content-Length: %d\r\n\r\n" % len(body) + body,)) for body in bodies * 3]
    assert (await both(running, steps)).taken >= 15


@pytest.mark.parametrize("method", METHODS)
async def test_a_head_that_came_before_waits_for_its_body(running: Running, method: bytes) -> None:
    """However often it came with one."""
    head = GET.replace(b"GET", method)[:-2] + b"Content-Length: 1\r\n\r\n"
    async with running(answering(HELLO)) as bench:
        tool = await bench.tool()
        assert await ask(tool, head + b"x", 5) == [200] * 5
        tool.send(head)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert await ask(tool, b"x") == [200]
        assert await ask(tool, head + b"x") == [200]
        assert outcomes(bench)["incomplete"] == 1


@pytest.mark.parametrize(
    "large",
    [
        GET.replace(b"/v2/profiles", b"/v2/profiles?filter=" + b"x" * 2000),
        GET[:-2] + b"X-Filler: " + b"x" * 5000 + b"\r\n\r\n",
    ],
    ids=["target", "section"],
)
async def test_large_requests_are_served_and_not_kept(running: Running, large: bytes) -> None:
    """Whoever sends ever new ones would fill memory with them."""
    async with running(answering(HELLO)) as bench:
        tool = await bench.tool()
        assert await ask(tool, large, 3) == [200] * 3
        assert " 0 plans" in repr(bench.forwarder.quick)
