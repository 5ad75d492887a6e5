"""Proof that who exchanges a code is who asked for it: PKCE with S256 (RFC 7636). Pure."""

from __future__ import annotations

import base64
import hashlib


def code_challenge(verifier: str) -> str:
    """What of a verifier the authorization request shows (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()
