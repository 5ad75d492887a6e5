"""Whether a token is genuine and current, and whose it is: RFC 8725 item by item, and what wrong tokens may cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.identity_providers import MAX_TOKEN_BYTES
from proxy.access.placeholders import LIFETIME
from proxy.access.signing_keys import parse_jwks
from proxy.access.token_verification import READ_AGAIN_AFTER, ProviderKeys, TokenWork, WorkBudget, network_of
from proxy.app.rules import make_clients, make_verifier
from proxy.app.token_checks import TokenChecks
from proxy.config.model.clients import Client, JwtSection
from proxy.config.model.identity_providers import IdentityProviderConfig, JwksSection
from proxy.errors import PlaceholderRejected, Refused, TokenNotChecked, TokenRefused
from tests.support.deciding import config, fields
from tests.support.issuers import (
    Signer,
    encode,
    hmac_token,
    jwks,
    part,
    service_account,
    svid,
    workflow,
)

SIGNING = b"s" * 32
NOW = 1_800_000_000.0
RS, ES = Signer(), Signer("ES256", "second")
SIGNERS = {"cluster": RS, "github": ES, "mesh": Signer("EdDSA")}
ISSUERS = {"cluster": service_account(NOW)["iss"], "github": workflow(NOW)["iss"], "mesh": svid(NOW)["iss"]}
NIGHTLY = service_account(NOW)["sub"]


class ManualClock:
    """Seconds that a test sets; each look takes `step`."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def keys_of(*signers: Signer, tried_at: float = NOW) -> ProviderKeys:
    return ProviderKeys(parse_jwks(jwks(*signers).encode()).keys, tried_at, tried_at)


def client(name: str, provider: str = "cluster", **claims: Any) -> Client:
    texts = {name: (value,) if isinstance(value, str) else value for name, value in claims.items()}
    return Client(name=name, jwt=JwtSection(provider=provider, claims=texts))


CLIENTS = (
    client("nightly", sub=NIGHTLY),
    client("deploy", "github", repository_id="74", sub="repo:acme/*:environment:production"),
    client("mesh", "mesh", sub="spiffe://example.org/ads/*"),
)


class Desk:
    """Clients with three providers; `missed` are the providers whose keys should be read again."""

    def __init__(self, *clients: Client, **keys: ProviderKeys) -> None:
        self.clock, self.checks, self.missed = ManualClock(), TokenChecks(), list[str]()
        self.checks.keys.update({name: keys_of(signer) for name, signer in SIGNERS.items()} | keys)
        self.checks.work, self.checks.miss = TokenWork(WorkBudget(self.clock, self.clock)), self.missed.append
        self.load(*clients)

    def load(self, *clients: Client, **changes: Any) -> None:
        """Take these clients, as a reload does; `changes` are those of the providers."""
        providers = {
            name: IdentityProviderConfig(
                name=name,
                issuer=issuer,
                audience="ads-proxy",
                jwks=JwksSection(url="https://localhost/jwks"),
                algorithms=("EdDSA",) if name == "mesh" else ("RS256", "ES256"),
            ).model_copy(update=changes)
            for name, issuer in ISSUERS.items()
        }
        made = config({"acme": {}}, clients=clients or CLIENTS).model_copy(update={"identity_providers": providers})
        self.verifier = make_verifier(made, self.checks)
        self.clients: Clients = make_clients(made, SIGNING, Budgets())
        self.clients.accept_tokens(self.verifier)

    def whose(self, token: str, now: float = NOW, address: str = "") -> str:
        return self.clients.identify(fields(authorization=b"Bearer " + token.encode()), now, address).name

    def refusal(self, token: str, now: float = NOW) -> str:
        """Why it is refused; every way in which a token comes says the same."""
        said = set()
        ways: tuple[dict[str, Any], ...] = (
            {"authorization": b"Bearer " + token.encode()},
            {"proxy_key": token.encode()},
        )
        for sent in ways:
            with pytest.raises(TokenRefused) as refused:
                self.clients.identify(fields(**sent), now)
            said.add(refused.value.detail)
        with pytest.raises(TokenRefused) as refused:
            self.clients.identify_key(token.encode(), now)
        assert said == {refused.value.detail}
        assert self.clients.owner_of(b"Bearer " + token.encode(), b"", now) is None
        return said.pop()


