"""The tables of clients and accounts are what the metrics' cells have counted in the last minutes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.admin.history import (
    MAX_GROUPS,
    MAX_ROWS,
    MAX_SHOWN,
    MINUTES,
    STEPS_A_MINUTE,
    RequestFilter,
    RequestHistory,
    Tally,
    Traffic,
    failures,
    find_requests,
    next_step,
    quantile,
    reason,
)
from proxy.admin.view import AccessRules
from proxy.errors import REFUSALS
from proxy.events import ChangedObjects, CounterRaised, Fault, ItemCounts, MemberValue, Outcome, WriteOutcome
from proxy.observability.journal import Journal
from proxy.observability.metrics import Metrics
from proxy.observability.recent_requests import RecentRequests
from proxy.observability.request_metrics import REQUEST_BUCKETS
from tests.admin.fixtures import KEY, AdminClient, FakeProgram, administer
from tests.observability.test_journal import Record, note
from tests.observability.test_metrics import finished


def made() -> Metrics:
    metrics = Metrics("1", wall=lambda: 1_000.0)
    metrics.accounts(["acme", "other"])
    return metrics


async def minutes(traffic: Traffic, count: int) -> None:
    for _ in range(count * STEPS_A_MINUTE):
        await traffic.sample()


async def test_each_request_counts_for_its_client_and_its_account() -> None:
    """By what it was answered with; 429 is no 4xx here, and no answer is neither."""
    metrics = made()
    traffic = Traffic(metrics.series)
    for status in (200, 404, 429, 503, 0):
        metrics.observe(finished(status=status))
    metrics.observe(finished(client="bids", account="other", operation_class="write"))
    now = await traffic.now()
    assert set(now.clients) == {"reporting", "bids"}
    for tally in (now.clients["reporting"], now.accounts["acme"]):
        counts = (tally.requests, tally.refused, tally.throttled, tally.errors, tally.unanswered)
        assert counts == (5, 1, 1, 1, 1)
        assert tally.seen == 1_000.0
        assert sum(tally.durations) == 5
    assert (now.accounts["other"].requests, now.accounts["other"].errors) == (1, 0)


async def test_a_405_to_an_mcp_client_is_no_4xx() -> None:
    """A 405 for an event stream, or for the end of a session, that the server does not have counts in neither table nor
    chart."""
    metrics = made()
    traffic, history = Traffic(metrics.series), RequestHistory(metrics)
    for method in ("GET", "DELETE", "POST"):
        metrics.observe(finished(method=method, operation_class="read", status=405))
    metrics.observe(finished(method="DELETE", operation_class="write", status=405))
    now = (await traffic.now()).clients["reporting"]
    (step,) = await history.steps()
    assert (now.requests, now.refused) == (step.requests, step.refused) == (4, 2)


async def test_of_many_accounts_those_with_the_most_requests_are_shown() -> None:
    """Only the last minutes count, not what an account had before."""
    metrics = Metrics("1", wall=lambda: 1_000.0)
    metrics.accounts(names := [f"account-{number:03}" for number in range(MAX_ROWS + 10)])
    traffic = Traffic(metrics.series)
    for name in names[:10]:
        for _ in range(3):
            metrics.observe(finished(account=name))
    await minutes(traffic, MINUTES)
    for name in names:
        metrics.observe(finished(account=name))
    metrics.observe(finished(account=names[0]))
    for name in names[-20:]:
        metrics.observe(finished(account=name))
    now = await traffic.now()
    assert len(now.accounts) == MAX_ROWS
    assert {*names[-20:], names[0]} <= set(now.accounts)
    assert {tally.requests for tally in now.accounts.values()} == {1, 2}
    assert now.clients["reporting"].requests == MAX_ROWS + 31


async def test_what_is_older_than_a_quarter_of_an_hour_is_left_out() -> None:
    """The moment when it was seen stays."""
    metrics = made()
    traffic = Traffic(metrics.series)
    metrics.observe(finished(status=500))
    await minutes(traffic, MINUTES - 1)
    assert (await traffic.now()).clients["reporting"].errors == 1
    await minutes(traffic, 1)
    metrics.observe(finished(duration=0.3))
    tally = (await traffic.now()).clients["reporting"]
    assert (tally.requests, tally.errors, sum(tally.durations), tally.seen) == (1, 0, 1, 1_000.0)
    assert repr(traffic) == f"<Traffic: {MINUTES} minutes kept>"


async def test_an_account_that_left_makes_nothing_negative() -> None:
    """The account's series end; what its client asked of others goes on."""
    metrics = made()
    metrics.observe(finished(status=429))
    traffic = Traffic(metrics.series)
    metrics.accounts(["other"])
    metrics.observe(finished(account="other"))
    now = await traffic.now()
    assert set(now.accounts) == {"other"}
    assert now.clients["reporting"].requests >= 0
    assert now.clients["reporting"].throttled == 0


