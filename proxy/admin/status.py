"""What `/status` and the console say, as plain JSON values: each account's state in words that a person understands.

The program's view and the time in, dictionaries out: nothing is changed here, and nothing shown is a secret.
"""

from __future__ import annotations

import heapq
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from proxy.admin import overview
from proxy.admin.history import BY_AMAZON, MAX_ROWS, failures, table
from proxy.admin.pauses import Pauses
from proxy.events import NEEDS_OPERATOR, Outcome
from proxy.routing.ends import ENDS, NO_END, names_of
from proxy.spend.overview import spend_status
from proxy.tokens.consent import ConsentPhase, day_of, describe, phase
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.access.client_keys import KnownKey
    from proxy.admin.history import RequestHistory
    from proxy.admin.view import AdminView, ProgramView
    from proxy.audit.stream import AuditCounts
    from proxy.config import Account
    from proxy.tokens.values import CredentialStatus


_UNTIL_THEN: Final = "Requests are served until the present token expires."
_REFUSED: Final = "Amazon also answers 401 to the access token, so requests get 503."
_WORDS: Final = {
    "pending": ("Starting", "The first access token has not arrived yet."),
    "valid": ("Working", "Requests are served. The proxy renews the token before it expires."),
    "degraded": ("Working, renewal failing", "Requests are still served, but the token could not be renewed yet."),
    "expired": ("Not serving", "The token expired and could not be renewed. The proxy tries again by itself."),
    "revoked": ("Sign-in needed", "Amazon no longer accepts this account's refresh token."),
    "misconfigured": ("Misconfigured", "Login with Amazon does not accept the client id or the client secret."),
}
_UNCONNECTED: Final = ("Not connected", "No sign-in for this account yet.")


def stamp(at: float | None) -> str | None:
    """RFC 3339 in UTC, to the second."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def in_words(status: CredentialStatus) -> tuple[str, str]:
    """A title and a sentence for an account's state."""
    if status.state == "pending" and not status.has_refresh_token:
        return _UNCONNECTED
    return _WORDS.get(status.state, (status.state, ""))


def advice_at_the_buttons(account: Any) -> str:
    """What to do, in the words of the console's buttons. `account` is of `account_status`."""
    name = account["name"]
    if not account["has_refresh_token"]:
        return f"Press Connect, run `ads-proxy login {name}` on the proxy's machine, or configure a refresh token."
    if account["state"] == "revoked":
        return (
            "Press Reconnect and sign in as a user of the ads account, or configure a new refresh token. "
            "If the client id or the token is new here, check that the token was issued to this client id."
        )
    return str(account["advice"])


_VOID: Final = "revoked"
"""The phase of a consent whose refresh token Amazon refuses before it has expired: `proxy.tokens.consent` knows no
refusals."""


def is_void(status: CredentialStatus, now: float) -> bool:
    """Whether the account's consent is worth nothing any more, although the day on which it expires has not come."""
    return status.state == "revoked" and phase(status.consent, now) not in (ConsentPhase.NONE, ConsentPhase.ENDED)


def consent_status(status: CredentialStatus, now: float) -> dict[str, Any]:
    """How long the advertiser's consent holds: where it stands, its days, and a sentence."""
    consent, void = status.consent, is_void(status, now)
    ends_at, latest = (None, None) if void else (consent.ends_at, consent.ends_at_the_latest)
    return {
        "phase": _VOID if void else phase(consent, now),
        "explanation": "Amazon no longer accepts the refresh token." if void else describe(consent, now),
        "given_on": None if consent.given_at is None else str(day_of(consent.given_at)),
        "known_by": consent.origin,
        "first_seen": stamp(consent.first_seen),
        "ends_at": stamp(ends_at),
        "ends_in": None if ends_at is None else round(ends_at - now, 1),
        "ends_at_the_latest": stamp(latest),
    }


