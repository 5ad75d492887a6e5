"""Lines that people and machines read: their shape, their order, their silence about secrets, and a broken output."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import events
from proxy.observability.access_line import ACCESS_FIELDS, MAX_LINE_BYTES
from proxy.observability.logs import (
    CUT,
    Format,
    Logs,
    configure,
    fields_of,
    fit,
    is_news,
    level_of,
    name_of,
)
from proxy.secret import Secret
from tests.observability.test_metrics import finished
from tests.support.costs import cost_of
from tests.support.patience import PATIENCE

Start = Callable[..., Logs]
OVER = events.SpendViolation(events.SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200")


def judged_over(*violations: events.SpendViolation, unread: tuple[str, ...] = ()) -> events.SpendJudgement:
    return events.SpendJudgement(events.SpendMode.OBSERVE, events.SpendVerdict.OVER, violations, unread)


def lines(stream: io.StringIO, logs: Logs) -> list[dict[str, Any]]:
    assert logs.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["json", "console"])
def test_suggested_commands_carry_the_configuration_in_use(
    start: Start, monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    """An operator's message about a failed request or anything else has them; a refusal is a client's message, and a
    client's own words stay unchanged."""
    monkeypatch.setattr("proxy.advice.options_in_use", {"--config": "my.yaml"})
    stream = io.StringIO()
    logs = start(stream, form=form)
    logs.observe(events.SignInNeeded("acme", "Run `ads-proxy login acme`."))
    logs.observe(events.ConfigReloaded(False, ("`ads-proxy keys new NAME`", "x"), (), ()))
    path = "/`ads-proxy check`"
    logs.observe(dataclasses.replace(finished(), status=503, path=path, refusal="x", detail="`ads-proxy invite acme`"))
    logs.observe(dataclasses.replace(finished(), status=401, detail="Send what `ads-proxy keys new ME` printed."))
    logs.observe(dataclasses.replace(finished(), status=503, detail="x" * MAX_LINE_BYTES, path=path))
    assert logs.flush()
    said = " ".join(stream.getvalue().split())
    for command in ("login acme", "keys new NAME", "invite acme"):
        assert f"`ads-proxy {command} --config my.yaml`" in said
    assert "`ads-proxy keys new ME`" in said
    assert said.count(path) == 2


def test_a_request_is_one_json_line_with_every_field(start: Start) -> None:
    """The access line holds what an operator looks for, times in milliseconds, and an RFC 3339 time in UTC."""
    stream = io.StringIO()
    logs = start(stream)
    logs.observe(events.RequestStarted())
    logs.observe(finished())
    (line,) = lines(stream, logs)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "id-1",
        "client": "reporting",
        "account": "acme",
        "region": "na",
        "profile": "123",
        "method": "GET",
        "operation": "listProfiles",
        "operation_class": "read",
        "path": "/v2/profiles",
        "user_agent": "curl/8",
        "status": 200,
        "upstream_status": 200,
        "amazon_request_id": "rid",
        "bytes_in": 0,
        "bytes_out": 10,
        "duration_ms": 200.0,
        "upstream_ms": 150.0,
        "overhead_ms": 0.12,
        "attempts": 1,
    }


def test_the_members_of_a_request_s_line_can_be_chosen(start: Start) -> None:
    """Time, level and event are always there; what has nothing to say stays away; a reload may choose others."""
    stream = io.StringIO()
    logs = start(stream)
    for chosen in (["status", "client", "detail"], ["duration_ms", "user_agent"], []):
        logs.adjust(level="info", access=True, access_fields=chosen)
        logs.observe(finished())
        logs.observe(finished(refusal="misdirected-host", detail="Use localhost.", user_agent=""))
    always = {"timestamp", "level", "event"}
    assert [line.keys() - always for line in lines(stream, logs)] == [
        {"client", "status"},
        {"client", "status", "detail"},
        {"duration_ms", "user_agent"},
        {"duration_ms"},
        set(),
        set(),
    ]


