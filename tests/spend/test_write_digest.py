"""What one approval holds for: which writes are the same, and which are not."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.spend.write_digest import WriteIdentity, addressing, digest_of
from proxy.strict_json import JsonBody

WRITE = WriteIdentity(
    *("agent", "v1", "PUT", "/sp/campaigns", "application/json", "acme", "login-of-acme", "na"),
    (("profile", "123"), ("ads account", "")),
)


def read(text: str) -> Any:
    """What the gate decodes."""
    return JsonBody(text.encode()).exact()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        ("500", "500.0"),
        ("500", "5e2"),
        ("500", "5.00E+2"),
        ("0", "-0"),
        ("0.0", "0e9"),
        ("0.5", "5e-1"),
        ('"caf\\u00e9"', '"café"'),
        ('"\\ud83d\\ude00"', '"😀"'),
        ("[1, 2]", "[1.0,2]"),
        ("123456789012345678901234567890.5", "1234567890123456789012345678905e-1"),
    ],
)
def test_the_spelling_of_json_changes_nothing(one: str, other: str) -> None:
    """JSON that means the same is one write, whatever the order of members and the spelling of numbers."""
    assert digest_of(WRITE, read(one)) == digest_of(WRITE, read(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("500", '"500"'),
        ("500", "501"),
        ("500", "-500"),
        ("500", "500.00000000000000000000000000000000001"),
        ("100", "1"),
        ("[1, 2]", "[2, 1]"),
        ("[1]", "1"),
        ("[[1], 2]", "[[1, 2]]"),
        ('{"a": 1}', '{"a": 1, "b": null}'),
        ("null", '"null"'),
        ("true", '"true"'),
        ("true", "1"),
        ("false", "0"),
        ('["a", "b"]', '["a,b"]'),
        ('{"a": {"b": 1}}', '{"a": "{\\"b\\": 1}"}'),
        ('"a"', '"A"'),
        ('"a"', '"a "'),
        ('"é"', '"e\u0301"'),
        ('"\\ud800"', '"\\ud801"'),
        ("{}", "[]"),
        ("{}", "null"),
    ],
)
def test_another_value_is_another_write(one: str, other: str) -> None:
    """A value of another kind, or one more of them, is another write."""
    assert digest_of(WRITE, read(one)) != digest_of(WRITE, read(other))


@pytest.mark.parametrize("member", WriteIdentity._fields)
def test_each_part_of_its_identity_belongs_to_a_write(member: str) -> None:
    """The same JSON for another client, account, operation or under other limits is another write."""
    changed: Any = (("profile", "124"), ("ads account", "")) if member == "addressed" else "another"
    assert digest_of(WRITE._replace(**{member: changed}), [1]) != digest_of(WRITE, [1])


def test_what_is_in_two_parts_cannot_move_between_them() -> None:
    """The end of one part is not the beginning of the next."""
    assert digest_of(WRITE._replace(account="a", login="cme"), 1) != digest_of(
        WRITE._replace(account="ac", login="me"), 1
    )


def test_fields_that_choose_an_advertiser_belong_to_a_write() -> None:
    """The fields that may name one are read, in any order and case, and no others; other spellings are other fields."""
    lines = [
        b"Host: x\r\n",
        b"Amazon-Ads-AccountId: 2\r\n",
        b"Amazon-Advertising-API-Scope: 1\r\n",
        b"AdvertiserId: 3\r\n",
        b"Accept: *\r\n",
    ]
    chosen = (("advertiserid", "3"), ("amazon-ads-accountid", "2"), ("amazon-advertising-api-scope", "1"))
    assert addressing(b"".join(lines)) == addressing(b"".join(lines[::-1]).lower()) == chosen
    assert addressing(b"Amazon_Ads_AccountId: 2\r\n") == (("amazon_ads_accountid", "2"),)
