"""What a scrape shows after events: names, labels and values of the contract."""

from __future__ import annotations

import ast
import re
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import errors, events
from proxy.observability.instruments import InstrumentKind
from proxy.observability.metrics import DECLARED, Metrics
from tests.support.costs import cost_of
from tests.support.scraping import scraped

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SPAN = events.TraceSpan(0xABCD, 0xEF)


def finished(**changes: object) -> events.RequestFinished:
    values: dict[str, object] = {
        "request_id": "id-1",
        "client": "reporting",
        "account": "acme",
        "region": "na",
        "method": "GET",
        "path": "/v2/profiles",
        "status": 200,
        "amazon_request_id": "rid",
        "bytes_in": 0,
        "bytes_out": 10,
        "duration": 0.2,
        "upstream": 0.15,
        "overhead": 0.00012,
        "attempts": 1,
        "refusal": "",
        "detail": "",
        "fault": "",
        "profile": "123",
        "ads_account": "",
        "operation": "listProfiles",
        "operation_class": "read",
        "user_agent": "curl/8",
        "upstream_status": 200,
    }
    return events.RequestFinished(**{**values, **changes})  # type: ignore[arg-type]  # each of its own type


def made(*accounts: str) -> Metrics:
    metrics = Metrics("1.2.3", wall=lambda: 1_000.0)
    metrics.accounts(accounts or ("acme",))
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = scraped(metrics, "").decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((f"ads_proxy_{name}", frozenset(labels.items())))


def test_the_end_of_a_consent_is_there_as_long_as_it_is_known() -> None:
    """A day that is not known any more, or that never comes, leaves no series."""
    metrics = made()
    assert value(metrics, "consent_expiry_timestamp_seconds", account="acme") is None
    metrics.observe(events.ConsentRecorded("acme", "2026-07-01", "sign-in", 1_814_400_000.0))
    assert value(metrics, "consent_expiry_timestamp_seconds", account="acme") == 1_814_400_000.0
    metrics.observe(events.ConsentRecorded("acme", "", "", None))
    assert value(metrics, "consent_expiry_timestamp_seconds", account="acme") is None


def test_the_end_of_a_clients_last_key_is_told_while_there_is_one() -> None:
    """A client whose keys have no end, or who is gone, has no series."""
    metrics = made()
    metrics.client_keys({"reporting": 5.0, "free": None, "old": 6.0})
    assert value(metrics, "client_key_expiry_timestamp_seconds", client="reporting") == 5.0
    assert value(metrics, "client_key_expiry_timestamp_seconds", client="free") is None
    metrics.client_keys({"reporting": 7.0})
    assert value(metrics, "client_key_expiry_timestamp_seconds", client="reporting") == 7.0
    assert value(metrics, "client_key_expiry_timestamp_seconds", client="old") is None


def test_the_end_of_an_approvers_last_key_is_told_while_there_is_one() -> None:
    """An approver whose keys have no end, or who is gone, has no series."""
    metrics = made()
    metrics.approver_keys({"anna": 5.0, "ben": None})
    assert value(metrics, "approver_key_expiry_timestamp_seconds", approver="anna") == 5.0
    assert value(metrics, "approver_key_expiry_timestamp_seconds", approver="ben") is None
    metrics.approver_keys({"ben": 7.0})
    assert value(metrics, "approver_key_expiry_timestamp_seconds", approver="anna") is None
    assert value(metrics, "approver_key_expiry_timestamp_seconds", approver="ben") == 7.0


def test_a_provider_that_is_gone_has_no_number_of_keys() -> None:
    """An alert about missing keys ends with the provider."""
    metrics = made()
    metrics.provider_keys({"cluster": 0, "ci": 2})
    assert value(metrics, "identity_provider_keys", provider="cluster") == 0
    metrics.provider_keys({"ci": 1})
    assert value(metrics, "identity_provider_keys", provider="cluster") is None
    assert value(metrics, "identity_provider_keys", provider="ci") == 1


