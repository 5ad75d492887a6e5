"""`audit verify`: what it says, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.commands.audit import AuditChain, verify
from proxy.errors import ConfigurationError
from proxy.observability.audit_chain import ChainHead, digest_of, seal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five records, and beside them what the last was."""
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
    assert verify(AuditChain((path,))) == 0
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
        assert verify(AuditChain((path,), head=given)) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            f"ads-proxy: {head} is missing or cannot be read: lines may have been cut off at the end"
        )
    assert verify(AuditChain((path,), head=digest.upper())) == 0
    assert capsys.readouterr().err == ""


def test_no_lines_need_no_head_file(path: Path) -> None:
    """An empty file is whole."""
    path.write_bytes(b"")
    path.with_name("audit.jsonl.head").unlink()
    assert verify(AuditChain((path,))) == 0


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
    assert verify(AuditChain((path,))) == 1
    assert capsys.readouterr().err == f"ads-proxy: {path}, line 6 {problem}\n"


@pytest.mark.parametrize(
    ("action", "own"), [("audit-opened", {"unclosed": True}), ("worker-lost", {"number": 1, "in_flight": 2})]
)
def test_an_unexpected_end_is_reported_and_no_problem(
    path: Path, capsys: pytest.CaptureFixture[str], action: str, own: dict[str, object]
) -> None:
    """A crash changes nothing that was written, but its last records may be missing."""
    append(path, {"event": {"action": action}, "ads_proxy": own})
    assert verify(AuditChain((path,))) == 0
    assert capsys.readouterr().err.startswith("1 times the proxy, or a worker of it, ended unexpectedly")


def test_an_open_stream_is_reported(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its program runs, or was killed and not started again."""
    append(path, {"n": 6}, closed=False)
    assert verify(AuditChain((path,))) == 0
    assert "The stream is open" in capsys.readouterr().err


@pytest.mark.parametrize("with_note", [True, False])
def test_a_cut_at_the_end_is_told(path: Path, capsys: pytest.CaptureFixture[str], with_note: bool) -> None:
    """By what is noted beside the file, or by a digest that somebody noted."""
    digest = noted(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    if not with_note:
        path.with_name("audit.jsonl.head").unlink()
    assert verify(AuditChain((path,), head="" if with_note else digest)) == 1
    line = capsys.readouterr().err.splitlines()[0]
    subject = f"{path}.head is about number 5, and no line is it" if with_note else "--head: no line has this digest"
    assert line == f"ads-proxy: {subject}: lines were cut off, or changed (the last is number 3)"


def test_every_break_is_told_with_its_place(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first twenty, and how many more."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b'"n":1', b'"n":9'), *lines[2:]]))
    assert verify(AuditChain((path,))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ads-proxy: {path}, line 3 (number 3) does not follow the line before it")
    path.write_bytes(b"".join(lines[:1] * 30))
    assert verify(AuditChain((path,))) == 1
    told = capsys.readouterr().err.splitlines()
    assert (len(told), told[20]) == (22, "ads-proxy: and 9 more")


def test_rotated_files_are_read_in_their_order(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was before the first of them must be meant to be missing."""
    lines = path.read_bytes().splitlines(keepends=True)
    old = path.with_name("audit.jsonl.1")
    old.write_bytes(b"".join(lines[:2]))
    path.write_bytes(b"".join(lines[2:]))
    assert verify(AuditChain((old, path))) == 0
    assert verify(AuditChain((path,))) == 1
    assert verify(AuditChain((path,), first=3)) == 0
    assert verify(AuditChain((path, old))) == 1
    assert "is number 3, not 1: what came before is missing" in capsys.readouterr().err


def test_a_torn_line_that_is_told_of_is_no_trouble(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is mentioned."""
    lines = path.read_bytes().splitlines(keepends=True)
    before = json.loads(lines[4])["ads_proxy"]["previous"]
    line, head = seal({"ads_proxy": {"torn": digest_of(b"{")}}, ChainHead(4, before))
    path.write_bytes(b"".join([*lines[:4], b"{\n", line]))
    note(path, head)
    assert verify(AuditChain((path,))) == 0
    assert "1 lines were torn by a crash" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (AuditChain((Path("/nonexistent/audit.jsonl"),)), "/nonexistent/audit.jsonl: cannot be read"),
        (AuditChain((Path("/"),)), "/: cannot be read: it is a directory"),
        (AuditChain((Path("/"),), head="abc"), "--head: must be the 64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_read_is_another_exit_code(asked: AuditChain, problem: str) -> None:
    """It says nothing of the records."""
    with pytest.raises(ConfigurationError) as caught:
        verify(asked)
    assert str(caught.value).startswith(problem)
    assert caught.value.exit_code == 2
