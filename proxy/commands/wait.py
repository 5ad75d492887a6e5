"""`wait`: returns when a running program is ready, or says what keeps it. For what starts behind it."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

from proxy.commands.healthcheck import reachable
from proxy.commands.terminal import FAILED, OK, complain

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config import Address

INTERVAL = 0.25
"""Seconds between questions."""
_ANSWER_TIMEOUT = 3.0


def wait_until_ready(
    admin: Address,
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """0 once `/readyz` answers 200; 1 after `timeout` seconds without."""
    end = clock() + timeout
    while True:
        kept_by = _ask(admin, max(0.05, min(_ANSWER_TIMEOUT, end - clock())))
        if not kept_by:
            return OK
        if clock() + INTERVAL > end:
            complain(f"not ready after {timeout:g} s: {kept_by}")
            return FAILED
        pause(INTERVAL)


def _ask(admin: Address, timeout: float) -> str:
    """What keeps it from being ready, in words; empty if nothing does."""
    connection = http.client.HTTPConnection(reachable(admin.host), admin.port, timeout=timeout)
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{admin} does not answer ({reason}); is the program running, and is this its admin_listen?"
    finally:
        connection.close()
    if status == 200:
        return ""
    if status == 503:
        return f"{admin} answers 503: no account can serve yet, or it is stopping; `ads-proxy check` says more."
    return f"{admin} answers {status}; is this the admin_listen of ads-proxy?"
