"""`simulate`: the simulator alone, on five ports in a row, until a signal ends it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from proxy.commands.terminal import OK
from proxy.errors import ListenError
from proxy.simulator import run

if TYPE_CHECKING:
    from proxy.simulator import SimulatorSettings


def simulate(settings: SimulatorSettings) -> int:
    """Run it; raise `ListenError` where one of its ports cannot be had."""
    try:
        run(settings)
    except OSError as error:
        first = settings.ports.na
        taken = error.errno == errno.EADDRINUSE
        reason = f"a port from {first} to {first + 4} is in use by another program" if taken else error.strerror
        raise ListenError(
            f"simulate: {reason}; choose the first of five with --base-port PORT (0: any), or another --host"
        ) from None
    return OK
