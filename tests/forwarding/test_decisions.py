"""What was decided about a request is kept for the same bytes, and holds no longer than all that it hangs on."""

from __future__ import annotations

import time

import pytest

from proxy.downstream.ports import Availability
from proxy.forwarding import decisions, forwarder
from proxy.forwarding.decision import RequestContext
from proxy.forwarding.plain_exchange import PlainExchange
from proxy.routing.route import Route, route
from tests.forwarding.quick.test_exchange import HELLO
from tests.forwarding.quick.test_recognition import KEYED, SCOPED, AskedDirectory, ask, clients, look_up_in
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, answering, value_of


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[Route]:
    """The routes that are chosen anew, as they are."""
    chosen: list[Route] = []
    choose = route

    def noting(*arguments: object) -> Route:
        found = choose(*arguments)  # type: ignore[arg-type]  # each of its own type
        chosen.append(found)
        return found

    monkeypatch.setattr(forwarder, "route", noting)
    return chosen


def kept(bench: ProxyBench) -> str:
    return repr(bench.forwarder._decisions)


async def test_the_same_bytes_are_decided_when_they_are_new_and_once_more(
    running: Running, routed: list[Route]
) -> None:
    """The second time what was decided is kept."""
    async with running(answering(HELLO), fast_path=False) as bench:
        tool = await bench.tool()
        assert await ask(tool, GET, 5) == [200] * 5
        assert len(routed) == 2
        assert kept(bench) == "<Decisions: 1 kept>"
        await ask(tool, GET.replace(b"/v2/profiles", b"/v2/stores"))
        assert len(routed) == 3


async def test_each_of_them_has_an_id_of_its_own(running: Running) -> None:
    """What is made for a single request is not kept."""
    async with running(answering(HELLO), fast_path=False) as bench:
        tool = await bench.tool()
        ids = set()
        for _ in range(4):
            tool.send(GET)
            ids.add(value_of((await tool.answer()).head, b"x-request-id"))
        assert len(ids) == 4


async def test_each_of_them_is_accounted_for(running: Running) -> None:
    """Metrics, the log and the requests in flight know nothing of what is kept."""
    async with running(answering(HELLO), fast_path=False) as bench:
        tool = await bench.tool()
        await ask(tool, GET, 4)
        await bench.settled(lambda: len(bench.events.finished) == 4)
        assert {(event.path, event.client, event.status) for event in bench.events.finished} == {
            ("/v2/profiles", "anonymous", 200)
        }
        assert bench.accounting.of_client("anonymous") == 0


async def test_a_key_that_has_ended_ends_what_was_decided(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is looked at anew then."""
    now = time.time()
    async with running(answering(HELLO), fast_path=False, clients=clients(ends_at=now + 1000)) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 3) == [200] * 3
        assert kept(bench) == "<Decisions: 1 kept>"
        monkeypatch.setattr(time, "time", lambda: now + 2000)
        assert await ask(tool, KEYED) == [401]


async def test_each_of_them_costs_its_client_its_budget(running: Running) -> None:
    """The refusal is reported as one of the client's, with its operation; the request is not routed any more."""
    known = clients(requests_per_minute=4)
    async with running(answering(HELLO), fast_path=False, clients=known) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 5) == [*[200] * 4, 429]
        refused = bench.events.finished[-1]
        assert (refused.client, refused.operation, refused.refusal) == ("reader", "listProfiles", "budget-spent")


async def test_each_use_of_a_key_is_noted(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the time of the last one."""
    known, now = clients(), time.time()
    async with running(answering(HELLO), fast_path=False, clients=known) as bench:
        tool = await bench.tool()
        await ask(tool, KEYED, 3)
        monkeypatch.setattr(time, "time", lambda: now + 500)
        await ask(tool, KEYED)
        assert known.known_keys()[0][2] == now + 500


async def test_a_profile_that_nobody_lists_is_looked_up_each_time(running: Running, routed: list[Route]) -> None:
    """So that the lists are read again; and when it is listed, the request is routed anew."""
    directory = AskedDirectory()
    async with running(answering(HELLO), fast_path=False) as bench:
        look_up_in(bench, directory)
        tool = await bench.tool()
        for data in (SCOPED, GET[:-2] + b"Amazon-Ads-AccountId: a.1\r\n\r\n"):
            await ask(tool, data, 3)
            asked, chosen = directory.asked, len(routed)
            assert await ask(tool, data, 5) == [200] * 5
            assert (directory.asked, len(routed)) == (asked + 5, chosen)
        directory._owners["77"] = (("default", "na"),)
        chosen = len(routed)
        await ask(tool, SCOPED)
        assert len(routed) == chosen + 1


async def test_a_default_that_nobody_lists_is_not_kept(running: Running) -> None:
    """Whether it is by now is asked with each request."""
    async with running(answering(HELLO), fast_path=False) as bench:
        look_up_in(bench, AskedDirectory(), "99")
        tool = await bench.tool()
        await ask(tool, GET.replace(b"/v2/profiles", b"/v2/sp/campaigns"), 4)
        assert kept(bench) == "<Decisions: 0 kept>"


async def test_a_changed_list_of_profiles_makes_all_void(running: Running, routed: list[Route]) -> None:
    """By a number that differs."""
    directory = AskedDirectory()
    async with running(answering(HELLO), fast_path=False) as bench:
        look_up_in(bench, directory)
        tool = await bench.tool()
        await ask(tool, GET, 3)
        directory.change()
        await ask(tool, GET)
        assert len(routed) == 3


async def test_new_rules_begin_with_nothing(running: Running) -> None:
    """A client that is gone is not served for what was decided when it was there."""
    async with running(answering(HELLO), fast_path=False, clients=clients()) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED, 3) == [200] * 3
        bench.apply(clients=clients(methods=frozenset((b"POST",))))
        assert await ask(tool, KEYED) == [403]


async def test_who_comes_too_late_is_told_so(running: Running) -> None:
    """A proxy that stops lets nothing through that it knows."""
    async with running(answering(HELLO), fast_path=False) as bench:
        tool, late = await bench.tool(), await bench.tool()
        await ask(tool, GET, 3)
        bench.forwarder.availability = Availability.CLOSING
        assert await ask(late, GET) == [503]


async def test_what_is_kept_is_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests come, and however large they are."""
    monkeypatch.setattr(decisions, "MAX_KEPT", 2)
    large = GET[:-2] + b"X-Filler: " + b"x" * 5000 + b"\r\n\r\n"
    async with running(answering(HELLO), fast_path=False) as bench:
        tool = await bench.tool()
        for number in range(5):
            await ask(tool, GET.replace(b"/v2/profiles", b"/v2/%d" % number), 2)
        assert len(bench.forwarder._decisions._kept) <= 2
        bench.apply()
        await ask(tool, large, 3)
        assert not bench.forwarder._decisions._kept


async def test_a_decision_shows_whose_it_is_and_where_it_goes(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing that the request held."""
    shown: list[str] = []
    begin = PlainExchange

    def noting(dependencies: object, client: object, context: RequestContext) -> object:
        shown.append(repr(context.decision))
        return begin(dependencies, client, context)  # type: ignore[arg-type]  # each of its own type

    monkeypatch.setattr(forwarder, "PlainExchange", noting)
    async with running(answering(HELLO), fast_path=False) as bench:
        await bench.ask()
    assert shown == ["<Decision: anonymous to default in na>"]
