"""The configuration of the recorded session, in three variants that reloads go through. Values only."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.replay.amazon import HOSTS

ACCOUNTS = ("acme", "beta", "shop")
PROFILES = (b"11", b"12", b"13", b"21", b"99", b"", b"11, 12")
PUBLIC_HOSTS = (*(b"127.0.0.1",) * 40, *(b"localhost:8080",) * 4, b"advertising-api-eu.amazon.com", b"elsewhere")
ADS_ACCOUNT = "amzn1.ads-account.g.a"
_NAMES = ("all", "reader", "reporter", "limited", "ads", "both", "getter", "agent", "expiring", "narrow")
KEYS = {name: f"a-key-of-{name}-for-the-recorded-session".encode() for name in _NAMES}


FIRST_DAY = date(2026, 11, 25)
KEY_DAYS = 3
GENEROUS = {"requests_per_minute": 1_000_000, "max_in_flight": 1_000}


def limit_clients(values: dict[str, Any], days: int) -> None:
    """Give two of the clients budgets that are never spent, and have a key expire a few days later than now, which is
    so many days after the beginning."""
    for client in values.get("clients", ()):
        if client["name"] in ("reader", "getter"):
            client.update(GENEROUS)
        if client["name"] == "expiring":
            client["keys"][0]["expires"] = str(FIRST_DAY + timedelta(days=days + KEY_DAYS))


def configuration(port: int, admin_port: int, folder: Path, variant: int) -> dict[str, Any]:
    """The whole file. Variant 1 permits other things than variant 0, and variant 2 trusts every local client."""
    policies: dict[str, dict[str, Any]] = {
        "all": {},
        "reader": {"access": "read"},
        "reporter": {"access": "report", "paths": ["/reporting/*", "/v2/*", "/sp/*"]},
        "limited": {"accounts": ["acme"], "profiles": ["11", "12"]},
        "ads": {"account_ids": [ADS_ACCOUNT]},
        "both": {"profiles": ["21"], "account_ids": [ADS_ACCOUNT], "unscoped_paths": ["/v2/profiles", "/mcp"]},
        "getter": {"methods": ["GET"]},
        "agent": {"access": "read", "mcp_tools": ["campaign_management-*"]},
        "expiring": {},
        "narrow": {"accounts": ["beta"], "methods": ["GET", "POST"]},
    }
    if variant == 1:
        policies["reader"] = {"access": "write", "paths": ["/sp/*"]}
        policies["limited"] = {"profiles": ["13"]}
        policies["getter"] = {"methods": ["POST"]}
        del policies["narrow"]
    clients = [
        {"name": name, "keys": [{"sha256": hashlib.sha256(KEYS[name]).hexdigest()}], **policy}
        for name, policy in policies.items()
    ]
    for client in clients:
        if client["name"] == "expiring":
            client["keys"][0]["expires"] = "2026-12-15"
    return {
        "listen": "127.0.0.1:0",
        "admin_listen": f"127.0.0.1:{admin_port}",
        "regions": {
            region: {
                "api_url": f"http://{HOSTS[region]}:{port}",
                "token_url": f"http://{HOSTS[region]}:{port}/auth/o2/token",
                "mcp_url": f"http://{HOSTS['mcp']}:{port}/mcp",
            }
            for region in ("na", "eu", "fe")
        },
        "accounts": {
            name: {
                "client_id": f"amzn1.application-oa2-client.{name}",
                "client_secret": f"secret-of-{name}",
                "refresh_token": f"Atzr|for-{name}",
                "region": "eu" if name == "beta" else "na",
                **({"default_profile": "21"} if name == "beta" and variant != 1 else {}),
                **({"default_ads_account": ADS_ACCOUNT} if name == "shop" else {}),
            }
            for name in ACCOUNTS
        },
        **({"clients": clients} if variant != 2 else {}),
        "state": {"url": "memory:"},
        "log": {"format": "json", "level": "info", "access": True},
        "audit": {"file": str(folder / "audit.jsonl")},
    }
