"""The running program as the admin listener sees it: values to show, and the few things a person may do there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from proxy import __version__
from proxy.admin import (
    AccessRules,
    AccountView,
    GrantedProfiles,
    ListingFailureView,
    ProfileView,
    ProgramView,
    SignInSource,
)
from proxy.config import REGION_NAMES
from proxy.downstream.ports import Availability
from proxy.events import TokenRefreshed
from proxy.profiles.listing import Endpoint, ProfilesUnavailable, list_profiles
from proxy.tokens.lwa import AppCredentials

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import aiohttp

    from proxy.config import Address, Config
    from proxy.downstream.table import ConnectionTable
    from proxy.events import Event
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.forwarder import Forwarder
    from proxy.profiles.directory import Profile, ProfileDirectory
    from proxy.secret import Secret
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.manager import TokenManager
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import CredentialStatus
    from proxy.upstream.pools import Pools


class RunningProgram(Protocol):
    """What is asked of the program. It is asked anew each time: a reload changes the half of it."""

    @property
    def config(self) -> Config: ...
    @property
    def listening(self) -> Address: ...
    @property
    def started(self) -> bool: ...
    @property
    def started_at(self) -> float: ...
    @property
    def demo(self) -> bool: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def config_problems(self) -> tuple[str, ...]: ...
    @property
    def needs_restart(self) -> tuple[str, ...]: ...
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
    def tools(self) -> ConnectionTable: ...
    @property
    def accounting(self) -> Accounting: ...
    @property
    def pools(self) -> Pools: ...


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
        """Once any account has been able to serve, for good; only draining takes it back."""
        if not self._was_ready:
            self._was_ready = any(status.last_success is not None for status in self._program.tokens.statuses())
        return self._was_ready

    def draining(self) -> bool:
        return self._program.forwarder.availability is not Availability.SERVING

    def access(self) -> AccessRules:
        config = self._program.config
        return AccessRules(config.admin.key, config.admin.open_metrics, config.admin_listen.host, config.allowed_hosts)

    def program(self) -> ProgramView:
        program = self._program
        connections = {"tools": len(program.tools), "in_flight": program.accounting.in_flight}
        connections |= {host: total for host, (total, _) in program.pools.sizes().items()}
        return ProgramView(
            version=__version__,
            started_at=program.started_at,
            tools_url=f"{'https' if program.config.tls else 'http'}://{program.listening}",
            demo=program.demo,
            keyed=bool(program.config.clients),
            config_problems=program.config_problems,
            needs_restart=program.needs_restart,
            notes=program.notes,
            connections=connections,
        )

    def accounts(self) -> tuple[AccountView, ...]:
        return tuple(
            AccountView(name, account.region, account.default_profile, REGION_NAMES)
            for name, account in self._program.config.accounts.items()
        )

    def credentials(self) -> tuple[CredentialStatus, ...]:
        return self._program.tokens.statuses()

    def profiles(self) -> tuple[ProfileView, ...]:
        return tuple(_shown(profile) for profile in self._program.directory.snapshot())

    def listing_failures(self) -> tuple[ListingFailureView, ...]:
        return tuple(
            ListingFailureView(failure.account, failure.region, failure.detail, failure.at)
            for failure in self._program.directory.failures()
        )

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
            client_secret=found.client_secret,
            auth_grant_url=region.auth_grant_url,
            token_url=region.token_url,
            scopes=found.scopes,
            redirect_uri=found.redirect_uri,
        )

    async def exchange(self, source: SignInSource, code: Secret) -> Grant:
        credentials = AppCredentials(source.client_id, source.client_secret)
        return await self._program.lwa.exchange(source.token_url, credentials, code, source.redirect_uri)

    async def profiles_of(self, source: SignInSource, grant: Grant) -> GrantedProfiles:
        config = self._program.config
        listed = await asyncio.gather(*(self._list(source, region, grant) for region in config.regions))
        found = [profile for listing in listed if not isinstance(listing, ProfilesUnavailable) for profile in listing]
        unlisted = {
            region: listing.detail
            for region, listing in zip(config.regions, listed, strict=True)
            if isinstance(listing, ProfilesUnavailable)
        }
        return GrantedProfiles(tuple(found), unlisted)

    async def _list(
        self, source: SignInSource, region: str, grant: Grant
    ) -> tuple[ProfileView, ...] | ProfilesUnavailable:
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
        return tuple(_shown((source.account, region, profile)) for profile in profiles)

    async def adopt(self, account: str, grant: Grant) -> None:
        await self._program.tokens.adopt(account, grant)

    async def list_profiles(self, account: str) -> tuple[ProfileView, ...]:
        return tuple(_shown(profile) for profile in await self._program.directory.ensure_listed(account))


class SignInObserver:
    """An observer: a token that came of a sign-in may be another person's, who has other profiles."""

    def __init__(self, list_again: Callable[[str], None]) -> None:
        self._list_again = list_again

    def observe(self, event: Event) -> None:
        if isinstance(event, TokenRefreshed) and event.trigger == "sign-in":
            self._list_again(event.account)


def _shown(listed: tuple[str, str, Profile]) -> ProfileView:
    account, region, profile = listed
    return ProfileView(profile.id, account, region, profile.name, profile.country, profile.kind)
