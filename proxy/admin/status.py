"""What `/status` and the console say, as plain JSON values: each account's state in words that a person understands.

The program's view and the time in, dictionaries out: nothing is changed here, and nothing shown is a secret.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from proxy.admin import recent
from proxy.tokens.consent import day_of, describe, phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.admin.history import RequestHistory
    from proxy.admin.view import (
        AccountView,
        AdminView,
        AdsAccountView,
        ClientKeyView,
        ListingFailureView,
        ProfileView,
    )
    from proxy.tokens.consent import Consent
    from proxy.tokens.values import CredentialStatus

_BROKEN: Final = frozenset({"revoked", "misconfigured"})
_UNTIL_THEN: Final = "Requests are served until the token in hand ends."
_REFUSED: Final = "Amazon also answers 401 to the access token, so requests are answered 503."
_WORDS: Final = {
    "pending": ("Starting", "The first access token has not arrived yet."),
    "valid": ("Working", "Requests are served; the token is renewed by itself before it ends."),
    "degraded": ("Working, renewal failing", "Requests are still served, but the token could not be renewed yet."),
    "expired": ("Not serving", "The token ended and could not be renewed; it is tried again by itself."),
    "revoked": ("Sign-in needed", "Amazon no longer accepts this account's refresh token."),
    "misconfigured": ("Misconfigured", "Login with Amazon does not accept the client id or the client secret."),
}
_UNCONNECTED: Final = ("Not connected", "Nobody has signed in for this account yet.")


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
    """What to do, for somebody who has the console's buttons before them. `account` is of `account_status`."""
    name = account["name"]
    if not account["has_refresh_token"]:
        return f"Press Connect, or run `ads-proxy login {name}` on the proxy's machine; or configure a refresh token."
    if account["state"] == "revoked":
        return (
            "Press Reconnect and sign in as a user of the ads account, or put a new refresh token in place; "
            f"`ads-proxy login {name}` does the same at a terminal. If the client id or the token is new here, "
            "check that the token was issued to this client id."
        )
    return str(account["advice"])


def consent_status(consent: Consent, now: float) -> dict[str, Any]:
    """How long the advertiser's consent holds: where it stands, its days, and a sentence."""
    ends_at = consent.ends_at
    return {
        "phase": phase(consent, now),
        "explanation": describe(consent, now),
        "given_on": None if consent.given_at is None else str(day_of(consent.given_at)),
        "known_by": consent.origin,
        "first_seen": stamp(consent.first_seen),
        "ends_at": stamp(ends_at),
        "ends_in": None if ends_at is None else round(ends_at - now, 1),
        "ends_at_the_latest": stamp(consent.ends_at_the_latest),
    }


def account_status(status: CredentialStatus, account: AccountView | None, counts: dict[str, int], now: float) -> Any:
    """One account; `counts` are its profiles by region."""
    title, sentence = in_words(status)
    serving = status.expires_at is not None and status.expires_at > now and not status.refused
    if status.state in _BROKEN and (serving or status.refused):
        sentence = f"{sentence} {_UNTIL_THEN if serving else _REFUSED}"
    failure = status.last_failure
    return {
        "name": status.account,
        "region": account.region if account else None,
        "default_profile": account.default_profile if account else None,
        "default_ads_account": account.default_ads_account if account else None,
        "state": status.state,
        "serving": serving,
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
        "consent": consent_status(status.consent, now),
        "profiles": counts,
    }


def listing_failures(failures: Iterable[ListingFailureView], account: str) -> list[dict[str, str | None]]:
    """Where an account's profiles could not be listed the last time, why, and when that was."""
    return [
        {"region": failure.region, "detail": failure.detail, "at": stamp(failure.at)}
        for failure in failures
        if failure.account == account
    ]


def client_keys(keys: Iterable[ClientKeyView], now: float) -> list[dict[str, Any]]:
    """The keys of clients: which end when, and which are in use."""
    return [
        {
            "client": key.client,
            "id": key.id,
            "note": key.note,
            "ends_at": stamp(key.ends_at),
            "ended": key.ends_at is not None and key.ends_at <= now,
            "last_used": stamp(key.last_used),
        }
        for key in keys
    ]


