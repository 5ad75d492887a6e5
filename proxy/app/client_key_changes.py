"""Changes of clients' keys, as events: what a reload added, removed or changed, and keys that expire."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from proxy.observability.audit import ClientKeyChanged, KeyChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.access.client_keys import ClientKey
    from proxy.events import Observer

OwnedKey = tuple[str, "ClientKey"]
"""A client's name and one of its keys."""
LOOK_AT_KEYS = 5.0


def compare_keys(before: Iterable[OwnedKey], after: Iterable[OwnedKey]) -> tuple[ClientKeyChanged, ...]:
    """What a reload did to keys: taken out, added, or given another end or note."""
    old = {(client, key.digest): key for client, key in before}
    new = {(client, key.digest): key for client, key in after}
    return (
        *(_changed(client, key, KeyChange.REMOVED) for (client, _), key in _without(old, new)),
        *(_changed(client, key, KeyChange.ADDED) for (client, _), key in _without(new, old)),
        *(
            _changed(owner[0], key, KeyChange.CHANGED)
            for owner, key in new.items()
            if owner in old and key != old[owner]
        ),
    )


def ended_between(keys: Iterable[OwnedKey], since: float, now: float) -> tuple[ClientKeyChanged, ...]:
    """The keys whose end came after `since` and has come by `now`; both are wall-clock time."""
    return tuple(
        _changed(client, key, KeyChange.ENDED)
        for client, key in keys
        if key.ends_at is not None and since < key.ends_at <= now
    )


def _without(
    some: dict[tuple[str, str], ClientKey], others: dict[tuple[str, str], ClientKey]
) -> list[tuple[tuple[str, str], ClientKey]]:
    return [(owner, key) for owner, key in some.items() if owner not in others]


def _changed(client: str, key: ClientKey, change: KeyChange) -> ClientKeyChanged:
    return ClientKeyChanged(client, key.id, change, key.note, key.ends_at)


async def watch_keys(keys: Callable[[], Iterable[OwnedKey]], observer: Observer) -> None:
    """Report keys as they expire, for ever."""
    since = time.time()
    while True:
        await asyncio.sleep(LOOK_AT_KEYS)
        now = time.time()
        for event in ended_between(keys(), since, now):
            observer.observe(event)
        since = max(since, now)