# --- whose token it is


@pytest.mark.parametrize(
    ("provider", "claims", "name", "subject"),
    [
        ("cluster", service_account(NOW), "nightly", NIGHTLY),
        ("github", workflow(NOW), "deploy", "repo:acme/bidder:environment:production"),
        ("mesh", svid(NOW), "mesh", "spiffe://example.org/ads/nightly"),
    ],
)
def test_the_tokens_of_well_known_issuers_lead_to_their_clients(
    provider: str, claims: dict[str, Any], name: str, subject: str
) -> None:
    """The client is known by name and subject until the token expires; the token counts as its key."""
    token = SIGNERS[provider].token(claims).encode()
    ways: tuple[dict[str, Any], ...] = (
        {"authorization": b"Bearer " + token},
        {"proxy_key": token},
        {"authorization": token},
    )
    for sent in ways:
        identity = Desk().clients.identify(fields(**sent), NOW)
        assert (identity.name, identity.subject, identity.has_key) == (name, subject, True)
        assert identity.valid_until == claims["exp"] + 60


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": "system:serviceaccount:ads:nightly2"},
        {"sub": "system:serviceaccount:other:nightly"},
        {"sub": "system:serviceaccount:ads"},
        {"sub": [NIGHTLY + "x"]},
        {"sub": None},
    ],
)
def test_another_workload_is_no_client(changed: dict[str, Any]) -> None:
    """The refusal has the subject, for the operator; it does not have the client's."""
    detail = Desk().refusal(RS.token(service_account(NOW, **changed)))
    assert detail.startswith("No client has this token ")
    subject = changed["sub"]
    assert (f"of {subject}." if isinstance(subject, str) else "without a subject (sub).") in detail
    assert NIGHTLY not in detail.replace(str(subject), "")


def test_a_token_is_a_client_s_of_its_own_provider_alone() -> None:
    """Another issuer may say what it wants about a subject."""
    claims = {**svid(NOW), "sub": NIGHTLY}
    assert Desk().refusal(SIGNERS["mesh"].token(claims)).startswith("No client has this token")


def test_a_token_of_two_clients_is_refused_with_both_names() -> None:
    """Nothing decides for one of them."""
    desk = Desk(*CLIENTS, client("all", sub="system:serviceaccount:ads:*"))
    assert "fits several clients: nightly, all." in desk.refusal(RS.token(service_account(NOW)))
    assert desk.whose(RS.token(service_account(NOW, sub="system:serviceaccount:ads:other"))) == "all"


def test_a_client_s_key_goes_on_beside_its_token() -> None:
    """A key that has the form of a token is a key."""
    key = "abc.def.ghi"
    both = client("both", sub="x").model_copy(update={"keys": Client(name="k", keys=({"sha256": DIGEST},)).keys})
    desk = Desk(both)
    assert desk.whose(key) == "both"
    assert desk.clients.identify(fields(authorization=key.encode()), NOW).subject == ""
    assert desk.whose(RS.token(service_account(NOW, sub="x"))) == "both"


DIGEST = hashlib.sha256(b"abc.def.ghi").hexdigest()


# --- RFC 8725


def unsigned(algorithm: str = "none", signature: str = "") -> str:
    return f"{part({'alg': algorithm, 'kid': RS.id})}.{part(service_account(NOW))}.{signature}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_an_unsigned_token_is_refused(algorithm: str, signature: str) -> None:
    """RFC 8725, 2.1 and 3.2."""
    assert "algorithm (alg) that is not accepted" in Desk().refusal(unsigned(algorithm, signature))


