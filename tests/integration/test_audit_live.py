"""The audit stream of the running program: what it holds, how it survives being killed, and what verify sees."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import fetch
from tests.support.programs import ROOT
from tests.support.ready_program import ready
from tests.support.running import Load, Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

ADMIN_KEY = "an-admin-key-of-some-length"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def records(path: Path) -> list[dict[str, Any]]:
    """The records whose lines are whole: a thread may be writing the last one."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def recorded(running: Serving, path: Path, action: str, count: int = 1) -> list[dict[str, Any]]:
    """The records of an action, once there are so many: they are written by a thread."""

    def found() -> list[dict[str, Any]]:
        return [each for each in records(path) if each["event"]["action"] == action]

    running.until(lambda: len(found()) >= count)
    return found()


def verify(*files: Path) -> tuple[int, str]:
    ended = subprocess.run(
        ready("audit", "verify", *map(str, files)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def shown_digest(running: Serving) -> str:
    """The last record's digest, as `/status` has it."""
    status = json.loads(fetch(f"{running.admin}/status", headers={"X-Ads-Proxy-Key": ADMIN_KEY})[1])
    return str(status["audit"]["digest"])


def write(running: Serving, key: str, profile: str) -> int:
    """Pause a campaign as a client does."""
    kind = "application/vnd.spCampaign.v3+json"
    headers = {
        "X-Ads-Proxy-Key": key,
        "Amazon-Advertising-API-Scope": profile,
        "Content-Type": kind,
        "Accept": kind,
    }
    body = json.dumps({"campaigns": [{"name": "canary-body", "state": "PAUSED"}]}).encode()
    return fetch(f"{running.proxy_url}/sp/campaigns?canary-query=1", body, headers)[0]


def configuration(amazon: SimulatedAmazon, path: Path, keys: list[dict[str, Any]]) -> dict[str, Any]:
    return amazon.configuration(
        clients=[{"name": "agent", "keys": keys}],
        admin={"key": ADMIN_KEY},
        audit={"file": str(path), "stdout": True},
        log={"format": "json", "level": "info"},
    )


def audit_show(path: Path) -> tuple[list[str], str]:
    """The rows that `audit show` prints without their times, and what it says beside them."""
    ended = subprocess.run(
        ready("audit", "show", str(path)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    rows = ended.stdout.splitlines()[1:]
    return [" ".join(row.split()[2:]) for row in rows], ended.stderr


def test_probes_change_nothing_and_a_refused_write_is_called_so(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """After typos and probes, the audit, `audit show` and the console have the write alone, which Amazon refused. No
    key is advised that is set."""
    path, key = tmp_path / "audit.jsonl", {"X-Ads-Proxy-Key": "a-key"}
    named = configuration(amazon, path, [{"sha256": digest("a-key")}])
    named["audit"]["objects"] = True
    with serving(tmp_path, named) as running:
        running.until(lambda: running.get("/v2/profiles", key)[0] == 200)
        for target in ("/", "/livez", "/readyz", "/nope", "/v2/profiless"):
            assert running.get(target, key)[0] == 404
        assert fetch(f"{running.proxy_url}/nope", b"{}", key)[0] == 404
        (written,) = recorded(running, path, "amazon-write")
        assert written["url"] == {"path": "/nope"}
        rows, said = audit_show(path)
        assert rows == ["agent acme - POST /nope refused (404) - -"]
        assert "audit.objects" not in said
        state = json.loads(fetch(f"{running.admin}/console/state", headers={"X-Ads-Proxy-Key": ADMIN_KEY})[1])
        changes = [(each["what"], each["outcome"]) for each in state["changes"] if each["what"] != "Server started"]
        assert changes == [("POST /nope", "refused")]


def test_who_changed_what_is_in_the_stream(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A write with client, operation and profile; keys that come and go; a login that failed. No body, no query."""
    path = tmp_path / "audit.jsonl"
    before = [{"sha256": digest("old-key"), "note": "old"}]
    with serving(tmp_path, configuration(amazon, path, before)) as running:
        running.until(lambda: running.get("/v2/profiles", {"X-Ads-Proxy-Key": "old-key"})[0] == 200)
        profile = str(json.loads(running.get("/v2/profiles", {"X-Ads-Proxy-Key": "old-key"})[1])[0]["profileId"])
        status = write(running, "old-key", profile)
        (written,) = recorded(running, path, "amazon-write")
        assert written["user"] == {"name": "agent"}
        assert written["http"]["response"]["status_code"] == status
        assert written["ads_proxy"]["operation_class"] == "write"
        assert (written["ads_proxy"]["account"], written["ads_proxy"]["profile"]) == ("acme", profile)
        running.write(configuration(amazon, path, [{"sha256": digest("new-key")}]))
        (added,) = recorded(running, path, "client-key-added")
        assert added["ads_proxy"]["key"] == digest("new-key")[:12]
        assert recorded(running, path, "client-key-removed")[0]["ads_proxy"]["note"] == "old"
        assert recorded(running, path, "configuration-reloaded")[0]["ads_proxy"]["changed"] == ["clients"]
        assert fetch(f"{running.admin}/status", headers={"X-Ads-Proxy-Key": "wrong"})[0] == 401
        (refused,) = recorded(running, path, "admin-login")
        assert (refused["event"]["outcome"], refused["source"]["ip"]) == ("failure", "127.0.0.1")
        running.until(lambda: shown_digest(running) == digest(path.read_text().splitlines()[-1]))
        running.stop()
        copied = [line for line in running.process.text.splitlines() if '"ads_proxy.audit"' in line]
    assert copied == path.read_text().splitlines()
    assert "canary" not in path.read_text()
    assert records(path)[-1]["event"]["action"] == "server-stopped"
    code, told = verify(path)
    assert (code, told.splitlines()[1]) == (0, digest(path.read_text().splitlines()[-1]))


def test_being_killed_breaks_no_chain(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """SIGKILL while clients write, three times over: each start goes on where the file ended, perhaps within a line."""
    path = tmp_path / "audit.jsonl"
    settings = configuration(amazon, path, [{"sha256": digest("key")}])
    del settings["clients"]
    for _ in range(3):
        with serving(tmp_path, settings) as running:
            running.until_ready()
            with Load(running, paths=("/v2/stores",), method="POST", workers=2) as load:
                running.until(lambda load=load: load.total >= 30)
                running.process.signal(signal.SIGKILL)
                running.process.wait()
    with serving(tmp_path, settings) as running:
        assert running.stop()[0] == 0
    code, told = verify(path)
    assert code == 0, told
    assert path.read_text().count('"audit-opened"') == 4
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10] + lines[11:]))
    assert verify(path)[0] == 1


def test_a_key_is_replaced_without_a_failed_request(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Both keys are accepted while the client changes over; an expired one is refused with the reason."""
    path = tmp_path / "audit.jsonl"
    old, new = {"sha256": digest("old-key")}, {"sha256": digest("new-key")}
    with serving(tmp_path, configuration(amazon, path, [old])) as running:

        def asked(key: str) -> int:
            return running.get("/v2/profiles", {"X-Ads-Proxy-Key": key})[0]

        def last_used(position: int) -> Any:
            status = fetch(f"{running.admin}/status", headers={"X-Ads-Proxy-Key": ADMIN_KEY})[1]
            return json.loads(status)["client_keys"][position]["last_used"]

        running.until(lambda: asked("old-key") == 200)
        running.write(configuration(amazon, path, [old, new]))
        running.until(lambda: asked("new-key") == 200)
        assert asked("old-key") == 200
        assert last_used(0) and last_used(1)
        running.write(configuration(amazon, path, [{**old, "expires": "2026-01-01"}, new]))
        running.until(lambda: asked("old-key") == 401)
        assert asked("new-key") == 200
        running.until(lambda: running.metric("refused_total", reason="client-key-ended") >= 1)
        assert running.metric("client_key_expiry_timestamp_seconds", client="agent") == 0
        running.write(configuration(amazon, path, [{**new, "expires": "9999-01-01"}]))
        running.until(lambda: running.metric("client_key_expiry_timestamp_seconds", client="agent") > 0)


def test_a_key_ends_on_a_connection_that_is_kept(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """By the clock, with nothing to reload: the very next request is refused, and the end is recorded."""
    path = tmp_path / "audit.jsonl"
    seconds = [4 * 2**number for number in range(9)]

    def keys() -> list[dict[str, Any]]:
        """One ends soon: twice as late each time."""
        ends = datetime.now(UTC) + timedelta(seconds=seconds.pop(0))
        return [{"sha256": digest("brief"), "expires": ends.isoformat()}, {"sha256": digest("other")}]

    with serving(tmp_path, configuration(amazon, path, keys())) as running:
        connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        with contextlib.closing(connection):

            def asked() -> int:
                connection.request("GET", "/v2/profiles", headers={"X-Ads-Proxy-Key": "brief"})
                answer = connection.getresponse()
                answer.read()
                return answer.status

            def accepted() -> bool:
                """Whether the key was accepted before its end; on a slow machine it gets a later one."""
                if asked() == 200:
                    return True
                reloads = len(running.events("config_reloaded"))
                running.write(configuration(amazon, path, keys()))
                running.told("config_reloaded", count=reloads + 1)
                return False

            running.until(accepted)
            reloads = len(running.events("config_reloaded"))
            kept = connection.sock
            running.until(lambda: asked() == 401)
            assert connection.sock is kept
            assert len(running.events("config_reloaded")) == reloads
        ended = recorded(running, path, "client-key-ended")[-1]
        assert ended["ads_proxy"]["key"] == digest("brief")[:12]
        assert running.get("/v2/profiles", {"X-Ads-Proxy-Key": "other"})[0] == 200


def send(running: Serving, method: str, path: str, profile: str, body: dict[str, Any]) -> tuple[int, Any]:
    """A request about campaigns: the status and the JSON of its response."""
    kind = "application/vnd.spCampaign.v3+json"
    headers = {"Amazon-Advertising-API-Scope": profile, "Content-Type": kind, "Accept": kind}
    with contextlib.closing(http.client.HTTPConnection(running.netloc, timeout=PATIENCE)) as connection:
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_what_was_changed_and_what_became_of_it(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A write of which an item failed is partial, and names its objects; `audit show` finds it by one of them."""
    path = tmp_path / "audit.jsonl"
    audit = {"file": str(path), "objects": True, "values": ["state"]}
    settings = amazon.configuration(audit=audit, log={"format": "json", "level": "info"})
    with serving(tmp_path, settings) as running:
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        profile = str(json.loads(running.get("/v2/profiles")[1])[0]["profileId"])
        known = send(running, "POST", "/sp/campaigns/list", profile, {})[1]["campaigns"][0]["campaignId"]
        both = [{"campaignId": known, "state": "PAUSED"}, {"campaignId": "1", "state": "PAUSED", "name": "canary"}]
        assert send(running, "PUT", "/sp/campaigns", profile, {"campaigns": both})[0] == 207
        (written,) = recorded(running, path, "amazon-write")
        own, day = written["ads_proxy"], written["@timestamp"][:10]
        assert (written["event"]["outcome"], own["items"]) == ("partial", {"succeeded": 1, "failed": 1})
        assert (own["objects"], own["members"]) == ([f"campaign/{known}", "campaign/1"], ["state", "name"])
        assert {each["value"] for each in own["values"]} == {"PAUSED"}
        running.until(lambda: running.metric("write_outcomes_total", outcome="partial") == 1)
        running.stop()
    assert "canary" not in path.read_text()
    ended = subprocess.run(
        ready("audit", "show", "--day", day, "--object", f"campaign/{known}", str(path)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    (row,) = ended.stdout.splitlines()[1:]
    assert row.split()[-4:] == [f"campaign/{known}", "campaign/1", "state=PAUSED", "name"]


def test_a_write_whose_proxy_was_killed_is_on_record(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """SIGKILL as soon as the simulator has the write: the file says who sent it, the chain holds, and `audit show` says
    that its outcome is unknown."""
    path = tmp_path / "audit.jsonl"
    settings = configuration(amazon, path, [{"sha256": digest("key")}])
    amazon.fault({"delay": 3600, "before_checks": True}, path="/sp/campaigns")
    with serving(tmp_path, settings) as running:
        running.until_ready()
        client = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        with contextlib.closing(client):
            headers = {"X-Ads-Proxy-Key": "key", "Content-Type": "application/vnd.spCampaign.v3+json"}
            client.request("PUT", "/sp/campaigns", b'{"campaigns": []}', headers)
            running.until(lambda: received(amazon, "/sp/campaigns"))
            running.process.signal(signal.SIGKILL)
            running.process.wait()
        (begun,) = [each for each in records(path) if each["event"]["action"] == "amazon-write-begun"]
    assert (begun["user"], begun["url"]) == ({"name": "agent"}, {"path": "/sp/campaigns"})
    assert begun["ads_proxy"]["operation"] == "UpdateSponsoredProductsCampaigns"
    code, told = verify(path)
    assert code == 0, told
    assert "no answer yet" in show(path)
    amazon.heal()
    with serving(tmp_path, settings) as running:
        running.until_ready()
    assert "unknown: the proxy was killed" in show(path)
    assert verify(path)[0] == 0


def received(amazon: SimulatedAmazon, path: str) -> bool:
    """Whether the simulator has a request for this path."""
    return any(path in json.dumps(each) for each in amazon.look("requests", listener="api"))


def show(path: Path) -> str:
    """What `audit show` prints, each space as one."""
    command = ready("audit", "show", str(path))
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return " ".join(ended.stdout.split())
