"""An uncaught error becomes an event that says where it came from."""

from __future__ import annotations

from proxy.app.process import defect_of, failure_of
from proxy.errors import ConfigurationError


def test_a_defect_has_its_message_and_its_trace() -> None:
    """The exception ended a callback."""
    try:
        raise ValueError("no such place")
    except ValueError as error:
        event = defect_of({"message": "Exception in callback", "exception": error})
    assert event.where == "event loop"
    assert event.traceback.startswith("Exception in callback\nTraceback")
    assert event.traceback.endswith("ValueError: no such place\n")


def test_a_defect_without_an_exception_has_its_message() -> None:
    """The event loop complains of a transport, for instance."""
    assert defect_of({"message": "socket.send() raised"}).traceback == "socket.send() raised\n"


def test_a_process_tells_what_it_failed_for() -> None:
    """An error with advice is the reason, in one line; for any other error it is the kind, and the trace is reported
    next to it."""
    assert failure_of(ConfigurationError(("a: b", "c: d"))) == {"reason": "a: b c: d", "trace": ""}
    told = failure_of(KeyError("acme"))
    assert told["reason"] == "KeyError, told as a defect"
    assert told["trace"].endswith("KeyError: 'acme'\n")
