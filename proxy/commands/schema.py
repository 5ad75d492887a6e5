"""`schema`: what the configuration may hold, as JSON schema for editors or as Markdown for the documentation."""

from __future__ import annotations

import json

from proxy.commands.terminal import OK, say
from proxy.config import reference


def print_schema(*, tables: bool) -> int:
    """Print one of the two."""
    say(reference.tables() if tables else json.dumps(reference.json_schema(), indent=2))
    return OK