def test_what_amazon_refused_is_counted_by_its_cause() -> None:
    """Where that is known, each from zero; it is no refusal of the proxy's."""
    metrics = made()
    assert value(metrics, "amazon_refusals_total", cause="scope-missing") == 0
    metrics.observe(finished(status=401, cause="scope-missing", detail="Send one."))
    metrics.observe(finished(status=401))
    assert value(metrics, "amazon_refusals_total", cause="scope-missing") == 1
    assert sum(value(metrics, "amazon_refusals_total", cause=cause) or 0 for cause in events.RefusalCause) == 1


def names(metrics: Metrics) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", scraped(metrics, "").decode(), re.MULTILINE))


def test_every_family_of_the_contract_is_there_from_the_start() -> None:
    """The names of the contract are all exposed before anything happened; under the prefix is only what is declared."""
    counters = (
        *("token_refreshes", "requests", "replays", "throttled", "refused", "config_reloads", "cut_responses"),
        *("audit_records", "held_back", "tokens_taken_over", "amazon_refusals"),
        *("spend_judged", "spend_violations"),
        "trace_spans",
    )
    others = (
        *("token_refresh_duration_seconds", "token_expiry_timestamp_seconds", "token_last_success_timestamp_seconds"),
        *("credential_state", "token_unpersisted", "request_duration_seconds", "upstream_duration_seconds"),
        *(
            "overhead_seconds",
            "client_key_expiry_timestamp_seconds",
            "audit_failing",
            "requests_in_flight",
            "profiles",
            "ads_accounts",
            "build_info",
            "config_last_reload_successful",
            "state_degraded",
            "fleet_replicas",
            "approvals",
        ),
        "tls_certificate_expiry_timestamp_seconds",
        "intercept_authority_expiry_timestamp_seconds",
        "consent_expiry_timestamp_seconds",
    )
    wanted = {f"ads_proxy_{name}_total" for name in counters} | {f"ads_proxy_{name}" for name in others}
    exposed = {name for name in names(made()) if name.startswith("ads_proxy_")}
    assert wanted <= exposed
    assert exposed == {f"ads_proxy_{instrument.name}" for instrument in made().instruments()}


def test_outcomes_of_writes_are_counted_by_client_and_account() -> None:
    """Neither other requests nor removed accounts are counted."""
    metrics = made()
    partial = events.WriteOutcome(events.Outcome.PARTIAL, events.ItemCounts(1, 1))
    for write in (partial, partial, events.WriteOutcome(events.Outcome.UNKNOWN), None):
        metrics.observe(finished(write=write, status=207))
    said = {"client": "reporting", "account": "acme"}
    assert value(metrics, "write_outcomes_total", **said, outcome="partial") == 2
    assert value(metrics, "write_outcomes_total", **said, outcome="unknown") == 1
    assert value(metrics, "write_outcomes_total", **said, outcome="success") is None
    metrics.accounts(["other"])
    metrics.observe(finished(write=partial))
    assert not [name for name, _ in samples(metrics) if name == "ads_proxy_write_outcomes_total"]


