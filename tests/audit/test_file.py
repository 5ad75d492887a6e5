"""The file of the audit stream: whose it is, how it was found, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from proxy.audit.chain import ChainHead, digest_of, seal
from proxy.audit.file import MAX_RUNS, AuditFile, SavedHead, head_path, open_at_start, open_for_run, read_head
from proxy.errors import StartupError

FIRST, ONE = seal({"n": 1}, ChainHead())
NO_HEAD = "there is no audit.jsonl.head that can be read: lines may have been cut off at its end"
SECOND, TWO = seal({"n": 2}, ONE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def written(path: Path, content: bytes, noted: ChainHead | None = None) -> AuditFile:
    path.write_bytes(content)
    path.chmod(0o600)
    if noted is not None:
        head_path(path).write_text(f'{{"sequence": {noted.sequence}, "digest": "{noted.digest}"}}')
    return AuditFile(path)


def test_it_is_made_for_its_user_alone_and_appended_to(path: Path) -> None:
    """So is what is noted beside it."""
    file = AuditFile(path)
    assert file.write(FIRST) == len(FIRST)
    path.write_bytes(b"x\n")  # whoever writes to it meanwhile is not written over
    file.write(SECOND)
    file.settle(TWO)
    assert path.read_bytes() == b"x\n" + SECOND
    assert (path.stat().st_mode & 0o777, head_path(path).stat().st_mode & 0o777) == (0o600, 0o600)
    assert read_head(path) == SavedHead(TWO, closed=False)
    assert [each.name for each in path.parent.iterdir() if each.name.endswith(".new")] == []


def test_a_run_has_a_file_that_no_other_program_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself, else the first free one next to it; a bound ends the search, and then the reason is told."""
    monkeypatch.setattr("proxy.audit.file.MAX_RUNS", 2)
    assert MAX_RUNS > 2
    opened = [open_for_run(path) for _ in range(3)]
    assert [place.name for place, _ in opened] == ["audit.jsonl", "audit-run.jsonl", "audit-run-2.jsonl"]
    with pytest.raises(StartupError, match=r"audit\.jsonl cannot be used: another program is writing it"):
        open_for_run(path)
    opened[1][1].close()
    place, file = open_for_run(path)
    assert place.name == "audit-run.jsonl"
    for each in (opened[0][1], opened[2][1], file):
        each.close()


@pytest.mark.parametrize("kind", ["directory", "open to others"])
def test_another_problem_with_the_file_of_a_run_is_told(path: Path, kind: str) -> None:
    """And no other file is taken: only a writer is a reason for that."""
    if kind == "directory":
        path.mkdir()
    else:
        path.touch()
        path.chmod(0o666)
    with pytest.raises(StartupError, match=r"audit\.jsonl cannot be used"):
        open_for_run(path)


@pytest.mark.parametrize(
    ("content", "noted", "head", "torn", "cut"),
    [
        (b"", None, ChainHead(), b"", ""),
        (FIRST + SECOND, None, TWO, b"", NO_HEAD),
        (FIRST + SECOND, TWO, TWO, b"", ""),
        (FIRST + SECOND, ONE, TWO, b"", ""),
        (b"", TWO, TWO, b"", ""),
        (FIRST + SECOND[:9], ONE, ONE, SECOND[:9], ""),
        (SECOND[:9], None, ChainHead(), SECOND[:9], ""),
        (FIRST, TWO, TWO, b"", "it ends with number 1, and 2 was written"),
        (
            FIRST + SECOND.replace(b'"n":2', b'"n":3'),
            TWO,
            TWO,
            b"",
            "its last line, number 2, is another than was written",
        ),
        (FIRST + b"rubbish\n", ONE, ONE, b"rubbish", ""),
        (FIRST + SECOND + b"rubbish\n", ONE, TWO, b"rubbish", ""),
        (FIRST + b"rubbish\n", None, ONE, b"rubbish", NO_HEAD),
        (FIRST + b"a\nb\n", ONE, ONE, b"", "its last lines are no records of the audit stream"),
        (FIRST + b"a\nb", ONE, ONE, b"b", "its last lines are no records of the audit stream"),
        (b"rubbish\n", None, ChainHead(), b"rubbish", ""),
    ],
)
def test_the_chain_goes_on_where_it_stood(
    path: Path, content: bytes, noted: ChainHead | None, head: ChainHead, torn: bytes, cut: str
) -> None:
    """What was cut off or changed meanwhile stays to be seen: the next line follows what was written, not what is."""
    end = written(path, content, noted).end
    assert (end.head, end.torn, end.cut) == (head, torn, cut)


