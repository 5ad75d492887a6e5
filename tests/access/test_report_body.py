"""Whose accounts an order for reports names: every doubt is a refusal, every foreign account gets the same one."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.access.policy import Policy, evaluate_body, find_flaw
from proxy.errors import NotPermitted
from proxy.http1.request_fields import RequestFields
from proxy.strict_json import MAX_COST, JsonBody
from tests.support.deciding import fields

OWN = frozenset({b"amzn1.own", b"77", b"amzn1.two"})
MINE = {"advertiserAccountId": "amzn1.own"}
REPORT = {
    "format": "CSV",
    "periods": [{"datePeriod": {"startDate": "2026-01-01", "endDate": "2026-01-02"}}],
    "query": {
        "fields": ["campaign.id", "advertiserAccount.id", "managerAccountId"],
        "filter": {"on": {"field": "campaign.id", "comparisonOperator": "IN", "values": ["amzn1.other"]}},
    },
}
JSON = fields(b"Content-Type: application/json")


def order(*accounts: Any, **more: Any) -> bytes:
    """A body that orders one report for these accounts."""
    return json.dumps({"accessRequestedAccounts": list(accounts), "reports": [REPORT], **more}).encode()


def flaw(body: bytes, read: RequestFields = JSON) -> str:
    return find_flaw(OWN, read, JsonBody(body))


@pytest.mark.parametrize(
    "body",
    [
        order(MINE),
        order(MINE, {"advertiserAccountId": "77"}, {"advertiserAccountId": "amzn1.two"}),
        b" \r\n\t" + order(MINE) + b"\n",
        order(MINE).replace(b"advertiserAccountId", b"advertiser\\u0041ccountId", 1),
        order(MINE).replace(b"amzn1.own", b"amzn1\\u002eown", 1),
        b'{"accessRequestedAccounts":[{"advertiserAccountId":"77"}]}',
    ],
)
def test_an_order_for_ones_own_accounts_passes(body: bytes) -> None:
    """However it is written, if every reader finds the same."""
    assert flaw(body) == ""


@pytest.mark.parametrize(
    "accounts",
    [
        [{"advertiserAccountId": "amzn1.other"}],
        [MINE, {"advertiserAccountId": "amzn1.other"}],
        [{"managerAccountId": "amzn1.own"}],
        [{"advertiserAccountId": "amzn1.own", "managerAccountId": "m"}],
        [{"advertiserAccountId": "amzn1.own", "x": 1}],
        [{"AdvertiserAccountId": "amzn1.own"}],
        [{"advertiserAccountId": "AMZN1.OWN"}],
        [{"advertiserAccountId": "amzn1.own "}],
        [{"advertiserAccountId": "amzn1.own,amzn1.other"}],
        [{"advertiserAccountId": "amzn1.own\u0000"}],
        [{"advertiserAccountId": "\ud800"}],
        [{"advertiserAccountId": 77}],
        [{"advertiserAccountId": None}],
        [{"advertiserAccountId": ["amzn1.own"]}],
        [{"advertiserAccountId": {"advertiserAccountId": "amzn1.own"}}],
        ["amzn1.own"],
        [[MINE]],
        [{}],
    ],
)
def test_every_account_must_be_the_clients_own(accounts: list[Any]) -> None:
    """One and the same sentence for all that is not, be it there or not."""
    assert flaw(order(*accounts)) == flaw(order({"advertiserAccountId": "amzn1.elsewhere"})) != ""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"reports":[]}',
        b'{"accessRequestedAccounts":[]}',
        b'{"accessRequestedAccounts":null}',
        b'{"accessRequestedAccounts":{"advertiserAccountId":"77"}}',
        order(MINE, accounts=[{"id": "amzn1.other"}]),
        order(MINE, accessrequestedaccounts=[]),
        order(MINE, AccessRequestedAccounts=[MINE]),
        order(MINE, access_requested_accounts=[MINE]),
        order(MINE, reports=[{**REPORT, "advertiserAccountId": "amzn1.own"}]),
        order(MINE, reports=[{"query": {"filter": [{"profile_id": "1"}]}}]),
        order(MINE, reports={"managerAccountIds": []}),
        order(MINE)[:-1] + b',"accessRequestedAccounts":[{"advertiserAccountId":"amzn1.other"}]}',
        b'{"accessRequestedAccounts":[{"advertiserAccountId":"amzn1.other","advertiserAccountId":"amzn1.own"}]}',
        b'{"accessRequestedAccounts":[{"advertiserAccountId":"77","advertiserAccount\\u0049d":"x"}]}',
        b'{"accessRequestedAccounts":[{"advertiserAccountId":"77"}],"reports":[{"a":1,"A":2}]}',
        b'{"accessRequestedAccounts":[{"advertiserAccountId":"77"}],"reports":[{"a":NaN}]}',
        b'{"accessRequestedAccounts":[{"advertiserAccountId":"77"}],"reports":[{"a":-Infinity}]}',
        '{"accessRequestedAccounts":[{"advertiserAccountId":"77"}],"reports":[{"advertiserAccount\u0131d":1}]}'.encode(),
        b"\xef\xbb\xbf" + order(MINE),
        order(MINE).decode().encode("utf-16"),
        order(MINE).decode().encode("utf-16-le"),
        order(MINE).decode().encode("utf-32"),
        order(MINE) + b"\x00",
        order(MINE) + order({"advertiserAccountId": "amzn1.other"}),
        order(MINE) + b"// more",
        b"/* */" + order(MINE),
        b")]}',\n" + order(MINE),
        order(MINE).replace(b'"', b"'"),
        order(MINE).replace(b"]", b",]", 1),
        order(MINE).replace(b"amzn1.own", b"amzn1.own\n"),
        order(MINE).replace(b"amzn1.own", b"amzn1.o\xff"),
        order(MINE).replace(b"amzn1.own", b"amzn1\xc0\xaeown"),
        gzip.compress(order(MINE), mtime=0),
        b"[" * 100_000,
        order(MINE)[:-1] + b',"reports":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b"accessRequestedAccounts[0][advertiserAccountId]=77",
        order(MINE, reports=[{"account\nId": "1"}]),
        order(MINE, reports=[{"account\nId": "1", "format": "CSV"}]),
        order(MINE, reports=[{"a-b": "1", "aB": "2"}]),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(body: bytes) -> None:
    """Names that come twice, or nearly; other encodings; what is not quite JSON; more than an order has."""
    assert flaw(body) != ""


def test_depth_alone_is_no_defect() -> None:
    """The body is accepted as deep as JSON is read at all."""
    for depth in (1, 300, 600, 900, 990, 5000):
        deep = order(MINE, reports=[]).replace(b'"reports": []', b'"reports": ' + b"[" * depth + b"]" * depth)
        assert flaw(deep) == "" or "plain JSON" in flaw(deep)


@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        ((b"Content-Type: application/json",), True),
        ((b"content-type: Application/JSON; charset=UTF-8",), True),
        ((b"Content-Type: application/vnd.createreports.v1+json",), True),
        ((b'Content-Type: application/json;charset="utf-8"',), True),
        ((b"Content-Type: application/json", b"Content-Encoding: identity"), True),
        ((), False),
        ((b"Content-Type:",), False),
        ((b"Content-Type: text/plain",), False),
        ((b"Content-Type: application/x-www-form-urlencoded",), False),
        ((b"Content-Type: application/json; charset=utf-16",), False),
        ((b'Content-Type: application/json; charset="utf-8',), False),
        ((b"Content-Type: application/json; charset=utf-8; charset=utf-16",), False),
        ((b"Content-Type: application/json, text/plain",), False),
        ((b"Content-Type: application/json", b"Content-Type: application/json"), False),
        ((b"Content-Type: application/json", b"Content_Type: text/plain"), False),
        ((b"Content-Type: application/json", b"Connection: content-type"), False),
        ((b"Content-Type: application/json", b"Content-Encoding: gzip"), False),
        ((b"Content-Type: application/json", b"Content-Encoding: identity", b"Content-Encoding: br"), False),
        ((b"Content-Type: application/json", b"content_encoding: deflate"), False),
    ],
)
def test_the_header_must_say_how_the_body_is_read(lines: tuple[bytes, ...], passes: bool) -> None:
    """The header must say JSON in UTF-8, once, and without a content coding; the outgoing request's header counts, not
    the client's."""
    assert (flaw(order(MINE), fields(*lines)) == "") is passes


