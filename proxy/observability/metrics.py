"""Every Prometheus instrument, filled by events. docs/reference/metrics.md lists them.

Here live the names, labels and buckets, and what fills them; how a number is kept is for `instruments`, and what
requests are counted by for `request_metrics`. A counter or gauge is one declaration: with `on` an event fills it, and
what no event tells yet is told as `events.CounterRaised`. Nothing is measured here, and no label ever
holds a path, a profile id or a secret.
"""

from __future__ import annotations

import functools
import platform
import time
from dataclasses import field
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy import errors, events
from proxy.events import CredentialState, Event, RequestFinished
from proxy.observability import request_metrics
from proxy.observability.exposition import form_of
from proxy.observability.instruments import Instrument, InstrumentKind, Table, WrittenDistribution
from proxy.observability.request_metrics import (
    IN_FLIGHT,
    REQUESTS,
    RequestLabels,
    RequestMetrics,
    Totals,
)
from proxy.regions import REGION_NAMES
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from prometheus_client import ProcessCollector
    from prometheus_client.metrics_core import Metric

    from proxy.observability.exposition import ExpositionFormat
    from proxy.observability.instruments import Distribution, Labels
    from proxy.observability.request_metrics import RequestNumbers

REFRESH_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

BUILD: Final = Instrument(InstrumentKind.GAUGE, "build_info", "The program, always 1.", ("version", "python"))
REFRESH_DURATIONS: Final = Instrument(
    InstrumentKind.HISTOGRAM,
    "token_refresh_duration_seconds",
    "How long Login with Amazon took to answer token requests.",
    ("account",),
    REFRESH_BUCKETS,
)

# --- Counters and gauges: each is declared once, in the order of a scrape --------------------------------


@dataclass(frozen=True, slots=True)
class Declaration:
    """A counter or gauge, and what fills it without further ado.

    `known` are the labels of the series that are there from the start, at `first`; where the first label is `account`,
    they are the labels after it, for each account. `on` are the events that fill it. Their fields of the labels' names
    are the labels. A counter is raised by one; a gauge takes the field that stands with the event.
    """

    instrument: Instrument
    known: tuple[Labels, ...] = ()
    first: float = 0.0
    on: Mapping[type[Event], str] = field(default_factory=dict)

    @property
    def by_account(self) -> bool:
        """Whether its series begin and end with an account."""
        return self.instrument.labels[:1] == ("account",)


DECLARED: Final[list[Declaration]] = []


def _counter(
    name: str, text: str, labels: Labels = (), *, known: Iterable[Labels] = (), on: type[Event] | None = None
) -> str:
    instrument = Instrument(InstrumentKind.COUNTER, name, text, labels)
    DECLARED.append(Declaration(instrument, tuple(known), on={} if on is None else {on: ""}))
    return name


def _gauge(
    name: str, text: str, labels: Labels = (), *, first: float | None = None, on: Mapping[type[Event], str] = {}
) -> str:
    """Declare a gauge; with `first` it has a value from the start. `on` has the field that is the value."""
    instrument = Instrument(InstrumentKind.GAUGE, name, text, labels)
    known = () if first is None else ((),)
    DECLARED.append(Declaration(instrument, known, first or 0.0, on or {}))
    return name


