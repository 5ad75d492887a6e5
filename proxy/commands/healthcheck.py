"""`healthcheck`: Exit with 0 if the running proxy is alive.

For containers: it asks `/livez` of the admin listener.

Example: ads-proxy healthcheck --config proxy.yaml
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.terminal import FAILED, OK, complain, printable
from proxy.config import DEFAULT_ADMIN, admin_address, environment
from proxy.errors import ConfigurationError

if TYPE_CHECKING:
    from proxy.config import Address

TIMEOUT = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def healthcheck(config: ConfigOption = None, env_file: EnvFileOption = None) -> int:
    environ = environment(env_file)
    try:
        admin = admin_address(config, environ)
    except ConfigurationError:
        admin = DEFAULT_ADMIN  # what breaks after the start must not make a running proxy look dead
    return check_health(admin)


def reachable(host: str) -> str:
    """Where a program that listens on this address is found from the same machine."""
    return _EVERYWHERE.get(host, host)


def why_unanswered(error: OSError | http.client.HTTPException) -> str:
    """Why there is no answer, in a few words: they may be those of a program that does not speak HTTP."""
    return printable(getattr(error, "strerror", None) or str(error).strip() or type(error).__name__)


def check_health(admin: Address) -> int:
    """0 where `/livez` answers 200 in time, else 1."""
    connection = http.client.HTTPConnection(reachable(admin.host), admin.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/livez", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        why = why_unanswered(error)
        complain(f"{admin} does not answer ({why}); start the proxy, or give its configuration with --config")
        return FAILED
    finally:
        connection.close()
    if status != 200:
        complain(f"{admin} answers {status}; give the configuration of ads-proxy with --config")
        return FAILED
    return OK
