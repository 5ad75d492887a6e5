"""`status`: how a running program is, on one screen, by asking its admin listener. Nothing is asked of Amazon."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from proxy.commands.healthcheck import reachable
from proxy.commands.status_screen import print_screen
from proxy.commands.terminal import FAILED, OK, complain, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config import Address
    from proxy.secret import Secret

TIMEOUT = 10.0
_BROKEN = ("revoked", "misconfigured")
"""States of an account that needs a person, although an earlier token may still serve."""
_PAGED = ("accounts", "profiles", "ads_accounts")


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """What the admin listener said. Exactly one of the two speaks."""

    status: Mapping[str, Any] | None = None
    problem: str = ""


def print_status(admin: Address, key: Secret | None, *, as_json: bool, account: str = "") -> int:
    """0 where the program is ready, and every account serves and needs no person, or the one asked for; else 1."""
    answer = ask(admin, key, account=account)
    if answer.status is not None and as_json:
        answer = ask_on(admin, key, answer.status)
    if answer.status is None:
        complain(answer.problem)
        return FAILED
    if as_json:
        say(json.dumps(answer.status, indent=2, ensure_ascii=False))
    else:
        print_screen(answer.status, str(admin), only_one=bool(account))
    return OK if is_sound(answer.status, only_one=bool(account)) else FAILED


def is_sound(status: Mapping[str, Any], *, only_one: bool = False) -> bool:
    """Ready, its configuration in force, and no account that cannot serve, or only until its token expires; of the
    accounts, only the one shown counts with `only_one`. Pure."""
    counts = status["account_counts"]
    if only_one:
        serving = status["accounts"][0]["serving"] and status["accounts"][0]["state"] not in _BROKEN
    else:
        serving = counts["serving"] == counts["total"] and not any(counts["states"].get(state) for state in _BROKEN)
    return bool(status["ready"] and not status["draining"] and serving and not status["config"]["problems"])


def ask_on(admin: Address, key: Secret | None, first: Mapping[str, Any]) -> StatusAnswer:
    """A first page with the accounts of all that follow it."""
    whole, following = {**first}, first["next"]
    while following is not None:
        page = ask(admin, key, after=following)
        if page.status is None:
            return page
        for part in _PAGED:
            whole[part] = [*whole[part], *page.status[part]]
        following = page.status["next"]
    return StatusAnswer({**whole, "next": None})


def ask(admin: Address, key: Secret | None, *, account: str = "", after: str = "") -> StatusAnswer:
    """The `/status` of the program at this address, or what keeps it from being read: of one account, or of the page
    of accounts after this name."""
    query = urlencode({name: value for name, value in (("account", account), ("after", after)) if value})
    headers = {"Connection": "close"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    connection = http.client.HTTPConnection(reachable(admin.host), admin.port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"/status?{query}" if query else "/status", headers=headers)
        response = connection.getresponse()
        code, body = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return StatusAnswer(
            problem=f"{admin} does not answer ({reason}); is the program running, and is this its admin_listen?"
        )
    finally:
        connection.close()
    return _read(admin, code, body)


def _read(admin: Address, code: int, body: bytes) -> StatusAnswer:
    if code == 401:
        return StatusAnswer(
            problem=f"{admin} wants the admin key: name the running program's configuration with --config, or set "
            "ADS_PROXY_ADMIN__KEY (or ADS_PROXY_ADMIN__KEY_FILE)"
        )
    if code == 404:
        return StatusAnswer(problem=f"{admin} has no such account; `ads-proxy status` lists those that it has")
    if code == 429:
        return StatusAnswer(problem=f"{admin} was shown too many wrong keys: wait a minute")
    status = None
    with contextlib.suppress(ValueError):
        status = json.loads(body) if code == 200 else None
    if not isinstance(status, dict) or "accounts" not in status:
        return StatusAnswer(problem=f"{admin} answers {code}; is this the admin_listen of ads-proxy?")
    return StatusAnswer(status)
