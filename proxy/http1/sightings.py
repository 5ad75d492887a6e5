"""Whether the same bytes came before, as far as a few numbers can tell: what comes once is not worth remembering.

It may forget, and may hold two for one; so it says only what is worth keeping, and never what is known. Pure but for
its memory, which does not grow.
"""

from __future__ import annotations

_PLACES = 4096
"""Each holds the hash of what was seen last there; Python draws the key of its hashes anew with each start."""


class Sightings:
    """See the module's docstring."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = [0] * _PLACES

    def __repr__(self) -> str:
        return f"<Sightings of {sum(map(bool, self._seen))}>"

    def came_before(self, data: bytes) -> bool:
        """Whether this was asked for the same bytes before."""
        number = hash(data)
        at = number % _PLACES
        before, self._seen[at] = self._seen[at], number
        return before == number