def test_every_member_can_be_the_only_one(start: Start) -> None:
    """Whichever is left out, the rest of the line is as it was."""
    stream = io.StringIO()
    logs = start(stream)
    trouble = {"refusal": "slug", "detail": "Why.", "fault": "client-gone", "retry_after": 3, "address": "192.0.2.7"}
    trouble |= {"unverified_subject": "repo:acme/bidder:x"}
    write = events.WriteOutcome(events.Outcome.PARTIAL, events.ItemCounts(1, 2))
    told = {"mcp_tools": ("a-query_b",), "write": write, "spend": judged_over(OVER), **trouble}
    event = finished(ads_account="amzn1.ads-account.g.x", subject="system:serviceaccount:ads:nightly", **told)
    logs.observe(event)
    for name in ACCESS_FIELDS:
        logs.adjust(level="info", access=True, access_fields=[name])
        logs.observe(event)
    whole, *alone = lines(stream, logs)
    assert set(whole) == {"timestamp", "level", "event", *ACCESS_FIELDS}
    assert [name for line in alone for name in line if name in ACCESS_FIELDS] == list(ACCESS_FIELDS)
    assert all(line[name] == whole[name] for line, name in zip(alone, ACCESS_FIELDS, strict=True))


@pytest.mark.parametrize("where", ["path", "user_agent", "profile", "ads_account", "client", "detail"])
def test_no_member_of_a_request_s_line_holds_a_secret(start: Start, where: str) -> None:
    """A secret is masked wherever a client puts it by mistake; a percent sign in it is no directive of a format."""
    stream = io.StringIO()
    logs = start(stream)
    logs.redact([Secret("canary-key")])
    logs.observe(finished(**{where: "/%s canary-key %d", "refusal": "slug"}))
    assert lines(stream, logs)[0][where] == "/%s *** %d"


def test_the_tools_that_were_called_are_in_the_line(start: Start) -> None:
    """The line has them as a list, without secrets; a request that calls none has no such member."""
    stream = io.StringIO()
    logs = start(stream)
    logs.redact([Secret("canary-key")])
    logs.observe(finished(mcp_tools=("a-query_b", "canary-key", '?"')))
    logs.observe(finished())
    named, unnamed = lines(stream, logs)
    assert named["mcp_tools"] == ["a-query_b", "***", '?"']
    assert "mcp_tools" not in unnamed


def test_a_refused_request_says_why(start: Start) -> None:
    """A refusal's slug and sentence are in the line."""
    stream = io.StringIO()
    logs = start(stream)
    logs.observe(finished(status=421, refusal="misdirected-host", detail="Use localhost."))
    (line,) = lines(stream, logs)
    assert (line["level"], line["refusal"], line["detail"]) == ("info", "misdirected-host", "Use localhost.")


def test_what_amazon_refused_is_explained(start: Start) -> None:
    """Where the reason is known; it is no refusal of the proxy's."""
    stream = io.StringIO()
    logs = start(stream)
    logs.observe(finished(status=401, detail="The profile is another login's."))
    (line,) = lines(stream, logs)
    assert (line["level"], line["refusal"], line["detail"]) == ("info", "", "The profile is another login's.")


@pytest.mark.parametrize("hostile", ['/"}\n{"a":1', "/\u2028\x1b[31m", "/\udcff\udc80", "/\x00"])
def test_a_hostile_path_stays_within_its_line(start: Start, hostile: str) -> None:
    """Line ends, quotes, controls and lone surrogates in a path can neither break nor forge a line."""
    stream = io.StringIO()
    logs = start(stream)
    logs.observe(finished(path=hostile))
    (line,) = lines(stream, logs)
    assert line["path"] == hostile


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (finished(), "info"),
        (finished(status=404, refusal="unknown-route"), "info"),
        (finished(status=502, refusal="upstream-closed"), "warning"),
        (finished(status=500), "warning"),
        (finished(status=200, fault="upstream-died"), "warning"),
        (events.RefreshFailed("a", "network", False, "", "", 0.1, 1.0, None), "warning"),
        (events.RefreshFailed("a", "invalid_grant", True, "", "", 0.1, 1.0, None), "error"),
        (events.CredentialStateChanged("a", "valid", "degraded"), "warning"),
        (events.CredentialStateChanged("a", "degraded", "expired"), "error"),
        (events.CredentialStateChanged("a", "expired", "valid"), "info"),
        (events.CredentialStateChanged("a", "valid", "revoked"), "error"),
        (events.CredentialStateChanged("a", "pending", "misconfigured"), "error"),
        (events.SignInNeeded("a", "Sign in."), "warning"),
        (events.TokenUnpersisted("a", True, ""), "warning"),
        (events.TokenUnpersisted("a", False, ""), "info"),
        (events.RefreshTokenLost("a", "disk full", "sign in"), "error"),
        (events.StoredTokenDamaged("a", True, "gone"), "warning"),
        (events.StoredTokenDamaged("a", False, "damaged"), "error"),
        (events.ConfigReloaded(False, ("x",), (), ()), "error"),
        (events.ConfigReloaded(True, (), (), ()), "info"),
        (events.ServerStopped(2), "warning"),
        (events.SignInFinished("a", events.SignInOutcome.DENIED, ""), "warning"),
        (events.DefectMet("here", "trace"), "error"),
    ],
)
def test_each_event_has_its_level(event: events.Event, level: str) -> None:
    """Trouble is loud, what is in order is not."""
    assert level_of(event) == level


