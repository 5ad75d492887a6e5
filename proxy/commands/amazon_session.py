"""What `check`, `profiles` and `login` share: Amazon's side reached as the server reaches it, for one command's time.

A refresh token that comes back changed is kept in the state store, exactly as the server would. Nothing here prints.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.config import REGION_NAMES, Account, Config
from proxy.errors import StateError, TokenFailure
from proxy.net.names import Names
from proxy.net.session import make_session
from proxy.profiles.listing import Endpoint, Profile, ProfilesUnavailable, list_profiles
from proxy.tokens.lwa import AppCredentials, LoginWithAmazon
from proxy.tokens.opening import open_store
from proxy.tokens.store import Choice, Store, choose, rotated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from proxy.secret import Secret
    from proxy.tokens.token_response import Grant

LIST_TIMEOUT = 30.0
MAX_PARALLEL = 8


@dataclass(frozen=True, slots=True)
class AmazonSession:
    """Everything that a command needs to speak to Amazon."""

    config: Config
    store: Store
    session: aiohttp.ClientSession
    lwa: LoginWithAmazon
    ssl_context: ssl.SSLContext
    slots: asyncio.Semaphore


@dataclass(frozen=True, slots=True)
class RegionListing:
    """What one region said. Exactly one of `profiles` and `problem` speaks."""

    region: str
    profiles: tuple[Profile, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about an account. `origin` is where its refresh token is from, empty for none."""

    account: str
    origin: str
    problem: str = ""
    advice: str = ""
    unsaved: str = ""
    listings: tuple[RegionListing, ...] = ()

    @property
    def is_sound(self) -> bool:
        """A token was minted, and every region listed its profiles."""
        return not self.problem and not self.unsaved and not any(listing.problem for listing in self.listings)


def explain(finding: Finding) -> Iterator[str]:
    """One plain sentence for each failure, with what to do."""
    if finding.problem:
        yield f"{finding.account}: {finding.problem.rstrip('.')}. {finding.advice}".rstrip()
    if finding.unsaved:
        yield f"{finding.account}: {finding.unsaved}"
    for listing in finding.listings:
        if listing.problem:
            yield f"{finding.account}, {listing.region}: {listing.problem}"


@asynccontextmanager
async def open_session(config: Config) -> AsyncIterator[AmazonSession]:
    """Open the store and a session to Amazon; raise `StateError` where the store cannot be used."""
    store = open_store(config.state.url, config.state.key)
    context = ssl.create_default_context(cafile=config.upstream.ca_file)
    names = Names()
    session = make_session(names)
    try:
        lwa = LoginWithAmazon(session, proxy=config.upstream.proxy, ssl_context=context)
        yield AmazonSession(config, store, session, lwa, context, asyncio.Semaphore(MAX_PARALLEL))
    finally:
        await session.close()
        names.stop()
        await store.close()


async def try_account(amazon: AmazonSession, account: Account) -> Finding:
    """Mint a token for the account and list its profiles in every region."""
    stored = await amazon.store.read(account.name)
    choice = choose(account.refresh_token, stored)
    if choice.refresh_token is None:
        problem = "there is no refresh token"
        return Finding(account.name, "", problem, f"Sign in: `ads-proxy login {account.name}`.")
    unsaved = ""
    try:
        async with amazon.slots:
            grant = await amazon.lwa.refresh(
                token_url(amazon.config, account), credentials(account), choice.refresh_token
            )
        unsaved = await _keep_rotated(amazon, account, choice, grant)
        grant.check_life()
    except TokenFailure as failure:
        advice = failure.advice.replace("ACCOUNT", account.name)
        return Finding(account.name, choice.origin, failure.detail, advice, unsaved)
    listings = await asyncio.gather(*(_list(amazon, account, region, grant.access_token) for region in REGION_NAMES))
    return Finding(account.name, choice.origin, unsaved=unsaved, listings=tuple(listings))


def token_url(config: Config, account: Account) -> str:
    """The token endpoint of the account's home region."""
    return config.regions[account.region].token_url


def credentials(account: Account) -> AppCredentials:
    """The account's application."""
    return AppCredentials(account.client_id, account.client_secret)


async def _keep_rotated(amazon: AmazonSession, account: Account, choice: Choice, grant: Grant) -> str:
    """Keep a refresh token that changed; the sentence that says what went wrong, or nothing."""
    if grant.refresh_token is None or grant.refresh_token == choice.refresh_token:
        return ""
    if amazon.config.state.url == "memory:":
        return "Amazon replaced the refresh token, and `state.url: memory:` cannot keep the new one beyond this command"
    entry = rotated(grant.refresh_token, account.refresh_token, time.time())
    try:
        await amazon.store.write(account.name, entry)
    except StateError as error:
        return f"Amazon replaced the refresh token, and the new one could not be kept: {error}"
    return ""


async def _list(amazon: AmazonSession, account: Account, region: str, token: Secret) -> RegionListing:
    endpoint = Endpoint(
        amazon.config.regions[region].api_url,
        account.client_id,
        timeout=LIST_TIMEOUT,
        proxy=amazon.config.upstream.proxy,
        ssl_context=amazon.ssl_context,
    )
    try:
        async with amazon.slots:
            found = await list_profiles(amazon.session, endpoint, token)
    except ProfilesUnavailable as failure:
        return RegionListing(region, problem=failure.detail)
    return RegionListing(region, found)
