"""Who decides about writes over a limit: the name that a key has, and until when."""

from __future__ import annotations

import hashlib

import pytest

from proxy.access.approvers import Approver, Approvers
from proxy.access.client_keys import ClientKey


def key(text: str, ends_at: float | None = None) -> ClientKey:
    return ClientKey(hashlib.sha256(text.encode()).hexdigest(), ends_at)


APPROVERS = Approvers(
    (
        Approver("anna", (key("old", 100.0), key("new"))),
        Approver("ben", (key("ben's", 200.0),)),
        Approver("gone", ()),
    )
)


@pytest.mark.parametrize(
    ("shown", "now", "name"),
    [
        (b"old", 99.9, "anna"),
        (b"old", 100.0, None),
        (b"new", 1e12, "anna"),
        (b"ben's", 100.0, "ben"),
        (b"ben's", 200.0, None),
        (b"new ", 0.0, None),
        (b"", 0.0, None),
        (hashlib.sha256(b"new").hexdigest().encode(), 0.0, None),
    ],
)
def test_a_key_has_the_name_of_its_approver_until_it_expires(shown: bytes, now: float, name: str | None) -> None:
    """Any of an approver's keys, exactly; its digest opens nothing."""
    assert APPROVERS.identify(shown, now) == name


def test_nobody_is_found_where_nobody_approves() -> None:
    """No key fits."""
    assert Approvers().identify(b"new", 0.0) is None


def test_an_approver_is_locked_out_when_the_last_key_expires() -> None:
    """Never where one of the keys has no end, or where there is none."""
    assert APPROVERS.locked_out() == {"anna": None, "ben": 200.0, "gone": None}
