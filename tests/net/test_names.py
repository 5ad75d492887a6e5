"""Names are looked up in the background: bounded, one at a time each, ahead of need; the last answer is kept."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from proxy.net import names as module
from proxy.net.names import (
    IN_USE,
    LIVE,
    MAX_LOOKUPS,
    PATIENCE,
    REFRESH,
    RETRY,
    AddressInfo,
    AskAboutOthers,
    LookupProblem,
    NameLookupFailed,
    Names,
    ask_system,
    numeric_address,
)


def address(ip: str, port: int = 0) -> AddressInfo:
    """An address as the system's resolver returns it."""
    if ":" in ip:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port))


class Resolver:
    """A resolver that blocks its thread for the names in `hanging` until it is released, and keeps what it was asked.

    `answers` holds what each name has: addresses, or the error that is raised.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[AddressInfo] | Exception] = {}
        self.hanging: set[str] = set()
        self.released = threading.Event()
        self.asked: list[str] = []
        self.now = 1000.0

    def __call__(self, host: str) -> Sequence[AddressInfo]:
        self.asked.append(host)
        if host in self.hanging:
            self.released.wait()
        answer = self.answers.get(host, socket.gaierror(socket.EAI_NONAME, "no such name"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def clock(self) -> float:
        return self.now


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    """A resolver whose threads end with the test."""
    made = Resolver()
    made.answers["a.example"] = [address("192.0.2.1")]
    yield made
    made.released.set()


@pytest.fixture
async def names(resolver: Resolver) -> AsyncIterator[Names]:
    """Names with a clock that does not move."""
    made = Names(ask=resolver, clock=resolver.clock)
    yield made
    made.stop()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """End each wait for a resolver at once, as if it hung for too long."""

    async def wait(futures: Any, timeout: float) -> None:
        assert 0 < timeout <= PATIENCE
        await asyncio.sleep(0)

    monkeypatch.setattr(asyncio, "wait", wait)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that hangs is waited for as long as the test takes."""
    monkeypatch.setattr(module, "PATIENCE", 3600.0)


async def answered(names: Names) -> None:
    """Wait until no lookup runs."""
    while names._lookups:
        await asyncio.sleep(0)


async def test_addresses_are_used_for_a_while_and_then_asked_for_again(names: Names, resolver: Resolver) -> None:
    """Whatever the port; the order stays."""
    resolver.answers["a.example"] = [address("2001:db8::1"), address("192.0.2.1")]
    assert await names.find("a.example", 443) == [address("2001:db8::1", 443), address("192.0.2.1", 443)]
    assert await names.find("a.example", 80) == [address("2001:db8::1", 80), address("192.0.2.1", 80)]
    assert resolver.asked == ["a.example"]
    resolver.now += LIVE
    resolver.answers["a.example"] = [address("192.0.2.9")]
    assert await names.find("a.example", 80) == [address("192.0.2.9", 80)]


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN])
async def test_the_last_addresses_serve_where_the_resolver_says_no(names: Names, resolver: Resolver, code: int) -> None:
    """The resolver is asked again after some seconds, not each time."""
    await names.find("a.example", 1)
    resolver.now += LIVE + 86400
    resolver.answers["a.example"] = socket.gaierror(code, "no")
    for _ in range(2):
        assert await names.find("a.example", 1) == [address("192.0.2.1", 1)]
    assert len(resolver.asked) == 2
    resolver.now += RETRY
    resolver.answers["a.example"] = [address("192.0.2.2")]
    assert await names.find("a.example", 1) == [address("192.0.2.2", 1)]


@pytest.mark.usefixtures("hurried")
async def test_the_last_addresses_serve_where_the_resolver_is_silent(names: Names, resolver: Resolver) -> None:
    """The resolver is waited for once; while the same lookup hangs, no later request waits, and no second lookup is
    made."""
    name = names._names["a.example"] = module._Name("a.example")
    name.addresses = (address("192.0.2.1"),)
    resolver.hanging.add("a.example")
    assert await names.find("a.example", 1) == [address("192.0.2.1", 1)]
    resolver.now += PATIENCE
    finding = asyncio.ensure_future(names.find("a.example", 1))
    await asyncio.sleep(0)
    assert finding.done()
    assert finding.result() == [address("192.0.2.1", 1)]
    resolver.released.set()
    await answered(names)
    assert resolver.asked == ["a.example"]


