"""The section `spend` of a client: amounts as they were written, and what is refused in it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import load
from proxy.config.model.spend import SpendSection
from proxy.config.reference import json_schema
from proxy.errors import ConfigurationError
from tests.config.test_file import ACCOUNT, DIGEST

CLIENT = {"name": "agent", "key_sha256": DIGEST}
WHOLE = """
mode: OBSERVE
budget: {USD: 200, EUR: 180.50}
bid: {USD: 2.50}
bid_adjustment: 50
states: [Paused, ARCHIVED]
hours: mon-fri 08:00-18:00 Europe/Berlin; sat 10:00-12:00
new_per_day: 20
budget_per_day: {JPY: "100000"}
allow: ["POST /sp/rules/campaignOptimization", MCP campaign_management-create_target]
"""


def section(folder: Path, spend: str) -> SpendSection:
    """What a file reads whose only client has this under `spend`."""
    file = folder / "proxy.yaml"
    indented = "".join(f"      {line}\n" for line in spend.strip().splitlines())
    file.write_text(f"{ACCOUNT}clients:\n  - name: agent\n    key_sha256: {DIGEST}\n    spend:\n{indented}")
    found = load(file, {}).clients[0].spend
    assert found is not None
    return found


def problem(folder: Path, spend: Any) -> str:
    """The only problem of a client with this under `spend`, without the key's beginning and the line."""
    file = folder / "proxy.yaml"
    file.write_text(ACCOUNT + yaml.safe_dump({"clients": [{**CLIENT, "spend": spend}]}))
    with pytest.raises(ConfigurationError) as raised:
        load(file, {})
    (found,) = raised.value.problems
    return found.removeprefix("clients[0].spend").partition(" (line")[0]


def test_every_key_is_read(tmp_path: Path) -> None:
    """Words in any case, amounts as decimals."""
    found = section(tmp_path, WHOLE)
    assert found.model_dump() == {
        "mode": "observe",
        "budget": {"USD": Decimal(200), "EUR": Decimal("180.5")},
        "bid": {"USD": Decimal("2.5")},
        "bid_adjustment": Decimal(50),
        "states": ("paused", "archived"),
        "hours": "mon-fri 08:00-18:00 Europe/Berlin; sat 10:00-12:00",
        "new_per_day": 20,
        "budget_per_day": {"JPY": Decimal(100000)},
        "allow": ("POST /sp/rules/campaignOptimization", "MCP campaign_management-create_target"),
        "beyond": "refuse",
    }


def test_a_client_without_the_section_has_no_limits(tmp_path: Path) -> None:
    """An empty section is one, and enforces."""
    (tmp_path / "proxy.yaml").write_text(ACCOUNT + yaml.safe_dump({"clients": [CLIENT]}))
    assert load(tmp_path / "proxy.yaml", {}).clients[0].spend is None
    assert section(tmp_path, "{}") == SpendSection()
    assert SpendSection().mode == "enforce"


def test_the_environment_sets_it_with_its_client() -> None:
    """The variable of the list of clients holds YAML."""
    environ = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "HOME": "/home/u"}
    environ["ADS_PROXY_CLIENTS"] = f"[{{name: a, key_sha256: {DIGEST}, spend: {{bid: {{USD: 2.50}}}}}}]"
    assert load(None, environ).clients[0].spend == SpendSection(bid={"USD": Decimal("2.5")})


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("0", "0"),
        ("0.1", "0.1"),
        ("2.50", "2.5"),
        ('"2.50"', "2.50"),
        ("5e2", "500"),
        ("500.0", "500"),
        ("1000000000", "1000000000"),
        ("999999999.999999", "999999999.999999"),
        ("123456789.123457", "123456789.123457"),
        ("0.000001", "0.000001"),
        ('" 7 "', "7"),
    ],
)
def test_an_amount_has_the_digits_that_were_written(tmp_path: Path, written: str, digits: str) -> None:
    """No binary rounding, in quotes or not."""
    found = section(tmp_path, f"bid: {{USD: {written}}}").bid
    assert found is not None
    assert str(found["USD"]) == digits


