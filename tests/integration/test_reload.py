"""A running program follows its files: what is right takes effect within seconds, what is wrong changes nothing.

No request in flight is dropped and no pooled connection is lost to a reload.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.app.run import SETTLE
from tests.support.patience import PATIENCE
from tests.support.programs import require_program
from tests.support.running import Load, Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

LONG = 64 * 1024 * 1024
"""Bytes of an answer that no buffer on its way holds."""


def reloads(running: Serving, result: str = "success") -> float:
    return running.metric("config_reloads_total", result=result)


def write_in_place(running: Serving, configuration: dict[str, Any]) -> None:
    running.path.write_text(yaml.safe_dump(configuration))


def two_accounts(amazon: SimulatedAmazon) -> dict[str, Any]:
    token = amazon.control("users", {"user": "second"})["refresh_token"]
    return {"acme": amazon.account(), "globex": amazon.account(refresh_token=token)}


@pytest.mark.parametrize("write", [write_in_place, Serving.write], ids=["in place", "replaced"])
def test_an_added_account_serves_and_a_removed_one_is_gone(
    amazon: SimulatedAmazon, tmp_path: Path, write: Callable[[Serving, dict[str, Any]], None]
) -> None:
    """The file changes twice, written in place or replaced: both times the program follows within seconds."""
    accounts = two_accounts(amazon)
    one, two = amazon.configuration(), amazon.configuration(accounts=accounts)
    with serving(tmp_path, one) as running:
        running.until_ready()
        assert running.get("/@globex/v2/profiles")[0] == 404
        write(running, two)
        running.until(lambda: running.get("/@globex/v2/profiles")[0] == 200)
        assert running.metric("credential_state", account="globex", state="valid") == 1
        assert running.told("config_reloaded", success=True)[0]["changed"] == ["accounts"]
        assert running.account("acme")["generation"] == 1
        write(running, one)
        running.until(lambda: running.get("/@globex/v2/profiles")[0] == 404)
        running.until(lambda: reloads(running) == 2)
        assert running.account("globex") == {}
        assert "globex" not in running.admin_get("/metrics")[1].decode()
        assert running.get("/v2/profiles")[0] == 200


def test_a_kubernetes_symlink_swap_is_noticed(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A mounted secret changes as a whole by its `..data` link; the account recovers by it."""
    mount = tmp_path / "mount"
    (mount / "..1").mkdir(parents=True)
    (mount / "..1" / "secret").write_text("amzn1.oa2-cs.v1.wrong")
    (mount / "..data").symlink_to("..1")
    (mount / "secret").symlink_to("..data/secret")
    account = amazon.account(client_secret={"file": str(mount / "secret")})
    with serving(tmp_path, amazon.configuration(accounts={"acme": account})) as running:
        running.until(lambda: running.account()["state"] == "misconfigured")
        (mount / "..2").mkdir()
        (mount / "..2" / "secret").write_text(amazon.facts["client_secret"])
        (mount / "..data_tmp").symlink_to("..2")
        (mount / "..data_tmp").replace(mount / "..data")
        running.until(lambda: running.account()["state"] == "valid")
        assert running.get("/v2/profiles")[0] == 200


