"""The command line of the audit stream: names, options and help of `audit verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

audit_app = typer.Typer(no_args_is_help=True, help="The audit stream: who changed what.")


@audit_app.callback()
def _audit() -> None:
    """Commands about the audit stream."""


@audit_app.command("verify")
def audit_verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files, in the order they were written.")],
    head: Annotated[
        str, typer.Option(metavar="DIGEST", help="A digest noted elsewhere, which must be among the lines.")
    ] = "",
    first: Annotated[
        int, typer.Option("--first", min=1, metavar="NUMBER", help="What the first file is meant to begin with.")
    ] = 1,
) -> None:
    """Tell whether the files of the audit stream are as they were written: changed, cut or exchanged lines are named.

    Exit code 1 if they are not, or if the stream reports lost records. FILE.head next to the last file shows a cut at
    the very end; if it is missing, that is a problem too, unless --head gives the digest of the last line.
    """
    from proxy.commands.audit import AskedChain, verify

    raise typer.Exit(verify(AskedChain(tuple(files), first, head)))