def account_status(status: CredentialStatus, account: Account | None, counts: Mapping[str, int], now: float) -> Any:
    """One account; `counts` are its profiles by region."""
    title, sentence = in_words(status)
    serving = is_serving(status, now)
    if status.state in NEEDS_OPERATOR and (serving or status.refused):
        sentence = f"{sentence} {_UNTIL_THEN if serving else _REFUSED}"
    failure = status.last_failure
    return {
        "name": status.account,
        "region": account.region if account else None,
        "default_profile": account.default_profile if account else None,
        "default_ads_account": account.default_ads_account if account else None,
        "state": status.state,
        "serving": serving,
        "refused": status.refused,
        "title": title,
        "explanation": sentence,
        "advice": status.advice,
        "generation": status.generation,
        "has_refresh_token": status.has_refresh_token,
        "refresh_token_source": status.refresh_token_source,
        "expires_at": stamp(status.expires_at),
        "expires_in": None if status.expires_at is None else round(status.expires_at - now, 1),
        "last_success": stamp(status.last_success),
        "next_refresh_at": stamp(status.next_refresh_at),
        "unpersisted": status.unpersisted,
        "older_secret_in_use": status.older_secret_in_use,
        "last_failure": failure
        and {
            "reason": failure.reason,
            "permanent": failure.permanent,
            "detail": failure.detail,
            "advice": failure.advice,
            "at": stamp(failure.at),
        },
        "consent": consent_status(status, now),
        "profiles": dict(counts),
    }


def account_entry(view: AdminView, name: str, now: float) -> Any:
    """One account with its lists; None where it is not there."""
    status = view.credential(name)
    if status is None:
        return None
    return {
        **account_status(status, view.account(name), view.profile_counts(name), now),
        "ads_accounts": dict(view.ads_account_counts(name)),
        "listing_failures": [
            {"region": failure.region, "detail": failure.detail, "at": stamp(failure.at)}
            for failure in view.listing_failures(name)
        ],
    }


async def account_entries(view: AdminView, names: Iterable[str], now: float) -> list[Any]:
    """The entries of those accounts that exist."""
    pause, entries = Pauses(), []
    for name in names:
        entries.append(account_entry(view, name, now))
        await pause()
    return [entry for entry in entries if entry is not None]


def client_keys(keys: Iterable[KnownKey], now: float) -> list[dict[str, Any]]:
    """The keys of clients: which end when, and which are in use."""
    return [
        {
            "client": client,
            "id": key.id,
            "note": key.note,
            "ends_at": stamp(key.ends_at),
            "ended": key.has_ended(now),
            "last_used": stamp(last_used),
        }
        for client, key, last_used in keys
    ]


def _audit(counts: AuditCounts) -> dict[str, Any]:
    """Number and digest of the last record, and how many records were lost since the start."""
    head = counts.head
    return {"sequence": head.sequence, "digest": head.digest, "lost": counts.lost, "failing": counts.failing}


def freezes(program: ProgramView) -> dict[str, Any]:
    """Whose writes are frozen, and a problem with keeping that. The client None stands for all clients."""
    frozen = [
        {"client": each.client, "by": each.by, "because": each.because, "at": stamp(each.at)}
        for each in program.freezes
    ]
    return {"frozen": frozen, "problem": program.freeze_problem}


