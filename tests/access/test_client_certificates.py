"""Which client a certificate identifies, and until when."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from proxy.access.client_certificates import CertificateKey, PeerCertificate, read_certificate
from proxy.access.client_keys import KnownKey
from proxy.access.clients import PROXY_KEY, Budgets, Clients
from proxy.access.placeholders import LIFETIME
from proxy.app.rules import make_clients
from proxy.config.model.clients import CertificateConfig, Client
from proxy.errors import CertificateRejected, ClientUnknown, MalformedRequest, PlaceholderRejected
from proxy.http1.request_fields import RequestFields
from tests.access.test_clients import NOW, SIGNING, client
from tests.support.client_certificates import Issuer, der_of
from tests.support.deciding import config, fields

MESH, BATCH = "spiffe://example.org/ads", "dns:ads.example.org"
TRUSTED = frozenset(("a" * 64, "b" * 64))


def certified(name: str, san: str, **limits: Any) -> Client:
    return Client(name=name, certificate=CertificateConfig(san=san), **limits)


def clients(*configured: Client, trusted: frozenset[str] = TRUSTED) -> Clients:
    made = make_clients(config({"acme": {}}, clients=configured), SIGNING, Budgets())
    made.authorities = trusted
    return made


KNOWN = clients(certified("mesh", MESH), certified("batch", BATCH), client("reporting"))


def presented(*names: str, ends_at: float = NOW + 10, fault: str = "") -> CertificateKey:
    fingerprint = hashlib.sha256(repr((names, ends_at)).encode()).hexdigest()
    return CertificateKey.of(PeerCertificate(fingerprint, names, ends_at, TRUSTED, fault))


def sent(key: bytes, **others: Any) -> RequestFields:
    """The header section of a request on a connection with this certificate."""
    found = fields(**others)
    return RequestFields(**{**_values(found), "named": {PROXY_KEY: (key,), **found.named}})


def _values(found: RequestFields) -> dict[str, Any]:
    return {name: getattr(found, name) for name in RequestFields.__annotations__}


# --- what is read


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def read(issuer: Issuer, *sans: str, **options: Any) -> PeerCertificate:
    return read_certificate(der_of(issuer.issue(*sans, **options)), TRUSTED)


def test_the_names_are_those_of_the_configuration(issuer: Issuer) -> None:
    """URIs and DNS names; the subject counts for nothing, and other kinds of name neither."""
    found = read(issuer, BATCH, MESH, "dns:*.example.org")
    assert found.names == (MESH, BATCH, "dns:*.example.org")
    assert (found.fault, found.authorities) == ("", TRUSTED)
    assert read(issuer).names == ()


def test_a_workload_has_one_uri(issuer: Issuer) -> None:
    """X509-SVID, 2: a certificate with more than one is refused, whatever else is in it."""
    found = read(issuer, MESH, "https://example.org/", BATCH)
    assert "several URIs" in found.fault
    with pytest.raises(CertificateRejected, match="several URIs"):
        KNOWN.identify(sent(CertificateKey.of(found)), NOW)


def test_a_uri_is_no_dns_name(issuer: Issuer) -> None:
    """An authority may restrict DNS names alone, and sign any URI, also one of RFC 4501."""
    found = read(issuer, f"uri:{BATCH}")
    with pytest.raises(CertificateRejected, match="a URI that begins with dns:"):
        KNOWN.identify(sent(CertificateKey.of(found)), NOW)


def test_an_authority_is_no_workload(issuer: Issuer) -> None:
    """X509-SVID, 5.2: one that may sign is refused. With a DNS name alone it is a client like others."""
    assert "may sign other certificates" in read(issuer, MESH, signs=True).fault
    assert read(issuer, BATCH, signs=True).fault == ""


@pytest.mark.parametrize(
    "names",
    [
        b"\x30\x04\xa3\x02\x30\x00",  # an x400Address, which cryptography does not read
        b"\x30\x03\x82\x01\xff",  # a DNS name that is not ASCII
        b"\x30\x80",
        b"nonsense",
    ],
)
def test_what_cannot_be_read_identifies_nobody(issuer: Issuer, names: bytes) -> None:
    """OpenSSL verified it, and there may be something in it that no other library takes."""
    found = read_certificate(der_of(issuer.issue(odd_names=names)), TRUSTED)
    assert (found.names, found.fault) == ((), "it cannot be read")
    key = CertificateKey.of(found)
    with pytest.raises(CertificateRejected, match="it cannot be read"):
        KNOWN.identify(sent(key), NOW)
    assert KNOWN.identify(sent(key, authorization=b"Bearer key-of-reporting"), NOW).name == "reporting"


def test_a_certificate_without_a_readable_end_has_ended() -> None:
    """Nothing is served on its connection."""
    found = CertificateKey.of(read_certificate(b"no certificate", TRUSTED))
    with pytest.raises(CertificateRejected, match="cannot be read"):
        KNOWN.identify(sent(found), NOW)


def test_a_certificate_of_ever_so_many_names_identifies_nobody(issuer: Issuer) -> None:
    """They are not kept: each connection would cost as much memory as its client likes."""
    assert len(read(issuer, *(f"dns:{number}.example.org" for number in range(100))).names) == 100
    found = read(issuer, BATCH, *(f"dns:{number}.example.org" for number in range(100)))
    assert (found.names, found.fault) == ((), "it has more than 100 names")


# --- whom it identifies


@pytest.mark.parametrize(
    ("names", "client"),
    [
        ((MESH,), "mesh"),
        ((BATCH,), "batch"),
        (("dns:www.example.org", BATCH), "batch"),
        ((MESH, "dns:www.example.org"), "mesh"),
    ],
)
def test_the_one_name_that_is_a_clients_counts(names: tuple[str, ...], client: str) -> None:
    """The identity is good until the certificate ends."""
    key = presented(*names)
    identity = KNOWN.identify(sent(key), NOW)
    assert (identity.name, identity.has_key, identity.valid_until) == (client, True, NOW + 10)
    assert KNOWN.recall(sent(key), NOW + 9) is identity
    assert KNOWN.recall(sent(key), NOW + 10) is None


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ((), "no URI and no DNS name"),
        ((f"{MESH}/",), "belongs to no client"),
        ((MESH.upper(),), "belongs to no client"),
        ((f"{MESH}/child",), "belongs to no client"),
        (("spiffe://example.org.evil/ads",), "belongs to no client"),
        (("dns:spiffe://example.org/ads",), "belongs to no client"),
        (("dns:ADS.example.org",), "belongs to no client"),
        (("dns:*.example.org",), "belongs to no client"),
        (("dns:ads.example.org\0.evil",), "belongs to no client"),
        (("dns:ads.example.org\0\x1b[2J",), r"ads.example.org\x00\x1b[2J"),
        (("ads.example.org",), "belongs to no client"),
        ((MESH, BATCH), "the names of several clients"),
        (tuple(f"dns:{number}.example.org" for number in range(9)), "and others"),
        ((f"dns:{'a' * 300}",), "aaa..."),
    ],
)
def test_no_other_name_is_like_a_clients(names: tuple[str, ...], why: str) -> None:
    """Names are compared letter by letter, and what is ambiguous identifies nobody."""
    with pytest.raises(CertificateRejected) as caught:
        KNOWN.identify(sent(presented(*names)), NOW)
    assert why in caught.value.detail


def test_the_key_decides_for_a_certificate_of_nobody() -> None:
    """Requests are answered as without it; a key in Authorization does not replace the certificate of a client."""
    unknown = presented("dns:www.example.org")
    assert KNOWN.identify(sent(unknown, authorization=b"Bearer key-of-reporting"), NOW).name == "reporting"
    with pytest.raises(ClientUnknown):
        KNOWN.identify(sent(unknown, authorization=b"Bearer nonsense"), NOW)
    assert KNOWN.identify(sent(presented(MESH), authorization=b"Bearer nonsense"), NOW).name == "mesh"


def test_without_clients_everybody_is_anonymous() -> None:
    """A certificate opens the connection, and identifies nobody."""
    assert clients().identify(sent(presented(MESH)), NOW).name == "anonymous"
    assert clients().identify(sent(presented(MESH), authorization=b"Bearer x"), NOW).name == "anonymous"
    assert clients().identify_key(presented(MESH), NOW).name == "anonymous"


def test_an_expired_certificate_is_refused_on_its_open_connection() -> None:
    """At the very moment of its end; the connection is closed, so that the client shows a newer one."""
    key = presented(MESH)
    assert KNOWN.identify(sent(key), NOW + 9.9).name == "mesh"
    with pytest.raises(CertificateRejected, match="expired at 1970") as caught:
        KNOWN.identify(sent(key), NOW + 10)
    assert caught.value.close


def test_a_removed_authority_ends_what_it_verified() -> None:
    """All of those by which the certificate was verified must be left; further ones change nothing."""
    policies = (certified("mesh", MESH),)
    assert clients(*policies, trusted=TRUSTED | {"c" * 64}).identify(sent(presented(MESH)), NOW).name == "mesh"
    for trusted in (frozenset(("a" * 64,)), frozenset[str]()):
        with pytest.raises(CertificateRejected, match="have changed") as caught:
            clients(*policies, trusted=trusted).identify(sent(presented(MESH)), NOW)
        assert caught.value.close


def test_no_text_is_taken_for_a_certificate() -> None:
    """Neither the bytes that stand for one, nor what stands for its key's digest, nor its name."""
    (stand_in,) = (known.key for known in KNOWN.known_keys() if known.client == "mesh")
    for text in (bytes(presented(MESH)), stand_in.digest.encode(), MESH.encode(), b"certificate"):
        with pytest.raises((ClientUnknown, MalformedRequest)):
            KNOWN.identify(fields(proxy_key=text), NOW)
        assert KNOWN.authenticate("mesh", text.decode(), NOW) is None


