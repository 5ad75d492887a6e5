"""`ads-proxy serve` as a program: how it starts, refuses to start, shows its health, and uses what the system gives."""

from __future__ import annotations

import json
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.app.test_start_checks import REFUSED, configuration
from tests.commands.test_cli import run
from tests.support.patience import PATIENCE
from tests.support.processes import Process, ReadyProcess
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    """One simulator for all tests here."""
    with simulated_amazon() as started:
        yield started


def fail_to_serve(tmp_path: Path, configuration: dict[str, Any]) -> tuple[int, str]:
    """The exit code and the output of a `serve` that ends by itself."""
    file = tmp_path / "proxy.yaml"
    file.write_text(yaml.safe_dump(configuration))
    process = ReadyProcess("proxy", "serve", "--config", file)
    try:
        return process.wait(), process.text
    finally:
        process.end()


@pytest.fixture
def taken() -> Iterator[str]:
    """An address on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
def test_a_port_in_use_is_one_line_and_exit_code_1(
    amazon: SimulatedAmazon, tmp_path: Path, taken: str, key: str
) -> None:
    """The line names the key, the address and the way out, and there is no traceback."""
    code, text = fail_to_serve(tmp_path, amazon.configuration(**{key: taken}))
    assert code == 1
    assert text.strip().count("\n") == 0, text
    assert f"{key}: {taken} is in use by another program" in text
    assert f"ADS_PROXY_{key.upper()}" in text


@pytest.mark.parametrize("case", REFUSED)
def test_what_serve_refuses_is_what_check_finds(tmp_path: Path, case: str) -> None:
    """In the same words, with exit code 1 of both."""
    make, words = REFUSED[case]
    code, text = fail_to_serve(tmp_path, configuration(tmp_path, **make(tmp_path)))
    found = run(tmp_path, "check", "--offline", "--config", "proxy.yaml")
    (line,) = [line for line in found.stderr.splitlines() if words in line]
    assert (code, found.returncode) == (1, 1)
    assert line in text
    assert found.stdout == "The proxy would not start. Nothing was asked of Amazon.\n"


def test_the_log_suggests_commands_that_can_be_typed(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The commands carry the `--config` of `serve`; the response to a client does not."""
    account = {key: value for key, value in amazon.account().items() if key != "refresh_token"}
    with serving(tmp_path, amazon.configuration(accounts={"acme": account})) as running:
        command = f"`ads-proxy login acme --config {tmp_path / 'proxy.yaml'}`"
        assert command in running.told("sign_in_needed")[0]["advice"]
        status, body = running.get("/v2/profiles")
        assert (status, b"--config" in body) == (503, False)
        assert b"`ads-proxy login" in body
        assert "--config" in running.told("request", status=503)[0]["detail"]


