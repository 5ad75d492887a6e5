"""What a process needs for checking JWTs in addition to the configuration; it outlives a reload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.access.token_verification import ProviderKeys, TokenWork


class TokenChecks:
    """`keys` are those of each provider by its name, and change in place. `miss` is told the name of a provider whose
    keys should be read again. `work` is made where it is needed."""

    def __init__(self) -> None:
        self.keys: dict[str, ProviderKeys] = {}
        self.work: TokenWork | None = None
        self.miss: Callable[[str], None] = _ignore
        self._readings: dict[str, asyncio.Event] = {}

    def __repr__(self) -> str:
        return f"<TokenChecks: keys of {len(self.keys)} providers>"

    def read_again(self, provider: str) -> asyncio.Event:
        """Have a provider's keys read again; gives what is set once that was tried."""
        reading = self._readings.setdefault(provider, asyncio.Event())
        self.miss(provider)
        return reading

    def put(self, provider: str, known: ProviderKeys) -> None:
        """Something else is known of a provider's keys from now on: they were read, or could not be."""
        self.keys[provider] = known
        reading = self._readings.pop(provider, None)
        if reading is not None:
            reading.set()


def _ignore(_provider: str) -> None:
    """No keys are read here."""
