"""Every operation of Amazon's specifications, sent with what it needs and no more: where it goes, and with what."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from importlib import resources

from proxy.app.rules import make_routing_table
from proxy.forwarding.injection import account_lines, render_section, request_line
from proxy.routing.route import route
from proxy.routing.target import find_destination
from tests.support.deciding import Listed, config, fields, request, summary

PROFILE, ADS_ACCOUNT, DEFAULT_PROFILE, DEFAULT_ADS_ACCOUNT = (
    "22",
    "amzn1.ads-account.g.a",
    "33",
    "amzn1.ads-account.g.d",
)
TABLE = make_routing_table(
    config(
        {
            "acme": {"region": "na"},
            "zeta": {"region": "na", "default_profile": DEFAULT_PROFILE, "default_ads_account": DEFAULT_ADS_ACCOUNT},
        }
    ),
    Listed(
        owners={PROFILE: (("zeta", "eu"),), DEFAULT_PROFILE: (("zeta", "fe"),)},
        ads_accounts={ADS_ACCOUNT: (("zeta", "eu"),), DEFAULT_ADS_ACCOUNT: (("zeta", "fe"),)},
    ),
)
SCOPE = "amazon-advertising-api-scope"
ACCOUNT_NAMES = {SCOPE, "amazon-ads-accountid", "amazon-ads-account-id"}


def rows() -> list[dict[str, str]]:
    """The table as it is committed, read without the code that is tried."""
    text = resources.files("proxy.routing").joinpath("operations.tsv").read_text("ascii")
    return list(csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t"))


ROWS = rows()
Arrival = tuple[str, str, dict[str, str]]
"""Account, region and account headers of a request at Amazon."""


def takes(row: dict[str, str], column: str) -> bool:
    return row[column] != "never"


def sent_on(row: dict[str, str], target: str, *lines: str) -> Arrival:
    """Account, region and the account headers, by lower-case name, with which a request of this row leaves."""
    read = fields(*(line.encode() for line in lines))
    asked = request(row["method"].encode(), target.encode(), read)
    chosen = route(summary(asked, TABLE.operations), TABLE)
    section = render_section(asked.fields, chosen, b"Host: amazon\r\n", account_lines("Atza|t", "amzn1.x"))
    head = (request_line(asked.method, chosen.target(find_destination(asked.target))) + section).decode()
    assert head.startswith(f"{row['method']} {re.sub('^/@zeta', '', target)} HTTP/1.1\r\n")
    names = [line.partition(": ")[::2] for line in head.split("\r\n")[1:] if line]
    left = [(name, value) for name, value in names if name.lower() in ACCOUNT_NAMES]
    assert len({name.lower() for name, _ in left}) == len(left)
    if takes(row, "account_id"):
        assert {name for name, _ in left if name.lower() != SCOPE} <= {row["account_header"]}
    return chosen.account, chosen.region, {name.lower(): value for name, value in left}


def path_of(row: dict[str, str]) -> str:
    return re.sub(r"\{[^{}]*\}", "some-Value_1", row["path"])


def compared(check: Callable[[dict[str, str]], tuple[Arrival, Arrival]]) -> None:
    """Assert for all operations at once that what arrives is what is expected."""
    results = {f"{row['method']} {row['path']}": check(row) for row in ROWS}
    assert {name: arrived for name, (arrived, _) in results.items()} == {
        name: expected for name, (_, expected) in results.items()
    }


def test_by_scope() -> None:
    """A Scope leads to its account and region and leaves alone; what takes none needs a selector and gets nothing."""

    def check(row: dict[str, str]) -> tuple[Arrival, Arrival]:
        if takes(row, "scope"):
            arrived = sent_on(row, path_of(row), f"Amazon-Advertising-API-Scope: {PROFILE}")
            return arrived, ("zeta", "eu", {SCOPE: PROFILE})
        return sent_on(row, path_of(row), "X-Ads-Account: acme"), ("acme", "na", {})

    compared(check)


def test_by_ads_account() -> None:
    """An account id leads as a Scope does and leaves alone, but where both are wanted."""

    def check(row: dict[str, str]) -> tuple[Arrival, Arrival]:
        if not takes(row, "account_id"):
            return sent_on(row, path_of(row), "X-Ads-Account: acme"), ("acme", "na", {})
        header = row["account_header"]
        expected = {header.lower(): ADS_ACCOUNT}
        if row["scope"] == row["account_id"] == "required":
            expected[SCOPE] = DEFAULT_PROFILE
        return sent_on(row, path_of(row), f"{header}: {ADS_ACCOUNT}"), ("zeta", "eu", expected)

    compared(check)


def test_by_both() -> None:
    """Whatever of the two the operation takes, and the client sends, is what leaves."""

    def check(row: dict[str, str]) -> tuple[Arrival, Arrival]:
        lines, expected = [], {}
        if takes(row, "scope"):
            lines.append(f"Amazon-Advertising-API-Scope: {PROFILE}")
            expected[SCOPE] = PROFILE
        if takes(row, "account_id"):
            lines.append(f"{row['account_header']}: {ADS_ACCOUNT}")
            expected[row["account_header"].lower()] = ADS_ACCOUNT
        if row["scope"] == row["account_id"] == "required":
            assert len(expected) == 2
        selector = [] if lines else ["X-Ads-Account: acme"]
        arrived = sent_on(row, path_of(row), *lines, *selector)
        return arrived, (("zeta", "eu", expected) if lines else ("acme", "na", {}))

    compared(check)


def test_by_defaults() -> None:
    """Without a word of the client's: the ads account where it is taken, but never at AMC; else the profile."""

    def check(row: dict[str, str]) -> tuple[Arrival, Arrival]:
        expected: dict[str, str] = {}
        if takes(row, "account_id") and not row["path"].startswith("/amc/"):
            expected[row["account_header"].lower()] = DEFAULT_ADS_ACCOUNT
        if (takes(row, "scope") and not expected) or row["scope"] == row["account_id"] == "required":
            expected[SCOPE] = DEFAULT_PROFILE
        return sent_on(row, f"/@zeta{path_of(row)}"), ("zeta", "fe" if expected else "na", expected)

    compared(check)


def test_the_table_is_whole() -> None:
    """743 operations, four ways each."""
    assert len(ROWS) == 743
