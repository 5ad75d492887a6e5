"""Issuers of JWTs with keys of their own, and an HTTPS server of their public keys.

Tokens are signed with `cryptography` alone: it shares no code with the library that verifies them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.certificates import Authority
from tests.support.patience import PATIENCE

HASHES: dict[str, Any] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES: dict[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
CURVE_NAMES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def encode(content: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def part(content: Any) -> str:
    """A part of a token that holds this as JSON."""
    return encode(json.dumps(content).encode())


def number(value: int, length: int | None = None) -> str:
    """A number as a JWK has it."""
    return encode(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


@cache
def rsa_key(bits: int, key_id: str, serial: int) -> rsa.RSAPrivateKey:
    """One of several RSA keys: to make one takes a while."""
    return rsa.generate_private_key(65537, bits)


class Signer:
    """A private key with an id, for one algorithm. RSA keys of another `serial` are others."""

    def __init__(
        self, algorithm: str = "RS256", key_id: str = "first", *, bits: int = 2048, curve: str = "", serial: int = 0
    ) -> None:
        self.algorithm, self.id = algorithm, key_id
        self.key: Any
        if algorithm.startswith("ES"):
            self.key = ec.generate_private_key(CURVES[algorithm]())
        elif algorithm == "EdDSA":
            made = ed448.Ed448PrivateKey if curve == "Ed448" else ed25519.Ed25519PrivateKey
            self.key = made.generate()
        else:
            self.key = rsa_key(bits, key_id, serial)

    def sign(self, text: bytes) -> bytes:
        """The signature of a text, as a token has it."""
        if self.algorithm == "EdDSA":
            signature: bytes = self.key.sign(text)
            return signature
        digest = HASHES[self.algorithm[2:]]()
        if self.algorithm.startswith("ES"):
            r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(digest)))
            length = (self.key.curve.key_size + 7) // 8
            return r.to_bytes(length, "big") + s.to_bytes(length, "big")
        pads = self.algorithm.startswith("PS")
        used: Any = padding.PSS(padding.MGF1(digest), digest.digest_size) if pads else padding.PKCS1v15()
        made: bytes = self.key.sign(text, used, digest)
        return made

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key."""
        public = self.key.public_key()
        named = {"kid": self.id, "use": "sig", "alg": self.algorithm}
        if self.algorithm.startswith("ES"):
            point, length = public.public_numbers(), (public.curve.key_size + 7) // 8
            curve = CURVE_NAMES[self.algorithm]
            return {"kty": "EC", "crv": curve, "x": number(point.x, length), "y": number(point.y, length), **named}
        if self.algorithm == "EdDSA":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519" if len(raw) == 32 else "Ed448", "x": encode(raw), **named}
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **named}

    @property
    def pem(self) -> bytes:
        """The public key in the form that a verifier of HMAC could take for a secret."""
        made: bytes = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return made

    def token(self, claims: dict[str, Any] | str, **header: Any) -> str:
        """A token with these claims; `header` changes members of its header, or with None leaves them out."""
        head = {"alg": self.algorithm, "kid": self.id, "typ": "JWT", **header}
        head = {name: value for name, value in head.items() if value is not None}
        payload = encode(claims.encode()) if isinstance(claims, str) else part(claims)
        return self.seal(f"{part(head)}.{payload}")

    def seal(self, signed: str) -> str:
        """These two parts with a signature."""
        return f"{signed}.{encode(self.sign(signed.encode()))}"


def jwks(*signers: Signer) -> str:
    """The keys of signers as a JWKS."""
    return json.dumps({"keys": [signer.jwk for signer in signers]})


def hmac_token(secret: bytes, claims: dict[str, Any], key_id: str) -> str:
    """A token signed with a secret (HS256)."""
    signed = f"{part({'alg': 'HS256', 'kid': key_id, 'typ': 'JWT'})}.{part(claims)}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


# --- The claims of well-known issuers -----------------------------------------------------------------------


def service_account(now: float, *, lives: float = 3600, **changes: Any) -> dict[str, Any]:
    """The claims of a projected token of a Kubernetes ServiceAccount."""
    return {
        "aud": ["ads-proxy"],
        "exp": int(now + lives),
        "iat": int(now),
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
        "kubernetes.io": {
            "namespace": "ads",
            "node": {"name": "127.0.0.1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
            "pod": {"name": "nightly-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
            "serviceaccount": {"name": "nightly", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
            "warnafter": int(now + 3607),
        },
        "nbf": int(now),
        "sub": "system:serviceaccount:ads:nightly",
        **changes,
    }


def workflow(now: float, *, lives: float = 300, **changes: Any) -> dict[str, Any]:
    """The claims of a token of GitHub Actions."""
    return {
        "jti": "example-id",
        "sub": "repo:acme/bidder:environment:production",
        "environment": "production",
        "aud": "ads-proxy",
        "ref": "refs/heads/main",
        "sha": "example-sha",
        "repository": "acme/bidder",
        "repository_owner": "acme",
        "actor_id": "12",
        "repository_visibility": "private",
        "repository_id": "74",
        "repository_owner_id": "65",
        "run_id": "example-run-id",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "workflow": "example-workflow",
        "head_ref": "",
        "base_ref": "",
        "event_name": "workflow_dispatch",
        "ref_type": "branch",
        "job_workflow_ref": "acme/automation/.github/workflows/bid.yml@refs/heads/main",
        "iss": "https://token.actions.githubusercontent.com",
        "nbf": int(now - 600),
        "exp": int(now + lives),
        "iat": int(now),
        **changes,
    }


def svid(now: float, *, lives: float = 300, **changes: Any) -> dict[str, Any]:
    """The claims of a JWT-SVID (SPIFFE) with all times that the proxy requires."""
    return {
        "aud": ["ads-proxy"],
        "exp": int(now + lives),
        "iat": int(now),
        "nbf": int(now),
        "iss": "https://spire.example.org",
        "sub": "spiffe://example.org/ads/nightly",
        **changes,
    }


# --- The server of public keys ------------------------------------------------------------------------------


class KeyServer:
    """An HTTPS server on this machine. `body`, `status` and `headers` are what it answers; while `held` is cleared, it
    keeps who asks waiting. `asked` has the Authorization of each request."""

    def __init__(self, folder: Path, *signers: Signer) -> None:
        self.authority = Authority(folder)
        self.body, self.status, self.headers = jwks(*signers), 200, dict[str, str]()
        self.held = threading.Event()
        self.held.set()
        self.asked: list[str] = []
        self._server: ThreadingHTTPServer
        self._thread: threading.Thread
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/openid/v1/jwks"

    def show(self, *signers: Signer) -> None:
        """Have these keys from now on."""
        self.body = jwks(*signers)

    def start(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.headers.get("Authorization", ""))
                server.held.wait(PATIENCE)
                content = server.body.encode()
                with contextlib.suppress(OSError):
                    self.send_response(server.status)
                    for name, value in server.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Tests look at `asked`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        context: ssl.SSLContext = self.authority.context("localhost")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Be gone; `start` comes back at the same port."""
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


@contextlib.contextmanager
def key_server(folder: Path, *signers: Signer) -> Iterator[KeyServer]:
    """A running server of these public keys."""
    server = KeyServer(folder, *signers)
    server.start()
    try:
        yield server
    finally:
        server.stop()
