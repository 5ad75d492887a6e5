"""`schema`: Print the JSON schema of the configuration.

Editors use it to complete and check the file.

Example: ads-proxy schema
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from proxy.commands.terminal import OK, say
from proxy.config import reference


def schema(
    tables: Annotated[bool, typer.Option(help="Print Markdown tables of all keys instead.")] = False,
) -> int:

    say(reference.tables() if tables else json.dumps(reference.json_schema(), indent=2))
    return OK
