"""`spend`: what a person and a program read of limits and judged writes, asked of a real admin listener."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from proxy.commands.spend import headlines, print_spend
from proxy.config import Address
from proxy.events import SpendMode
from proxy.spend.judge import DayUse
from proxy.spend.ledger import DayKey
from proxy.spend.limits import SpendLimits
from proxy.spend.observations import SpendObservations
from proxy.spend.overview import SpendOverview
from tests.admin.fixtures import FakeProgram, administer
from tests.spend.test_observations import WITHIN, observed, over, unreadable, write

LIMITS = SpendLimits(
    mode=SpendMode.OBSERVE,
    budget={"USD": Decimal(200)},
    states=frozenset({"paused", "enabled"}),
    new_per_day=5,
    budget_per_day={},
)
DAYS = {DayKey("agent", "2033-05-18"): DayUse(3, {"USD": Decimal("600.50")})}
SEEN = observed(write(over()), write(WITHIN), write(unreadable("field cap", "tool x")), write(unreadable("field cap")))
OVERVIEW = SpendOverview({"agent": LIMITS, "other": SpendLimits()}, SEEN, DAYS, frozenset({"other"}))


async def asked(overview: SpendOverview, client: str = "", *, as_json: bool = False) -> int:
    async with administer(FakeProgram(spending=overview)) as admin:
        return await asyncio.to_thread(print_spend, Address("0.0.0.0", admin.port), None, client, as_json=as_json)


async def test_a_person_sees_limits_days_and_what_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the configuration; a client without judged writes is there, too."""
    assert await asked(OVERVIEW) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "agent: mode observe",
        "  limits: budget 200 USD; states enabled, paused; new_per_day 5; budget_per_day no currency",
        "  2033-05-18: 3 new objects; budgets 600.5 USD",
        "  4 writes judged since 2024-10-04T01:00:00Z: 1 within, 1 over, 2 unreadable",
    ]
    assert [line.split() for line in lines[4:10]] == [
        ["rule", "currency", "largest", "value", "violations", "limit", "when", "violated"],
        ["bid", "USD", "1.20", "0", "-"],
        ["budget", "USD", "500", "1", "200"],
        ["not", "readable", "writes"],
        ["field", "cap", "2"],
        ["tool", "x", "1"],
    ]
    assert lines[10:] == ["", "other: mode enforce, frozen", "  limits: none", "  no write was judged yet"]


async def test_a_program_gets_one_object_for_each_client(capsys: pytest.CaptureFixture[str]) -> None:
    """With counts by verdict, rule and name; one client alone if it is named."""
    assert await asked(OVERVIEW, "agent", as_json=True) == 0
    (client,) = json.loads(capsys.readouterr().out)
    assert {name: client[name] for name in ("client", "mode", "frozen", "judged", "violations", "unknown")} == {
        "client": "agent",
        "mode": "observe",
        "frozen": False,
        "judged": {"within": 1, "over": 1, "unreadable": 2},
        "violations": {"budget": 1},
        "unknown": {"field cap": 2, "tool x": 1},
    }
    assert await asked(OVERVIEW, as_json=True) == 0
    assert [each["client"] for each in json.loads(capsys.readouterr().out)] == ["agent", "other"]


async def test_an_unknown_client_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the key to set."""
    assert await asked(OVERVIEW, "nobody") == 1
    told = "ads-proxy: nobody: no spend limits, and no judged write; set `spend` of its entry in `clients`\n"
    assert capsys.readouterr().err == told


async def test_without_limits_it_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrong with that."""
    assert await asked(SpendOverview({}, SpendObservations())) == 0
    assert capsys.readouterr().out == "No client has spend limits: set `spend` of its entry in `clients`.\n"


async def test_unknown_days_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is away hides no other number."""
    assert await asked(SpendOverview({"agent": LIMITS}, SEEN, problem="The store is away.")) == 0
    assert capsys.readouterr().out.endswith("\nWhat days have taken is not known: The store is away.\n")


async def test_many_names_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is in the JSON."""
    seen = observed(write(unreadable(*[f"field f{number}" for number in range(30)])))
    assert await asked(SpendOverview({}, seen)) == 0
    assert "10 more (--json lists them)" in capsys.readouterr().out


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """The problem is that of `status`."""
    assert print_spend(Address("127.0.0.1", 1), None) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_client_that_has_no_limits_any_more_says_so() -> None:
    """Its numbers stay for a week."""
    client: dict[str, Any] = {"client": "gone", "mode": None, "frozen": False, "limits": {}, "days": []}
    found = list(headlines({**client, "judged": {"over": 2}, "since": "2026-12-01T00:00:00Z"}))
    assert found == ["gone: no spend limits now", "2 writes judged since 2026-12-01T00:00:00Z: 2 over"]