def test_nothing_took_no_time() -> None:
    """No quantile of no requests."""
    assert quantile(Tally().durations) is None


@pytest.mark.parametrize(
    ("fast", "slow", "expected"),
    [(100, 0, 0.00495), (98, 2, 0.0375), (50, 50, 0.0495), (0, 1, 0.04975)],
)
def test_the_quantile_is_even_within_its_bucket(fast: int, slow: int, expected: float) -> None:
    """The first bucket ends at 5 ms; the fourth goes from 25 to 50 ms."""
    durations = [0] * (len(REQUEST_BUCKETS) + 1)
    durations[0], durations[3] = fast, slow
    assert quantile(durations) == pytest.approx(expected)


def test_what_took_longer_than_any_bound_took_that_long_at_least() -> None:
    """The last bound stands for all beyond it."""
    durations = [0] * len(REQUEST_BUCKETS) + [3]
    assert quantile(durations) == REQUEST_BUCKETS[-1]


async def asked(admin: AdminClient, path: str) -> dict[str, Any]:
    async with admin.ask(path) as answer:
        assert answer.status == 200
        found: dict[str, Any] = json.loads(await answer.text())
        return found


async def test_the_tables_have_a_row_for_each_client_and_account() -> None:
    """The rows are for clients that sent requests, and for configured ones that did not yet."""
    async with administer(FakeProgram(client_names=("quiet",))) as admin:
        for status in (200, 200, 404, 429, 502):
            admin.metrics.observe(finished(status=status, duration=0.2))
        state = await asked(admin, "/console/state")
        answered = await asked(admin, "/status")
    assert all(answered[name] == state[name] for name in ("clients", "account_traffic", "failures"))
    quiet, reporting = state["clients"]
    assert (quiet["name"], quiet["requests"], quiet["p99_ms"], quiet["last_seen"]) == ("quiet", 0, None, None)
    assert reporting["name"] == "reporting"
    (acme,) = state["account_traffic"]
    for row in (reporting, acme):
        counts = [row[name] for name in ("requests", "refused", "throttled", "errors", "unanswered")]
        assert counts == [5, 1, 1, 1, 0]
        assert 100 < row["p99_ms"] <= 250
        assert row["last_seen"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["six", "five", "four", "three", "two", "one"]),
        ("client=bids", ["two"]),
        ("account=other", ["three"]),
        ("operation=CAMPAIGN", ["four"]),
        ("status=2xx", ["five", "two", "one"]),
        ("status=4xx", ["four", "three"]),
        ("status=429", ["three"]),
        ("status=5xx", []),
        ("status=failed", ["six", "five", "four", "three"]),
        ("status=unanswered", ["six"]),
        ("client=reporting&status=4xx&operation=sp", ["four"]),
    ],
)
async def test_the_last_requests_are_filtered(query: str, expected: list[str]) -> None:
    """By client, account, a part of the operation's name, and what they were answered with; the newest first."""
    async with administer(FakeProgram()) as admin:
        for changes in (
            {"request_id": "one"},
            {"request_id": "two", "client": "bids"},
            {"request_id": "three", "account": "other", "status": 429},
            {"request_id": "four", "operation": "ListSpCampaigns", "status": 404},
            {"request_id": "five", "refusal": "tool-not-permitted"},
            {"request_id": "six", "status": 0},
        ):
            admin.history.observe(finished(**changes))
        found = await asked(admin, f"/console/requests?{query}")
    assert [request["request_id"] for request in found["requests"]] == expected
    assert (found["total"], found["known"]) == (len(expected), 6)


async def test_a_class_of_statuses_that_there_is_not_is_told() -> None:
    """400 names those that there are."""
    async with administer(FakeProgram()) as admin, admin.ask("/console/requests?status=7xx") as answer:
        assert answer.status == 400
        assert "2xx, 3xx, 4xx" in json.loads(await answer.text())["detail"]


