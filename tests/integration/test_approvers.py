"""Approvers and everybody else in front of the running program: which keys decide, here and at the client listener."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import fetch, until
from tests.support.ready_program import run_ready
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

CLIENT, ADMIN = "the-key-of-a-client", "the-admin-key-of-a-length"
ANNA, BEN, OLD = "the-key-of-anna", "the-key-of-ben", "the-old-key-of-ben"
KIND = "application/vnd.spCampaign.v3+json"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


APPROVALS: dict[str, Any] = {
    "approvers": [
        {"name": "anna", "keys": [{"sha256": digest(ANNA)}]},
        {"name": "ben", "keys": [{"sha256": digest(BEN)}, {"sha256": digest(OLD), "expires": "2026-01-01"}]},
    ]
}


@dataclass
class Proxy:
    """The running program, and what a test does with it."""

    running: Serving
    folder: Path
    profile: str

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The records of the audit stream."""
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]

    def send(self, budget: float = 500, key: str = CLIENT) -> tuple[int, dict[str, Any]]:
        """Create a campaign as the client; status and document of the answer."""
        campaign = {"name": "Shoes", "state": "PAUSED", "targetingType": "MANUAL"}
        body = {"campaigns": [{**campaign, "budget": {"budget": budget, "budgetType": "DAILY"}}]}
        headers = {"X-Ads-Proxy-Key": key, "Content-Type": KIND, "Amazon-Advertising-API-Scope": self.profile}
        status, text = fetch(f"{self.running.proxy_url}/sp/campaigns", json.dumps(body).encode(), headers)
        return status, json.loads(text)

    def ask(self, budget: float = 500) -> str:
        """Send a write over the limit; the id of its approval."""
        status, document = self.send(budget)
        assert (status, document["type"]) == (403, "urn:ads-proxy:error:approval-required")
        return str(document["approval_id"])

    def decide(self, identifier: str, approver: str | None, admin: str | None = None) -> tuple[int, dict[str, Any]]:
        """Approve with these keys; status and document of the answer."""
        headers = {"X-Ads-Proxy-Console": "1", "Content-Type": "application/json"}
        headers |= {} if approver is None else {"X-Ads-Proxy-Approver-Key": approver}
        headers |= {} if admin is None else {"Authorization": f"Bearer {admin}"}
        url = f"{self.running.admin}/console/approvals/{identifier}"
        status, text = fetch(url, b'{"decision": "approve"}', headers)
        return status, json.loads(text)

    def reload(self, written: dict[str, Any]) -> dict[str, Any]:
        """Replace the configuration; what the log says of it."""
        self.running.write(written)
        entries = self.running.process.output.entries
        (said,) = until(lambda: [each for each in entries() if each.get("event") == "config_reloaded"])
        return dict(said)

    def command(self, *arguments: str, key: str = ANNA) -> tuple[int, str]:
        """Exit code and all output of a command of an approver, who knows the address and their own key alone."""
        environ = {"ADS_PROXY_APPROVER_KEY": key}
        where = "--admin-listen", self.running.admin.removeprefix("http://")
        done = run_ready(self.folder, (*arguments, *where), environ)
        return done.returncode, done.stdout + done.stderr


def configuration(amazon: SimulatedAmazon, folder: Path, **changes: Any) -> dict[str, Any]:
    """One client with a limit, two approvers, and an admin key."""
    spend = {"budget": {"USD": 200}, "beyond": "approve"}
    settled = {
        "accounts": {"acme": amazon.account()},
        "admin": {"key": ADMIN},
        "clients": [{"name": "agent", "key_sha256": digest(CLIENT), "spend": spend}],
        "approvals": APPROVALS,
        "audit": {"file": str(folder / "audit.jsonl")},
        "state": {"url": f"file:{folder / 'state'}"},
    }
    return amazon.configuration(**{**settled, **changes})


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as simulated:
        yield simulated


@pytest.fixture
def proxy(tmp_path: Path, amazon: SimulatedAmazon) -> Iterator[Proxy]:
    with serving(tmp_path, configuration(amazon, tmp_path)) as running:
        yield ready(Proxy(running, tmp_path, amazon.facts["profiles"]["na"][0]))


def ready(proxy: Proxy) -> Proxy:
    """Wait until the currency of the profile is known: a write can be read then."""
    until(lambda: proxy.send()[1]["type"].endswith(":approval-required"))
    return proxy


