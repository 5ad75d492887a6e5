"""Questions of a worker about what its supervisor keeps, over real channels: without an answer nothing is granted."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from proxy.app.workers.supervisor_questions import SupervisorQuestions, answer_of
from proxy.errors import LedgerUnavailable
from tests.support.patience import settled
from tests.support.worker_channels import WorkerChannels, worker_channels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.app.workers.channel import Message

pytestmark = pytest.mark.usefixtures("every_loop")


class Till:
    """A supervisor that answers while it is `open`: with what it was asked for, or with `failure`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked_for: list[Any] = []
        self.failure: Exception | None = None
        self.given_back: list[Any] = []
        self.channels = WorkerChannels(self, "till")

    async def asked(self, message: Message) -> Message:
        return await answer_of(self._answer(message["call"], *message["values"]))

    async def _answer(self, call: str, amount: int) -> list[Any]:
        self.asked_for.append((call, amount))
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return [call, amount]

    def heard(self, message: Message) -> None:
        raise AssertionError(message)

    def questions(self) -> SupervisorQuestions:
        return SupervisorQuestions(self.channels.new(), "till", "has the till")

    async def take(self, questions: SupervisorQuestions, amount: int) -> Any:
        return await questions.take(self.given_back.append, "take", amount)


@asynccontextmanager
async def till() -> AsyncIterator[Till]:
    found = Till()
    async with worker_channels(found, "till") as found.channels:
        yield found


async def test_a_question_gets_its_answer() -> None:
    """The answer is that of the supervisor, and nothing is given back."""
    async with till() as bench:
        one, other = bench.questions(), bench.questions()
        assert await one.ask("look", 1) == ["look", 1]
        assert await bench.take(other, 2) == ["take", 2]
        assert bench.given_back == []


async def test_what_is_granted_after_the_client_left_is_given_back() -> None:
    """The supervisor was asked already, so that its answer is waited for."""
    async with till() as bench:
        bench.open.clear()
        leaving = asyncio.create_task(bench.take(bench.questions(), 3))
        await settled(lambda: bench.asked_for)
        leaving.cancel()
        await asyncio.wait((leaving,))
        assert bench.given_back == []
        bench.open.set()
        await settled(lambda: bench.given_back == [["take", 3]])


async def test_a_client_that_left_is_no_defect() -> None:
    """Whatever it waited for, and although the supervisor fails then."""
    async with till() as bench:
        one, met = bench.questions(), list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context))
        bench.open.clear()
        bench.failure = LedgerUnavailable("The store is away.")
        leaving = [asyncio.create_task(call) for call in (bench.take(one, 1), one.ask("look", 1))]
        await settled(lambda: len(bench.asked_for) == 2)
        for call in leaving:
            call.cancel()
        await asyncio.wait(leaving)
        bench.open.set()
        with pytest.raises(LedgerUnavailable):
            await one.ask("look", 2)
        gc.collect()
        assert (met, bench.given_back) == ([], [])


async def test_a_supervisor_that_hangs_grants_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is refused after a while, and what is granted later is given back."""
    monkeypatch.setattr("proxy.app.workers.supervisor_questions.PATIENCE", -1.0)
    async with till() as bench:
        one = bench.questions()
        bench.open.clear()
        for call in (bench.take(one, 4), one.ask("look", 4)):
            with pytest.raises(LedgerUnavailable, match=r"which has the till, does not answer\. Send .* again later"):
                await call
        bench.open.set()
        await settled(lambda: bench.given_back == [["take", 4]])


async def test_without_the_supervisor_nothing_is_granted() -> None:
    """A worker that lost it refuses each write that asks."""
    async with till() as bench:
        one = bench.questions()
        bench.channels.ends[0].close()
        for call in (bench.take(one, 5), one.ask("look", 5)):
            with pytest.raises(LedgerUnavailable, match=r"lost its supervisor, which has the till\. Send .* again on"):
                await call
        assert (bench.asked_for, bench.given_back) == ([], [])


async def test_trouble_of_the_supervisor_reaches_the_client_of_a_worker() -> None:
    """The detail, and when to try again."""
    async with till() as bench:
        one = bench.questions()
        bench.failure = LedgerUnavailable("The store is away.", retry_after=3.0)
        for call in (bench.take(one, 6), one.ask("look", 6)):
            with pytest.raises(LedgerUnavailable, match="The store is away") as caught:
                await call
            assert caught.value.retry_after == 3.0


async def test_a_defect_of_the_supervisor_grants_nothing() -> None:
    """Such a response is no answer."""
    async with till() as bench:
        met: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context["exception"]))
        bench.failure = ValueError()
        with pytest.raises(LedgerUnavailable, match="which has the till, met a defect"):
            await bench.take(bench.questions(), 7)
        assert met == [bench.failure]