def test_names_and_fields_of_an_event() -> None:
    """An event's name in the log is its type's, and empty fields are left out."""
    assert name_of(events.CredentialStateChanged) == "credential_state_changed"
    assert fields_of(events.SignInFinished("acme", events.SignInOutcome.CONNECTED, "")) == {
        "account": "acme",
        "outcome": "connected",
    }


def test_the_state_that_an_account_begins_with_is_no_news(start: Start) -> None:
    """Metrics hear of it; the log has a line for changes only."""
    stream = io.StringIO()
    logs = start(stream)
    logs.observe(events.CredentialStateChanged("acme", "pending", "pending"))
    logs.observe(events.CredentialStateChanged("acme", "pending", "valid"))
    assert [(line["old"], line["new"]) for line in lines(stream, logs)] == [("pending", "valid")]


def test_our_own_words_are_never_masked(start: Start) -> None:
    """A secret that happens to be a word of ours takes neither an event's name nor a key."""
    stream = io.StringIO()
    logs = start(stream)
    logs.redact([Secret("refresh_failed"), Secret("permanent")])
    logs.observe(events.RefreshFailed("a", "network", False, "saw permanent", "", 0.1, 1.0, None))
    (line,) = lines(stream, logs)
    assert (line["event"], line["permanent"], line["detail"]) == ("refresh_failed", False, "saw ***")


def test_without_access_only_trouble_has_a_line(start: Start) -> None:
    """`log.access: false` silences good requests, and those that the proxy or Amazon failed stay visible."""
    stream = io.StringIO()
    logs = start(stream, access=False)
    logs.observe(finished())
    logs.observe(finished(status=503, refusal="no-usable-token"))
    assert [line["status"] for line in lines(stream, logs)] == [503]


def test_a_changed_level_takes_effect(start: Start) -> None:
    """A reload can make the log quieter and louder."""
    stream = io.StringIO()
    logs = start(stream)
    logs.adjust(level="error", access=True)
    logs.observe(finished(status=503))
    logs.observe(events.ServerStopped(0))
    logs.adjust(level="info", access=True)
    logs.observe(finished(request_id="later"))
    assert [line.get("request_id") for line in lines(stream, logs)] == ["later"]


def test_order_holds_between_requests_and_warnings(start: Start) -> None:
    """A warning is written at once, after the lines that came before it."""
    stream = io.StringIO()
    logs = start(stream)
    for number in range(50):
        logs.observe(finished(request_id=str(number)))
    logs.observe(events.AmazonThrottled("acme", "na", None))
    logs.observe(finished(request_id="last"))
    got = [line.get("request_id", line["event"]) for line in lines(stream, logs)]
    assert got == [*map(str, range(50)), "amazon_throttled", "last"]


def test_libraries_and_warnings_speak_through_the_log(start: Start) -> None:
    """Standard logging comes as our lines, tracebacks included and masked."""
    stream = io.StringIO()
    logs = start(stream)
    try:
        raise ValueError("client_secret=canary")
    except ValueError:
        logging.getLogger("aiohttp.client").exception("Error handling request")
    logging.getLogger("aiohttp.client").debug("too quiet to be heard")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(True)
        warnings.warn("old ways", UserWarning, stacklevel=1)
    failed, warned = lines(stream, logs)
    assert (failed["event"], failed["level"], failed["logger"]) == ("library", "error", "aiohttp.client")
    assert "ValueError: client_secret=***" in failed["traceback"]
    assert "old ways" in warned["detail"]