def test_an_approver_decides_from_the_address_and_the_key_alone(proxy: Proxy) -> None:
    """The write passes once; the audit stream names the approver."""
    identifier = proxy.ask()
    code, shown = proxy.command("approvals")
    assert (code, identifier in shown, "over: budget 500 USD, limit 200 " in shown) == (0, True, True)
    code, said = proxy.command("approve", identifier)
    assert (code, "Approved by anna: agent may send exactly this write once" in said) == (0, True)
    status, answer = proxy.send()
    assert (status, len(answer["campaigns"]["success"])) == (207, 1)
    assert proxy.ask() != identifier
    code, said = proxy.command("approve", identifier)
    assert (code, "the approval is used already" in said) == (1, True)
    code, said = proxy.command("deny", proxy.ask(), "--because", "One is enough", key=BEN)
    assert (code, "Denied by ben" in said) == (0, True)
    status, denied = proxy.send()
    assert (status, denied["type"], denied["because"]) == (
        403,
        "urn:ads-proxy:error:approval-denied",
        "One is enough",
    )
    (record,) = until(lambda: [each for each in proxy.audit if "approved" in json.dumps(each) and "http" in each])
    assert record["ads_proxy"]["spend"]["approver"] == "anna"


def test_a_clients_key_never_approves(proxy: Proxy) -> None:
    """Neither does the admin key, an expired key, or none; each wrong key is in the audit stream."""
    identifier = proxy.ask()
    for approver, admin, status in (
        (CLIENT, None, 403),
        (CLIENT, ADMIN, 403),
        (ADMIN, ADMIN, 403),
        (OLD, None, 403),
        (digest(ANNA), None, 403),
        (None, ADMIN, 401),
        (None, CLIENT, 401),
        (None, None, 401),
    ):
        found, document = proxy.decide(identifier, approver, admin)
        assert found == status, document
    assert proxy.ask() == identifier

    def refused() -> list[dict[str, Any]] | None:
        records = [each for each in proxy.audit if each["event"]["action"] == "approver-login"]
        return records if len(records) == 5 else None

    records = until(refused)
    assert {record["url"]["path"] for record in records} == {f"/console/approvals/{identifier}"}
    assert [record["user"]["name"] for record in records] == ["agent", "agent", "", "", ""]


def test_an_approvers_key_is_no_clients_key(proxy: Proxy) -> None:
    """Whoever approves cannot send, nor see anything else at the admin listener."""
    assert proxy.send(budget=100, key=ANNA)[0] == 401
    for path in ("/status", "/console/state", "/metrics", "/"):
        status, _ = fetch(proxy.running.admin + path, headers={"X-Ads-Proxy-Approver-Key": ANNA})
        assert status == (200 if path == "/metrics" else 401)
    for name in ("Authorization", "X-Ads-Proxy-Key"):
        assert fetch(f"{proxy.running.admin}/console/approvals", headers={name: ANNA})[0] == 401


def test_a_reload_changes_who_approves(proxy: Proxy, amazon: SimulatedAmazon) -> None:
    """A removed approver decides no more, a new one does at once, and what waits is not touched. The metrics have the
    expiry of the new one's key."""
    identifier = proxy.ask()
    expiry = partial(proxy.running.metric, "approver_key_expiry_timestamp_seconds")
    assert expiry() == 0
    alone = {"approvers": [{"name": "carl", "keys": [{"sha256": digest("the-key-of-carl"), "expires": "9999-01-01"}]}]}
    assert proxy.reload(configuration(amazon, proxy.folder, approvals=alone))["success"]
    assert proxy.decide(identifier, ANNA)[0] == 403
    assert proxy.ask() == identifier
    status, document = proxy.decide(identifier, "the-key-of-carl")
    assert (status, document["approver"]) == (200, "carl")
    assert expiry(approver="carl") > 0


def test_the_admin_key_decides_after_a_reload(proxy: Proxy, amazon: SimulatedAmazon) -> None:
    """With `approvals.admin`, in the name of `admin`."""
    identifier = proxy.ask()
    assert proxy.decide(identifier, None, ADMIN)[0] == 401
    assert proxy.reload(configuration(amazon, proxy.folder, approvals={**APPROVALS, "admin": True}))["success"]
    status, document = proxy.decide(identifier, None, ADMIN)
    assert (status, document["state"], document["approver"]) == (200, "approved", "admin")


def test_a_reload_without_an_approver_is_refused(proxy: Proxy, amazon: SimulatedAmazon) -> None:
    """The running configuration stays, and its approvers decide."""
    said = proxy.reload(configuration(amazon, proxy.folder, approvals={}))
    assert "clients[0].spend.beyond: no approver is configured" in str(said["problems"])
    assert proxy.decide(proxy.ask(), ANNA)[0] == 200


def test_what_waits_is_there_after_a_restart(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The same id for the same write, and it can be approved then, and passes once."""
    written = configuration(amazon, tmp_path)
    profile = amazon.facts["profiles"]["na"][0]
    with serving(tmp_path, written) as running:
        identifier = ready(Proxy(running, tmp_path, profile)).ask()
    assert yaml.safe_load((tmp_path / "proxy.yaml").read_text()) == written
    with serving(tmp_path, written) as running:
        proxy = ready(Proxy(running, tmp_path, profile))
        assert proxy.ask() == identifier
        assert proxy.command("approve", identifier)[0] == 0
        assert [proxy.send()[0] for _ in range(4)] == [207, 403, 403, 403]