@pytest.mark.parametrize("secret", [RS.pem, RS.pem.strip(), jwks(RS).encode(), b""])
def test_a_public_key_is_no_secret_of_hmac(secret: bytes) -> None:
    """RFC 8725, 2.1: the algorithm belongs to the key, not to the token."""
    assert "algorithm (alg)" in Desk().refusal(hmac_token(secret, service_account(NOW), RS.id))


@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "ES384", "EdDSA", "HS256", "rs256"])
def test_an_algorithm_that_the_provider_does_not_have_is_refused(algorithm: str) -> None:
    """Algorithms of the configuration alone are accepted (RFC 8725, 3.1)."""
    assert "algorithm (alg)" in Desk().refusal(RS.token(service_account(NOW), alg=algorithm))


def test_a_key_is_used_with_its_own_algorithm() -> None:
    """ES256 with the key of RS256, and the other way round: the key does not fit."""
    for signer, algorithm in ((RS, "ES256"), (ES, "RS256")):
        desk = Desk(cluster=keys_of(RS, ES))
        assert "key (kid)" in desk.refusal(signer.token(service_account(NOW), alg=algorithm))


def test_a_signature_of_another_key_is_wrong() -> None:
    """The id of a key is no proof of having it."""
    token = Signer(serial=1).token(service_account(NOW))
    assert "signature of the token is wrong" in Desk().refusal(token)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_changed_part_makes_the_signature_wrong(which: int) -> None:
    """Header, payload and signature."""
    parts = RS.token(service_account(NOW)).split(".")
    parts[which] = (
        part({"alg": "RS256", "kid": RS.id, "typ": "JWT", "x": 1}),
        part(service_account(NOW, jti="changed")),
        encode(bytes(256)),
    )[which]
    assert "signature of the token is wrong" in Desk().refusal(".".join(parts))


@pytest.mark.parametrize(
    "key_id",
    ["../../dev/null", "first' OR '1'='1", "first\0", "FIRST", "first ", "https://evil.example/key", "x" * 500],
)
def test_a_key_id_is_only_compared(key_id: str) -> None:
    """RFC 8725, 3.10: nothing is opened or asked for its sake."""
    desk = Desk()
    assert "key (kid)" in desk.refusal(RS.token(service_account(NOW), kid=key_id))
    assert not desk.missed


@pytest.mark.parametrize("pointer", ["jku", "x5u"])
def test_pointers_to_keys_lead_nowhere(pointer: str) -> None:
    """RFC 8725, 3.10: a token does not choose its keys."""
    evil = Signer("RS256", "first", serial=1)
    header: dict[str, Any] = {pointer: "https://evil.example/jwks.json", "jwk": evil.jwk}
    assert "signature of the token is wrong" in Desk().refusal(evil.token(service_account(NOW), **header))
    assert Desk().whose(RS.token(service_account(NOW), **header)) == "nightly"


def test_a_nested_token_is_refused() -> None:
    """RFC 8725, 3.11: a genuine token around another one is none."""
    inner = RS.token(service_account(NOW))
    assert "cty" in Desk().refusal(RS.token(service_account(NOW), cty="JWT"))
    assert "payload" in Desk().refusal(RS.token(inner, cty="JWT"))
    assert "payload" in Desk().refusal(RS.token(json.dumps(inner)))


def test_a_token_of_another_type_is_refused() -> None:
    """RFC 8725, 3.11: what was signed for another purpose."""
    for kind in ("logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", ""):
        assert "of a type (typ)" in Desk().refusal(RS.token(service_account(NOW), typ=kind))
    accepted: tuple[str | None, ...] = ("JWT", "jwt", "at+jwt", "application/at+jwt", None)
    for kind_or_none in accepted:
        assert Desk().whose(RS.token(service_account(NOW), typ=kind_or_none)) == "nightly"


def test_duplicate_members_are_refused() -> None:
    """A genuine signature does not help."""
    claims = json.dumps(service_account(NOW))
    assert "payload" in Desk().refusal(RS.token(f'{{"sub":"x",{claims[1:]}'))


