"""Programs on the HTTP libraries of several languages, with Amazon's own addresses and nothing of the proxy's in them.

Each logs in, lists profiles and lists campaigns: under `ads-proxy run`, and with the variables of `ads-proxy env`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.intercept.hosts import AMAZON_HOSTS
from tests.clients import environments, flows
from tests.clients.intercepted import WAYS, Interception, intercepting
from tests.support.programs import do_without, require_program

pytestmark = [pytest.mark.integration, pytest.mark.newman]

JAVA = ("HttpClient", "HttpsURLConnection")
OTHERS = ("curl", "fetch", "go", "scaleleap")
"""Programs whose libraries send the name and the key in HTTPS_PROXY; no library of Java's does."""
BY_NAME = ("127.0.4.43", 443)
"""An address of this machine's own that nothing else uses."""
SAID = {"profiles": 3, "campaigns": 10}


@pytest.fixture(scope="module")
def open_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interception]:
    """Without clients: whoever reaches the proxy may call."""
    with intercepting(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.fixture(scope="module")
def keyed_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interception]:
    """With one client, which has a key."""
    with intercepting(tmp_path_factory.mktemp("keyed"), flows.CLIENT) as running:
        yield running


@pytest.fixture(scope="module")
def named_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interception]:
    """With one client, and a listener for Amazon's names, on the port that their addresses have."""
    try:
        socket.create_server(BY_NAME).close()
    except OSError as error:
        do_without(f"a program that listens on port 443: {error.strerror}")
    listen = ":".join(map(str, BY_NAME))
    with intercepting(tmp_path_factory.mktemp("named"), flows.CLIENT, listen=listen) as running:
        yield running


def program(name: str) -> tuple[list[str | Path], dict[str, str]]:
    """The command of a program, and the variables that it needs besides."""
    here = environments.CLIENTS
    if name == "curl":
        require_program("curl")
        return ["/bin/sh", here / "curl" / "unchanged.sh"], {}
    if name == "fetch":
        return [environments.recent_node(), here / "node" / "fetch.mjs"], {}
    if name == "go":
        return [environments.go_program("go")], {}
    if name in JAVA:
        classes = environments.java_classes("java")
        # The quick compiler alone: the programs end before the other one pays.
        return [require_program("java"), "-XX:TieredStopAtLevel=1", "-cp", classes, "Unchanged", name], {}
    modules = environments.node_environment("scaleleap")
    return [require_program("node"), here / "scaleleap" / "unchanged.js"], {"CLIENT_MODULES": str(modules)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*OTHERS, *JAVA])
def test_a_program_with_amazons_addresses(name: str, way: str, open_proxy: Interception) -> None:
    """The program logs in, lists the profiles and the campaigns of the first one, and Amazon refuses nothing."""
    command, more = program(name)
    assert open_proxy.said(way, *command, **more) == SAID
    assert open_proxy.refusals() == []


@pytest.mark.parametrize(("name", "way"), [*((name, "variables") for name in OTHERS), ("curl", "run")])
def test_a_program_with_a_key(name: str, way: str, keyed_proxy: Interception) -> None:
    """The client finds its name and key in HTTPS_PROXY, and the proxy's own key never reaches Amazon."""
    command, more = program(name)
    assert keyed_proxy.said(way, *command, **more) == SAID
    assert keyed_proxy.refusals() == []
    assert not keyed_proxy.at_amazon("proxy-authorization", "x-ads-proxy-key")
    assert keyed_proxy.proxy.told("request", client=flows.CLIENT)


@pytest.mark.parametrize("name", JAVA)
def test_java_sends_no_key_to_a_proxy(name: str, keyed_proxy: Interception) -> None:
    """The proxy answers 407, with which the program ends: it would need an Authenticator in its code."""
    command, more = program(name)
    ended = keyed_proxy.execute("variables", *command, **more)
    assert ended.returncode == 1
    assert "407" in ended.stderr or "No credentials provided" in ended.stderr


@pytest.mark.parametrize("name", JAVA)
def test_java_with_amazons_names(name: str, named_proxy: Interception) -> None:
    """Where Amazon's names lead to `intercept.listen`, it needs no proxy; it shows its name and key as it logs in."""
    hosts = named_proxy.folder / "hosts"
    hosts.write_text("".join(f"{BY_NAME[0]} {host}\n" for host in AMAZON_HOSTS), encoding="utf-8")
    trusted = [word for word in named_proxy.exported()["JAVA_TOOL_OPTIONS"].split() if "trustStore" in word]
    command, _ = program(name)
    options = " ".join((*trusted, f"-Djdk.net.hosts.file={hosts}"))
    assert named_proxy.said("variables", *command, JAVA_TOOL_OPTIONS=options) == SAID
    assert named_proxy.refusals() == []
