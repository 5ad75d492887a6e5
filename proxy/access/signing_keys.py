"""The public keys of an identity provider, as a JWKS has them (RFC 7517). Pure.

A set holds what verifies signatures, and why anything else in it is left out: symmetric and private keys, weak ones,
and those for another use. It is imported only where identity providers are configured.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import Any, Final

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import InvalidKeyError

from proxy.strict_json import read_json
from proxy.value_classes import dataclass

ALGORITHMS: Final = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
    "Ed448": ("EdDSA",),
}
"""The signatures that a key of each kind verifies: asymmetric ones alone."""
MAX_JWKS_BYTES: Final = 262_144
MAX_KEYS: Final = 100
_USES: Final = ("sig", "jwt-svid")
"""What a key may be for: signatures, also as the bundle of a SPIFFE trust domain calls them."""
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y", "alg", "kid")
_RSA_BITS: Final = range(2048, 8193)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key. `algorithm` is the only one that it may be used with, empty for all of its kind. `said` is what a
    JWKS says of it, as JSON: two keys are equal if that is."""

    id: str
    kind: str
    algorithm: str
    said: str
    public: Any = field(repr=False, compare=False, hash=False)

    def fits(self, algorithm: str) -> bool:
        """Whether a signature of this algorithm may be verified with the key."""
        return algorithm in ALGORITHMS[self.kind] and self.algorithm in ("", algorithm)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature of these bytes is this key's. The key fits the algorithm."""
        return bool(_ALGORITHMS[algorithm].verify(signed, self.public, signature))


_ALGORITHMS = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of a JWKS, and a clause about each entry that is left out. A set without keys is one, too: its provider
    lists none of those that it had before."""

    keys: tuple[SigningKey, ...]
    left_out: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """A clause about why no token can be verified with these keys, empty if some can."""
        why = f" ({'; '.join(self.left_out)})" if self.left_out else ""
        return "" if self.keys else f"cannot be used: it has no usable key{why}"


class UnusableKeys(ValueError):
    """A document that is no JWKS; its text says why."""


def parse_jwks(document: bytes) -> KeySet:
    """Read the keys of a JWKS. Raises `UnusableKeys` for what is none."""
    if len(document) > MAX_JWKS_BYTES:
        raise UnusableKeys(f"it is larger than {MAX_JWKS_BYTES} bytes")
    try:
        content = read_json(document, strictly=False)
    except (ValueError, RecursionError):
        raise UnusableKeys("it is not unambiguous JSON in UTF-8") from None
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise UnusableKeys(f"it is not a JSON object with a list `keys` of at most {MAX_KEYS} entries")
    keys: list[SigningKey] = []
    left_out: list[str] = []
    for position, entry in enumerate(entries):
        try:
            keys.append(read_key(entry))
        except ValueError as error:
            left_out.append(f"keys[{position}] {error}")
    return KeySet(tuple(keys), tuple(left_out))


def read_key(entry: object) -> SigningKey:
    """The key of an entry. Raises `ValueError` with a clause about why it is left out."""
    if not isinstance(entry, dict):
        raise ValueError("is not an object")  # noqa: TRY004 - one kind of error for all that is wrong
    if _PRIVATE & entry.keys():
        raise ValueError("holds a private or symmetric key")
    if entry.get("use", "sig") not in _USES:
        raise ValueError("is for another use than signatures")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("is for other operations than verifying")
    kind = entry.get("kty") if entry.get("kty") == "RSA" else entry.get("crv")
    algorithm, key_id = entry.get("alg", ""), entry.get("kid", "")
    if not isinstance(kind, str) or kind not in ALGORITHMS:
        raise ValueError("is of a kind that is not implemented")
    if not isinstance(key_id, str) or (algorithm != "" and algorithm not in ALGORITHMS[kind]):
        raise ValueError("has an alg that its kind does not have, or a kid that is no text")
    public = _public_key(entry, ALGORITHMS[kind][0])
    if kind == "RSA" and public.key_size not in _RSA_BITS:
        raise ValueError(f"is an RSA key of {public.key_size} bits; 2048 to 8192 are accepted")
    said = json.dumps({name: entry[name] for name in _PUBLIC if name in entry})
    return SigningKey(key_id, kind, algorithm, said, public)


def _public_key(entry: dict[str, Any], algorithm: str) -> Any:
    try:
        return _ALGORITHMS[algorithm].from_jwk(entry)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("is not a valid public key") from None
