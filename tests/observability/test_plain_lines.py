"""What people at a terminal read: one line of it for a request, everything else below."""

from __future__ import annotations

import fcntl
import io
import json
import os
import struct
import termios
from typing import Any

import pytest

from proxy import events
from proxy.observability.logs import LEAST_COLUMNS, Format, Logs, columns_of
from proxy.observability.plain_lines import COLUMNS, change_in_words, render_plain
from tests.observability.test_metrics import finished

TIME = "2026-01-31T12:00:00.123Z"
REQUEST: dict[str, Any] = {
    "timestamp": TIME,
    "level": "info",
    "event": "request",
    "request_id": "id-1",
    "client": "reporting",
    "account": "acme",
    "region": "na",
    "profile": "1234567890",
    "method": "POST",
    "operation": "ListSponsoredProductsCampaigns",
    "operation_class": "read",
    "path": "/sp/campaigns/list",
    "status": 200,
    "duration_ms": 81.402,
    "attempts": 1,
}


def plain(**changes: object) -> list[str]:
    return render_plain({**REQUEST, **changes}, colours=False).split("\n")


def test_a_request_is_one_line_of_what_people_look_for() -> None:
    """When, what was answered, what was asked, which operation of whom, and how long it took."""
    assert plain() == [
        "12:00:00.123 200 POST   /sp/campaigns/list  1234567890  acme/na  reporting  81 ms",
    ]
    assert plain(path="/v2/profiles", operation="listProfiles", profile="", attempts=2) == [
        "12:00:00.123 200 POST   /v2/profiles  listProfiles  acme/na  reporting  2 attempts  81 ms",
    ]


def test_a_call_of_mcp_shows_its_tools() -> None:
    """The line shows them instead of the operation, which is unknown for them."""
    changes = {"path": "/mcp", "operation": "unknown", "profile": ""}
    assert plain(**changes, mcp_tools=("a-query_b", "?")) == [
        "12:00:00.123 200 POST   /mcp  a-query_b, ?  acme/na  reporting  81 ms",
    ]
    assert plain(**changes, mcp_tools=()) == ["12:00:00.123 200 POST   /mcp  acme/na  reporting  81 ms"]


def test_a_write_of_which_items_failed_says_so_on_the_next_line() -> None:
    """The status looks like a success; that of an error speaks for itself."""
    items = {"succeeded": 2, "failed": 1}
    first, second = plain(status=207, outcome="partial", items=items, amazon_request_id="rid")
    assert first == "12:00:00.123 207 POST   /sp/campaigns/list  1234567890  acme/na  reporting  81 ms"
    assert second == "    partial although 207: 2 succeeded, 1 failed [id-1] [rid]"
    assert plain(status=200, outcome="failure", items=None)[1] == "    failure although 200 [id-1]"
    assert len(plain(status=207, outcome="success", items=items)) == 1
    assert len(plain(status=422, outcome="failure")) == 1


def test_a_judged_write_shows_its_verdict() -> None:
    """The violated rules are on the next line, unless a refusal says so there."""
    over = {"rule": "budget", "path": "campaigns[0].budget", "value": "500", "currency": "USD", "limit": "200"}
    late = {"rule": "hours", "path": "", "value": "Sun 03:00", "currency": "", "limit": None}
    within = plain(status=207, spend={"mode": "enforce", "verdict": "within", "violations": []})
    assert within == [
        "12:00:00.123 207 POST   /sp/campaigns/list  1234567890  acme/na  reporting  within limits  81 ms",
    ]
    judged = {"mode": "observe", "verdict": "over", "violations": [over, late], "unread": ["No currency is known."]}
    first, *more = plain(status=207, spend=judged)
    assert first.endswith("reporting  spend: over  81 ms")
    assert " ".join(line.strip() for line in more) == (
        "spend: over: budget 500 USD, limit 200 (campaigns[0].budget); hours Sun 03:00, no limit for it; "
        "No currency is known. [id-1]"
    )
    approved = plain(status=207, spend={**judged, "verdict": "approved", "approval": "a1b2", "approver": "ann"})
    assert approved[0].endswith("reporting  spend: approved by ann  81 ms")
    refused = plain(status=403, refusal="over-limit", detail="It is over.", spend=judged)
    assert refused[1:] == ["    over-limit It is over. [id-1]"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("campaign/1", "budget.budget", "100", "500"), "campaign/1 budget.budget: 100 -> 500"),
        (("campaign/1", "budget.budget", "500", "500"), "campaign/1 budget.budget: 500 unchanged"),
        (("", "state", "", '"PAUSED"'), 'new object state: none -> "PAUSED"'),
        (("", "budget", None, "500"), "unknown object budget: not known -> 500"),
    ],
)
def test_a_change_is_in_words(change: tuple[str | None, ...], words: str) -> None:
    """An unknown value is another thing than a member that an object does not have."""
    assert change_in_words(dict(zip(("object", "member", "before", "after"), change, strict=True))) == words


def test_what_there_is_no_room_for_stays_away_the_path_is_cut_last() -> None:
    """First the operation, then whose it was; the duration stays."""
    (line,) = plain(path="/" + "x" * 200, client="c" * 64)
    assert len(line) <= COLUMNS
    assert line.endswith("...  81 ms")


def test_a_refusal_says_why_on_the_next_lines() -> None:
    """Wrapped within the columns, with the ids that support asks for."""
    first, *rest = plain(
        status=403, refusal="not-permitted", detail="This client may not use the account. " * 5, amazon_request_id="rid"
    )
    assert " 403 POST " in first
    assert rest[0].startswith("    not-permitted This client")
    assert rest[-1].endswith("[id-1] [rid]")
    assert max(map(len, rest)) <= COLUMNS


