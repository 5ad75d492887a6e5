"""Twelve clients from PyPI without one changed line: Amazon's addresses are in their code, and they find the proxy by
HTTPS_PROXY and a file of authorities. Each logs in with made-up credentials, lists profiles, and calls one more
operation, as far as the client itself can.

docs/how-to/clients/unchanged.md is their table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients import environments, flows
from tests.clients.intercepted import WAYS, Interception, intercepting
from tests.clients.pypi_clients import (
    AMAZON_AD,
    AMAZON_AD_SDK,
    BY_NAME,
    CERTIFI,
    COPY_TO_CERTIFI,
    REMOVED,
    REQUESTS,
    SINGER,
    Client,
    Environment,
)
from tests.support.ready_program import ready

pytestmark = pytest.mark.integration

MADE_UP = {
    "LWA_CLIENT_ID": "amzn1.application-oa2-client.made-up",
    "LWA_CLIENT_SECRET": "amzn1.oa2-cs.v1.made-up",
    "LWA_REFRESH_TOKEN": "Atzr|made-up",
    "PROFILE_ID": flows.FIRST_PROFILE,
}
"""What a client has configured: nobody at Amazon knows these credentials."""
WITH_CERTIFI = COPY_TO_CERTIFI.replace("python", '"$0"') + ' && exec "$0" "$@"'
"""For a shell, whose first argument is the client's Python."""
KEYED = ("amazon-ads-api-connector", "amazon-ads-api", "amazonadapi", "amazon-ad", "tap-amazon-ads-dsp")
"""One client for each way of sending requests: httpx, httpx with coroutines, three releases of requests."""


@pytest.fixture(scope="module")
def open_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interception]:
    """Without clients: whoever reaches the proxy may call."""
    with intercepting(tmp_path_factory.mktemp("open")) as running:
        running.amazon.control("settings", {"strict_media_types": True})
        yield running


@pytest.fixture(scope="module")
def keyed_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interception]:
    """With one client, which has a key."""
    with intercepting(tmp_path_factory.mktemp("keyed"), flows.CLIENT) as running:
        running.amazon.control("settings", {"strict_media_types": True})
        yield running


def execute(
    client: Client, way: str, proxy: Interception, folder: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run the client's script in a folder of its own: as the command of `run`, or with two variables alone."""
    command = [str(part) for part in (client.environment.python, "-P", client.script)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **MADE_UP}
    trust = client.trust
    if trust == CERTIFI:
        # Many clients share the environment; this one trusts a copy of certifi that goes before its certifi.
        shutil.copytree(client.environment.packages / CERTIFI, folder / "copied" / CERTIFI)
        environ["PYTHONPATH"] = str(folder / "copied")
        command, trust = ["sh", "-c", WITH_CERTIFI, *command], "SSL_CERT_FILE"
    if way == "run":
        named = ("--client", proxy.client) if proxy.client else ()
        command = ready("run", "--config", str(proxy.proxy.path), *named, "--", *command)
    else:
        environ |= {name: proxy.exported()[name] for name in ("HTTPS_PROXY", trust)}
    return subprocess.run(
        command, env=environ | more, cwd=folder, capture_output=True, text=True, check=False, timeout=flows.LONGEST
    )


def said(client: Client, way: str, proxy: Interception, folder: Path) -> dict[str, Any]:
    """What the client's script prints."""
    ended = execute(client, way, proxy, folder)
    assert ended.returncode == 0, f"{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def refused(proxy: Interception) -> list[str]:
    """The kinds of all that the simulator refused so far; with the paths of operations that it does not know."""
    kinds = [(each["kind"], urlsplit(each["target"]).path) for each in proxy.amazon.look("refusals")["refusals"]]
    return [f"{kind} {path}" if kind == REMOVED else kind for kind, path in kinds]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_client_with_amazons_addresses(name: str, way: str, open_proxy: Interception, tmp_path: Path) -> None:
    """The client does what it can do at Amazon: nothing is refused but its own mistakes."""
    client, before = BY_NAME[name], len(refused(open_proxy))
    assert said(client, way, open_proxy, tmp_path) == client.said
    assert refused(open_proxy)[before:] == [*client.refused]
    assert {*open_proxy.amazon.counts()["token_by_result"]} == {"ok"}, "a client's own credentials reached Amazon"


def test_what_a_client_calls_besides_amazon_is_refused(open_proxy: Interception, tmp_path: Path) -> None:
    """The client asks for its address and reports its use; it works without both, and the log names the hosts."""
    client = BY_NAME["airbyte-agent-amazon-ads"]
    assert said(client, "variables", open_proxy, tmp_path) == client.said
    for host in ("api.ipify.org", "api.segment.io"):
        assert open_proxy.proxy.told("request", path=f"{host}:443", refusal="not-amazon")


@pytest.mark.parametrize("name", KEYED)
def test_a_clients_own_credentials_do_where_its_tunnel_has_a_key(
    name: str, keyed_proxy: Interception, tmp_path: Path
) -> None:
    """The name and the key in HTTPS_PROXY identify it, for its login and for each request."""
    client, before = BY_NAME[name], len(refused(keyed_proxy))
    assert said(client, "variables", keyed_proxy, tmp_path) == client.said
    assert refused(keyed_proxy)[before:] == [*client.refused]


@pytest.mark.parametrize("name", ["amazon-ads-api-connector", "amazonadapi"])
def test_a_client_without_the_key_says_what_it_lacks(name: str, keyed_proxy: Interception, tmp_path: Path) -> None:
    """httpx and requests both show the status of the tunnel that they asked for."""
    place = urlsplit(keyed_proxy.exported()["HTTPS_PROXY"])
    ended = execute(
        BY_NAME[name], "variables", keyed_proxy, tmp_path, HTTPS_PROXY=f"http://{place.hostname}:{place.port}"
    )
    assert ended.returncode != 0
    assert "407 Proxy Authentication Required" in ended.stderr


def test_a_client_that_reads_no_variable_says_what_it_misses(open_proxy: Interception, tmp_path: Path) -> None:
    """amazon-advertising sends prepared requests, for which requests reads no variable of authorities."""
    client = replace(BY_NAME["amazon-advertising"], trust=REQUESTS)
    assert "CERTIFICATE_VERIFY_FAILED" in execute(client, "variables", open_proxy, tmp_path).stderr


@pytest.mark.parametrize(
    ("environment", "module"),
    [
        (AMAZON_AD, "amazon_ad.client.service"),
        (AMAZON_AD_SDK, "amazon_ad.client.service"),
        (SINGER, "tap_amazon_ads_dsp"),
    ],
    ids=lambda given: given.name if isinstance(given, Environment) else None,
)
def test_clients_with_old_requirements_do_not_start_on_python_3_12(environment: Environment, module: str) -> None:
    """The urllib3 that they require cannot be imported there, with the proxy or without."""
    newer = environments.find_python("3.13", "3.14", "3.12")
    ended = subprocess.run(
        [newer, "-c", f"import {module}"],
        env={"PYTHONPATH": str(environment.packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'urllib3.packages.six.moves'"
