"""The configuration's `state`: where tokens are kept, and what encrypts them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from proxy.config.model.kinds import Count, Spill, StateKeys, StateUrl
from proxy.config.model.redis_address import parse_redis_address
from proxy.config.model.section import Section
from proxy.secret import Secret


class StateKind(StrEnum):
    """What sort of store `state.url` names."""

    MEMORY = "memory"
    FILE = "file"
    REDIS = "redis"


class StateSection(Section):
    """Where refresh tokens that Amazon hands out are kept, and for a fleet what its members share."""

    url: Annotated[
        StateUrl,
        Field(
            description="`memory:`, `file:DIR`, or for a fleet `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` "
            "for TLS, `redis+sentinel://`, which may be a reference to a secret. Default: `file:` in "
            "`$XDG_STATE_HOME/ads-proxy` or `~/.local/state/ads-proxy`, and `memory:` for a user without a home."
        ),
    ] = "memory:"
    key: Annotated[
        StateKeys,
        Field(
            description="What encrypts the state, 16 bytes or more; of a list, the first encrypts and all decrypt. "
            "Absent: a key file is made in the directory; required with Redis."
        ),
    ] = None
    spill: Annotated[
        Spill,
        Field(
            description="With Redis: the directory for encrypted copies of refresh tokens that the store could not "
            "take; `off` for none. Default: `ads-proxy-spill` next to the default of `url`, and "
            "`/var/lib/ads-proxy/spill` for a user without a home."
        ),
    ] = None
    max_connections: Annotated[
        Count,
        Field(
            ge=4,
            le=1024,
            description="Connections to Redis, for each replica; one that was not needed for a minute is closed. A "
            "program with workers has no more.",
        ),
    ] = 16

    @property
    def kind(self) -> StateKind:
        """Only Redis' address is a secret."""
        if isinstance(self.url, Secret):
            return StateKind.REDIS
        return StateKind.MEMORY if self.url == "memory:" else StateKind.FILE

    @property
    def secrets(self) -> tuple[Secret | None, ...]:
        """Every secret in it, for redaction."""
        keys = self.key if isinstance(self.key, tuple) else (self.key,)
        if not isinstance(self.url, Secret):
            return keys
        password = parse_redis_address(self.url.reveal()).password
        return (*keys, self.url, password) if password is not None else keys
