"""The record of a write that is about to leave: what it says, and what follows if it could not be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.audit import stream as audit_stream
from proxy.audit.begun import BegunWrites
from proxy.audit.chain import Examination
from proxy.events import AuditFailed, AuditRecovered
from proxy.http1.request_fields import NO_FIELDS
from tests.audit.test_disks import FullDisk
from tests.audit.test_stream import ReportedLines, stream_to

SECRET = "secret-in-a-path"


def clean(text: str) -> str:
    return text.replace(SECRET, "***")


def context(request_id: str = "id-1", **changes: Any) -> Any:
    """The part of a `RequestContext` that a record is made of."""
    facts = {"account": "acme", "region": "na", "profile": b"3511", "ads_account": b"", "operation": None, **changes}
    asked = SimpleNamespace(method=b"PUT", fields=NO_FIELDS)
    identity = SimpleNamespace(subject="system:pod")
    decision = SimpleNamespace(client="agent", identity=identity, asked=asked, route=SimpleNamespace(**facts))
    path = f'/sp/campaigns/{SECRET}/"\xe9'
    return SimpleNamespace(decision=decision, effect="write", path=path, request_id=request_id)


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file whose chain is whole."""
    found, lines = Examination(), path.read_bytes().splitlines(keepends=True)
    found.feed(path.name, lines)
    assert found.breaks == []
    return [json.loads(line) for line in lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def moments(*seconds: float) -> Callable[[], float]:
    left = list(seconds)
    return lambda: left.pop(0)


def test_a_record_says_who_sends_what_and_no_secret(path: Path) -> None:
    """It is a record like all others, with the time of its own write."""
    stream = stream_to(path)
    begun = BegunWrites(stream, clean, moments(1764090000.5, 1764090000.75, 1764090001.125))
    for number in range(3):
        assert begun.begin(context(f"id-{number}"))
    stream.close()
    _, first, second, third = records(path)
    assert [each["@timestamp"] for each in (first, second, third)] == [
        "2025-11-25T17:00:00.500Z",
        "2025-11-25T17:00:00.750Z",
        "2025-11-25T17:00:01.125Z",
    ]
    assert first["event"] == {
        "sequence": 2,
        "kind": "event",
        "dataset": "ads_proxy.audit",
        "action": "amazon-write-begun",
        "category": ["api"],
        "type": ["start"],
        "outcome": "unknown",
    }
    assert first["user"] == {"name": "agent", "id": "system:pod"}
    assert first["http"] == {"request": {"id": "id-0", "method": "PUT"}}
    assert first["url"] == {"path": '/sp/campaigns/***/"\xe9'}
    own = {key: value for key, value in first["ads_proxy"].items() if key != "previous"}
    assert own == {
        "account": "acme",
        "region": "na",
        "profile": "3511",
        "operation": "unknown",
        "operation_class": "write",
    }
    assert second["http"]["request"]["id"] == "id-1"


def test_a_write_whose_record_came_too_late_is_said_not_to_be_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The full disk takes the line in the end, and then what became of the write."""
    monkeypatch.setattr(audit_stream, "RETRY_SECONDS", 0.001)
    disk, heard = FullDisk(path), ReportedLines()
    disk.room = 1 << 20
    stream = stream_to(path, heard, file=disk)
    begun = BegunWrites(stream, clean, lambda: 1764090000.0)
    assert begun.begin(context("first"))
    disk.room = 9
    assert not begun.begin(context("second"))
    heard.wait_for(AuditFailed)
    disk.room = 1 << 20
    heard.wait_for(AuditRecovered)
    stream.close()
    told = [(each["event"]["action"], each["http"]["request"]["id"]) for each in records(path)[1:]]
    assert told == [
        ("amazon-write-begun", "first"),
        ("amazon-write-begun", "second"),
        ("amazon-write-not-sent", "second"),
    ]
