"""One end of the socket between supervisor and worker: messages out at once, messages in as they come, questions.

What is sent leaves within the call as long as the socket takes it, so that a process which is killed a moment later has
said it. What messages mean is not known here. An error of who is asked is the event loop's to tell, and the other side
gets an error as answer, so that it does not wait for ever. So is an error of who hears: the messages behind it are
heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import AdsProxyError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable


_ASK, _ANSWER, _FAILED = "ask", "answer", "failed"
_PIECE: Final = 1 << 18
MAX_UNSENT: Final = 1 << 20
"""Bytes that wait for the other side to read them; beyond, a worker adds no records of writes: it hangs."""


class ChannelClosed(Exception):
    """The other end of the channel has closed."""


class RemoteCallFailed(Exception):
    """The other side met an error while answering, and has reported it where defects are reported."""


class Channel:
    """`heard` gets each message, `asked` each question, whose answer it gives; `closed` is called once, when the other
    side is gone or says what cannot be read. Belongs to one event loop."""

    def __init__(
        self,
        end: socket.socket,
        heard: Callable[[Message], None],
        asked: Callable[[Message], Awaitable[Message]],
        closed: Callable[[], None],
    ) -> None:
        end.setblocking(False)
        self._socket, self._heard, self._asked, self._closed = end, heard, asked, closed
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self._unsent = bytearray()
        self._all_taken = asyncio.Event()
        self._all_taken.set()
        self._pending_calls: dict[int, asyncio.Future[Message]] = {}
        self._serial = count(1)
        self._answering: set[asyncio.Task[None]] = set()
        self._is_open = True
        self._loop.add_reader(end, self._read)

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<Channel: {state}, {len(self._unsent)} bytes unsent, {len(self._pending_calls)} questions>"

    @property
    def is_open(self) -> bool:
        """False once the other side is known to be gone."""
        return self._is_open

    @property
    def unsent(self) -> int:
        """Bytes that the other side has no room for yet."""
        return len(self._unsent)

    def send(self, kind: str, **values: Any) -> None:
        self.send_packed(pack(kind, **values))

    def send_packed(self, data: bytes) -> None:
        """Send what `pack` made; it may go to several channels. It is dropped if the other side is gone."""
        if not self._is_open:
            return
        if self._unsent:
            self._unsent += data
            return
        sent = self._send(data)
        if self._is_open and sent < len(data):
            self._unsent += data[sent:]
            self._all_taken.clear()
            self._loop.add_writer(self._socket, self._write)

    async def taken(self, patience: float) -> None:
        """Wait until the other side has taken all that was sent, or is gone; for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_taken.wait(), patience)

    async def ask(self, question: str, **values: Any) -> Message:
        """The answer to a question. Raises `ChannelClosed` and `RemoteCallFailed`."""
        if not self._is_open:
            raise ChannelClosed
        number = next(self._serial)
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._pending_calls[number] = answer
        self.send(_ASK, number=number, question=question, **values)
        try:
            answered = await answer
        finally:
            self._pending_calls.pop(number, None)
        if _FAILED in answered:
            raise RemoteCallFailed
        return answered

    def close(self) -> None:
        """Say and hear no more; `closed` is not called."""
        if not self._is_open:
            return
        self._is_open = False
        self._all_taken.set()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        del self._heard, self._asked  # they may lead to the owner, who has the channel
        for task in self._answering:
            task.cancel()
        for question in self._pending_calls.values():
            if not question.done():
                question.set_exception(ChannelClosed())

    def _lose(self) -> None:
        if self._is_open:
            self.close()
            self._closed()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._loop.call_soon(self._lose)
            return len(data)

    def _write(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            self._all_taken.set()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        try:
            messages = self._frames.feed(data) if data else None
        except FrameMalformed:
            messages = None
        if messages is None:
            self._lose()
            return
        for message in messages:
            if not self._is_open:
                return
            try:
                self._take(message)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is of this message alone
                self._tell(error, "a message could not be taken")

    def _take(self, message: Message) -> None:
        if message["kind"] == _ANSWER:
            question = self._pending_calls.get(message["number"])
            if question is not None and not question.done():
                question.set_result(message)
        elif message["kind"] == _ASK:
            task = self._loop.create_task(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._heard(message)

    async def _answer(self, message: Message) -> None:
        try:
            answer = await self._asked(message)
            self.send(_ANSWER, number=message["number"], **answer)
        except ChannelClosed:
            return
        except (Exception, asyncio.CancelledError) as error:  # what was waited for may be cancelled, and this is not
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._tell(error, "a question could not be answered")
            self.send(_ANSWER, number=message["number"], **{_FAILED: True})

    def _tell(self, error: BaseException, what: str) -> None:
        self._loop.call_exception_handler({"message": f"{what}, on the channel of a worker", "exception": error})


# --- Messages between supervisor and worker as bytes -----------------------------------------------------

_PREFIX: Final = 4

Message = dict[str, Any]


class FrameMalformed(AdsProxyError):
    """What came is no message: the other side is not of this program."""


def pack(kind: str, **values: Any) -> bytes:
    """A message in the form of the socket. Its values are JSON's."""
    body = json.dumps({"kind": kind, **values}, separators=(",", ":")).encode()
    return len(body).to_bytes(_PREFIX, "big") + body


class FrameReader:
    """Puts together what comes in pieces."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def __repr__(self) -> str:
        return f"<FrameReader: {len(self._waiting)} bytes waiting>"

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises `FrameMalformed`."""
        waiting, at = self._waiting, 0
        waiting += data
        messages: list[Message] = []
        while len(waiting) - at >= _PREFIX:
            end = at + _PREFIX + int.from_bytes(waiting[at : at + _PREFIX], "big")
            if len(waiting) < end:
                break
            messages.append(_read(bytes(waiting[at + _PREFIX : end])))
            at = end
        del waiting[:at]
        return messages


def _read(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FrameMalformed(f"A frame of {len(body)} bytes is no JSON.") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise FrameMalformed("A frame without a kind.")
    return message


# --- What a worker inherits ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Descriptors:
    """`channel` leads to the supervisor, `numbers` is the memory of metrics, `counts` that of what so many `workers`
    count together. Clients connect to the `listening` ones, those with Amazon's names to the `named` ones."""

    channel: int
    numbers: int
    counts: int
    workers: int
    listening: tuple[int, ...]
    named: tuple[int, ...] = ()

    def arguments(self) -> tuple[str, ...]:
        """The arguments for a worker's command line."""
        fixed = self.channel, self.numbers, self.counts, self.workers, len(self.named)
        return tuple(map(str, (*fixed, *self.named, *self.listening)))

    def inherited(self) -> tuple[int, ...]:
        """All that the child must have."""
        return (self.channel, self.numbers, self.counts, *self.named, *self.listening)

    @classmethod
    def read(cls, arguments: list[str]) -> Descriptors:
        """What `arguments` wrote."""
        channel, numbers, counts, workers, named, *listening = map(int, arguments)
        return cls(channel, numbers, counts, workers, tuple(listening[named:]), tuple(listening[:named]))