@pytest.mark.usefixtures("hurried")
async def test_a_silent_resolver_is_a_failure_where_nothing_is_known(names: Names, resolver: Resolver) -> None:
    """The next request uses an answer that comes too late."""
    resolver.hanging.add("a.example")
    with pytest.raises(NameLookupFailed) as failed:
        await names.find("a.example", 1)
    assert (failed.value.host, failed.value.problem) == ("a.example", LookupProblem.SILENT)
    resolver.released.set()
    await answered(names)
    assert await names.find("a.example", 1) == [address("192.0.2.1", 1)]
    assert resolver.asked == ["a.example"]


@pytest.mark.usefixtures("patient")
async def test_a_lookup_that_hangs_is_in_nobodys_way(names: Names, resolver: Resolver) -> None:
    """More of them than the event loop has threads; other names and all addresses are found at once."""
    hosts = {f"hanging{number}.example" for number in range(40)}
    resolver.hanging |= hosts
    hanging = [asyncio.ensure_future(names.find(host, 1)) for host in sorted(hosts)]
    assert await names.find("a.example", 1) == [address("192.0.2.1", 1)]
    assert await names.find("192.0.2.7", 1) == [address("192.0.2.7", 1)]
    assert not any(finding.done() for finding in hanging)
    for finding in hanging:
        finding.cancel()


@pytest.mark.usefixtures("patient")
async def test_one_lookup_serves_all_who_wait(names: Names, resolver: Resolver) -> None:
    """The lookup goes on if the first of them leaves."""
    resolver.hanging.add("a.example")
    finding = [asyncio.ensure_future(names.find("a.example", port)) for port in range(3)]
    await asyncio.sleep(0)
    finding[0].cancel()
    resolver.released.set()
    assert await asyncio.gather(*finding[1:]) == [[address("192.0.2.1", 1)], [address("192.0.2.1", 2)]]
    assert resolver.asked == ["a.example"]


@pytest.mark.usefixtures("patient")
async def test_lookups_are_bounded(names: Names, resolver: Resolver) -> None:
    """Beyond the bound a new name is told that this is not the moment."""
    hosts = [f"hanging{number}.example" for number in range(MAX_LOOKUPS)]
    resolver.hanging |= set(hosts)
    hanging = [asyncio.ensure_future(names.find(host, 1)) for host in hosts]
    await asyncio.sleep(0)
    with pytest.raises(NameLookupFailed) as failed:
        await names.find("a.example", 1)
    assert failed.value.problem is LookupProblem.UNAVAILABLE
    resolver.released.set()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert await names.find("a.example", 1) == [address("192.0.2.1", 1)]


async def test_no_thread_to_be_had_is_a_failure_that_passes(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is free for the next lookup."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(NameLookupFailed) as failed:
            await names.find("a.example", 1)
    assert failed.value.problem is LookupProblem.UNAVAILABLE
    assert await names.find("a.example", 1) == [address("192.0.2.1", 1)]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no"), LookupProblem.UNKNOWN),
        (socket.gaierror(socket.EAI_AGAIN, "later"), LookupProblem.UNAVAILABLE),
        (socket.gaierror(socket.EAI_FAIL, "broken"), LookupProblem.UNAVAILABLE),
        (OSError(24, "too many open files"), LookupProblem.UNAVAILABLE),
        (UnicodeError("label too long"), LookupProblem.UNKNOWN),
        ([], LookupProblem.UNKNOWN),
    ],
)
async def test_what_the_resolver_says_is_told_apart(
    names: Names, resolver: Resolver, answer: Any, problem: LookupProblem
) -> None:
    """What is final, and what may pass."""
    resolver.answers["b.example"] = answer
    with pytest.raises(NameLookupFailed) as failed:
        await names.find("b.example", 1)
    assert failed.value.problem is problem


