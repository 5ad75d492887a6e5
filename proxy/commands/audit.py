"""`audit`: The audit stream: who changed what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.errors import ConfigurationError
from proxy.observability.audit_chain import MAX_BREAKS, Examination
from proxy.observability.audit_file import MAX_LINE_BYTES, SavedHead, head_path, read_head, reason

if TYPE_CHECKING:
    from collections.abc import Iterator


app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _audit() -> None:
    """Makes `verify` a command of its own."""


@app.command("verify")
def verify_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files, in the order they were written.")],
    head: Annotated[
        str, typer.Option(metavar="DIGEST", help="A digest noted elsewhere, which must be among the lines.")
    ] = "",
    first: Annotated[
        int, typer.Option("--first", min=1, metavar="NUMBER", help="What the first file is meant to begin with.")
    ] = 1,
) -> int:
    """Tell whether the files of the audit stream are as they were written: changed, cut or exchanged lines are named.

    Exit code 1 if they are not, or if the stream reports lost records. FILE.head next to the last file shows a cut at
    the very end; if it is missing, that is a problem too, unless --head gives the digest of the last line.
    """
    return verify(AuditChain(tuple(files), first, head))


@dataclass(frozen=True, slots=True)
class AuditChain:
    """The files in the order they were written, the number that the first begins with, and a digest that was noted."""

    files: tuple[Path, ...]
    first: int = 1
    head: str = ""


def verify(asked: AuditChain) -> int:
    """Say what is wrong, and where; 0 where nothing is, else 1."""
    wanted = asked.head.strip().lower()
    if wanted and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigurationError(("--head: must be the 64 hexadecimal digits of a line's SHA-256",))
    last = asked.files[-1]
    beside = read_head(last)
    noted = {digest for digest in (wanted, beside.line.digest if beside is not None else "") if digest}
    found = Examination(asked.first, frozenset(noted))
    for file in asked.files:
        try:
            found.feed(str(file), _lines(file))
        except OSError as error:
            raise ConfigurationError((f"{file}: cannot be read: {reason(error)}",)) from None
    problems = [*_told(found), *_missing(found, wanted, beside, last)]
    if problems:
        complain("\n".join(problems))
        return FAILED
    say(f"{found.records} records, {_span(found)}, nothing changed between them; the last has the digest")
    say(found.head.digest)
    if found.torn:
        tell(f"{found.torn} lines were torn by a crash while they were written; the records behind them say so.")
    if found.uncertain:
        tell(
            f"{found.uncertain} times the proxy, or a worker of it, ended unexpectedly (audit-opened with unclosed, "
            "worker-lost): records of its last moments may be missing."
        )
    if beside is not None and not beside.closed:
        tell("The stream is open: the proxy is running, or it ended without closing it.")
    return OK


def _told(found: Examination) -> Iterator[str]:
    """What is wrong within the files."""
    for each in found.breaks[:MAX_BREAKS]:
        yield f"{each.file}, line {each.line} {each.text}"
    if len(found.breaks) > MAX_BREAKS:
        yield f"and {len(found.breaks) - MAX_BREAKS} more"


def _missing(found: Examination, wanted: str, beside: SavedHead | None, last: Path) -> Iterator[str]:
    """Which noted digests no line has: what was written up to them was changed, or cut off. Without `FILE.head`, only
    the digest of the last line, noted elsewhere, shows that nothing followed it."""
    at = f"the last is number {found.head.sequence}" if found.records else "there is none"
    if wanted and not found.holds(wanted):
        yield f"--head: no line has this digest: lines were cut off, or changed ({at})"
    if beside is None and found.records and wanted != found.head.digest:
        yield (
            f"{head_path(last)} is missing or cannot be read: lines may have been cut off at the end ({at}); "
            "restore it, or give the digest of the last line, noted elsewhere, with --head"
        )
    if beside is not None and not found.holds(beside.line.digest):
        told = f"{head_path(last)} is about number {beside.line.sequence}"
        yield f"{told}, and no line is it: lines were cut off, or changed ({at})"


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while line := opened.readline(MAX_LINE_BYTES):
            yield line


def _span(found: Examination) -> str:
    return f"numbers {found.began_at} to {found.head.sequence}" if found.records else "none"
