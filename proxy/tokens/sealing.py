"""What a store keeps outside this process, as bytes that say nothing without the key: entries and documents.

Each names its owner within what is encrypted, so that bytes under another's name are noticed. Where the bytes lie is
for the stores.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from proxy.errors import StateError
from proxy.secret import Secret
from proxy.tokens.store import StoredSource, StoredToken

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_KEY_BYTES = 16
UNREADABLE: Final = (InvalidToken, ValueError, KeyError, TypeError)
"""What reading encrypted bytes of another key or of an unknown form raises."""


def digest(name: str) -> str:
    """The name of a file or a key for anything of this name: any name is fit for any disk and server then."""
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def make_cipher(keys: Iterable[Secret]) -> MultiFernet:
    """The first key encrypts, all decrypt. Raises `StateError` for one that is too short."""
    return MultiFernet([_cipher(key) for key in keys])


def _cipher(key: Secret) -> Fernet:
    """A cipher whose key is derived from any secret of 16 bytes or more."""
    material = key.reveal().encode()
    if len(material) < MIN_KEY_BYTES:
        raise StateError(f"state.key is shorter than {MIN_KEY_BYTES} bytes; make one with: openssl rand -hex 32")
    derived = HKDF(SHA256(), 32, salt=None, info=b"ads-proxy state").derive(material)
    return Fernet(base64.urlsafe_b64encode(derived))


def encode_entry(account: str, entry: StoredToken) -> bytes:
    """An account's entry, to be encrypted."""
    return json.dumps(
        {
            "account": account,
            "refresh_token": entry.refresh_token.reveal(),
            "source": entry.source,
            "configured_fingerprint": entry.configured_fingerprint,
            "saved_at": entry.saved_at,
            "consented_at": entry.consented_at,
            "follows": entry.follows,
        }
    ).encode()


def decode_entry(content: bytes) -> tuple[str, StoredToken]:
    """The account and its entry. Raises `ValueError`, `KeyError` or `TypeError` where it is of an unknown form."""
    kept = json.loads(content)
    # An unknown source, such as of another version of this program, counts as rotated, not as a sign-in.
    source = StoredSource.SIGN_IN if kept["source"] == StoredSource.SIGN_IN else StoredSource.ROTATED
    saved_at = float(kept["saved_at"])
    entry = StoredToken(
        Secret(str(kept["refresh_token"])),
        source,
        str(kept["configured_fingerprint"]),
        saved_at,
        _consented_at(kept, source, saved_at),
        str(kept.get("follows", "")),
    )
    return str(kept["account"]), entry


def encode_document(name: str, data: object) -> bytes:
    """A document, to be encrypted."""
    return json.dumps({"name": name, "data": data}).encode()


def decode_document(name: str, content: bytes) -> object | None:
    """What the document of this name says; None for another's. Raises as `decode_entry` does."""
    kept = json.loads(content)
    document: object = kept["data"]
    return document if kept["name"] == name else None


def _consented_at(kept: dict[str, Any], source: StoredSource, saved_at: float) -> float | None:
    """Versions before this key kept a sign-in at the moment of the consent."""
    if "consented_at" not in kept:
        return saved_at if source is StoredSource.SIGN_IN else None
    return None if kept["consented_at"] is None else float(kept["consented_at"])
