"""`status`: how a running program is, on one screen, by asking its admin listener. Nothing is asked of Amazon."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proxy.commands.healthcheck import reachable
from proxy.commands.status_screen import print_screen
from proxy.commands.terminal import FAILED, OK, complain, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config import Address
    from proxy.secret import Secret

TIMEOUT = 10.0
_BROKEN = frozenset({"revoked", "misconfigured"})
"""States of an account that needs a person, although an earlier token may still serve."""


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """What the admin listener said. Exactly one of the two speaks."""

    status: Mapping[str, Any] | None = None
    problem: str = ""


def print_status(admin: Address, key: Secret | None, *, as_json: bool) -> int:
    """0 where the program is ready, every account serves, and none needs a person; else 1."""
    answer = ask(admin, key)
    if answer.status is None:
        complain(answer.problem)
        return FAILED
    if as_json:
        say(json.dumps(answer.status, indent=2, ensure_ascii=False))
    else:
        print_screen(answer.status, str(admin))
    return OK if is_sound(answer.status) else FAILED


def is_sound(status: Mapping[str, Any]) -> bool:
    """Ready, its configuration in force, and no account that cannot serve, or only until its token expires. Pure."""
    serving = all(account["serving"] and account["state"] not in _BROKEN for account in status["accounts"])
    return bool(status["ready"] and not status["draining"] and serving and not status["config"]["problems"])


def ask(admin: Address, key: Secret | None) -> StatusAnswer:
    """The `/status` of the program at this address, or what keeps it from being read."""
    headers = {"Connection": "close"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    connection = http.client.HTTPConnection(reachable(admin.host), admin.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/status", headers=headers)
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
    if code == 429:
        return StatusAnswer(problem=f"{admin} was shown too many wrong keys: wait a minute")
    status = None
    with contextlib.suppress(ValueError):
        status = json.loads(body) if code == 200 else None
    if not isinstance(status, dict) or "accounts" not in status:
        return StatusAnswer(problem=f"{admin} answers {code}; is this the admin_listen of ads-proxy?")
    return StatusAnswer(status)
