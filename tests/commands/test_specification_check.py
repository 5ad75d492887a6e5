"""`check --specification FILE`: what the clients of a configuration may not reach of an OpenAPI file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.commands.specification_check import check_specification
from proxy.config import Config, load
from proxy.errors import ConfigurationError
from tests.support.specifications import described_operation

CLIENTS: list[dict[str, Any]] = [
    {"name": "free", "key_sha256": "a" * 64},
    {"name": "reader", "key_sha256": "b" * 64, "access": "read"},
    {"name": "limited", "key_sha256": "c" * 64, "profiles": ["123"]},
    {"name": "spender", "key_sha256": "d" * 64, "spend": {"mode": "enforce", "budget": {"USD": 5}}},
]
PATHS = {
    "/sp/campaigns/list": {"post": described_operation("List", Amazon_Advertising_API_Scope=True)},
    "/sp/wares": {"post": described_operation("CreateWares", Amazon_Advertising_API_Scope=True)},
    "/sp/wares/{id}": {"get": described_operation("GetWare", Amazon_Ads_AccountId=True)},
}


def configured(tmp_path: Path, **sections: Any) -> Config:
    account = {"client_id": "a", "client_secret": "b" * 20, "refresh_token": "Atzr|x", "region": "na"}
    content = {"accounts": {"acme": account, "other": dict(account)}, "state": {"url": "memory:"}, **sections}
    file = tmp_path / "proxy.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load(file, {})


def specification(tmp_path: Path) -> Path:
    file = tmp_path / "new.json"
    file.write_text(json.dumps({"openapi": "3.0.1", "paths": PATHS}), encoding="utf-8")
    return file


def rows(printed: str) -> dict[str, set[str]]:
    """What each client may not reach, and by which rule."""
    found: dict[str, set[str]] = {}
    for line in printed.splitlines():
        words = line.split()
        if words[:1] and words[0] in {each["name"] for each in CLIENTS}:
            found.setdefault(words[0], set()).add(" ".join(words[1:5]))
    return found


def test_each_client_is_told_what_it_may_not_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the rule that decides; what the table knows is told apart, and rows for the rest are printed."""
    assert check_specification(configured(tmp_path, clients=CLIENTS), specification(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("3 operations; the table of operations lacks 2.\n")
    assert rows(printed) == {
        "reader": {"POST /sp/wares no access"},
        "limited": {"POST /sp/wares no profiles", "GET /sp/wares/{id} no profiles"},
        "spender": {"POST /sp/wares no spend"},
    }
    new = yaml.safe_load(printed[printed.index("operations:\n  -") :])["operations"]
    assert new == [
        {"method": "POST", "path": "/sp/wares", "scope": "required"},
        {
            "method": "GET",
            "path": "/sp/wares/{id}",
            "scope": "never",
            "account_id": "required",
            "account_header": "Amazon-Ads-AccountId",
            "effect": "read",
        },
    ]


def test_rows_that_were_added_are_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed rows are a part of a configuration, and change who reaches what."""
    check_specification(configured(tmp_path, clients=CLIENTS), specification(tmp_path))
    printed = capsys.readouterr().out
    new = yaml.safe_load(printed[printed.index("operations:\n  -") :])
    check_specification(configured(tmp_path, clients=CLIENTS, **new), specification(tmp_path))
    printed = capsys.readouterr().out
    assert "lacks 0." in printed
    assert "operations:\n" not in printed
    assert rows(printed)["limited"] == {"GET /sp/wares/{id} yes profiles"}


def test_trusted_clients_reach_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without clients, and with such as nothing limits."""
    check_specification(configured(tmp_path), specification(tmp_path))
    assert "Every client is trusted" in capsys.readouterr().out
    check_specification(configured(tmp_path, clients=CLIENTS[:1]), specification(tmp_path))
    assert "All clients reach all of them." in capsys.readouterr().out


def test_a_file_that_is_no_specification_is_told(tmp_path: Path) -> None:
    """By the option's name, with what to do."""
    with pytest.raises(ConfigurationError) as refused:
        check_specification(configured(tmp_path), tmp_path / "missing.json")
    assert refused.value.problems == (
        f"--specification: {tmp_path}/missing.json: cannot be read (No such file or directory). Name an OpenAPI file.",
    )
