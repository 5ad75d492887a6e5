"""The real program in front of the simulator, both started with one call, on free ports.

Nothing is asserted here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import Output, fetch, free_port, until
from tests.support.running import REGIONS, serving, simulated_amazon

LISTED = "ads_accounts_listed"
"""The event of a region's last list."""


@dataclass
class Rig:
    """The simulator's and the proxy's addresses."""

    simulator: dict[str, Any]
    proxy_url: str
    admin: str
    log: Output

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a client's request."""
        return fetch(self.proxy_url + path, headers=headers)

    def admin_get(self, path: str) -> tuple[int, bytes]:
        return fetch(self.admin + path)

    def control(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Asks the simulator's control API for something."""
        data = json.dumps(body or {}).encode()
        status, answer = fetch(self.simulator["control_url"] + path, data, {"Content-Type": "application/json"})
        assert status < 300, answer
        return answer

    def get_control(self, path: str) -> tuple[int, bytes]:
        """What the simulator's control API says."""
        return fetch(self.simulator["control_url"] + path)

    def account(self, name: str) -> dict[str, Any]:
        """An account as `/status` has it."""
        accounts = json.loads(self.admin_get("/status")[1])["accounts"]
        found: dict[str, Any] = next(account for account in accounts if account["name"] == name)
        return found

    def until_listed(self, name: str = "acme") -> None:
        """Wait until profiles and ads accounts are known in every region."""
        until(lambda: {each["region"] for each in self.log.entries() if each.get("event") == LISTED} == set(REGIONS))


@contextlib.contextmanager
def rig(
    tmp_path: Path,
    *,
    signed_in: bool = True,
    lifetime: int = 3600,
    beside: tuple[str, ...] = (),
    ads_account: str | None = None,
    **changes: Any,
) -> Iterator[Rig]:
    """The simulator, and `ads-proxy serve` in front of it with the account `acme`.

    Without `signed_in` the account has no refresh token; accounts `beside` it have the same login; `ads_account` is
    its default one. `changes` are further keys of the configuration.
    """
    with simulated_amazon("--access-token-lifetime", str(lifetime)) as amazon:
        admin_port = free_port()
        account = amazon.account(default_profile="first", redirect_uri=f"http://localhost:{admin_port}/login/callback")
        if ads_account is not None:
            account["default_ads_account"] = ads_account
        if not signed_in:
            del account["refresh_token"]
        settled = {
            "admin_listen": f"127.0.0.1:{admin_port}",
            "accounts": {name: {**account} for name in ("acme", *beside)},
            "log": {"format": "json", "level": "info", "access": True},
            **changes,
        }
        with serving(tmp_path, amazon.configuration(**settled)) as running:
            yield Rig(amazon.facts, running.proxy_url, f"http://127.0.0.1:{admin_port}", running.process.output)