def test_a_terminal_gets_readable_lines(start: Start) -> None:
    """The console format shows level (but of a request), event and fields, and no control character from outside."""
    stream = io.StringIO()
    logs = start(stream, form="console")
    logs.observe(finished(path="/\x1b[31mred\nnew"))
    logs.observe(events.SignInFinished("acme", events.SignInOutcome.CONNECTED, ""))
    assert logs.flush()
    first, second = stream.getvalue().splitlines()
    assert " 200 GET " in first
    assert "/\\x1b[31mred\\nnew" in first
    assert "[info" in second
    assert "outcome=connected" in second


def test_auto_is_json_where_there_is_no_terminal(start: Start) -> None:
    """`auto` looks at the stream."""
    stream = io.StringIO()
    logs = start(stream, form="auto")
    logs.observe(events.ServerStopped(0))
    assert lines(stream, logs)[0]["event"] == "server_stopped"


def test_a_full_disk_costs_lines_and_nothing_else(start: Start) -> None:
    """Writing to a full device neither raises nor stops, and the lost lines are counted."""
    with Path("/dev/full").open("w") as stream:
        logs = start(stream)
        for _ in range(5):
            logs.observe(finished())
        assert logs.flush()
        assert logs.lost == 5
        logs.close()


def test_lost_lines_are_told_once_writing_works_again(start: Start) -> None:
    """After a broken output heals, one line says how many were lost."""

    class Breakable(io.StringIO):
        broken = True

        def write(self, text: str) -> int:
            if self.broken:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Breakable()
    logs = start(stream)
    logs.observe(finished())
    assert logs.flush()
    stream.broken = False
    logs.observe(finished(request_id="after"))
    lost, after = lines(stream, logs)
    assert (lost["event"], lost["count"], after["request_id"]) == ("log_lines_lost", 1, "after")
    assert logs.lost == 0


def test_a_reader_that_left_does_not_hurt(start: Start) -> None:
    """A closed pipe and a closed stream only lose lines."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        logs = start(stream)
        logs.observe(events.ServerStopped(0))
        assert logs.flush()
    logs.observe(events.ServerStopped(0))
    assert logs.flush()
    assert logs.lost == 2
    nothing = start(None)
    nothing.observe(events.ServerStopped(0))
    assert nothing.flush()
    assert nothing.lost == 1


def test_a_reader_that_stopped_reading_does_not_block(start: Start) -> None:
    """With a full pipe that has no reader, logging goes on in bounded memory, and stopping does not wait for ever."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    logs = start(stream)
    event = finished(path="/" + "x" * 3000)
    for _ in range(5_000):
        logs.observe(event)
    assert logs.lost > 0
    logs.close(timeout=0.05)
    drained = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 1 << 20), b"")])
    drained.start()
    assert logs.flush(timeout=PATIENCE)
    stream.close()
    drained.join(PATIENCE)
    os.close(reader)
    assert not drained.is_alive()


def test_a_line_torn_by_a_full_disk_is_ended_first(start: Start) -> None:
    """After half a line was written, the next batch starts on a line of its own."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(writer, "w") as stream:
        logs = start(stream)
        os.write(writer, b'{"half')
        logs.sink.torn = True
        logs.observe(events.ServerStopped(0))
        assert logs.flush()
        got = os.read(reader, 65_536).decode().splitlines()
    os.close(reader)
    assert json.loads(got[1])["event"] == "server_stopped"


def test_a_request_line_costs_little(start: Start) -> None:
    """The request path pays some 400 instructions and 30 calls for a line that is new to it; the bounds leave room."""
    with Path(os.devnull).open("w") as stream:
        logs = start(stream)
        logs.observe(finished())
        costs = [cost_of(partial(logs.observe, finished(request_id=f"id-{n}", path=f"/{n}"))) for n in range(10)]
        logs.close()
    assert max(cost.instructions for cost in costs) < 800
    assert max(cost.calls for cost in costs) < 60


def test_logs_show_what_they_write_and_no_line(start: Start) -> None:
    """The `repr` shows no secret that the logs mask either."""
    logs = start(io.StringIO(), level="warning")
    logs.redact([Secret("CANARY-secret")])
    logs.flush()
    known = repr(logs.redaction)
    assert re.fullmatch(r"<Redaction of \d+ spellings>", known)
    assert repr(logs) == f"<Logs: json from warning, {known}, <Sink: 0 characters waiting, 0 lines lost>>"


KINDS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
LONG = ("a" * 9_000, "\x00" * 9_000, "\U0001f600" * 3_000, "\\\"'" * 3_000, "é" * 5_000)


@pytest.fixture(params=["json", "console"])
def logs(request: pytest.FixtureRequest) -> Iterator[tuple[Logs, io.StringIO]]:
    """Logs in each form, from debug on, and what they write to."""
    stream = io.StringIO()
    form: Format = request.param
    made = configure(form=form, level="debug", access=True, stream=stream)
    yield made, stream
    made.close()


def filled(kind: type[events.Event], text: str) -> events.Event:
    """An event whose texts are this one, and whose lists hold it many times."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        many = (text, *["x" * 50] * 500)
        of_kind = {
            "str": text,
            "tuple[str, ...]": many,
            "bool": False,
            "NoticeOutcome": events.NoticeOutcome.SENT,
            "WriteOutcome | None": events.WriteOutcome(events.Outcome.PARTIAL, events.ItemCounts(1, 1)),
            "SpendJudgement | None": judged_over(*[OVER._replace(path=text)] * 9, unread=many),
        }
        values[field.name] = of_kind.get(str(field.type), 1)
    return kind(**values)


