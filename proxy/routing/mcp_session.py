"""A session of the hosted MCP endpoint: which one a request belongs to, and that it stays where it began. Pure.

A session id is worth something to one account and region (docs/development/amazon.md, MCP): what began there is sent
nowhere else. A session of a limited client is for one advertiser, too. Which sessions there are is for
`mcp.sessions`, and how those of limited clients are told for `mcp.fixed_sessions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import SessionElsewhere
from proxy.routing.ads_account import sent_manager
from proxy.routing.table import Selection
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http1.request_fields import RequestFields
    from proxy.routing.table import RoutingTable

SESSION_ID = b"mcp-session-id"

ACCOUNT_HEADER = b"Amazon-Ads-AccountID"
"""How the MCP endpoint spells the header of an ads account."""
MODE_HEADER = b"Amazon-Ads-AI-Account-Selection-Mode"
FIXED = b"FIXED"
_MODE = MODE_HEADER.lower()


@dataclass(frozen=True, slots=True)
class FixedAccount:
    """Whom tools work for in FIXED mode: a profile or an ads account, of which the other is empty."""

    profile: bytes = b""
    ads_account: bytes = b""


def stated_account(fields: RequestFields, profile: bytes, ads_account: bytes) -> FixedAccount | None:
    """The one advertiser that a client itself states in FIXED mode, by the profile and the ads account that its request
    is sent with; None in any other mode, and where it states several."""
    modes = {value.upper() for name, value in fields.every if name == _MODE}
    if modes != {FIXED} or sent_manager(fields) or bool(profile) is bool(ads_account):
        return None
    return FixedAccount(profile, ads_account)


@dataclass(frozen=True, slots=True)
class McpSession:
    """Whose session it is, and where it lives. `fixed` is None unless it began for one advertiser."""

    client: str
    account: str
    region: str
    fixed: FixedAccount | None = None


def stay(
    session: McpSession,
    selection: Selection | None,
    region: str,
    listed: Iterable[tuple[str, str]],
    table: RoutingTable,
) -> Selection:
    """The account and region of a session, where nothing that the request says chooses others: `SessionElsewhere`.

    `selection` and `region` are what selectors choose, None and empty where there are none; `listed` are the pairs of
    account and region that list the Scope or the ads account of the request.
    """
    account = table.accounts.get(session.account)
    if account is None or region not in ("", session.region):
        raise elsewhere()
    if selection is not None:
        led_away = selection.account.name != session.account
    else:
        pairs = frozenset(listed)
        led_away = bool(pairs) and (session.account, session.region) not in pairs
    if led_away:
        raise elsewhere()
    return Selection(account, session.region)


def elsewhere() -> SessionElsewhere:
    """One answer, whosever the session is and wherever it lives: MCP has its clients begin a new one after it."""
    return SessionElsewhere(
        "This Mcp-Session-Id is unknown, or belongs to another client, account or region; begin a new session with "
        "`initialize`."
    )
