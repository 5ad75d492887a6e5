"""An uncaught error becomes an event that says where it came from."""

from __future__ import annotations

from proxy.app.process import defect_of


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
