"""Reads the public keys of identity providers, and keeps those that were read last. One per program.

Each provider has a task. It reads the keys every `EVERY` seconds, sooner after a failure, and at once where a token has
a key that is not among them, but then at most once a minute. What was read stays in use while newer keys cannot be
read, up to the provider's age limit.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.access.signing_keys import MAX_JWKS_BYTES, KeySet, UnusableKeys, parse_jwks
from proxy.access.token_verification import ProviderKeys
from proxy.events import CounterRaised, ProviderKeysFailed, ProviderKeysRead
from proxy.net.dialing import client_context
from proxy.net.session import opened, proxy_url, why_unreachable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from proxy.app.token_checks import TokenChecks
    from proxy.config import Config
    from proxy.config.model.identity_providers import IdentityProviderConfig
    from proxy.events import Observer
    from proxy.net.session import HttpSession
    from proxy.secret import Secret

EVERY: Final = 300.0
"""Seconds between two readings of a provider's keys."""
RETRY: Final = 60.0
"""Seconds until keys are read again that could not be read."""
TIMEOUT: Final = 10.0
START_PATIENCE: Final = 3.0
"""Seconds that a start waits for the first keys, to tell which cannot be read."""
_UNREAD: Final = "were not read within {:g} seconds"


class JwksKeeper:
    """`changed` is called when something else is known of a provider, and told whether a key is gone that may have
    signed a token in use. `wall` gives wall-clock time."""

    def __init__(
        self,
        checks: TokenChecks,
        session: HttpSession,
        observer: Observer,
        changed: Callable[[bool], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._checks, self._session, self._observer, self._wall = checks, session, observer, wall
        self.changed = changed
        self._readers: dict[str, _Reader] = {}

    def __repr__(self) -> str:
        return f"<JwksKeeper of {', '.join(self._readers) or 'no provider'}>"

    def apply(self, config: Config) -> None:
        """Follow the providers of a configuration. Files are read at once. The keys of a provider whose issuer or
        address changed are no longer in use."""
        outbound = config.upstream.proxy
        for name, reader in tuple(self._readers.items()):
            provider = config.identity_providers.get(name)
            if provider != reader.provider or outbound != reader.outbound or _has_files(reader.provider):
                reader.stop()
                del self._readers[name]
            if provider is None or _source(provider) != _source(reader.provider):
                self._put(name, ProviderKeys())
        for name, provider in config.identity_providers.items():
            if name not in self._readers:
                if provider.jwks.file is not None:
                    self._take(name, provider, _read_file(provider.jwks.file))
                self._readers[name] = _Reader(self, provider, outbound)

    def miss(self, name: str) -> None:
        """A token has a key that the provider is not known to have."""
        reader = self._readers.get(name)
        if reader is not None and self.known(name).may_be_read_again(self._wall()):
            reader.wake.set()

    def known(self, name: str) -> ProviderKeys:
        """What is known of the keys of the provider of this name."""
        return self._checks.keys.get(name, ProviderKeys())

    def counts(self) -> dict[str, int]:
        """How many keys of each provider are in use."""
        return {name: len(self.known(name).keys) for name in self._readers}

    async def read_first(self) -> tuple[str, ...]:
        """Wait for the first reading of each provider, for a moment; a note about each that has no keys then."""
        firsts = [reader.first.wait() for reader in self._readers.values()]
        if firsts:
            tasks = [asyncio.ensure_future(first) for first in firsts]
            _, late = await asyncio.wait(tasks, timeout=START_PATIENCE)
            for task in late:
                task.cancel()
        return tuple(
            f"identity_providers.{name}: its keys {known.problem or _UNREAD.format(START_PATIENCE)}. Its tokens are "
            "refused with 503 until they are read; the proxy tries again."
            for name in self._readers
            if not (known := self.known(name)).keys
        )

    async def stop(self) -> None:
        """Read no more."""
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.stop()
        await asyncio.gather(*(reader.task for reader in readers.values()), return_exceptions=True)

    # --- what was read

    async def read(self, name: str, provider: IdentityProviderConfig, outbound: Secret | None) -> bool:
        """Read the keys of a provider. Returns whether that worked."""
        return self._take(name, provider, await load_keys(self._session, provider, outbound))

    def _take(self, name: str, provider: IdentityProviderConfig, found: KeySet | str) -> bool:
        """Keep the keys, or the clause about why they could not be read. Returns whether there are any."""
        before, now = self.known(name), self._wall()
        problem = found if isinstance(found, str) else found.problem
        result = "failure" if problem else "success"
        self._observer.observe(CounterRaised("identity_provider_reads_total", (name, result)))
        if isinstance(found, str):
            too_old = not 0 <= now - before.read_at < provider.jwks_max_age
            known = replace(before, tried_at=now, problem=problem, keys=() if too_old else before.keys)
        else:
            known = ProviderKeys(found.keys, now, now, problem)
        if (known.problem, known.keys) != (before.problem, before.keys):
            left_out = () if isinstance(found, str) else found.left_out
            failed = ProviderKeysFailed(name, problem, len(known.keys))
            self._observer.observe(failed if problem else ProviderKeysRead(name, len(known.keys), left_out))
        self._put(name, known)
        return not problem

    def _put(self, name: str, known: ProviderKeys) -> None:
        before = self.known(name)
        self._checks.put(name, known)
        self.changed(not set(before.keys) <= set(known.keys))


def _source(provider: IdentityProviderConfig) -> tuple[object, ...]:
    return provider.issuer, provider.jwks


def _has_files(provider: IdentityProviderConfig) -> bool:
    """Whether a reload may be for the sake of one of its files."""
    return provider.jwks.file is not None or provider.ca_file is not None


class _Reader:
    """The task that reads the keys of one provider, until it is stopped."""

    def __init__(self, keeper: JwksKeeper, provider: IdentityProviderConfig, outbound: Secret | None) -> None:
        self.provider, self.outbound = provider, outbound
        self.wake, self.first = asyncio.Event(), asyncio.Event()
        self._keeper = keeper
        self.task = asyncio.get_running_loop().create_task(self._keep())

    def __repr__(self) -> str:
        return f"<_Reader of {self.provider.name}>"

    def stop(self) -> None:
        self.task.cancel()

    async def _keep(self) -> None:
        name = self.provider.name
        if self.provider.jwks.file is not None:  # it was read already
            self.first.set()
            await self._rest(bool(self._keeper.known(name).keys))
        while True:
            read = await self._keeper.read(name, self.provider, self.outbound)
            self.first.set()
            self.wake.clear()
            await self._rest(read)

    async def _rest(self, read: bool) -> None:
        try:
            await asyncio.wait_for(self.wake.wait(), EVERY if read else RETRY)
        except TimeoutError:
            return


# --- Reading ------------------------------------------------------------------------------------------------


async def load_keys(session: HttpSession, provider: IdentityProviderConfig, outbound: Secret | None) -> KeySet | str:
    """The keys of a provider as they are now, or a clause about why they cannot be read."""
    file = provider.jwks.file
    if file is not None:
        return _read_file(file)
    try:
        return _parse(await _ask(session, provider, outbound))
    except _NotRead as problem:
        return str(problem)


def _read_file(file: Path) -> KeySet | str:
    try:
        return _parse(file.read_bytes())
    except OSError as error:
        return f"cannot be read: {file}: {error.strerror}"


def _parse(document: bytes) -> KeySet | str:
    try:
        return parse_jwks(document)
    except UnusableKeys as error:
        return f"cannot be used: {error}"


class _NotRead(Exception):
    """A clause about why an address gave no JWKS."""


async def _ask(session: HttpSession, provider: IdentityProviderConfig, outbound: Secret | None) -> bytes:
    """What the address of the keys answers. No redirect is followed: it could lead anywhere."""
    client = await opened(session)
    import aiohttp  # behind the session, which has imported it in a thread

    url = provider.jwks.url
    assert url is not None
    host, outbound = url.split("/")[2], None if provider.ca_file is not None else outbound
    headers = {"Accept": "application/jwk-set+json, application/json"}
    if provider.token is not None:
        headers["Authorization"] = f"Bearer {provider.token.reveal()}"
    try:
        async with client.get(
            url,
            headers=headers,
            ssl=_context(provider),
            proxy=proxy_url(outbound),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        ) as answer:
            if answer.status != 200:
                raise _NotRead(f"cannot be read: {url} answers {answer.status}")
            document = await answer.content.read(MAX_JWKS_BYTES + 1)
            while len(document) <= MAX_JWKS_BYTES and (more := await answer.content.read(MAX_JWKS_BYTES)):
                document += more
            return document
    except TimeoutError:
        raise _NotRead(f"cannot be read: {url} did not answer within {TIMEOUT:g} seconds") from None
    except aiohttp.ClientSSLError as error:
        words = str(getattr(error, "certificate_error", error.os_error))
        raise _NotRead(f"cannot be read: {host} has no certificate of an authority in ca_file ({words})") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        why = why_unreachable(error, host, outbound) or f"{url} could not be asked ({type(error).__name__})"
        raise _NotRead(f"cannot be read: {why}") from None


def _context(provider: IdentityProviderConfig) -> ssl.SSLContext:
    """The authorities that the address of a provider's keys must have its certificate from."""
    file = provider.ca_file
    try:
        return client_context(None if file is None else str(file))
    except OSError:
        raise _NotRead(f"cannot be read: {file} has no certificates of authorities in PEM") from None