def test_a_second_instance_does_not_get_the_first_ones_port(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Two programs with one configuration: the second says why it ends, the first serves on."""
    with serving(tmp_path, amazon.configuration()) as first:
        folder = tmp_path / "second"
        folder.mkdir()
        code, text = fail_to_serve(folder, amazon.configuration(listen=first.netloc))
        assert code == 1
        assert "is in use" in text
        assert first.get("/v2/profiles")[0] == 200


def test_an_address_of_another_machine_is_one_line(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The address 192.0.2.1 belongs to no machine (RFC 5737): exit code 1 and a sentence."""
    configuration = amazon.configuration(listen="192.0.2.1:8080", allow_unauthenticated=True)
    code, text = fail_to_serve(tmp_path, configuration)
    assert code == 1
    assert "192.0.2.1:8080 is not an address of this machine" in text
    assert "Traceback" not in text


def test_a_broken_configuration_is_all_its_problems_and_exit_code_2(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Two mistakes are two lines, each with its path."""
    configuration = amazon.configuration(drain={"delay": -1}, limits={"max_header_fields": "many"})
    code, text = fail_to_serve(tmp_path, configuration)
    assert code == 2
    assert "drain.delay" in text
    assert "limits.max_header_fields" in text
    assert "Traceback" not in text


def test_the_environment_alone_is_enough(amazon: SimulatedAmazon) -> None:
    """Three variables and a region make the account `default`; SIGHUP is harmless without a file, and counted."""
    variables = {
        "AMAZON_ADS_CLIENT_ID": amazon.facts["client_id"],
        "AMAZON_ADS_CLIENT_SECRET": amazon.facts["client_secret"],
        "AMAZON_ADS_REFRESH_TOKEN": amazon.facts["refresh_token"],
        "AMAZON_ADS_REGION": "eu",
        "ADS_PROXY_LISTEN": "127.0.0.1:0",
        "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:0",
        "ADS_PROXY_STATE__URL": "memory:",
    }
    for region, addresses in amazon.regions().items():
        variables |= {f"ADS_PROXY_REGIONS__{region}__{key}".upper(): value for key, value in addresses.items()}
    process = Process(sys.executable, "-u", "-m", "proxy", "serve", **variables)
    try:
        line = process.output.wait_for(lambda line: line.get("event") == "server_started")
        assert line["accounts"] == ["default"]
        serving_it = Serving.__new__(Serving)
        serving_it.process, serving_it.netloc = process, line["listen"]
        serving_it.proxy_url, serving_it.admin = f"http://{line['listen']}", f"http://{line['admin_listen']}"
        status, body = serving_it.get("/v2/profiles")
        assert status == 200
        assert [str(profile["profileId"]) for profile in json.loads(body)] == amazon.facts["profiles"]["eu"]
        process.signal(signal.SIGHUP)
        serving_it.until(lambda: serving_it.metric("config_reloads_total", result="success") == 1)
    finally:
        process.end()


def test_health_pages_tell_started_alive_and_ready_apart(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With Login with Amazon down from the start: alive and started, not ready, and ready as soon as it is back."""
    amazon.fault({"status": 503}, target="lwa")
    with serving(tmp_path, amazon.configuration()) as running:
        assert [running.admin_get(path)[0] for path in ("/livez", "/healthz", "/liveness", "/startup")] == [200] * 4
        assert [running.admin_get(path)[0] for path in ("/readyz", "/readiness")] == [503] * 2
        amazon.heal()
        running.until_ready()
        amazon.control("credentials/revoke", {"access_tokens": True})
        assert running.get("/v2/profiles")[0] == 503  # Amazon refuses both tokens
        running.until(lambda: running.account()["state"] == "revoked")
        assert running.admin_get("/readyz")[0] == 200
    amazon.control("credentials/restore")


def test_answers_and_log_lines_carry_one_request_id(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A client's own X-Request-Id comes back, and is in the one line of the request."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        running.get("/v2/profiles?token=private", {"X-Request-Id": "order-66"})
        found = running.until(lambda: running.events("request", request_id="order-66"))
        assert len(found) == 1
        assert found[0]["status"] == 200
        assert found[0]["path"] == "/v2/profiles"
        assert found[0]["amazon_request_id"]
        assert "private" not in running.process.text


def test_as_many_files_may_be_open_as_the_system_allows(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The soft limit is raised to the hard one, and no core is ever dumped."""
    with serving(tmp_path, amazon.configuration()) as running:
        soft, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard
        assert resource.prlimit(running.process.pid, resource.RLIMIT_CORE) == (0, 0)
        assert int(Path(f"/proc/{running.process.pid}/coredump_filter").read_text(), 16) == 0


def test_too_few_open_files_are_said_and_kept_to(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With 256 files, 64 client connections are taken, and the 65th gets an answer instead of silence."""
    limits = {"header_timeout": 600}
    with serving(tmp_path, amazon.configuration(limits=limits), open_files=256) as running:
        assert any("64 client connections" in note for note in running.started["notes"])
        host, port = running.netloc.split(":")
        held = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(64)]

        def are_all_held() -> bool:
            """Whether all are; one that came while an earlier connection closed was answered, and comes again."""
            for index, connection in enumerate(held):
                if select.select([connection], [], [], 0)[0]:
                    connection.close()
                    held[index] = socket.create_connection((host, int(port)), PATIENCE)
            return bool(running.status()["connections"]["clients"] == 64)

        try:
            running.until(are_all_held)
            with socket.create_connection((host, int(port)), PATIENCE) as one_more:
                assert one_more.recv(4096).startswith(b"HTTP/1.1 503 ")
        finally:
            for connection in held:
                connection.close()
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