REFRESHES = _counter(
    "token_refreshes_total",
    "Token requests by result and reason.",
    ("account", "result", "reason"),
    known=request_metrics.REFRESH_RESULTS,
)
_counter(
    "tokens_taken_over_total",
    "Access tokens in use here that another replica got.",
    ("account",),
    known=[()],
    on=events.TokenTakenOver,
)
_gauge(
    "token_expiry_timestamp_seconds",
    "When the access token in use expires, as Unix time; absent before the first.",
    ("account",),
    on={events.TokenRefreshed: "expires_at", events.TokenTakenOver: "expires_at"},
)
LAST_SUCCESS = _gauge(
    "token_last_success_timestamp_seconds",
    "When a token request last succeeded, here or at another replica, as Unix time; absent before the first.",
    ("account",),
    on={events.TokenTakenOver: "asked_at"},
)
CREDENTIAL_STATES = _gauge(
    "credential_state", "1 for the state the account is in, 0 for the others.", ("account", "state")
)
_gauge(
    "token_unpersisted",
    "1 while a rotated refresh token is in memory only.",
    ("account",),
    first=0.0,
    on={events.TokenUnpersisted: "unpersisted"},
)
CONSENT_EXPIRY = _gauge(
    "consent_expiry_timestamp_seconds",
    "When the advertiser's consent expires, as Unix time; absent if its day is unknown or it never expires.",
    ("account",),
)
_gauge("profiles", "Profiles last listed.", ("account", "region"), on={events.ProfilesListed: "count"})
_gauge(
    "ads_accounts", "Ads accounts last listed, in all regions.", ("account",), on={events.AdsAccountsListed: "total"}
)
_counter(
    "replays_total",
    "Requests sent to Amazon a second time.",
    ("reason", "outcome"),
    known=product(request_metrics.REPLAY_REASONS, request_metrics.REPLAY_OUTCOMES),
    on=events.Replayed,
)
_counter(
    "throttled_total",
    "Responses of Amazon with status 429.",
    ("account", "region"),
    known=product(REGION_NAMES),
    on=events.AmazonThrottled,
)
_counter(
    "held_back_total",
    "Requests that waited while their family of operations held its share of the connections to a host.",
    ("host",),
    on=events.FamilyHeldBack,
)
_counter(
    "report_orders_total",
    "Orders for reports by what became of them: `created` at Amazon; `reused`, the report of an identical order; "
    "`duplicate`, a 425 answered with the report that it names; `throttled`, by Amazon or in the proxy; `failed`.",
    ("outcome",),
    known=product(("created", "reused", "duplicate", "throttled", "failed")),
)
_gauge(
    "report_order_interval_seconds",
    "Seconds between two orders for reports while Amazon throttles them, as learned; 0 once they leave freely again.",
    ("account", "region"),
    on={events.OrdersPaced: "interval"},
)
REFUSED = _counter(
    "refused_total",
    "Requests that the proxy answered itself, by the slug of the answer.",
    ("reason",),
    known=product(sorted(errors.REFUSALS)),
)
AMAZON_REFUSALS = _counter(
    "amazon_refusals_total",
    "Amazon's errors (400, 401, 403) with a known cause, by cause.",
    ("cause",),
    known=product(events.RefusalCause),
)
KEY_EXPIRY = _gauge(
    "client_key_expiry_timestamp_seconds",
    "When the last of a client's keys expires, as Unix time; absent if one never expires.",
    ("client",),
)
APPROVER_KEY_EXPIRY = _gauge(
    "approver_key_expiry_timestamp_seconds",
    "When the last of an approver's keys expires, as Unix time; absent if one never expires.",
    ("approver",),
)
_gauge(
    "tls_certificate_expiry_timestamp_seconds",
    "When the certificate of the client listener expires, as Unix time; absent without TLS.",
    on={events.CertificateLoaded: "ends_at"},
)
_gauge(
    "intercept_authority_expiry_timestamp_seconds",
    "When the oldest certificate that clients trust for interception expires, as Unix time; absent without it.",
    on={events.AuthorityLoaded: "ends_at"},
)
PROVIDER_KEYS = _gauge(
    "identity_provider_keys",
    "Keys of an identity provider in use; 0 while its tokens cannot be checked.",
    ("provider",),
)
_counter("identity_provider_reads_total", "Readings of an identity provider's keys.", ("provider", "result"))
WRITE_OUTCOMES = _counter(
    "write_outcomes_total",
    "Writes that were sent to Amazon, by what their responses say.",
    ("client", "account", "outcome"),
)
SPEND_JUDGED = _counter(
    "spend_judged_total",
    "Writes that were judged by the spend limits of their client.",
    ("client", "mode", "verdict"),
)
SPEND_VIOLATIONS = _counter(
    "spend_violations_total",
    "Violations of spend limits, by rule: several in a write whose members are over several limits.",
    ("client", "rule"),
)
APPROVALS = _gauge(
    "approvals",
    "Approvals of writes by state, as far as they are kept: ended ones for seven days, and at most 200 of a client.",
    ("client", "state"),
)
_counter(
    "deprecated_requests_total",
    "Requests of operations that Amazon announced to end.",
    ("client", "operation"),
)
CUT_RESPONSES = _counter(
    "cut_responses_total",
    "Responses that broke off after their start, by cause.",
    ("fault",),
    known=product(events.Fault),
)
AUDIT_RECORDS = _counter("audit_records_total", "Audit records by result.", ("result",))
AUDIT_FAILING = _gauge("audit_failing", "1 while the audit stream cannot be written; absent without an audit stream.")
RELOADS = _counter(
    "config_reloads_total", "Reloads of the configuration.", ("result",), known=product(request_metrics.RELOAD_RESULTS)
)
_gauge(
    "config_last_reload_successful",
    "1 at the start and after a successful reload, 0 after a failed one until the files are accepted.",
    first=1.0,
    on={events.ConfigReloaded: "success"},
)
COMMAND_RUNS = _counter(
    "secret_command_runs_total",
    "Runs of the commands that print secrets.",
    ("result",),
    known=product(request_metrics.RELOAD_RESULTS),
)
_gauge(
    "state_degraded",
    "1 while the shared store fails and this replica works alone, or another store cannot count what clients spend.",
    first=0.0,
    on={events.StateStoreChanged: "degraded"},
)
_counter("reports_total", "Runs of named reports by result.", ("report", "result"), on=events.ReportRunFinished)
REPORT_AGE = _gauge(
    "report_age_seconds", "How old the newest result of a named report is; absent before the first.", ("report",)
)
REPORT_ROWS = _gauge("report_rows", "Rows of the newest result of a named report.", ("report",))
REPORT_INTERVAL = _gauge("report_interval_seconds", "Time between two runs of a named report.", ("report",))
SPANS = _counter("trace_spans_total", "Spans by result: made, then sent or refused.", ("result",))
_gauge(
    "fleet_replicas",
    "Replicas that share the store, as seen by this one.",
    first=1.0,
    on={events.StateStoreChanged: "replicas"},
)


