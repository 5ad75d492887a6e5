"""Costly bodies are read by turns of clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from proxy.body_reader import BodyReader
from tests.support.patience import PATIENCE


class HeldReader:
    """A reader whose thread is busy until `go`, and what it has read since."""

    def __init__(self) -> None:
        self.reader, self.go = BodyReader("test"), threading.Event()
        self.done: list[str] = []
        self.reader.submit("busy", self.go.wait, PATIENCE)

    def ask(self, client: str, body: str) -> None:
        self.last = self.reader.submit(client, self.done.append, body)


@pytest.fixture(name="held")
def _held() -> Iterator[HeldReader]:
    held = HeldReader()
    yield held
    held.go.set()


def test_clients_take_turns(held: HeldReader) -> None:
    """However many bodies of one wait, another waits for one of them."""
    for number in range(50):
        held.ask("flood", f"flood {number}")
    for client in ("second", "third"):
        for number in range(2):
            held.ask(client, f"{client} {number}")
    assert repr(held.reader) == "<BodyReader: 54 waiting, of 3 clients>"
    held.go.set()
    held.reader.submit("flood", str).result(PATIENCE)
    assert held.done[:6] == ["flood 0", "second 0", "third 0", "flood 1", "second 1", "third 1"]
    assert held.done[6:] == [f"flood {number}" for number in range(2, 50)]
    assert repr(held.reader) == "<BodyReader: 0 waiting, of 0 clients>"


def test_what_nobody_asks_for_any_more_is_not_read(held: HeldReader) -> None:
    """Nor is it kept once its client has a turn."""
    for number in range(4):
        held.ask("one", str(number))
        if number != 2:
            assert held.last.cancel()
    held.ask("other", "other")
    held.go.set()
    held.reader.submit("one", str).result(PATIENCE)
    assert held.done == ["other", "2"]


async def test_an_error_reaches_who_asked() -> None:
    """And the thread goes on."""
    reader, loop = BodyReader("test"), asyncio.get_running_loop()
    with pytest.raises(ZeroDivisionError):
        await reader.read(loop, "one", lambda: 1 / 0)
    assert await reader.read(loop, "one", str, 5) == "5"
