"""Both ends of the socket between supervisor and worker, on a real pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.app.workers.channel import (
    Channel,
    ChannelClosed,
    Descriptors,
    FrameMalformed,
    FrameReader,
    Message,
    RemoteCallFailed,
    pack,
)
from tests.support.garbage import in_cycles
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.usefixtures("every_loop")


def message_error(message: Message) -> BaseException:
    return asyncio.CancelledError() if message["cancelled"] else KeyError("what is asked for")


def told_defects() -> list[BaseException]:
    """The defects that the event loop reports from now on."""
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    return told


class End:
    """A channel and what it heard."""

    def __init__(self, end: socket.socket) -> None:
        self.heard: list[Message] = []
        self.came = asyncio.Event()
        self.closed = asyncio.Event()
        self.unsendable: object = None
        self.channel = Channel(end, self._hear, self._answer, self.closed.set)

    def _hear(self, message: Message) -> None:
        if message["kind"] == "broken":
            raise KeyError(message["kind"])
        self.heard.append(message)
        self.came.set()

    async def _answer(self, message: Message) -> Message:
        await asyncio.sleep(0)
        if message["question"] == "broken":
            raise message_error(message)
        if self.unsendable is not None:
            return {"twice": self.unsendable}
        return {"of": message["question"], "twice": message["number_of"] * 2}


async def run(work: Callable[[End, End], Awaitable[Any]]) -> None:
    ends = [End(each) for each in socket.socketpair()]
    try:
        async with asyncio.timeout(PATIENCE):
            await work(ends[0], ends[1])
    finally:
        for end in ends:
            end.channel.close()


async def test_a_closed_channel_leaves_no_cycle(garbage: list[object]) -> None:
    """The owner holds the channel, and hears from it: neither waits for the garbage collector."""
    for each in [End(each) for each in socket.socketpair()]:
        each.channel.close()
    del each
    assert in_cycles(garbage) == {}


async def test_a_message_leaves_within_the_call() -> None:
    """What was sent is in the socket before anything else of the event loop runs."""

    ours, theirs = socket.socketpair()
    channel = End(ours).channel
    channel.send("audit", record={"a": 1})
    assert theirs.recv(100, socket.MSG_DONTWAIT).endswith(b'{"kind":"audit","record":{"a":1}}')
    channel.close()
    theirs.close()


async def test_what_the_socket_has_no_room_for_follows_in_order() -> None:
    """Messages larger than any buffer arrive whole, and one behind them stays behind them."""

    async def work(ours: End, theirs: End) -> None:
        text = "x" * 5_000_000
        ours.channel.send("large", text=text)
        ours.channel.send("small")
        assert ours.channel.unsent > 0
        while len(theirs.heard) < 2:
            theirs.came.clear()
            await theirs.came.wait()
        assert theirs.heard == [{"kind": "large", "text": text}, {"kind": "small"}]
        assert repr(ours.channel) == "<Channel: open, 0 bytes unsent, 0 questions>"

    await run(work)


async def test_questions_find_their_answers() -> None:
    """Several under way at once, in both directions."""

    async def work(ours: End, theirs: End) -> None:
        asked = [ours.channel.ask("double", number_of=number) for number in range(5)]
        asked.append(theirs.channel.ask("double", number_of=50))
        answers = await asyncio.gather(*asked)
        assert [answer["twice"] for answer in answers] == [0, 2, 4, 6, 8, 100]

    await run(work)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_question_whose_answer_fails_is_answered(cancelled: bool) -> None:
    """Who asked is not left waiting, the error is told where it happened, and the next question is answered."""

    async def work(ours: End, theirs: End) -> None:
        told = told_defects()
        with pytest.raises(RemoteCallFailed):
            await ours.channel.ask("broken", cancelled=cancelled)
        assert [type(error) for error in told] == [asyncio.CancelledError if cancelled else KeyError]
        assert (await ours.channel.ask("double", number_of=4))["twice"] == 8
        assert "0 questions" in repr(ours.channel)

    await run(work)


async def test_an_answer_that_cannot_be_sent_is_told_too() -> None:
    """What no frame holds is an error of who answers, not silence for who asked."""

    async def work(ours: End, theirs: End) -> None:
        told = told_defects()
        theirs.unsendable = object()
        with pytest.raises(RemoteCallFailed):
            await ours.channel.ask("double", number_of=4)
        assert [type(error) for error in told] == [TypeError]

    await run(work)


async def test_a_message_that_cannot_be_taken_takes_no_other_with_it() -> None:
    """Messages of the same read are heard, and each error is reported once."""

    async def work(ours: End, theirs: End) -> None:
        told = told_defects()
        ours.channel.send_packed(b"".join(map(pack, ("first", "broken", "second", "answer", "broken", "last"))))
        while len(theirs.heard) < 3:
            theirs.came.clear()
            await theirs.came.wait()
        assert theirs.heard == [{"kind": "first"}, {"kind": "second"}, {"kind": "last"}]
        assert list(map(str, told)) == ["'broken'", "'number'", "'broken'"]

    await run(work)


async def test_a_side_that_is_gone_is_noticed() -> None:
    """Questions under way fail, later ones too, sent messages are dropped, and the end is reported once."""

    async def work(ours: End, theirs: End) -> None:
        question = asyncio.create_task(ours.channel.ask("double", number_of=1))
        theirs.channel.close()
        await ours.closed.wait()
        with pytest.raises(ChannelClosed):
            await question
        with pytest.raises(ChannelClosed):
            await ours.channel.ask("double", number_of=1)
        ours.channel.send("late")
        assert repr(ours.channel).startswith("<Channel: closed")

    await run(work)


async def test_what_cannot_be_read_ends_the_channel() -> None:
    """Bytes that are no message: the other side is not of this program."""

    ours, theirs = socket.socketpair()
    end = End(ours)
    theirs.sendall(b"\0\0\0\2{]")
    async with asyncio.timeout(PATIENCE):
        await end.closed.wait()
    theirs.close()


async def test_what_was_said_last_is_waited_for() -> None:
    """The channel waits until the other side has taken all of it, or is gone; otherwise not for long."""
    ours, theirs = socket.socketpair()
    end = End(ours)
    with theirs:
        end.channel.send("spans", data="x" * (4 << 20))
        await end.channel.taken(0.0)
        assert end.channel.unsent
        theirs.setblocking(False)
        reading = asyncio.create_task(_read_on(theirs))
        await end.channel.taken(20.0)
        reading.cancel()
        assert end.channel.unsent == 0
        end.channel.send("spans", data="x" * (4 << 20))
    async with asyncio.timeout(PATIENCE):
        await end.channel.taken(60.0)
        await end.closed.wait()


async def _read_on(end: socket.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_recv(end, 1 << 16)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 1000])
def test_messages_come_out_whole_in_whatever_pieces(size: int) -> None:
    """Two messages, cut anywhere, come out in their order."""
    data = pack("token", account="acme", value="é") + pack("drain")
    reader, found = FrameReader(), []
    for at in range(0, len(data), size):
        found += reader.feed(data[at : at + size])
    assert found == [{"kind": "token", "account": "acme", "value": "é"}, {"kind": "drain"}]
    assert repr(reader) == "<FrameReader: 0 bytes waiting>"


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"kind": 1}'])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    """Bytes that this program never sends are an error, and nothing is guessed."""
    with pytest.raises(FrameMalformed):
        FrameReader().feed(len(body).to_bytes(4, "big") + body)


GIVEN = Descriptors(channel=7, numbers=8, counts=9, workers=4, listening=(10, 11), named=(12,))


def test_a_command_line_is_read_as_it_was_written() -> None:
    """With several listening sockets, too."""
    assert Descriptors.read(list(GIVEN.arguments())) == GIVEN


def test_all_descriptors_are_inherited_and_nothing_else() -> None:
    """The count of workers is none."""
    assert GIVEN.inherited() == (7, 8, 9, 12, 10, 11)
