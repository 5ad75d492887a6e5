"""One program with four workers, before the simulator: what is counted through kills, and that all know the same.

Which worker served is told by the first half of the answer's X-Request-Id, which is each process's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_audit_live import verify
from tests.integration.test_fleet_live import sign_in
from tests.integration.test_reload import make_certificate
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port, until
from tests.support.redis_server import KEY as REDIS_KEY
from tests.support.redis_server import redis_server
from tests.support.running import Load, Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

WORKERS = 4
KILLS = 10
KEY = "a-client-key-of-some-length"
CLIENT = {"name": "tool", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}
SCOPE = "Amazon-Advertising-API-Scope"
KEYED = {"X-Ads-Proxy-Key": KEY}
BUDGET = 200
"""Requests a minute of the client that programs of a fleet serve."""


@contextlib.contextmanager
def program(amazon: SimulatedAmazon, path: Path, **changes: Any) -> Iterator[Serving]:
    with serving(path, amazon.configuration(workers=WORKERS, **changes)) as running:
        running.until_ready()
        running.until_listed()
        yield running


def pids(running: Serving) -> dict[int, int]:
    """The workers' processes by their numbers, as they serve now."""
    return {line["number"]: line["pid"] for line in running.events("worker_started")}


def all_serve(running: Serving) -> bool:
    return running.metric("workers", state="serving") == WORKERS


