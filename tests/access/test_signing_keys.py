"""The keys of a JWKS: which can be used, and for what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.access.signing_keys import ALGORITHMS, MAX_JWKS_BYTES, UnusableKeys, parse_jwks, read_key
from tests.support.issuers import Signer, jwks, number

TEXT = b"head.payload"
EVERY = [
    *((Signer(algorithm), algorithm) for algorithm in ALGORITHMS["RSA"]),
    *((Signer(algorithm), algorithm) for algorithm in ("ES256", "ES384", "ES512", "EdDSA")),
    (Signer("EdDSA", curve="Ed448"), "EdDSA"),
]


@pytest.mark.parametrize(("signer", "algorithm"), EVERY, ids=lambda value: getattr(value, "algorithm", ""))
def test_a_key_verifies_its_signatures_and_no_others(signer: Signer, algorithm: str) -> None:
    """A signature belongs to the text, the key and the algorithm."""
    [key] = parse_jwks(jwks(signer).encode()).keys
    assert (key.id, key.algorithm, key.fits(algorithm)) == ("first", algorithm, True)
    signature = signer.sign(TEXT)
    assert key.verifies(algorithm, TEXT, signature)
    assert not key.verifies(algorithm, TEXT + b"x", signature)
    assert not key.verifies(algorithm, TEXT, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not key.verifies(algorithm, TEXT, b"")
    others = {name for names in ALGORITHMS.values() for name in names} - {algorithm}
    assert not any(map(key.fits, {*others, "HS256", "none", ""}))


def test_a_key_without_an_algorithm_fits_all_of_its_kind() -> None:
    """An elliptic curve has one, RSA has six."""
    for signer, fitting in ((Signer(), ALGORITHMS["RSA"]), (Signer("ES384"), ("ES384",))):
        entry = {name: value for name, value in signer.jwk.items() if name != "alg"}
        key = read_key(entry)
        assert tuple(name for names in ALGORITHMS.values() for name in names if key.fits(name)) == fitting


def test_two_readings_give_equal_keys() -> None:
    """What a JWKS says of a key tells whether it is another one."""
    signer = Signer()
    again = {**signer.jwk, "x5t": "ignored"}
    assert read_key(signer.jwk) == read_key(again)
    assert read_key(signer.jwk) != read_key({**signer.jwk, "kid": "other"})
    assert read_key(json.loads(read_key(signer.jwk).said)) == read_key(signer.jwk)


RSA, EC = Signer().jwk, Signer("ES256").jwk


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("text", "is not an object"),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "x"}, "private or symmetric"),
        ({**RSA, "d": "AQ"}, "private or symmetric"),
        ({**RSA, "use": "enc"}, "another use"),
        ({**RSA, "use": ["sig"]}, "another use"),
        ({**RSA, "key_ops": ["encrypt"]}, "other operations"),
        ({**RSA, "key_ops": "verify"}, "other operations"),
        ({**RSA, "kty": "oct"}, "not implemented"),
        ({**EC, "crv": "secp256k1"}, "not implemented"),
        ({**EC, "crv": ["P-256"]}, "not implemented"),
        ({**RSA, "kty": ["RSA"]}, "not implemented"),
        ({**EC, "kty": "OKP"}, "not a valid public key"),
        ({**EC, "y": EC["x"]}, "not a valid public key"),
        ({**EC, "x": 1}, "not a valid public key"),
        ({**RSA, "n": None}, "not a valid public key"),
        ({"kty": "RSA", "e": "AQAB"}, "not a valid public key"),
        ({**RSA, "e": "AQ"}, "not a valid public key"),
        ({**RSA, "alg": "ES256"}, "has an alg"),
        ({**RSA, "alg": "HS256"}, "has an alg"),
        ({**RSA, "alg": None}, "has an alg"),
        ({**RSA, "kid": 1}, "a kid that is no text"),
        (Signer(bits=1024).jwk, "RSA key of 1024 bits"),
        ({**RSA, "n": number((1 << 8200) + 1)}, "RSA key of 8201 bits"),
    ],
)
def test_other_entries_are_left_out(entry: Any, words: str) -> None:
    """The usable keys of the set stay; without one, the set says why."""
    good = Signer("ES256", "good")
    found = parse_jwks(json.dumps({"keys": [entry, good.jwk]}).encode())
    assert [key.id for key in found.keys] == ["good"]
    assert words in found.left_out[0]
    assert found.problem == ""
    alone = parse_jwks(json.dumps({"keys": [entry]}).encode())
    assert alone.keys == ()
    assert alone.problem == f"cannot be used: it has no usable key ({found.left_out[0]})"
    assert parse_jwks(b'{"keys":[]}').problem == "cannot be used: it has no usable key"


@pytest.mark.parametrize("use", [{"use": "jwt-svid"}, {"use": "sig", "key_ops": ["verify", "sign"]}])
def test_keys_for_signatures_are_taken(use: dict[str, Any]) -> None:
    """A bundle of a SPIFFE trust domain calls them otherwise."""
    assert read_key({**EC, **use}).id == "first"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"<html>", "not unambiguous JSON"),
        (b"\xff", "not unambiguous JSON"),
        (b'{"keys":[],"keys":[]}', "not unambiguous JSON"),
        (b"[" * 10_000, "not unambiguous JSON"),
        (b"[]", "a list `keys`"),
        (b'{"keys":{}}', "a list `keys`"),
        (json.dumps({"keys": [EC] * 101}).encode(), "a list `keys`"),
        (b" " * (MAX_JWKS_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_jwks_is_told(document: bytes, words: str) -> None:
    """The sentence has nothing of what was read."""
    with pytest.raises(UnusableKeys, match=words):
        parse_jwks(document)


def test_weak_keys_are_not_what_they_seem() -> None:
    """The test's own key of 1024 bits is one."""
    assert isinstance(Signer(bits=1024).key, rsa.RSAPrivateKey)
