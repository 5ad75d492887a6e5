"""Which changes of clients' keys are reported, and when."""

from __future__ import annotations

from proxy.access.client_keys import ClientKey
from proxy.app.client_key_changes import OwnedKey, compare_keys, ended_between
from proxy.observability.audit import ClientKeyChanged, KeyChange

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
