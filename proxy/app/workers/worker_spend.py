"""The ledger of the clients of all workers: a worker asks its supervisor, which has the one ledger of the program.

Both ends of the conversation are here. A worker that is killed leaves what it reserved counted, as its write may have
left. Without the supervisor nothing is counted, so that no write with a limit on its day leaves.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from proxy.app.workers.supervisor_questions import SupervisorQuestions, answer_of
from proxy.spend.judge import DayUse, Reservation
from proxy.spend.ledger import DayKey
from proxy.spend.limits import SpendLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.app.workers.channel import Channel, Message
    from proxy.spend.ledger import Ledger

SPEND: Final = "spend"
"""The kind of a message that gives back, and of the questions about a day."""


# --- In a worker -------------------------------------------------------------------------------------------------


class WorkerLedger:
    """Implements `Ledger`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._questions = SupervisorQuestions(channel, SPEND, "counts what is spent")

    def __repr__(self) -> str:
        return f"<WorkerLedger: {self._channel!r}>"

    async def reserve(self, key: DayKey, wanted: Reservation, limits: SpendLimits | None) -> tuple[bool, DayUse]:
        def give_back(answer: tuple[bool, Any]) -> None:
            if answer[0]:
                self.release(key, wanted)

        values = key, _write_reservation(wanted), _write_limits(limits)
        granted, use = await self._questions.take(give_back, "reserve", *values)
        return granted, _read_use(use)

    async def look(self, key: DayKey) -> DayUse:
        return _read_use(await self._questions.ask("look", key))

    def release(self, key: DayKey, back: Reservation) -> None:
        self._channel.send(SPEND, key=key, back=_write_reservation(back))

    async def days(self) -> Mapping[DayKey, DayUse]:
        return {DayKey(*key): _read_use(use) for key, use in await self._questions.ask("days")}


# --- In the supervisor -------------------------------------------------------------------------------------------


class WorkersLedger:
    """Answers the workers from the one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __repr__(self) -> str:
        return f"<WorkersLedger: {self._ledger!r}>"

    async def asked(self, message: Message) -> Message:
        """The answer to a question `SPEND`."""
        return await answer_of(self._answer(message["call"], *message["values"]))

    async def _answer(self, call: str, key: Any = None, wanted: Any = None, limits: Any = None) -> Any:
        if call == "days":
            return [[day, _write_use(use)] for day, use in (await self._ledger.days()).items()]
        if call == "look":
            return _write_use(await self._ledger.look(DayKey(*key)))
        granted, use = await self._ledger.reserve(DayKey(*key), _read_reservation(wanted), _read_limits(limits))
        return granted, _write_use(use)

    def heard(self, message: Message) -> None:
        """Take a message of the kind `SPEND`."""
        self._ledger.release(DayKey(*message["key"]), _read_reservation(message["back"]))


# --- Values as messages have them: amounts are texts -------------------------------------------------------------


def _write_reservation(reservation: Reservation) -> list[Any]:
    return [reservation.created, [[currency, str(amount)] for currency, amount in reservation.budgets]]


def _read_reservation(said: Any) -> Reservation:
    created, budgets = said
    return Reservation(created, tuple((currency, Decimal(amount)) for currency, amount in budgets))


def _write_limits(limits: SpendLimits | None) -> list[Any] | None:
    """The two limits that a ledger goes by."""
    return None if limits is None else [limits.new_per_day, _write_amounts(limits.budget_per_day)]


def _read_limits(said: Any) -> SpendLimits | None:
    return None if said is None else SpendLimits(new_per_day=said[0], budget_per_day=_read_amounts(said[1]))


def _write_use(use: DayUse) -> list[Any]:
    return [use.created, _write_amounts(use.budgets)]


def _read_use(said: Any) -> DayUse:
    return DayUse(said[0], _read_amounts(said[1]) or {})


def _write_amounts(amounts: Mapping[str, Decimal] | None) -> dict[str, str] | None:
    return None if amounts is None else {currency: str(amount) for currency, amount in amounts.items()}


def _read_amounts(said: Any) -> dict[str, Decimal] | None:
    return None if said is None else {currency: Decimal(amount) for currency, amount in said.items()}
