"""The limits on spending as the configuration has them: what reaches the judge, and what is told at the start."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from proxy.app.rules import (
    approval_terms,
    approval_versions,
    capability_settings,
    make_approvers,
    spend_limits,
    spend_notes,
)
from proxy.app.start_checks import check_start
from proxy.config import Config, load
from proxy.events import SpendMode
from proxy.spend.approvals import ApprovalTerms
from proxy.spend.limits import Beyond, Hours, SpendLimits

ACCOUNT = {"client_id": "x", "client_secret": "s", "refresh_token": "r"}
QUIET = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"}


def read(folder: Path, *sections: Any, state: str = "memory:") -> Config:
    """A configuration whose clients `c0`, `c1` and so on have these under `spend`; None for a client without."""
    approvers = [{"name": "anna", "keys": [{"sha256": hashlib.sha256(b"anna's").hexdigest(), "expires": "2027-01-31"}]}]
    clients = [
        {"name": f"c{number}", "key_sha256": f"{number:064x}"} | ({} if section is None else {"spend": section})
        for number, section in enumerate(sections)
    ]
    file = folder / "proxy.yaml"
    values = {**QUIET, "state": {"url": state}, "accounts": {"acme": ACCOUNT}, "clients": clients}
    file.write_text(yaml.safe_dump({**values, "approvals": {"approvers": approvers, "max_pending": 7}}))
    return load(file, {})


def test_limits_reach_the_judge_by_client(tmp_path: Path) -> None:
    """All rules of one client, the default of another, and nothing of a client without limits."""
    hours = "mon-fri 08:00-18:00 Europe/Berlin"
    whole = {
        "mode": "observe",
        "budget": {"USD": 200, "EUR": 180.1},
        "bid": {"USD": 2.5},
        "bid_adjustment": 50,
        "states": ["Inactive", "archived"],
        "hours": hours,
        "new_per_day": 20,
        "budget_per_day": {"USD": 1000},
        "allow": ["POST /sp/rules/campaignOptimization"],
        "beyond": "approve",
    }
    settings = capability_settings(read(tmp_path, whole, None, {}))
    assert dict(settings.spend_limits) == {
        "c0": SpendLimits(
            mode=SpendMode.OBSERVE,
            budget={"USD": Decimal(200), "EUR": Decimal("180.1")},
            bid={"USD": Decimal("2.5")},
            bid_adjustment=Decimal(50),
            states=frozenset({"paused", "archived"}),
            hours=Hours.parse(hours),
            new_per_day=20,
            budget_per_day={"USD": Decimal(1000)},
            allow=frozenset({"POST /sp/rules/campaignOptimization"}),
            beyond=Beyond.APPROVE,
        ),
        "c2": SpendLimits(),
    }


def test_names_that_amazon_does_not_use_are_noted(tmp_path: Path) -> None:
    """A currency, an operation and a tool; those of either table are known."""
    known = ["POST /sp/rules/campaignOptimization", "GET /v2/profiles", "MCP campaign_management-create_campaign"]
    config = read(
        tmp_path,
        {"budget": {"USD": 1, "UDS": 2}, "allow": [*known, "POST /sp/campaign", "MCP campaign_management-buy"]},
        None,
        {"bid": {"EUR": 1}, "budget_per_day": {"XXX": 0}},
        state=f"file:{tmp_path / 'state'}",
    )
    notes = check_start(config).notes
    assert notes == tuple(spend_notes(config))
    assert [note.partition(": ")[0] for note in notes] == [
        "clients[0].spend.budget.UDS",
        "clients[0].spend.allow[3]",
        "clients[0].spend.allow[4]",
        "clients[2].spend.budget_per_day.XXX",
    ]
    assert "EUR" in notes[0]


def test_a_configuration_without_limits_has_nothing_to_note(tmp_path: Path) -> None:
    """Neither limits nor notes."""
    config = read(tmp_path, None)
    assert (spend_limits(config), [*spend_notes(config)]) == ({}, [])


def test_a_store_that_forgets_the_day_at_exit_is_noted(tmp_path: Path) -> None:
    """For each client with a limit on a day, and no other store."""
    sections = {"new_per_day": 0}, {"budget": {"USD": 1}}, {"budget_per_day": {"USD": 1}}
    notes = [*spend_notes(read(tmp_path, *sections))]
    assert [note.partition(": ")[0] for note in notes] == ["clients[0].spend", "clients[2].spend"]
    assert "file:DIR" in notes[0]
    assert [*spend_notes(read(tmp_path, *sections, state=f"file:{tmp_path / 'state'}"))] == []


def test_a_store_that_forgets_approvals_at_exit_is_noted(tmp_path: Path) -> None:
    """For each client that asks for approvals, and no other store."""
    sections = {"beyond": "approve"}, {"beyond": "approve", "mode": "observe"}, {"beyond": "refuse"}
    (note,) = [*spend_notes(read(tmp_path, *sections))]
    assert note.startswith("clients[0].spend: a restart forgets its approvals, as state.url is memory:.")
    assert [*spend_notes(read(tmp_path, *sections, state=f"file:{tmp_path / 'state'}"))] == []


def test_approvals_have_their_terms_and_versions(tmp_path: Path) -> None:
    """The section's numbers, and a version for each client that asks for approvals: another one for other limits."""
    asks, other, same = ({"beyond": "approve", "budget": {"USD": amount}} for amount in (1, 2, "1.00"))
    config = read(tmp_path, asks, None, {}, {"beyond": "approve", "mode": "observe"}, other, same)
    assert approval_terms(config) == ApprovalTerms(3600, 86400, 7)
    limits = spend_limits(config)
    versions = approval_versions(limits)
    assert versions == {name: limits[name].version for name in ("c0", "c4", "c5")}
    assert versions["c0"] == versions["c5"] != versions["c4"]


def test_approvers_are_found_by_their_keys(tmp_path: Path) -> None:
    """Until the last day of a key is over; a client's key is no approver's."""
    approvers = make_approvers(read(tmp_path, {}))
    last = datetime(2027, 2, 1, tzinfo=UTC).timestamp()
    assert approvers.identify(b"anna's", last - 1) == "anna"
    assert approvers.identify(b"anna's", last) is None
    assert approvers.identify(b"agent's", 0) is None
