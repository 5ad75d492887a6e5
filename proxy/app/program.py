"""All parts of the running program, made and wired from one configuration, and changed in place by the next."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.access.client_certificates import NO_AUTHORITIES
from proxy.access.client_keys import KeyUses
from proxy.access.clients import Budgets
from proxy.admin.view import AdminView, ProgramView
from proxy.app.client_key_changes import ClientKeyReporter
from proxy.app.draining import close_listener
from proxy.app.interception import AuthorityKeeper, resolver_of
from proxy.app.listeners import Listeners, import_in_thread, require_compiled_parser
from proxy.app.notice_channels import notice_channels
from proxy.app.outputs import Outputs
from proxy.app.process import connections_within, defect_of
from proxy.app.request_path import RequestPath, SharedParts
from proxy.app.rules import (
    RuleSources,
    capability_settings,
    connection_notes,
    make_approvers,
    named_reports,
    rules_of,
    spend_limits,
    spend_notes,
)
from proxy.app.server_tls import ServerTls
from proxy.app.sources import console_url, profile_sources, token_settings, token_sources
from proxy.app.stored_parts import StoredParts, measure_stored_lists
from proxy.app.token_checks import TokenChecks
from proxy.errors import StartupError
from proxy.events import (
    CertificateLoaded,
    Observers,
    ServerStarted,
)
from proxy.intercept.contexts import Contexts
from proxy.mcp.hints import ToolHints
from proxy.mcp.sessions import McpSessions
from proxy.net.names import Names
from proxy.net.session import DeferredSession, make_session
from proxy.profiles.directory import ProfileDirectory, TokenObserver
from proxy.reports.sharing import SharedReports
from proxy.spend.capability import SpendMemory
from proxy.tokens.lwa import LoginWithAmazon
from proxy.tokens.manager import TokenManager
from proxy.upstream.throttles import Throttles

if TYPE_CHECKING:
    import ssl

    from proxy.access.approvers import Approvers
    from proxy.app.audit import RunOutputs
    from proxy.app.internal_client import ReportClients
    from proxy.app.jwks_keeper import JwksKeeper
    from proxy.app.named_reports import NamedReportService
    from proxy.config import Address, Config
    from proxy.downstream.listener import Acceptor
    from proxy.downstream.table import ConnectionTable
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.forwarder import Forwarder
    from proxy.intercept.authority import Authority
    from proxy.reports.overview import NamedReports
    from proxy.spend.approval_keeper import ApprovalKeeper
    from proxy.spend.freezes import FreezeKeeper
    from proxy.spend.overview import SpendOverview
    from proxy.tokens.invitation import InvitationLedger
    from proxy.upstream.pool import Pools


class Program:
    """Made with a configuration; `start` opens everything, `stop` closes what was opened, also where a start failed."""

    forwarder: Forwarder
    client_connections: ConnectionTable
    listeners: Listeners
    parts: StoredParts
    session: DeferredSession
    pools: Pools
    tokens: TokenManager
    directory: ProfileDirectory
    lwa: LoginWithAmazon
    _internal: ReportClients

    def __init__(
        self,
        config: Config,
        *,
        notes: tuple[str, ...] = (),
        demo: bool = False,
        open_files: int = 0,
        run_outputs: RunOutputs | None = None,
    ) -> None:
        self.config = config
        self.demo = demo
        self.notes = notes
        self._max_connections = connections_within(open_files)
        self.started_at = time.time()
        self.started = False
        self.config_problems: tuple[str, ...] = ()
        self.needs_restart: tuple[str, ...] = ()
        self._opened = AsyncExitStack()
        self.outputs = Outputs(lambda: self.config, run_outputs, self._opened)
        self.logs, self.metrics = self.outputs.logs, self.outputs.metrics
        self.audit, self.accounting = self.outputs.audit, self.outputs.accounting
        self.observers = self.accounting.observer
        self._uses, self._sessions, self._hints, self._budgets = KeyUses(), McpSessions(), ToolHints(), Budgets()
        self.throttles, self.reports = Throttles(), SharedReports()
        self._tls = ServerTls()
        self.acceptors: list[Acceptor] = []
        self._named_reports: NamedReportService | None = None
        self._token_checks = TokenChecks()
        self._token_checks.miss = self._miss_key
        self._jwks: JwksKeeper | None = None

    def __repr__(self) -> str:
        where = f"on {self.listening}" if self.started else "not started"
        return f"<Program {where}, {len(self.config.accounts)} accounts, {len(self.config_problems)} problems>"

    @property
    def trusted(self) -> ssl.SSLContext | None:
        """Who is believed to be Amazon; None for the system's authorities."""
        return self._tls.authorities.context

    def use_authority(self, authority: Authority | None) -> None:
        """Use this one for interception instead of the one that the configuration names. Before `start`."""
        self._tls.authority = authority

    # --- start and stop

    async def start(self) -> None:
        """Bind first, so that a port in use stops the program before anything is asked of Amazon."""
        config, opened, outputs = self.config, self._opened, self.outputs
        outputs.begin(config)
        listeners = self.listeners = Listeners(config, opened)
        self._tls.begin(config)
        self._tls.open_authority(config, time.time())
        parts = self.parts = StoredParts(config, self.throttles, self._budgets, self.observers, opened)
        self.notes += (*parts.store.notes, *connection_notes(config, self._max_connections), *spend_notes(config))
        self._names = Names(ask=resolver_of(config))
        opened.callback(self._names.stop)
        await parts.start_spend(config, outputs.observations)
        self.session = DeferredSession()
        opened.push_async_callback(self.session.close)
        opened.push_async_callback(outputs.notifier.stop)
        channels = notice_channels(config, self.session, self.trusted)
        await outputs.notifier.start(parts.store, channels, console_url(config, self.admin_listening))
        await parts.start_reports(config, self.reports)
        await self._start_tokens(config)
        measure_stored_lists(self.directory, self.metrics)
        opened.callback(close_listener, self)
        listeners.listen()
        clients = self._path.accept(listeners.clients, self._tls)
        self.acceptors = [*clients, *self._path.accept_by_name(listeners.named)]
        opening = asyncio.create_task(self._open_session())
        opened.callback(opening.cancel)
        await asyncio.shield(opening)  # clients' requests wait for it, also where a signal ends the start now
        if self._jwks is not None:
            self.notes += await self._jwks.read_first()
        told = self.metrics, outputs.history, self.observers
        await listeners.start_admin(AdminView(self), told, parts.invitations, config.invites.url)
        await self._follow_reports(config)
        self.started = True
        addresses = str(self.listening), str(self.admin_listening)
        if self._tls.certificate is not None:
            self.observers.observe(CertificateLoaded(self._tls.certificate.ends_at))
        if self._tls.authority is not None:
            opened.callback(AuthorityKeeper(self._tls.authority, self.observers).begin().cancel)
        named = str(self.by_name_listening or "")
        self.observers.observe(ServerStarted(__version__, *addresses, tuple(config.accounts), self.notes, named))

    # --- what others ask of it

    @property
    def listening(self) -> Address:
        """Where clients connect."""
        return self.listeners.listening

    @property
    def admin_listening(self) -> Address:
        """Where the admin listener is."""
        return self.listeners.admin_listening

    @property
    def by_name_listening(self) -> Address | None:
        """Where clients with Amazon's names connect, if anywhere."""
        return self.listeners.by_name_listening

    @property
    def freezes(self) -> FreezeKeeper:
        """Whose writes are frozen."""
        return self.parts.freezes

    @property
    def approvals(self) -> ApprovalKeeper:
        """The approvals of all clients."""
        return self.parts.approvals

    @property
    def invitations(self) -> InvitationLedger:
        """The links that were made for advertisers."""
        return self.parts.invitations

    @property
    def in_flight(self) -> int:
        """Requests that are being served."""
        return self.accounting.in_flight

    @property
    def accepts(self) -> bool:
        """Whether clients can connect: already before the start is complete."""
        return bool(self.acceptors)

    @property
    def can_serve(self) -> bool:
        """Whether some account has had a token, and the first lists of profiles need not be waited for."""
        return self.tokens.has_served and self.directory.has_first_profiles

    def shown(self) -> ProgramView:
        """The program itself, for people to look at."""
        config, parts = self.config, self.parts
        sizes = {host: total for host, (total, _) in self.pools.sizes().items()}
        return ProgramView(
            version=__version__,
            started_at=self.started_at,
            proxy_url=f"{'https' if config.tls else 'http'}://{self.listening}",
            demo=self.demo,
            keyed=bool(config.clients) and not self.demo,
            invites=config.invites.url is not None,
            config_problems=self.config_problems,
            needs_restart=self.needs_restart,
            notes=self.notes,
            audit=None if self.audit is None else self.audit.counts(),
            state=config.state.kind,
            store=parts.health,
            connections={"clients": len(self.client_connections), "in_flight": self.in_flight, **sizes},
            freezes=parts.in_force.in_force(),
            freeze_problem=parts.freezes.unkept or parts.in_force.unknown,
        )

    @property
    def approvers(self) -> Approvers:
        """Who decides about writes over a limit."""
        return make_approvers(self.config)

    async def spend_overview(self) -> SpendOverview:
        """Limits, days and judged writes of all clients."""
        return await self.outputs.observations.overview(spend_limits(self.config), self._path.memory.spend)

    async def _open_session(self) -> None:
        """Open the session for the program's own requests.

        aiohttp is a quarter of a start, so clients are served first. A thread imports it, so that they still are.
        """
        await import_in_thread("proxy.net.names_resolver")
        require_compiled_parser()
        self.session.open(make_session(self._names))

    async def _follow_reports(self, config: Config) -> None:
        """Run the named reports of a configuration. What that needs is imported where there are some."""
        if config.reports is None and self._named_reports is None:
            return
        from proxy.app.internal_client import ReportClients
        from proxy.app.named_reports import NamedReportService
        from proxy.reports.amazon import ReportApi

        if self._named_reports is None:
            self._internal = ReportClients(self._path.dependencies, self.pools, self.reports.queues)
            make_api = partial(ReportApi, self.session, self._internal, self.logs.redaction.clean)
            self._named_reports = NamedReportService(make_api, self.directory, self.parts.store, self.observers)
            self.metrics.watch_reports(self._named_reports.results)
            self._opened.push_async_callback(self._named_reports.stop)
        self._internal.apply(self.forwarder.rules, config.reports.named if config.reports is not None else ())
        await self._named_reports.apply(config, profile_sources(config, self.trusted))

    def _follow_providers(self, config: Config) -> None:
        """Read the keys of a configuration's identity providers. What that needs is imported where there are some."""
        if not config.identity_providers and self._jwks is None:
            return
        from proxy.app.jwks_keeper import JwksKeeper

        if self._jwks is None:
            self._jwks = JwksKeeper(self._token_checks, self.session, self.observers, self._keys_changed)
            self._opened.push_async_callback(self._jwks.stop)
        self._jwks.apply(config)
        self.metrics.provider_keys(self._jwks.counts())

    def _keys_changed(self, lost: bool) -> None:
        """Something else is known of a provider's keys; `lost` tells that one is gone."""
        if self._jwks is not None:
            self.metrics.provider_keys(self._jwks.counts())
        if lost:
            self._path.forget_credentials()

    async def stop_reports(self) -> None:
        """Runs of named reports stay as they are, for the next program."""
        if self._named_reports is not None:
            await self._named_reports.stop()

    async def _start_tokens(self, config: Config) -> None:
        """Tokens, profiles and what forwards with them; none of them waits for Amazon."""
        opened, parts = self._opened, self.parts
        self.lwa = self._login_with_amazon(config)
        fleet = (parts.fleet,) if parts.fleet is not None else ()
        observed = TokenObserver(self._list_profiles_again, self._note_token)
        observers = Observers((self.observers, observed, *fleet))
        self.tokens = TokenManager(self.lwa, parts.store, observers, token_settings(config))
        self.tokens.store_changed = parts.changed
        if parts.fleet is not None:
            parts.fleet.share_token_rate(self.tokens.request_queue)
        self.directory = ProfileDirectory(self.session, self.tokens.get, parts.store, self.observers)
        self.accounting.journal.gather(asyncio.get_running_loop().call_soon)
        authority = self._tls.authority
        contexts = Contexts(authority, time.time) if authority is not None else None
        spend = SpendMemory(parts.ledger, parts.in_force, approvals=parts.approvals)
        shared = SharedParts(self.tokens, self.throttles, self._sessions, self._hints, self.reports, contexts, spend)
        path = self._path = RequestPath(self.accounting, shared, self._names)
        self._follow_providers(config)
        opened.callback(path.close)
        self.pools, self.forwarder = (
            path.pools,
            path.begin(self.rules(config, self._tls.trusted_clients.digests), capability_settings(config)),
        )
        self._client_keys = ClientKeyReporter(self.observers, self.metrics, self._uses)
        opened.callback(self._client_keys.begin(self.forwarder.rules.clients).cancel)
        self.metrics.approver_keys(self.approvers.locked_out())
        self.client_connections = path.client_connections
        opened.push_async_callback(self.tokens.stop)
        await self.tokens.start(token_sources(config))
        opened.push_async_callback(self.directory.stop)
        await self.directory.start(profile_sources(config, self.trusted))

    async def stop(self) -> None:
        """Close everything that was opened, in reverse."""
        await self._opened.aclose()

    # --- reload

    async def apply(self, config: Config) -> None:
        """Take a new configuration, from which `reload.compare` removed what needs a restart.

        Raises `StartupError` where it cannot be used; the old one is in force then.
        """
        authorities = self._tls.authorities.pem
        certificate = self._tls.reread(config)
        self.logs.redact(config.secrets())
        try:
            trusted = certificate.clients.digests if certificate is not None else NO_AUTHORITIES
            rules, settings = self.rules(config, trusted), capability_settings(config)
            lwa = self._login_with_amazon(config)
            # With thousands of accounts this takes a while, and requests are served meanwhile.
            sources = await asyncio.to_thread(token_sources, config)
            lists = await asyncio.to_thread(profile_sources, config, self.trusted)
            self.metrics.accounts({*self.config.accounts, *config.accounts})  # new ones before their first token
            await self.tokens.reconfigure(sources, settings=token_settings(config), lwa=lwa)
        except StartupError:
            self._tls.authorities.take(authorities)
            self.metrics.accounts(self.config.accounts)
            raise
        stay = True
        if certificate is not None:
            stay = self._tls.show(certificate)
            self.observers.observe(CertificateLoaded(certificate.ends_at))
        self.config, self.lwa = config, lwa
        self._follow_providers(config)
        channels = notice_channels(config, self.session, self.trusted)
        self.outputs.notifier.reconfigure(channels, console_url(config, self.admin_listening))
        self.outputs.adjust_logs(config)
        self.metrics.accounts(config.accounts)
        self._path.apply(rules, settings)
        self.parts.follow(config)
        if not stay:
            self.client_connections.retire()
        self._client_keys.follow(rules.clients)
        self.metrics.approver_keys(self.approvers.locked_out())
        await self.directory.reconfigure(lists)
        await self._follow_reports(config)  # last: the file of an order may have changed since it was checked

    def rules(self, config: Config, trusted_clients: frozenset[str]) -> Rules:
        """What the configuration says of traffic, with this program's directory and signing key, and the digests of
        those that sign clients' certificates. Raises `ConfigurationError`."""
        if config.reports is not None:
            from proxy.app.report_orders import refuse_misfits  # not above: see `_follow_reports`

            refuse_misfits(config)
        of = self.directory, self._budgets, self._uses, self._tls.authorities, self.demo, self._max_connections
        return rules_of(config, RuleSources(*of, self._token_checks), trusted_clients)

    @property
    def report_results(self) -> NamedReports | None:
        """The named reports of the configuration, for who looks at them."""
        return named_reports(self.config.reports) if self.config.reports is not None else None

    # --- parts

    def _miss_key(self, provider: str) -> None:
        """A token has a key that its provider is not known to have."""
        if self._jwks is not None:
            self._jwks.miss(provider)

    def _list_profiles_again(self, account: str) -> None:
        self.directory.list_again(account)

    def _note_token(self, account: str) -> None:
        self.directory.note_token(account)

    def _login_with_amazon(self, config: Config) -> LoginWithAmazon:
        return LoginWithAmazon(self.session, proxy=config.upstream.proxy, ssl_context=self.trusted)

    def met_defect(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop met an uncaught exception."""
        self.observers.observe(defect_of(context))
