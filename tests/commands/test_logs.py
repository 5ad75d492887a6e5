"""`logs`: which lines are shown, how they look, and a file that grows and is rotated meanwhile."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.logs import (
    LogFilter,
    StatusRange,
    parse_day,
    parse_statuses,
    print_logs,
    read_line,
    show,
)
from proxy.commands.terminal import FAILED, OK
from proxy.observability.logs import Logs
from tests.commands.test_cli import ROOT, run
from tests.observability.test_metrics import finished
from tests.support.patience import PATIENCE

LINE: dict[str, Any] = {
    "timestamp": "2026-01-31T12:00:00.123Z",
    "level": "info",
    "event": "request",
    "request_id": "id-1",
    "client": "reporting",
    "account": "acme",
    "region": "na",
    "method": "GET",
    "path": "/v2/profiles",
    "operation": "ListProfiles",
    "status": 200,
    "duration_ms": 81.4,
    "attempts": 2,
}
EVENT = {"timestamp": "2026-01-31T12:00:01.5Z", "level": "error", "event": "refresh_failed", "account": "acme"}


def line(**changes: Any) -> str:
    return json.dumps({**LINE, **changes}) + "\n"


@pytest.mark.parametrize(
    ("wanted", "values", "passes"),
    [
        (LogFilter(), LINE, True),
        (LogFilter(clients=("reporting", "other")), LINE, True),
        (LogFilter(clients=("other",)), LINE, False),
        (LogFilter(clients=("reporting",)), EVENT, False),
        (LogFilter(accounts=("acme",)), EVENT, True),
        (LogFilter(accounts=("other",)), EVENT, False),
        (LogFilter(statuses=(StatusRange(400, 499), StatusRange(200, 200))), LINE, True),
        (LogFilter(statuses=(StatusRange(201, 299),)), LINE, False),
        (LogFilter(statuses=(StatusRange(100, 599),)), EVENT, False),
        (LogFilter(operations=("Create*", "List*")), LINE, True),
        (LogFilter(operations=("list*",)), LINE, False),
        (LogFilter(operations=("*",)), LINE, True),
        (LogFilter(operations=("*-update_*",)), {**LINE, "mcp_tools": ["?", "a-update_b"]}, True),
        (LogFilter(operations=("*-update_*",)), {**LINE, "mcp_tools": ["a-query_b"]}, False),
        (LogFilter(level="info"), LINE, True),
        (LogFilter(level="warning"), LINE, False),
        (LogFilter(level="error"), EVENT, True),
        (LogFilter(level="error"), {**EVENT, "level": "unheard"}, True),
        (LogFilter(clients=("reporting",), statuses=(StatusRange(404, 404),)), LINE, False),
        (LogFilter(days=("2026-01-30", "2026-01-31")), LINE, True),
        (LogFilter(days=("2026-01-30",)), EVENT, False),
        (LogFilter(days=("2026-01-31",)), {"level": "info"}, False),
    ],
)
def test_a_line_passes_what_is_asked_for(wanted: LogFilter, values: dict[str, Any], passes: bool) -> None:
    """One value of a kind is enough, and all kinds are needed."""
    assert wanted.passes(values) is passes


@pytest.mark.parametrize(
    ("text", "found"),
    [("404", StatusRange(404, 404)), ("5xx", StatusRange(500, 599)), ("401-403", StatusRange(401, 403))],
)
def test_statuses_are_read(text: str, found: StatusRange) -> None:
    """A status, a class, a range."""
    assert parse_statuses(text) == found


@pytest.mark.parametrize("text", ["", "4x", "6xx", "40", "400-", "abc"])
def test_what_is_no_status_is_refused(text: str) -> None:
    """With a sentence."""
    with pytest.raises(ValueError, match="is not a status; write 404, 4xx or 400-499"):
        parse_statuses(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("2025-12-31", "2025-12-31"), ("today", "2026-01-01"), ("yesterday", "2025-12-31")],
)
def test_days_are_read(text: str, found: str) -> None:
    """By their date, or as people say them; also across a year's end."""
    assert parse_day(text, date(2026, 1, 1)) == found


