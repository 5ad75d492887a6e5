"""Where people see what was judged: command, status, metrics, log, audit and console of the running program."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.app.spend_observations import KeptObservations
from proxy.events import SpendJudgement, SpendMode, SpendVerdict
from proxy.secret import Secret
from proxy.spend.observations import SpendObservations, judged_write
from proxy.tokens.opening import open_store
from tests.integration.rig import Rig
from tests.observability.test_metrics import finished
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, until
from tests.support.programs import ROOT
from tests.support.ready_program import ready
from tests.support.redis_server import KEY, redis_server
from tests.support.running import Serving, serving, simulated_amazon

pytestmark = pytest.mark.integration
OVER = SpendJudgement(SpendMode.OBSERVE, SpendVerdict.OVER)
MEDIA_TYPE = "application/vnd.spCampaign.v3+json"


def client(name: str, **spend: object) -> dict[str, object]:
    return {"name": name, "key_sha256": hashlib.sha256(f"key-of-{name}".encode()).hexdigest(), "spend": spend}


CLIENTS = [
    client("agent", mode="observe", budget={"USD": 50}, new_per_day=50),
    client("strict", budget={"USD": 50}),
    client("silent", budget={"USD": 50}),
]


def create(running: Serving | Rig, name: str, profile: str, budget: float, **more: object) -> int:
    """Create a campaign as a client; returns the status."""
    campaign = {
        "name": f"{name} {budget}",
        "state": "PAUSED",
        "targetingType": "MANUAL",
        "startDate": "2026-12-01",
        "budget": {"budget": budget, "budgetType": "DAILY"},
        **more,
    }
    headers = {
        "X-Ads-Proxy-Key": f"key-of-{name}",
        "Amazon-Advertising-API-Scope": profile,
        "Content-Type": MEDIA_TYPE,
        "Accept": MEDIA_TYPE,
    }
    return fetch(f"{running.proxy_url}/sp/campaigns", json.dumps({"campaigns": [campaign]}).encode(), headers)[0]


def profile_in(running: Serving | Rig, currency: str) -> str:
    headers = {"X-Ads-Proxy-Key": "key-of-agent"}
    until(lambda: running.get("/v2/profiles", headers)[0] == 200)
    profiles = json.loads(running.get("/v2/profiles", headers)[1])
    return str(next(each["profileId"] for each in profiles if each["currencyCode"] == currency))


def spend(running: Serving, *arguments: str) -> Any:
    """What the command `spend` prints as JSON."""
    address = running.admin.removeprefix("http://")
    command = ready("spend", "--json", "--admin-listen", address, *arguments)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def test_what_was_judged_is_seen_everywhere(tmp_path: Path) -> None:
    """An observed write goes on, an enforced one is held back; all numbers agree, and survive a restart."""
    path = tmp_path / "audit.jsonl"
    with simulated_amazon() as amazon:
        state = {"url": f"file:{tmp_path / 'state'}"}
        log = {"format": "json", "level": "info"}
        settings = amazon.configuration(audit={"file": str(path)}, log=log, clients=CLIENTS, state=state)
        with serving(tmp_path, settings) as running:
            profile = profile_in(running, "USD")
            until(lambda: create(running, "agent", profile, 10) == 207)
            assert create(running, "agent", profile, 500) == 207
            assert create(running, "agent", profile, 10, dailySpendCap=7) == 207
            assert create(running, "strict", profile, 500) == 403
            until(lambda: len(spend(running)) == 3 and spend(running, "strict")[0]["judged"] == {"over": 1})
            check_numbers(running)
            running.stop()
        audited = [json.loads(line) for line in path.read_text().splitlines()]
        held = [record for record in audited if record["event"]["action"] == "write-held-back"]
        assert [each["ads_proxy"]["spend"]["violations"][0]["value"] for each in held] == ["500"]
        judged = [each["ads_proxy"]["spend"]["verdict"] for each in audited if "spend" in each.get("ads_proxy", {})]
        assert (judged.count("over"), {*judged}) == (2, {"within", "over", "unreadable"})
        with serving(tmp_path, settings) as running:
            until(lambda: spend(running, "strict")[0]["judged"] == {"over": 1})
            assert spend(running, "agent")[0]["judged"]["over"] == 1
            assert spend(running, "agent")[0]["mode"] == "observe"


def check_numbers(running: Serving) -> None:
    """The command, the metrics and the log tell of the same writes."""
    agent, silent, strict = spend(running)
    assert (agent["judged"]["over"], agent["judged"]["unreadable"], agent["violations"]) == (1, 1, {"budget": 1})
    assert any("dailySpendCap" in name for name in agent["unknown"])
    limits = {"budget": {"USD": "50"}, "new_per_day": 50}
    assert (agent["mode"], agent["limits"], agent["frozen"]) == ("observe", limits, False)
    running.until(lambda: sum(day["created"] for day in spend(running)[0]["days"]) == agent["judged"]["within"] + 2)
    largest = {(each["rule"], each["currency"]): each["largest"] for each in agent["rules"]}
    assert largest["budget", "USD"] == "500"
    assert (silent["judged"], strict["judged"]) == ({}, {"over": 1})
    over = {"client": "agent", "mode": "observe", "verdict": "over"}
    running.until(lambda: running.metric("spend_judged_total", **over) == 1)
    assert running.metric("spend_violations_total", client="strict", rule="budget") == 1
    running.until(lambda: verdicts_in_log(running).count("over") == 2)
    assert {*verdicts_in_log(running)} == {"within", "over", "unreadable"}


def verdicts_in_log(running: Serving) -> list[str]:
    return [line["spend"]["verdict"] for line in running.process.output.entries() if "spend" in line]


async def test_three_replicas_lose_nothing(tmp_path: Path) -> None:
    """They write the same document of a real server again and again, at the same moments."""

    async def turn(_: float) -> None:
        await asyncio.sleep(0)

    with redis_server(tmp_path) as server:
        stores = [open_store(server.url, Secret(KEY)) for _ in range(3)]
        replicas = [KeptObservations(pause=turn) for _ in stores]
        for replica, store in zip(replicas, stores, strict=True):
            await replica.begin(store)
        for _ in range(50):
            for replica in replicas:
                replica.note(judged_write(finished(client="agent"), OVER, time.time()))
            await replicas[0].look()  # the others write meanwhile

        async def kept() -> int:
            """The writes in the store, after each replica looked for its own."""
            for replica in replicas:
                await replica.look()
            tally = SpendObservations.read(await stores[0].read_document("spend-observations")).clients()["agent"]
            return tally.judged.total()

        async with asyncio.timeout(PATIENCE):
            while await kept() < 150:
                await asyncio.sleep(0)
        assert await kept() == 150
        for replica, store in zip(replicas, stores, strict=True):
            await replica.stop()
            await store.close()


def command(running: Serving, *arguments: str) -> int:
    address = running.admin.removeprefix("http://")
    return subprocess.run(ready(*arguments, "--admin-listen", address), cwd=ROOT, check=False).returncode


def test_writes_of_a_frozen_client_are_among_them(tmp_path: Path) -> None:
    """Also of a client without limits; each has an audit record, and the command shows who is frozen."""
    path = tmp_path / "audit.jsonl"
    plain = {name: value for name, value in client("plain").items() if name != "spend"}
    with simulated_amazon() as amazon:
        settings = amazon.configuration(audit={"file": str(path)}, clients=[*CLIENTS, plain])
        with serving(tmp_path, settings) as running:
            profile = profile_in(running, "USD")
            assert command(running, "freeze", "plain") == 0
            assert command(running, "freeze", "strict") == 0
            assert [create(running, name, profile, 10) for name in ("plain", "strict")] == [403, 403]
            until(lambda: {each["client"]: each["judged"] for each in spend(running)}.get("plain") == {"frozen": 1})
            found = {each["client"]: each for each in spend(running)}
            assert (found["plain"]["mode"], found["plain"]["frozen"]) == (None, True)
            assert (found["strict"]["judged"], found["strict"]["frozen"]) == ({"frozen": 1}, True)
            assert running.metric("spend_judged_total", client="plain", mode="enforce", verdict="frozen") == 1
            running.stop()
    audited = [json.loads(line) for line in path.read_text().splitlines()]
    held = [record for record in audited if record["event"]["action"] == "write-held-back"]
    assert [record["user"]["name"] for record in held] == ["plain", "strict"]
    assert {record["ads_proxy"]["spend"]["verdict"] for record in held} == {"frozen"}