def test_every_event_fits_its_line(logs: tuple[Logs, io.StringIO]) -> None:
    """Long texts, long lists, whatever they take when they are escaped: one line each of at most 4,096 bytes."""
    made, stream = logs
    texts = itertools.cycle(LONG)
    whole = [filled(events.RequestFinished, text) for text in LONG]
    told = [event for event in (*whole, *(filled(kind, next(texts)) for kind in KINDS)) if is_news(event)]
    for event in told:
        made.observe(event)
    assert made.flush()
    lines = stream.getvalue().encode("utf-8", "backslashreplace").splitlines(keepends=True)
    assert len(lines) >= len(told)
    assert [len(line) for line in lines if len(line) > MAX_LINE_BYTES] == []


def test_what_is_cut_says_so_and_the_rest_is_whole() -> None:
    """The long path loses its end; request id, status and refusal are there, in valid JSON."""
    stream = io.StringIO()
    made = configure(form="json", stream=stream)
    made.observe(finished(path="/" + "a" * 20_000, status=414, refusal="target-too-long", detail="Shorter."))
    assert made.flush()
    made.close()
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line["path"].startswith("/aaa")
    assert line["path"].endswith(CUT)
    assert len(line["path"]) > 2000
    assert (line["status"], line["refusal"], line["detail"]) == (414, "target-too-long", "Shorter.")
    assert (line["request_id"], line["event"], line["level"]) == ("id-1", "request", "info")


def test_of_a_traceback_the_end_is_kept() -> None:
    """The last line of a traceback has the error."""
    stream = io.StringIO()
    made = configure(form="json", stream=stream)
    made.observe(events.DefectMet("a place", "Traceback\n" * 2000 + "ValueError: the reason"))
    logging.getLogger("a.library").warning("x" * 9000)
    assert made.flush()
    made.close()
    defect, library = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert defect["traceback"].startswith(CUT)
    assert defect["traceback"].endswith("ValueError: the reason")
    assert defect["where"] == "a place"
    assert library["detail"].endswith(CUT)


def test_a_secret_is_masked_before_it_could_be_cut() -> None:
    """Wherever the cut falls: no half of a secret is left."""
    secret = "canary-secret-0123456789"
    for before in range(3700, 4100, 7):
        stream = io.StringIO()
        made = configure(form="json", stream=stream)
        made.redact([Secret(secret)])
        made.observe(events.DefectMet("b" * before + secret, ""))
        assert made.flush()
        made.close()
        assert "canary" not in stream.getvalue()


@pytest.mark.long
@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8),
        st.one_of(st.text(max_size=400), st.integers(), st.none(), st.lists(st.text(max_size=60), max_size=20)),
        max_size=8,
    )
)
def test_any_values_are_made_to_fit(values: dict[str, object]) -> None:
    """What fits stays as it is; what does not ends within the limit, with every key."""
    whole = json.dumps(values)
    line = fit(values, json.dumps, 300)
    assert json.loads(line).keys() == values.keys()
    assert line == whole if len(whole) <= 300 else len(line) <= 300