def test_a_huge_token_is_refused_before_it_is_decoded() -> None:
    """Nor is its work counted: there is none."""
    token = RS.token(service_account(NOW, padding="x" * MAX_TOKEN_BYTES))
    assert "longer than 8192 bytes" in Desk().refusal(token)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "aud", "iss"])
def test_each_of_five_claims_is_required(name: str) -> None:
    """A genuine token without one is refused."""
    claims = {key: value for key, value in service_account(NOW).items() if key != name}
    assert name in Desk().refusal(RS.token(claims))


@pytest.mark.parametrize("audience", ["", "other", ["other", "third"], ["https://kubernetes.default.svc"], [[]], None])
def test_a_token_for_somebody_else_is_refused(audience: Any) -> None:
    """RFC 8725, 3.9; the answer does not tell the audience that would be right."""
    assert "ads-proxy" not in Desk().refusal(RS.token(service_account(NOW, aud=audience)))


@pytest.mark.parametrize("issuer", ["https://evil.example", ISSUERS["cluster"] + "/", "", "HTTPS://KUBERNETES"])
def test_an_unknown_issuer_is_refused(issuer: str) -> None:
    """RFC 8725, 3.8; the answer names none that is known."""
    detail = Desk().refusal(RS.token(service_account(NOW, iss=issuer)))
    assert "issuer (iss) that is not known" in detail
    assert "kubernetes" not in detail


def test_one_provider_s_key_does_not_sign_for_another() -> None:
    """RFC 8725, 3.8: the keys belong to the issuer."""
    assert "key (kid)" in Desk().refusal(RS.token(workflow(NOW)))


# --- time


def test_a_token_is_remembered_until_it_is_not_accepted_any_more() -> None:
    """A minute after it expired it is refused, remembered or not."""
    desk, claims = Desk(), service_account(NOW)
    token = RS.token(claims)
    sent = fields(authorization=b"Bearer " + token.encode())
    identity = desk.clients.identify(sent, NOW)
    last = claims["exp"] + 60
    assert desk.clients.recall(sent, last - 1) is identity
    assert desk.clients.identify_key(token.encode(), last - 1) is identity
    assert desk.clients.recall(sent, last) is None
    assert "expired" in desk.refusal(token, last)
    assert "expired" in Desk().refusal(token, last)
    assert Desk().whose(token, last - 1) == "nightly"


def test_clients_that_forget_verify_again() -> None:
    """A key that is gone takes its tokens with it."""
    desk = Desk()
    token = RS.token(service_account(NOW))
    assert desk.whose(token) == "nightly"
    desk.checks.keys["cluster"] = keys_of(ES)
    assert desk.whose(token) == "nightly"
    desk.clients.forget()
    assert "key (kid)" in desk.refusal(token)


# --- keys that are not known


def test_an_unknown_key_is_a_reason_to_read_the_keys_once_a_minute() -> None:
    """The client is told to send its token again while they are read, and that it is refused otherwise."""
    desk = Desk(cluster=keys_of(ES, tried_at=NOW - READ_AGAIN_AFTER))
    token = RS.token(service_account(NOW))
    with pytest.raises(TokenNotChecked, match="are being read") as refused:
        desk.whose(token)
    assert (refused.value.retryable, refused.value.retry_after, refused.value.status) == (True, 1.0, 503)
    assert desk.missed == ["cluster"]
    desk.checks.keys["cluster"] = keys_of(ES)
    assert "key (kid)" in desk.refusal(token)
    assert desk.missed == ["cluster"]
    desk.checks.keys["cluster"] = keys_of(ES, RS)
    assert desk.whose(token) == "nightly"


def test_a_clock_that_was_set_back_is_no_reason_to_wait() -> None:
    """Keys that were read in the future can be read again."""
    assert keys_of(RS, tried_at=NOW + 1).may_be_read_again(NOW)
    assert not keys_of(RS).may_be_read_again(NOW + READ_AGAIN_AFTER - 1)