class Timers:
    """The event loop's timers, released by the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.waiting: list[tuple[float, Any, tuple[Any, ...]]] = []

    def call_later(self, delay: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        self.waiting.append((delay, callback, args))
        return self._loop.call_later(3600, callback, *args)

    def fire(self) -> float:
        delay, callback, args = self.waiting.pop()
        callback(*args)
        return delay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def test_names_in_use_are_looked_up_ahead_of_need(names: Names, resolver: Resolver) -> None:
    """No request waits, even if the resolver hangs meanwhile; an unused name is not looked up."""
    timers = Timers(asyncio.get_running_loop())
    names._loop = timers  # type: ignore[assignment]  # timers that the test moves
    await names.find("a.example", 1)
    resolver.now += REFRESH
    resolver.answers["a.example"] = [address("192.0.2.2")]
    assert timers.fire() == REFRESH
    await answered(names)
    resolver.now += LIVE - REFRESH
    assert await names.find("a.example", 1) == [address("192.0.2.2", 1)]
    assert len(resolver.asked) == 2
    resolver.now += IN_USE
    timers.fire()
    assert not names._lookups
    assert not timers.waiting


async def test_a_refresh_that_hangs_keeps_nobody(names: Names, resolver: Resolver) -> None:
    """The lookup began long enough ago, so the last addresses serve at once."""
    timers = Timers(asyncio.get_running_loop())
    names._loop = timers  # type: ignore[assignment]  # timers that the test moves
    await names.find("a.example", 1)
    resolver.now += REFRESH
    resolver.hanging.add("a.example")
    timers.fire()
    resolver.now += LIVE
    finding = asyncio.ensure_future(names.find("a.example", 1))
    await asyncio.sleep(0)
    assert finding.done()
    assert "a.example 1, looked up now" in repr(names)


@pytest.mark.usefixtures("patient")
async def test_after_stop_nothing_is_looked_up_of_itself(names: Names, resolver: Resolver) -> None:
    """A lookup that ends later starts none either."""
    timers = Timers(asyncio.get_running_loop())
    names._loop = timers  # type: ignore[assignment]  # timers that the test moves
    resolver.hanging.add("a.example")
    finding = asyncio.ensure_future(names.find("a.example", 1))
    await asyncio.sleep(0)
    names.stop()
    resolver.released.set()
    await finding
    assert not timers.waiting


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", address("127.0.0.1", 7)),
        ("::1", address("::1", 7)),
        ("fe80::1%3", (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("fe80::1", 7, 0, 3))),
        ("fe80::1%lo", (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("fe80::1", 7, 0, 1))),
        ("a.example", None),
        ("127.1", None),
    ],
)
def test_an_address_is_told_from_a_name(host: str, expected: AddressInfo | None) -> None:
    """Without a lookup; a zone is a number or an interface."""
    assert numeric_address(host, 7) == expected


def test_the_system_knows_itself() -> None:
    """The system's real answer has the expected form."""
    assert address("127.0.0.1") in ask_system("127.0.0.1")


@pytest.mark.parametrize("here", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_back_here_has_no_address(resolver: Resolver, here: str) -> None:
    """The proxy would ask itself without end; another host may be on this machine."""
    resolver.answers.update({"amazon.example": [address(here)], "other.example": [address(here)]})
    names = Names(ask=AskAboutOthers({"amazon.example"}, resolver), clock=resolver.clock)
    with pytest.raises(NameLookupFailed, match="leads back to the proxy") as caught:
        await names.find("amazon.example", 443)
    assert caught.value.problem is LookupProblem.HERE
    assert await names.find("other.example", 443) == [address(here, 443)]
    names.stop()


async def test_only_the_addresses_of_this_machine_are_left_out(resolver: Resolver) -> None:
    """A hosts file may name this machine for one family of addresses, and the real ones come from DNS."""
    resolver.answers["amazon.example"] = [address("127.0.0.1"), address("192.0.2.1"), address("2001:db8::1")]
    names = Names(ask=AskAboutOthers({"amazon.example"}, resolver), clock=resolver.clock)
    assert await names.find("amazon.example", 443) == [address("192.0.2.1", 443), address("2001:db8::1", 443)]
    names.stop()


async def test_a_name_without_any_address_leads_nowhere(resolver: Resolver) -> None:
    """The resolver's own word stays."""
    resolver.answers["amazon.example"] = []
    names = Names(ask=AskAboutOthers({"amazon.example"}, resolver), clock=resolver.clock)
    with pytest.raises(NameLookupFailed) as caught:
        await names.find("amazon.example", 443)
    assert caught.value.problem is LookupProblem.UNKNOWN
    names.stop()
