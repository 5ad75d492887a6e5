"""What an owner asks first: does everything work, what expires next, who was refused, what changed. Pure.

Plain values in, JSON values out. Nothing shown is a secret.
"""

from __future__ import annotations

import heapq
import math
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from proxy.admin.history import moment, next_step, reason
from proxy.audit.records import WRITE, is_refused, is_refused_read, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.access.client_keys import KnownKey
    from proxy.observability.recent_requests import RecentRequest
    from proxy.reports.overview import ReportOverview
    from proxy.tokens.invitation import Invitation
    from proxy.tokens.values import CredentialStatus

MAX_LINES: Final = 5
"""Lines in each list: an owner reads all of them."""
MAX_NAMES: Final = 3
MAX_INVITATIONS: Final = 20
SOON_DAYS: Final = 30
DAY: Final = 86400.0

# --- Is everything working? ----------------------------------------------------------------------------------


class Outage(Enum):
    """Why an account does not serve, as said of one and of several; the gravest first."""

    SIGN_IN = "needs a new sign-in", "need a new sign-in"
    APPLICATION = "has a client id or secret that Amazon refuses", "have a client id or secret that Amazon refuses"
    REFUSED = "has a token that Amazon refuses", "have a token that Amazon refuses"
    RENEWAL = "cannot renew its token", "cannot renew their token"
    FIRST_SIGN_IN = "is not connected yet", "are not connected yet"
    STARTING = "is starting", "are starting"


def why_not_serving(status: CredentialStatus) -> Outage:
    """Why an account without a usable token does not serve."""
    if status.state == "pending":
        return Outage.STARTING if status.has_refresh_token else Outage.FIRST_SIGN_IN
    if status.state == "revoked":
        return Outage.SIGN_IN
    if status.state == "misconfigured":
        return Outage.APPLICATION
    return Outage.REFUSED if status.refused else Outage.RENEWAL


FROZEN: Final = {"tone": "busy", "sentence": "Every account serves, but writes are frozen. Read the message below."}
"""The verdict while writes are frozen and all else works."""


def verdict(
    total: int, attention: int, stopped: Mapping[Outage, Sequence[str]], *, draining: bool, troubled: bool
) -> dict[str, str]:
    """One sentence on whether everything works, and its tone: good, busy (look at it soon) or bad.

    `stopped` has the accounts that do not serve, by reason; `troubled` means that the proxy itself reports a problem.
    """
    if draining:
        return {"tone": "busy", "sentence": "The proxy is stopping and accepts no new requests."}
    if not total:
        return {"tone": "busy", "sentence": "No account is configured."}
    count = sum(map(len, stopped.values()))
    if count:
        do = "does" if count == 1 else "do"
        who = "No account serves" if count == total else f"{count} of {total} accounts {do} not serve"
        reasons = _listed([_because(why, stopped[why]) for why in Outage if why in stopped])
        tone = "busy" if set(stopped) == {Outage.STARTING} else "bad"
        return {"tone": tone, "sentence": f"{who}: {reasons}."}
    serve = "The only account serves" if total == 1 else f"All {total} accounts serve"
    if troubled:
        return {"tone": "bad", "sentence": f"{serve}, but the proxy has a problem. Read the message below."}
    if attention:
        what = "it needs" if total == 1 else f"{attention} of them {'needs' if attention == 1 else 'need'}"
        return {"tone": "busy", "sentence": f"{serve}, but {what} attention."}
    return {"tone": "good", "sentence": f"Everything works. {serve}."}


def _because(why: Outage, names: Sequence[str]) -> str:
    one, many = why.value
    more = len(names) - MAX_NAMES
    shown = [*names[:MAX_NAMES], *([f"{more} more"] if more > 0 else [])]
    return f"{len(names)} {one if len(names) == 1 else many} ({_listed(shown)})"


