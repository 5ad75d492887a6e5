"""Channels between a supervisor that answers one kind of questions and as many workers as a test asks for."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from proxy.app.workers.channel import Channel, Message
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Answering(Protocol):
    """The supervisor's end."""

    async def asked(self, message: Message) -> Message:
        """The answer to a question."""
        ...

    def heard(self, message: Message) -> None:
        """Take a message that has no answer."""
        ...


class WorkerChannels:
    """Real sockets. Of each worker `ends` has the supervisor's end and the worker's, in this order."""

    def __init__(self, supervisor: Answering, kind: str) -> None:
        self._supervisor, self._kind = supervisor, kind
        self.ends: list[Channel] = []

    def new(self) -> Channel:
        """The end of another worker."""
        ours, theirs = socket.socketpair()
        self.ends.append(Channel(ours, self._hear, self._answer, lambda: None))
        self.ends.append(Channel(theirs, lambda message: None, self._answer, lambda: None))
        return self.ends[-1]

    def _hear(self, message: Message) -> None:
        assert message["kind"] == self._kind
        self._supervisor.heard(message)

    async def _answer(self, message: Message) -> Message:
        assert message["question"] == self._kind
        return await self._supervisor.asked(message)


@asynccontextmanager
async def worker_channels(supervisor: Answering, kind: str) -> AsyncIterator[WorkerChannels]:
    """Channels that are closed at the end."""
    channels = WorkerChannels(supervisor, kind)
    try:
        async with asyncio.timeout(PATIENCE):
            yield channels
    finally:
        for each in channels.ends:
            each.close()