@pytest.mark.parametrize(
    "text",
    [
        RS.token(service_account(NOW, exp=NOW - 61)),
        RS.token(service_account(NOW, aud="another")),
        RS.token(service_account(NOW, iss="https://nobody")),
        RS.token(service_account(NOW))[:-40] + "A" * 40,
        hmac_token(b"k", service_account(NOW), "first"),
    ],
)
def test_a_refusal_knows_the_subject_that_the_token_claims(text: str) -> None:
    """The operator finds the workload by it; nothing else believes it."""
    with pytest.raises(TokenRefused) as refused:
        Desk().whose(text)
    assert refused.value.unverified_subject == NIGHTLY
    assert NIGHTLY not in refused.value.detail


@pytest.mark.parametrize(
    ("subject", "known"),
    [
        ("system:serviceaccount:ads:other", "system:serviceaccount:ads:other"),
        ("x" * 1000, "x" * 200 + "..."),
        ('\u202e\n\x1b","client":"bidder', '\\u202e??","client":"bidder'),
        (5, ""),
        (None, ""),
    ],
)
def test_the_subject_of_a_refusal_is_bounded_and_visible(subject: object, known: str) -> None:
    """A forged token writes no lines, and no long ones."""
    with pytest.raises(TokenRefused) as refused:
        Desk().whose(RS.token({**service_account(NOW), "sub": subject}))
    assert refused.value.unverified_subject == known


def test_the_subject_is_known_while_the_keys_are_not() -> None:
    """The request is refused, or waits, and its token says who it claims to be."""
    with pytest.raises(TokenNotChecked) as unchecked:
        Desk(cluster=ProviderKeys()).whose(RS.token(service_account(NOW)))
    assert unchecked.value.unverified_subject == NIGHTLY


def test_without_any_keys_nothing_is_refused_for_good() -> None:
    """The provider fails, not the token."""
    desk = Desk(cluster=ProviderKeys(tried_at=NOW, problem="cannot be read"))
    with pytest.raises(TokenNotChecked, match="could not be read"):
        desk.whose(RS.token(service_account(NOW)))


def test_without_a_key_id_the_only_key_that_fits_is_used() -> None:
    """Two keys for one algorithm leave it open, and two of one id as well."""
    token = RS.token(service_account(NOW), kid=None)
    assert Desk(cluster=keys_of(RS, ES)).whose(token) == "nightly"
    other = Signer("RS256", "other", serial=2)
    assert "key (kid)" in Desk(cluster=keys_of(RS, other)).refusal(token)
    assert "key (kid)" in Desk(cluster=keys_of(RS, Signer(serial=3))).refusal(RS.token(service_account(NOW)))


# --- work


def test_wrong_tokens_take_a_tenth_of_the_time() -> None:
    """In a flood over ten seconds, one second is worked on, and a burst before. Genuine tokens of nobody count, too."""
    for wrong in (RS.token(service_account(NOW, sub="x")), Signer(serial=1).token(service_account(NOW)), "e30.e30.x"):
        desk, checked = Desk(), 0
        desk.clock.step = 0.005  # each look at the clock, and what is between two looks at it
        while desk.clock.now < 10:
            try:
                desk.clients.identify_key(wrong.encode(), NOW)
            except TokenRefused:
                checked += 1
            except TokenNotChecked as refused:
                assert refused.retry_after == 1
        assert 0.9 < checked * 0.005 <= 1.2


def test_work_on_tokens_of_a_provider_without_keys_is_limited_as_well() -> None:
    """To read them takes as long, and nobody knows whether they are right."""
    desk, read, token = Desk(cluster=ProviderKeys()), 0, RS.token(service_account(NOW, sub="x"))
    desk.clock.step = 0.005
    while desk.clock.now < 10:
        with pytest.raises(TokenNotChecked) as refused:
            desk.whose(token)
        read += "are being read" in refused.value.detail
    assert 0.9 < read * 0.005 <= 1.2


