"""The questions of gates about the approvals of all clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.errors import LedgerUnavailable

if TYPE_CHECKING:
    from proxy.spend.approvals import Approval, Found, WriteToApprove


class Approvals(Protocol):
    """The approvals of all clients, as gates ask for them. All methods but `give_back` raise `LedgerUnavailable` while
    the state store is away: no write that needs an approval leaves then."""

    async def find(self, client: str, digest: str) -> Found:
        """The pending, approved or denied approval of exactly this write."""

    async def ask(self, write: WriteToApprove) -> Approval | None:
        """The approval that was found or is pending from now on, which shows all violations of the write; None where
        too many are pending. An earlier one that shows fewer ends if another takes its place."""

    async def use(self, client: str, identifier: str) -> bool:
        """Whether this approval was approved, and is used by this request alone from now on."""

    def give_back(self, client: str, identifier: str) -> None:
        """Nothing of the write that used it was sent: it is approved again. Never raises."""

    async def void(self, client: str, identifier: str, because: str) -> None:
        """End an approval whose objects have changed."""

    async def get(self, client: str, identifier: str) -> Approval | None:
        """An approval of this client, in whatever state; None for an unknown one."""


class AbsentApprovals:
    """Implements `Approvals` where there are none: nothing that needs one may leave."""

    def __repr__(self) -> str:
        return "<AbsentApprovals>"

    async def find(self, client: str, digest: str) -> Found:
        raise LedgerUnavailable("This process cannot ask a person.")

    async def ask(self, write: WriteToApprove) -> Approval | None:
        raise LedgerUnavailable("This process cannot ask a person.")

    async def use(self, client: str, identifier: str) -> bool:
        return False

    def give_back(self, client: str, identifier: str) -> None:
        """There is nothing to give back."""

    async def void(self, client: str, identifier: str, because: str) -> None:
        """There is nothing to end."""

    async def get(self, client: str, identifier: str) -> Approval | None:
        return None
