"""`wait`: Wait until the running proxy is ready.

It is ready once `/readyz` answers 200: an account can serve, and the first lists of profiles were read or tried for
5 s.

Example: ads-proxy wait --timeout 60
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.addresses import at_addresses
from proxy.commands.asking import Unanswered, ask_admin, explain_silence, explain_status
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption
from proxy.commands.terminal import FAILED, OK, complain
from proxy.config import admin_address, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config import Address

INTERVAL = 0.25
"""Seconds between questions."""
_ANSWER_TIMEOUT = 3.0


def wait(
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until it gives up with exit code 1.")] = 30.0,
    admin_listen: AdminListenOption = None,
) -> int:
    environ = at_addresses(environment(env_file), admin_listen=admin_listen)
    return wait_until_ready(admin_address(config, environ), timeout)


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
    try:
        status, _ = ask_admin(admin, "/readyz", timeout)
    except Unanswered as error:
        return explain_silence(admin, error)
    if status == 200:
        return ""
    if status == 503:
        why = "no account can serve yet, the first lists are not read, or the proxy is stopping"
        return f"{admin} answers 503: {why}; run `ads-proxy check`"
    return explain_status(admin, status)
