"""Every Prometheus instrument, filled by events. docs/metrics.md lists them.

Here live the names, labels and buckets, and what fills them; how a number is kept is for `instruments`, and what
requests are counted by for `request_metrics`. Nothing is measured here, and no label ever holds a path, a profile id or
a secret.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import ProcessCollector
from prometheus_client.registry import Collector

from proxy import events
from proxy.events import Event, RequestFinished
from proxy.observability import request_metrics
from proxy.observability.exposition import form_of
from proxy.observability.instruments import NOTHING, Instrument, InstrumentKind, Table, WrittenDistribution
from proxy.observability.number_memory import SharedValues
from proxy.observability.request_metrics import IN_FLIGHT, REQUESTS, RequestLabels, RequestMetrics, Totals
from proxy.regions import REGION_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from proxy.observability.audit_stream import AuditCounts
    from proxy.observability.exposition import ExpositionFormat
    from proxy.observability.instruments import Distribution, Labels
    from proxy.observability.number_memory import NumberMemory
    from proxy.observability.request_metrics import RequestNumbers

REFRESH_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

BUILD: Final = Instrument(InstrumentKind.GAUGE, "build_info", "The program, always 1.", ("version", "python"))


class Metrics(Collector):
    """The observer that counts. Register nothing else under its prefix; `scrape` gives what `/metrics` answers."""

    _audit_counts: Callable[[], AuditCounts] | None
    _worker_counts: Callable[[], Mapping[str, int]]

    def __init__(
        self,
        version: str,
        wall: Callable[[], float] = time.time,
        memory: NumberMemory | None = None,
    ) -> None:
        """With `memory` requests, and what else a worker counts, are counted there, and another process shows them."""
        self._wall = wall
        self._version = version
        self._gone: set[str] = set()
        self._leaving: set[str] = set()
        self._accounts: set[str] = set()
        self.requests = RequestMetrics(memory)
        self._make_tables()
        self._start_counting(memory)
        self._make_distributions()
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            RequestFinished: self._request_finished,
            events.AccountRemoved: lambda e: self._leave(e.account),
            events.FamilyHeldBack: lambda e: self._held_back.add(e.host),
            events.Replayed: lambda e: self._replays.add(e.reason, e.outcome),
            events.ConfigReloaded: self._config_reloaded,
            events.StateStoreChanged: self._state_store_changed,
            events.WorkerLost: lambda e: self._worker_restarts.add(e.reason),
            events.CertificateLoaded: lambda e: self._certificate_expiry.put(value=e.ends_at),
        }
        self._account_handlers: dict[type[Event], Callable[[Any], None]] = {
            events.AmazonThrottled: lambda e: self._throttled.add(e.account, e.region),
            events.TokenRefreshed: self._token_refreshed,
            events.TokenTakenOver: self._token_taken_over,
            events.RefreshFailed: self._refresh_failed,
            events.CredentialStateChanged: lambda e: self._enter(e.account, e.new),
            events.TokenUnpersisted: lambda e: self._unpersisted.put(e.account, value=float(e.unpersisted)),
            events.ProfilesListed: lambda e: self._profiles.put(e.account, e.region, value=e.count),
            events.AdsAccountsListed: lambda e: self._ads_accounts.put(e.account, value=e.total),
            events.ConsentRecorded: self._consent_recorded,
        }
        self._handlers.update(dict.fromkeys(self._account_handlers, self._about_an_account))
        self._process = ProcessCollector(registry=None)

    def __repr__(self) -> str:
        return f"<Metrics: {len(self._accounts)} accounts, {self.requests.in_flight.value} requests in flight>"

    def accounts(self, names: Iterable[str]) -> None:
        """Tells which accounts there are: new ones start as `pending` with zero counters, missing ones end."""
        wanted = set(names)
        for account in self._accounts - wanted:
            self._leave(account)
        self._end_series()
        for account in sorted(wanted - self._accounts):
            self._begin(account)

    def client_keys(self, ends: Mapping[str, float | None]) -> None:
        """Tells until when each client has a key, as wall-clock time; None where one of its keys has no end."""
        self._key_expiry.replace({(client,): at for client, at in ends.items() if at is not None})

    def watch_audit(self, counts: Callable[[], AuditCounts]) -> None:
        """Tells whom to ask of the audit stream when somebody scrapes."""
        self._audit_counts = counts

    def watch_workers(self, counts: Callable[[], Mapping[str, int]], reasons: Iterable[str]) -> None:
        """Tells whom to ask how many workers do what, and why they may be started anew; where there are some."""
        self._worker_counts = counts
        for reason in reasons:
            self._worker_restarts.add(reason, amount=0.0)

    def drop_spans(self, count: int) -> None:
        """So many spans of a worker found no place on their way to whoever sends them."""
        self._spans.add("dropped", amount=count)

    def watch_spans(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Tells whom to ask how many spans were made, sent and refused; where somebody traces."""
        self._span_counts = counts

    def observe(self, event: Event) -> None:
        handler = self._handlers.get(event.__class__)
        if handler is not None:
            handler(event)

    def scrape(self, accept: str) -> tuple[Iterator[bytes], str]:
        """The exposition in small pieces, and its content type: OpenMetrics where `accept` asks for it, else Prometheus
        text. A caller that joins the pieces may pause after each."""
        form = form_of(accept)
        return self._pieces(form), form.content_type

    def _pieces(self, form: ExpositionFormat) -> Iterator[bytes]:
        """What `collect` gives, as `form` writes it."""
        self._look()
        yield from self.requests.text(form)
        for table in self._tables:
            yield form.text_of(table.instrument.family())
            yield from table.lines(self._counted_elsewhere(table))
        yield form.text_of(self._refresh_durations.instrument.family())
        yield from self._refresh_durations.lines()
        for distribution in self.requests.distributions:
            yield from distribution.text(form)
        yield form.text_of(*self._of_the_process())
        yield form.end

    def totals(self) -> Totals:
        return self.requests.totals()

    def series(self) -> Iterator[tuple[RequestLabels, RequestNumbers]]:
        """What requests are counted by, and the cells."""
        return self.requests.series()

    def _request_finished(self, event: RequestFinished) -> None:
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
            self._refused.add(event.refusal)
        if event.cause:
            self._explained.add(event.cause)
        if event.fault and event.status:
            self._cut.add(event.fault)

    def _about_an_account(self, event: Any) -> None:
        """Late news of a removed account must not bring its series back."""
        if event.account in self._gone:
            return
        if event.account not in self._accounts:
            self._begin(event.account)
        self._account_handlers[event.__class__](event)

    def _token_refreshed(self, event: events.TokenRefreshed) -> None:
        account = event.account
        self._refreshes.add(account, "success", "ok")
        self._refresh_durations.buckets(account).add(event.duration)
        self._expiry.put(account, value=event.expires_at)
        self._last_success.put(account, value=self._wall())

    def _token_taken_over(self, event: events.TokenTakenOver) -> None:
        self._taken_over.add(event.account)
        self._expiry.put(event.account, value=event.expires_at)
        self._last_success.put(event.account, value=self._wall())

    def _refresh_failed(self, event: events.RefreshFailed) -> None:
        result = "permanent_error" if event.permanent else "transient_error"
        self._refreshes.add(event.account, result, event.reason)
        self._refresh_durations.buckets(event.account).add(event.duration)

    def _consent_recorded(self, event: events.ConsentRecorded) -> None:
        """Absent where there is no end, or none is known."""
        self._consent_expiry.end(event.account)
        if event.ends_at is not None:
            self._consent_expiry.put(event.account, value=event.ends_at)

    def _config_reloaded(self, event: events.ConfigReloaded) -> None:
        self._reloads.add("success" if event.success else "failure")
        self._reload_successful.put(value=float(event.success))

    def _state_store_changed(self, event: events.StateStoreChanged) -> None:
        self._state_degraded.put(value=float(event.degraded))
        self._replicas.put(value=event.replicas)

    def _enter(self, account: str, state: str) -> None:
        for name in request_metrics.STATES:
            self._states.put(account, name, value=float(name == state))

    def _begin(self, account: str) -> None:
        self._end_series()
        self._accounts.add(account)
        self._gone.discard(account)
        self.requests.begin(account)
        self._enter(account, "pending")
        self._unpersisted.put(account, value=0.0)
        self._refresh_durations.buckets(account)
        for result, reason in request_metrics.REFRESH_RESULTS:
            self._refreshes.add(account, result, reason, amount=0.0)
        self._taken_over.add(account, amount=0.0)
        for region in REGION_NAMES:
            self._throttled.add(account, region, amount=0.0)

    def _leave(self, account: str) -> None:
        """The account is gone. Its series end with those of all others that go at the same time: to find them takes as
        long for one as for a thousand."""
        self._accounts.discard(account)
        self._gone.add(account)
        self._leaving.add(account)

    def _end_series(self) -> None:
        leaving, self._leaving = self._leaving, set()
        if leaving:
            self.requests.end(leaving)
            self._refresh_durations.end(leaving)
            for table in self._tables:
                table.end(leaving)

    def _make_tables(self) -> None:
        counter, gauge = InstrumentKind.COUNTER, InstrumentKind.GAUGE
        self._refreshes = Table(
            counter, "token_refreshes_total", "Token requests by what came of them.", ("account", "result", "reason")
        )
        words = "Access tokens in use here that another replica was granted."
        self._taken_over = Table(counter, "tokens_taken_over_total", words, ("account",))
        words = "When the access token in use ends, as Unix time; absent before the first."
        self._expiry = Table(gauge, "token_expiry_timestamp_seconds", words, ("account",))
        self._last_success = Table(
            gauge,
            "token_last_success_timestamp_seconds",
            "When a token request last succeeded, here or at another replica, as Unix time; absent before the first.",
            ("account",),
        )
        self._states = Table(
            gauge, "credential_state", "1 for the state the account is in, 0 for the others.", ("account", "state")
        )
        words = "1 while a rotated refresh token is in memory only."
        self._unpersisted = Table(gauge, "token_unpersisted", words, ("account",))
        self._consent_expiry = Table(
            gauge,
            "consent_expiry_timestamp_seconds",
            "When the advertiser's consent ends, as Unix time; absent where its day is unknown or it has no end.",
            ("account",),
        )
        self._profiles = Table(gauge, "profiles", "Profiles last listed.", ("account", "region"))
        self._ads_accounts = Table(gauge, "ads_accounts", "Ads accounts last listed, in all regions.", ("account",))
        self._make_other_tables()

    def _make_other_tables(self) -> None:
        counter, gauge = InstrumentKind.COUNTER, InstrumentKind.GAUGE
        self._replays = Table(counter, "replays_total", "Requests sent to Amazon a second time.", ("reason", "outcome"))
        self._throttled = Table(counter, "throttled_total", "Answers 429 of Amazon.", ("account", "region"))
        words = "Requests that waited while their family of operations held its share of the connections to a host."
        self._held_back = Table(counter, "held_back_total", words, ("host",))
        self._refused = Table(
            counter, "refused_total", "Requests that the proxy answered itself, by the slug of the answer.", ("reason",)
        )
        words = "Errors of Amazon's (400, 401, 403) whose cause is known, by the cause."
        self._explained = Table(counter, "amazon_refusals_total", words, ("cause",))
        self._key_expiry = Table(
            gauge,
            "client_key_expiry_timestamp_seconds",
            "When the last of a client's keys ends, as Unix time; absent where one has no end.",
            ("client",),
        )
        words = "When the certificate of the tools' listener ends, as Unix time; absent without TLS."
        self._certificate_expiry = Table(gauge, "tls_certificate_expiry_timestamp_seconds", words)
        words = "Answers that were cut after they had begun, by what cut them."
        self._cut = Table(counter, "cut_responses_total", words, ("fault",))
        self._make_tables_of_the_program()

    def _make_tables_of_the_program(self) -> None:
        counter, gauge = InstrumentKind.COUNTER, InstrumentKind.GAUGE
        self._audit_records = Table(
            counter, "audit_records_total", "Records of the audit stream by what became of them.", ("result",)
        )
        words = "1 while the audit stream cannot be written; absent where there is none."
        self._audit_failing = Table(gauge, "audit_failing", words)
        self._reloads = Table(counter, "config_reloads_total", "Reloads of the configuration.", ("result",))
        self._reload_successful = Table(
            gauge,
            "config_last_reload_successful",
            "1 at the start and after a reload that succeeded, 0 from one that failed until the files are accepted.",
        )
        words = "1 while the store that a fleet shares is in trouble, and this replica goes on alone."
        self._state_degraded = Table(gauge, "state_degraded", words)
        words = "Worker processes by what they do; absent where one process serves alone."
        self._workers = Table(gauge, "workers", words, ("state",))
        words = "Workers that another process took the place of, by why; absent where one process serves alone."
        self._worker_restarts = Table(counter, "worker_restarts_total", words, ("reason",))
        words = "Spans that were made, and of those sent or refused; and spans dropped by a worker before that."
        self._spans = Table(counter, "trace_spans_total", words, ("result",))
        words = "Replicas that share the store, as far as this one knows."
        self._replicas = Table(gauge, "fleet_replicas", words)
        self._tables: tuple[Table, ...] = tuple(made for made in vars(self).values() if isinstance(made, Table))

    def _start_counting(self, memory: NumberMemory | None) -> None:
        """What is known beforehand has its series before anything happens, with whoever shows them."""
        self._audit_counts, self._worker_counts, self._span_counts = None, dict, dict
        if memory is not None:
            for table in self._tables:
                if table.instrument.kind is InstrumentKind.COUNTER:
                    table.share(SharedValues(memory, table.instrument.name))
        self._reload_successful.put(value=1.0)
        self._state_degraded.put(value=0.0)
        self._replicas.put(value=1.0)
        for reason in request_metrics.REPLAY_REASONS:
            for outcome in request_metrics.REPLAY_OUTCOMES:
                self._replays.add(reason, outcome, amount=0.0)
        for slug in sorted(request_metrics.refusal_slugs()):
            self._refused.add(slug, amount=0.0)
        for cause in events.RefusalCause:
            self._explained.add(cause, amount=0.0)
        for fault in events.Fault:
            self._cut.add(fault, amount=0.0)
        for result in request_metrics.RELOAD_RESULTS:
            self._reloads.add(result, amount=0.0)

    def _make_distributions(self) -> None:
        self._refresh_durations = WrittenDistribution(
            "token_refresh_duration_seconds",
            "How long Login with Amazon took to answer token requests.",
            REFRESH_BUCKETS,
            ("account",),
        )
        self._distributions = (self._refresh_durations, *self.requests.distributions)

    def collect(self) -> Iterator[Metric]:
        """Every family, as prometheus-client has them: what a scrape says."""
        self._look()
        yield from self.requests.families()
        for table in self._tables:
            yield table.family(self._counted_elsewhere(table))
        for distribution in self._distributions:
            yield distribution.family()
        yield from self._of_the_process()

    def _look(self) -> None:
        """Read what is counted elsewhere."""
        self._end_series()
        if self._audit_counts is not None:
            counts = self._audit_counts()
            self._audit_records.put("written", value=counts.written)
            self._audit_records.put("lost", value=counts.lost)
            self._audit_failing.put(value=float(counts.failing))
        for phase, count in self._worker_counts().items():
            self._workers.put(phase, value=count)
        for result, count in self._span_counts().items():
            self._spans.put(result, value=count)
        self.requests.look()

    def _of_the_process(self) -> Iterator[Metric]:
        build = BUILD.family()
        build.add_metric((self._version, platform.python_version()), 1)
        yield build
        yield from self._process.collect()

    def _counted_elsewhere(self, table: Table) -> Mapping[Labels, float]:
        counted = table.instrument.kind is InstrumentKind.COUNTER
        return self._elsewhere(table.instrument) if counted else NOTHING

    def instruments(self) -> tuple[Instrument, ...]:
        """What there is to scrape, in the order of a scrape; docs/metrics.md is made from it."""
        made: tuple[Table | Distribution, ...] = (*self._tables, *self._distributions)
        return (REQUESTS, IN_FLIGHT, *(each.instrument for each in made), BUILD)

    def _elsewhere(self, instrument: Instrument) -> dict[Labels, float]:
        """What workers counted of it, for accounts that are still there."""
        at = instrument.labels.index("account") if "account" in instrument.labels else None
        found = self.requests.elsewhere(instrument)
        return found if at is None else {labels: v for labels, v in found.items() if labels[at] not in self._gone}
