"""All parts of the running program, made and wired from one configuration, and changed in place by the next."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxy import __version__
from proxy.access.client_certificates import NO_AUTHORITIES
from proxy.access.client_keys import KeyUses
from proxy.access.clients import Budgets
from proxy.admin.history import RequestHistory
from proxy.admin.view import AdminView, ProgramView
from proxy.app.audit import begin_audit, close_audit, open_audit
from proxy.app.client_key_changes import ClientKeyReporter
from proxy.app.draining import close_listener
from proxy.app.fleet import FleetMember
from proxy.app.interception import AuthorityKeeper, resolver_of
from proxy.app.notice_channels import notice_channels
from proxy.app.process import connections_within, defect_of, frequent_thread_switches
from proxy.app.request_path import EventOutputs, RequestPath, SharedParts, make_accounting
from proxy.app.rules import (
    RuleSources,
    approval_terms,
    approval_versions,
    capability_settings,
    connection_notes,
    make_approvers,
    named_reports,
    report_rules,
    rules_of,
    spend_limits,
    spend_notes,
)
from proxy.app.server_tls import ServerTls
from proxy.app.sources import console_url, profile_sources, shared_settings, token_settings, token_sources
from proxy.app.spend_observations import KeptObservations, SpendObserver
from proxy.app.telemetry import open_traces, tracing_of
from proxy.app.thread_messages import ThreadMessages
from proxy.app.token_checks import TokenChecks
from proxy.audit.records import AuditTrail
from proxy.config import Address, environment, wants_colours
from proxy.downstream.listener import BACKLOG, bind, bound_address
from proxy.errors import StartupError
from proxy.events import (
    AdsAccountsListed,
    CertificateLoaded,
    Observers,
    OrdersPaced,
    ProfilesListed,
    ServerStarted,
    StateStoreChanged,
)
from proxy.intercept.contexts import Contexts
from proxy.mcp.hints import ToolHints
from proxy.mcp.sessions import McpSessions
from proxy.net.names import Names
from proxy.net.session import DeferredSession, make_session
from proxy.observability.logs import configure
from proxy.observability.metrics import Metrics
from proxy.observability.notifier import Notifier
from proxy.observability.recent_requests import RecentRequests
from proxy.profiles.directory import ProfileDirectory, TokenObserver
from proxy.profiles.reach import ADS_ACCOUNT
from proxy.reports.sharing import SharedReports
from proxy.reports.stored import StoredReports
from proxy.spend.approval_keeper import ApprovalKeeper
from proxy.spend.capability import SpendMemory
from proxy.spend.freezes import FreezeKeeper, Freezes
from proxy.spend.ledger import StoreLedger
from proxy.tokens.invitation import InvitationLedger
from proxy.tokens.lwa import LoginWithAmazon
from proxy.tokens.manager import TokenManager
from proxy.tokens.opening import open_store
from proxy.tokens.store import StoreHealth
from proxy.upstream.throttles import Throttles

if TYPE_CHECKING:
    import socket
    import ssl

    from proxy.access.approvers import Approvers
    from proxy.app.audit import RunOutputs
    from proxy.app.internal_client import ReportClients
    from proxy.app.jwks_keeper import JwksKeeper
    from proxy.app.named_reports import NamedReportService
    from proxy.audit.file import AuditFile
    from proxy.config import Config
    from proxy.downstream.listener import Acceptor
    from proxy.downstream.table import ConnectionTable
    from proxy.events import Event, Observer
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.forwarder import Forwarder
    from proxy.intercept.authority import Authority
    from proxy.reports.overview import NamedReports
    from proxy.spend.overview import SpendOverview
    from proxy.tokens.store import Store, StoreChange
    from proxy.upstream.pool import Pools


class Program:
    """Made with a configuration; `start` opens everything, `stop` closes what was opened, also where a start failed."""

    forwarder: Forwarder
    client_connections: ConnectionTable
    pools: Pools
    tokens: TokenManager
    directory: ProfileDirectory
    session: DeferredSession
    lwa: LoginWithAmazon
    invitations: InvitationLedger
    ledger: StoreLedger
    fleet: FleetMember | None
    freezes: FreezeKeeper
    approvals: ApprovalKeeper
    _internal: ReportClients
    listening: Address
    admin_listening: Address
    by_name_listening: Address | None = None

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
        self.logs = configure(
            form=config.log.format,
            colours=wants_colours(environment()),
            level=config.log.level,
            stream=sys.stdout if run_outputs is None else run_outputs.log,
        )
        self._adjust_logs(config)
        self.logs.redact(config.secrets())
        self.metrics = Metrics(__version__)
        self.history = RequestHistory(self.metrics, RecentRequests(), self.logs.redaction.clean)
        self._opened = AsyncExitStack()
        self._opened.callback(self.logs.close)
        self.messages = ThreadMessages(self._tell)
        trails = self._open_audit(config, None if run_outputs is None else run_outputs.audit)
        self.notifier = Notifier(self._tell, self.logs.redaction.clean)
        traces = open_traces(lambda: self.config, self.messages.tell, self.logs.redaction.clean, self._opened)
        for each in traces:
            self.metrics.watch_spans(each.counts)
        self.observations = KeptObservations()
        others: tuple[Observer, ...] = (self.notifier, *traces)
        judged = SpendObserver(self.observations.note, self.observations.note_within)
        outputs = EventOutputs(self.metrics, self.logs, self.history, trails, others=others, judged=judged)
        self.accounting = make_accounting(outputs, tracing_of(config, traces))
        self.observers = self.accounting.observer
        self._make_shared_parts()
        self._tls = ServerTls()
        self.acceptors: list[Acceptor] = []
        self._named_reports: NamedReportService | None = None
        self._token_checks = TokenChecks()
        self._token_checks.miss = self._miss_key
        self._jwks: JwksKeeper | None = None

    def _make_shared_parts(self) -> None:
        """What outlives a reload."""
        self._uses, self._sessions, self._hints = KeyUses(), McpSessions(), ToolHints()
        self.throttles, self.reports = Throttles(), SharedReports()
        self._freezes = Freezes()
        self._budgets = Budgets()

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
        config, opened = self.config, self._opened
        self.metrics.accounts(config.accounts)
        self.messages.begin()
        if self.audit is not None:
            gate, clean = self.accounting.write_gate, self.logs.redaction.clean
            opened.callback(begin_audit(self.audit, gate, self.observers, clean).cancel)
        client_sockets = self._bind("listen", config.listen, reuse_port=config.reuse_port)
        admin_sockets = self._bind("admin_listen", config.admin_listen)
        invited_sockets = self._bind("invites.listen", config.invites.listen)
        named_sockets = self._bind("intercept.listen", config.intercept.listen, reuse_port=config.reuse_port)
        self.listening, self.admin_listening = bound_address(client_sockets[0]), bound_address(admin_sockets[0])
        self._tls.begin(config)
        self._tls.open_authority(config, time.time())
        store = self._open_store(config)
        self.invitations = InvitationLedger(store, time.time)
        self.invitations.begin()
        opened.push_async_callback(self.invitations.stop)
        self.notes += (*store.notes, *connection_notes(config, self._max_connections), *spend_notes(config))
        self._names = Names(ask=resolver_of(config))
        opened.callback(self._names.stop)
        self._store = store
        await self._start_spend(store)
        self.session = DeferredSession()
        opened.push_async_callback(self.session.close)
        opened.push_async_callback(self.notifier.stop)
        channels = notice_channels(config, self.session, self.trusted)
        await self.notifier.start(store, channels, console_url(config, self.admin_listening))
        await self._start_reports(store)
        await self._start_tokens(config, store)
        self._measure_stored_profiles()
        opened.callback(close_listener, self)
        for bound in (*admin_sockets, *invited_sockets):
            bound.listen()  # who connects before the listener is imported waits for it
        for bound in (*client_sockets, *named_sockets):
            bound.listen(BACKLOG)  # with reuse_port they did not until now
        clients = self._path.accept(client_sockets, self._tls)
        self.acceptors = [*clients, *self._path.accept_by_name(named_sockets)]
        opening = asyncio.create_task(self._open_session())
        opened.callback(opening.cancel)
        await asyncio.shield(opening)  # clients' requests wait for it, also where a signal ends the start now
        if self._jwks is not None:
            self.notes += await self._jwks.read_first()
        await self._start_admin(config, admin_sockets, invited_sockets)
        await self._follow_reports(config)
        self.started = True
        addresses = str(self.listening), str(self.admin_listening)
        if self._tls.certificate is not None:
            self.observers.observe(CertificateLoaded(self._tls.certificate.ends_at))
        if self._tls.authority is not None:
            opened.callback(AuthorityKeeper(self._tls.authority, self.observers).begin().cancel)
        if named_sockets:
            self.by_name_listening = bound_address(named_sockets[0])
        named = str(self.by_name_listening or "")
        self.observers.observe(ServerStarted(__version__, *addresses, tuple(config.accounts), self.notes, named))

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
        config = self.config
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
            store=self.fleet.health if self.fleet is not None else StoreHealth(),
            connections={
                "clients": len(self.client_connections),
                "in_flight": self.in_flight,
                **sizes,
            },
            freezes=self._freezes.in_force(),
            freeze_problem=self.freezes.unkept or self._freezes.unknown,
        )

    @property
    def approvers(self) -> Approvers:
        """Who decides about writes over a limit."""
        return make_approvers(self.config)

    async def spend_overview(self) -> SpendOverview:
        """Limits, days and judged writes of all clients."""
        return await self.observations.overview(spend_limits(self.config), self._path.memory.spend)

    async def _open_session(self) -> None:
        """Open the session for the program's own requests.

        aiohttp is a quarter of a start, so clients are served first. A thread imports it, so that they still are.
        """
        await _import("proxy.net.names_resolver")
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
            self._named_reports = NamedReportService(make_api, self.directory, self._store, self.observers)
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

    def _open_store(self, config: Config) -> Store:
        """The store with the ledger in it, and this replica's part in the fleet that shares it, if one does."""
        store = open_store(config.state.url, config.state.key, shared_settings(config, environment()))
        self._opened.push_async_callback(store.close)
        self.fleet = None
        if store.fleet is not None:
            self.fleet = FleetMember(store.fleet, self.throttles, self._budgets, self.observers)
            self._opened.push_async_callback(self.fleet.stop)
            self.fleet.start()
        self.ledger = StoreLedger(store.counts)
        if self.fleet is None:  # a member of a fleet tells itself how the store is
            self.ledger.told = lambda problem: self.observers.observe(StateStoreChanged(bool(problem), problem, 1))
        self._opened.push_async_callback(self.ledger.stop)
        return store

    async def _start_reports(self, store: Store) -> None:
        """What the store and the fleet know of reports that are not finished yet."""
        self.reports.queues.paced = lambda limit, interval, slower: self.observers.observe(
            OrdersPaced(limit.account, limit.region, interval, slower)
        )
        if self.fleet is not None:
            self.fleet.share_reports(self.reports)
        stored = StoredReports(store, self.reports.reports, time.time)
        if report_rules(self.config) is not None:
            await stored.load()
        self._opened.push_async_callback(stored.stop)
        stored.begin()

    def _open_audit(self, config: Config, opened: AuditFile | None) -> tuple[AuditTrail, ...]:
        """Who tells the audit stream, where there is one."""
        self.audit = open_audit(config.audit, self.logs.sink, self.messages.tell, opened)
        if self.audit is None:
            return ()
        self.metrics.watch_audit(self.audit.counts)
        self._opened.callback(close_audit, self.audit, self.logs)
        return (AuditTrail(self.audit.put, self.logs.redaction.clean, time.time),)

    async def _start_admin(
        self, config: Config, sockets: list[socket.socket], invited_sockets: list[socket.socket]
    ) -> None:
        """The admin listener, and what invited advertisers reach: there, or on sockets of its own."""
        await _import("proxy.admin.application")  # not above, as `_open_session` says
        await _import("prometheus_client.openmetrics.exposition")  # for scrapes, which would wait for it
        from proxy.admin.application import make_admin
        from proxy.admin.invitations import InvitationHandlers, make_invitations
        from proxy.admin.listener import AdminListener

        view, url = AdminView(self), config.invites.url
        handlers = InvitationHandlers(view, self.invitations, self.observers, url) if url is not None else None
        within = None if invited_sockets else handlers
        admin = AdminListener(make_admin(view, self.metrics, self.history, self.observers, within))
        self._opened.push_async_callback(admin.stop)
        await admin.start(sockets)
        if invited_sockets and handlers is not None:
            invited = AdminListener(make_invitations(handlers))
            self._opened.push_async_callback(invited.stop)
            await invited.start(invited_sockets)

    async def _start_spend(self, store: Store) -> None:
        """What is frozen, approved, and observed of judged writes, as the store has it."""
        self.freezes = FreezeKeeper(self._freezes, store, self.observers)
        self._opened.push_async_callback(self.freezes.stop)
        await self.freezes.start()
        self.approvals = ApprovalKeeper(store, self._freezes, self.observers)
        self.approvals.follow(approval_terms(self.config), approval_versions(spend_limits(self.config)))
        self._opened.push_async_callback(self.approvals.stop)
        await self.approvals.start()
        self._opened.push_async_callback(self.observations.stop)
        await self.observations.begin(store)

    async def _start_tokens(self, config: Config, store: Store) -> None:
        """Tokens, profiles and what forwards with them; none of them waits for Amazon."""
        opened = self._opened
        self.lwa = self._login_with_amazon(config)
        fleet = (self.fleet,) if self.fleet is not None else ()
        observed = TokenObserver(self._list_profiles_again, self._note_token)
        observers = Observers((self.observers, observed, *fleet))
        self.tokens = TokenManager(self.lwa, store, observers, token_settings(config))
        self.tokens.store_changed = self._store_changed
        if self.fleet is not None:
            self.fleet.share_token_rate(self.tokens.request_queue)
        self.directory = ProfileDirectory(self.session, self.tokens.get, store, self.observers)
        self.accounting.journal.gather(asyncio.get_running_loop().call_soon)
        authority = self._tls.authority
        contexts = Contexts(authority, time.time) if authority is not None else None
        spend = SpendMemory(self.ledger, self._freezes, approvals=self.approvals)
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
        self.notifier.reconfigure(channels, console_url(config, self.admin_listening))
        self._adjust_logs(config)
        self.metrics.accounts(config.accounts)
        self._path.apply(rules, settings)
        self.approvals.follow(approval_terms(config), approval_versions(spend_limits(config)))
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

    def _adjust_logs(self, config: Config) -> None:
        log = config.log
        self.logs.adjust(level=log.level, access=log.access, access_fields=log.access_fields)

    def _store_changed(self, change: StoreChange) -> None:
        self.freezes.store_changed(change)
        self.approvals.store_changed(change)

    def _list_profiles_again(self, account: str) -> None:
        self.directory.list_again(account)

    def _note_token(self, account: str) -> None:
        self.directory.note_token(account)

    def _measure_stored_profiles(self) -> None:
        """What the state store knew is in use as if it had just been listed, but it is no news for the log."""
        counts = Counter((account, region) for account, region, _ in self.directory.snapshot())
        for (account, region), count in counts.items():
            self.metrics.observe(ProfilesListed(account, region, count))
        ads_accounts = Counter(known.account for known in self.directory.ads_accounts() if known.kind == ADS_ACCOUNT)
        for account, count in ads_accounts.items():
            self.metrics.observe(AdsAccountsListed(account, "", count, count))

    def _bind(self, name: str, address: Address | None, *, reuse_port: bool = False) -> list[socket.socket]:
        """The sockets of a listener; none without an address."""
        sockets = bind(name, address, reuse_port=reuse_port) if address is not None else []
        for bound in sockets:
            self._opened.callback(bound.close)
        return sockets

    def _tell(self, event: Event) -> None:
        """Pass on an event of an observer."""
        self.observers.observe(event)

    def _login_with_amazon(self, config: Config) -> LoginWithAmazon:
        return LoginWithAmazon(self.session, proxy=config.upstream.proxy, ssl_context=self.trusted)

    def met_defect(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop met an uncaught exception."""
        self.observers.observe(defect_of(context))


async def _import(module: str) -> None:
    """Import a module in a thread; the event loop goes on."""
    with frequent_thread_switches():
        await asyncio.to_thread(import_module, module)


def require_compiled_parser() -> None:
    """Refuse aiohttp's parser in Python: most of the smuggling that was found in aiohttp was in that one alone."""
    from aiohttp import http_parser

    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartupError(
            "aiohttp has no compiled HTTP parser; unset AIOHTTP_NO_EXTENSIONS, or install the wheel that "
            "requirements.lock names."
        )
