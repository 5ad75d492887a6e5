"""The life of a key: several at once, each until its end, and when it was last used."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from proxy.access.client_keys import ClientKey, KeyUses, locked_out_at
from proxy.access.clients import Budgets, Clients
from proxy.access.token_endpoint import PlaceholderRequest, PlaceholderResponse, answer
from proxy.app.rules import make_clients, make_routing_table
from proxy.config import KeyConfig
from proxy.config.model.clients import Client
from proxy.errors import ClientKeyEnded, ClientUnknown, PlaceholderRejected
from proxy.routing.table import EmptyDirectory
from tests.support.deciding import config, fields, request

END = datetime(2027, 2, 1, tzinfo=UTC)
ENDS = END.timestamp()
BEFORE = ENDS - 1.0
OLD, NEW = b"the-old-key", b"the-new-key"
TABLE = make_routing_table(config({"acme": {}}), EmptyDirectory())


def key(secret: bytes, expires: datetime | None = None) -> KeyConfig:
    return KeyConfig(sha256=hashlib.sha256(secret).hexdigest(), expires=expires)


def clients(*keys: KeyConfig, uses: KeyUses | None = None) -> Clients:
    configured = config({"acme": {}}, clients=(Client(name="tool", keys=keys),))
    return make_clients(configured, b"s" * 32, Budgets(), uses)


BOTH = clients(key(OLD, END), key(NEW))


def test_each_of_a_clients_keys_opens_as_much() -> None:
    """While one takes the other's place no request fails, whichever of them its sender has."""
    for secret in (OLD, NEW):
        assert BOTH.identify(fields(proxy_key=secret), BEFORE).name == "tool"


def test_a_key_is_good_to_the_last_instant() -> None:
    """Later it is refused with 401, remembered or not; the response names its client, the time and what to do."""
    asked = fields(proxy_key=OLD)
    assert BOTH.identify(asked, BEFORE) is BOTH.identify(asked, ENDS - 0.001)
    for now in (ENDS, ENDS + 1e9):
        with pytest.raises(ClientKeyEnded, match="client tool expired at 2027-02-01 00:00:00 UTC") as refused:
            BOTH.identify(asked, now)
    assert refused.value.status == 401
    assert OLD.decode() not in refused.value.detail
    assert BOTH.identify(fields(proxy_key=NEW), ENDS).name == "tool"


def test_a_key_that_never_was_is_not_one_that_ended() -> None:
    """Only a client that had the key learns that it has expired."""
    with pytest.raises(ClientUnknown):
        BOTH.identify(fields(proxy_key=b"another"), ENDS)


def issued(secret: bytes, now: float) -> tuple[bytes, str]:
    """What the token endpoint gives for a key: an access and a refresh placeholder."""
    identity = BOTH.authenticate("tool", secret.decode(), now)
    assert identity is not None
    access, refresh = BOTH.issue(identity, "acme", now)
    return access.encode(), refresh


def test_placeholders_end_with_the_key_that_they_came_of() -> None:
    """Access and refresh placeholders alike; those of the client's other key stay."""
    old_access, old_refresh = issued(OLD, BEFORE)
    new_access, new_refresh = issued(NEW, BEFORE)
    identity = BOTH.identify(fields(authorization=old_access), BEFORE)
    assert BOTH.read_refresh(identity, old_refresh, BEFORE) == "acme"
    with pytest.raises(ClientKeyEnded):
        BOTH.identify(fields(authorization=old_access), ENDS)
    assert BOTH.read_refresh(identity, old_refresh, ENDS) is None
    assert BOTH.identify(fields(authorization=new_access), ENDS).name == "tool"
    assert BOTH.read_refresh(identity, new_refresh, ENDS) == "acme"


def test_a_placeholder_ends_in_the_instant_in_which_its_key_does() -> None:
    """Not at the second before: until then it is the client's, and after it the refusal names the end of the key."""
    known = clients(key(OLD, END + timedelta(milliseconds=500)))
    identity = known.authenticate("tool", OLD.decode(), BEFORE)
    assert identity is not None
    shown = fields(authorization=known.issue(identity, "acme", BEFORE)[0].encode())
    assert known.identify(shown, ENDS + 0.4).name == "tool"
    with pytest.raises(ClientKeyEnded):
        known.identify(shown, ENDS + 0.5)


