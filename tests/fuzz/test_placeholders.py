"""A placeholder that was changed anywhere is invalid, and so is one that an attacker put together."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from hypothesis import assume, example, given
from hypothesis import strategies as st

from proxy.access.clients import AUTHORIZATION, Budgets, ClientIdentity, Clients
from proxy.access.placeholders import ACCESS, Placeholders
from proxy.app.rules import make_policy
from proxy.config.model.clients import Client
from proxy.errors import ClientUnknown, PlaceholderRejected
from tests.fuzz.depth import at_length, briefly
from tests.fuzz.making import changed
from tests.support.deciding import fields

NOW = 1_000_000.0
KEYED = Clients(
    (make_policy(Client(name=name, key_sha256=digit * 64)) for name, digit in (("tool", "1"), ("other", "2"))),
    Placeholders(b"signing key"),
    Budgets(),
)
OPEN = Clients((), Placeholders(b"signing key"), Budgets())
CLIENT = KEYED.impersonate("tool")
assert CLIENT is not None
GENUINE = KEYED.issue(CLIENT, "acme", NOW)[0].encode()


def identity(clients: Clients, authorization: bytes, now: float = NOW) -> ClientIdentity | None:
    """Who the credential says calls; None where it is refused."""
    try:
        return clients.identify(replace(fields(), named={AUTHORIZATION: (authorization,)}), now)
    except (ClientUnknown, PlaceholderRejected):
        return None


def a_changed_one_is_refused(text: bytes) -> None:
    """In keyed mode it belongs to no client; without keys it binds to nothing."""
    assume(text.strip() != GENUINE)
    for spelling in (text, b"Bearer " + text, b"bearer  " + text):
        assert identity(KEYED, spelling) is None
        found = identity(OPEN, spelling)
        assert found is None or not found.scope.bound


def a_forged_one_is_refused(client: str, bound: str, expires: object, signature: bytes) -> None:
    """Whatever it says, without the key there is no signature."""
    payload = base64.urlsafe_b64encode(json.dumps([client, bound, expires]).encode()).rstrip(b"=")
    a_changed_one_is_refused(ACCESS + payload + b"." + signature)


forgeries = st.tuples(
    st.sampled_from(("tool", "other", "", "anonymous", "nobody")),
    st.sampled_from(("acme", "", "globex")),
    st.one_of(st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False), st.text(max_size=5)),
    st.one_of(st.binary(max_size=60), st.just(GENUINE.rpartition(b".")[2]), st.just(b"none"), st.just(b"")),
)


@briefly
@given(changed(GENUINE), forgeries)
@example(GENUINE[:-1], ("tool", "acme", 2**60, b""))
@example(GENUINE.rpartition(b".")[0] + b".", ("tool", "acme", 2**60, b"A"))
@example(GENUINE + b"=", ("tool", "acme", 2**60, b"none"))
def test_no_other_text_is_a_placeholder(text: bytes, forgery: tuple[str, str, object, bytes]) -> None:
    """Accidents, other holders, other lifetimes, signatures of other tokens."""
    a_changed_one_is_refused(text)
    a_forged_one_is_refused(*forgery)


@at_length
@given(changed(GENUINE), forgeries)
def test_no_other_text_is_a_placeholder_at_length(text: bytes, forgery: tuple[str, str, object, bytes]) -> None:
    """No other text is a placeholder with many more examples."""
    a_changed_one_is_refused(text)
    a_forged_one_is_refused(*forgery)


def test_the_genuine_one_is_taken_until_it_ends() -> None:
    """The properties would be empty otherwise; it names its holder and its account."""
    found = identity(KEYED, b"Bearer " + GENUINE)
    assert found is not None
    assert (found.name, found.scope.bound) == ("tool", "acme")
    assert identity(KEYED, b"Bearer " + GENUINE, NOW + 3601) is None
