"""Who decides about writes over a limit, by keys of their own. Pure.

An approver's key opens approvals and nothing else: no client is identified by one, and no client's key is among these.
Keys are kept and compared as SHA-256, in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.access.client_keys import locked_out_at
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.access.client_keys import ClientKey

APPROVER_KEY: Final = b"x-ads-proxy-approver-key"
"""The header field of the key at the admin listener. One that comes to the client listener ends there."""


class Approver(NamedTuple):
    """A person who decides."""

    name: str
    keys: tuple[ClientKey, ...]


@dataclass(frozen=True, slots=True)
class Approvers:
    """All approvers of a configuration; a reload replaces the whole object."""

    approvers: tuple[Approver, ...] = ()

    def locked_out(self) -> dict[str, float | None]:
        """When each approver is without any key, as wall-clock time; None where one of its keys has no end."""
        return {approver.name: locked_out_at(approver.keys) for approver in self.approvers}

    def identify(self, key: bytes, now: float) -> str | None:
        """The name of the approver with this key; None for an unknown or expired key. `now` is wall-clock time."""
        return self.with_digest(hashlib.sha256(key).hexdigest(), now)

    def with_digest(self, digest: str, now: float) -> str | None:
        """The name of the approver with the key of this digest. Every digest is compared, so that the time of an answer
        tells nothing."""
        found = None
        for approver in self.approvers:
            for each in approver.keys:
                if hmac.compare_digest(digest, each.digest) and not each.has_ended(now):
                    found = approver.name
        return found
