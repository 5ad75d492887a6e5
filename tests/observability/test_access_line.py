"""The prepared lines of requests: with all members, and with some left out."""

from __future__ import annotations

import json

import pytest

from proxy.events import RequestKind
from proxy.observability.access_line import ACCESS_FIELDS, AccessLine, AccessLines, ShorterLine, Timestamps
from proxy.observability.request_record import RequestRecord
from proxy.redaction import Redaction
from proxy.secret import Secret

KIND = RequestKind("reader", "acme", "na", "123", "", "GET", "50%s", "read")
NOW = Timestamps().at(1_700_000_000.25)


def over(*times: float) -> RequestRecord[None]:
    """A request that is over."""
    duration, upstream, overhead = times or (1.2345678, 1.2344, 0.0001678)
    return (None, 'a"b', "rid", "/sd/campaigns", "curl/8", 0, 1024, duration, upstream, overhead, 1, None, None)


def line_with(*left_out: str) -> AccessLine:
    fields = frozenset(ACCESS_FIELDS) - frozenset(left_out)
    return AccessLines(Redaction(), fields).line(KIND, 200, 200, "info")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, 0.0), (0.0000004, 0.0), (0.0000006, 0.001), (0.000999, 0.999), (0.0999999, 100.0), (75.0000014, 75000.001)],
)
def test_times_are_milliseconds_with_three_places(seconds: float, shown: float) -> None:
    """From the microsecond on, however long."""
    said = json.loads(line_with().render(over(seconds, seconds, seconds), NOW))
    assert (said["duration_ms"], said["upstream_ms"], said["overhead_ms"]) == (shown, shown, shown)


def test_a_line_without_some_members_says_the_same_of_the_others() -> None:
    """In the same order and the same way."""
    whole, shorter = line_with(), line_with("bytes_in", "overhead_ms")
    assert (type(whole), type(shorter)) == (AccessLine, ShorterLine)
    said = whole.render(over(), NOW, ',"fault":"x"')
    for member in (',"bytes_in":0', ',"overhead_ms":0.168'):
        assert member in said
        said = said.replace(member, "")
    assert shorter.render(over(), NOW, ',"fault":"x"') == said


def test_a_line_begins_with_its_moment() -> None:
    """To the millisecond, in UTC."""
    assert json.loads(line_with().render(over(), NOW))["timestamp"] == "2023-11-14T22:13:20.250Z"


def lines(*secrets: str) -> AccessLines:
    redaction = Redaction()
    redaction.know(map(Secret, secrets))
    return AccessLines(redaction)


@pytest.mark.parametrize(
    "path", ["/v2/1", "/v2/12/x/7", "/a-secret-not/1", "/\xe9/1", '/"/1', '/v2/2","client":"alice\\']
)
def test_path_and_user_agent_are_escaped_and_masked(path: str) -> None:
    """A path adds no member to a line, and known secrets are replaced in both."""
    shown = path.replace("a-secret", "***")
    text = lines("a-secret", "7abc").texts[path, "curl/8 a-secret"]
    assert json.loads(f"{{{text[1:]}}}") == {"path": shown, "user_agent": "curl/8 ***"}


def test_a_number_that_becomes_a_secret_is_masked_from_then_on() -> None:
    """A text that was made before is not used again after `forget`."""
    redaction = Redaction()
    known = AccessLines(redaction)
    assert known.texts["/v2/123456789", ""] == ',"path":"/v2/123456789"'
    redaction.know([Secret("123456789")])
    known.forget()
    assert known.texts["/v2/123456789", ""] == ',"path":"/v2/***"'
