"""What `check`, `profiles` and `login` share: Amazon's side reached as the server reaches it, for one command's time.

A refresh token that comes back changed is kept in the state store, exactly as the server would. Nothing here prints.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING

from proxy.app.interception import resolver_of
from proxy.commands.terminal import complain, tell
from proxy.config import Account, Config, StateKind
from proxy.errors import StateError, TokenFailure
from proxy.events import Observers
from proxy.net.names import Names
from proxy.net.session import make_session
from proxy.profiles.listing import Endpoint, Profile, ProfilesUnavailable, list_profiles
from proxy.profiles.reach import MergedAdsAccount, Reach, ReachIndex
from proxy.profiles.reach_reader import read_reach
from proxy.regions import REGION_NAMES
from proxy.tokens.consent import CONSENT_ADVICE, ConsentLedger, ConsentPhase, describe, explain_refusal, phase
from proxy.tokens.lwa import USER_SCOPE, AppCredentials, LoginWithAmazon
from proxy.tokens.opening import open_store
from proxy.tokens.store import Store, StoredToken, choose, rotated
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator

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
    consents: ConsentLedger


@dataclass(frozen=True, slots=True)
class RegionListing:
    """What one region said. Exactly one of `profiles` and `problem` speaks."""

    region: str
    profiles: tuple[Profile, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ConsentFinding:
    """Where the consent stands now, and a sentence about it."""

    phase: ConsentPhase = ConsentPhase.NONE
    words: str = ""


@dataclass(frozen=True, slots=True)
class AccountFinding:
    """What was found out about an account. `origin` is where its refresh token is from, empty for none."""

    account: str
    origin: str
    problem: str = ""
    advice: str = ""
    unsaved: str = ""
    listings: tuple[RegionListing, ...] = ()
    ads_accounts: tuple[MergedAdsAccount, ...] = ()
    readings: tuple[Reach, ...] = ()
    """What each region's host lists, from which `ads_accounts` are merged."""
    consent: ConsentFinding = field(default_factory=ConsentFinding)
    older_secret: bool = False
    """Amazon refused the newer of two client secrets."""
    user: str = ""
    """What Login with Amazon calls the user, if the account's scopes let it tell."""

    @property
    def is_sound(self) -> bool:
        """A token was minted, every region listed what it was asked for, and the consent is not over."""
        if self.consent.phase is ConsentPhase.ENDED:
            return False
        return not self.problem and not self.unsaved and not any(listing.problem for listing in self.listings)


def explain(finding: AccountFinding) -> Iterator[str]:
    """One plain sentence for each failure, with what to do."""
    if finding.problem:
        yield f"{finding.account}: {finding.problem.rstrip('.')}. {finding.advice}".rstrip()
    if finding.unsaved:
        yield f"{finding.account}: {finding.unsaved}"
    for listing in finding.listings:
        if listing.problem:
            yield f"{finding.account}, {listing.region}: {listing.problem}"
    if not finding.problem and finding.consent.phase is ConsentPhase.ENDED:
        yield f"{finding.account}: {finding.consent.words} {CONSENT_ADVICE.format(finding.account)}"


def remarks_on(findings: Iterable[AccountFinding]) -> Iterator[str]:
    """One sentence for each consent that expires soon, and for each application whose newer secret Amazon refuses."""
    for finding in findings:
        if finding.older_secret:
            yield (
                f"{finding.account}: Amazon refuses the first client_secret and accepts the second; keep both for now."
            )
        if finding.consent.phase is ConsentPhase.ENDING:
            yield f"{finding.account}: {finding.consent.words} {CONSENT_ADVICE.format(finding.account)}"


def tell_findings(findings: Collection[AccountFinding]) -> None:
    """Print what is noted of the accounts, then what is wrong."""
    for remark in remarks_on(findings):
        tell(f"note: {remark}")
    for finding in findings:
        for sentence in explain(finding):
            complain(sentence)


@asynccontextmanager
async def open_session(config: Config) -> AsyncIterator[AmazonSession]:
    """Open the store and a session to Amazon; raise `StateError` where the store cannot be used."""
    store = open_store(config.state.url, config.state.key)
    context = ssl.create_default_context(cafile=config.upstream.ca_file)
    names = Names(ask=resolver_of(config))
    session = make_session(names)
    try:
        lwa = LoginWithAmazon(session, proxy=config.upstream.proxy, ssl_context=context)
        consents = ConsentLedger(store, Observers(()), time.time)
        await consents.load()
        yield AmazonSession(config, store, session, lwa, context, asyncio.Semaphore(MAX_PARALLEL), consents)
    finally:
        await session.close()
        names.stop()
        await store.close()


