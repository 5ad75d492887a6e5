"""A program to administer: a view whose answers a test sets, and a client of the real listener.

No behaviour of the proxy is repeated here.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from proxy import errors
from proxy.access.client_keys import KnownKey
from proxy.admin.application import make_admin
from proxy.admin.history import RequestHistory
from proxy.admin.listener import AdminListener
from proxy.admin.view import AccessRules, AdminView, ProgramView, SignInSource, ThrottleView
from proxy.config import Account
from proxy.events import ApprovalState, Event, Observers
from proxy.observability.metrics import Metrics
from proxy.profiles.index import ListingFailure
from proxy.profiles.reach import MergedAdsAccount
from proxy.profiles.replacement import GrantedProfiles, ReachedProfile
from proxy.redaction import Redaction
from proxy.reports.overview import ReportOverview
from proxy.reports.pace import PaceStatus
from proxy.reports.store import ReportFolderError
from proxy.secret import Secret
from proxy.spend.approvals import Approval, ApprovalBook, ApprovalTerms, ApproverDecision, Circumstances
from proxy.spend.freezes import FreezeEntry, Freezes
from proxy.spend.observations import SpendObservations
from proxy.spend.overview import SpendOverview
from proxy.tokens.invitation import Invitation
from proxy.tokens.token_response import Grant
from proxy.tokens.values import CredentialFailure, CredentialStatus

KEY = Secret("an-admin-key-of-some-length")
ACCOUNT = Account.model_validate({"client_id": "client-1", "client_secret": "canary-secret"})


def credential(account: str = "acme", state: str = "valid", **changes: object) -> CredentialStatus:
    values: dict[str, object] = {
        "account": account,
        "state": state,
        "generation": 3,
        "has_refresh_token": True,
        "refresh_token_source": "configuration",
        "expires_at": time.time() + 1800,
        "last_success": time.time() - 1800,
        "last_failure": None,
        "next_refresh_at": time.time() + 1500,
        "unpersisted": False,
        "advice": "",
    }
    return CredentialStatus(**{**values, **changes})  # type: ignore[arg-type]  # each of its own type


FAILURE = CredentialFailure("network", False, "Connection refused.", "Check the network.", 1_700_000_000.0)


@dataclass
class FakeProgram(AdminView):
    """A view made of plain attributes."""

    is_started: bool = True
    is_ready: bool = True
    is_draining: bool = False
    was_serving: bool = False
    rules: AccessRules = field(default_factory=lambda: AccessRules(None, True, "127.0.0.1"))
    statuses: tuple[CredentialStatus, ...] = field(default_factory=lambda: (credential(),))
    known_profiles: tuple[ReachedProfile, ...] = (
        ReachedProfile("111", "acme", "na", "Acme Shoes", "US", "seller"),
        ReachedProfile("222", "acme", "eu", "Acme Schuhe", "DE", "vendor"),
    )
    known_ads_accounts: tuple[MergedAdsAccount, ...] = (
        MergedAdsAccount(
            "amzn1.a", "acme", "ads account", "Acme", "CREATED", ("eu", "na"), ("DE", "US"), ("111", "222"), ("E1",)
        ),
    )
    keys: tuple[KnownKey, ...] = ()
    unlisted: tuple[ListingFailure, ...] = ()
    limits: tuple[ThrottleView, ...] = ()
    paced: tuple[PaceStatus, ...] = ()
    problems: tuple[str, ...] = ()
    records: tuple[Mapping[str, Any], ...] | None = None
    invites: bool = False
    opened: tuple[Invitation, ...] = ()
    redirect_uri: str = "http://127.0.0.1/login/callback"
    invite_failure: errors.StateError | None = None
    refresh_failure: errors.TokenFailure | None = None
    exchange_failure: BaseException | None = None
    listing_failure: errors.AdsProxyError | None = None
    refreshed: list[str] = field(default_factory=list)
    reports: tuple[ReportOverview, ...] = ()
    run_failure: ReportFolderError | None = None
    runs: list[str] = field(default_factory=list)
    client_names: tuple[str, ...] = ("agent", "other")
    known_freezes: Freezes = field(default_factory=Freezes)
    freeze_problem: str = ""
    book: ApprovalBook = field(default_factory=ApprovalBook)
    does_ask_approvers: bool = False
    approval_failure: errors.LedgerUnavailable | None = None
    spending: SpendOverview = field(default_factory=lambda: SpendOverview({}, SpendObservations()))
    granted: GrantedProfiles | None = None
    """What a new login reaches; None for what is known."""
    codes: list[str] = field(default_factory=list)
    verifiers: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    seen: list[Event] = field(default_factory=list)

    def started(self) -> bool:
        return self.is_started

    def ready(self) -> bool:
        return self.is_ready

    def has_served(self) -> bool:
        return self.was_serving

    def draining(self) -> bool:
        return self.is_draining

    def access(self) -> AccessRules:
        return self.rules

    def program(self) -> ProgramView:
        url, since = "http://127.0.0.1:8080", time.time() - 60
        return ProgramView(
            "1.2.3",
            since,
            url,
            False,
            self.invites,
            config_problems=self.problems,
            freezes=self.known_freezes.in_force(),
            freeze_problem=self.freeze_problem,
        )

    def clients(self) -> tuple[str, ...]:
        return self.client_names

    async def freeze(self, client: str | None, by: str, because: str) -> ProgramView:
        self.known_freezes.change(client, FreezeEntry(True, by, because, 1_800_000_000.0))
        return self.program()

    async def unfreeze(self, client: str | None, by: str, because: str) -> ProgramView:
        self.known_freezes.change(client, FreezeEntry(False, by, because, 1_800_000_000.0))
        return self.program()

    def asks_approvers(self) -> bool:
        return self.does_ask_approvers

    async def approvals(self, *, ended: bool) -> list[Approval]:
        if self.approval_failure is not None:
            raise self.approval_failure
        return [each for each in self.book.approvals if ended or each.is_live]

    async def decide(self, identifier: str, state: ApprovalState, by: str, because: str) -> Approval:
        if self.approval_failure is not None:
            raise self.approval_failure
        at = Circumstances(1_800_000_000.0, "mark", ApprovalTerms(), "limits")
        self.book = self.book.decide(identifier, ApproverDecision(state, by, because), at)
        found = self.book.get(identifier)
        assert found is not None
        return found

    def ads_accounts(self, account: str) -> tuple[MergedAdsAccount, ...]:
        return tuple(each for each in self.known_ads_accounts if each.account == account)

    def ads_account_counts(self, account: str) -> Mapping[str, int]:
        return {"acme": {"na": 1, "eu": 1}, "other": {"fe": 9}}.get(account, {})

    def accounts(self) -> tuple[str, ...]:
        return tuple(status.account for status in self.statuses)

    def account(self, name: str) -> Account | None:
        return ACCOUNT if name in self.accounts() else None

    def credential(self, account: str) -> CredentialStatus | None:
        return next((status for status in self.statuses if status.account == account), None)

    def profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        return tuple(profile for profile in self.known_profiles if profile.account == account)

    def profile_counts(self, account: str) -> Mapping[str, int]:
        return Counter(profile.region for profile in self.profiles(account))

    def client_keys(self) -> tuple[KnownKey, ...]:
        return self.keys

    def listing_failures(self, account: str) -> tuple[ListingFailure, ...]:
        return tuple(failure for failure in self.unlisted if failure.account == account)

    def unlisted_accounts(self) -> frozenset[str]:
        return frozenset(failure.account for failure in self.unlisted)

    def throttles(self) -> tuple[ThrottleView, ...]:
        return self.limits

    def throttled_orders(self) -> tuple[PaceStatus, ...]:
        return self.paced

    def audit_records(self) -> tuple[Mapping[str, Any], ...] | None:
        return self.records

    async def open_invitations(self) -> tuple[Invitation, ...]:
        if self.invite_failure:
            raise self.invite_failure
        return self.opened

    async def invite(self, account: str) -> tuple[str, float]:
        if self.invite_failure:
            raise self.invite_failure
        return f"https://consent.test/invite/{account}", 1_800_000_000.0

    async def named_reports(self) -> tuple[ReportOverview, ...]:
        return self.reports

    async def run_report(self, name: str) -> None:
        if self.run_failure:
            raise self.run_failure
        self.runs.append(name)

    async def spend(self) -> SpendOverview:
        return self.spending

    async def refresh_now(self, account: str) -> None:
        if self.refresh_failure:
            raise self.refresh_failure
        self.refreshed.append(account)

    def sign_in_source(self, account: str) -> SignInSource | None:
        scopes = ("advertising::campaign_management",)
        urls = ("https://amazon.test/ap/oa", "https://amazon.test/auth/o2/token")
        return SignInSource(account, "client-1", Secret("canary-secret"), *urls, scopes, self.redirect_uri)

    async def exchange(self, source: SignInSource, code: Secret, code_verifier: Secret) -> Grant:
        if self.exchange_failure:
            raise self.exchange_failure
        self.verifiers.append(code_verifier.reveal())
        self.codes.append(code.reveal())
        return Grant(Secret("Atza|canary"), Secret("Atzr|canary"), 3600, source.client_id)

    async def profiles_of(self, source: SignInSource, grant: Grant) -> GrantedProfiles:
        return self.granted if self.granted is not None else GrantedProfiles(self.known_profiles)

    async def adopt(self, account: str, grant: Grant) -> None:
        self.adopted.append(account)

    async def list_profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        if self.listing_failure:
            raise self.listing_failure
        return self.known_profiles

    def observe(self, event: Event) -> None:
        self.seen.append(event)


class AdminClient:
    """A client of a running admin listener that follows no redirect and keeps no cookie."""

    def __init__(self, session: aiohttp.ClientSession, port: int, history: RequestHistory, metrics: Metrics) -> None:
        self.session, self.port, self.history, self.metrics = session, port, history, metrics

    @asynccontextmanager
    async def ask(
        self,
        path: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        form: dict[str, str] | bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, data=form, allow_redirects=False) as answer:
            await answer.read()
            yield answer

    async def status(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> int:
        async with self.ask(path, method, headers) as answer:
            return answer.status


@asynccontextmanager
async def administer(program: FakeProgram) -> AsyncIterator[AdminClient]:
    """The real admin listener in front of a program, on a free port."""
    metrics = Metrics("1.2.3")
    metrics.accounts([status.account for status in program.statuses])
    history = RequestHistory(metrics, clean=Redaction().clean)
    app = make_admin(program, metrics, history, Observers((metrics, history, program)))
    bound = socket.create_server(("127.0.0.1", 0))
    listener = AdminListener(app)
    await listener.start([bound])
    jar = aiohttp.DummyCookieJar()
    try:
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            yield AdminClient(session, bound.getsockname()[1], history, metrics)
    finally:
        await listener.stop()
