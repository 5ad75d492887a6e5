"""`audit verify` and `audit show`: what they say, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from proxy.audit.chain import ChainHead, digest_of, seal
from proxy.commands.audit import ChangeFilter, show, show_files, verify
from proxy.errors import ConfigurationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An audit file with five records, and its head file."""
    head, content = ChainHead(), b""
    for number in range(5):
        line, head = seal({"n": number}, head)
        content += line
    (tmp_path / "audit.jsonl").write_bytes(content)
    note(tmp_path / "audit.jsonl", head)
    return tmp_path / "audit.jsonl"


def note(path: Path, head: ChainHead) -> None:
    path.with_name("audit.jsonl.head").write_text(json.dumps({"sequence": head.sequence, "digest": head.digest}))


def noted(path: Path) -> str:
    return str(json.loads(path.with_name("audit.jsonl.head").read_text())["digest"])


def test_a_whole_file_is_whole(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line's digest is printed, to be noted elsewhere."""
    assert verify((path,)) == 0
    told = capsys.readouterr()
    assert (
        told.out == f"5 records, numbers 1 to 5, nothing changed between them; the last has the digest\n{noted(path)}\n"
    )
    assert told.err == ""


@pytest.mark.parametrize("spoilt", ["missing", "broken"])
def test_a_missing_head_file_is_a_problem(path: Path, capsys: pytest.CaptureFixture[str], spoilt: str) -> None:
    """Without it a cut at the very end shows nowhere, unless the digest of the last line was noted elsewhere."""
    digest, head = noted(path), path.with_name("audit.jsonl.head")
    head.unlink() if spoilt == "missing" else head.write_text("{")
    first = digest_of(path.read_bytes().splitlines()[0])
    for given in ("", first):
        assert verify((path,), head=given) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            f"ads-proxy: {head} is missing or cannot be read: lines may have been cut off at the end"
        )
    assert verify((path,), head=digest.upper()) == 0
    assert capsys.readouterr().err == ""


def test_no_lines_need_no_head_file(path: Path) -> None:
    """An empty file is whole."""
    path.write_bytes(b"")
    path.with_name("audit.jsonl.head").unlink()
    assert verify((path,)) == 0


def append(path: Path, record: dict[str, object], *, closed: bool = True) -> None:
    """One more record, noted as the last."""
    line, head = seal(record, ChainHead(5, noted(path)))
    path.write_bytes(path.read_bytes() + line)
    said = {"sequence": head.sequence, "digest": head.digest, "closed": closed}
    path.with_name("audit.jsonl.head").write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("action", "own", "problem"),
    [
        ("audit-lost", {"lost": 7}, "reports 7 lost records before it"),
        ("audit-opened", {"cut": "x"}, "reports that the file before it was cut or changed"),
    ],
)
def test_a_gap_that_the_stream_reports_is_a_problem(
    path: Path, capsys: pytest.CaptureFixture[str], action: str, own: dict[str, object], problem: str
) -> None:
    """The chain is whole, and the record of what happened is not."""
    append(path, {"event": {"action": action}, "ads_proxy": own})
    assert verify((path,)) == 1
    assert capsys.readouterr().err == f"ads-proxy: {path}, line 6 {problem}\n"


@pytest.mark.parametrize(
    ("action", "own"), [("audit-opened", {"unclosed": True}), ("worker-lost", {"number": 1, "in_flight": 2})]
)
def test_an_unexpected_end_is_reported_and_no_problem(
    path: Path, capsys: pytest.CaptureFixture[str], action: str, own: dict[str, object]
) -> None:
    """A crash changes nothing that was written, but its last records may be missing."""
    append(path, {"event": {"action": action}, "ads_proxy": own})
    assert verify((path,)) == 0
    assert capsys.readouterr().err.startswith("1 times the proxy ended unexpectedly")


