"""Exceptions that nobody caught, as events: of the event loop, and of a worker that tells its supervisor. Pure."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from proxy.errors import StartupError
from proxy.events import DefectMet

if TYPE_CHECKING:
    from collections.abc import Mapping


def defect_of(context: Mapping[str, Any]) -> DefectMet:
    """Of what the event loop gives its exception handler."""
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return DefectMet("event loop", f"{context.get('message', '')}\n{trace}")


def failure_of(error: Exception) -> dict[str, str]:
    """What a process that cannot go on tells who began it: the `reason` in one line, and the `trace` of what nobody
    expected, which is empty where the reason says what to do."""
    if isinstance(error, StartupError):
        return {"reason": " ".join(str(error).split()), "trace": ""}
    trace = "".join(traceback.format_exception(error))
    return {"reason": f"{type(error).__name__}, told as a defect", "trace": trace}
