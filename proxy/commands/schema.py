"""`schema`: Print the configuration's JSON schema, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from proxy.commands.terminal import OK, say
from proxy.config import reference


def schema(
    tables: Annotated[bool, typer.Option(help="Print the options as Markdown tables instead.")] = False,
) -> int:

    say(reference.tables() if tables else json.dumps(reference.json_schema(), indent=2))
    return OK
