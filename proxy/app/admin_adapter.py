"""The running program as the admin listener sees it: values to show, and the few things a person may do there."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from proxy.admin import (
    AccessRules,
    ProgramView,
    SignInSource,
    ThrottleView,
)
from proxy.downstream.ports import Availability
from proxy.errors import StateError
from proxy.events import InvitationMade, RefreshTokenReplaced, TokenRefreshed, TokenTakenOver
from proxy.profiles.listing import Endpoint, ProfilesUnavailable, list_profiles
from proxy.profiles.replacement import GrantedProfiles, ReachedProfile
from proxy.regions import REGION_NAMES
from proxy.reports.overview import look_at_all
from proxy.tokens.invitation import InvitationState, link, signing_key, state_of
from proxy.tokens.lwa import USER_SCOPE, AppCredentials

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    import aiohttp

    from proxy.access.client_keys import KnownKey
    from proxy.config import Account, Config
    from proxy.events import Event, Observer
    from proxy.forwarding.forwarder import Forwarder
    from proxy.forwarding.throttles import Throttles
    from proxy.observability.audit_stream import AuditStream
    from proxy.profiles.directory import Profile, ProfileDirectory
    from proxy.profiles.index import ListingFailure
    from proxy.profiles.reach import MergedAdsAccount
    from proxy.reports.overview import ReportOverview
    from proxy.reports.pace import PaceStatus
    from proxy.reports.sharing import SharedReports
    from proxy.secret import Secret
    from proxy.tokens.invitation import Invitation, InvitationLedger
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.manager import TokenManager
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import CredentialStatus


class RunningProgram(Protocol):
    """The parts of the program that the view reads. They are read each time: a reload replaces half of them."""

    @property
    def config(self) -> Config: ...
    @property
    def started(self) -> bool: ...
    @property
    def accepts(self) -> bool: ...
    def shown(self) -> ProgramView: ...
    @property
    def audit(self) -> AuditStream | None: ...
    @property
    def tokens(self) -> TokenManager: ...
    @property
    def directory(self) -> ProfileDirectory: ...
    @property
    def lwa(self) -> LoginWithAmazon: ...
    @property
    def session(self) -> aiohttp.ClientSession: ...
    @property
    def trusted(self) -> ssl.SSLContext | None: ...
    @property
    def forwarder(self) -> Forwarder: ...
    @property
    def throttles(self) -> Throttles: ...

    @property
    def reports(self) -> SharedReports: ...
    @property
    def invitations(self) -> InvitationLedger: ...
    @property
    def observers(self) -> Observer: ...


MAX_THROTTLES = 200
"""Those to be waited for longest."""
INVITATION_SECONDS = 7 * 86400.0


class AdminAdapter:
    """Implements `AdminView`."""

    def __init__(self, program: RunningProgram) -> None:
        self._program = program
        self._was_ready = False

    def __repr__(self) -> str:
        return f"<AdminAdapter of {self._program!r}>"

    def started(self) -> bool:
        return self._program.started

    def ready(self) -> bool:
        """Once any account has been able to serve, for good; only draining takes it back, and that no worker serves."""
        if not self._program.accepts:
            return False
        if not self._was_ready:
            self._was_ready = self._program.tokens.has_served
        return self._was_ready

    def draining(self) -> bool:
        return self._program.forwarder.availability is not Availability.SERVING

    def access(self) -> AccessRules:
        config = self._program.config
        return AccessRules(config.admin.key, config.admin.open_metrics, config.admin_listen.host, config.allowed_hosts)

    def program(self) -> ProgramView:
        return self._program.shown()

    def accounts(self) -> tuple[str, ...]:
        return self._program.tokens.accounts()

    def account(self, name: str) -> Account | None:
        return self._program.config.accounts.get(name)

    def credential(self, account: str) -> CredentialStatus | None:
        return self._program.tokens.status(account)

    def profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        listings = self._listings(account)
        return tuple(ReachedProfile.of(account, region, each) for region, listed in listings for each in listed)

    def profile_counts(self, account: str) -> Mapping[str, int]:
        return {region: len(listed) for region, listed in self._listings(account) if listed}

    def _listings(self, account: str) -> Iterator[tuple[str, tuple[Profile, ...]]]:
        """What is known of an account, by region."""
        for region in REGION_NAMES:
            listing = self._program.directory.listing(account, region)
            yield region, listing.profiles if listing is not None else ()

    def ads_accounts(self, account: str) -> tuple[MergedAdsAccount, ...]:
        return self._program.directory.ads_accounts(account)

    def ads_account_counts(self, account: str) -> Mapping[str, int]:
        return self._program.directory.ads_account_counts(account)

    def listing_failures(self, account: str) -> tuple[ListingFailure, ...]:
        found = (self._program.directory.failure(account, region) for region in REGION_NAMES)
        return tuple(failure for failure in found if failure is not None)

    def client_keys(self) -> tuple[KnownKey, ...]:
        return self._program.forwarder.rules.clients.known_keys()

    def throttles(self) -> tuple[ThrottleView, ...]:
        config, now = self._program.config, asyncio.get_running_loop().time()
        limits = sorted(self._program.throttles.snapshot(now), key=lambda limit: -limit.wait)[:MAX_THROTTLES]
        applications: dict[str, list[str]] = {key.client_id: [] for key, _ in limits}
        for name, account in config.accounts.items() if limits else ():
            if account.client_id in applications:
                applications[account.client_id].append(name)
        return tuple(
            ThrottleView(
                tuple(applications[key.client_id]),
                key.region,
                key.family,
                key.advertiser,
                wait,
            )
            for key, wait in limits
        )

    def throttled_orders(self) -> tuple[PaceStatus, ...]:
        return tuple(sorted(self._program.reports.queues.snapshot(), key=lambda status: status.limit))

    def audit_records(self) -> tuple[Mapping[str, Any], ...] | None:
        return None if self._program.audit is None else self._program.audit.recent()

    async def named_reports(self) -> tuple[ReportOverview, ...]:
        reports = self._program.forwarder.rules.named_reports
        if reports is None or not reports.accounts:
            return ()
        return await asyncio.to_thread(look_at_all, reports, reports.accounts, time.time())

    async def run_report(self, name: str) -> None:
        reports = self._program.forwarder.rules.named_reports
        assert reports is not None
        await asyncio.to_thread(reports.folder.ask_for_run, name)

    async def open_invitations(self) -> tuple[Invitation, ...]:
        now = time.time()
        known = await self._program.invitations.all()
        return tuple(each for each in known if state_of(each, now) is InvitationState.OPEN)

    async def invite(self, account: str) -> tuple[str, float]:
        invites, key = self._program.config.invites, signing_key(self._program.config.accounts[account].secrets[0])
        if invites.url is None:
            raise StateError(
                "invites.url: is not set; set it, and invites.listen for a listener of its own; restart the proxy."
            )
        sender = invites.sender or urlsplit(invites.url).hostname or ""
        made = await self._program.invitations.make(account, INVITATION_SECONDS, sender)
        self._program.observers.observe(InvitationMade(account, made.id, made.expires_at))
        return link(invites.url, made, key), made.expires_at

    async def refresh_now(self, account: str) -> None:
        await self._program.tokens.refresh_now(account)

    def sign_in_source(self, account: str) -> SignInSource | None:
        config = self._program.config
        found = config.accounts.get(account)
        if found is None:
            return None
        region = config.regions[found.region]
        return SignInSource(
            account=account,
            client_id=found.client_id,
            client_secret=found.secrets[0],
            older_secret=found.secrets[1],
            auth_grant_url=region.auth_grant_url,
            token_url=region.token_url,
            scopes=found.scopes,
            redirect_uri=found.redirect_uri,
        )

    async def exchange(self, source: SignInSource, code: Secret, code_verifier: Secret) -> Grant:
        credentials = AppCredentials(source.client_id, source.client_secret, source.older_secret)
        lwa = self._program.lwa
        return await lwa.exchange(source.token_url, credentials, code, source.redirect_uri, code_verifier)

    async def profiles_of(self, source: SignInSource, grant: Grant) -> GrantedProfiles:
        config = self._program.config
        listed = await asyncio.gather(*(self._list(source, region, grant) for region in config.regions))
        found = [profile for listing in listed if not isinstance(listing, ProfilesUnavailable) for profile in listing]
        unlisted = {
            region: listing.detail
            for region, listing in zip(config.regions, listed, strict=True)
            if isinstance(listing, ProfilesUnavailable)
        }
        return GrantedProfiles(tuple(found), unlisted, await self._is_other_user(source, grant))

    async def _is_other_user(self, source: SignInSource, grant: Grant) -> bool | None:
        """Whether Login with Amazon calls the users of both logins otherwise; None if it does not answer for both."""
        present = self._program.tokens.current(source.account)
        if present is None or USER_SCOPE not in source.scopes:
            return None
        lwa = self._program.lwa
        users = await asyncio.gather(
            *(lwa.user_id(source.token_url, token) for token in (present.value, grant.access_token))
        )
        return users[0] != users[1] if all(users) else None

    async def _list(
        self, source: SignInSource, region: str, grant: Grant
    ) -> tuple[ReachedProfile, ...] | ProfilesUnavailable:
        program = self._program
        endpoint = Endpoint(
            program.config.regions[region].api_url,
            source.client_id,
            proxy=program.config.upstream.proxy,
            ssl_context=program.trusted,
        )
        try:
            profiles = await list_profiles(program.session, endpoint, grant.access_token)
        except ProfilesUnavailable as failure:
            return failure
        return tuple(ReachedProfile.of(source.account, region, profile) for profile in profiles)

    async def adopt(self, account: str, grant: Grant) -> None:
        await self._program.tokens.adopt(account, grant)

    async def list_profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        return tuple(ReachedProfile.of(*listed) for listed in await self._program.directory.ensure_listed(account))


class SignInObserver:
    """An observer: a token that came of a sign-in, here or at another replica, may be another person's, who has other
    profiles."""

    def __init__(self, list_again: Callable[[str], None]) -> None:
        self._list_again = list_again
        self._signed_in: set[str] = set()

    def observe(self, event: Event) -> None:
        if isinstance(event, RefreshTokenReplaced) and event.source == "sign-in":
            self._signed_in.add(event.account)
        elif isinstance(event, TokenRefreshed | TokenTakenOver) and event.account in self._signed_in:
            self._signed_in.discard(event.account)
            self._list_again(event.account)
        elif isinstance(event, TokenRefreshed) and event.trigger == "sign-in":
            self._list_again(event.account)
