"""The matrix of faults: each row of docs/faults.md that names this file, on the running program and the simulator.

A row says what a tool gets while something is wrong, what the program says of itself meanwhile, and that it serves
again once that is over. The rows here and there are held against each other.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.programs import ROOT
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

HTML = "<html><body>503</body></html>"
Fault = dict[str, Any]
MEANWHILE = {"request_wait": 1}
PATIENCE = {"response_timeout": 1, "idle_timeout": 1, "connect_timeout": 1}


@dataclass(frozen=True)
class Row:
    """What goes wrong, and what a tool gets: a status and a slug (empty: it is Amazon's own answer), or `cut`."""

    name: str
    fault: Fault
    status: int | str
    slug: str = ""
    request: str = "GET /v2/profiles"


API = (
    Row("api-reset", {"abort": "before_head", "reset": True}, 502, "upstream-closed"),
    Row("api-closed", {"abort": "before_head"}, 502, "upstream-closed"),
    Row("api-black-hole", {"hang": "before_head"}, 504, "upstream-timeout"),
    Row("api-slow", {"delay": 0.3}, 200),
    Row("api-slow-body", {"piece_bytes": 50, "piece_interval": 0.05}, 200),
    Row("api-silent-body", {"hang": "mid_body", "abort_after": 5}, "cut"),
    Row("api-truncated-head", {"abort": "mid_head"}, 502, "upstream-closed"),
    Row("api-truncated-body", {"abort": "mid_body", "abort_after": 5}, "cut"),
    Row("api-reset-in-body", {"abort": "mid_body", "abort_after": 5, "reset": True}, "cut"),
    Row("api-empty", {"raw": ""}, 502, "upstream-closed"),
    Row("api-garbage", {"raw": "garbage\r\n\r\n"}, 502, "upstream-malformed"),
    Row("api-500", {"status": 500, "body": "{}"}, 500),
    Row("api-503-html", {"status": 503, "body": HTML}, 503),
    Row("api-429", {"status": 429, "headers": {"Retry-After": "1"}, "body": "{}"}, 429, "", "GET /managerAccounts"),
    Row("api-429-silent", {"named": "throttled-silently"}, 429, "", "GET /sim/bytes/6"),
    Row("api-early-answer", {"status": 413, "early": True, "rest": "close"}, 413, "", "POST /sim/echo"),
)

LWA: dict[str, Fault] = {
    "reset": {"abort": "before_head", "reset": True},
    "black-hole": {"hang": "before_head"},
    "503-html": {"status": 503, "body": HTML},
    "429": {"status": 429, "headers": {"Retry-After": "1"}, "body": "{}"},
    "empty": {"status": 200, "body": ""},
    "truncated": {"abort": "mid_body", "abort_after": 5},
    "garbage": {"raw": "garbage\r\n\r\n"},
}


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture(autouse=True)
def healed(amazon: SimulatedAmazon) -> Iterator[None]:
    yield
    amazon.heal()
    amazon.control("settings", {"access_token_lifetime": 3600})


@pytest.fixture(scope="module")
def live(amazon: SimulatedAmazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A program with a live token and short patience."""
    with serving(tmp_path_factory.mktemp("live"), amazon.configuration(upstream=PATIENCE)) as running:
        running.until_listed()
        yield running


def ask(running: Serving, request: str = "GET /v2/profiles", prefix: str = "") -> tuple[int | str, str]:
    """The status and the slug of one request on a connection of its own."""
    method, path = request.split(" ")
    connection = http.client.HTTPConnection(running.netloc, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, prefix + path, body=bytes(2_000_000) if method == "POST" else None)
        answer = connection.getresponse()
        try:
            body = answer.read()
        except (http.client.IncompleteRead, ConnectionError):
            return "cut", ""
        ours = answer.getheader("Proxy-Status", "").startswith("ads-proxy")
        return answer.status, json.loads(body)["type"].rpartition(":")[2] if ours else ""


def serves_again(running: Serving) -> None:
    running.until(lambda: ask(running) == (200, ""), 20)
    assert running.admin_get("/readyz")[0] == 200
    assert running.events("defect_met") == []


@pytest.mark.parametrize("row", API, ids=lambda row: row.name)
def test_the_api_fails(amazon: SimulatedAmazon, live: Serving, row: Row) -> None:
    """The tool gets what the row says; the program stays ready, and serves as soon as it is over."""
    amazon.fault(row.fault, target="api", path=row.request.split(" ")[1])
    assert ask(live, row.request) == (row.status, row.slug)
    assert live.admin_get("/readyz")[0] == 200
    code = str(row.status) if isinstance(row.status, int) else "200"
    assert live.metric("requests_total", code=code) > 0
    amazon.heal()
    live.until(lambda: ask(live, row.request) == (200, ""))
    serves_again(live)


def test_the_api_is_not_there(amazon: SimulatedAmazon, live: Serving) -> None:
    """`api-refused`: its address refuses connections."""
    amazon.control("listeners", {"listening": False})
    amazon.control("connections/close")
    try:
        live.until(lambda: live.metric("upstream_connections") == 0)
        assert ask(live) == (502, "upstream-unreachable")
        assert live.admin_get("/readyz")[0] == 200
    finally:
        amazon.control("listeners", {"listening": True})
    serves_again(live)


def test_connections_die_without_a_word(amazon: SimulatedAmazon, live: Serving) -> None:
    """`api-silent-death`: those that are open fall silent; new ones are served."""
    serves_again(live)
    amazon.control("connections/freeze")
    try:
        first = ask(live)
        assert first in {(200, ""), (504, "upstream-timeout")}
        live.until(lambda: ask(live) == (200, ""))
    finally:
        amazon.control("connections/thaw")
    serves_again(live)


@pytest.fixture
def unreachable(
    amazon: SimulatedAmazon, tmp_path: Path
) -> Iterator[Callable[[str], contextlib.AbstractContextManager[Serving]]]:
    """A program whose region eu has its API at this address."""

    @contextlib.contextmanager
    def serve(url: str) -> Iterator[Serving]:
        regions = amazon.regions()
        regions["eu"]["api_url"] = url
        with serving(tmp_path, amazon.configuration(regions=regions, upstream=PATIENCE)) as running:
            running.until_ready()
            yield running

    yield serve


def test_the_apis_name_does_not_resolve(unreachable: Any) -> None:
    """`api-no-name`: one region's name does not resolve; the others are served."""
    with unreachable("http://no-such-name.invalid:9") as running:
        assert ask(running, prefix="/eu") == (502, "upstream-name-unresolved")
        serves_again(running)


def test_the_api_speaks_no_tls(amazon: SimulatedAmazon, unreachable: Any) -> None:
    """`api-tls-error`: what answers there is no TLS."""
    with unreachable(amazon.facts["api_urls"]["eu"].replace("http://", "https://")) as running:
        assert ask(running, prefix="/eu") == (502, "upstream-unreachable")
        serves_again(running)


def test_the_apis_certificate_is_somebody_elses(unreachable: Any, tmp_path: Path) -> None:
    """`api-wrong-certificate`: it is never used all the same."""
    context = Authority(tmp_path).context("localhost")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context), daemon=True)
        thread.start()
        with unreachable(f"https://localhost:{listener.getsockname()[1]}") as running:
            assert ask(running, prefix="/eu") == (502, "upstream-certificate-rejected")
            serves_again(running)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
                pass


