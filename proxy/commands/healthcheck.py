"""`healthcheck`: Exit with 0 if the running proxy is alive.

For containers: it asks `/livez` of the admin listener.

Example: ads-proxy healthcheck --config proxy.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.commands.asking import Unanswered, ask_admin
from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.terminal import FAILED, OK, complain
from proxy.config import DEFAULT_ADMIN, admin_address, environment
from proxy.errors import ConfigurationError

if TYPE_CHECKING:
    from proxy.config import Address

TIMEOUT = 3.0


def healthcheck(config: ConfigOption = None, env_file: EnvFileOption = None) -> int:
    environ = environment(env_file)
    try:
        admin = admin_address(config, environ)
    except ConfigurationError:
        admin = DEFAULT_ADMIN  # what breaks after the start must not make a running proxy look dead
    return check_health(admin)


def check_health(admin: Address) -> int:
    """0 where `/livez` answers 200 in time, else 1."""
    try:
        status, _ = ask_admin(admin, "/livez", TIMEOUT)
    except Unanswered as why:
        complain(f"{admin} does not answer ({why}); start the proxy, or give its configuration with --config")
        return FAILED
    if status != 200:
        complain(f"{admin} answers {status}; give the configuration of ads-proxy with --config")
        return FAILED
    return OK
