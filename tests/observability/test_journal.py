"""Requests noted by an entry that was prepared for their kind look exactly as those told by an event."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from proxy.events import (
    AuditFailed,
    Event,
    ItemCounts,
    Observer,
    Outcome,
    RequestFinished,
    RequestKind,
    SpendAmount,
    SpendJudgement,
    SpendMode,
    SpendRule,
    SpendVerdict,
    WriteOutcome,
)
from proxy.observability.journal import Journal, JournalEntry
from proxy.observability.logs import Format, Logs
from proxy.observability.metrics import Metrics
from proxy.observability.recent_requests import RecentRequests
from proxy.observability.request_record import RequestRecord
from proxy.secret import Secret
from tests.observability.test_metrics import finished
from tests.support.scraping import scraped

KIND = RequestKind("reporting", "acme", "na", "123", "", "GET", "listProfiles", "read")


@dataclass
class Record:
    """What a server of requests has at the end of one; as `finished` of the tests of metrics."""

    path: str = "/v2/profiles"
    user_agent: str = "curl/8"
    request_id: str = "id-1"
    amazon_request_id: str = "rid"
    bytes_in: int = 0
    bytes_out: int = 10
    duration: float = 0.2
    upstream: float = 0.15
    overhead: float = 0.00012
    attempts: int = 1
    write: WriteOutcome | None = None
    spend: SpendJudgement | None = None

    def of(self, entry: JournalEntry) -> RequestRecord[JournalEntry]:
        """The record as the journal takes it, in the order of its fields."""
        ids = self.request_id, self.amazon_request_id
        sizes = self.bytes_in, self.bytes_out
        times = self.duration, self.upstream, self.overhead
        return (entry, *ids, self.path, self.user_agent, *sizes, *times, self.attempts, self.write, self.spend)


def note(journal: Journal, record: Record, status: int = 200, kind: RequestKind = KIND) -> None:
    """A request of this kind is over."""
    journal.add(record.of(journal.entry(kind, status)))


class Listener:
    """Hears of every request."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def observe(self, event: Event) -> None:
        self.heard.append(event)