@pytest.mark.parametrize("text", ["", "tomorrow", "31.12.2025", "2025-13-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """With a sentence."""
    with pytest.raises(ValueError, match="is not a day; write 2026-11-24, today or yesterday"):
        parse_day(text, date(2026, 1, 1))


def test_a_moment_is_shown_as_a_time() -> None:
    """JSON lines hold seconds since 1970; people read a date. What is no number stays as it is."""
    event = {**EVENT, "ends_at": 1795870732.405398, "expires_at": 0, "token_expires_at": None, "looked_at": "x"}
    assert show(event).plain.endswith(
        "ends_at=2026-11-28T12:58:52Z expires_at=1970-01-01T00:00:00Z token_expires_at=null looked_at=x"
    )


def test_a_request_is_one_line_with_the_status_in_front() -> None:
    """Status, request, operation, whose it was, how long it took, how often it was sent, its id."""
    assert show(LINE).plain == (
        "2026-01-31 12:00:00.123 200 GET /v2/profiles ListProfiles reporting for acme/na 81.4 ms 2 attempts [id-1]"
    )


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ({"profile": "123"}, "reporting for acme/na profile 123 81.4 ms"),
        ({"ads_account": "amzn1.ads-account.g.x"}, "reporting for acme/na ads account amzn1.ads-account.g.x 81.4 ms"),
    ],
)
def test_a_request_says_which_advertiser_it_was_for(named: dict[str, str], shown: str) -> None:
    """The profile, or the ads account, that was sent: the account alone may reach hundreds."""
    assert shown in show({**LINE, **named}).plain


def test_what_amazon_said_is_shown_where_the_tool_got_something_else() -> None:
    """0 stands for nothing that it said."""
    assert (
        "503 GET /v2/profiles ListProfiles (Amazon said 401)"
        in show({**LINE, "status": 503, "upstream_status": 401}).plain
    )
    for same in (0, None, 200):
        assert "Amazon said" not in show({**LINE, "upstream_status": same}).plain


def test_a_refusal_says_why() -> None:
    """The reason and the sentence."""
    shown = show({**LINE, "status": 403, "refusal": "access-denied", "detail": "Client reporting may not."}).plain
    assert "403 GET" in shown
    assert "refusal=access-denied Client reporting may not." in shown


def test_other_events_show_all_that_they_say() -> None:
    """Unforeseen fields, lists and tracebacks are shown too; nothing moves the cursor."""
    values = {"problems": ["a", "b"], "count": 3, "detail": "x\x1b[2J", "traceback": "one\n  two\x07"}
    shown = show({**EVENT, **values}).plain.splitlines()
    assert shown == [
        "2026-01-31T12:00:01.5Z refresh_failed account=acme problems=a, b count=3 detail=x?[2J",
        "    one",
        "      two?",
    ]


def test_what_the_program_writes_is_read() -> None:
    """A line of the real log, with every field of a request known: nothing is left over to be shown as `key=value`."""
    stream = io.StringIO()
    logs = Logs(stream, form="json", level="info", access=True)
    logs.observe(finished(status=502, refusal="upstream-died", detail="It died.", fault="upstream-died"))
    logs.close()
    values = read_line(stream.getvalue())
    assert values is not None
    shown = show(values).plain
    assert "502 GET /v2/profiles" in shown
    assert [word.partition("=")[0] for word in shown.split() if "=" in word] == ["refusal", "fault"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"a": 1}', "[" * 100_000])
def test_what_is_no_line_of_the_log_is_none(text: str) -> None:
    """Whatever it is."""
    assert read_line(text) is None


def shown(path: Path, capsys: pytest.CaptureFixture[str], wanted: LogFilter | None = None, **options: Any) -> list[str]:
    """The last words of each line that is printed."""
    code = print_logs(path, wanted or LogFilter(), follow=options.pop("follow", False), **{"last": None, **options})
    assert code == OK
    return [text.split()[-1].strip("[]") for text in capsys.readouterr().out.splitlines()]


def test_a_file_is_shown_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A last line without its end, too; with `last` only so many; foreign lines only where nothing is asked for."""
    path = tmp_path / "log"
    path.write_text(line(request_id="a") + "foreign\n" + line(request_id="b") + line(request_id="c").rstrip())
    assert shown(path, capsys) == ["a", "foreign", "b", "c"]
    assert shown(path, capsys, last=2) == ["b", "c"]
    assert shown(path, capsys, LogFilter(clients=("reporting",))) == ["a", "b", "c"]


def test_a_growing_file_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """New lines once they are whole, the end of a rotated file and the new one, and a file that was emptied."""
    path = tmp_path / "log"
    path.write_text("".join(line(request_id=str(number)) for number in range(30)))
    half = line(request_id="later")

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def rotate() -> None:
        append(line(request_id="last-of-old"))
        path.rename(tmp_path / "log.1")
        path.write_text(line(request_id="first-of-new"))

    steps: list[Callable[[], object]] = [
        lambda: append(half[:20]),
        lambda: append(half[20:]),
        rotate,
        lambda: path.rename(tmp_path / "log.2"),
        lambda: path.write_text(line(request_id="again")),
        lambda: path.write_text(""),
        lambda: append(line(request_id="emptied")),
    ]

    def pause(_: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    found = shown(path, capsys, follow=True, pause=pause)
    assert found[:20] == [str(number) for number in range(10, 30)]
    assert found[20:] == ["later", "last-of-old", "first-of-new", "again", "emptied"]


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1."""
    assert print_logs(tmp_path / "none", LogFilter(), follow=False, last=None) == FAILED
    assert capsys.readouterr().err.endswith("No such file or directory\n")


def test_a_pipe_is_read_and_filtered(tmp_path: Path) -> None:
    """Through the real command line; bytes that are no text do no harm."""
    given = (line(request_id="a", status=404) + line(request_id="b")).encode() + b"\xff\n" + json.dumps(EVENT).encode()
    command = [sys.executable, "-m", "proxy", "logs", "--status", "4xx"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, input=given, cwd=tmp_path, env=environ, capture_output=True, timeout=PATIENCE, check=False
    )
    (only,) = ended.stdout.decode().splitlines()
    assert (ended.returncode, only[-3:]) == (0, "[a]")


def test_a_pipe_with_a_name_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell's `<(zcat proxy.log.1.gz)` is a pipe, which has no place to go back to."""
    reading, writing = os.pipe()
    os.write(writing, (json.dumps({**LINE, "detail": "shown"}) + "\n").encode())
    os.close(writing)
    try:
        assert print_logs(Path(f"/dev/fd/{reading}"), LogFilter(), follow=False, last=None) == OK
    finally:
        os.close(reading)
    assert "shown" in capsys.readouterr().out


def test_the_last_lines_of_a_pipe_are_those_that_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter applies first, as for a file."""
    given = "".join(line(request_id=name) for name in "abc").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert print_logs(None, LogFilter(), follow=False, last=2) == OK
    assert [text.split()[-1] for text in capsys.readouterr().out.splitlines()] == ["[b]", "[c]"]


def test_a_reader_that_leaves_is_no_trouble(tmp_path: Path) -> None:
    """`logs FILE | head` ends without a word."""
    (tmp_path / "log").write_text(line() * 5000)
    script = f"{sys.executable} -m proxy logs log | head -n 1; exit ${{PIPESTATUS[0]}}"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environ, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(("--follow",), "needs FILE"), (("--status", "4x"), "is not a status; write 404, 4xx or 400-499")],
)
def test_a_wrong_filter_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    """Exit code 2."""
    result = run(tmp_path, "logs", *arguments)
    assert result.returncode == 2
    assert problem in result.stderr


def test_a_request_without_a_duration_shows_none() -> None:
    """`log.access_fields` may leave it out."""
    shown = show({key: value for key, value in LINE.items() if key != "duration_ms"}).plain
    assert " ms" not in shown
