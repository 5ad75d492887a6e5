"""The section about who signs the JWTs of clients."""

from __future__ import annotations

from pydantic import Field

from proxy.config.model.kinds import (
    FilledText,
    Flag,
    Listed,
    Seconds,
    SecretValue,
    SignatureAlgorithm,
    Url,
    WatchedFile,
)
from proxy.config.model.section import NamedSection, Section
from proxy.secret import Secret


class JwksSection(Section):
    """Where a provider's public keys are read, at one of two places."""

    url: Url | None = None
    """Its `jwks_uri`, with https://; http:// only on this machine. It is read every 5 minutes, and for an unknown key
    at most once a minute."""
    file: WatchedFile | None = None
    """A file with a JWKS, instead of `url`; a changed file takes effect while the program runs."""


class IdentityProviderConfig(NamedSection):
    """Who signs JWTs, and what all of them must be."""

    issuer: FilledText
    """The issuer (`iss`) of its tokens, letter by letter."""
    audience: FilledText
    """The audience (`aud`) that its tokens must be for; one that no other service accepts."""
    jwks: JwksSection
    """Its public keys."""
    ca_file: WatchedFile | None = None
    """The authorities that sign the certificate of `jwks.url`, as PEM; absent: the system's. With it the address is
    asked directly, without it through `upstream.proxy`."""
    token: SecretValue | None = None
    """What is sent to `jwks.url` as Bearer token; the endpoint of Kubernetes may need one. Absent: none."""
    algorithms: Listed[SignatureAlgorithm] = ("RS256", "ES256")
    """The signatures that its tokens may have; symmetric ones are not implemented."""
    require_nbf: Flag = True
    """Whether its tokens must have a time `nbf`; SPIRE's have none."""
    jwks_max_age: Seconds = Field(86_400.0, ge=60, le=2_592_000)
    """For how long its keys are used while they cannot be read again."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret in it, for redaction."""
        return () if self.token is None else (self.token,)