async def try_account(amazon: AmazonSession, account: Account, *, ads_accounts: bool = False) -> AccountFinding:
    """Mint a token for the account and list its profiles in every region; with `ads_accounts`, its ads accounts
    instead."""
    stored = await amazon.store.read(account.name)
    choice = choose(account.refresh_tokens[0], stored)
    entry = stored if choice.origin.is_stored else None
    consent = amazon.consents.consent(account.name, account.refresh_tokens[0], entry, account.consented_on)
    if choice.refresh_token is None:
        problem = "no refresh token"
        return AccountFinding(account.name, "", problem, f"Sign in: `ads-proxy login {account.name}`.")
    now = time.time()
    found, unsaved = ConsentFinding(phase(consent, now), describe(consent, now)), ""
    try:
        async with amazon.slots:
            grant = await amazon.lwa.refresh(
                token_url(amazon.config, account), credentials(account), choice.refresh_token
            )
        unsaved = await _keep_rotated(amazon, account, grant, entry)
        grant.check_life()
    except TokenFailure as error:
        failure = explain_refusal(error, consent, now)
        advice = failure.advice.replace("ACCOUNT", account.name)
        return AccountFinding(account.name, choice.origin, failure.detail, advice, unsaved, consent=found)
    if ads_accounts:
        finding = AccountFinding(
            account.name, choice.origin, unsaved=unsaved, consent=found, older_secret=grant.older_secret
        )
        return await _list_ads_accounts(amazon, account, grant.access_token, finding)
    listings = await asyncio.gather(
        *(list_region(amazon, account, region, grant.access_token) for region in REGION_NAMES)
    )
    return AccountFinding(
        account.name,
        choice.origin,
        unsaved=unsaved,
        listings=tuple(listings),
        consent=found,
        older_secret=grant.older_secret,
        user=await user_of(amazon, account, grant.access_token),
    )


async def user_of(amazon: AmazonSession, account: Account, token: Secret) -> str:
    """What Login with Amazon calls the user of a token; empty without the scope `profile`."""
    if USER_SCOPE not in account.scopes:
        return ""
    return await amazon.lwa.user_id(token_url(amazon.config, account), token)


def token_url(config: Config, account: Account) -> str:
    """The token endpoint of the account's home region."""
    return config.regions[account.region].token_url


def credentials(account: Account) -> AppCredentials:
    """The account's application."""
    return AppCredentials(account.client_id, *account.secrets)


async def _keep_rotated(amazon: AmazonSession, account: Account, grant: Grant, before: StoredToken | None) -> str:
    """Keep a refresh token that changed; the sentence that says what went wrong, or nothing.

    `before` is the stored entry of the one that was sent, None where that was the configured one.
    """
    sent = before.refresh_token if before is not None else account.refresh_tokens[0]
    if grant.refresh_token is None or grant.refresh_token == sent:
        return ""
    if amazon.config.state.kind is StateKind.MEMORY:
        return (
            "Amazon replaced the refresh token, but `state.url: memory:` cannot keep the new one; set "
            "state.url: file:DIR"
        )
    consented_at = before.consented_at if before is not None else None
    entry = rotated(grant.refresh_token, account.refresh_tokens[0], time.time(), consented_at, sent)
    try:
        await amazon.store.write(account.name, entry)
    except StateError as error:
        return f"Amazon replaced the refresh token, but the state store could not save the new one: {error}"
    return ""


async def _list_ads_accounts(
    amazon: AmazonSession, account: Account, token: Secret, finding: AccountFinding
) -> AccountFinding:
    """The ads accounts that the account reaches, merged over all regions."""
    index, readings = ReachIndex(), list[Reach]()

    async def read(region: str) -> RegionListing:
        async with amazon.slots:
            reach, problem = await read_reach(
                amazon.session, _endpoint(amazon, account, region), token, Reach(account.client_id)
            )
        index.put(account.name, region, reach)
        readings.append(reach)
        return RegionListing(region, problem=problem.detail if problem is not None else "")

    listings = await asyncio.gather(*map(read, REGION_NAMES))
    return replace(finding, listings=tuple(listings), ads_accounts=index.snapshot(), readings=tuple(readings))


def _endpoint(amazon: AmazonSession, account: Account, region: str) -> Endpoint:
    return Endpoint(
        amazon.config.regions[region].api_url,
        account.client_id,
        timeout=LIST_TIMEOUT,
        proxy=amazon.config.upstream.proxy,
        ssl_context=amazon.ssl_context,
    )


async def list_region(amazon: AmazonSession, account: Account, region: str, token: Secret) -> RegionListing:
    """The profiles that a token reaches in a region."""
    try:
        async with amazon.slots:
            found = await list_profiles(amazon.session, _endpoint(amazon, account, region), token)
    except ProfilesUnavailable as failure:
        return RegionListing(region, problem=failure.detail)
    return RegionListing(region, found)