def program_status(view: AdminView, survey: Survey, now: float) -> dict[str, Any]:
    """The program, and how many accounts are in which state."""
    program = view.program()
    return {
        "version": program.version,
        "demo": program.demo,
        "started": view.started(),
        "ready": view.ready(),
        "draining": view.draining(),
        "started_at": stamp(program.started_at),
        "uptime_seconds": round(now - program.started_at, 1),
        "now": stamp(now),
        "clients_url": program.proxy_url,
        "keyed": program.keyed,
        "invites": program.invites,
        "notes": list(program.notes),
        "connections": dict(program.connections),
        "state": {
            "degraded": bool(program.store.problem),
            "kind": program.state,
            "trouble": program.store.problem,
            "replicas": program.store.replicas,
        },
        "audit": None if program.audit is None else _audit(program.audit),
        "freezes": freezes(program),
        "client_keys": client_keys(view.client_keys(), now),
        "config": {"problems": list(program.config_problems), "needs_restart": list(program.needs_restart)},
        "account_counts": {
            "total": len(survey.names),
            "serving": survey.serving,
            "attention": len(survey.attention),
            "states": dict(survey.states),
        },
    }


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Which accounts are asked for: one by its name, or the page that follows a name, the first where it is empty."""

    account: str = ""
    after: str = ""


async def full_status(
    view: AdminView, history: RequestHistory, survey: Survey, query: StatusQuery, now: float
) -> dict[str, Any]:
    """What `/status` answers: the program, accounts that need attention, a page of all accounts with their profiles and
    ads accounts, rate limits, traffic, failures, spending and the last refused requests."""
    page = survey.after(query.after, ProfileCounts(view))
    names, following = ((query.account,), None) if query.account else page
    return {
        **program_status(view, survey, now),
        "attention": await account_entries(view, survey.attention[:PAGE], now),
        "accounts": await account_entries(view, names, now),
        "next": following,
        "throttles": [{**asdict(limit), "wait": round(limit.wait, 1)} for limit in view.throttles()],
        **await request_status(view, history, survey),
        "spend": spend_status(await view.spend(), stamp, history.clean),
        "refused": refused_requests(history),
        "profiles": [asdict(profile) for name in names for profile in view.profiles(name)],
        "ads_accounts": [asdict(ads_account) for name in names for ads_account in view.ads_accounts(name)],
    }


class ProfileCounts(dict[str, int]):
    """The number of each account's profiles, counted on demand."""

    def __init__(self, view: AdminView) -> None:
        super().__init__()
        self._view = view

    def __missing__(self, account: str) -> int:
        return sum(self._view.profile_counts(account).values())


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """The page of accounts that the console shows, from 1 on; with `search`, of those whose names hold each word."""

    number: int = 1
    search: str = ""

    @staticmethod
    def read(query: Mapping[str, str]) -> ConsolePage:
        """The page of a query; the first one for what is no number."""
        page = query.get("page", "1")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 9 else 1
        return ConsolePage(max(1, number), query.get("search", ""))


