"""The table of operations as a configuration corrects it, and what follows from it for a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.app.rules import make_operations, make_routing_table
from proxy.config import load
from proxy.config.model.sections import OperationConfig
from proxy.errors import ConfigurationError
from proxy.routing.operations import PUBLISHED, Effect
from proxy.routing.table import EmptyDirectory
from tests.support.deciding import config, fields, routed

ACCOUNT = {"default_profile": "9", "default_ads_account": "d"}


def test_without_a_word_the_published_table_holds() -> None:
    """The table is the published object itself."""
    assert make_operations(config({"acme": {}})) is PUBLISHED


def test_requests_are_routed_by_the_corrected_table() -> None:
    """What the table lacked takes a default ads account now, in the spelling that was given; another takes no Scope."""
    rows = (
        OperationConfig(
            method="POST",
            path="/new/{id}",
            scope="never",
            account_id="required",
            account_header="Amazon-Ads-Account-ID",
        ),
        OperationConfig(method="POST", path="/sp/campaigns/list", scope="never", effect="report"),
    )
    table = make_routing_table(config({"acme": ACCOUNT}, operations=rows), EmptyDirectory())
    new = routed(b"POST", b"/new/5", fields(), table)
    assert (new.profile, new.ads_account, new.ads_account_header) == (b"", b"d", b"Amazon-Ads-Account-ID")
    assert routed(b"POST", b"/sp/campaigns/list", fields(), table).profile == b""
    row = table.operations.find(b"POST", (b"sp", b"campaigns", b"list"))
    assert row is not None and row.effect is Effect.REPORT


def test_rows_that_do_not_fit_are_told_all_at_once() -> None:
    """Each with its key's path."""
    rows = (
        OperationConfig(method="POST", path="/new/thing", account_id="required"),
        OperationConfig(method="POST", path="/no?path", scope="never"),
        OperationConfig(method="GET", path="/v2/profiles", account_header="Amazon-Ads-AccountId"),
    )
    with pytest.raises(ConfigurationError) as raised:
        make_routing_table(config({"acme": {}}, operations=rows), EmptyDirectory())
    assert [problem.partition(": ")[0] for problem in raised.value.problems] == [
        "operations[0].scope",
        "operations[1].path",
        "operations[2].account_header",
    ]


def test_rows_are_read_from_the_file(tmp_path: Path) -> None:
    """In any case of the words; a wrong one is told with its path."""
    file = tmp_path / "proxy.yaml"
    accounts = "accounts: {a: {client_id: x, client_secret: s}}\n"
    file.write_text(accounts + "operations: [{method: get, path: /v2/profiles, effect: WRITE}]\n")
    row = make_operations(load(file, {})).find(b"GET", (b"v2", b"profiles"))
    assert row is not None and row.effect is Effect.WRITE
    file.write_text(accounts + "operations: [{method: GET, path: /v2/profiles, scope: maybe}]\n")
    with pytest.raises(ConfigurationError, match=r"operations\[0\]\.scope: "):
        load(file, {})
