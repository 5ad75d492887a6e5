"""Changes of clients' keys, as events: what a reload added, removed or changed, and keys that expire."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from proxy.access.client_keys import locked_out_at
from proxy.events import ClientKeyChanged, ClientKeysInForce, KeyChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.access.client_keys import ClientKey, KeyUses
    from proxy.access.clients import Clients
    from proxy.events import Observer
    from proxy.observability.metrics import Metrics

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


class ClientKeyReporter:
    """Reports which keys clients have, and each key that a reload changes or that expires, to the `observer`. The
    `metrics` show when each client is without a key. The `uses` of keys that are gone are forgotten."""

    def __init__(
        self, observer: Observer, metrics: Metrics, uses: KeyUses, wall: Callable[[], float] = time.time
    ) -> None:
        self._observer, self._metrics, self._uses, self._wall = observer, metrics, uses, wall
        self._known: tuple[OwnedKey, ...] = ()

    def __repr__(self) -> str:
        return f"<ClientKeyReporter of {len(self._known)} keys>"

    def begin(self, clients: Clients) -> asyncio.Task[None]:
        """Report the keys in force, and from now on those that expire. Cancel the task to stop."""
        self._take(clients)
        if self._known:
            self._observer.observe(ClientKeysInForce(tuple(f"{client} {key.id}" for client, key in self._known)))
        return asyncio.get_running_loop().create_task(self._watch(self._wall()))

    def follow(self, clients: Clients) -> None:
        """Report what a reload changed."""
        before = self._known
        self._take(clients)
        for change in compare_keys(before, self._known):
            self._observer.observe(change)

    def _take(self, clients: Clients) -> None:
        self._known = tuple((known.client, known.key) for known in clients.known_keys())
        keys: dict[str, list[ClientKey]] = {}
        for client, key in self._known:
            keys.setdefault(client, []).append(key)
        self._metrics.client_keys({client: locked_out_at(owned) for client, owned in keys.items()})
        self._uses.keep(key.digest for _, key in self._known)

    async def _watch(self, since: float) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_KEYS)
            now = self._wall()
            for event in ended_between(self._known, since, now):
                self._observer.observe(event)
            since = max(since, now)
