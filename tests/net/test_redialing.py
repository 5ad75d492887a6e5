"""What could not be reached and may be reachable soon is tried again, within bounds; what stays wrong is not."""

from __future__ import annotations

import errno
import ssl

import pytest

from proxy.net.names import LookupProblem, NameLookupFailed
from proxy.net.redialing import MAX_TRIES, TunnelRefused, pause_before_redial

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")


@pytest.mark.parametrize(
    ("tries", "chance", "pause"),
    [(1, 0.0, 0.05), (1, 0.5, 0.1), (2, 0.0, 0.1), (2, 0.5, 0.2), (3, 0.0, 0.2), (3, 0.5, 0.4), (4, 0.0, None)],
)
def test_pauses_double_and_are_spread_by_chance(tries: int, chance: float, pause: float | None) -> None:
    """After the last try there is none."""
    assert pause_before_redial(REFUSED, tries=tries, left=10, chance=chance) == pytest.approx(pause)


def test_the_last_try_comes_after_300_ms_whatever_chance_says() -> None:
    """So that a listener that is away for that long is met again."""
    pauses = [pause_before_redial(REFUSED, tries=tries, left=10, chance=0.0) for tries in range(1, MAX_TRIES)]
    assert sum(pause or 0.0 for pause in pauses) > 0.3


@pytest.mark.parametrize(("left", "again"), [(0.1, False), (0.11, True)])
def test_no_pause_outlasts_the_time_left(left: float, again: bool) -> None:
    """What went wrong is said then, not that time was up."""
    assert (pause_before_redial(REFUSED, tries=1, left=left, chance=0.5) is not None) is again


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (REFUSED, True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (ConnectionResetError(), True),
        (ConnectionAbortedError("in the handshake"), True),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
        (OSError(errno.EHOSTUNREACH, "no route"), True),
        (OSError(errno.ENETUNREACH, "no network"), True),
        (OSError(errno.EMFILE, "too many open files"), True),
        (OSError("several: refused, no route"), True),
        (PermissionError(errno.EACCES, "a firewall of this machine"), False),
        (OSError(errno.EAFNOSUPPORT, "no IPv6 here"), False),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True),
        (ssl.SSLZeroReturnError(6, "closed"), True),
        (ssl.SSLError(1, "wrong version number"), False),
        (ssl.SSLCertVerificationError(1, "self-signed"), False),
        (NameLookupFailed("a.example", LookupProblem.UNAVAILABLE), True),
        (NameLookupFailed("a.example", LookupProblem.UNKNOWN), False),
        (NameLookupFailed("a.example", LookupProblem.SILENT), False),
        (TunnelRefused("answered 503", 503), True),
        (TunnelRefused("answered 407", 407), False),
        (TunnelRefused("did not answer in HTTP"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: OSError, again: bool) -> None:
    """A certificate, a name that does not exist and a refusal do not change within a second."""
    assert (pause_before_redial(error, tries=1, left=10, chance=0.5) is not None) is again