def test_the_refusal_of_an_unknown_client_says_where_it_came_from() -> None:
    """Next to the reason, where somebody looks for the machine."""
    _, second = plain(status=401, refusal="client-unknown", detail="No client has this key.", address="192.0.2.7")
    assert "No client has this key. (from 192.0.2.7) [" in second


@pytest.mark.parametrize(
    "changes",
    [
        {
            name: "x" * 600
            for name in REQUEST
            if isinstance(REQUEST[name], str) and name not in ("timestamp", "level", "event", "method")
        },
        {"path": "/\x1b[2J\u202e\n" * 30, "client": "\r\n\x07"},
        {"status": 0, "account": "", "region": "", "profile": "", "operation": "unknown", "client": ""},
    ],
    ids=["everything too long", "controls", "nothing known"],
)
def test_no_request_leaves_its_columns_or_its_line(changes: dict[str, object]) -> None:
    """Whatever it holds."""
    lines = plain(**changes)
    assert len(lines) == 1
    assert len(lines[0]) <= COLUMNS
    assert lines[0].isprintable()


def test_a_request_without_chosen_members_is_what_is_left() -> None:
    """The members follow `log.access_fields`."""
    few = {name: REQUEST[name] for name in ("timestamp", "level", "event", "status", "path")}
    assert render_plain(few, colours=False) == "12:00:00.123 200        /sp/campaigns/list"


def test_other_events_are_wrapped_and_addresses_stay_whole() -> None:
    """At blanks only: who copies an address to sign in at gets all of it."""
    address = "http://localhost:8081/login/acme?" + "x" * 120
    values = {"timestamp": TIME, "level": "warning", "event": "sign_in_needed", "account": "acme"}
    lines = render_plain({**values, "advice": f"Sign in at {address} and " + "so on " * 30}, colours=False).split("\n")
    assert lines[0] == "12:00:00.123 [warning] sign_in_needed account=acme advice=Sign in at"
    assert lines[1] == f"    {address}"
    assert all(len(line) <= COLUMNS for line in lines if address not in line)


def test_a_moment_is_shown_as_a_time() -> None:
    """Members that end with `_at` are seconds since 1970; a number that is no moment stays as it is."""
    values = {"timestamp": REQUEST["timestamp"], "level": "info", "event": "x", "ends_at": 1795870732.4, "at_at": 1e300}
    assert render_plain(values, colours=False).endswith("[info] x ends_at=2026-11-28T12:58:52Z at_at=1e+300")


def test_a_traceback_keeps_its_lines() -> None:
    """Each with what would move the cursor escaped."""
    values = {"timestamp": TIME, "level": "error", "event": "defect_met", "traceback": "one\n  two\x1b[1m\n"}
    assert render_plain(values, colours=False).split("\n")[1:] == ["    one", "      two\\x1b[1m"]


def test_colours_tell_trouble() -> None:
    """Red from errors on, yellow for warnings and refusals; an ordinary line has a dim time alone."""
    assert render_plain(REQUEST, colours=True).startswith("\x1b[2m12:00:00.123\x1b[0m 200")
    assert "\x1b[33m404" in render_plain({**REQUEST, "status": 404}, colours=True)
    error = {"timestamp": TIME, "level": "error", "event": "defect_met"}
    assert render_plain(error, colours=True).endswith("\x1b[31m[error] defect_met\x1b[0m")


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "colours", "coloured"), [("auto", True, True), ("auto", False, False), ("json", True, False)]
)
def test_only_a_terminal_that_may_be_coloured_is(form: Format, colours: bool, coloured: bool) -> None:
    """NO_COLOR forbids colours, and JSON never has any."""
    stream = Terminal()
    logs = Logs(stream, form=form, level="info", access=True, colours=colours)
    logs.observe(finished())
    assert logs.flush()
    logs.close()
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_json_is_never_wrapped() -> None:
    """A long event is one line."""
    stream = Terminal()
    logs = Logs(stream, form="json", level="info", access=True)
    logs.observe(events.SignInNeeded("acme", "word " * 400))
    assert logs.flush()
    logs.close()
    (line,) = stream.getvalue().splitlines()
    assert len(json.loads(line)["advice"]) == 2000


def resize(terminal: int, columns: int) -> None:
    """Set a terminal's width, as the program that draws it does (TIOCSWINSZ)."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def test_lines_are_as_wide_as_the_terminal_is_now() -> None:
    """The width follows a resize; other output, and a terminal without a width, gets 100 columns."""
    drawing, screen = os.openpty()
    with os.fdopen(screen, "w", encoding="utf-8") as stream:
        logs = Logs(stream, form="auto", level="info", access=True, colours=False)
        for columns in (72, 160):
            resize(drawing, columns)
            logs.observe(events.SignInNeeded("acme", "word " * 60))
            assert logs.flush()
            *lines, _ = os.read(drawing, 65536).decode().splitlines()
            assert lines
            assert all(columns - len("word ") < len(line.rstrip()) <= columns for line in lines)
        logs.close()
        widths = {0: COLUMNS, 20: LEAST_COLUMNS, 300: 300}
        for columns, used in widths.items():
            resize(drawing, columns)
            assert columns_of(stream) == used
    os.close(drawing)
    assert [columns_of(each) for each in (None, io.StringIO(), stream)] == [COLUMNS] * 3
