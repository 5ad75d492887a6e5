"""What `/status` and the console say, as plain JSON values: each account's state in words that a person understands.

Pure: the program's view and the time in, dictionaries out. Never a secret.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.admin.traffic import Traffic
    from proxy.admin.view import AccountView, AdminView, ProfileView
    from proxy.tokens.values import CredentialStatus

_BROKEN: Final = frozenset({"revoked", "misconfigured"})
_UNTIL_THEN: Final = "Requests are served until the token in hand ends."
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


def account_status(status: CredentialStatus, account: AccountView | None, counts: dict[str, int], now: float) -> Any:
    """One account; `counts` are its profiles by region."""
    title, sentence = in_words(status)
    serving = status.expires_at is not None and status.expires_at > now
    if serving and status.state in _BROKEN:
        sentence = f"{sentence} {_UNTIL_THEN}"
    failure = status.last_failure
    return {
        "name": status.account,
        "region": account.region if account else None,
        "default_profile": account.default_profile if account else None,
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
        "last_failure": failure
        and {
            "reason": failure.reason,
            "permanent": failure.permanent,
            "detail": failure.detail,
            "advice": failure.advice,
            "at": stamp(failure.at),
        },
        "profiles": counts,
    }


def program_status(view: AdminView, now: float) -> dict[str, Any]:
    """The program and its accounts, without the list of profiles."""
    program = view.program()
    configured = {account.name: account for account in view.accounts()}
    counts: dict[str, dict[str, int]] = {}
    for profile in view.profiles():
        regions = counts.setdefault(profile.account, {})
        regions[profile.region] = regions.get(profile.region, 0) + 1
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
        "notes": list(program.notes),
        "connections": dict(program.connections),
        "config": {"problems": list(program.config_problems), "needs_restart": list(program.needs_restart)},
        "accounts": [
            account_status(status, configured.get(status.account), counts.get(status.account, {}), now)
            for status in sorted(view.credentials(), key=lambda status: status.account)
        ],
    }


def full_status(view: AdminView, now: float) -> dict[str, Any]:
    """What `/status` answers: the program, its accounts and every profile."""
    return {**program_status(view, now), "profiles": [asdict(profile) for profile in view.profiles()]}


def console_status(view: AdminView, traffic: Traffic, now: float) -> dict[str, Any]:
    """What the console asks for every few seconds."""
    return {
        **program_status(view, now),
        "clock": now,
        "key_required": view.access().key is not None,
        "traffic": [asdict(step) for step in traffic.steps()],
        "refused": [{**asdict(request), "at": stamp(request.at)} for request in traffic.refused()],
    }


def find_profiles(profiles: Iterable[ProfileView], search: str, account: str, limit: int) -> dict[str, Any]:
    """The profiles that hold every word of the search, and how many there are in all."""
    words = search.casefold().split()
    found = [
        profile
        for profile in profiles
        if (not account or profile.account == account) and all(word in _searchable(profile) for word in words)
    ]
    return {"total": len(found), "profiles": [asdict(profile) for profile in found[:limit]]}


def _searchable(profile: ProfileView) -> str:
    return " ".join(
        (profile.id, profile.name, profile.country, profile.region, profile.account, profile.kind)
    ).casefold()