def test_an_open_stream_is_reported(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stream's program runs, or was killed and not started again."""
    append(path, {"n": 6}, closed=False)
    assert verify((path,)) == 0
    assert "The stream is open" in capsys.readouterr().err


@pytest.mark.parametrize("with_note", [True, False])
def test_a_cut_at_the_end_is_told(path: Path, capsys: pytest.CaptureFixture[str], with_note: bool) -> None:
    """The head file shows it, or a digest that an operator noted."""
    digest = noted(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    if not with_note:
        path.with_name("audit.jsonl.head").unlink()
    assert verify((path,), head="" if with_note else digest) == 1
    line = capsys.readouterr().err.splitlines()[0]
    subject = f"{path}.head is about number 5, and no line is it" if with_note else "--head: no line has this digest"
    assert line == f"ads-proxy: {subject}: lines were cut off, or changed (the last is number 3)"


def test_every_break_is_told_with_its_place(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first twenty, and how many more."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b'"n":1', b'"n":9'), *lines[2:]]))
    assert verify((path,)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ads-proxy: {path}, line 3 (number 3) does not follow the line before it")
    path.write_bytes(b"".join(lines[:1] * 30))
    assert verify((path,)) == 1
    told = capsys.readouterr().err.splitlines()
    assert (len(told), told[20]) == (22, "ads-proxy: and 9 more")


def test_rotated_files_are_read_in_their_order(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was before the first of them must be meant to be missing."""
    lines = path.read_bytes().splitlines(keepends=True)
    old = path.with_name("audit.jsonl.1")
    old.write_bytes(b"".join(lines[:2]))
    path.write_bytes(b"".join(lines[2:]))
    assert verify((old, path)) == 0
    assert verify((path,)) == 1
    assert verify((path,), first=3) == 0
    assert verify((path, old)) == 1
    assert "is number 3, not 1: what came before is missing" in capsys.readouterr().err


def test_a_torn_line_that_is_told_of_is_no_trouble(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report mentions the line."""
    lines = path.read_bytes().splitlines(keepends=True)
    before = json.loads(lines[4])["ads_proxy"]["previous"]
    line, head = seal({"ads_proxy": {"torn": digest_of(b"{")}}, ChainHead(4, before))
    path.write_bytes(b"".join([*lines[:4], b"{\n", line]))
    note(path, head)
    assert verify((path,)) == 0
    assert "1 lines were torn by a crash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "head", "problem"),
    [
        (
            "/nonexistent/audit.jsonl",
            "",
            "/nonexistent/audit.jsonl: cannot be read: it does not exist; correct its name",
        ),
        ("/", "", "/: cannot be read: it is a directory"),
        ("/", "abc", "--head: must be the 64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_read_is_another_exit_code(file: str, head: str, problem: str) -> None:
    """It says nothing of the records."""
    with pytest.raises(ConfigurationError) as caught:
        verify((Path(file),), head=head)
    assert str(caught.value).startswith(problem)
    assert caught.value.exit_code == 2


# --- show


def write(day: str, client: str = "agent", *, outcome: str = "success", **own: Any) -> dict[str, Any]:
    """The record of a write, as the stream has it."""
    named = {"account": "acme", "profile": "3511", "operation": "UpdateSponsoredProductsCampaigns", **own}
    return {
        "@timestamp": f"2026-11-{day}T17:20:01.311Z",
        "event": {"action": "amazon-write", "outcome": outcome},
        "user": {"name": client},
        "ads_proxy": named,
    }


PAUSED = [{"object": "campaign/1", "member": "state", "value": "PAUSED"}]
RECORDS = [
    {"@timestamp": "2026-11-23T00:00:00Z", "event": {"action": "server-started"}, "ads_proxy": {}},
    write("23", objects=["campaign/1", "campaign/2"], members=["state"], values=PAUSED),
    write(
        *("24", "robot"),
        outcome="partial",
        objects=["campaign/12"],
        further_objects=7,
        members=["bid", "state"],
        items={"succeeded": 1, "failed": 2},
    ),
    write(
        "24", mcp_tools=["a-update_b", "?"], operation="unknown", profile="", ads_account="amzn1.x", unread=["request"]
    ),
]


def written(path: Path, records: list[dict[str, Any]] = RECORDS) -> Path:
    head, content = ChainHead(), b""
    for record in records:
        line, head = seal(record, head)
        content += line
    path.write_bytes(content)
    note(path, head)
    return path


def shown(capsys: pytest.CaptureFixture[str], path: Path, wanted: ChangeFilter, code: int = 0) -> list[list[str]]:
    """The table's rows, without its headings."""
    assert show((path,), wanted) == code
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]


def test_writes_are_shown_with_what_they_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row each: when, who, for whom, what, and what became of it; records about the program are left out."""
    path = written(tmp_path / "audit.jsonl")
    rows = shown(capsys, path, ChangeFilter())
    assert [" ".join(row) for row in rows] == [
        "2026-11-23 17:20:01 agent acme 3511 UpdateSponsoredProductsCampaigns success campaign/1 campaign/2 "
        "state=PAUSED",
        "2026-11-24 17:20:01 robot acme 3511 UpdateSponsoredProductsCampaigns partial (1 of 3) campaign/12 and 7 more "
        "bid state",
        "2026-11-24 17:20:01 agent acme amzn1.x a-update_b ? success (request not read) -",
    ]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (ChangeFilter(day="2026-11-24"), 2),
        (ChangeFilter(client="agent"), 2),
        (ChangeFilter(client="agent", day="2026-11-24"), 1),
        (ChangeFilter(object="campaign/1"), 1),
        (ChangeFilter(member="state"), 2),
        (ChangeFilter(member="state", object="campaign/12"), 1),
        (ChangeFilter(day="2026-11-25"), 0),
    ],
)
def test_writes_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: ChangeFilter, rows: int) -> None:
    """By day, client, object and member; of an id, all of it has to agree."""
    path = written(tmp_path / "audit.jsonl")
    assert len(shown(capsys, path, wanted)) == rows


OVER = {"rule": "budget", "path": "campaigns[0].budget", "value": "500", "currency": "USD", "limit": "200"}
JUDGED = [
    write("24", operation="a", spend={"mode": "enforce", "verdict": "within", "violations": []}),
    write(
        *("24", "agent"),
        operation="b",
        spend={"mode": "observe", "verdict": "over", "violations": [OVER, OVER], "further_violations": 3},
    ),
    {
        **write("24", outcome="failure", operation="c", spend={"verdict": "unreadable", "unread": ["No currency."]}),
        "event": {"action": "write-held-back", "outcome": "failure"},
    },
    {**write("24", operation="d", spend={"verdict": "frozen"}), "event": {"action": "write-held-back"}},
]


def test_writes_that_are_not_within_their_limits_are_shown_with_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Writes that were held back are shown, too; with `over` these alone."""
    path = written(tmp_path / "audit.jsonl", [*RECORDS, *JUDGED])
    rows = [" ".join(row[2:]) for row in shown(capsys, path, ChangeFilter(over=True))]
    words = "budget 500 USD, limit 200 (campaigns[0].budget);"
    assert rows == [
        f"agent acme 3511 b success, over - {words} {words} and 3 more",
        "agent acme 3511 c held back, unreadable - No currency.",
        "agent acme 3511 d held back, frozen - -",
    ]
    everything = [" ".join(row) for row in shown(capsys, path, ChangeFilter())]
    assert len(everything) == 7
    assert everything[3].endswith("a success - -")


def other(action: str, client: str = "", *, outcome: str = "success", **members: Any) -> dict[str, Any]:
    """A record that is no write's."""
    event = {"action": action, "outcome": outcome, **({"reason": "denied"} if outcome == "failure" else {})}
    user = {"user": {"name": client}} if client else {}
    return {"@timestamp": "2026-11-24T08:00:00.000Z", "event": event, **user, **members}


def test_other_changes_are_shown_among_the_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sign-ins, invitations, keys and reloads, each with all that its record says; starts and stops are no changes."""
    records = [
        other("audit-opened"),
        other("client-keys-in-force", ads_proxy={"keys": ["agent 1f"]}),
        other("sign-in", outcome="failure", ads_proxy={"account": "acme"}),
        other("invitation-made", "admin", ads_proxy={"account": "acme", "invitation": "7a", "ends_at": "2027-01-31"}),
        other("client-key-added", "agent", ads_proxy={"key": "0f8c", "note": "pod"}),
        other("configuration-reloaded", ads_proxy={"changed": ["clients", "log"]}),
        other("admin-login", "admin", outcome="failure", source={"ip": "10.0.0.7"}),
        write("24"),
    ]
    path = written(tmp_path / "audit.jsonl", records)
    assert [" ".join(row[2:]) for row in shown(capsys, path, ChangeFilter())] == [
        "- acme - sign-in failure reason=denied -",
        "admin acme - invitation-made success invitation=7a ends_at=2027-01-31 -",
        "agent - - client-key-added success key=0f8c note=pod -",
        "- - - configuration-reloaded success changed=clients,log -",
        "admin - - admin-login failure reason=denied address=10.0.0.7 -",
        "agent acme 3511 UpdateSponsoredProductsCampaigns success - -",
    ]
    assert len(shown(capsys, path, ChangeFilter(client="agent"))) == 2
    assert shown(capsys, path, ChangeFilter(member="key")) == []


def answered(method: str, path: str, status: int, **own: Any) -> dict[str, Any]:
    """The record of a request of an unknown operation that Amazon answered with this status."""
    http = {"request": {"method": method}, "response": {"status_code": status}}
    outcome = "failure" if status >= 400 else "success"
    return {**write("24", operation="unknown", outcome=outcome, **own), "http": http, "url": {"path": path}}


def test_a_refused_write_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its status, and its own name where Amazon has none for it. A read that Amazon refused is no change."""
    probes = [answered("GET", path, 404) for path in ("/", "/livez", "/readyz", "/nope", "/v2/profiless")]
    records = [
        *probes,
        answered("HEAD", "/", 403),
        answered("PUT", "/nope\x1b", 404, objects=[]),
        answered("DELETE", "/nope", 500),
        answered("GET", "/nope", 200),
        {**answered("PUT", "", 400), "http": {"response": 404}, "url": []},
    ]
    rows = shown(capsys, written(tmp_path / "audit.jsonl", records), ChangeFilter())
    assert [" ".join(row[5:]) for row in rows] == [
        "PUT /nope? refused (404) - -",
        "DELETE /nope failure - -",
        "GET /nope success - -",
        "unknown failure - -",
    ]


def test_a_key_that_is_set_is_not_advised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration that names the file says that objects are recorded by now."""
    path = written(tmp_path / "audit.jsonl", [write("24")])
    monkeypatch.setenv("ADS_PROXY_AUDIT__FILE", str(path))
    for objects, advised in (("true", False), ("false", True)):
        monkeypatch.setenv("ADS_PROXY_AUDIT__OBJECTS", objects)
        assert show_files() == 0
        said = capsys.readouterr().err
        assert said.startswith("1 writes have no objects and members (-): they name none, or `audit.objects` was off.")
        assert ("set `audit.objects: true`" in said) == advised


@pytest.mark.parametrize(
    ("record", "member", "told"),
    [
        (write("24"), "", "1 writes have no objects and members (-): they name none, or `audit.objects` was off. To"),
        (write("24", objects=[]), "", ""),
        (write("24", objects=["ad/1"], members=["bid", "name"]), "", "No values are recorded of bid, name. To record"),
        (write("24", members=["name", "state"], values=PAUSED), "", ""),
        (write("24", members=["name", "state"], values=PAUSED), "name", "No values are recorded of name. To record"),
        (write("24", unread=["request"]), "", ""),
        (other("sign-in"), "", ""),
    ],
)
def test_the_missing_key_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: dict[str, Any], member: str, told: str
) -> None:
    """Where a column is empty because it was not recorded; not where the key is on and the write had nothing."""
    assert show((written(tmp_path / "audit.jsonl", [record]),), ChangeFilter(member=member)) == 0
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == bool(told)
    assert ("`audit.objects: true`" in said, "`audit.values`" in said) == ("writes" in told, "values" in told)


@pytest.mark.parametrize(("columns", "is_table"), [("119", False), ("120", True)])
def test_a_narrow_terminal_gets_paragraphs(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    is_table: bool,
) -> None:
    """Below 120 columns a record is a paragraph, without what it does not have; from there on a row."""
    path = written(tmp_path / "audit.jsonl", [RECORDS[1], other("sign-in")])
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert show((path,), ChangeFilter()) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert ("    objects: campaign/1 campaign/2" in lines) != is_table
    assert is_table or lines == [
        "2026-11-23 17:20:01  agent  UpdateSponsoredProductsCampaigns  success",
        "    account: acme",
        "    for: 3511",
        "    objects: campaign/1 campaign/2",
        "    members: state=PAUSED",
        "2026-11-24 08:00:00  -  sign-in  success",
    ]


def test_what_is_not_recorded_may_be_among_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report says for how many writes this is so."""
    path = written(tmp_path / "audit.jsonl")
    assert show((path,), ChangeFilter(object="campaign/1")) == 0
    assert "2 further writes may be among them" in capsys.readouterr().err
    assert show((path,), ChangeFilter(object="campaign/1", client="nobody")) == 0
    assert capsys.readouterr().err == "No change was found.\n"


@pytest.mark.parametrize(("wanted", "incomplete"), [({"member": "state"}, 1), ({"object": "campaign/1"}, 0)])
def test_members_that_are_not_recorded_may_be_among_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: dict[str, Any], incomplete: int
) -> None:
    """Where a member is asked for; their number is shown."""
    path = written(tmp_path / "audit.jsonl", [write("24", members=["bid"], further_members=12, objects=["ad/1"])])
    assert show((path,), ChangeFilter()) == 0
    assert "bid and 12 more" in capsys.readouterr().out
    assert show((path,), ChangeFilter(**wanted)) == 0
    assert ("1 further writes may be among them" in capsys.readouterr().err) is bool(incomplete)


@pytest.mark.parametrize("wanted", [ChangeFilter(member="state"), ChangeFilter(object="campaign/1")])
def test_writes_without_objects_and_members_may_be_among_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: ChangeFilter
) -> None:
    """Records without `audit.objects` are counted; a sign-in sets no member of an object."""
    sign_in = {"@timestamp": "2026-11-24T00:00:00Z", "event": {"action": "sign-in"}, "ads_proxy": {"account": "acme"}}
    records = [sign_in, write("24"), write("24", objects=["ad/1"]), write("24", members=["bid"])]
    path = written(tmp_path / "audit.jsonl", records)
    assert show((path,), wanted) == 0
    assert "1 further writes may be among them" in capsys.readouterr().err


def test_a_changed_file_is_shown_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The changed content is shown; the exit code and a line say that it is not what was written."""
    path = written(tmp_path / "audit.jsonl")
    path.write_bytes(path.read_bytes().replace(b"robot", b"agent"))
    assert show((path,), ChangeFilter(day="2026-11-24")) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert "does not follow the line before it" in told.err
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert show((path,), ChangeFilter()) == 1
    assert "lines were cut off, or changed" in capsys.readouterr().err


def test_a_file_that_follows_another_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What came before is in a file that was rotated away."""
    path = written(tmp_path / "audit.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[2:]))
    assert len(shown(capsys, path, ChangeFilter())) == 2


def test_odd_records_are_shown_as_far_as_they_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a file holds, nothing moves the cursor of a terminal."""
    odd = {"event": {"action": "amazon-write"}, "user": "x", "ads_proxy": {"objects": "x", "operation": "a\x1b[2Jb"}}
    cut = {"event": {"action": "amazon-write"}, "ads_proxy": {"members": ["x"], "values": [{"member": "x"}]}}
    path = written(tmp_path / "audit.jsonl", [odd, cut])
    path.write_bytes(path.read_bytes() + b"7\n[\n")
    assert show((path,), ChangeFilter()) == 1
    told = capsys.readouterr()
    assert "\x1b" not in told.out
    assert "is no record of the audit stream" in told.err


def test_the_file_of_the_configuration_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Relative to the configuration's folder, even where the rest of it is broken; or that there is none."""
    written(tmp_path / "audit.jsonl")
    config = tmp_path / "proxy.yaml"
    config.write_text("audit: {file: audit.jsonl}\nnonsense: 7\n")
    assert show_files(None, day="2026-11-23", config=config) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    config.write_text("audit: {stdout: true}\n")
    with pytest.raises(ConfigurationError, match=r"audit.file: is not set"):
        show_files(None, config=config)
    config.write_text("audit: {file: 7}\n")
    with pytest.raises(ConfigurationError, match=r"audit.file: is not set"):
        show_files(None, config=config)
    with pytest.raises(ConfigurationError, match=r"--config: the file .*none.yaml does not exist"):
        show_files(None, config=Path("/nonexistent/none.yaml"))
    with pytest.raises(ConfigurationError, match=r"none.jsonl: cannot be read: it does not exist"):
        show_files([tmp_path / "none.jsonl"])


@pytest.mark.parametrize(("name", "value"), [("day", "tomorrow"), ("object_", "campaign"), ("object_", "campaign/1 2")])
def test_a_wrong_choice_is_refused(name: str, value: str) -> None:
    """With what is right."""
    chosen: dict[str, Any] = {name: value}
    with pytest.raises(typer.BadParameter, match=r"2026-11-24|campaign/123"):
        show_files([Path("audit.jsonl")], **chosen)
