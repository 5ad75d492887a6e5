"""Whether a connection that could not be made is tried again, and after which pause. Pure.

Nothing of a request has left before there is a connection, so this holds for every method.
"""

from __future__ import annotations

import errno
import ssl

from proxy.net.names import LookupProblem, NameLookupFailed

MAX_TRIES = 4
FIRST_PAUSE = 0.1
"""Seconds before the second try; they double, and each is between half and one and a half of that by chance. A listener
that is away for 300 ms is back before the last try, whatever chance says."""

_PASSING = frozenset(
    (
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL),
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS),
    )
)
_BUSY_PROXY = frozenset((502, 503, 504))


class TunnelRefused(ConnectionError):
    """The outbound proxy opened no way. `status` is what it answered to CONNECT, 0 for what is no answer."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


def pause_before_redial(error: OSError, *, tries: int, left: float, chance: float) -> float | None:
    """Seconds until the next try, None to give up: `tries` were made, `left` is what remains of `connect_timeout`.

    `chance` is in [0, 1).
    """
    if tries >= MAX_TRIES or not _may_pass(error):
        return None
    pause: float = FIRST_PAUSE * 2 ** (tries - 1) * (0.5 + chance)
    return pause if pause < left else None


def _may_pass(error: OSError) -> bool:
    """What failed could be over soon, without anybody changing anything."""
    match error:
        case NameLookupFailed():
            return error.problem is LookupProblem.UNAVAILABLE  # silence has taken its time already
        case TunnelRefused():
            return error.status in _BUSY_PROXY
        case ssl.SSLError():
            return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return error.errno in _PASSING or isinstance(error, ConnectionError) or error.errno is None