def test_a_line_that_no_cut_makes_short_stays_as_it_is() -> None:
    """Where nothing of the values is left to be cut, it is the rest of the line that is long."""
    assert fit({"count": 1, "name": ""}, lambda values: "x" * 400, 300) == "x" * 400


def test_the_line_of_a_judged_write_has_what_its_limits_say(start: Start) -> None:
    """Verdict, mode and the first violations; other requests have no such member."""
    stream = io.StringIO()
    logs = start(stream, form="json")
    logs.observe(finished())
    logs.observe(finished(spend=judged_over(OVER)))
    logs.observe(finished(spend=judged_over(*[OVER] * 7)))
    plain, judged, long = lines(stream, logs)
    assert "spend" not in plain
    assert judged["spend"] == {
        "mode": "observe",
        "verdict": "over",
        "violations": [
            {
                "rule": "budget",
                "path": "campaigns[0].budget.budget",
                "value": "500",
                "currency": "USD",
                "limit": "200",
            }
        ],
    }
    assert len(long["spend"]["violations"]) == 5
    assert long["spend"]["further_violations"] == 2


def test_the_line_of_an_approved_write_names_its_approval(start: Start) -> None:
    """And its approver; what it changes is in the audit stream alone, as it may be long."""
    stream = io.StringIO()
    logs = start(stream, form="json")
    change = events.ValueChange("campaign/1", "budget.budget", "100", "500")
    logs.observe(finished(spend=judged_over(OVER)._replace(approval=events.UsedApproval("a1b2", "ann", (change,)))))
    logs.observe(finished(spend=judged_over(OVER)._replace(approval=events.UsedApproval("c3d4"))))
    used, asked = (line["spend"] for line in lines(stream, logs))
    assert (used["approval"], used["approver"], asked["approval"]) == ("a1b2", "ann", "c3d4")
    assert not {"changes", "approver"} & asked.keys()
    assert "changes" not in used


def test_what_becomes_of_approvals_is_logged_and_their_number_is_not(start: Start) -> None:
    """One that waits for a person is a warning."""
    stream = io.StringIO()
    logs = start(stream, form="json")
    about, pending = ("a1b2", "agent", "PUT /sp/campaigns"), events.ApprovalState.PENDING
    logs.observe(events.ApprovalRequested(*about, ("budget",), 9.0))
    logs.observe(events.ApprovalsCounted((("agent", pending, 1),)))
    logs.observe(events.ApprovalDecided(*about, events.ApprovalState.APPROVED, "ann", ""))
    logs.observe(events.ApprovalEnded(*about, events.ApprovalState.USED))
    told = [(line["level"], line["event"], line.get("state")) for line in lines(stream, logs)]
    assert told == [
        ("warning", "approval_requested", None),
        ("info", "approval_decided", "approved"),
        ("info", "approval_ended", "used"),
    ]


def test_what_is_judged_holds_no_secret_and_no_more_than_a_line(start: Start) -> None:
    """Its texts come from a body: they are masked and cut like all others, and the line is whole JSON."""
    stream = io.StringIO()
    logs = start(stream, form="json")
    logs.redact([Secret("hunter2-hunter2")])
    logs.observe(finished(spend=judged_over(OVER._replace(path="a.hunter2-hunter2"), unread=("hunter2-hunter2",))))
    logs.observe(finished(spend=judged_over(*[OVER._replace(path="x" * 2000)] * 5)))
    masked, cut = lines(stream, logs)
    assert masked["spend"]["violations"][0]["path"] == "a.***"
    assert masked["spend"]["unread"] == ["***"]
    assert cut["spend"]["verdict"] == "over"
    assert cut["spend"]["violations"][0]["rule"] == "budget"
    assert len(stream.getvalue().splitlines()[1]) < MAX_LINE_BYTES


def test_the_member_about_limits_can_be_left_out(start: Start) -> None:
    """The member is one of `log.access_fields`."""
    stream = io.StringIO()
    logs = start(stream, form="json")
    logs.adjust(level="info", access=True, access_fields=[name for name in ACCESS_FIELDS if name != "spend"])
    logs.observe(finished(spend=judged_over(OVER)))
    assert "spend" not in lines(stream, logs)[0]
