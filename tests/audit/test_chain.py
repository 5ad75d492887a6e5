"""The chain of the audit stream under attack: what is changed, cut, exchanged or put in is seen, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.audit.chain import LOST, NOTHING, OPENED, ChainHead, Examination, digest_of, read_link, seal


def record(number: int, **own: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"@timestamp": f"t{number}", "event": {"action": "a"}, "user": {"name": "tool"}}
    return {**said, "ads_proxy": own} if own else said


def chain(count: int, head: ChainHead | None = None) -> tuple[list[bytes], ChainHead]:
    head = head or ChainHead()
    lines = []
    for number in range(count):
        line, head = seal(record(number), head)
        lines.append(line)
    return lines, head


LINES, HEAD = chain(6)


def examined(lines: list[bytes], *, first: int = 1, wanted: tuple[str, ...] = ()) -> Examination:
    found = Examination(first, frozenset(wanted))
    found.feed("audit.jsonl", lines)
    return found


def told(found: Examination) -> list[tuple[int, str]]:
    return [(each.line, each.text) for each in found.breaks]


def test_each_line_holds_its_number_and_the_digest_of_the_one_before() -> None:
    """The first has zeros in place of a digest; what else a record says stays as it is."""
    first, second = (json.loads(line) for line in LINES[:2])
    assert (first["event"], first["ads_proxy"]) == ({"sequence": 1, "action": "a"}, {"previous": NOTHING})
    assert second["event"]["sequence"] == 2
    assert second["ads_proxy"]["previous"] == digest_of(LINES[0].rstrip(b"\n"))
    assert second["user"] == {"name": "tool"}
    assert ChainHead(6, digest_of(LINES[-1].rstrip(b"\n"))) == HEAD


def test_a_whole_chain_is_whole() -> None:
    """In one file, or in several that follow each other."""
    found = examined(LINES, wanted=(HEAD.digest,))
    assert (found.records, found.breaks, found.head, found.holds(HEAD.digest)) == (6, [], HEAD, True)
    split = Examination()
    split.feed("audit.jsonl.1", LINES[:4])
    split.feed("audit.jsonl", LINES[4:])
    assert (split.breaks, split.head) == ([], HEAD)


@pytest.mark.parametrize("at", range(5))
def test_a_changed_byte_is_seen_by_the_line_behind_it(at: int) -> None:
    """Any line but the last."""
    lines = [*LINES]
    lines[at] = lines[at].replace(b'"tool"', b'"fool"')
    ((line, text),) = told(examined(lines))
    assert line == at + 2
    assert "one of the two was changed" in text


def test_a_change_of_the_last_line_is_seen_by_the_noted_head_alone() -> None:
    """Nothing follows it that could tell."""
    lines = [*LINES[:-1], LINES[-1].replace(b'"tool"', b'"fool"')]
    found = examined(lines, wanted=(HEAD.digest,))
    assert (found.breaks, found.holds(HEAD.digest)) == ([], False)


@pytest.mark.parametrize("kept", range(6))
def test_a_cut_at_the_end_is_seen_by_the_noted_head_alone(kept: int) -> None:
    """Also where nothing is left."""
    found = examined(LINES[:kept], wanted=(HEAD.digest,))
    assert (found.breaks, found.holds(HEAD.digest)) == ([], False)


def test_two_exchanged_lines_are_seen() -> None:
    """By their numbers."""
    lines = [LINES[0], LINES[2], LINES[1], *LINES[3:]]
    assert [line for line, _ in told(examined(lines))] == [2, 3, 4]
    assert "1 before it are missing" in told(examined(lines))[0][1]
    assert "the lines were exchanged" in told(examined(lines))[1][1]


def test_lines_taken_out_of_the_middle_are_counted() -> None:
    """The line behind the gap is named."""
    assert told(examined([LINES[0], *LINES[4:]])) == [(2, "is number 5 after 1: 3 before it are missing")]


def test_a_line_put_in_is_seen() -> None:
    """Even one that is made to follow: the next one does not follow it."""
    forged, _ = seal(record(9), ChainHead(2, digest_of(LINES[1].rstrip(b"\n"))))
    assert [line for line, _ in told(examined([*LINES[:2], forged, *LINES[2:]]))] == [4]


def test_a_cut_at_the_beginning_is_seen() -> None:
    """Unless the file is said to begin there, as after a rotation."""
    assert told(examined(LINES[2:])) == [(1, "is number 3, not 1: what came before is missing")]
    assert examined(LINES[2:], first=3).breaks == []


def test_a_first_line_that_says_something_came_before_is_seen() -> None:
    """Renumbering the rest of a chain does not make it whole."""
    forged, _ = seal(record(0), ChainHead(0, "ab" * 32))
    ((line, text),) = told(examined([forged]))
    assert (line, "it was changed" in text) == (1, True)


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"[1]", b"{}", b'{"event":{"sequence":"1"}}', b"[" * 100_000])
def test_a_line_that_is_no_record_is_seen(rubbish: bytes) -> None:
    """The records beside it still follow each other."""
    assert told(examined([*LINES[:3], rubbish + b"\n", *LINES[3:]])) == [(4, "is no record of the audit stream")]
    ((line, text),) = told(examined([*LINES, rubbish + b"\n"]))
    assert (line, text.startswith("is no record of the audit stream")) == (7, True)
    assert len(told(examined([*LINES[:3], rubbish + b"\n", rubbish + b"\n", *LINES[3:]]))) == 2


def test_a_torn_line_is_no_break_where_the_next_record_tells_of_it() -> None:
    """A crash cut it; the record behind it holds its digest."""
    torn = LINES[3][:20]
    follows, head = seal(record(3, torn=digest_of(torn)), ChainHead(3, digest_of(LINES[2].rstrip(b"\n"))))
    found = examined([*LINES[:3], torn + b"\n", follows])
    assert (found.breaks, found.torn, found.head) == ([], 1, head)
    assert told(examined([*LINES[:3], torn[:-1] + b"\n", follows])) == [(4, "is no record of the audit stream")]
    ((line, text),) = told(examined([*LINES[:3], follows]))
    assert (line, "which is missing" in text) == (4, True)


def test_a_line_without_an_end_is_seen() -> None:
    """The file was cut in the middle of it."""
    ((line, text),) = told(examined([*LINES[:3], LINES[3][:-1]]))
    assert (line, "cut in the middle" in text) == (4, True)


def test_what_is_not_ascii_survives() -> None:
    """Names are people's, and paths anybody's."""
    line, _ = seal({"user": {"name": "Jürgen\udcff\n"}}, ChainHead())
    assert line.isascii() and line.count(b"\n") == 1
    assert json.loads(line)["user"]["name"] == "Jürgen\udcff\n"
    assert read_link(line.rstrip(b"\n")) is not None


@pytest.mark.parametrize(
    ("action", "more", "said"),
    [
        (LOST, {"lost": 3}, "reports 3 lost records before it"),
        (OPENED, {"cut": True}, "reports that the file before it was cut or changed"),
        (OPENED, {}, ""),
        ("a", {"lost": 3}, ""),
    ],
)
def test_a_record_may_report_what_is_missing_before_it(action: str, more: dict[str, object], said: str) -> None:
    """What was lost, or cut: any other record reports nothing."""
    record = {"event": {"sequence": 1, "action": action}, "ads_proxy": {"previous": NOTHING, **more}}
    link = read_link(json.dumps(record).encode())
    assert link is not None
    assert link.gap == said