@pytest.mark.parametrize(
    "written",
    [-1, "-0.01", 1000000001, 0.0000001, "", "two", "1,000", True, None, [1], {"USD": 1}, float("inf")],
)
def test_what_is_no_amount_is_told(tmp_path: Path, written: object) -> None:
    """Under a currency and alone."""
    said = "must be a number from 0 to 1000000000 with at most 6 decimals, such as 2.50"
    assert problem(tmp_path, {"budget": {"USD": 1, "EUR": written}}) == f".budget.EUR: {said}"
    if written is not None:
        assert problem(tmp_path, {"bid_adjustment": written}) == f".bid_adjustment: {said}"


@pytest.mark.parametrize(
    ("spend", "said"),
    [
        (None, ": is empty; write {} to refuse"),
        ("enforce", ": must hold keys, not a text; there are: mode, budget, bid,"),
        ({"budgets": {"USD": 1}}, ".budgets: unknown key; did you mean 'budget'?"),
        ({"cap": 1}, ": holds an unknown key, 'cap'; there are: mode, budget, bid,"),
        ({"beyond": "ask"}, ".beyond: is not one of refuse, approve"),
        ({"beyond": None, "mode": "ask"}, ".mode: is not one of enforce, observe"),
        ({"mode": "dry-run"}, ".mode: is not one of enforce, observe"),
        ({"budget": None}, ".budget: is empty; write a limit, or leave the key out"),
        ({"budget": {}}, ".budget: is without a currency; write an amount for each"),
        ({"budget": 200}, ".budget: is without a currency; write an amount for each, such as {USD: 200}"),
        ({"bid": {"usd": 1}}, ".bid.usd: is not a currency; write its code in three capital letters"),
        ({"bid": {"$": 1}}, ".bid.NAME: is not a currency"),
        ({"bid_adjustment": None}, ".bid_adjustment: is empty; write a limit"),
        ({"states": None}, ".states: an empty list would permit nothing"),
        ({"states": []}, ".states: an empty list would permit nothing"),
        ({"states": ["stopped"]}, ".states[0]: is not one of enabled, paused, archived,"),
        ({"hours": None}, ".hours: is empty; write a limit"),
        ({"hours": "always"}, ".hours: is not a span of hours; write DAYS HH:MM-HH:MM [ZONE]"),
        ({"hours": "mon 8:00-18:00"}, ".hours: is not a span of hours"),
        ({"hours": "mon 08:00-18:00 EU; "}, ".hours: is not a span of hours"),
        ({"hours": 8}, ".hours: is not a span of hours"),
        ({"new_per_day": None}, ".new_per_day: is empty; write a limit"),
        ({"new_per_day": -1}, ".new_per_day: is out of range; it must be at least 0"),
        ({"new_per_day": 1000001}, ".new_per_day: is out of range; it must be at most 1e+06"),
        ({"new_per_day": 2.5}, ".new_per_day: must be a whole number"),
        ({"allow": ["/sp/campaigns"]}, ".allow[0]: is not an operation; write METHOD and path"),
        ({"allow": ["POST /sp/*"]}, ".allow[0]: is not an operation"),
        ({"allow": ["POST /sp/x?y=1"]}, ".allow[0]: is not an operation"),
        ({"allow": ["MCP campaign_management-*"]}, ".allow[0]: is not an operation"),
        ({"allow": ["post /sp/campaigns"]}, ".allow[0]: is not an operation"),
        ({"allow": [7]}, ".allow[0]: is not an operation"),
    ],
)
def test_a_wrong_section_is_told(tmp_path: Path, spend: object, said: str) -> None:
    """The key, and what to do; a limit with nothing after it is a mistake, never no limit."""
    assert problem(tmp_path, spend).startswith(said)


def test_editors_know_the_amounts() -> None:
    """The schema has the form of an amount and of a currency."""
    budget, *_ = json_schema()["$defs"]["SpendSection"]["properties"]["budget"]["anyOf"]
    assert list(budget["patternProperties"]) == ["^[A-Z]{3}$"]
    assert (budget["additionalProperties"], budget["minProperties"]) == (False, 1)