def ask(
    running: Serving, path: str = "/v2/profiles", headers: dict[str, str] | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    """One request on a connection of its own: the status, which worker served it, and the head."""
    connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["X-Request-Id"].partition("-")[0], answer.headers
    finally:
        connection.close()


def ask_each(
    running: Serving, path: str = "/v2/profiles", headers: dict[str, str] | None = None
) -> dict[str, list[int]]:
    """Ask until every worker has answered: its statuses by worker."""
    found: dict[str, list[int]] = {}
    for _ in range(2000):
        status, worker, _ = ask(running, path, headers)
        found.setdefault(worker, []).append(status)
        if len(found) == WORKERS:
            return found
    raise AssertionError(f"only {len(found)} workers answered")


def more_than(load: Load, count: int) -> bool:
    return load.total > count


def statuses(found: dict[str, list[int]]) -> set[int]:
    return {status for each in found.values() for status in each}


SLOW_LIST = 3.0
"""Seconds, within which the workers begin to serve."""


def test_workers_wait_for_the_first_lists(tmp_path: Path) -> None:
    """Requests for profiles of all regions reach these, although no worker has a list when they come."""
    with simulated_amazon() as amazon:
        amazon.fault({"delay": SLOW_LIST}, path="/v2/profiles")
        profiles = [profile for region in ("eu", "fe", "na") for profile in amazon.facts["profiles"][region]]
        with serving(tmp_path, amazon.configuration(workers=2)) as running:
            found: dict[str, int] = {}

            def ask_for(profile: str) -> None:
                found[profile] = ask(running, "/sd/campaigns", {SCOPE: profile})[0]

            asking = [threading.Thread(target=ask_for, args=(profile,)) for profile in profiles]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join(PATIENCE)
            assert found == dict.fromkeys(profiles, 200)
            running.until_ready()


def test_counters_go_on_through_the_deaths_of_workers(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Ten are killed under load: every response that a client has whole is counted, and apart from those at most the
    requests that were in the killed process. No gauge of a dead worker is left, and the account has one state."""
    with program(amazon, tmp_path) as running:
        before = running.metric("requests_total")
        with Load(running, paths=("/v2/profiles", "/sim/status/404"), workers=6, pause=0.02) as load:
            for kill in range(KILLS):
                until(partial(more_than, load, load.total + 20))
                os.kill(random.choice(sorted(pids(running).values())), signal.SIGKILL)
                running.told("worker_started", WORKERS + kill + 1)
        running.until(lambda: running.metric("requests_in_flight") == 0)
        counted = running.metric("requests_total") - before
        assert load.total <= counted <= load.total + len(load.failures)
        assert len(load.failures) <= KILLS * load.workers
        answered = {status: running.metric("requests_total", code=str(status)) for status in load.statuses}
        assert sum(answered.values()) - before == counted
        timed = running.metric("request_duration_seconds_count")
        # Each worker may be killed after it counted a request in one of the two metrics and before the other.
        assert abs(running.metric("requests_total") - timed) <= KILLS
        assert running.metric("worker_restarts_total", reason="crashed") == KILLS
        assert running.metric("workers") == WORKERS
        assert running.metric("credential_state", account="acme") == 1
        assert amazon.counts()["token_by_grant"]["refresh_token"] == 1
        for line in running.process.output.lines:
            json.loads(line)


def test_a_worker_that_hangs_is_replaced(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A stopped worker is killed within seconds, and another serves instead."""
    with program(amazon, tmp_path) as running:
        number, pid = min(pids(running).items())
        os.kill(pid, signal.SIGSTOP)
        (lost,) = running.told("worker_lost")
        assert (lost["number"], lost["pid"], lost["reason"], lost["detail"]) == (number, pid, "hung", "signal SIGKILL")
        running.until(lambda: all_serve(running) and pids(running)[number] != pid)
        assert statuses(ask_each(running)) == {200}
        assert running.metric("worker_restarts_total", reason="hung") == 1
        shown = {worker["number"]: worker for worker in running.status()["workers"]}
        assert {worker["pid"] for worker in shown.values()} == set(pids(running).values())
        assert [(worker["state"], worker["restarts"]) for worker in shown.values()] == [
            ("serving", int(each == number)) for each in range(WORKERS)
        ]


def test_a_reload_reaches_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Once the reload is reported as done, every worker goes by the new rules; a broken one changes nothing."""
    with program(amazon, tmp_path) as running:
        assert statuses(ask_each(running)) == {200}
        running.write(amazon.configuration(workers=WORKERS, clients=[CLIENT]))
        running.process.signal(signal.SIGHUP)
        running.told("config_reloaded", success=True)
        assert statuses(ask_each(running)) == {401}
        assert statuses(ask_each(running, headers=KEYED)) == {200}
        running.write("listen: {")
        running.process.signal(signal.SIGHUP)
        running.told("config_reloaded", success=False)
        assert statuses(ask_each(running, headers=KEYED)) == {200}


def test_a_new_worker_has_the_certificate_in_force(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The files on disk are broken by now, and the reload was refused: a killed worker is replaced nevertheless."""
    names = make_certificate(tmp_path, "first")
    with serving(tmp_path, amazon.configuration(workers=WORKERS, tls=names)) as running:
        running.told("worker_started", WORKERS)
        host, port = running.netloc.split(":")
        certificate = Path(names["cert"]).read_text()
        Path(names["cert"]).write_text("no certificate")
        Path(names["key"]).unlink()
        running.process.signal(signal.SIGHUP)
        running.told("config_reloaded", success=False)
        for pid in pids(running).values():
            os.kill(pid, signal.SIGKILL)
        running.told("worker_started", 2 * WORKERS)
        assert {ssl.get_server_certificate((host, int(port))) for _ in range(4 * WORKERS)} == {certificate}
        assert {line["detail"] for line in running.events("worker_lost")} == {"signal SIGKILL"}


def test_tokens_are_minted_once_for_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The supervisor requests them at the start, and when Amazon has forgotten the one in use, whichever worker hears
    of it first."""
    with program(amazon, tmp_path) as running:
        assert statuses(ask_each(running)) == {200}
        for mints in (2, 3):
            amazon.control("tokens/expire")
            with Load(running, workers=8) as load:
                until(partial(more_than, load, 200))
            assert load.statuses.keys() == {200}
            assert amazon.counts()["token_by_grant"]["refresh_token"] == mints
            assert statuses(ask_each(running)) == {200}
        assert amazon.counts()["token_by_grant"]["refresh_token"] == 3


def test_a_drain_loses_nothing(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """What was accepted is answered, the exit code is 0, and no process is left: with workers that Python starts."""
    given = amazon.configuration(workers=WORKERS, drain={"timeout": 10})
    with serving(tmp_path, given, prefix=("/usr/bin/env",)) as running:
        running.until_ready()
        running.until_listed()
        processes = pids(running)
        with Load(running, workers=6, keep=False) as load:
            until(lambda: load.total > 100)
            code, _ = running.stop()
        assert code == 0
        assert load.statuses.keys() == {200}
        refused = [failure for failure in load.failures if "ConnectionRefused" not in failure]
        assert refused == []
        (stopped,) = running.events("server_stopped")
        assert stopped["cut"] == 0
        assert len(running.events("request", status=200)) >= load.total
        assert not [pid for pid in processes.values() if Path(f"/proc/{pid}").exists()]


@contextlib.contextmanager
def orphaned(running: Serving) -> Iterator[list[int]]:
    """The processes of the workers, whose supervisor is killed. They serve ten seconds more and while `drain.delay`
    lasts, and end with the test."""
    processes = [*pids(running).values()]
    running.process.signal(signal.SIGKILL)
    running.process.child.wait(PATIENCE)
    try:
        yield processes
    finally:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_workers_outlive_their_supervisor_for_a_while(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The supervisor is killed: workers serve with what they hold, then end by themselves."""
    with program(amazon, tmp_path, drain={"delay": 10}) as running, orphaned(running) as processes:
        assert statuses(ask_each(running)) == {200}
        until(lambda: not [pid for pid in processes if Path(f"/proc/{pid}").exists()])
        with pytest.raises(OSError, match="refused"):
            ask(running)


def test_no_write_leaves_without_the_supervisor_that_records_it(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The supervisor is killed: every worker answers writes with 503, to be sent again later, and goes on with
    reads."""
    changes = {"audit": {"file": str(tmp_path / "audit.jsonl")}, "drain": {"delay": PATIENCE}}
    with contextlib.ExitStack() as opened:
        running = opened.enter_context(program(amazon, tmp_path, **changes))
        assert statuses(ask_each(running, "/unknown/thing")) != {503}
        opened.enter_context(orphaned(running))
        assert statuses(ask_each(running, "/unknown/thing")) == {503}
        assert statuses(ask_each(running)) == {200}
        before = amazon.counts()
        status, body = fetch(f"{running.proxy_url}/unknown/thing")
        refused = json.loads(body)
        assert (status, refused["type"], refused["retryable"]) == (503, "urn:ads-proxy:error:write-not-recorded", True)
        assert amazon.counts() == before


def test_a_pause_that_amazon_asked_for_is_known_to_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """One 429 with Retry-After, and no worker sends such a request until then."""
    with program(amazon, tmp_path) as running:
        ask_each(running)
        fault = {"status": 429, "headers": {"Retry-After": "300"}, "body": "{}"}
        amazon.fault(fault, times=1, target="api", path="/managerAccounts")
        assert ask(running, "/managerAccounts")[0] == 429
        running.until(lambda: statuses(ask_each(running, "/managerAccounts")) == {429})
        assert amazon.counts()["api_by_status"]["429"] == 1  # the others are the proxy's own
        sent = amazon.counts()["paths"]["GET /managerAccounts"]
        assert statuses(ask_each(running, "/managerAccounts")) == {429}
        assert amazon.counts()["paths"]["GET /managerAccounts"] == sent


def test_a_clients_budget_holds_over_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Sixty a minute are sixty, however many workers serve them at once."""
    client = {**CLIENT, "requests_per_minute": 60}
    with program(amazon, tmp_path, clients=[client]) as running:
        answers: list[tuple[int, str]] = []
        began = time.monotonic()

        def work() -> None:
            answers.extend(ask(running, headers=KEYED)[:2] for _ in range(25))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        seconds = time.monotonic() - began
        assert len({worker for _, worker in answers}) > 1
        found = Counter(status for status, _ in answers)
        assert found[200] + found[429] == 200
        assert 60 <= found[200] <= 60 + seconds + 1
        assert running.until(lambda: running.status()["client_keys"][0]["last_used"])


def test_a_clients_requests_under_way_are_counted_together(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Four at once are four, whichever workers have them."""
    client = {**CLIENT, "max_in_flight": 4}
    with program(amazon, tmp_path, clients=[client], drain={"timeout": 0}) as running:
        amazon.fault({"delay": 60}, target="api", path="/sim/slow")
        waiting = [http.client.HTTPConnection(running.netloc, timeout=90) for _ in range(4)]
        for connection in waiting:
            connection.request("GET", "/sim/slow", headers=KEYED)
        running.until(lambda: running.metric("requests_in_flight") == 4)
        assert statuses(ask_each(running, headers=KEYED)) == {429}
        for connection in waiting:
            connection.close()
        running.until(lambda: running.metric("requests_in_flight") == 0)
        assert statuses(ask_each(running, headers=KEYED)) == {200}


def test_profiles_that_are_new_become_known_to_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Each leads a Scope to the region that lists it, and so it does with one that only comes to be listed because a
    worker was asked for it."""
    with program(amazon, tmp_path) as running:
        known = next(each["id"] for each in running.status()["profiles"] if each["region"] == "eu")
        assert statuses(ask_each(running, "/sim/status/200", {SCOPE: known})) == {200}
        assert {line["region"] for line in running.told("request", WORKERS, path="/sim/status/200")} == {"eu"}
        amazon.control("profiles", {"region": "fe", "profile_id": "77"})
        assert ask(running, "/sim/status/201", {SCOPE: "77"})[0] == 401
        running.until(lambda: statuses(ask_each(running, "/sim/status/201", {SCOPE: "77"})) == {201})


def test_a_sign_in_at_the_console_is_known_to_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """No worker could serve; after it every worker does, with the access token that it brought."""
    account = {key: value for key, value in amazon.account().items() if key != "refresh_token"}
    admin = f"127.0.0.1:{free_port()}"
    accounts = {"acme": {**account, "redirect_uri": f"http://{admin}/login/callback"}}
    settings = amazon.configuration(workers=WORKERS, admin_listen=admin, accounts=accounts)
    with serving(tmp_path, settings) as running:
        assert statuses(ask_each(running)) == {503}
        sign_in(running, amazon)
        running.until_ready()
        running.until(lambda: statuses(ask_each(running)) == {200})
        assert amazon.counts()["token_by_grant"].get("refresh_token", 0) == 0


def written_requests(audit: Path) -> list[str]:
    """The ids of requests that changed something, as far as the audit file has them in whole lines."""
    lines = audit.read_text().split("\n")[:-1]
    return [record["http"]["request"]["id"] for record in map(json.loads, lines) if "http" in record]


def test_requests_and_records_of_all_are_in_one_place(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The console's last requests, the audit stream with one chain, and what was refused."""
    audit = tmp_path / "audit.jsonl"
    with program(amazon, tmp_path, audit={"file": str(audit)}) as running:
        ask_each(running, "/v2/stores")
        ask_each(running, "/@nobody/v2/profiles")
        running.until(lambda: len({name.partition("-")[0] for name in written_requests(audit)}) == WORKERS)
        refused = running.until(lambda: running.status()["refused"])
        assert {each["reason"] for each in refused} == {"unknown-route"}
        running.stop()
    assert verify(audit)[0] == 0


def test_an_mcp_session_stays_with_its_client_wherever_it_is_sent(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Begun at one worker, it is known to all: another client's request with its id is refused by each of them."""
    other = {"name": "other", "key_sha256": hashlib.sha256(b"another-key-of-some-length").hexdigest()}
    with program(amazon, tmp_path, clients=[CLIENT, other]) as running:
        connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        accepts = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        connection.request("POST", "/mcp", json.dumps(begin), {**KEYED, **accepts})
        answer = connection.getresponse()
        session = {"Mcp-Session-Id": answer.headers["Mcp-Session-Id"]}
        connection.close()
        ask_each(running, headers=KEYED)
        stranger = {**session, "X-Ads-Proxy-Key": "another-key-of-some-length"}
        running.until(lambda: statuses(ask_each(running, "/mcp", stranger)) == {404})


def tell(running: Serving, message: dict[str, Any], headers: dict[str, str]) -> tuple[str, bytes, str]:
    """A message to the MCP endpoint on a connection of its own: which worker served it, the answer, the session."""
    connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    accepts = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, **message}), {**headers, **accepts})
        answer = connection.getresponse()
        worker = (answer.headers["X-Request-Id"] or "").partition("-")[0]
        return worker, answer.read(), answer.headers["Mcp-Session-Id"] or ""
    finally:
        connection.close()


def test_a_limited_clients_session_is_read_by_each_worker(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The session goes on at every worker for its one profile, and another client's request with it at none."""
    keys = {name: f"a-key-of-the-{name}-one" for name in ("first", "other")}
    limited = [
        {"name": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest(), "profiles": ["1110000000000001"]}
        for name, key in keys.items()
    ]
    first, other = ({"X-Ads-Proxy-Key": key} for key in keys.values())
    with program(amazon, tmp_path, clients=limited) as running:
        session = {"Mcp-Session-Id": tell(running, {"method": "initialize"}, first)[2]}
        assert statuses(ask_each(running, "/mcp", {**first, **session})) == {405}  # the simulator has no stream there
        assert statuses(ask_each(running, "/mcp", {**other, **session})) == {404}


def test_what_one_worker_learned_of_tools_counts_at_all(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A client without limits asks one of them for the list; no worker lets the reading client call the tool then."""
    reader = {"name": "reader", "key_sha256": hashlib.sha256(b"a-key-of-the-reading-one").hexdigest(), "access": "read"}
    headers = {"X-Ads-Proxy-Key": "a-key-of-the-reading-one"}
    call = {"method": "tools/call", "params": {"name": "campaign_management-query_campaign", "arguments": {}}}
    amazon.control("settings", {"mcp_tools": "amazon", "mcp_hints": "contrary"})
    with program(amazon, tmp_path, clients=[CLIENT, reader]) as running:
        session = {"Mcp-Session-Id": tell(running, {"method": "initialize"}, KEYED)[2]}
        tell(running, {"method": "tools/list"}, {**KEYED, **session})
        running.told("tool_hints_contradicted")
        refused: dict[str, bool] = {}

        def refused_by_all() -> bool:
            worker, body, _ = tell(running, call, headers)
            refused[worker] = b"readOnlyHint" in body
            return len(refused) == WORKERS and all(refused.values())

        running.until(refused_by_all)
        assert len(running.events("tool_hints_contradicted")) == 1


def test_a_program_with_workers_is_one_replica_of_a_fleet(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With one program without workers, on one Redis, there is one token request for both, one pause, and one budget
    for all five processes."""
    (tmp_path / "redis").mkdir()
    with contextlib.ExitStack() as opened:
        server = opened.enter_context(redis_server(tmp_path / "redis"))
        client = {**CLIENT, "requests_per_minute": BUDGET}
        settings = {"state": {"url": server.url, "key": REDIS_KEY}, "clients": [client]}
        many = opened.enter_context(program(amazon, tmp_path, **settings))
        one = opened.enter_context(serving(tmp_path / "one.yaml", amazon.configuration(**settings)))
        one.until_ready()
        many.until(lambda: many.metric("fleet_replicas") == 2)
        assert amazon.counts()["token_by_grant"]["refresh_token"] == 1
        fault = {"status": 429, "headers": {"Retry-After": "300"}, "body": "{}"}
        amazon.fault(fault, times=2, target="api", path="/managerAccounts")
        assert ask(many, "/managerAccounts", KEYED)[0] == 429
        one.until(lambda: one.status()["throttles"])
        amazon.heal()
        assert ask(one, "/managerAccounts", KEYED)[0] == 429
        while ask(many, headers=KEYED)[0] != 429:
            pass
        statuses_of_one: list[int] = []

        def one_refuses() -> bool:
            statuses_of_one.append(ask(one, headers=KEYED)[0])
            return statuses_of_one[-1] == 429

        one.until(one_refuses)
        assert len(statuses_of_one) < BUDGET, "it had a budget of its own"