def _listed(texts: Sequence[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else texts[0]


# --- What expires next? --------------------------------------------------------------------------------------


def expiring(
    consents: Iterable[tuple[float, str]], keys: Sequence[KnownKey], now: float, *, invites: bool
) -> list[dict[str, Any]]:
    """The consents and keys that expire next, the first one first. In the last 30 days, each says what to do.

    `consents` are when each expires, and the account.
    """
    dated: list[tuple[float, str, KnownKey | None]] = [(at, name, None) for at, name in consents if at > now]
    dated += [(known.key.until, known.client, known) for known in keys if now < known.key.until < math.inf]
    reconnect = f"Press Reconnect at the account{', or send the advertiser a link with Invite' if invites else ''}."
    return [
        {
            "kind": "consent" if known is None else "key",
            "name": name,
            "key": "" if known is None else known.key.id,
            "expires_at": moment(at),
            "days": int((at - now) // DAY),
            "advice": "" if at - now >= SOON_DAYS * DAY else reconnect if known is None else _key_advice(known, keys),
        }
        for at, name, known in heapq.nsmallest(MAX_LINES, dated, key=lambda line: line[0])
    ]


def _key_advice(known: KnownKey, keys: Iterable[KnownKey]) -> str:
    if any(other.key.until > known.key.until for other in keys if other.client == known.client):
        return "Check that the client uses its newer key."
    return f"Make a new key with `ads-proxy keys new {known.client}` and give it to the client."


def undated(accounts: Sequence[str]) -> dict[str, Any]:
    """Accounts whose consent expires on an unknown day: how many, and the first few names."""
    return {"count": len(accounts), "accounts": list(accounts[:MAX_NAMES])}


# --- Who was refused? ----------------------------------------------------------------------------------------


def refusals(failures: Iterable[RecentRequest]) -> dict[str, Any]:
    """Clients that got a 4xx response, from the proxy or from Amazon: why, how often, and what to do; and where the
    last requests of unknown clients came from.

    `failures` come newest first, and so do the lines. `count` is of all lines, also of those that are not shown.
    """
    groups: dict[tuple[str, str, str], list[RecentRequest]] = {}
    for request in failures:
        if 400 <= request.status < 500:
            groups.setdefault((request.kind.client, reason(request), request.kind.account), []).append(request)
    lines = [
        {
            "client": client,
            "status": members[0].status,
            "reason": why,
            "account": account,
            "count": len(members),
            "last": moment(members[0].at),
            "addresses": list(dict.fromkeys(each.address for each in members if each.address))[:MAX_NAMES],
            "next_step": next_step(members[0].status, members[0].refusal, members[0].fault),
        }
        for (client, why, account), members in groups.items()
    ]
    return {"count": sum(map(len, groups.values())), "groups": len(lines), "lines": lines[:MAX_LINES]}


# --- What changed? -------------------------------------------------------------------------------------------


def changes(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The newest audit records that report a change, the newest first; equal ones in a row are one line.

    `records` come oldest first, as `proxy.audit.records` makes them: names and numbers, never a secret.
    """
    lines: list[dict[str, Any]] = []
    for record in reversed(records):
        if record["event"]["type"] in (["info"], ["denied"]) or is_refused_read(record):
            continue
        line = _change(record)
        if lines and all(lines[-1][name] == line[name] for name in line.keys() - {"at", "count"}):
            lines[-1]["count"] += 1
        elif len(lines) == MAX_LINES:
            break
        else:
            lines.append(line)
    return lines


def _change(record: Mapping[str, Any]) -> dict[str, Any]:
    event, own = record["event"], record.get("ads_proxy", {})
    return {
        "at": record["@timestamp"],
        "what": _what(record),
        "detail": event.get("reason", "") or ", ".join(own.get("changed", ())),
        "who": record.get("user", {}).get("name", ""),
        "account": own.get("account", ""),
        "place": own.get("profile", "") or own.get("ads_account", ""),
        "outcome": "refused" if is_refused(record) else event["outcome"],
        "count": 1,
    }


def _what(record: Mapping[str, Any]) -> str:
    """Amazon's name of the operation, the tools called by MCP, or the action in words."""
    own, action = record.get("ads_proxy", {}), str(record["event"]["action"])
    if action != WRITE:
        return action.replace("-", " ").capitalize()
    if own.get("mcp_tools"):
        return ", ".join(own["mcp_tools"])
    return name_of(record)


# --- Which invitations are open? -----------------------------------------------------------------------------


def invitations(opened: Sequence[Invitation]) -> dict[str, Any]:
    """Unused links, those that expire first, first; never the link itself."""
    soonest = sorted(opened, key=lambda each: each.expires_at)[:MAX_INVITATIONS]
    return {
        "total": len(opened),
        "invitations": [
            {"account": each.account, "made_at": moment(each.made_at), "expires_at": moment(each.expires_at)}
            for each in soonest
        ],
    }


# --- What becomes of named reports? --------------------------------------------------------------------------

MAX_RUNS: Final = 5


def reports(found: Iterable[ReportOverview]) -> list[dict[str, Any]]:
    """Each named report with its result, the run that comes, and the last runs, the newest first."""
    return [
        {
            "name": each.name,
            "account": each.account,
            "state": each.state.value,
            "under_way": each.is_under_way,
            "waits_for": each.waits_for,
            "completed_at": None if each.result is None else moment(each.result.completed_at),
            "rows": each.rows,
            "stale": list(each.stale[:MAX_NAMES]),
            "stale_count": len(each.stale),
            "next_run": None if each.next_run is None else moment(each.next_run),
            "runs": [
                {
                    "ended_at": moment(run.ended_at),
                    "result": run.result.value,
                    "rows": run.rows,
                    "error": next(iter(run.errors), ""),
                }
                for run in each.history[:MAX_RUNS]
            ],
        }
        for each in found
    ]