def written(logs: Logs, stream: io.StringIO) -> list[str]:
    """What was written, without its times."""
    assert logs.flush()
    logs.close()
    return [re.sub(r"\d{4}-\S+Z|\d\d:\d\d:\d\d\.\d{3}", "TIME", line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "record",
    [
        Record(),
        Record(path='/%s/"/\udcff\n', request_id="a%d", amazon_request_id='"\n%s'),
        Record(path="/" + "\u2028" * 511, amazon_request_id="\x01" * 128),
        Record(path="/k/canary-key/one"),
    ],
    ids=["plain", "hostile", "too long", "with a secret"],
)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_noted_request_has_the_line_that_its_event_would_have(form: Format, record: Record, status: int) -> None:
    """The lines are equal even if the line is cut, a value is a format's directive, the path holds a secret, or the
    status is 5xx."""
    told, noted = io.StringIO(), io.StringIO()
    by_event = Logs(told, form=form, level="info", access=True)
    by_note = Logs(noted, form=form, level="info", access=True)
    for logs in (by_event, by_note):
        logs.redact([Secret("canary-key")])
    by_event.observe(finished(status=status, upstream_status=status, **vars(record)))
    note(Journal(logs=by_note), record, status)
    assert written(by_note, noted) == written(by_event, told)


@pytest.mark.parametrize(("level", "access", "count"), [("info", False, 0), ("warning", True, 0), ("debug", True, 1)])
def test_a_noted_request_has_a_line_only_where_requests_have_one(level: str, access: bool, count: int) -> None:
    """The settings `log.level` and `log.access` decide."""
    stream = io.StringIO()
    logs = Logs(stream, form="json", level=level, access=access)
    note(Journal(logs=logs), Record())
    assert len(written(logs, stream)) == count


def test_a_noted_request_counts_as_its_event_would() -> None:
    """Under the same labels, in the same buckets."""
    told, noted = Metrics("1", wall=lambda: 0.0), Metrics("1", wall=lambda: 0.0)
    told.observe(finished(status=404, upstream_status=404))
    note(Journal(noted.requests), Record(), 404)

    def lines(metrics: Metrics) -> list[bytes]:
        return [line for line in scraped(metrics, "").splitlines() if not line.startswith(b"process_")]

    assert lines(noted) == lines(told)


WRITE = RequestKind("reporting", "acme", "na", "123", "", "POST", "createCampaigns", "write")
DONE = [WriteOutcome(Outcome.SUCCESS), WriteOutcome(Outcome.SUCCESS, ItemCounts(3, 0))]


LARGEST = (SpendAmount(SpendRule.BUDGET, "USD", "12.5"),)
JUDGED = [SpendJudgement(mode, SpendVerdict.WITHIN, largest=LARGEST) for mode in SpendMode]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("write", [*DONE, None])
@pytest.mark.parametrize("spend", [*JUDGED, None])
def test_a_noted_write_looks_as_its_event_would(
    form: Format, write: WriteOutcome | None, spend: SpendJudgement | None
) -> None:
    """Its line, its numbers, its console row and its event for other observers are the same."""
    told, noted = io.StringIO(), io.StringIO()
    by_event, by_note = (Logs(stream, form=form, level="info", access=True) for stream in (told, noted))
    kept, kept_by_event = RecentRequests(), RecentRequests()
    counted, metrics = (Metrics("1", wall=lambda: 0.0) for _ in range(2))
    listener = Listener()
    event = finished(**WRITE._asdict() | {"status": 207, "upstream_status": 207, "write": write, "spend": spend})
    by_event.observe(event)
    metrics.observe(event)
    kept_by_event.keep(event, 0.0)
    journal = Journal(counted.requests, by_note, (listener,), (), kept)
    journal.count_write, journal.judged = counted.count_write, (counted,)
    note(journal, Record(write=write, spend=spend), 207, WRITE)
    assert written(by_note, noted) == written(by_event, told)
    lines = [scraped(each, "").splitlines() for each in (counted, metrics)]
    mine, theirs = ([line for line in each if not line.startswith(b"process_")] for each in lines)
    assert mine == theirs
    counts = b"".join(mine)
    assert (b'write_outcomes_total{account="acme",client="reporting",outcome="success"} 1' in counts) is bool(write)
    assert (b'spend_judged_total{client="reporting"' in counts) is bool(spend)
    assert [each._replace(at=0.0) for each in kept.requests()] == list(kept_by_event.requests())
    assert listener.heard == [event]


def test_a_kind_that_nobody_sent_yet_has_no_series() -> None:
    """An entry is prepared before its first request is over."""
    metrics = Metrics("1")
    Journal(metrics.requests).entry(KIND, 200)
    assert b"ads_proxy_requests_total{" not in scraped(metrics, "")


def test_who_hears_of_every_request_hears_of_the_noted_ones() -> None:
    """Such an observer gets one event, the same that an ordinary request would have made."""
    listener = Listener()
    note(Journal(listeners=(listener,)), Record())
    assert listener.heard == [finished()]
    assert isinstance(listener.heard[0], RequestFinished)


@pytest.mark.parametrize(("operation_class", "heard"), [("read", 0), ("report", 0), ("write", 1), ("unknown", 1)])
def test_auditors_hear_of_the_noted_ones_that_may_change_something(operation_class: str, heard: int) -> None:
    """Auditors get no others: an event is made only for its observers."""
    auditor = Listener()
    kind = KIND._replace(operation_class=operation_class)
    note(Journal(auditors=(auditor,)), Record(), kind=kind)
    assert len(auditor.heard) == heard


def test_an_entry_is_made_once_until_the_configuration_changes() -> None:
    """Asking again costs a look into a dictionary."""
    journal = Journal()
    entry = journal.entry(KIND, 200)
    assert journal.entry(KIND, 200) is entry
    assert journal.entry(KIND, 201) is not entry
    assert repr(journal) == "<Journal: 2 entries, 0 listeners>"
    journal.forget()
    assert journal.entry(KIND, 200) is not entry


def test_late_news_of_a_removed_account_bring_no_series_back() -> None:
    """An entry that outlives its account is not counted."""
    metrics = Metrics("1")
    metrics.accounts(["acme"])
    journal = Journal(metrics.requests)
    record = Record().of(journal.entry(KIND, 200))
    metrics.accounts([])
    journal.add(record)
    assert b'account="acme"' not in scraped(metrics, "")


def test_an_entry_that_outlives_its_account_still_counts_for_its_region() -> None:
    """What the histogram of durations holds never becomes less."""
    metrics = Metrics("1")
    metrics.accounts(["acme"])
    journal = Journal(metrics.requests)
    record = Record().of(journal.entry(KIND, 200))
    journal.add(record)
    metrics.accounts([])
    journal.add(record)
    assert b'request_duration_seconds_count{region="na"} 2.0' in scraped(metrics, "")


def test_what_ends_in_one_turn_is_noted_at_its_end_in_order() -> None:
    """Each is noted with the moment at which it was over; the next turn starts with none."""
    stream, listener = io.StringIO(), Listener()
    turns: list[Callable[[], None]] = []
    logs = Logs(stream, form="json", level="info", access=True)
    journal = Journal(logs=logs, listeners=(listener,))
    journal.gather(turns.append)
    for number in range(3):
        note(journal, Record(request_id=f"id-{number}"), 200 + number)
    assert (listener.heard, len(turns)) == ([], 1)
    turns.pop()()
    note(journal, Record(request_id="id-3"))
    turns.pop()()
    assert [getattr(event, "request_id", "") for event in listener.heard] == ["id-0", "id-1", "id-2", "id-3"]
    assert [json.loads(line)["status"] for line in written(logs, stream)] == [200, 201, 202, 200]


def turning(logs: Logs, *auditors: Observer) -> tuple[Journal, list[Callable[[], None]]]:
    """A journal of turns that a test ends."""
    turns: list[Callable[[], None]] = []
    journal = Journal(logs=logs, auditors=auditors)
    journal.gather(turns.append)
    return journal, turns


class Complaining(Listener):
    """An auditor that cannot record, and says so."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def observe(self, event: Event) -> None:
        self._logs.observe(AuditFailed("disk full", 1))


def test_the_lines_of_a_turn_are_handed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink is asked once, however many requests ended."""
    logs = Logs(io.StringIO(), form="json", level="info", access=True)
    handed: list[list[str]] = []
    monkeypatch.setattr(logs.sink, "put_all", handed.append)
    journal, turns = turning(logs)
    for number in range(3):
        note(journal, Record(request_id=f"id-{number}"))
    turns.pop()()
    (lines,) = handed
    assert [json.loads(line)["request_id"] for line in lines] == ["id-0", "id-1", "id-2"]


def test_the_line_of_an_event_keeps_its_place_between_those_of_a_turn() -> None:
    """What an observer logs of a request stands behind its line, and before that of the next; so does a line that had
    to be cut."""
    stream = io.StringIO()
    logs = Logs(stream, form="json", level="info", access=True)
    journal, turns = turning(logs, Complaining(logs))
    note(journal, Record(request_id="id-0"))
    note(journal, Record(request_id="id-1"), kind=WRITE)
    note(journal, Record(request_id="id-2", path="/" + "\u2028" * 900))
    note(journal, Record(request_id="id-3"))
    turns.pop()()
    lines = [json.loads(line) for line in written(logs, stream)]
    assert [line.get("request_id", line["event"]) for line in lines] == ["id-0", "id-1", "audit_failed", "id-2", "id-3"]
    assert lines[3]["path"].endswith("[...]")


def test_a_secret_that_is_learned_within_a_turn_is_in_none_of_its_lines() -> None:
    """Nor in a text that was remembered from the turn before."""
    stream = io.StringIO()
    logs = Logs(stream, form="json", level="info", access=True)
    journal, turns = turning(logs)
    record = Record(path="/k/canary-key/one", user_agent="canary-key")
    note(journal, record)
    turns.pop()()
    note(journal, record)
    logs.redact([Secret("canary-key")])
    note(journal, record)
    turns.pop()()
    lines = [json.loads(line) for line in written(logs, stream)]
    assert [line["path"] for line in lines] == ["/k/canary-key/one", "/k/***/one", "/k/***/one"]
    assert [line["user_agent"] for line in lines] == ["canary-key", "***", "***"]


def test_lines_have_the_members_that_were_chosen_last() -> None:
    """A choice forgets the texts; the entries are forgotten with the configuration."""
    stream = io.StringIO()
    logs = Logs(stream, form="json", level="info", access=True)
    journal, turns = turning(logs)
    for fields in (["status", "path", "user_agent"], ["status", "path"]):
        logs.adjust(level="info", access=True, access_fields=fields)
        journal.forget()
        note(journal, Record())
        turns.pop()()
    first, second = (json.loads(line) for line in written(logs, stream))
    assert first.pop("user_agent") == "curl/8"
    assert first.keys() == second.keys() == {"timestamp", "level", "event", "path", "status"}


def test_a_defect_in_noting_one_request_leaves_the_others_noted() -> None:
    """They have their lines, and the defect is told; an observer's fault is one, too."""

    class Failing(Listener):
        def observe(self, event: Event) -> None:
            raise OSError("disk")

    stream = io.StringIO()
    logs = Logs(stream, form="json", level="info", access=True)
    journal, turns = turning(logs, Failing())
    note(journal, Record(request_id="id-0"))
    note(journal, Record(request_id="id-1"), kind=WRITE)
    note(journal, Record(request_id="id-2", duration="long"))  # type: ignore[arg-type]  # what the journal does not check
    note(journal, Record(request_id="id-3"))
    with pytest.raises(OSError, match="disk"):
        turns.pop()()
    assert [json.loads(line)["request_id"] for line in written(logs, stream)] == ["id-0", "id-1", "id-3"]


def test_a_defect_in_noting_one_turn_leaves_the_next_as_it_is() -> None:
    """Nothing waits for what has failed."""
    turns: list[Callable[[], None]] = []
    journal = Journal()
    journal.gather(turns.append)
    note(journal, Record(duration="long"))  # type: ignore[arg-type]  # what the journal does not check
    with pytest.raises(TypeError):
        turns.pop()()
    note(journal, Record())
    assert len(turns) == 1