# --- Login with Amazon


@pytest.mark.parametrize("fault", LWA.values(), ids=[f"lwa-{name}-live" for name in LWA])
def test_lwa_fails_while_a_token_lives(amazon: SimulatedAmazon, live: Serving, fault: Fault) -> None:
    """No request notices."""
    amazon.fault(fault, target="lwa")
    assert ask(live) == (200, "")
    assert live.metric("credential_state", state="valid") == 1


@pytest.mark.parametrize("fault", LWA.values(), ids=[f"lwa-{name}-cold" for name in LWA])
def test_lwa_fails_at_the_start(amazon: SimulatedAmazon, tmp_path: Path, fault: Fault) -> None:
    """Not ready, and 503 with Retry-After; both are over a few seconds after the trouble."""
    amazon.fault(fault, target="lwa")
    with serving(tmp_path, amazon.configuration(tokens=MEANWHILE)) as running:
        assert ask(running) == (503, "no-usable-token")
        assert running.admin_get("/readyz")[0] == 503
        assert running.admin_get("/livez")[0] == 200
        assert running.metric("credential_state", state="valid") == 0
        amazon.heal()
        serves_again(running)
        assert running.metric("credential_state", state="valid") == 1


@pytest.mark.parametrize("fault", LWA.values(), ids=[f"lwa-{name}-expired" for name in LWA])
def test_lwa_fails_until_the_token_is_over(amazon: SimulatedAmazon, tmp_path: Path, fault: Fault) -> None:
    """Served to the last second, then 503; the program stays ready, as others may be served."""
    amazon.control("settings", {"access_token_lifetime": 2})
    with serving(tmp_path, amazon.configuration(tokens=MEANWHILE)) as running:
        running.until_ready()
        amazon.fault(fault, target="lwa")
        running.until(lambda: running.metric("credential_state", state="expired") == 1, 20)
        assert ask(running) == (503, "no-usable-token")
        assert running.admin_get("/readyz")[0] == 200
        amazon.heal()
        serves_again(running)


# --- the page


def test_the_page_has_the_rows_that_are_tried() -> None:
    """Each row that says so is tried here, and each that is tried here is a row."""
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "test_faults" in line]
    told = {name for line in rows for name in re.findall(r"`((?:api|lwa)-[a-z0-9-]+)`", line.split("|")[1])}
    here = {row.name for row in API} | {f"lwa-{name}-{state}" for name in LWA for state in ("live", "cold", "expired")}
    here |= set(re.findall(r'^    """`([a-z-]+)`', Path(__file__).read_text(encoding="utf-8"), re.MULTILINE))
    assert told == here