class AuditNumbers(Protocol):
    """The numbers of the audit stream: records written and lost since the start, and whether it is `failing`."""

    @property
    def written(self) -> int: ...

    @property
    def lost(self) -> int: ...

    @property
    def failing(self) -> bool: ...


class Metrics:
    """The observer that counts. Register nothing else under its prefix; `scrape` gives what `/metrics` answers."""

    _audit_counts: Callable[[], AuditNumbers] | None
    _report_results: Callable[[], Mapping[str, tuple[float, int, float]]]

    def __init__(self, version: str, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._version = version
        self._gone: set[str] = set()
        self._accounts: set[str] = set()
        self.requests = RequestMetrics()
        self._tables = {each.instrument.name: Table(each.instrument) for each in DECLARED}
        self._start_counting()
        self._refresh_durations = WrittenDistribution(REFRESH_DURATIONS)
        self._distributions = (self._refresh_durations, *self.requests.distributions)
        of_accounts: dict[type[Event], Callable[[Any], None]] = {
            events.TokenRefreshed: self._token_refreshed,
            events.RefreshFailed: self._refresh_failed,
            events.CredentialStateChanged: lambda e: self._enter(e.account, e.new),
            events.ConsentRecorded: self._consent_recorded,
        }
        others: dict[type[Event], Callable[[Any], None]] = {
            RequestFinished: self._request_finished,
            events.CounterRaised: self._count,
            events.ApprovalsCounted: self._approvals_counted,
            events.ConfigReloaded: lambda e: self.add(RELOADS, "success" if e.success else "failure"),
            events.SecretCommandRan: lambda e: self.add(COMMAND_RUNS, "failure" if e.problem else "success"),
        }
        handlers = {kind: [handler] for kind, handler in {**of_accounts, **others}.items()}
        for each in DECLARED:
            for kind in each.on:
                handlers.setdefault(kind, []).append(self._filling(each, kind))
        about_accounts = {*of_accounts, *(kind for each in DECLARED if each.by_account for kind in each.on)}
        self._handlers = {kind: self._joined(found, kind in about_accounts) for kind, found in handlers.items()}

    def __repr__(self) -> str:
        return f"<Metrics: {len(self._accounts)} accounts, {self.requests.in_flight.value} requests in flight>"

    def accounts(self, names: Iterable[str]) -> None:
        """Tells which accounts there are: new ones start as `pending` with zero counters, missing ones end."""
        wanted = set(names)
        gone = self._accounts - wanted
        self._accounts -= gone
        self._gone |= gone
        if gone:  # all at once: to find their series takes as long for one as for a thousand
            self.requests.end(gone)
            self._refresh_durations.end(gone)
            for table in self._tables.values():
                table.end(gone)
        for account in sorted(wanted - self._accounts):
            self._begin(account)

    def client_keys(self, ends: Mapping[str, float | None]) -> None:
        """Tells until when each client has a key, as wall-clock time; None where one of its keys has no end."""
        self._tables[KEY_EXPIRY].replace({(client,): at for client, at in ends.items() if at is not None})

    def approver_keys(self, ends: Mapping[str, float | None]) -> None:
        """The same for approvers."""
        self._tables[APPROVER_KEY_EXPIRY].replace({(name,): at for name, at in ends.items() if at is not None})

    def provider_keys(self, counts: Mapping[str, int]) -> None:
        """Tells how many keys of each identity provider are in use."""
        self._tables[PROVIDER_KEYS].replace({(provider,): count for provider, count in counts.items()})

    def watch_audit(self, counts: Callable[[], AuditNumbers]) -> None:
        """Sets the source of the numbers of the audit stream, read at a scrape."""
        self._audit_counts = counts

    def watch_spans(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Sets the source of the numbers of spans; only with traces."""
        self._span_counts = counts

    def watch_reports(self, results: Callable[[], Mapping[str, tuple[float, int, float]]]) -> None:
        """Sets the source of when each named report was completed, of its rows, and of the seconds between its runs.
        Only with named reports."""
        self._report_results = results

    def observe(self, event: Event) -> None:
        handler = self._handlers.get(event.__class__)
        if handler is not None:
            handler(event)

    def add(self, name: str, *labels: str, amount: float = 1.0) -> None:
        """Raise a counter by its declared name."""
        self._tables[name].add(*labels, amount=amount)

    def put(self, name: str, *labels: str, value: float) -> None:
        """Set a gauge by its declared name."""
        self._tables[name].put(*labels, value=value)

    def scrape(self, accept: str) -> tuple[Iterator[bytes], str]:
        """The exposition in small pieces, and its content type: OpenMetrics where `accept` asks for it, else Prometheus
        text. Code that joins the pieces may pause after each."""
        form = form_of(accept)
        return self._pieces(form), form.content_type

    def _pieces(self, form: ExpositionFormat) -> Iterator[bytes]:
        """Every family, as `form` writes it."""
        self._look()
        yield from self.requests.text(form)
        for table in self._tables.values():
            yield form.text_of(table.instrument.family())
            yield from table.lines()
        yield form.text_of(self._refresh_durations.instrument.family())
        yield from self._refresh_durations.lines()
        for distribution in self.requests.distributions:
            yield from distribution.text(form)
        yield form.text_of(*self._of_the_process())
        yield form.end

    async def totals(self, pause: Callable[[], Awaitable[None]]) -> Totals:
        return await self.requests.totals(pause)

    def series(self) -> Iterator[tuple[RequestLabels, RequestNumbers]]:
        """What requests are counted by, and the cells."""
        return self.requests.series()

    def counted(self, name: str) -> dict[Labels, int]:
        """The series of a counter by its declared name."""
        table = self._tables[name]
        samples = table.family().samples
        return {tuple(each.labels[label] for label in table.instrument.labels): int(each.value) for each in samples}

    def _request_finished(self, event: RequestFinished) -> None:
        if event.method == "CONNECT" and event.status == 200:
            return  # a tunnel was opened: the requests inside are counted, and it would dilute the share of errors
        who = event.client, event.account, event.region
        labels = RequestLabels(*who, event.method, event.operation_class, event.status)
        numbers = self.requests.numbers(labels)
        now = numbers.seen = self._wall()
        self.requests.exemplify(event, now)
        if event.attempts:
            numbers.add_forwarded(event.duration, event.upstream, event.overhead)
        else:
            numbers.add_answered(event.duration)
        if event.refusal:
            self.add(REFUSED, event.refusal)
        if event.cause:
            self.add(AMAZON_REFUSALS, event.cause)
        if event.outcome:
            self.count_write(event.client, event.account, event.outcome)
        if event.fault and event.status:
            self.add(CUT_RESPONSES, event.fault)
        if event.spend is not None:
            self._count_judged(event.client, event.spend)

    def count_write(self, client: str, account: str, outcome: str) -> None:
        """A write was sent to Amazon. Late news of a removed account is not shown."""
        if account not in self._gone:
            self.add(WRITE_OUTCOMES, client, account, outcome)

    def note_judged(self, kind: events.RequestKind, path: str, judged: events.SpendJudgement) -> None:
        """A write is within the limits of its client."""
        self._tables[SPEND_JUDGED].add(kind.client, judged.mode, judged.verdict)

    def _count_judged(self, client: str, judged: events.SpendJudgement) -> None:
        self.add(SPEND_JUDGED, client, judged.mode, judged.verdict)
        for violation in judged.violations:
            self.add(SPEND_VIOLATIONS, client, violation.rule)

    def _approvals_counted(self, event: events.ApprovalsCounted) -> None:
        """A client that has any has every state, so that an alert sees the change from none to one."""
        clients = dict.fromkeys(client for client, _, _ in event.counts)
        values: dict[Labels, float] = {(client, state): 0.0 for client in clients for state in events.ApprovalState}
        values |= {(client, state): float(count) for client, state, count in event.counts}
        self._tables[APPROVALS].replace(values)

    def _count(self, event: events.CounterRaised) -> None:
        by_account = "account" in self._tables[event.metric].instrument.labels[:1]
        if not by_account or self._is_there(event.labels[0]):
            self.add(event.metric, *event.labels, amount=event.amount)

    def _filling(self, declared: Declaration, kind: type[Event]) -> Callable[[Any], None]:
        """What an event of this kind does, as the declaration says."""
        table, names, value = self._tables[declared.instrument.name], declared.instrument.labels, declared.on[kind]
        if declared.instrument.kind is InstrumentKind.COUNTER:
            return lambda event: table.add(*[getattr(event, name) for name in names])
        return lambda event: table.put(*[getattr(event, name) for name in names], value=float(getattr(event, value)))

    def _joined(self, handlers: list[Callable[[Any], None]], about_account: bool) -> Callable[[Any], None]:
        """One handler that calls all of these. Late news of a removed account must not bring its series back."""
        if len(handlers) == 1 and not about_account:
            return handlers[0]

        def handle(event: Any) -> None:
            if not about_account or self._is_there(event.account):
                for handler in handlers:
                    handler(event)

        return handle

    def _is_there(self, account: str) -> bool:
        """Whether the account has not been removed; this adds a new one."""
        if account in self._gone:
            return False
        if account not in self._accounts:
            self._begin(account)
        return True

    def _token_refreshed(self, event: events.TokenRefreshed) -> None:
        self.add(REFRESHES, event.account, "success", "ok")
        self._refresh_durations.buckets(event.account).add(event.duration)
        self.put(LAST_SUCCESS, event.account, value=self._wall())

    def _refresh_failed(self, event: events.RefreshFailed) -> None:
        result = "permanent_error" if event.permanent else "transient_error"
        self.add(REFRESHES, event.account, result, event.reason)
        self._refresh_durations.buckets(event.account).add(event.duration)

    def _consent_recorded(self, event: events.ConsentRecorded) -> None:
        """Absent where there is no end, or none is known."""
        self._tables[CONSENT_EXPIRY].end({event.account})
        if event.ends_at is not None:
            self.put(CONSENT_EXPIRY, event.account, value=event.ends_at)

    def _enter(self, account: str, state: str) -> None:
        for name in CredentialState:
            self.put(CREDENTIAL_STATES, account, name, value=float(name == state))

    def _begin(self, account: str) -> None:
        self._accounts.add(account)
        self._gone.discard(account)
        self.requests.begin(account)
        self._enter(account, "pending")
        self._refresh_durations.buckets(account)
        for begin in self._beginnings:
            begin(account)

    def _beginning(self, declared: Declaration) -> Callable[..., None]:
        """What makes the series that are known beforehand, of an account where they are by account."""
        table, known, first = self._tables[declared.instrument.name], declared.known, declared.first
        counts = declared.instrument.kind is InstrumentKind.COUNTER

        def begin(*account: str) -> None:
            for labels in known:
                if counts:
                    table.add(*account, *labels, amount=0.0)
                else:
                    table.put(*account, *labels, value=first)

        return begin

    def _start_counting(self) -> None:
        """Known label values have their series before anything happens."""
        self._audit_counts, self._span_counts = None, dict
        self._report_results = dict
        for each in DECLARED:
            if not each.by_account:
                self._beginning(each)()
        self._beginnings = [self._beginning(each) for each in DECLARED if each.by_account and each.known]

    def _look(self) -> None:
        """Read what is counted elsewhere."""
        if self._audit_counts is not None:
            counts = self._audit_counts()
            self.put(AUDIT_RECORDS, "written", value=counts.written)
            self.put(AUDIT_RECORDS, "lost", value=counts.lost)
            self.put(AUDIT_FAILING, value=float(counts.failing))
        for result, count in self._span_counts().items():
            self.put(SPANS, result, value=count)
        results = self._report_results().items()
        self._tables[REPORT_AGE].replace({(name,): max(0.0, self._wall() - at) for name, (at, _, _) in results})
        self._tables[REPORT_ROWS].replace({(name,): float(rows) for name, (_, rows, _) in results})
        self._tables[REPORT_INTERVAL].replace({(name,): seconds for name, (_, _, seconds) in results})

    def _of_the_process(self) -> Iterator[Metric]:
        build = BUILD.family()
        build.add_metric((self._version, platform.python_version()), 1)
        yield build
        yield from _of_the_system().collect()

    def instruments(self) -> tuple[Instrument, ...]:
        """What there is to scrape, in the order of a scrape; docs/reference/metrics.md is made from it."""
        made: tuple[Table | Distribution, ...] = (*self._tables.values(), *self._distributions)
        return (REQUESTS, IN_FLIGHT, *(each.instrument for each in made), BUILD)


@functools.lru_cache(maxsize=1)
def _of_the_system() -> ProcessCollector:
    """Memory, CPU and open files of this process, from the system."""
    from prometheus_client import ProcessCollector

    return ProcessCollector(registry=None)