def test_judged_writes_are_counted_by_verdict_and_rule() -> None:
    """Each violation counts; a request that was not judged makes no series."""
    metrics = made()
    metrics.observe(finished(status=403))
    assert not [name for name, _ in samples(metrics) if name.startswith("ads_proxy_spend_")]
    over = events.SpendViolation(events.SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200")
    late = events.SpendViolation(events.SpendRule.HOURS, "", "Sun 03:00", "", "Mon-Fri 08:00-18:00")
    enforced = events.SpendJudgement(events.SpendMode.ENFORCE, events.SpendVerdict.OVER, (over, over, late))
    observed = events.SpendJudgement(events.SpendMode.OBSERVE, events.SpendVerdict.UNREADABLE, unknown=("field cap",))
    for judged in (enforced, observed, observed):
        metrics.observe(finished(spend=judged))
    assert value(metrics, "spend_judged_total", client="reporting", mode="enforce", verdict="over") == 1
    assert value(metrics, "spend_judged_total", client="reporting", mode="observe", verdict="unreadable") == 2
    assert value(metrics, "spend_violations_total", client="reporting", rule="budget") == 2
    assert value(metrics, "spend_violations_total", client="reporting", rule="hours") == 1


def test_approvals_are_counted_by_client_and_state() -> None:
    """A client with any has each state from zero; what is no longer told of is gone."""
    metrics = made()
    pending, used = events.ApprovalState.PENDING, events.ApprovalState.USED
    metrics.observe(events.ApprovalsCounted((("agent", pending, 2), ("agent", used, 7), ("bids", used, 1))))
    assert value(metrics, "approvals", client="agent", state="pending") == 2
    assert value(metrics, "approvals", client="agent", state="used") == 7
    assert value(metrics, "approvals", client="bids", state="pending") == 0
    metrics.observe(events.ApprovalsCounted((("bids", used, 1),)))
    assert value(metrics, "approvals", client="agent", state="pending") is None
    assert len([name for name, _ in samples(metrics) if name == "ads_proxy_approvals"]) == len(events.ApprovalState)


def test_what_no_event_of_its_own_tells_is_counted_by_name() -> None:
    """The count is the given one; a removed account is never counted again."""
    metrics = made("acme", "other")
    metrics.observe(events.CounterRaised("trace_spans_total", ("dropped",), 3))
    metrics.observe(events.CounterRaised("throttled_total", ("acme", "na")))
    assert value(metrics, "trace_spans_total", result="dropped") == 3
    assert value(metrics, "throttled_total", account="acme", region="na") == 1
    metrics.accounts(["other"])
    metrics.observe(events.CounterRaised("throttled_total", ("acme", "na")))
    assert value(metrics, "throttled_total", account="acme", region="na") is None


def test_each_counter_that_is_told_by_name_is_declared() -> None:
    """With as many labels as the place that tells it has values."""
    from tests.support.modules import MODULES, nodes_of  # which parses the program: many tests import this module

    declared = {instrument.name: len(instrument.labels) for instrument in made().instruments()}
    told = [
        (node.args[0], node.args[1] if len(node.args) > 1 else ast.Tuple([]))
        for module in MODULES
        for node in nodes_of(module.path)
        if isinstance(node, ast.Call)
        and "CounterRaised" in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
    ]
    found = {name.value: len(values.elts) for name, values in told}  # type: ignore[attr-defined]  # both are written out
    assert found
    assert found.items() <= declared.items()


def test_there_are_no_created_series_in_either_format() -> None:
    """Neither text nor OpenMetrics holds a `_created` series, also after every instrument was used."""
    metrics = made()
    metrics.observe(finished())
    metrics.observe(events.TokenRefreshed("acme", 1, 0.1, 2_000.0, events.RefreshCause.START))
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        assert b"_created" not in scraped(metrics, accept)


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    """The content type follows the Accept header, and OpenMetrics ends with its end mark."""
    body, kind = made().scrape("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert kind.startswith("application/openmetrics-text")
    assert b"".join(body).endswith(b"# EOF\n")
    assert made().scrape("text/plain")[1].startswith("text/plain; version=0.0.4")


def test_process_metrics_are_exposed() -> None:
    """Memory, CPU and start time of the process come with each scrape."""
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"} <= names(made())


def test_a_request_counts_once_under_all_its_labels() -> None:
    """A finished request raises requests_total and the three histograms by one."""
    metrics = made()
    metrics.requests.in_flight.value += 1
    assert value(metrics, "requests_in_flight") == 1
    metrics.requests.in_flight.value -= 1
    metrics.observe(finished())
    assert value(metrics, "requests_in_flight") == 0
    labels = {"client": "reporting", "account": "acme", "region": "na", "method": "GET", "operation_class": "read"}
    assert value(metrics, "requests_total", **labels, code="200") == 1
    assert value(metrics, "request_duration_seconds_count", region="na") == 1
    assert value(metrics, "request_duration_seconds_sum", region="na") == pytest.approx(0.2)
    assert value(metrics, "upstream_duration_seconds_sum", region="na") == pytest.approx(0.15)
    assert value(metrics, "overhead_seconds_sum") == pytest.approx(0.00012)


@pytest.mark.parametrize(
    ("overhead", "first"),
    [(0.00001, "5e-05"), (0.00005, "5e-05"), (0.000051, "0.0001"), (0.4, "0.5"), (0.5, "0.5"), (9.0, "+Inf")],
)
def test_overhead_falls_into_its_bucket_at_each_boundary(overhead: float, first: str) -> None:
    """Buckets start at 50 microseconds, hold their upper bound, and are cumulative."""
    metrics = made()
    metrics.observe(finished(overhead=overhead))
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in samples(metrics).items()
        if name == "ads_proxy_overhead_seconds_bucket"
    }
    bound = float(first)
    assert all(count == (1 if float(le) >= bound else 0) for le, count in buckets.items())
    assert first in buckets


def test_an_unknown_method_is_other() -> None:
    """However many strange methods are sent, they share one series."""
    metrics = made()
    for number in range(50):
        metrics.observe(finished(method=f"BREW{number}"))
    series = [labels for name, labels in samples(metrics) if name == "ads_proxy_requests_total"]
    assert [dict(labels)["method"] for labels in series] == ["other"]


def test_a_refusal_before_a_region_is_known_counts_without_durations() -> None:
    """A request refused early raises refused_total and requests_total, and no histogram."""
    metrics = made()
    metrics.observe(finished(client="", account="", region="", status=421, attempts=0, refusal="misdirected-host"))
    assert value(metrics, "refused_total", reason="misdirected-host") == 1
    labels = {"client": "", "account": "", "region": "", "method": "GET", "operation_class": "read", "code": "421"}
    assert value(metrics, "requests_total", **labels) == 1
    assert value(metrics, "overhead_seconds_count") == 0


@pytest.mark.parametrize(("status", "is_counted"), [(200, False), (403, True), (407, True)])
def test_a_tunnel_that_was_opened_is_no_request(status: int, is_counted: bool) -> None:
    """Tunnels would dilute the share of failed requests; a refused one is told like any other refusal."""
    metrics = made()
    metrics.observe(finished(account="", region="", method="CONNECT", status=status, attempts=0))
    assert (b"ads_proxy_requests_total{" in scraped(metrics)) is is_counted


def test_refusals_are_all_counted_from_zero() -> None:
    """Each refusal that errors.py knows has a series before it happens, so that rate() sees the first."""
    metrics = made()
    assert len(errors.REFUSALS) > 25
    assert all(value(metrics, "refused_total", reason=slug) == 0 for slug in errors.REFUSALS)


def test_counters_of_known_labels_start_at_zero() -> None:
    """The counters match docs/reference/metrics.md, but for those that only some configurations have."""
    metrics, unknown = made(), {"client", "account", "host", "report", "provider"}
    counters = [each.instrument for each in DECLARED if each.instrument.kind is InstrumentKind.COUNTER]
    sometimes = {"audit_records_total", "trace_spans_total"}
    expected = {f"ads_proxy_{each.name}" for each in counters if not unknown & {*each.labels}}
    shown = {name for name, _ in samples(metrics)}
    assert expected - shown == {f"ads_proxy_{name}" for name in sometimes}


def test_a_token_that_was_taken_over_is_no_token_request() -> None:
    """The token has its own count, and the time stamps of the request that the other replica made."""
    metrics = made()
    metrics.observe(events.TokenTakenOver("acme", 1, 4_500.0, 900.0))
    assert value(metrics, "tokens_taken_over_total", account="acme") == 1
    assert value(metrics, "token_refreshes_total", account="acme", result="success", reason="ok") == 0
    assert value(metrics, "token_expiry_timestamp_seconds", account="acme") == 4_500.0
    assert value(metrics, "token_last_success_timestamp_seconds", account="acme") == 900.0


def test_a_store_in_trouble_is_seen() -> None:
    """With how many replicas share it; before anything is known, it is in order."""
    metrics = made()
    assert (value(metrics, "state_degraded"), value(metrics, "fleet_replicas")) == (0, 1)
    metrics.observe(events.StateStoreChanged(True, "It is full.", 3))
    assert (value(metrics, "state_degraded"), value(metrics, "fleet_replicas")) == (1, 3)


def test_a_refresh_sets_its_time_stamps() -> None:
    """A success is counted, and sets the times of the token's expiry and of the request."""
    metrics = made()
    metrics.observe(events.TokenRefreshed("acme", 1, 0.3, 4_600.0, events.RefreshCause.START))
    assert value(metrics, "token_refreshes_total", account="acme", result="success", reason="ok") == 1
    assert value(metrics, "token_expiry_timestamp_seconds", account="acme") == 4_600.0
    assert value(metrics, "token_last_success_timestamp_seconds", account="acme") == 1_000.0
    assert value(metrics, "token_refresh_duration_seconds_count", account="acme") == 1


@pytest.mark.parametrize(
    ("reason", "permanent", "result"),
    [("invalid_grant", True, "permanent_error"), ("timeout", False, "transient_error")],
)
def test_a_failed_refresh_counts_by_result_and_reason(reason: str, permanent: bool, result: str) -> None:
    """Failures are told apart by whether a human must act."""
    metrics = made()
    metrics.observe(events.RefreshFailed("acme", reason, permanent, "d", "a", 0.1, 5.0, None))
    assert value(metrics, "token_refreshes_total", account="acme", result=result, reason=reason) == 1
    assert value(metrics, "token_last_success_timestamp_seconds", account="acme") is None


def test_exactly_one_state_is_one_through_every_change() -> None:
    """Whatever happens, an account is in one state."""
    metrics = made("acme", "other")
    for state in ("pending", *list(events.CredentialState)[1:], "valid"):
        if state != "pending":
            metrics.observe(events.CredentialStateChanged("acme", "", state))
        states = {
            name: value(metrics, "credential_state", account="acme", state=name) for name in events.CredentialState
        }
        assert states == {name: float(name == state) for name in events.CredentialState}
    assert value(metrics, "credential_state", account="other", state="pending") == 1


def test_a_removed_account_has_no_series_and_gets_none_back() -> None:
    """Late news of it do not revive them."""
    metrics = made("acme", "gone")
    metrics.observe(finished(account="gone"))
    metrics.observe(events.ProfilesListed("gone", "na", 3))
    metrics.accounts(["acme"])
    metrics.observe(finished(account="gone"))
    metrics.observe(events.TokenRefreshed("gone", 2, 0.1, 2.0, events.RefreshCause.AHEAD))
    metrics.observe(events.CredentialStateChanged("gone", "valid", "expired"))
    assert [key for key in samples(metrics) if ("account", "gone") in key[1]] == []
    metrics.accounts(["acme", "gone"])
    assert value(metrics, "credential_state", account="gone", state="pending") == 1


def test_an_account_that_returns_is_shown_also_if_its_former_end_is_told_late() -> None:
    """A reload that adds it again waits for the token request that it had when it was removed."""
    metrics, shown = made("acme"), {"account": "acme", "state": "valid"}
    metrics.accounts([])
    metrics.accounts(["acme"])
    metrics.observe(events.AccountRemoved("acme"))
    metrics.observe(events.CredentialStateChanged("acme", "pending", "valid"))
    assert value(metrics, "credential_state", **shown) == 1


def test_the_rest_of_the_events_have_their_series() -> None:
    """Replays, throttling, unpersisted tokens, profiles and reloads are counted where the contract says."""
    metrics = made()
    for event in (
        events.Replayed("id", "unauthorized", "recovered"),
        events.AmazonThrottled("acme", "eu", 3.0),
        events.TokenUnpersisted("acme", True, "disk full"),
        events.ProfilesListed("acme", "na", 42),
        events.AdsAccountsListed("acme", "na", 2, 7),
        events.ConfigReloaded(False, ("x",), (), ()),
        events.DrainStarted(0, 0.0, 1.0),
        finished(status=200, fault=events.Fault.UPSTREAM_DIED),
        finished(status=0, fault=events.Fault.CLIENT_GONE),
    ):
        metrics.observe(event)
    assert value(metrics, "cut_responses_total", fault="upstream-died") == 1
    assert value(metrics, "cut_responses_total", fault="client-gone") == 0
    assert value(metrics, "replays_total", reason="unauthorized", outcome="recovered") == 1
    assert value(metrics, "throttled_total", account="acme", region="eu") == 1
    assert value(metrics, "throttled_total", account="acme", region="na") == 0
    assert value(metrics, "token_unpersisted", account="acme") == 1
    assert value(metrics, "profiles", account="acme", region="na") == 42
    assert value(metrics, "ads_accounts", account="acme") == 7
    assert value(metrics, "config_reloads_total", result="failure") == 1
    assert value(metrics, "config_reloads_total", result="success") == 0


def test_the_last_reload_is_told_until_another_one() -> None:
    """One at start, zero from a refused configuration on, one again once it is accepted."""
    metrics = made()
    seen = [value(metrics, "config_last_reload_successful")]
    for success in (False, False, True):
        metrics.observe(events.ConfigReloaded(success, (), (), ()))
        seen.append(value(metrics, "config_last_reload_successful"))
    assert seen == [1, 0, 0, 1]


async def no_pause() -> None:
    """Goes on at once."""


async def test_totals_add_up_all_requests() -> None:
    """The console's sums count every request, server errors and 429s, and the proxy's own time."""
    metrics = made()
    for status in (200, 200, 429, 502):
        metrics.observe(finished(status=status, overhead=0.001))
    totals = await metrics.totals(no_pause)
    assert (totals.requests, totals.errors, totals.throttled, totals.forwarded) == (4, 1, 1, 4)
    assert totals.refused == 0
    assert totals.overhead_seconds == pytest.approx(0.004)


async def test_refused_requests_are_neither_answered_nor_throttled() -> None:
    """4xx have a sum of their own, without 429."""
    metrics = made()
    for status in (399, 400, 429, 499, 500):
        metrics.observe(finished(status=status))
    totals = await metrics.totals(no_pause)
    assert (totals.refused, totals.throttled, totals.errors) == (2, 1, 1)


def test_a_regions_durations_are_those_of_all_its_series() -> None:
    """The durations of all clients count, and of an account that has left: a histogram never goes back."""
    metrics = made("acme", "other")
    metrics.observe(finished(duration=0.2))
    metrics.observe(finished(duration=0.3, account="other", client="bids", status=404))
    metrics.observe(finished(duration=0.4, region="eu"))
    metrics.accounts(["acme"])
    metrics.observe(finished(duration=0.5, account="other"))
    assert value(metrics, "request_duration_seconds_count", region="na") == 3
    assert value(metrics, "request_duration_seconds_sum", region="na") == pytest.approx(1.0)
    assert value(metrics, "request_duration_seconds_bucket", region="na", le="0.25") == 1
    assert value(metrics, "request_duration_seconds_count", region="eu") == 1
    assert value(metrics, "request_duration_seconds_count", region="fe") == 0


def test_each_series_knows_its_durations_and_when_it_was_seen() -> None:
    """The console shows them by client or account."""
    metrics = made()
    metrics.observe(finished(duration=0.2))
    ((labels, numbers),) = metrics.series()
    assert (labels.client, labels.account, numbers.seen, numbers.count) == ("reporting", "acme", 1_000.0, 1)
    assert numbers.durations is not None
    assert sum(numbers.durations.counts) == 1


def test_metrics_show_how_much_they_hold() -> None:
    """The `repr` shows it to a log or a debugger."""
    metrics = made()
    metrics.requests.in_flight.value += 1
    assert repr(metrics) == "<Metrics: 1 accounts, 1 requests in flight>"


def test_no_label_holds_a_path() -> None:
    """Paths are in the log, never in a label."""
    metrics = made()
    metrics.observe(finished(path="/very/special/path"))
    assert b"special" not in scraped(metrics, "")


def test_counting_a_request_costs_little() -> None:
    """The request path pays some 200 instructions and 15 calls, the bounds leave room; the thousandth as the second."""
    metrics, event = made(), finished()
    metrics.observe(event)
    second = cost_of(partial(metrics.observe, event))
    assert second.instructions < 400
    assert second.calls < 30
    for _ in range(1_000):
        metrics.observe(event)
    assert cost_of(partial(metrics.observe, event)) == second
