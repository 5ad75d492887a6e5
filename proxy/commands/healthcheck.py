"""`healthcheck`: asks the admin listener of a running program whether it is alive. Light: it runs every few seconds."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from proxy.commands.terminal import FAILED, OK, complain

if TYPE_CHECKING:
    from proxy.config import Address

TIMEOUT = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def reachable(host: str) -> str:
    """Where a program that listens on this address is found from the same machine."""
    return _EVERYWHERE.get(host, host)


def check_health(admin: Address) -> int:
    """0 where `/livez` answers 200 in time, else 1."""
    connection = http.client.HTTPConnection(reachable(admin.host), admin.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/livez", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        complain(f"{admin} does not answer ({reason}); is the program running, and is this its admin_listen?")
        return FAILED
    finally:
        connection.close()
    if status != 200:
        complain(f"{admin} answers {status}; is this the admin_listen of ads-proxy?")
        return FAILED
    return OK