def test_a_file_without_lines_gets_its_head_file_at_once(path: Path) -> None:
    """So that a missing one is always a finding, also after a crash behind the first record."""
    AuditFile(path).close()
    assert read_head(path) == SavedHead(ChainHead(), closed=True)
    assert not AuditFile(path).end.unclosed


@pytest.mark.parametrize(
    ("said", "unclosed"), [({"closed": False}, True), ({"closed": True}, False), ({}, False), ({"closed": 1}, False)]
)
def test_a_stream_that_was_not_closed_is_noticed(path: Path, said: dict[str, object], unclosed: bool) -> None:
    """`FILE.head` says it; one that an older version wrote says nothing."""
    path.write_bytes(FIRST)
    path.chmod(0o600)
    head_path(path).write_text(json.dumps({"sequence": ONE.sequence, "digest": ONE.digest, **said}))
    assert AuditFile(path).end.unclosed is unclosed


def test_a_spoilt_note_is_no_note(path: Path) -> None:
    """The file itself is believed then, and the finding reported."""
    path.write_bytes(FIRST)
    path.chmod(0o600)
    for rubbish in ("", "[", "{}", '{"sequence": "1", "digest": 2}'):
        head_path(path).write_text(rubbish)
        file = AuditFile(path)
        assert (file.end.head, file.end.cut) == (ChainHead(1, digest_of(FIRST.rstrip(b"\n"))), NO_HEAD)
        file.close()


def test_a_rotated_file_is_noticed(path: Path) -> None:
    """It was renamed, or removed."""
    file = AuditFile(path)
    seen = [file.moved]
    path.rename(path.with_suffix(".1"))
    seen.append(file.moved)
    path.touch(0o600)
    seen.append(file.moved)
    assert seen == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("link", "it is a symbolic link; name the file itself"),
        ("hard link", "it has several names (hard links)"),
        ("directory", "it is a directory"),
        ("pipe", "it is no ordinary file"),
        ("open to others", "others may write it; close it with chmod 600"),
        ("no directory", "its directory does not exist"),
        ("another writer", "another program is writing it, perhaps an `ads-proxy run` that began first; end that"),
    ],
)
def test_what_proves_nothing_is_refused_at_the_start(path: Path, kind: str, problem: str) -> None:
    """In one line that says what to do."""
    other = path.parent / "other"
    holder = None
    if kind in ("link", "hard link"):
        other.touch(0o600)
        (path.symlink_to if kind == "link" else path.hardlink_to)(other)
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "open to others":
        path.touch(0o600)
        path.chmod(0o622)
    elif kind == "no directory":
        path = path.parent / "none" / "audit.jsonl"
    else:
        holder = AuditFile(path)
    with pytest.raises(StartupError) as caught:
        open_at_start(path)
    assert str(caught.value).startswith(f"audit.file: {path} cannot be used: {problem}")
    assert holder is None or holder.write(FIRST)


def test_a_disk_that_is_almost_full_leaves_the_head_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a part of the new one and reports nothing: half a head would look as if lines had been cut off."""
    file, write = AuditFile(path), os.write
    before = ChainHead(1, "a" * 64)
    file.settle(before)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OSError, match="No space left"):
        file.settle(ChainHead(2, "b" * 64))
    assert read_head(path) == SavedHead(before, closed=False)
    monkeypatch.undo()
    file.settle(ChainHead(2, "b" * 64))
    assert read_head(path) == SavedHead(ChainHead(2, "b" * 64), closed=False)
    file.close()