@settings(deadline=None)
@given(st.data())
def test_no_change_of_an_order_lets_a_foreign_account_pass(data: st.DataObject) -> None:
    """Bytes are exchanged, doubled and left out at will: what passes names the client's own, for any reader."""
    body = order(MINE, {"advertiserAccountId": "amzn1.other"})
    for _ in range(data.draw(st.integers(0, 3))):
        at, to = sorted(data.draw(st.tuples(*[st.integers(0, len(body))] * 2)))
        piece = data.draw(st.sampled_from([b"", b"own", b"two", b'"', b",", b"}", b"{", b"\\", body[at:to] * 2, b"77"]))
        body = body[:at] + piece + body[to:]
    if flaw(body) == "":
        named = json.loads(body, object_pairs_hook=list)
        (accounts,) = [value for name, value in named if name == "accessRequestedAccounts"]
        assert {identifier.encode() for entry in accounts for _, identifier in entry} <= OWN


def test_a_refusal_names_the_client_and_the_rule() -> None:
    """The refusal says nothing of the body."""
    verdict = evaluate_body(
        Policy("tool", (), account_ids=OWN), JSON, JsonBody(order({"advertiserAccountId": "amzn1.canary"}))
    )
    assert isinstance(verdict.refusal, NotPermitted) and verdict.rule == "account_ids"
    assert "Client tool" in verdict.reason and "canary" not in verdict.refusal.detail
    assert evaluate_body(Policy("tool", (), account_ids=OWN), JSON, JsonBody(order(MINE))).refusal is None


def test_an_order_of_too_many_parts_is_refused_with_what_to_do() -> None:
    """Such an order is not decoded."""
    assert "send fewer of them in one request" in find_flaw(OWN, JSON, JsonBody(b"[%b0]" % (b"{}," * MAX_COST)))


def test_names_that_are_too_much_alike_are_told() -> None:
    """What to do about them, in the words of the refusal."""
    assert "differ in case and punctuation only; rename them" in flaw(b'{"reports": [], "Reports": []}')
