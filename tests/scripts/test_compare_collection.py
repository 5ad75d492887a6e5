"""A Postman collection held against the table of operations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.compare_collection import api_path, compare, main

SCOPE, ACCOUNT_ID = "Amazon-Advertising-API-Scope", "Amazon-Ads-AccountId"


def request(method: str, url: str | dict[str, Any], *headers: str, off: str = "") -> dict[str, Any]:
    """A request that sends these headers, and has one more that is switched off."""
    sent = [{"key": name, "value": "{{x}}"} for name in headers]
    return {"request": {"method": method, "url": url, "header": [*sent, {"key": off, "disabled": True}]}}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("{{api_url}}/v2/profiles?apiProgram=x", "/v2/profiles"),
        ({"raw": "{{api_url_eu}}/v2/profiles/:profileId"}, "/v2/profiles/x"),
        ("https://advertising-api.amazon.com/accounts/{{dspAccountId}}/dsp/reports", "/accounts/x/dsp/reports"),
        ("{{api_url}}/auth/o2/token", ""),
        ("{{token_url}}", ""),
        ("https://elsewhere.test/v2/profiles", ""),
    ],
)
def test_a_path_is_read_of_what_goes_to_the_api(url: str | dict[str, Any], path: str) -> None:
    """By variable or by host, without query, parameters filled; all else is of no interest."""
    assert api_path(url) == path


def test_each_difference_is_told_once() -> None:
    """What the table lacks, what is sent and not known, what is required and not sent; what fits says nothing."""
    inner = [
        request("POST", "{{api_url}}/adsApi/v1/query/unheardThings", ACCOUNT_ID, off=SCOPE),
        request("GET", "{{api_url}}/unheard/of"),
        request("GET", "{{api_url}}/v2/profiles", SCOPE),
        request("GET", "{{api_url}}/v2/profiles", SCOPE),
        request("GET", "{{api_url}}/dsp/streams/subscriptions"),
        request("POST", "{{api_url}}/adsApi/v1/query/campaigns", SCOPE, ACCOUNT_ID),
    ]
    assert compare({"item": [{"item": inner}, request("POST", "{{token_url}}")]}) == [
        "unknown   POST /adsApi/v1/query/unheardThings: sends an account id",
        "unknown   GET /unheard/of: sends neither Scope nor account id",
        "sends     GET /v2/profiles: Scope, which the table has as never",
        "lacks     GET /dsp/streams/subscriptions: account id, which the table has as required",
    ]


@pytest.mark.parametrize(
    ("collection", "code", "said"),
    [
        ({"item": [request("GET", "{{api_url}}/v2/profiles")]}, 0, "no difference"),
        ({"item": [request("GET", "{{api_url}}/unheard/of")]}, 1, "unknown   GET /unheard/of"),
        ({"info": {}}, 2, "no Postman collection"),
        ("no object", 2, "no Postman collection"),
    ],
)
def test_the_command_ends_with_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], collection: object, code: int, said: str
) -> None:
    """0 without a difference, 1 with one, 2 for what is no collection."""
    file = tmp_path / "collection.json"
    file.write_text(json.dumps(collection))
    assert main([str(file)]) == code
    assert said in "".join(capsys.readouterr())
