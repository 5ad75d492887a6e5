"""Addresses at API hosts come home; every other byte stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.http1.target import path_segments
from proxy.routing.locations import hands_out_locations, may_hold_location, rewrite_body, rewrite_location

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HOSTS = frozenset((b"advertising-api.amazon.com", b"advertising-api-eu.amazon.com", b"127.0.0.1:9001", b"[::1]:9003"))
BASE = b"http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("value", "prefix", "home"),
    [
        (b"https://advertising-api.amazon.com/v1/reports/1/download", b"", BASE + b"/v1/reports/1/download"),
        (b"https://advertising-api-eu.amazon.com/v1/x?a=%2F#f", b"/@brand-eu", BASE + b"/@brand-eu/v1/x?a=%2F#f"),
        (b"HTTPS://Advertising-API.amazon.com/x", b"/eu", BASE + b"/eu/x"),
        (b"https://advertising-api.amazon.com:443/x", b"", BASE + b"/x"),
        (b"http://advertising-api.amazon.com:80/x", b"", BASE + b"/x"),
        (b"http://127.0.0.1:9001/x", b"", BASE + b"/x"),
        (b"http://[::1]:9003/x", b"", BASE + b"/x"),
        (b"//advertising-api.amazon.com/x", b"/eu", BASE + b"/eu/x"),
        (b"https://advertising-api.amazon.com", b"/eu", BASE + b"/eu/"),
        (b"https://advertising-api.amazon.com?x=1", b"", BASE + b"/?x=1"),
        (b"/v2/x", b"/@acme/eu", b"/@acme/eu/v2/x"),
        (b"/v2/x", b"", b"/v2/x"),
    ],
)
def test_an_address_at_an_api_host_comes_home(value: bytes, prefix: bytes, home: bytes) -> None:
    """With what leads to the same account and region in front of its path."""
    assert rewrite_location(value, HOSTS, BASE, prefix) == home


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"https://s3.amazonaws.com/bucket/key?X-Amz-Signature=1",
        b"https://advertising-api.amazon.com.evil.example/x",
        b"https://evil.example/https://advertising-api.amazon.com/x",
        b"https://advertising-api.amazon.com@evil.example/x",
        b"https://user@advertising-api.amazon.com/x",
        b"https://advertising-api.amazon.com:8443/x",
        b"https://advertising-api.amazon.com\\x",
        b"http://127.0.0.1:9002/x",
        b"http://127.0.0.1/x",
        b"ftp://advertising-api.amazon.com/x",
        b"advertising-api.amazon.com/x",
        b"reports/1",
        b"../x",
        b"?x",
        b"//evil.example/x",
        b"https:///x",
    ],
)
def test_every_other_address_stays(value: bytes) -> None:
    """Presigned ones above all; and what only looks like an API host."""
    assert rewrite_location(value, HOSTS, BASE, b"/@acme") == value


@pytest.mark.parametrize(
    ("method", "path", "status", "content_type", "looked_into"),
    [
        (b"GET", b"/v2/reports/amzn1.x", 200, b"application/json", True),
        (b"GET", b"/v2/reports/amzn1.x", 200, b"Application/JSON; charset=utf-8", True),
        (b"POST", b"/v2/sp/campaigns/report", 202, b"application/json;charset=UTF-8", True),
        (b"POST", b"/v2/sp/keywords/snapshot", 200, b"application/json", True),
        (b"GET", b"/v2/sp/snapshots/1", 200, b"application/vnd.x.v1+json", True),
        (b"GET", b"/sd/reports/1", 200, b"application/json", True),
        (b"GET", b"//v2//hsa/snapshots/1", 200, b"application/json", True),
        (b"GET", b"/v2/reports/amzn1.x", 200, b"text/html", False),
        (b"GET", b"/v2/reports/amzn1.x", 200, b"application/jsonlines", False),
        (b"GET", b"/v2/reports/amzn1.x", 200, b"", False),
        (b"GET", b"/v2/reports/amzn1.x", 307, b"application/json", False),
        (b"GET", b"/v2/reports/amzn1.x", 404, b"application/json", False),
        (b"HEAD", b"/v2/reports/amzn1.x", 200, b"application/json", False),
        (b"POST", b"/reporting/reports", 200, b"application/json", False),
        (b"GET", b"/accounts/1/dsp/reports/2", 200, b"application/json", False),
        (b"GET", b"/v2/campaigns", 200, b"application/json", False),
        (b"GET", b"/reports", 200, b"application/json", False),
        (b"GET", b"/", 200, b"application/json", False),
    ],
)
def test_which_bodies_are_looked_into(
    method: bytes, path: bytes, status: int, content_type: bytes, looked_into: bool
) -> None:
    """Those of v2 reports and snapshots that are JSON, and no others."""
    asked = hands_out_locations(method, path_segments(path))
    assert (asked and may_hold_location(status, content_type)) is looked_into


def test_only_the_bytes_of_the_value_change() -> None:
    """Spaces, order, escapes and numbers stay as Amazon wrote them."""
    body = (
        b' {"reportId" :"amzn1.\\u0041","status":"SUCCESS",\r\n\t"location": "https://advertising-api.amazon.com/v1/r/1",'
        b'"fileSize":1.0e+2, "x":{"location":"https://advertising-api.amazon.com/inner"},"\xc3\xbc":null } \n'
    )
    changed = body.replace(b"https://advertising-api.amazon.com/v1/r/1", BASE + b"/eu/v1/r/1")
    assert rewrite_body(body, HOSTS, BASE, b"/eu") == changed
    assert json.loads(changed)["location"] == "http://127.0.0.1:8080/eu/v1/r/1"


def test_escaped_slashes_are_read() -> None:
    """Some of Amazon's services write `https:\\/\\/`."""
    body = b'{"location":"https:\\/\\/advertising-api.amazon.com\\/v1\\/r"}'
    assert json.loads(rewrite_body(body, HOSTS, BASE, b"")) == {"location": "http://127.0.0.1:8080/v1/r"}


