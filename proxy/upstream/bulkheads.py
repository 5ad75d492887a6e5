"""How much of a pool one family of operations may hold, so that one that hangs does not take it from the others. Pure.

As long as more than a quarter of the pool is free, everybody may have what is asked for. Of that last quarter a family
gets one more connection only while it holds fewer than are still free. So a family that holds much waits, and one that
holds nothing finds something until the last is gone: the dynamic thresholds by which the queues of a switch share one
memory (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
"""

from __future__ import annotations

_RESERVED = 4
"""One of so many connections is left to those who hold few; a pool of fewer is everybody's to the last."""


def unreserved(limit: int) -> int:
    """As long as fewer than so many connections of a pool are used, everybody may have one more."""
    return limit - limit // _RESERVED


def may_hold_another(held: int, used: int, limit: int) -> bool:
    """Whether a family that holds `held` of a pool's `used` connections may have one more. There may be `limit`."""
    free = limit - used
    return free > limit // _RESERVED or held < free
