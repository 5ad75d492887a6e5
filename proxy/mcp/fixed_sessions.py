"""Session ids of the MCP endpoint as clients get them whose advertiser counts: signed, and saying whose and for whom.
Pure.

The proxy does not keep such a session: their number needs no bound, and every replica with the same
configuration reads them. Whether a request may go on with a session is for `policy` and `routing.mcp_session`.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from proxy.access.placeholders import read_payload, sign, write_payload
from proxy.access.policy import names_mode
from proxy.http1.fields import plain_name
from proxy.routing.ads_account import NAMES_ACCOUNT
from proxy.routing.mcp_session import SESSION_ID, FixedAccount, McpSession, elsewhere
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

_PREFIX = b"ap1."
_MAX_BYTES = 8192


@dataclass(frozen=True, slots=True)
class FixedSessions:
    """Writes and reads session ids with one key, which outlives restarts."""

    key: bytes

    def write(self, session: McpSession, identifier: bytes) -> bytes:
        """What the client gets instead of Amazon's `identifier`: the same each time."""
        fixed = session.fixed or FixedAccount()
        names = [session.client, session.account, session.region]
        ids = [each.decode("latin-1") for each in (fixed.profile, fixed.ads_account, identifier)]
        payload = write_payload([*names, *ids])
        return _PREFIX + payload + b"." + sign(self.key, _PREFIX, payload)

    def may_have_written(self, text: bytes) -> bool:
        """Whether a client's id has the form of those that are written here."""
        return text.startswith(_PREFIX)

    def read(self, text: bytes, client: str) -> tuple[McpSession, bytes]:
        """The session that a client's id stands for, and Amazon's own id of it. Raises `SessionElsewhere` for one of
        another client, or that was never written here."""
        payload, _, signature = text.removeprefix(_PREFIX).partition(b".")
        known = self.may_have_written(text) and len(text) <= _MAX_BYTES
        if not known or not hmac.compare_digest(sign(self.key, _PREFIX, payload), signature):
            raise elsewhere()
        owner, account, region, profile, ads_account, identifier = read_payload(payload)
        if owner != client:
            raise elsewhere()
        fixed = FixedAccount(profile.encode("latin-1"), ads_account.encode("latin-1"))
        return McpSession(owner, account, region, fixed), identifier.encode("latin-1")

    def __repr__(self) -> str:
        return "FixedSessions(***)"


def fixing_account(fields: RequestFields, session: bytes) -> RequestFields:
    """The header section with what the route says of account and session instead of what the client says. `session` is
    Amazon's own id of it, empty for none."""
    lines = fields.passing.splitlines(keepends=True)
    kept = [line for line in lines if not _says_account(plain_name(line.partition(b":")[0]))]
    return naming_session(replace(fields, passing=b"".join(kept)), session)


def naming_session(fields: RequestFields, session: bytes) -> RequestFields:
    """The header section with Amazon's own id of the session, empty for none, instead of what the client has for it."""
    lines = fields.passing.splitlines(keepends=True)
    kept = [line for line in lines if plain_name(line.partition(b":")[0]) != SESSION_ID]
    every = tuple((name, session if name == SESSION_ID else value) for name, value in fields.every)
    line = b"Mcp-Session-Id: %b\r\n" % session if session else b""
    return replace(fields, passing=b"".join(kept) + line, every=every)


def _says_account(plain: bytes) -> bool:
    return plain in NAMES_ACCOUNT or names_mode(plain)