def test_every_location_of_a_doubled_key_comes_home() -> None:
    """Readers differ in which one they take."""
    body = b'{"location":"http://127.0.0.1:9001/a","location":"http://127.0.0.1:9001/b"}'
    assert rewrite_body(body, HOSTS, BASE, b"") == body.replace(b"http://127.0.0.1:9001", BASE)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"reportId":"1"}',
        b'{"location":null}',
        b'{"location":["https://advertising-api.amazon.com/x"]}',
        b'{"location":"https://s3.amazonaws.com/x?X-Amz-Signature=1"}',
        b'{"location":"/v2/x"}',
        b'{"location":"\\ud800"}',
        b'{"x":{"location":"https://advertising-api.amazon.com/x"}}',
        b'[{"location":"https://advertising-api.amazon.com/x"}]',
        b'"location"',
        b'{"location":"https://advertising-api.amazon.com/x"',
        b'{"location":"https://advertising-api.amazon.com/x",}',
        b'{"location" "https://advertising-api.amazon.com/x"}',
        b'{"location":"https://advertising-api.amazon.com/x"]',
        b'\xff{"location":"https://advertising-api.amazon.com/x"}',
        b"\x1f\x8blocation",
        b'{"location":' + b"[" * 100_000,
    ],
)
def test_other_bodies_stay_byte_for_byte(body: bytes) -> None:
    """No location, another one, not of the outermost object, or no JSON at all."""
    assert rewrite_body(body, HOSTS, BASE, b"/@acme") == body


VALUES = st.recursive(
    st.one_of(st.none(), st.floats(allow_nan=False), st.text(max_size=5), st.just("http://127.0.0.1:9001/x")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["location", "a"]), inner)),
    max_leaves=6,
)


@pytest.mark.long
@UNHURRIED
@given(
    st.dictionaries(st.sampled_from(["location", "x", "\u00fc"]), VALUES),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_any_object_keeps_its_meaning_but_for_its_location(
    content: dict[str, object], indent: int, ascii_: bool
) -> None:
    """However it is written."""
    body = json.dumps(content, indent=indent, ensure_ascii=ascii_).encode()
    expected = dict(content)
    if content.get("location") == "http://127.0.0.1:9001/x":
        expected["location"] = "http://127.0.0.1:8080/eu/x"
    changed = rewrite_body(body, HOSTS, BASE, b"/eu")
    assert json.loads(changed) == expected
    assert changed == body or expected != content