def test_a_flood_does_not_reach_those_who_are_known() -> None:
    """Remembered tokens need no work, keys none either, and right tokens take none of the budget."""
    desk = Desk()
    known = RS.token(service_account(NOW))
    assert desk.whose(known) == "nightly"
    new = [RS.token(service_account(NOW, jti=str(number))) for number in range(30)]
    desk.clock.step = 0.01
    assert {desk.whose(token) for token in new} == {"nightly"}
    desk.clock.step = 0.2
    with pytest.raises(TokenRefused):
        desk.clients.identify_key(RS.token(service_account(NOW, sub="x")).encode(), NOW)
    desk.clock.step = 0.0
    with pytest.raises(TokenNotChecked, match="Too many wrong tokens"):
        desk.whose(RS.token(service_account(NOW, jti="last")))
    assert desk.whose(known) == "nightly"
    desk.clock.now += 10
    assert desk.whose(RS.token(service_account(NOW, jti="last"))) == "nightly"


def test_a_reload_in_a_flood_does_not_reach_those_who_are_known() -> None:
    """Their tokens are judged by the new rules, and need no work; with a new provider or without their key they do."""
    desk, known = Desk(), RS.token(service_account(NOW))
    assert desk.whose(known) == "nightly"
    desk.clock.step = 0.2
    with pytest.raises(TokenRefused):
        desk.whose(RS.token(service_account(NOW, sub="x")))
    desk.clock.step = 0.0
    desk.load(client("renamed", sub=NIGHTLY))
    assert desk.whose(known) == "renamed"
    desk.load(client("deploy", "github", repository_id="74"))
    with pytest.raises(TokenNotChecked, match="Too many wrong tokens"):
        desk.whose(known)
    desk.clock.now += 2
    assert "No client has this token" in desk.refusal(known)
    desk.load()
    assert desk.whose(known) == "nightly"
    desk.clock.step = 0.2
    with pytest.raises(TokenRefused):
        desk.whose(RS.token(service_account(NOW, sub="x")))
    desk.clock.step = 0.0
    for changes in ({"audience": "another"}, {"algorithms": ("ES256",)}):
        desk.load(**changes)
        with pytest.raises(TokenNotChecked, match="Too many wrong tokens"):
            desk.whose(known)
    desk.load()
    with pytest.raises(TokenRefused, match="expired"):
        desk.clock.now += 10
        desk.whose(known, NOW + 7200)
    desk.checks.keys["cluster"] = keys_of(ES)
    assert "key (kid)" in desk.refusal(known)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("", ""),
        ("2001:db8:0:7::1", bytes.fromhex("20010db800000007")),
        ("2001:db8:0:7:ffff:ffff:ffff:ffff", bytes.fromhex("20010db800000007")),
        ("fe80::1%eth0", bytes.fromhex("fe80000000000000")),
        ("::ffff:203.0.113.9", bytes(10) + bytes.fromhex("ffffcb007109")),
    ],
)
def test_a_network_of_ipv6_is_one_sender(address: str, network: str | bytes) -> None:
    """One host can send from each address of a /64, and IPv4 addresses are apart in either form."""
    assert network_of(address) == network


class Flood:
    """Wrong tokens at a desk: if all were checked, the work on them would take a sixth of the time. In between, clients
    send new genuine ones."""

    def __init__(self) -> None:
        self.desk, self.worked, self._serial = Desk(), 0.0, 0
        self._wrong = fields(authorization=b"Bearer " + RS.token(service_account(NOW, sub="x")).encode())

    def attack(self, addresses: Iterable[str], took: float = 0.002) -> None:
        """A wrong token from each of the addresses; `took` are the seconds of work on it."""
        self.desk.clock.step = took
        for address in addresses:
            self.desk.clock.now += 1.5 * took  # and it goes on with each look
            try:
                self.desk.clients.identify(self._wrong, NOW, address)
            except TokenRefused:
                self.worked += took
            except TokenNotChecked:
                pass
            else:
                pytest.fail("a wrong token was taken for a genuine one")
        self.desk.clock.step = 0.0

    def is_checked(self, address: str) -> bool:
        """Whether a new genuine token from an address is."""
        self._serial += 1
        try:
            return self.desk.whose(RS.token(service_account(NOW, jti=str(self._serial))), address=address) == "nightly"
        except TokenNotChecked:
            return False