async def console_status(
    view: AdminView, history: RequestHistory, survey: Survey, asked: ConsolePage, now: float
) -> dict[str, Any]:
    """What the console asks for every few seconds: a page full of accounts that need attention first, and the others on
    pages, those that need it before the calm ones."""
    pause = Pauses()
    attention, calm = [await _find(names, asked.search) for names in (survey.attention, survey.calm)]
    others = attention[PAGE:] + calm
    pages = max(1, -(-len(others) // PAGE))
    page = min(asked.number, pages)
    shown = (*attention[:PAGE], *others[(page - 1) * PAGE : page * PAGE])
    accounts = await account_entries(view, shown, now)
    tables = await request_status(view, history, survey)
    traffic = [asdict(step) for step in await history.steps()]
    await pause()
    return {
        **program_status(view, survey, now),
        **overview_status(view, history, survey, now),
        "accounts": [{**account, "advice": advice_at_the_buttons(account)} for account in accounts],
        "page": page,
        "pages": pages,
        "search": asked.search,
        "found": len(attention) + len(calm),
        "clock": now,
        "key_required": view.access().key is not None,
        "spend": spend_status(await view.spend(), stamp, history.clean),
        "traffic": traffic,
        "reports": overview.reports(await view.named_reports()),
        **tables,
    }


async def _find(names: tuple[str, ...], search: str) -> tuple[str, ...]:
    """The names that hold every word of a search."""
    if not search:
        return names
    pause, found = Pauses(), []
    for name in names:
        await pause()
        if _holds(search, name):
            found.append(name)
    return tuple(found)


def overview_status(view: AdminView, history: RequestHistory, survey: Survey, now: float) -> dict[str, Any]:
    """What an owner asks first. It costs the same for any number of accounts."""
    program = view.program()
    audit_failing = program.audit is not None and program.audit.failing
    troubled = bool(program.config_problems or program.store.problem or audit_failing)
    total, attention, records = len(survey.names), len(survey.attention), view.audit_records()
    draining = view.draining()
    verdict = overview.verdict(total, attention, survey.stopped, draining=draining, troubled=troubled)
    if verdict["tone"] == "good" and (program.freezes or program.freeze_problem):
        verdict = overview.FROZEN
    return {
        "verdict": verdict,
        "expiring": overview.expiring(survey.consents, view.client_keys(), now, invites=program.invites),
        "undated_consents": overview.undated(survey.undated),
        "refusals": overview.refusals(history.failures()),
        "changes": None if records is None else overview.changes(records),
    }


async def request_status(view: AdminView, history: RequestHistory, survey: Survey) -> dict[str, Any]:
    """Clients and accounts with their last quarter of an hour, and what failed."""
    tallies, pause = await history.tallies(), Pauses()
    accounts = survey.names if len(survey.names) <= MAX_ROWS else ()
    clients = table(tallies.clients, view.clients())
    await pause()
    account_traffic = table(tallies.accounts, accounts)
    await pause()
    failed = failures(history)
    await pause()
    return {
        "clients": clients,
        "account_traffic": account_traffic,
        "failures": failed,
        "write_outcomes": write_outcomes(history),
        "deprecated": deprecated_calls(history),
        "throttled_orders": throttled_orders(view),
    }


def throttled_orders(view: AdminView) -> list[dict[str, Any]]:
    """Where orders for reports wait for their turn; times in seconds."""
    return [
        {
            "account": each.limit.account,
            "region": each.limit.region,
            "interval": round(each.interval, 1),
            "next_in": round(each.next_in, 1),
            "throttled_for": round(each.throttled_for, 1),
            "waiting": each.waiting,
        }
        for each in view.throttled_orders()
    ]


def write_outcomes(history: RequestHistory) -> list[dict[str, Any]]:
    """How many writes succeeded, failed in part or whole, or ended unknown, since the start; by client and account."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for (client, account, outcome), count in history.counted("write_outcomes_total").items():
        found.setdefault((client, account), dict.fromkeys((each.value for each in Outcome), 0))[outcome] = count
    return [{"client": client, "account": account, **counts} for (client, account), counts in sorted(found.items())]


def deprecated_calls(history: RequestHistory) -> list[dict[str, Any]]:
    """Which clients call operations that Amazon announced to end, and how often since the start; those that end first
    come first. One that the configuration renamed has its name alone."""
    ends = {name: end for end in ENDS for name in names_of(end)}
    calls = [
        {
            "client": client,
            "operation": name,
            **asdict(ends.get(name, NO_END)),
            "calls": count,
        }
        for (client, name), count in history.counted("deprecated_requests_total").items()
    ]
    return sorted(calls, key=lambda each: (each["sunset"] or "9", each["deprecated"], each["path"], each["client"]))


def refused_requests(history: RequestHistory) -> list[dict[str, Any]]:
    """The last ones, the newest first."""
    return [
        {
            "at": stamp(request.at),
            "request_id": request.request_id,
            "client": request.kind.client,
            "subject": request.kind.subject,
            "account": request.kind.account,
            "method": request.kind.method,
            "path": request.path,
            "status": request.status,
            "reason": request.refusal or BY_AMAZON,
            "detail": request.detail,
        }
        for request in map(history.cleaned, history.refused())
    ]


async def find_profiles(view: AdminView, search: str, account: str, limit: int) -> dict[str, Any]:
    """The profiles that hold every word of the search, and how many there are in all."""
    pause, total, found = Pauses(), 0, []
    for name in (account,) if account else view.accounts():
        for each in view.profiles(name):
            if _holds(search, each.id, each.name, each.country, each.region, each.account, each.kind):
                total += 1
                if total <= limit:
                    found.append(asdict(each))
            await pause()
    return {"total": total, "profiles": found}


async def find_ads_accounts(view: AdminView, search: str, limit: int) -> dict[str, Any]:
    """The ads accounts and linked advertisers that hold every word of the search, and how many there are in all.

    A profile's or an entity's id finds its ads account.
    """
    pause, total, found = Pauses(), 0, []
    for name in view.accounts():
        await pause()
        for each in view.ads_accounts(name):
            places = *each.countries, *each.regions
            if _holds(search, each.id, each.name, each.kind, each.account, *places, *each.profiles, *each.entities):
                total += 1
                if total <= limit:
                    found.append(asdict(each))
            await pause()
    return {"total": total, "ads_accounts": found}


def _holds(search: str, *texts: str) -> bool:
    """Whether every word of a search is somewhere in these texts, in any case."""
    whole = " ".join(texts).casefold()
    return all(word in whole for word in search.casefold().split())


# --- All accounts at a glance ----------------------------------------------------------------------------

PAGE: Final = 50
"""Accounts on a page of `/status` and of the console."""
PAGE_PROFILES: Final = 2000
"""A page ends early where its accounts have more profiles than that."""
_CALM: Final = ("valid", "pending")
_CONSENT_ENDS: Final = ("ending", "ended")


@dataclass(frozen=True, slots=True)
class Survey:
    """`names` of all accounts, of those that need `attention`, and of the `calm` others, each in order.

    `states` counts accounts by state, `serving` those that have a token; `stopped` names the others by reason
    (`overview.why_not_serving`). `consents` are those that expire next: when, and the account. `undated` are accounts
    whose consent expires on an unknown day.
    """

    names: tuple[str, ...]
    attention: tuple[str, ...]
    calm: tuple[str, ...]
    states: Mapping[str, int]
    serving: int
    stopped: Mapping[overview.Outage, Sequence[str]]
    consents: tuple[tuple[float, str], ...]
    undated: tuple[str, ...]

    def after(self, name: str, profiles: Mapping[str, int]) -> tuple[tuple[str, ...], str | None]:
        """A page: the names that follow this one, and what leads to the next page, None at the end.

        `profiles` says how many profiles an account has.
        """
        start = bisect_right(self.names, name) if name else 0
        page: list[str] = []
        rows = 0
        for each in self.names[start : start + PAGE]:
            rows += profiles[each]
            if page and rows > PAGE_PROFILES:
                break
            page.append(each)
        left = start + len(page) < len(self.names)
        return tuple(page), page[-1] if page and left else None


async def survey_accounts(view: AdminView) -> Survey:
    """All accounts as they are now."""
    now, pause, states, serving = time.time(), Pauses(), Counter[str](), 0
    names: list[str] = []
    attention: list[str] = []
    calm: list[str] = []
    stopped: dict[overview.Outage, list[str]] = {}
    undated: list[str] = []
    soonest = Soonest(overview.MAX_LINES)
    unlisted = view.unlisted_accounts()
    for name in sorted(view.accounts()):
        await pause()
        status = view.credential(name)
        if status is None:  # removed meanwhile
            continue
        names.append(name)
        states[status.state] += 1
        ends_at = status.consent.ends_at
        if is_void(status, now):
            pass  # no day of it is of interest
        elif ends_at is None:
            undated += [name] if status.consent.ends_at_the_latest is not None else []
        elif ends_at > now:
            soonest.add(ends_at, name)
        if is_serving(status, now):
            serving += 1
        else:
            stopped.setdefault(overview.why_not_serving(status), []).append(name)
        needed = needs_attention(status, now) or name in unlisted
        (attention if needed else calm).append(name)
    return Survey(
        names=tuple(names),
        attention=tuple(attention),
        calm=tuple(calm),
        states=dict(states),
        serving=serving,
        stopped=stopped,
        consents=soonest.found(),
        undated=tuple(undated),
    )


class Soonest:
    """The earliest few of any number of moments, each with a name. Each costs the same to add."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._latest_first: list[tuple[float, str]] = []
        """A heap; its first entry is the first to be dropped."""

    def __repr__(self) -> str:
        return f"<Soonest {len(self._latest_first)} of at most {self._most}>"

    def add(self, at: float, name: str) -> None:
        keep = heapq.heappush if len(self._latest_first) < self._most else heapq.heappushpop
        keep(self._latest_first, (-at, name))

    def found(self) -> tuple[tuple[float, str], ...]:
        """The moments and names, in no order."""
        return tuple((-at, name) for at, name in self._latest_first)


def is_serving(status: CredentialStatus, now: float) -> bool:
    """Whether requests for the account are sent: its access token lives, and Amazon takes it. Pure."""
    return status.expires_at is not None and status.expires_at > now and not status.refused


def needs_attention(status: CredentialStatus, now: float) -> bool:
    """Whether an account's login has something that a person should know. Pure."""
    return (
        status.state not in _CALM
        or not status.has_refresh_token
        or status.unpersisted
        or status.older_secret_in_use
        or phase(status.consent, now) in _CONSENT_ENDS
    )
