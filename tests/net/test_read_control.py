"""When a transport reads: pauses, and reads that are put off to the next turn of the event loop."""

from __future__ import annotations

import asyncio
import gc
from weakref import ref

from proxy.net.read_control import ReadControl


class Transport(asyncio.Transport):
    """Notes whether it was asked to read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads, self.closing = True, False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing


class Receiver:
    """Reads one byte in each turn."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.control = ReadControl(self.transport, asyncio.get_running_loop())
        self.taken = b""

    def read(self, data: bytes) -> None:
        self.taken += data[:1]
        if data[1:]:
            self.control.put_off(data[1:], self.read)


async def test_each_turn_reads_a_share() -> None:
    """The transport reads again only once nothing is left."""
    receiver = Receiver()
    receiver.read(b"abc")
    for taken, reads in ((b"a", False), (b"ab", False), (b"abc", True)):
        assert (receiver.taken, receiver.transport.reads) == (taken, reads)
        await asyncio.sleep(0)


async def test_a_pause_holds_the_rest_back() -> None:
    """The rest is read in the turn after the pause ends, and by one read alone."""
    receiver = Receiver()
    receiver.read(b"abc")
    receiver.control.pause()
    await asyncio.sleep(0)
    assert receiver.taken == b"a"
    assert receiver.control.resume()
    receiver.control.pause()
    assert receiver.control.resume()
    await asyncio.sleep(0)
    assert receiver.taken == b"ab"


async def test_a_pause_during_the_last_share_stays() -> None:
    """The transport is not resumed behind the receiver's back."""
    receiver = Receiver()
    receiver.control.put_off(b"a", lambda _: receiver.control.pause())
    await asyncio.sleep(0)
    assert not receiver.transport.reads
    assert receiver.control.resume()
    assert receiver.transport.reads


async def test_what_was_put_off_is_read_after_the_transport_closed() -> None:
    """The transport itself is left alone then."""
    receiver = Receiver()
    receiver.read(b"ab")
    receiver.control.pause()
    receiver.transport.closing = True
    assert receiver.control.resume()
    await asyncio.sleep(0)
    assert receiver.taken == b"ab"
    assert not receiver.transport.reads


async def test_nothing_is_read_of_a_transport_that_closes() -> None:
    """A pause that ends then brings nothing."""
    receiver = Receiver()
    receiver.control.pause()
    receiver.transport.closing = True
    assert not receiver.control.resume()
    assert receiver.control.paused
    assert not receiver.transport.reads


async def test_a_forgotten_rest_is_not_read_and_holds_nothing() -> None:
    """The receiver goes at once, without the garbage collector."""
    receiver = Receiver()
    receiver.read(b"ab")
    receiver.control.forget()
    await asyncio.sleep(0)
    assert receiver.taken == b"a"
    known = ref(receiver)
    gc.disable()
    try:
        del receiver
        assert known() is None
    finally:
        gc.enable()