def test_a_flood_from_one_address_does_not_reach_the_others() -> None:
    """All new tokens from elsewhere are checked, also the first ones, while the flood takes a tenth of the time."""
    flood = Flood()
    flood.attack(["192.0.2.1"] * 340)
    for number in range(100):
        flood.attack(["192.0.2.1"] * 3)
        assert flood.is_checked(f"198.51.100.{number}")
    assert not flood.is_checked("192.0.2.1")
    assert 0.9 < flood.worked / (0.1 * flood.desk.clock.now) < 1.5


def test_a_few_wrong_tokens_are_no_flood() -> None:
    """An address with clients whose tokens are wrong now and then is not cut off by a flood from another one."""
    flood = Flood()
    for _ in range(50):
        flood.attack(["192.0.2.1"] * 10)
        flood.attack(["198.51.100.1"], took=0.0002)
        assert flood.is_checked("198.51.100.1")
        flood.desk.clock.now += 0.02


def test_a_flood_from_many_addresses_does_not_reach_those_with_genuine_tokens() -> None:
    """Whoever had a genuine token before goes on getting new ones checked; strangers may not."""
    flood = Flood()
    assert flood.is_checked("198.51.100.1")
    assert flood.is_checked("2001:db8::1")
    networks = [f"2001:db8:1:{number:x}::1" for number in range(5000)]
    flood.attack(networks, took=0.0002)  # so that more of them are checked than are remembered
    assert flood.worked / 0.0002 > 1024
    assert not flood.is_checked("198.51.100.2")
    for number in range(20):
        flood.attack(networks[:17])
        assert flood.is_checked("198.51.100.1")
        assert flood.is_checked(f"2001:db8::{number:x}")
    assert flood.worked <= 0.1 + 0.1 * flood.desk.clock.now


def test_one_that_proved_itself_and_floods_loses_its_place() -> None:
    """A sender of wrong tokens takes nothing from others, and gets its place back two minutes later."""
    flood = Flood()
    assert flood.is_checked("192.0.2.1")
    flood.attack(["192.0.2.1"] * 340)
    assert not flood.is_checked("192.0.2.1")
    assert flood.is_checked("198.51.100.1")
    flood.desk.clock.now += 100
    flood.attack([f"203.0.113.{number % 250}" for number in range(680)])
    assert flood.is_checked("192.0.2.1")


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.05), st.floats(0, 0.02), st.booleans()), max_size=200))
def test_whoever_sends_them_wrong_tokens_take_a_tenth_of_the_time(
    pieces: list[tuple[int, float, float, bool]],
) -> None:
    """The rest is what may be done at once, and one piece of work."""
    clock, worked = ManualClock(), 0.0
    budget = WorkBudget(clock, clock)
    for sender, pause, took, genuine in pieces:
        clock.now += pause
        try:
            began = budget.begin(str(sender))
        except TokenNotChecked:
            continue
        clock.now += took
        if genuine:
            budget.trust(str(sender))
        else:
            budget.charge(str(sender), began)
            worked += took
    assert worked <= 0.1 * clock.now + 0.1 + 0.02 + 1e-9


def test_only_the_processor_s_own_time_counts() -> None:
    """While other processes have the processor, a wrong token takes nothing from the tokens that come behind it."""
    clock, worked = ManualClock(), ManualClock()
    budget = WorkBudget(clock, worked)
    began = budget.begin("192.0.2.1")
    clock.now, worked.now = 0.5, 0.0002
    budget.charge("192.0.2.1", began)
    assert repr(budget).startswith("<WorkBudget: 99.8 ms left")


