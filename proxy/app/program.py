"""All parts of the running program, made and wired from one configuration, and changed in place by the next."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TextIO

from proxy import __version__
from proxy.access.client_keys import KeyUses, locked_out_at
from proxy.access.clients import Budgets
from proxy.admin.application import make_admin
from proxy.admin.history import RequestHistory
from proxy.admin.invitations import InvitationHandlers, make_invitations
from proxy.admin.listener import AdminListener
from proxy.admin.view import AdminView, ProgramView
from proxy.advice import options_in_use
from proxy.app.draining import close_listener
from proxy.app.fleet import FleetMember
from proxy.app.process import connections_within, defect_of
from proxy.app.rules import RuleSources, report_rules, rules_of
from proxy.app.server_tls import ServerTls
from proxy.app.telemetry import open_traces, spans_of_workers, tracing_of
from proxy.app.workers.worker_group import WorkerGroup
from proxy.app.workers.worker_reports import WorkersReports
from proxy.config import Address, default_spill_directory, environment, wants_colours
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Acceptor, bind, bound_address
from proxy.downstream.table import ConnectionTable
from proxy.errors import StartupError
from proxy.events import AdsAccountsListed, CertificateLoaded, Observers, OrdersPaced, ProfilesListed, ServerStarted
from proxy.forwarding.accounting import Accounting
from proxy.forwarding.dependencies import Dependencies
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.injection import AccountLines
from proxy.forwarding.retry import RetryBudgets
from proxy.forwarding.sessions import McpSessions
from proxy.forwarding.throttles import Throttles
from proxy.forwarding.tool_hints import ToolHints
from proxy.net.deadlines import Deadlines
from proxy.net.names import Names
from proxy.net.session import make_session
from proxy.observability.audit import (
    AuditFailed,
    AuditOpened,
    AuditTrail,
    ClientKeyChanged,
    ClientKeysInForce,
    KeyChange,
    dated,
    note,
)
from proxy.observability.audit_file import AuditFile, open_at_start
from proxy.observability.audit_stream import AuditOutputs, AuditStream
from proxy.observability.delivery import CommandChannel, NoticeChannel, WebhookChannel
from proxy.observability.deprecated_calls import DeprecatedCalls
from proxy.observability.journal import Journal
from proxy.observability.logs import configure
from proxy.observability.metrics import Metrics
from proxy.observability.notifier import Notifier
from proxy.observability.recent_requests import RecentRequests
from proxy.profiles.directory import ProfileDirectory, TokenObserver
from proxy.profiles.listing import ProfileSource
from proxy.profiles.reach import ADS_ACCOUNT
from proxy.reports.sharing import SharedReports
from proxy.reports.stored import StoredReports
from proxy.routing.operations import DEPRECATED
from proxy.tokens.invitation import InvitationLedger
from proxy.tokens.lwa import LoginWithAmazon
from proxy.tokens.manager import TokenManager
from proxy.tokens.opening import SharedSettings, SpillDirectory, open_store
from proxy.tokens.store import StoreHealth
from proxy.tokens.values import TokenSettings, TokenSource
from proxy.upstream.pool import Pools

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    import aiohttp

    from proxy.access.client_keys import ClientKey
    from proxy.app.named_reports import NamedReportService
    from proxy.app.workers.supervisor import Supervisor
    from proxy.app.workers.supervisor_hub import SupervisorHub
    from proxy.config import AuditSection, Config
    from proxy.events import Event, Observer
    from proxy.forwarding.decision import Rules
    from proxy.observability.sink import Sink
    from proxy.tokens.store import Store


class Program:
    """Made with a configuration; `start` opens everything, `stop` closes what was opened, also where a start failed."""

    forwarder: Forwarder
    connected: ConnectionTable
    pools: Pools
    tokens: TokenManager
    directory: ProfileDirectory
    session: aiohttp.ClientSession
    lwa: LoginWithAmazon
    invitations: InvitationLedger
    fleet: FleetMember | None
    listening: Address
    admin_listening: Address

    def __init__(
        self,
        config: Config,
        *,
        notes: tuple[str, ...] = (),
        demo: bool = False,
        open_files: int = 0,
        output: TextIO | None = None,
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
            stream=output or sys.stdout,
        )
        self._adjust_logs(config)
        self.logs.redact(config.secrets())
        self.metrics = Metrics(__version__)
        self.history = RequestHistory(self.metrics, RecentRequests(), self.logs.redaction.clean)
        self._opened = AsyncExitStack()
        self._opened.callback(self.logs.close)
        self.messages = ThreadMessages(self._tell)
        trails = self._open_audit(config)
        self.notifier = Notifier(self._tell, self.logs.redaction.clean)
        traces = open_traces(lambda: self.config, self.messages.tell, self.logs.redaction.clean, self._opened)
        self._take_spans = spans_of_workers(traces, self.metrics)
        self._deprecated = DeprecatedCalls((each.name for each in DEPRECATED), self.metrics.observe)
        observing = self.metrics, self.logs, self.history, self.notifier, self._deprecated
        self.observers = Observers((*observing, *trails, *traces))
        self.accounting = Accounting(self.observers, self._journal(trails), tracing_of(config, traces))
        self._make_shared_parts(config, open_files)
        self._tls = ServerTls()
        self.acceptors: list[Acceptor] = []
        self._named_reports: NamedReportService | None = None

    def _make_shared_parts(self, config: Config, open_files: int) -> None:
        """What outlives a reload, and what workers share where there are some."""
        self._uses, self._sessions, self._hints = KeyUses(), McpSessions(), ToolHints()
        self.reports = SharedReports()
        self.workers: Supervisor | None = None
        output = {"form": self.logs.form, "on_terminal": self.logs.on_terminal, "options": dict(options_in_use)}
        worker_settings = {"demo": self.demo, "open_files": open_files, **output}
        self._worker_group = WorkerGroup.make(config, worker_settings) if config.workers > 1 else None
        self.throttles = self._worker_group.throttles if self._worker_group is not None else Throttles()
        self._budgets = self._worker_group.budgets if self._worker_group is not None else Budgets()

    def __repr__(self) -> str:
        where = f"on {self.listening}" if self.started else "not started"
        return f"<Program {where}, {len(self.config.accounts)} accounts, {len(self.config_problems)} problems>"

    @property
    def trusted(self) -> ssl.SSLContext | None:
        """Who is believed to be Amazon; None for the system's authorities."""
        return self._tls.authorities.context

    # --- start and stop

    async def start(self) -> None:
        """Bind first, so that a port in use stops the program before anything is asked of Amazon."""
        config, opened = self.config, self._opened
        self.metrics.accounts(config.accounts)
        self.messages.begin()
        self._start_audit()
        client_sockets = self._bind("listen", config.listen)
        admin_sockets = self._bind("admin_listen", config.admin_listen)
        invited_sockets = self._bind("invites.listen", config.invites.listen) if config.invites.listen else []
        self.listening, self.admin_listening = bound_address(client_sockets[0]), bound_address(admin_sockets[0])
        self._tls.begin(config)
        store = self._open_store(config)
        self.invitations = InvitationLedger(store, time.time)
        self.invitations.begin()
        opened.push_async_callback(self.invitations.stop)
        self.notes += (*store.notes, *connection_notes(config, self._max_connections))
        self._names = Names()
        opened.callback(self._names.stop)
        self._store = store
        self.session = make_session(self._names)
        opened.push_async_callback(self.session.close)
        opened.push_async_callback(self.notifier.stop)
        await self.notifier.start(store, self._notice_channels(config))
        await self._start_reports(store)
        await self._start_tokens(config, store)
        self._measure_stored_profiles()
        await self._start_admin(config, admin_sockets, invited_sockets)
        opened.callback(close_listener, self)
        await self._begin_to_serve(client_sockets)
        await self._follow_reports(config)
        self.started = True
        addresses = str(self.listening), str(self.admin_listening)
        if self._tls.certificate is not None:
            self.observers.observe(CertificateLoaded(self._tls.certificate.ends_at))
        self.observers.observe(ServerStarted(__version__, *addresses, tuple(config.accounts), self.notes))

    @property
    def in_flight(self) -> int:
        """Requests that are being served, here or by workers."""
        return self.accounting.in_flight + (self.workers.in_flight if self.workers is not None else 0)

    @property
    def accepts(self) -> bool:
        """Whether some process accepts what clients connect."""
        return self.workers is None or self.workers.serving > 0

    @property
    def can_serve(self) -> bool:
        """Whether some account has had a token, and the first lists of profiles need not be waited for."""
        return self.tokens.has_served and self.directory.has_first_profiles

    def shown(self) -> ProgramView:
        """The program itself, for people to look at."""
        workers, config = self.workers, self.config
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
                "clients": len(self.client_connections) if workers is None else workers.connections,
                "in_flight": self.in_flight,
                **sizes,
                **({} if workers is None else workers.pools),
            },
            workers=() if workers is None else workers.states(),
        )

    async def _begin_to_serve(self, sockets: list[socket.socket]) -> None:
        """Accept what clients connect, or have workers do it."""
        if self.workers is not None:
            self._opened.push_async_callback(self.workers.stop)
            await self.workers.start(sockets)
            return
        parts = self.client_connections, self.forwarder, self._connect, self._tls.context
        self.acceptors = [Acceptor(bound, *parts) for bound in sockets]

    async def _follow_reports(self, config: Config) -> None:
        """Run the named reports of a configuration. What that needs is imported where there are some."""
        if config.reports is None and self._named_reports is None:
            return
        from proxy.app.named_reports import NamedReportService

        if self._named_reports is None:
            parts = self.session, self.tokens, self.directory, self._store, self.observers
            self._named_reports = NamedReportService(*parts)
            self._named_reports.queues = self.reports.queues
            self.metrics.watch_reports(self._named_reports.results)
            self._opened.push_async_callback(self._named_reports.stop)
        await self._named_reports.apply(config, profile_sources(config, self.trusted))

    async def stop_reports(self) -> None:
        """Runs of named reports stay as they are, for the next program."""
        if self._named_reports is not None:
            await self._named_reports.stop()

    def _open_store(self, config: Config) -> Store:
        """The store, and this replica's part in the fleet that shares it, if one does."""
        store = open_store(config.state.url, config.state.key, shared_settings(config, environment()))
        self._opened.push_async_callback(store.close)
        self.fleet = None
        if store.fleet is not None:
            self.fleet = FleetMember(store.fleet, self.throttles, self._budgets, self.observers)
            self._opened.push_async_callback(self.fleet.stop)
            self.fleet.start()
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

    def _open_audit(self, config: Config) -> tuple[AuditTrail, ...]:
        """Who tells the audit stream, where there is one."""
        self.audit = open_audit(config.audit, self.logs.sink, self.messages.tell)
        if self.audit is None:
            return ()
        self.metrics.watch_audit(self.audit.counts)
        self._opened.callback(self._close_audit, self.audit)
        return (AuditTrail(self.audit.put, self.logs.redaction.clean, time.time),)

    def _journal(self, trails: tuple[AuditTrail, ...]) -> Journal:
        journal = Journal(self.metrics.requests, self.logs, auditors=trails, recent=self.history.recent)
        journal.count_write = self.metrics.count_write
        journal.deprecated = self._deprecated
        return journal

    def _start_audit(self) -> None:
        if self.audit is None:
            return
        self.audit.start()
        audit, gate = self.audit, self.accounting.write_gate
        gate.takes_writes = lambda: audit.takes_writes(gate.unrecorded)
        watch = asyncio.get_running_loop().create_task(watch_stream(self.audit))
        self._opened.callback(watch.cancel)
        if self.audit.file is not None:
            self.observers.observe(opened(self.audit.file))

    def _close_audit(self, stream: AuditStream) -> None:
        unwritten = stream.close()
        if unwritten:
            self.logs.observe(AuditFailed("the program stops", unwritten))

    async def _start_admin(
        self, config: Config, sockets: list[socket.socket], invited_sockets: list[socket.socket]
    ) -> None:
        """The admin listener, and what invited advertisers reach: there, or on sockets of its own."""
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

    async def _start_tokens(self, config: Config, store: Store) -> None:
        """Tokens, profiles and what forwards with them; none of them waits for Amazon."""
        opened = self._opened
        self.lwa = self._login_with_amazon(config)
        hub = self._make_hub()
        fleet = (self.fleet,) if self.fleet is not None else ()
        observed = TokenObserver(self._list_profiles_again, self._note_token)
        observers = Observers((self.observers, observed, *fleet, *hub))
        self.tokens = TokenManager(self.lwa, store, observers, token_settings(config))
        if self.fleet is not None:
            self.fleet.share_token_rate(self.tokens.request_queue)
        self.directory = ProfileDirectory(self.session, self.tokens.get, store, Observers((self.observers, *hub)))
        for each in hub:
            each.tokens, each.directory = self.tokens, self.directory
            self.tokens.rejected = each.watch
        loop = asyncio.get_running_loop()
        self.accounting.journal.gather(loop.call_soon)
        deadlines = Deadlines(loop)
        opened.callback(deadlines.stop)
        self.pools = Pools(deadlines, self._names)
        opened.callback(self.pools.close)
        dependencies = Dependencies(
            self.tokens,
            self.throttles,
            RetryBudgets(),
            AccountLines(),
            self.accounting,
            self._sessions,
            self._hints,
            self.reports,
        )
        self.forwarder = Forwarder(dependencies, self.pools, self.rules(config))
        self._measure_client_keys()
        self._watch_keys()
        self.client_connections = ConnectionTable(deadlines)
        opened.push_async_callback(self.tokens.stop)
        await self.tokens.start(token_sources(config))
        opened.push_async_callback(self.directory.stop)
        await self.directory.start(profile_sources(config, self._tls.authorities.context))

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
            rules, lwa = self.rules(config), self._login_with_amazon(config)
            # With thousands of accounts this takes a while, and requests are served meanwhile.
            sources = await asyncio.to_thread(token_sources, config)
            lists = await asyncio.to_thread(profile_sources, config, self._tls.authorities.context)
            self.metrics.accounts({*self.config.accounts, *config.accounts})  # new ones before their first token
            await self.tokens.reconfigure(sources, settings=token_settings(config), lwa=lwa)
        except StartupError:
            self._tls.authorities.take(authorities)
            self.metrics.accounts(self.config.accounts)
            raise
        if certificate is not None:
            self._tls.show(certificate)
            self.observers.observe(CertificateLoaded(certificate.ends_at))
        self.config, self.lwa = config, lwa
        self.notifier.reconfigure(self._notice_channels(config))
        self._adjust_logs(config)
        self.metrics.accounts(config.accounts)
        keys = self._client_keys()
        self.forwarder.apply(rules)
        self._measure_client_keys()
        for change in compare_keys(keys, self._client_keys()):
            self.observers.observe(change)
        await self.directory.reconfigure(lists)
        if self.workers is not None:
            await self.workers.apply(config)
        await self._follow_reports(config)  # last: the file of an order may have changed since it was checked

    def rules(self, config: Config) -> Rules:
        """What the configuration says of traffic, with this program's directory and signing key. Raises
        `ConfigurationError`."""
        if config.reports is not None:
            from proxy.app.report_orders import check_reports  # not above: see `_follow_reports`

            check_reports(config)
        of = self.directory, self._budgets, self._uses, self._tls.authorities, self.demo, self._max_connections
        return rules_of(config, RuleSources(*of))

    # --- parts

    def _make_hub(self) -> tuple[SupervisorHub, ...]:
        """What gives workers their copies, where there are workers."""
        if self._worker_group is None:
            return ()
        hub = self._worker_group.hub((self._sessions, self._hints), self._uses, self.history, self.audit)
        hub.tls, hub.spans, hub.reports = self._tls, self._take_spans, WorkersReports(self.reports)
        told = self.observers, self.logs.sink.put_batch
        self.workers = self._worker_group.supervisor(hub, self.metrics, lambda: self.config, told)
        return (hub,)

    def _adjust_logs(self, config: Config) -> None:
        log = config.log
        self.logs.adjust(level=log.level, access=log.access, access_fields=log.access_fields)

    def _connect(self) -> ClientConnection:
        """A new connection's protocol."""
        return ClientConnection(self.client_connections, self.forwarder)

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

    def _measure_client_keys(self) -> None:
        """Tell when each client is without a key, and forget the uses of keys that are gone."""
        keys: dict[str, list[ClientKey]] = {}
        for client, key in self._client_keys():
            keys.setdefault(client, []).append(key)
        self.metrics.client_keys({client: locked_out_at(owned) for client, owned in keys.items()})
        self._uses.keep(key.digest for owned in keys.values() for key in owned)

    def _client_keys(self) -> tuple[OwnedKey, ...]:
        return tuple((known.client, known.key) for known in self.forwarder.rules.clients.known_keys())

    def _watch_keys(self) -> None:
        """Tell which keys there are, and of each as it ends."""
        keys = self._client_keys()
        if keys:
            self.observers.observe(ClientKeysInForce(tuple(f"{client} {key.id}" for client, key in keys)))
        task = asyncio.get_running_loop().create_task(watch_keys(self._client_keys, self.observers))
        self._opened.callback(task.cancel)

    def _bind(self, name: str, address: Address) -> list[socket.socket]:
        sockets = bind(name, address)
        for bound in sockets:
            self._opened.callback(bound.close)
        return sockets

    def _notice_channels(self, config: Config) -> tuple[NoticeChannel, ...]:
        return notice_channels(config, self.session, self.trusted)

    def _tell(self, event: Event) -> None:
        """Pass on an event of an observer."""
        self.observers.observe(event)

    def _login_with_amazon(self, config: Config) -> LoginWithAmazon:
        return LoginWithAmazon(self.session, proxy=config.upstream.proxy, ssl_context=self._tls.authorities.context)

    def met_defect(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop met an uncaught exception."""
        self.observers.observe(defect_of(context))


# --- What becomes of clients' keys -----------------------------------------------------------------------

OwnedKey = tuple[str, "ClientKey"]
"""A client's name and one of its keys."""
LOOK_AT_KEYS = 5.0


def compare_keys(before: Iterable[OwnedKey], after: Iterable[OwnedKey]) -> tuple[ClientKeyChanged, ...]:
    """What a reload did to keys: taken out, added, or given another end or note."""
    old = {(client, key.digest): key for client, key in before}
    new = {(client, key.digest): key for client, key in after}
    return (
        *(_changed(client, key, KeyChange.REMOVED) for (client, _), key in _without(old, new)),
        *(_changed(client, key, KeyChange.ADDED) for (client, _), key in _without(new, old)),
        *(
            _changed(owner[0], key, KeyChange.CHANGED)
            for owner, key in new.items()
            if owner in old and key != old[owner]
        ),
    )


def ended_between(keys: Iterable[OwnedKey], since: float, now: float) -> tuple[ClientKeyChanged, ...]:
    """The keys whose end came after `since` and has come by `now`; both are wall-clock time."""
    return tuple(
        _changed(client, key, KeyChange.ENDED)
        for client, key in keys
        if key.ends_at is not None and since < key.ends_at <= now
    )


def _without(
    some: dict[tuple[str, str], ClientKey], others: dict[tuple[str, str], ClientKey]
) -> list[tuple[tuple[str, str], ClientKey]]:
    return [(owner, key) for owner, key in some.items() if owner not in others]


def _changed(client: str, key: ClientKey, change: KeyChange) -> ClientKeyChanged:
    return ClientKeyChanged(client, key.id, change, key.note, key.ends_at)


async def watch_keys(keys: Callable[[], Iterable[OwnedKey]], observer: Observer) -> None:
    """Report keys as they expire, for ever."""
    since = time.time()
    while True:
        await asyncio.sleep(LOOK_AT_KEYS)
        now = time.time()
        for event in ended_between(keys(), since, now):
            observer.observe(event)
        since = max(since, now)


# --- The audit stream of a configuration -----------------------------------------------------------------

LOOK_SECONDS = 1.0


class ThreadMessages:
    """Events of another thread, observed on the event loop; before it runs, and after, they are lost."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<ThreadMessages {'heard' if self._loop is not None else 'not heard'}>"

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()

    def tell(self, event: Event) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._observe, event)


def open_audit(section: AuditSection, output: Sink, tell: Callable[[Event], None]) -> AuditStream | None:
    """The stream, not yet writing; None where none is configured. `output` takes the lines for standard output.

    Raises `StartupError`.
    """
    if section.file is None and not section.stdout:
        return None
    file = None if section.file is None else open_at_start(section.file)
    copy = output.put if section.stdout else None
    outputs = AuditOutputs(section.file, file, copy, tell, _make_note, section.required, lambda: output.lost)
    return AuditStream(outputs)


async def watch_stream(stream: AuditStream) -> None:
    """Have the stream notice a disk that hangs, for ever."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        stream.look()


def opened(file: AuditFile) -> AuditOpened:
    """How the file was found."""
    end = file.end
    torn = "its last line was torn by a crash" if end.torn else ""
    unclosed = "the program before ended without closing it, so that its last records may be missing"
    problem = end.cut, torn, unclosed if end.unclosed else ""
    return AuditOpened(end.head.sequence, end.head.digest, "; ".join(filter(None, problem)))


def _make_note(action: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    return dated(note(action, said), time.time())


# --- How people are told at once, as a configuration has it ----------------------------------------------


def notice_channels(
    config: Config, session: aiohttp.ClientSession, trusted: ssl.SSLContext | None
) -> tuple[NoticeChannel, ...]:
    """The channels of `notify`: the webhook, the command, both or none."""
    notify, channels = config.notify, list[NoticeChannel]()
    if notify.webhook is not None:
        channels.append(WebhookChannel(session, notify.webhook, notify.secret, config.upstream.proxy, trusted))
    if notify.command:
        channels.append(CommandChannel(notify.command))
    return tuple(channels)


# --- A `Config` as the values that tokens and profiles are made from -------------------------------------


def token_sources(config: Config) -> tuple[TokenSource, ...]:
    """What the token manager must know of each account."""
    return tuple(
        TokenSource(
            account=name,
            token_url=config.regions[account.region].token_url,
            client_id=account.client_id,
            client_secret=account.secrets[0],
            older_secret=account.secrets[1],
            refresh_token=account.refresh_tokens[0],
            older_refresh_token=account.refresh_tokens[1],
            sign_in_url=_sign_in_url(config.admin_listen, name),
            consented_on=account.consented_on,
        )
        for name, account in config.accounts.items()
    )


def _sign_in_url(admin: Address, account: str) -> str:
    """Where a browser on this machine signs in; empty while the system still chooses the port."""
    reached = Address("localhost", admin.port) if admin.host in ("0.0.0.0", "::") else admin
    return f"http://{reached}/login/{account}" if admin.port else ""


def profile_sources(config: Config, context: ssl.SSLContext | None) -> tuple[ProfileSource, ...]:
    """What the profile directory must know of each account: it lists in every region."""
    api_urls = {region: addresses.api_url for region, addresses in config.regions.items()}
    return tuple(
        ProfileSource(
            account=name,
            client_id=account.client_id,
            api_urls=api_urls,
            pins_first=account.default_profile == "first",
            refresh_token=account.refresh_tokens[0],
            proxy=config.upstream.proxy,
            ssl_context=context,
        )
        for name, account in config.accounts.items()
    )


def spill_directory(config: Config, environ: Mapping[str, str]) -> SpillDirectory | None:
    """Where copies go of refresh tokens that a shared store cannot take; None where they are turned off."""
    spill = config.state.spill
    if spill == "off":
        return None
    return SpillDirectory(str(spill or default_spill_directory(environ)), required=spill is not None)


def shared_settings(config: Config, environ: Mapping[str, str]) -> SharedSettings:
    """What a store on a server needs in addition to its address and keys."""
    return SharedSettings(config.state.max_connections, spill_directory(config, environ))


def token_settings(config: Config) -> TokenSettings:
    tokens = config.tokens
    return TokenSettings(tokens.refresh_ahead, tokens.request_wait, probe_interval=tokens.probe_interval)


def connection_notes(config: Config, allowed: int) -> tuple[str, ...]:
    """What is to be said where open files allow so few connections of clients in each process; 0 is any number."""
    allowed *= config.workers
    if not allowed or allowed >= config.limits.max_connections:
        return ()
    return (
        f"The limit of open files is too low for limits.max_connections: the proxy accepts {allowed} client "
        "connections; raise the limit (ulimit -n, LimitNOFILE).",
    )
