"""Which changes of clients' keys are reported, and when."""

from __future__ import annotations

from typing import cast

import pytest

from proxy.access.client_keys import ClientKey, KeyUses, KnownKey
from proxy.access.clients import Clients
from proxy.app import client_key_changes
from proxy.app.client_key_changes import ClientKeyReporter, OwnedKey, compare_keys, ended_between
from proxy.events import ClientKeyChanged, ClientKeysInForce, KeyChange
from proxy.observability.metrics import Metrics
from tests.support.events import EventRecorder
from tests.support.scraping import scraped

OLD, NEW = ClientKey("ab" * 32, 100.0, "old"), ClientKey("cd" * 32)


def told(changes: tuple[ClientKeyChanged, ...]) -> list[tuple[str, str, str]]:
    return [(each.client, each.key[:2], each.change) for each in changes]


def test_a_reload_adds_takes_out_and_changes_keys() -> None:
    """A key that went from one client to another was taken out of the one and added to the other."""
    before: list[OwnedKey] = [("tool", OLD), ("tool", NEW), ("gone", ClientKey("ef" * 32))]
    after: list[OwnedKey] = [("tool", ClientKey(OLD.digest, 50.0, "old")), ("other", NEW)]
    assert told(compare_keys(before, after)) == [
        ("tool", "cd", "removed"),
        ("gone", "ef", "removed"),
        ("other", "cd", "added"),
        ("tool", "ab", "changed"),
    ]
    assert compare_keys(before, before) == ()


def test_a_key_ends_once() -> None:
    """At its very moment, and not again."""
    keys: list[OwnedKey] = [("tool", OLD), ("tool", NEW)]
    assert ended_between(keys, 0.0, 99.9) == ()
    (ended,) = ended_between(keys, 99.9, 100.0)
    assert ended == ClientKeyChanged("tool", OLD.id, KeyChange.ENDED, "old", 100.0)
    assert ended_between(keys, 100.0, 200.0) == ()


class KeyOwners:
    """Clients with these keys."""

    def __init__(self, *keys: OwnedKey) -> None:
        self._keys = keys

    def known_keys(self) -> tuple[KnownKey, ...]:
        return tuple(KnownKey(client, key, None) for client, key in self._keys)


async def test_keys_are_reported_when_they_come_into_force_change_and_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics show the end of a client whose keys all expire; uses of a removed key are forgotten."""
    monkeypatch.setattr(client_key_changes, "LOOK_AT_KEYS", 0.0)
    heard, metrics, uses, now = EventRecorder(), Metrics("1"), KeyUses(), [99.0]
    for key in (OLD, NEW):
        uses.note(key.digest, 7.0)
    reporter = ClientKeyReporter(heard, metrics, uses, lambda: now[0])
    watch = reporter.begin(cast(Clients, KeyOwners(("tool", OLD), ("other", NEW))))
    try:
        assert heard.of(ClientKeysInForce) == [ClientKeysInForce((f"tool {OLD.id}", f"other {NEW.id}"))]
        assert 'client_key_expiry_timestamp_seconds{client="tool"} 100' in scraped(metrics, "").decode()
        reporter.follow(cast(Clients, KeyOwners(("tool", OLD))))
        assert told(tuple(heard.of(ClientKeyChanged))) == [("other", "cd", "removed")]
        assert list(uses.all()) == [OLD.digest]
        now[0] = 100.0
        await heard.until(lambda: len(heard.of(ClientKeyChanged)) == 2)
        assert told(tuple(heard.of(ClientKeyChanged)))[1] == ("tool", "ab", "ended")
    finally:
        watch.cancel()
