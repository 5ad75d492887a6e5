"""The unit of config/systemd under a real systemd: the init of a container that has the project's own image.

Amazon is the simulator, as a service next to it. The container is privileged, as systemd makes the service's own small
world in it; what it would change of the machine's kernel is masked.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.containers import BUILD, build_image, eventually, podman
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

pytestmark = pytest.mark.integration
UNIT = ROOT / "config" / "systemd" / "ads-proxy.service"
PYTHON = "/opt/ads-proxy/bin/python"
SECRETS = "/etc/ads-proxy/secrets"
CREDENTIALS = "/run/credentials/ads-proxy.service"
DOCKERFILE = """
FROM {image}
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd dbus \\
 && systemctl mask systemd-sysctl.service systemd-modules-load.service systemd-udevd.service \\
 && useradd --system --home-dir /var/lib/ads-proxy --shell /usr/sbin/nologin ads-proxy \\
 && mkdir -p --mode=0700 {secrets}
COPY ads-proxy.service /etc/systemd/system/
HEALTHCHECK NONE
"""
INIT = "mount --make-rshared / && exec /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
"""Mounts are shared on a real machine, and credentials reach no service without that. The word is for kernels with
control groups of the first version, which systemd no longer takes by itself."""
ASK = f"import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout={PATIENCE}).read().decode())"
WITHIN = f"""
import json, subprocess, sys, urllib.request
for line in sys.stdin:
    given = json.loads(line)
    if "url" in given:
        try:
            body = given["body"] and given["body"].encode()
            request = urllib.request.Request(given["url"], body, method=given["method"])
            said = [0, urllib.request.urlopen(request, timeout={PATIENCE}).read().decode(), ""]
        except OSError as error:
            said = [1, "", repr(error)]
    else:
        done = subprocess.run(given["command"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        said = [done.returncode, done.stdout.strip(), done.stderr]
    print(json.dumps(said), flush=True)
"""
"""Runs commands and sends requests inside the container: `podman exec` for each would take longer than they do."""


@dataclass
class Machine:
    """A container with systemd as its first process, and the unit in it."""

    name: str
    within: subprocess.Popen[str]
    amazon: dict[str, Any] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True) -> str:
        return self._tell({"command": command}, check)

    def _tell(self, given: dict[str, Any], check: bool = True) -> str:
        assert self.within.stdin is not None
        assert self.within.stdout is not None
        print(json.dumps(given), file=self.within.stdin, flush=True)
        code, said, trouble = json.loads(self.within.stdout.readline())
        if check and code:
            raise AssertionError(f"{given} ended with {code}: {trouble}")
        return str(said)

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1" && chmod "$3" "$1"'
        self.run("/bin/sh", "-c", script, "-", path, text, mode)

    def ask(self, url: str) -> str:
        return self._tell({"method": "GET", "url": url, "body": None})

    def control(self, path: str, body: Any, method: str = "POST") -> None:
        url = f"{self.amazon['control_url']}/control/{path}"
        self._tell({"method": method, "url": url, "body": json.dumps(body)})

    def show(self, name: str) -> str:
        """A property of the service, as systemd has it."""
        return self.run("systemctl", "show", "--value", "--property", name, "ads-proxy")

    def stops_for(self) -> float:
        """Seconds for which systemd waits for the service's end; 0 where it does not."""
        since = int(self.show("StateChangeTimestampMonotonic")) / 1e6
        return time.monotonic() - since if self.show("ActiveState") == "deactivating" else 0.0

    def metric(self, line: str) -> float:
        """The number behind this beginning of a line of the metrics."""
        found = [text for text in self.ask("http://127.0.0.1:8081/metrics").splitlines() if text.startswith(line)]
        return float(found[0].split()[-1]) if found else 0.0

    def journal(self) -> str:
        return self.run("journalctl", "--unit=ads-proxy", "--output=cat", "--no-pager")

    def configure(self, **changes: Any) -> None:
        """The configuration file; secrets are where systemd puts them for this service."""
        regions = {
            name: {
                "api_url": self.amazon["api_urls"][name],
                "token_url": self.amazon["token_urls"][name],
                "auth_grant_url": self.amazon["auth_grant_urls"][name],
            }
            for name in ("na", "eu", "fe")
        }
        secrets = {name: {"file": f"{CREDENTIALS}/{name}"} for name in ("client_secret", "refresh_token")}
        account = {"client_id": self.amazon["client_id"], "region": "na", **secrets}
        content = {"regions": regions, "accounts": {"acme": account}, **changes}
        self.write("/etc/ads-proxy/proxy.yaml", yaml.safe_dump(content))

    def drop_in(self, *settings: str) -> None:
        """Add these lines of [Service] to those of the unit."""
        self.write("/etc/systemd/system/ads-proxy.service.d/test.conf", "\n".join(("[Service]", *settings, "")))
        self.run("systemctl", "daemon-reload")


def make_image(directory: Path) -> str:
    """The project's image with systemd in it."""
    base, tag = build_image("ads-proxy-under-test"), "ads-proxy-test-systemd"
    (directory / "Dockerfile").write_text(DOCKERFILE.format(image=base, secrets=SECRETS))
    (directory / UNIT.name).write_bytes(UNIT.read_bytes())
    try:
        podman(*BUILD, "--tag", tag, str(directory))
    except AssertionError as error:
        pytest.skip(f"an image with systemd cannot be made here: {str(error)[-300:]}")
    return tag


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Booted, with the simulator and the unit's secrets in place; the service itself is not started."""
    image = make_image(tmp_path_factory.mktemp("systemd"))
    name = f"ads-proxy-test-{uuid.uuid4().hex[:12]}"
    options = ("--privileged", "--systemd=always", "--entrypoint", "/bin/sh")
    try:
        try:
            podman("run", "--detach", "--name", name, *options, image, "-c", INIT)
            eventually(lambda: booted(name), "systemd as the init of a container")
        except AssertionError as error:  # no program that could be installed: the kernel, or who runs it, forbids it
            pytest.skip(f"systemd cannot be the init of a container here: {str(error)[-300:]}")
        with within(name) as commands:
            found = Machine(name, commands)
            found.run(
                "systemd-run", "--unit=amazon", "--quiet", PYTHON, "-u", "-m", "proxy.simulator", "--base-port", "9001"
            )
            found.amazon = eventually(lambda: facts_of(found), "the simulator")
            for secret in ("client_secret", "refresh_token"):
                found.write(f"{SECRETS}/{secret}", found.amazon[secret], "0600")
            found.drop_in(*(f"LoadCredential={name}:{SECRETS}/{name}" for name in ("client_secret", "refresh_token")))
            yield found
    finally:
        podman("rm", "--force", "--time", "1", name, check=False)


def booted(container: str) -> bool | None:
    state = podman("exec", container, "systemctl", "is-system-running", "--wait", check=False)
    return state in ("running", "degraded") or None


@contextmanager
def within(container: str) -> Iterator[subprocess.Popen[str]]:
    """What runs commands in the container, until its input ends."""
    command = ["podman", "exec", "--interactive", container, PYTHON, "-c", WITHIN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def facts_of(machine: Machine) -> dict[str, Any] | None:
    said = machine.run("journalctl", "--unit=amazon", "--output=cat", "--no-pager", check=False)
    lines = [line for line in said.splitlines() if "control_url" in line]
    found: dict[str, Any] | None = json.loads(lines[0]) if lines else None
    return found


@pytest.fixture
def unit(machine: Machine) -> Iterator[Machine]:
    """The service, configured and not started; stopped afterwards."""
    machine.configure()
    machine.run("systemctl", "daemon-reload")  # without what a test added and removed
    try:
        yield machine
    finally:
        machine.run("systemctl", "stop", "ads-proxy", check=False)
        machine.run("systemctl", "reset-failed", "ads-proxy", check=False)


@pytest.fixture
def service(unit: Machine) -> Machine:
    """The service, which systemd has just said to be started."""
    unit.run("systemctl", "start", "ads-proxy")
    return unit


def test_started_means_that_it_serves(service: Machine) -> None:
    """`systemctl start` returns when clients are served, with secrets whose files the service's user cannot read."""
    assert len(json.loads(service.ask("http://127.0.0.1:8080/v2/profiles"))) == 3
    assert service.show("StatusText") == "Serving clients on 127.0.0.1:8080."
    assert service.show("MainPID") != "0"
    refused = service.run("runuser", "-u", "ads-proxy", "--", "cat", f"{SECRETS}/client_secret", check=False)
    assert refused == ""
    assert service.amazon["client_secret"] not in service.journal()


def test_credentials_are_there_while_it_runs_and_new_ones_after_a_restart(service: Machine) -> None:
    """The service's user checks the configuration with them; what root exchanged is used from the next start on."""
    command = ("runuser", "-u", "ads-proxy", "--", "/opt/ads-proxy/bin/ads-proxy")
    assert "Everything works." in service.run(*command, "check", "--config", "/etc/ads-proxy/proxy.yaml")
    service.write(f"{SECRETS}/client_secret", "amzn1.oa2-cs.v1.another", "0600")
    try:
        service.run("systemctl", "restart", "ads-proxy")
        state = 'ads_proxy_credential_state{account="acme",state="misconfigured"} 1.0'
        eventually(lambda: service.metric(state) or None, "a secret that Amazon refuses")
    finally:
        service.write(f"{SECRETS}/client_secret", service.amazon["client_secret"], "0600")
    service.run("systemctl", "stop", "ads-proxy")
    assert service.run("ls", CREDENTIALS, check=False) == ""


def test_reloaded_means_that_the_configuration_is_in_force(service: Machine) -> None:
    """`systemctl reload` returns when that is so, each time; a broken one changes nothing, and the service goes on."""
    reloads = 'ads_proxy_config_reloads_total{result="%s"}'
    for number in (1, 2):
        service.run("systemctl", "reload", "ads-proxy")
        assert service.metric(reloads % "success") == number
    service.configure(nonsense=True)
    service.run("systemctl", "reload", "ads-proxy", check=False)
    assert service.metric(reloads % "failure") >= 1
    assert service.show("ActiveState") == "active"
    assert service.show("NRestarts") == "0"


def test_a_reload_that_is_refused_fails(service: Machine) -> None:
    """systemd reports the failure with its own word; the journal says what to fix, and once it is fixed, a reload
    succeeds."""
    service.configure(nonsense=True)
    with pytest.raises(AssertionError, match=r"Job for ads-proxy\.service failed"):
        service.run("systemctl", "reload", "ads-proxy")
    eventually(
        lambda: "ads-proxy: the configuration: holds an unknown key" in service.journal() or None, "the word about it"
    )
    assert service.amazon["client_secret"] not in service.journal()
    assert len(json.loads(service.ask("http://127.0.0.1:8080/v2/profiles"))) == 3
    service.configure()
    service.run("systemctl", "reload", "ads-proxy")
    assert service.show("ReloadResult") == "success"


VAULT = """#!/bin/sh
[ "$VAULT_TOKEN $VAULT_ADDR" = "a-token https://vault.example.com:8200" ] || { echo "who are you?" >&2; exit 2; }
[ "$1 $2 $3 $5" = "kv get -mount=secret ads/main" ] && exec cat "/opt/vault/${4#-field=}"
"""
"""Stands for Vault's program, and knows the token and the address of docs/how-to/secrets-in-a-vault.md."""


def test_a_command_reads_vault_with_a_token_from_a_credential(unit: Machine) -> None:
    """The page's drop-in and script, within all that the unit forbids; a reload checks the configuration with them."""
    page = (ROOT / "docs" / "how-to" / "secrets-in-a-vault.md").read_text(encoding="utf-8")
    section = page.partition("\n## systemd\n")[2].partition("\n## ")[0]
    settings = [line.strip() for line in re.findall(r"^    (?:Environment|LoadCredential)=.*", section, re.MULTILINE)]
    lines = re.findall(r"^    ((?:#!|VAULT_TOKEN).*)", section, re.MULTILINE)
    script = "\n".join(lines)
    for name in ("client_secret", "refresh_token"):
        unit.write(f"/opt/vault/{name}", unit.amazon[name])
    unit.write("/usr/local/bin/vault", VAULT, "0755")
    unit.write("/etc/ads-proxy/get", f"{script}\n", "0755")
    unit.write(f"{SECRETS}/vault-token", "a-token\n", "0600")
    unit.write("/etc/systemd/system/ads-proxy.service.d/vault.conf", "\n".join(("[Service]", *settings, "")))
    unit.run("systemctl", "daemon-reload")
    sources = {name: {"command": ["/etc/ads-proxy/get", name]} for name in ("client_secret", "refresh_token")}
    account = {"client_id": unit.amazon["client_id"], "region": "na", **sources}
    try:
        unit.configure(accounts={"acme": account})
        unit.run("systemctl", "start", "ads-proxy")
        assert len(json.loads(unit.ask("http://127.0.0.1:8080/v2/profiles"))) == 3
        unit.run("systemctl", "reload", "ads-proxy")
        assert unit.metric('ads_proxy_secret_command_runs_total{result="success"}') >= 2
    finally:
        unit.run("rm", "/etc/systemd/system/ads-proxy.service.d/vault.conf")


def test_a_stop_lets_requests_end_however_long_the_unit_would_wait(unit: Machine) -> None:
    """A slow request is answered, although TimeoutStopSec is one: the drain asks for its time."""
    unit.configure(drain={"timeout": 2 * PATIENCE})
    unit.write("/etc/systemd/system/ads-proxy.service.d/stop.conf", "[Service]\nTimeoutStopSec=1\n")
    unit.run("systemctl", "daemon-reload")
    unit.run("systemctl", "start", "ads-proxy")
    fault = {"match": {"path": "/slow"}, "fault": {"delay": PATIENCE, "status": 200, "body": "slow and whole"}}
    unit.control("faults", fault)
    command = ["podman", "exec", unit.name, PYTHON, "-c", ASK, "http://127.0.0.1:8080/slow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        eventually(lambda: unit.metric("ads_proxy_requests_in_flight") or None, "the request's beginning")
        unit.run("systemctl", "stop", "--no-block", "ads-proxy")
        eventually(lambda: unit.stops_for() > 2 or None, "a stop that takes longer than TimeoutStopSec")
        unit.control("faults", {}, "DELETE")
        assert asking.communicate(timeout=PATIENCE)[0].strip() == "slow and whole"
        unit.run("systemctl", "stop", "ads-proxy")
    unit.run("rm", "/etc/systemd/system/ads-proxy.service.d/stop.conf")
    assert (unit.show("Result"), unit.show("ExecMainStatus")) == ("success", "0")
    eventually(lambda: '"event":"server_stopped","cut":0' in unit.journal() or None, "the program's last word")


def test_a_program_that_hangs_is_begun_again(unit: Machine) -> None:
    """A stopped program gives no sign of life: systemd ends it, and the next one serves."""
    unit.write("/etc/systemd/system/ads-proxy.service.d/watchdog.conf", "[Service]\nWatchdogSec=5\n")
    unit.run("systemctl", "daemon-reload")
    unit.run("systemctl", "start", "ads-proxy")
    first = unit.show("MainPID")
    unit.run("systemctl", "kill", "--signal=STOP", "ads-proxy")
    eventually(lambda: int(unit.show("NRestarts")) or None, "a restart")
    eventually(lambda: unit.show("ActiveState") == "active" or None, "the next start")
    unit.run("rm", "/etc/systemd/system/ads-proxy.service.d/watchdog.conf")
    assert unit.show("MainPID") not in ("0", first)
    assert len(json.loads(unit.ask("http://127.0.0.1:8080/v2/profiles"))) == 3


def test_a_mistake_in_the_configuration_is_not_tried_again(unit: Machine) -> None:
    """The program ends with 2, which `systemctl start` reports, and says what to fix."""
    unit.configure(nonsense=True)
    unit.run("systemctl", "start", "ads-proxy", check=False)
    assert (unit.show("ActiveState"), unit.show("ExecMainStatus")) == ("failed", "2")
    assert unit.show("NRestarts") == "0"
    eventually(lambda: "holds an unknown key" in unit.journal() or None, "the word about it")


def test_the_service_holds_no_more_than_the_unit_allows(service: Machine) -> None:
    """What the kernel says of the running process: no capability, no new privileges, system calls filtered."""
    status = service.run("cat", f"/proc/{service.show('MainPID')}/status")
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    held = {name: found[name] for name in ("CapEff", "CapBnd", "CapPrm", "CapAmb")}
    assert set(held.values()) == {"0" * 16}, held
    assert (found["NoNewPrivs"].strip(), found["Seccomp"].strip()) == ("1", "2")