def test_a_key_that_is_sent_next_to_a_placeholder_ends_too() -> None:
    """Remembered or not, as without the placeholder of the client's other key."""
    access, _ = issued(NEW, BEFORE)
    sent = fields(authorization=access, proxy_key=OLD)
    assert BOTH.identify(sent, BEFORE).name == "tool"
    with pytest.raises(ClientKeyEnded):
        BOTH.identify(sent, ENDS)


def test_placeholders_of_a_key_that_is_gone_are_worth_nothing() -> None:
    """A leaked key is taken out of the configuration: what was got with it ends at once."""
    access, _ = issued(OLD, BEFORE)
    with pytest.raises(PlaceholderRejected):
        clients(key(NEW)).identify(fields(authorization=access), BEFORE)


def at_token_endpoint(secret: bytes, now: float) -> PlaceholderResponse:
    body = b"grant_type=authorization_code&code=x&client_id=tool&client_secret=" + secret
    return answer(PlaceholderRequest(request(b"POST", b"/auth/o2/token"), "", body), BOTH, TABLE, now)


def test_the_token_endpoint_refuses_a_key_that_has_ended() -> None:
    """The endpoint answers invalid_client, with the reason for the client, the log and the metric."""
    given = at_token_endpoint(OLD, ENDS)
    assert given.status == 401
    assert b'"error": "invalid_client"' in given.body and b"expired at 2027-02-01" in given.body
    assert given.refusal is not None and given.refusal.slug == "client-key-ended"


@pytest.mark.parametrize("secret", [b"another", b""])
def test_the_token_endpoint_refuses_a_key_that_no_client_has(secret: bytes) -> None:
    """The endpoint answers invalid_client, and log and metric count it as at any other path: otherwise Amazon seems to
    refuse."""
    given = at_token_endpoint(secret, BEFORE)
    assert (given.status, b'"error": "invalid_client"' in given.body) == (401, True)
    assert given.refusal is not None and given.refusal.slug == "client-unknown"


@pytest.mark.parametrize(
    ("secret", "now", "seconds"), [(OLD, ENDS - 90.5, b"90"), (OLD, ENDS - 7200, b"3600"), (NEW, ENDS - 90, b"3600")]
)
def test_the_token_endpoint_says_how_long_a_placeholder_is_good(secret: bytes, now: float, seconds: bytes) -> None:
    """A placeholder is valid for an hour, or less if the key expires before."""
    assert b'"expires_in": ' + seconds + b"}" in at_token_endpoint(secret, now).body


def test_the_last_use_of_each_key_is_remembered() -> None:
    """By key and by placeholder, across a reload, and forgotten with the key."""
    uses = KeyUses()
    before = clients(key(OLD, END), key(NEW), uses=uses)
    assert [last for _, _, last in before.known_keys()] == [None, None]
    before.identify(fields(proxy_key=OLD), 10.0)
    before.identify(fields(proxy_key=OLD), 20.0)
    identity = before.authenticate("tool", NEW.decode(), 30.0)
    assert identity is not None
    before.identify(fields(authorization=before.issue(identity, "", 30.0)[0].encode()), 40.0)
    assert [last for _, _, last in before.known_keys()] == [20.0, 40.0]
    after = clients(key(NEW), uses=uses)
    assert [(client, last) for client, _, last in after.known_keys()] == [("tool", 40.0)]
    uses.keep(known.digest for _, known, _ in after.known_keys())
    assert uses.last(hashlib.sha256(OLD).hexdigest()) is None


def test_a_refused_key_is_not_a_used_one() -> None:
    """Who tries an ended key does not make it look alive."""
    uses = KeyUses()
    known = clients(key(OLD, END), uses=uses)
    with pytest.raises(ClientKeyEnded):
        known.identify(fields(proxy_key=OLD), ENDS)
    assert uses.last(hashlib.sha256(OLD).hexdigest()) is None


@pytest.mark.parametrize(
    ("ends", "at"), [((), None), ((None,), None), ((5.0,), 5.0), ((5.0, 9.0), 9.0), ((9.0, None), None)]
)
def test_a_client_is_locked_out_when_its_last_key_ends(ends: tuple[float | None, ...], at: float | None) -> None:
    """A key with a successor causes no alarm."""
    assert locked_out_at(ClientKey("0" * 64, end) for end in ends) == at