async def test_the_list_of_requests_is_bounded() -> None:
    """No more than can be read are shown; how many there are is told."""
    async with administer(FakeProgram()) as admin:
        for _ in range(MAX_SHOWN + 1):
            admin.history.observe(finished())
        found = await asked(admin, "/console/requests")
    assert (len(found["requests"]), found["total"]) == (MAX_SHOWN, MAX_SHOWN + 1)


async def test_the_last_requests_need_the_key() -> None:
    """The list needs the key, like everything worth reading."""
    async with administer(FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))) as admin:
        assert await admin.status("/console/requests") == 401
        assert await admin.status("/console/requests", headers={"X-Ads-Proxy-Key": KEY.reveal()}) == 200


async def test_failures_are_told_together_with_their_next_step() -> None:
    """Failures with one reason, status and account are one line: how many, whose, the last one's details."""
    async with administer(FakeProgram()) as admin:
        for client in ("reporting", "bids", "reporting"):
            changes = {"client": client, "status": 503, "refusal": "no-usable-token", "detail": f"None for {client}."}
            admin.history.observe(finished(**changes))
        admin.history.observe(finished(status=500, request_id="amazons", amazon_request_id="rid-9"))
        admin.history.observe(finished())
        state = await asked(admin, "/console/state")
    amazons, ours = state["failures"]
    assert (ours["reason"], ours["status"], ours["account"], ours["count"]) == ("no-usable-token", 503, "acme", 3)
    assert (ours["clients"], ours["detail"]) == (["reporting", "bids"], "None for reporting.")
    assert "account's card" in ours["next_step"]
    assert (amazons["reason"], amazons["request_id"], amazons["amazon_request_id"]) == (
        "failed-at-amazon",
        "amazons",
        "rid-9",
    )
    assert "Amazon's support" in amazons["next_step"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"status": 0}, "unanswered"),
        ({"status": 0, "fault": "client-gone"}, "client-gone"),
        ({"status": 429}, "throttled-by-amazon"),
        ({"status": 429, "refusal": "budget-spent"}, "budget-spent"),
        ({"status": 403}, "refused-by-amazon"),
        ({"status": 200, "detail": "The poll was answered from memory, 2 s old."}, ""),
        ({"status": 502}, "failed-at-amazon"),
        ({"status": 207, "write": WriteOutcome(Outcome.PARTIAL, ItemCounts(1, 1))}, "partly-failed"),
        ({"status": 200, "write": WriteOutcome(Outcome.FAILURE)}, "refused-by-amazon"),
        ({"status": 207, "write": WriteOutcome(Outcome.SUCCESS, ItemCounts(1, 0))}, ""),
    ],
)
def test_a_failure_has_one_word_for_its_reason(changes: dict[str, object], expected: str) -> None:
    """Ours first, then how the answer broke, then what Amazon's status says."""
    recent = RecentRequests()
    recent.keep(finished(**changes), 1.0)
    assert reason(recent.requests()[0]) == expected


def test_groups_and_names_are_bounded() -> None:
    """However many things fail at once."""
    recent = RecentRequests()
    for number in range(100):
        recent.keep(finished(status=500, account=f"a{number}"), 1.0)
        recent.keep(finished(status=500, account="last", client=f"c{number}"), 1.0)
    groups = failures(RequestHistory(Metrics("1"), recent))
    assert len(groups) == MAX_GROUPS
    assert (groups[0]["account"], len(groups[0]["clients"])) == ("last", 5)


def test_what_the_journal_noted_is_among_the_requests() -> None:
    """Without an event, and cleaned of secrets."""
    recent = RecentRequests()
    history = RequestHistory(Metrics("1"), recent, lambda text: text.replace("canary", "***"))
    note(Journal(recent=recent), Record(path="/canary/x"), 404)
    history.observe(finished(status=503, refusal="draining", detail="canary"))
    shown = find_requests(history, RequestFilter())["requests"]
    assert [request["path"] for request in shown] == ["/v2/profiles", "/***/x"]
    assert [(group["path"], group["detail"]) for group in failures(history)] == [
        ("/v2/profiles", "***"),
        ("/***/x", ""),
    ]


async def test_the_status_shows_refused_requests_without_secrets() -> None:
    """The status masks keys that a client wrote in the wrong place, as the log does."""
    key = "adsproxy_SECRET-SECRET"
    program = FakeProgram()
    async with administer(program) as admin:
        sent = {"path": f"/{key}/v2", "profile": key, "ads_account": key, "detail": f"unknown account {key}"}
        admin.history.observe(finished(status=404, refusal="unknown-account", **sent))
        for path in ("/status", "/console/state", "/console/requests"):
            text = json.dumps(await asked(admin, path))
            assert "adsproxy_***" in text or path == "/console/state"
            assert "SECRET" not in text