def test_what_is_known_of_addresses_is_bounded() -> None:
    """However many there are, and however often each of them comes."""
    budget = WorkBudget(ManualClock(), ManualClock())
    for number in range(5000):
        budget.charge(str(number % 3000), budget.begin(str(number % 3000)))
        budget.trust(str(number))
    assert len(budget._caused) <= 1024
    assert repr(budget) == "<WorkBudget: 100.0 ms left, 1024 addresses with genuine tokens>"


# --- placeholders


def test_a_placeholder_of_a_token_expires_with_it() -> None:
    """The placeholder belongs to the rule of the client, and is void once that says something else."""
    desk = Desk()
    identity = desk.clients.authenticate("nightly", RS.token(service_account(NOW, lives=600)), NOW)
    assert identity is not None
    access, refresh = desk.clients.issue(identity, "acme", NOW)
    found = desk.clients.identify(fields(authorization=b"Bearer " + access.encode()), NOW)
    assert (found.name, found.scope.bound, found.valid_until) == ("nightly", "acme", NOW + 660)
    with pytest.raises(PlaceholderRejected, match="expired"):
        desk.clients.identify(fields(authorization=b"Bearer " + access.encode()), NOW + 660)
    assert desk.clients.read_refresh(identity, refresh, NOW) == "acme"
    narrower = Desk(client("nightly", sub=NIGHTLY, role="x"))
    with pytest.raises(PlaceholderRejected, match="removed"):
        narrower.clients.identify(fields(authorization=b"Bearer " + access.encode()), NOW)


def test_a_placeholder_of_a_token_ends_with_the_key_that_signed_it() -> None:
    """A key that its provider drops takes the access placeholders with it, and no others; a refresh placeholder, for
    which a current token has to be shown, stays."""
    desk = Desk(cluster=keys_of(RS, ES))
    issued = {}
    for signer in (RS, ES):
        identity = desk.clients.authenticate("nightly", signer.token(service_account(NOW)), NOW)
        assert identity is not None
        access, refresh = desk.clients.issue(identity, "acme", NOW)
        issued[signer.id] = fields(authorization=b"Bearer " + access.encode())
        found = desk.clients.identify(issued[signer.id], NOW)
        assert (found.name, found.scope.bound, found.key) == (
            "nightly",
            "acme",
            identity.key and ClientKey(identity.key.digest),
        )
        again, _ = desk.clients.issue(found, "", NOW)
        issued[f"{signer.id}, issued again"] = fields(authorization=b"Bearer " + again.encode())
    desk.checks.put("cluster", keys_of(ES))
    desk.clients.forget()
    for name, asked in issued.items():
        if name.startswith("second"):
            assert desk.clients.identify(asked, NOW).name == "nightly"
        else:
            with pytest.raises(PlaceholderRejected, match="key was removed"):
                desk.clients.identify(asked, NOW)
    assert identity is not None
    assert desk.clients.read_refresh(identity, refresh, NOW) == "acme"
    desk.checks.put("cluster", keys_of(RS, ES))
    assert {desk.clients.identify(asked, NOW).name for asked in issued.values()} == {"nightly"}


def test_a_token_is_a_secret_of_its_own_client_alone() -> None:
    """At the token endpoint the name has to be right, too."""
    desk, token = Desk(), RS.token(service_account(NOW))
    assert desk.clients.authenticate("deploy", token, NOW) is None
    assert desk.clients.authenticate("nobody", token, NOW) is None
    with pytest.raises(Refused, match="expired"):
        desk.clients.authenticate("nightly", token, NOW + LIFETIME + 60)


def test_objects_have_short_names() -> None:
    """None shows a key or a token."""
    desk = Desk()
    assert repr(desk.checks) == "<TokenChecks: keys of 3 providers>"
    assert repr(desk.checks.work) == (
        "<TokenWork: 0 genuine tokens, <WorkBudget: 100.0 ms left, 0 addresses with genuine tokens>>"
    )
    assert repr(desk.verifier) == "<TokenVerifier: cluster, github, mesh>"
