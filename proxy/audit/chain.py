"""The audit stream as a chain: each line holds the digest of the one before, so that a change or a cut is seen. Pure.

A line is a JSON object with `event.sequence`, its number from 1, and `ads_proxy.previous`, the SHA-256 of the line
before without its line end. What the chain shows and what it cannot is told in docs/reference/audit.md. Nothing is
written here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOTHING: Final = "0" * 64
"""What the first line of a chain holds instead of a digest."""
TORN: Final = "torn"
"""The key, under `ads_proxy`, of the record that follows a torn line: that line's digest."""
OPENED: Final = "audit-opened"
"""The action of the record that the stream writes at each start: how it found the file."""
LOST: Final = "audit-lost"
"""The action of the record that stands where records are missing: `ads_proxy.lost` is their number."""
UNCLOSED: Final = "unclosed"
"""The key, under `ads_proxy`, of the record of a start after a program that had not closed the stream."""
WORKER_LOST: Final = "worker-lost"
"""The action of the record of a worker process that ended unexpectedly: only up to version 0.2 there were any."""
MAX_BREAKS: Final = 20


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last line of a chain: its number, 0 before the first, and its digest."""

    sequence: int = 0
    digest: str = NOTHING


@dataclass(frozen=True, slots=True)
class ChainLink:
    """What a line says of its place: its number, the digest of the line before, that of a torn line before it or none,
    and its own digest. `gap` is a sentence if the line reports that something is missing before it. `uncertain` means
    that a process ended unexpectedly, so that its last records may be missing."""

    sequence: int
    previous: str
    torn: str
    digest: str
    gap: str = ""
    uncertain: bool = False


def seal(record: Mapping[str, Any], head: ChainHead) -> tuple[bytes, ChainHead]:
    """The line of a record that follows `head`, with its line end, and the new head."""
    sequence = head.sequence + 1
    place = {"sequence": sequence, **record.get("event", {})}
    own = {"previous": head.digest, **record.get("ads_proxy", {})}
    text = json.dumps({**record, "event": place, "ads_proxy": own}, separators=(",", ":")).encode("ascii")
    return text + b"\n", ChainHead(sequence, digest_of(text))


def digest_of(line: bytes) -> str:
    """The digest of a line without its line end."""
    return hashlib.sha256(line).hexdigest()


def read_link(line: bytes) -> ChainLink | None:
    """What a line, without its line end, says of its place; None for one that is no record."""
    try:
        match json.loads(line):
            case {"event": {"sequence": int(sequence), **event}, "ads_proxy": {"previous": str(previous), **rest}}:
                action, torn = event.get("action"), str(rest.get(TORN, ""))
                uncertain = action == WORKER_LOST or (action == OPENED and UNCLOSED in rest)
                return ChainLink(sequence, previous, torn, digest_of(line), _gap(action, rest), uncertain)
    except (ValueError, RecursionError):
        pass
    return None


def _gap(action: object, own: Mapping[Any, Any]) -> str:
    """What a record reports as missing before it; empty for any other record."""
    lost = own.get("lost")
    if action == LOST and isinstance(lost, int):
        return f"reports {lost} lost records before it"
    if action == OPENED and "cut" in own:
        return "reports that the file before it was cut or changed"
    return ""


# --- verifying ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """Something that cannot have been so when it was written: where, and what. Lines count from 1 in their file."""

    file: str
    line: int
    text: str


@dataclass(slots=True)
class Examination:
    """What was found in one file after another: feed them in the order they were written.

    `first` is the number with which the first of them is meant to begin, `wanted` the digests of noted heads.
    """

    first: int = 1
    wanted: frozenset[str] = frozenset()
    records: int = 0
    torn: int = 0
    uncertain: int = 0
    began_at: int = 0
    head: ChainHead = ChainHead()
    breaks: list[ChainBreak] = field(default_factory=list)
    _met: set[str] = field(default_factory=set)
    _unread: bytes | None = None

    def feed(self, file: str, lines: Iterable[bytes]) -> None:
        """Read a file's lines, each with its line end."""
        number = 0
        for number, line in enumerate(lines, 1):
            bare, ended = line.removesuffix(b"\n"), line.endswith(b"\n")
            link = read_link(bare) if ended else None
            if link is None:
                self._no_record(file, number, bare, ended=ended)
            else:
                self._record(file, number, link)
        if self._unread is not None:
            self._break(file, number, "is no record of the audit stream, and the next one does not report it")
            self._unread = None

    def holds(self, digest: str) -> bool:
        """Whether a line of this digest was there, of those that are `wanted`. If a noted head is not, then what was
        written up to it was changed, or cut off."""
        return digest == NOTHING or digest in self._met

    def _no_record(self, file: str, number: int, line: bytes, *, ended: bool) -> None:
        if not ended:
            self._break(file, number, "has no end: it was cut in the middle, or is being written just now")
            return
        if self._unread is not None:
            self._break(file, number - 1, "is no record of the audit stream")
        self._unread = line

    def _record(self, file: str, number: int, link: ChainLink) -> None:
        self._torn_before(file, number, link)
        problem = self._problem_of(link) or link.gap
        if problem:
            self._break(file, number, problem)
        if not self.records:
            self.began_at = link.sequence
        self.records += 1
        self.uncertain += link.uncertain
        if link.digest in self.wanted:
            self._met.add(link.digest)
        self.head = ChainHead(link.sequence, link.digest)

    def _torn_before(self, file: str, number: int, link: ChainLink) -> None:
        """A line that is no record was torn by a crash, if the next record reports it."""
        unread, self._unread = self._unread, None
        if unread is None and link.torn:
            self._break(file, number, "reports a torn line before it, which is missing")
        elif unread is not None and link.torn == digest_of(unread):
            self.torn += 1
        elif unread is not None:
            self._break(file, number - 1, "is no record of the audit stream")

    def _problem_of(self, link: ChainLink) -> str:
        """Why a line does not follow the one before; empty where it does."""
        before = self.head
        if not self.records:
            return self._beginning(link)
        if link.previous == before.digest and link.sequence == before.sequence + 1:
            return ""
        if link.sequence > before.sequence + 1:
            missing = link.sequence - before.sequence - 1
            return f"is number {link.sequence} after {before.sequence}: {missing} before it are missing"
        if link.sequence <= before.sequence:
            return f"is number {link.sequence} after {before.sequence}: the lines were exchanged, or one was put in"
        return f"(number {link.sequence}) does not follow the line before it: one of the two was changed"

    def _beginning(self, link: ChainLink) -> str:
        if link.sequence != self.first:
            return f"is number {link.sequence}, not {self.first}: what came before is missing"
        if link.sequence == 1 and link.previous != NOTHING:
            return "is number 1 and says that something came before it: it was changed"
        return ""

    def _break(self, file: str, line: int, text: str) -> None:
        self.breaks.append(ChainBreak(file, line, text))