def test_an_answer_from_memory_is_no_refusal() -> None:
    """The cached answer's `detail` says where it came from; that of an error says why Amazon refused."""
    history = RequestHistory(Metrics("1"))
    history.observe(finished(status=200, detail="The poll was answered from memory, 2 s old."))
    history.observe(finished(status=403, detail="The profile is another's."))
    assert [request.status for request in history.refused()] == [403]
    assert [request.status for request in history.failures()] == [403]


def test_a_call_of_mcp_is_found_by_its_tools() -> None:
    """In the list by a part of a name, and among the operations of a failure; other requests have none."""
    history = RequestHistory(Metrics("1"))
    called = {"path": "/mcp", "operation": "unknown", "mcp_tools": ("a-query_b", "a-update_b")}
    history.observe(finished(request_id="plain", status=404))
    history.observe(finished(request_id="called", status=500, **called))
    whole = find_requests(history, RequestFilter())["requests"]
    assert [request["mcp_tools"] for request in whole] == [["a-query_b", "a-update_b"], []]
    found = find_requests(history, RequestFilter(operation="UPDATE_"))["requests"]
    assert [request["request_id"] for request in found] == ["called"]
    assert [group["operations"] for group in failures(history)] == [["a-query_b", "a-update_b"], ["listProfiles"]]


def test_a_write_is_found_by_what_it_changed() -> None:
    """The row has outcome, counts, objects and members; values are left out."""
    history = RequestHistory(Metrics("1"), clean=lambda text: text.replace("canary", "***"))
    changes = ChangedObjects(("campaign/123", "ad-group/4"), 7, ("state", "canary"), (MemberValue("", "state", "X"),))
    write = WriteOutcome(Outcome.PARTIAL, ItemCounts(1, 2))
    history.observe(finished(request_id="written", status=207, write=write, changes=changes))
    history.observe(finished(request_id="plain"))
    (row,) = find_requests(history, RequestFilter(operation="Campaign/123"))["requests"]
    assert (row["request_id"], row["outcome"], row["items"]) == ("written", "partial", {"succeeded": 1, "failed": 2})
    assert (row["objects"], row["members"]) == (["campaign/123", "ad-group/4"], ["state", "***"])
    (group,) = failures(history)
    assert (group["reason"], "Some items of the write failed" in group["next_step"]) == ("partly-failed", True)


async def test_outcomes_of_writes_are_in_the_status() -> None:
    """By client and account, with a number for each outcome."""
    async with administer(FakeProgram()) as admin:
        for outcome, count in (("success", 5), ("partial", 2)):
            labels = "bids", "acme", outcome
            admin.metrics.observe(CounterRaised("write_outcomes_total", labels, count))
        for path in ("/console/state", "/status"):
            assert (await asked(admin, path))["write_outcomes"] == [
                {"client": "bids", "account": "acme", "success": 5, "partial": 2, "failure": 0, "unknown": 0}
            ]


@pytest.mark.parametrize("slug", sorted(REFUSALS))
def test_each_refusal_has_its_step(slug: str) -> None:
    """A whole sentence, also where the slug has none of its own."""
    assert next_step(503, slug, "").endswith(".")
    assert next_step(400, slug, "").endswith(".")


@pytest.mark.parametrize("fault", [*Fault, "content-too-large", "internal-error"])
def test_each_way_to_break_has_its_step(fault: str) -> None:
    """A word of `Fault`, or the slug of an error that could no longer be told."""
    assert next_step(200, "", fault).endswith(".")


@pytest.mark.parametrize("status", [0, 400, 401, 403, 404, 415, 429, 500, 503])
def test_each_status_of_amazons_has_its_step(status: int) -> None:
    """What Amazon answered says whose turn it is."""
    assert next_step(status, "", "").endswith(".")


def test_the_proxys_own_answer_speaks_before_the_status() -> None:
    """429 of the proxy's budget is no 429 of Amazon's."""
    assert "`requests_per_minute` or `max_in_flight`" in next_step(429, "budget-spent", "")
    assert "Amazon limits" in next_step(429, "", "")
    assert "requests_per_minute" not in next_step(200, "", "upstream-died")
