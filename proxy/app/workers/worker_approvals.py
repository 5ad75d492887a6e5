"""The approvals for the clients of all workers: a worker asks its supervisor, which keeps those of the program.

Both ends of the conversation are here. What a killed worker used stays used, as its write may have left. Without the
supervisor nothing is approved, so that no write over a limit leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.app.workers.supervisor_questions import SupervisorQuestions, answer_of
from proxy.spend.approvals import Found, read_approval, read_asked, write_approval, write_asked

if TYPE_CHECKING:
    from proxy.app.workers.channel import Channel, Message
    from proxy.spend.approval_questions import Approvals
    from proxy.spend.approvals import Approval, WriteToApprove

APPROVAL: Final = "approval"
"""The kind of a message that gives back, and of the questions about approvals."""


# --- In a worker -------------------------------------------------------------------------------------------------


class WorkerApprovals:
    """Implements `Approvals`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._questions = SupervisorQuestions(channel, APPROVAL, "keeps the approvals")

    def __repr__(self) -> str:
        return f"<WorkerApprovals: {self._channel!r}>"

    async def find(self, client: str, digest: str) -> Found:
        approval, is_full = await self._questions.ask("find", client, digest)
        return Found(_read(approval), is_full)

    async def ask(self, write: WriteToApprove) -> Approval | None:
        return _read(await self._questions.ask("ask", write_asked(write)))

    async def use(self, client: str, identifier: str) -> bool:
        def give_back(used: bool) -> None:
            if used:
                self.give_back(client, identifier)

        used: bool = await self._questions.take(give_back, "use", client, identifier)
        return used

    def give_back(self, client: str, identifier: str) -> None:
        self._channel.send(APPROVAL, client=client, back=identifier)

    async def void(self, client: str, identifier: str, because: str) -> None:
        await self._questions.ask("void", client, identifier, because)

    async def get(self, client: str, identifier: str) -> Approval | None:
        return _read(await self._questions.ask("get", client, identifier))


# --- In the supervisor -------------------------------------------------------------------------------------------


class WorkersApprovals:
    """Answers the workers from the approvals of the program."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def __repr__(self) -> str:
        return f"<WorkersApprovals: {self._approvals!r}>"

    async def asked(self, message: Message) -> Message:
        """The answer to a question `APPROVAL`."""
        return await answer_of(self._answer(message["call"], *message["values"]))

    async def _answer(self, call: str, *values: Any) -> Any:
        approvals = self._approvals
        match call:
            case "find":
                found = await approvals.find(*values)
                return _write(found.approval), found.is_full
            case "ask":
                return _write(await approvals.ask(read_asked(*values)))
            case "use":
                return await approvals.use(*values)
            case "void":
                return await approvals.void(*values)
            case _:
                return _write(await approvals.get(*values))

    def heard(self, message: Message) -> None:
        """Take a message of the kind `APPROVAL`."""
        self._approvals.give_back(message["client"], message["back"])


def _write(approval: Approval | None) -> dict[str, Any] | None:
    return None if approval is None else write_approval(approval)


def _read(said: Any) -> Approval | None:
    return None if said is None else read_approval(said)
