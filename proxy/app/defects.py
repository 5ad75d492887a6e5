"""What the event loop says of an exception that nobody caught, as an event. Pure."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from proxy.events import DefectMet

if TYPE_CHECKING:
    from collections.abc import Mapping


def defect_of(context: Mapping[str, Any]) -> DefectMet:
    """Of what the event loop gives its exception handler."""
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return DefectMet("event loop", f"{context.get('message', '')}\n{trace}")