def test_equal_keys_are_of_one_certificate_and_of_the_same_authorities() -> None:
    """They are remembered by it."""
    one = PeerCertificate("f" * 64, (MESH,), NOW, TRUSTED)
    assert CertificateKey.of(one) == CertificateKey.of(one)
    assert CertificateKey.of(one) != CertificateKey.of(PeerCertificate("e" * 64, (MESH,), NOW, TRUSTED))
    assert CertificateKey.of(one) != CertificateKey.of(PeerCertificate("f" * 64, (MESH,), NOW, frozenset()))
    assert repr(CertificateKey.of(one)) == "<CertificateKey ffffffffffff>"


# --- placeholders, and what people see


def test_a_placeholder_is_bound_to_the_certificates_client() -> None:
    """The placeholder is good on connections with a certificate of the client, a renewed one too, and nowhere else."""
    identity = KNOWN.identify(sent(presented(MESH, ends_at=NOW + LIFETIME)), NOW)
    access, refresh = KNOWN.issue(identity, "acme", NOW)
    authorization = b"Bearer " + access.encode()
    renewed = sent(presented(MESH, ends_at=NOW + 2 * LIFETIME), authorization=authorization)
    found = KNOWN.identify(renewed, NOW + 20)
    assert (found.name, found.scope.bound) == ("mesh", "acme")
    assert KNOWN.read_refresh(found, refresh, NOW) == "acme"
    with pytest.raises(PlaceholderRejected, match="on a connection with this certificate"):
        KNOWN.identify(fields(authorization=authorization), NOW)
    with pytest.raises(PlaceholderRejected, match="different clients"):
        KNOWN.identify(sent(presented(BATCH), authorization=authorization), NOW)


def test_certificates_are_listed_with_keys() -> None:
    """By their name; the last use is noted."""
    known = clients(certified("mesh", MESH, key_sha256="a" * 64))
    known.identify(sent(presented(MESH)), NOW)
    keys = {each.key.id: each for each in known.known_keys()}
    assert [*keys] == ["a" * 12, "certificate"]
    assert keys["certificate"] == KnownKey("mesh", keys["certificate"].key, NOW)
    assert (keys["certificate"].key.note, keys["certificate"].key.ends_at) == (MESH, None)