def program_status(view: AdminView, now: float) -> dict[str, Any]:
    """The program and its accounts, without the list of profiles."""
    program = view.program()
    configured = {account.name: account for account in view.accounts()}
    counts: dict[str, dict[str, int]] = {}
    for profile in view.profiles():
        regions = counts.setdefault(profile.account, {})
        regions[profile.region] = regions.get(profile.region, 0) + 1
    failures = view.listing_failures()
    return {
        "version": program.version,
        "demo": program.demo,
        "started": view.started(),
        "ready": view.ready(),
        "draining": view.draining(),
        "started_at": stamp(program.started_at),
        "uptime_seconds": round(now - program.started_at, 1),
        "now": stamp(now),
        "tools_url": program.tools_url,
        "keyed": program.keyed,
        "invites": program.invites,
        "notes": list(program.notes),
        "connections": dict(program.connections),
        "workers": [{**asdict(worker), "since": stamp(worker.since)} for worker in program.workers],
        "state": {"degraded": bool(program.state.trouble), **asdict(program.state)},
        "audit": None if program.audit is None else asdict(program.audit),
        "client_keys": client_keys(view.client_keys(), now),
        "config": {"problems": list(program.config_problems), "needs_restart": list(program.needs_restart)},
        "accounts": [
            {
                **account_status(status, configured.get(status.account), counts.get(status.account, {}), now),
                "ads_accounts": {
                    region: count
                    for (name, region), count in view.ads_account_counts().items()
                    if name == status.account
                },
                "listing_failures": listing_failures(failures, status.account),
            }
            for status in sorted(view.credentials(), key=lambda status: status.account)
        ],
    }


def full_status(view: AdminView, history: RequestHistory, now: float) -> dict[str, Any]:
    """What `/status` answers: the program, its accounts, what Amazon limits, who asks how much, what failed, the last
    refused requests, every profile and every ads account."""
    return {
        **program_status(view, now),
        "throttles": [{**asdict(limit), "wait": round(limit.wait, 1)} for limit in view.throttles()],
        **request_status(view, history),
        "refused": refused_requests(history),
        "profiles": [asdict(profile) for profile in view.profiles()],
        "ads_accounts": [asdict(ads_account) for ads_account in view.ads_accounts()],
    }


def console_status(view: AdminView, history: RequestHistory, now: float) -> dict[str, Any]:
    """What the console asks for every few seconds."""
    program = program_status(view, now)
    return {
        **program,
        "accounts": [{**account, "advice": advice_at_the_buttons(account)} for account in program["accounts"]],
        "clock": now,
        "key_required": view.access().key is not None,
        "traffic": [asdict(step) for step in history.steps()],
        **request_status(view, history),
        "refused": refused_requests(history),
    }


def request_status(view: AdminView, history: RequestHistory) -> dict[str, Any]:
    """Clients and accounts with their last quarter of an hour, and what failed."""
    tallies = history.tallies()
    return {
        "clients": recent.table(tallies.clients, (key.client for key in view.client_keys())),
        "account_traffic": recent.table(tallies.accounts, (status.account for status in view.credentials())),
        "failures": recent.failures(history),
    }


def refused_requests(history: RequestHistory) -> list[dict[str, Any]]:
    """The last ones, the newest first."""
    return [{**asdict(request), "at": stamp(request.at)} for request in history.refused()]


def find_profiles(profiles: Iterable[ProfileView], search: str, account: str, limit: int) -> dict[str, Any]:
    """The profiles that hold every word of the search, and how many there are in all."""
    found = [
        profile
        for profile in profiles
        if (not account or profile.account == account)
        and _holds(search, profile.id, profile.name, profile.country, profile.region, profile.account, profile.kind)
    ]
    return {"total": len(found), "profiles": [asdict(profile) for profile in found[:limit]]}


def find_ads_accounts(ads_accounts: Iterable[AdsAccountView], search: str, limit: int) -> dict[str, Any]:
    """The ads accounts and linked advertisers that hold every word of the search, and how many there are in all.

    A profile's or an entity's id finds its ads account.
    """
    found = [
        each
        for each in ads_accounts
        if _holds(
            search, each.id, each.name, each.kind, each.account, *_places_of(each), *each.profiles, *each.entities
        )
    ]
    return {"total": len(found), "ads_accounts": [asdict(each) for each in found[:limit]]}


def _places_of(ads_account: AdsAccountView) -> tuple[str, ...]:
    return (*ads_account.countries, *ads_account.regions)


def _holds(search: str, *texts: str) -> bool:
    """Whether every word of a search is somewhere in these texts, in any case."""
    whole = " ".join(texts).casefold()
    return all(word in whole for word in search.casefold().split())