def test_sighup_reloads_whether_a_file_changed_or_not(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Each SIGHUP is one reload, and counted."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        for number in (1, 2):
            running.process.signal(signal.SIGHUP)
            running.until(lambda number=number: reloads(running) == number)
        assert all(line["success"] for line in running.told("config_reloaded", 2))
        assert running.account()["generation"] == 1


def test_a_broken_file_keeps_the_running_configuration_and_says_why(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """In metric, log and /status, once; and the repaired file clears it."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        running.write(amazon.configuration(accounts={"acme": amazon.account(region="us")}))
        running.until(lambda: reloads(running, "failure") == 1)
        assert running.get("/v2/profiles")[0] == 200
        problems = running.status()["config"]["problems"]
        assert len(problems) == 1
        assert "accounts.acme.region" in problems[0]
        told = running.told("config_reloaded", success=False)
        assert told[0]["problems"] == problems
        assert told[0]["level"] == "error"
        running.write("accounts: [")
        running.until(lambda: reloads(running, "failure") == 2)
        running.write(amazon.configuration())
        running.until(lambda: running.status()["config"]["problems"] == [])
        assert reloads(running) == 1
        assert len(running.told("config_reloaded", 2, success=False)) == 2


def test_a_file_that_is_half_written_is_no_failure(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Emptied first and filled a moment later, again and again: each time the whole file takes effect, untold."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        slow = 0
        for number in range(1, 6):
            text = yaml.safe_dump(amazon.configuration(drain={"timeout": number}))
            emptied = time.monotonic()
            with running.path.open("w") as file:
                threading.Event().wait(0.12)
                file.write(text)
            slow += time.monotonic() - emptied >= SETTLE
            running.until(lambda number=number: reloads(running) == number)
        assert reloads(running, "failure") <= slow  # a busy machine may leave the file empty for longer


def test_a_missing_secret_file_is_tried_until_it_is_there(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The configuration names a file in an unwatched directory; when it comes, it is used without a restart."""
    late = tmp_path / "elsewhere" / "refresh"
    accounts = two_accounts(amazon)
    token = accounts["globex"]["refresh_token"]
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        accounts["globex"]["refresh_token"] = {"file": str(late)}
        running.write(amazon.configuration(accounts=accounts))
        running.until(lambda: reloads(running, "failure") == 1)
        late.parent.mkdir()
        whole = tmp_path / "whole"
        whole.write_text(token)
        whole.replace(late)  # an empty file would be another failure
        running.until(lambda: running.get("/@globex/v2/profiles")[0] == 200)
        assert reloads(running, "failure") == 1
        assert running.status()["config"]["problems"] == []


def test_a_client_that_is_added_is_admitted_at_once(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With the first client the proxy asks for keys; without it, it trusts every local client again."""
    key = "a-key-that-nobody-guesses"
    client = {"name": "reporting", "key_sha256": hashlib.sha256(key.encode()).hexdigest(), "methods": ["GET"]}
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        running.write(amazon.configuration(clients=[client]))
        running.until(lambda: running.get("/v2/profiles")[0] == 401)
        assert running.get("/v2/profiles", {"Authorization": f"Bearer {key}"})[0] == 200
        running.write(amazon.configuration())
        running.until(lambda: running.get("/v2/profiles")[0] == 200)


def test_what_needs_a_restart_says_so(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Listener, state and log format stay as they are and are named; the rest of the same change takes effect."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        changes = {
            "listen": "127.0.0.1:18999",
            "state": {"url": f"file:{tmp_path / 'state'}"},
            "log": {"format": "console", "access": False},
        }
        running.write(amazon.configuration(**changes, allowed_hosts=["proxy.internal"]))
        running.until(lambda: running.get("/v2/profiles", {"Host": "proxy.internal"})[0] == 200)
        assert set(running.status()["config"]["needs_restart"]) == {"listen", "state", "log.format"}
        assert set(running.told("config_reloaded")[0]["needs_restart"]) == {"listen", "state", "log.format"}
        assert running.get("/v2/profiles", {"X-Request-Id": "unseen"})[0] == 200
        running.write(amazon.configuration())
        running.until(lambda: running.status()["config"]["needs_restart"] == [])
        running.told("config_reloaded", 2)
        assert running.events("request", request_id="unseen") == []
        assert not (tmp_path / "state").exists()


def test_turning_tls_on_waits_for_a_restart(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The listener goes on in plain HTTP, and says that it waits."""
    certificate = make_certificate(tmp_path, "first")
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        running.write(amazon.configuration(tls=certificate))
        running.until(lambda: running.status()["config"]["needs_restart"] == ["tls"])
        assert running.get("/v2/profiles")[0] == 200
        assert running.status()["clients_url"].startswith("http://")


def make_certificate(folder: Path, name: str) -> dict[str, str]:
    """A self-signed certificate for 127.0.0.1, as `tls:` names it."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subprocess.run(
        [require_program("openssl"), *command, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return {"cert": str(cert), "key": str(key)}


def test_a_renewed_certificate_is_shown_to_the_next_connection(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The files are replaced: new handshakes see the new certificate; a key that does not fit changes nothing."""
    names = {"cert": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}

    def install(made: dict[str, str]) -> None:
        for name in ("key", "cert"):
            temporary = tmp_path / f"{name}.new"
            temporary.write_bytes(Path(made[name]).read_bytes())
            temporary.replace(names[name])

    first, second = make_certificate(tmp_path, "first"), make_certificate(tmp_path, "second")
    install(first)
    with serving(tmp_path, amazon.configuration(tls=names)) as running:
        host, port = running.netloc.split(":")

        def shown() -> str:
            return ssl.get_server_certificate((host, int(port)))

        assert shown() == Path(first["cert"]).read_text()
        assert 86_000 < running.metric("tls_certificate_expiry_timestamp_seconds") - time.time() <= 2 * 86_400
        install(second)
        running.until(lambda: shown() == Path(second["cert"]).read_text())
        running.until(lambda: running.status()["config"]["problems"] == [])
        install({**second, "key": first["key"]})
        problems = running.until(lambda: running.status()["config"]["problems"])
        assert "the key belongs to another certificate" in problems[0]
        assert shown() == Path(second["cert"]).read_text()


def test_a_changed_authority_file_is_believed_at_once(tmp_path: Path) -> None:
    """The private authority's file is replaced in place: tokens, profiles and requests go through with the new one."""
    amazon_cert, other = make_certificate(tmp_path, "amazon"), make_certificate(tmp_path, "other")
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(other["cert"]).read_bytes())
    options = ("--tls-cert", amazon_cert["cert"], "--tls-key", amazon_cert["key"])
    with (
        simulated_amazon(*options) as amazon,
        serving(tmp_path, amazon.configuration(upstream={"ca_file": str(file)}, tokens={"request_wait": 0})) as running,
    ):
        running.until(lambda: running.events("refresh_failed", reason="network"))
        assert running.get("/v2/profiles")[0] == 503
        file.write_bytes(Path(amazon_cert["cert"]).read_bytes())
        running.until(lambda: reloads(running) == 1)
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        running.until_listed()
        file.write_bytes(Path(other["cert"]).read_bytes())
        running.until(lambda: reloads(running) == 2)
        status, body = running.get("/v2/profiles")
        assert status == 502
        assert json.loads(body)["type"].endswith("upstream-certificate-rejected")


def test_pooled_connections_survive_and_long_answers_go_on(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """An answer that is read only after three reloads comes whole, and the next one uses a connection of before."""
    limits = {"min_body_rate": 0, "send_timeout": 600}
    with serving(tmp_path, amazon.configuration(limits=limits)) as running:
        running.until_listed()
        with contextlib.closing(http.client.HTTPConnection(running.netloc, timeout=PATIENCE)) as connection:
            connection.request("GET", f"/sim/bytes/{LONG}?length=1")
            answer = connection.getresponse()
            known = {record["connection"] for record in amazon.look("requests", listener="api", last=1000)}
            for number in (1, 2, 3):
                running.write(amazon.configuration(limits=limits, drain={"timeout": number}))
                running.until(lambda number=number: reloads(running) == number)
            assert running.metric("requests_in_flight") == 1
            assert (answer.status, len(answer.read())) == (200, LONG)
        assert running.get("/sim/status/200")[0] == 200
        sent = [record for record in amazon.look("requests", listener="api") if record["target"] == "/sim/status/200"]
        assert sent[0]["connection"] in known


def reload_under_load(amazon: SimulatedAmazon, tmp_path: Path, times: int) -> None:
    """Reload so often, each time with another change, while clients send requests without pause; all must be answered
    well."""
    accounts = two_accounts(amazon)
    both = amazon.configuration(accounts=accounts, log={"access": False})
    with serving(tmp_path, both) as running:
        running.until_listed("acme")
        running.until_listed("globex")
        with Load(running, paths=("/@acme/v2/profiles", "/@acme/eu/v2/profiles"), pause=0.04) as load:
            for number in range(1, times + 1):
                has_globex = number % 2
                running.write(
                    amazon.configuration(
                        accounts=accounts if has_globex else {"acme": accounts["acme"]},
                        log={"access": False},
                        limits={"max_header_fields": 100 + number % 7},
                        rewrite_locations=number % 3 != 0,
                        upstream={"max_connections": 200 + number // 10},
                    )
                )
                os.utime(running.path, ns=(number * 10**9, number * 10**9))
                running.until(lambda n=number: len(running.events("config_reloaded", success=True)) >= n)
        assert not load.failures
        assert set(load.statuses) == {200}
        assert load.total > times
        assert load.connections == load.workers
        assert reloads(running, "failure") == 0
        assert running.account("acme")["generation"] == 1
        assert amazon.counts()["refusals_by_owner"]["proxy"] == 0


def test_many_reloads_under_load_drop_no_request(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A hundred reloads, each adding or removing an account and changing limits."""
    reload_under_load(amazon, tmp_path, 100)


@pytest.mark.soak
def test_a_thousand_reloads_under_load_drop_no_request(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The reloads run a thousand times."""
    reload_under_load(amazon, tmp_path, 1000)


def test_a_reload_with_a_changed_client_id_loses_no_request(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Another application for the same account: every request carries the client id that belongs to its token."""
    app = amazon.control("apps", {"name": "other"})
    secrets = {"client_id": app["client_id"], "client_secret": app["client_secret"]}
    other = amazon.account(**secrets, refresh_token=app["refresh_token"])
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        with Load(running) as load:
            for number, account in enumerate((other, amazon.account(), other, amazon.account()), 1):
                running.write(amazon.configuration(accounts={"acme": account}))
                running.until(lambda number=number: reloads(running) == number)
                running.until(lambda: running.account()["state"] == "valid")
        assert set(load.statuses) == {200}
        assert json.dumps(amazon.look("refusals", kind="client-id-wrong")["refusals"]) == "[]"
