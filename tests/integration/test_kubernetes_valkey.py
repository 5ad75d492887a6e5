"""The Valkey of config/kubernetes/overlays/shared-valkey, run here with its own arguments, secrets and user."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.support.patience import PATIENCE
from tests.support.processes import Process, free_port, until
from tests.support.programs import ROOT, require_program
from tests.support.running import SimulatedAmazon, serving

pytestmark = pytest.mark.integration

OVERLAY = ROOT / "config" / "kubernetes" / "overlays" / "shared-valkey"
PLACE = "/run/secrets/valkey"


def secrets(directory: Path) -> dict[str, dict[str, str]]:
    """What secrets.sh makes: the values of each Secret."""
    require_program("kubectl")
    for name in ("client", "refresh"):
        (directory / name).write_text(name, encoding="utf-8")
    script = ["sh", str(OVERLAY / "secrets.sh"), str(directory / "client"), str(directory / "refresh")]
    made = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return {
        found["metadata"]["name"]: {key: base64.b64decode(text).decode() for key, text in found["data"].items()}
        for found in yaml.safe_load_all(made.stdout)
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    return secrets(tmp_path_factory.mktemp("secrets"))


@pytest.fixture
def port(made: dict[str, dict[str, str]], tmp_path: Path) -> Iterator[int]:
    """The port of a server with the StatefulSet's arguments; its directories are here."""
    for name, text in made["valkey"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    [container] = _stateful_set()["spec"]["template"]["spec"]["containers"]
    found = free_port()
    own = {"6379": str(found), "/data": str(tmp_path), "*": "127.0.0.1"}
    arguments = [own.get(argument, argument).replace(PLACE, str(tmp_path)) for argument in container["args"]]
    process = Process(require_program(*container["command"]), *arguments)
    try:
        until(lambda: _accepts(found), lambda: process.text)
        yield found
    finally:
        process.end()


def _stateful_set() -> Any:
    found = yaml.safe_load_all((OVERLAY / "valkey.yaml").read_text(encoding="utf-8"))
    return next(each for each in found if each["kind"] == "StatefulSet")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_certificate_is_for_the_service(made: dict[str, dict[str, str]], port: int) -> None:
    """Under the name that the replicas' address has, by the authority that they are given; and Python 3.13, which the
    image has, accepts both."""
    host = re.search(r"@([^:]+):6379", made["ads-proxy"]["state-url"])
    assert host is not None
    trusting = ssl.create_default_context(cadata=made["valkey"]["ca.crt"])
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_connection(("127.0.0.1", port)) as plain, trusting.wrap_socket(plain, server_hostname=host[1]):
        pass


def test_nobody_else_may_do_anything(port: int, tmp_path: Path) -> None:
    """Without the user's password no command is answered."""
    client = redis.Redis(port=port, ssl=True, ssl_ca_certs=str(tmp_path / "ca.crt"), ssl_check_hostname=False)
    with pytest.raises(redis.AuthenticationError):
        client.ping()


def test_replicas_share_their_tokens_there(
    made: dict[str, dict[str, str]], port: int, tmp_path: Path, amazon: SimulatedAmazon
) -> None:
    """Two of them, with the user and its rights, mint one token between them."""
    url = made["ads-proxy"]["state-url"].replace(PLACE, str(tmp_path))
    url = re.sub(r"@[^/]+/", f"@localhost:{port}/", url)
    configuration = amazon.configuration(state={"url": url, "key": made["ads-proxy"]["state-key"]})
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    with serving(tmp_path / "1", configuration) as one, serving(tmp_path / "2", configuration) as two:
        for running in (one, two):
            running.until_ready()
            running.until(lambda running=running: running.metric("state_degraded") == 0)
        assert amazon.counts()["token_by_grant"]["refresh_token"] == 1
