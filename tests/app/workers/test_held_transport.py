"""Writes that leave a turn of the event loop later, in their order, and before what ends the connection."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from proxy.app.workers.held_transport import HeldTransport, HeldWrites

pytestmark = pytest.mark.usefixtures("every_loop")


class Recording:
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def writelines(self, pieces: list[bytes]) -> None:
        self.done.append(b"|".join(pieces))

    def get_write_buffer_size(self) -> int:
        return 5

    def is_closing(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.done.append(name)


def held() -> tuple[Recording, HeldTransport]:
    under = Recording()
    return under, HeldTransport(cast(asyncio.Transport, under), HeldWrites(asyncio.get_running_loop()))


async def test_what_is_written_leaves_a_turn_later_and_at_once_then() -> None:
    """Within the call nothing is sent, so whoever writes can count first; pieces stay in their order."""
    under, transport = held()
    transport.write(b"head")
    transport.writelines([b"one", b"two"])
    assert under.done == []
    assert transport.get_write_buffer_size() == 10 + 5
    assert repr(transport) == "<HeldTransport: 3 pieces held>"
    await asyncio.sleep(0)
    assert under.done == [b"head|one|two"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert under.done == [b"head|one|two", b"next"]
    assert transport.get_write_buffer_size() == 5


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_an_end_comes_behind_what_was_written(end: str) -> None:
    """The last answer of a connection is not lost to its end."""
    under, transport = held()
    transport.write(b"last")
    getattr(transport, end)()
    assert transport.is_closing() is (end == "close")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert under.done == [b"last", end]


async def test_an_abort_is_at_once_and_drops_what_is_held() -> None:
    """Nobody may take what was broken for whole."""
    under, transport = held()
    transport.write(b"half")
    transport.abort()
    await asyncio.sleep(0)
    assert under.done == ["abort"]
    assert transport.is_closing()


async def test_what_is_to_be_counted_is_counted_before_anything_is_sent() -> None:
    """At the end of the turn, whichever came first; then all is sent in its order."""
    writes = HeldWrites(asyncio.get_running_loop())
    under = [Recording(), Recording()]
    transports = [HeldTransport(cast(asyncio.Transport, each), writes) for each in under]
    sent_when_counted: list[Any] = []
    transports[0].write(b"one")
    transports[1].write(b"two")
    writes.before_sending(lambda: sent_when_counted.append([*under[0].done, *under[1].done]))
    transports[1].close()
    assert [each.done for each in under] == [[], []]
    assert repr(writes) == "<HeldWrites: 2 wait>"
    await asyncio.sleep(0)
    assert sent_when_counted == [[]]
    assert [each.done for each in under] == [[b"one"], [b"two", "close"]]


class Gone(Recording):
    """A transport whose other side went away; each loop has its way to say so to whoever writes."""

    def __init__(self, *, known: bool) -> None:
        super().__init__()
        self.known = known

    def is_closing(self) -> bool:
        return self.known

    def write(self, data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    write_eof = write


@pytest.mark.parametrize("known", [True, False])
async def test_a_tool_that_went_away_costs_no_other_its_answer(*, known: bool) -> None:
    """Answers of one turn are sent each by itself; what goes wrong with one is told where it was not expected."""
    loop, told = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    writes, under = HeldWrites(loop), Recording()
    gone = HeldTransport(cast(asyncio.Transport, Gone(known=known)), writes)
    other = HeldTransport(cast(asyncio.Transport, under), writes)
    gone.write(b"one")
    gone.write_eof()
    other.write(b"two")
    await asyncio.sleep(0)
    assert under.done == [b"two"]
    assert list(map(str, told)) == ([] if known else ["the handler is closed"])
