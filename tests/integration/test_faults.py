"""The matrix of faults: each row of docs/development/faults.md that names this file, on the running program and the
simulator.

A row says what a client gets during a fault, what the program reports meanwhile, and that it serves again afterwards.
The rows here and there are compared.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.front import Behaviour, Front, front
from tests.support.patience import PATIENCE
from tests.support.processes import fetch
from tests.support.programs import ROOT
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

HTML = "<html><body>503</body></html>"
Fault = dict[str, Any]
MEANWHILE = {"request_wait": 1}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
}
IMPATIENT = {"before_head": {"response_timeout": 3}, "mid_body": {"idle_timeout": 3}}
"""By the point from which Amazon is silent, what ends the wait for it. Elsewhere no limit is short."""


@dataclass(frozen=True)
class Row:
    """A fault, and what a client gets: a status and a slug (empty: it is Amazon's own answer), or `cut`."""

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
    Row("api-429-silent", {"named": "throttled-silently"}, 429, "", "GET /sim/bytes/6"),
    Row("api-429", {"status": 429, "headers": {"Retry-After": "1"}, "body": "{}"}, 429, "", "GET /managerAccounts"),
    Row("api-early-answer", {"status": 413, "early": True, "rest": "close"}, 413, "", "POST /sim/echo"),
)

MCP = tuple(
    replace(row, name=row.name.replace("api", "mcp"), request="POST /mcp")
    for row in API
    if not row.name.endswith(("early-answer", "slow-body", "silent-body"))
)
"""The endpoint is reached in the same way; its calls are writes, and its streams may be silent for ever."""

LWA: dict[str, Fault | Behaviour] = {
    "reset": {"abort": "before_head", "reset": True},
    "closed": {"abort": "before_head"},
    "black-hole": {"hang": "before_head"},
    "silent-body": {"hang": "mid_body", "abort_after": 5},
    "500": {"status": 500, "body": "{}"},
    "503-html": {"status": 503, "body": HTML},
    "429": {"status": 429, "headers": {"Retry-After": "1"}, "body": "{}"},
    "429-silent": {"status": 429, "body": "{}"},
    "empty": {"status": 200, "body": ""},
    "nothing": {"raw": ""},
    "truncated-head": {"abort": "mid_head"},
    "truncated": {"abort": "mid_body", "abort_after": 5},
    "garbage": {"raw": "garbage\r\n\r\n"},
    "json-garbage": {"status": 200, "body": "[1, 2"},
    **{behaviour.value: behaviour for behaviour in Behaviour if behaviour is not Behaviour.PASS},
}
"""What the simulator does, or the front before it, below HTTP."""
STATES = ("live", "cold", "expired")


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        started.control("settings", {"strict_host": False})  # the front has a port of its own
        yield started


@pytest.fixture(scope="module")
def login(amazon: SimulatedAmazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Before Login with Amazon, which is reached through TLS here."""
    address = urlsplit(amazon.facts["token_urls"]["na"])
    assert address.hostname and address.port
    with front(tmp_path_factory.mktemp("login"), (address.hostname, address.port)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def healed(amazon: SimulatedAmazon, login: Front) -> Iterator[None]:
    yield
    heal(amazon, login)
    amazon.control("settings", {"access_token_lifetime": 3600})


def heal(amazon: SimulatedAmazon, login: Front) -> None:
    amazon.heal()
    login.behave(Behaviour.PASS)


def configuration(
    amazon: SimulatedAmazon, login: Front, limits: dict[str, int] | None = None, **changes: Any
) -> dict[str, Any]:
    """One whose tokens come through the front; `limits` are of `upstream`."""
    regions = amazon.regions()
    for region in regions.values():
        region["token_url"] = f"https://localhost:{login.port}{urlsplit(region['token_url']).path}"
    return amazon.configuration(regions=regions, upstream={**(limits or {}), "ca_file": str(login.ca_file)}, **changes)


@pytest.fixture(scope="module")
def live(amazon: SimulatedAmazon, login: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A program with a live token."""
    with serving(tmp_path_factory.mktemp("live"), configuration(amazon, login)) as running:
        running.until_listed()
        yield running


Impatient = Callable[[str], contextlib.AbstractContextManager[Serving]]


@pytest.fixture
def impatient(amazon: SimulatedAmazon, login: Front, tmp_path: Path) -> Impatient:
    """One that does not wait long where Amazon is silent from this point."""

    @contextlib.contextmanager
    def serve(point: str) -> Iterator[Serving]:
        with serving(tmp_path, configuration(amazon, login, IMPATIENT[point])) as running:
            running.until_listed()
            yield running

    return serve


def ask(running: Serving, request: str = "GET /v2/profiles", prefix: str = "") -> tuple[int | str, str]:
    """The status and the slug of one request on a connection of its own."""
    method, path = request.split(" ")
    headers, body = {}, b""
    if path == "/mcp":
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        body = json.dumps(INITIALIZE).encode()
    elif method == "POST":
        body = bytes(2_000_000)
    connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    with contextlib.closing(connection):
        with contextlib.suppress(ConnectionError):  # it is answered before all of the body has come
            connection.request(method, prefix + path, body or None, headers)
        answer = connection.getresponse()
        try:
            body = answer.read()
        except (http.client.IncompleteRead, ConnectionError):
            return "cut", ""
        ours = answer.getheader("Proxy-Status", "").startswith("ads-proxy")
        return answer.status, json.loads(body)["type"].rpartition(":")[2] if ours else ""


def serves_again(running: Serving) -> None:
    """Wait until requests are served, and the program is ready: after a first start it reads its lists before."""
    running.until(lambda: ask(running) == (200, ""))
    running.until(lambda: running.admin_get("/readyz")[0] == 200)
    assert running.events("defect_met") == []


@pytest.mark.parametrize("row", (*API, *MCP), ids=lambda row: row.name)
def test_what_tools_ask_for_fails(amazon: SimulatedAmazon, live: Serving, impatient: Impatient, row: Row) -> None:
    """The client gets what the row says; the fault is counted, the program stays ready, and serves as soon as it is
    over."""
    with impatient(row.fault["hang"]) if "hang" in row.fault else contextlib.nullcontext(live) as running:
        fails_and_serves_again(amazon, running, row)


def fails_and_serves_again(amazon: SimulatedAmazon, running: Serving, row: Row) -> None:
    code = str(row.status) if isinstance(row.status, int) else "200"
    counted = {
        "requests_total": {"code": code},
        **({"refused_total": {"reason": row.slug}} if row.slug else {}),
        **({"cut_responses_total": {}} if row.status == "cut" else {}),
        **({"throttled_total": {}} if row.status == 429 else {}),
    }
    before = {name: running.metric(name, **labels) for name, labels in counted.items()}
    path = row.request.split(" ")[1]
    if path == "/mcp":
        amazon.fault(row.fault, target="mcp")
    else:
        amazon.fault(row.fault, target="api", path=path)
    assert ask(running, row.request) == (row.status, row.slug)
    assert running.admin_get("/readyz")[0] == 200
    running.until(lambda: all(running.metric(name, **labels) > before[name] for name, labels in counted.items()))
    amazon.heal()
    running.until(lambda: ask(running, row.request) == (200, ""))
    serves_again(running)


def test_the_api_is_not_there(amazon: SimulatedAmazon, live: Serving) -> None:
    """`api-refused`: its address refuses connections."""
    amazon.control("listeners", {"listening": False})
    amazon.control("connections/close")
    try:
        assert ask(live) == (502, "upstream-unreachable")
        assert live.admin_get("/readyz")[0] == 200
    finally:
        amazon.control("listeners", {"listening": True})
    serves_again(live)


def test_connections_die_without_a_word(amazon: SimulatedAmazon, impatient: Impatient) -> None:
    """`api-silent-death`: those that are open fall silent; new ones are served."""
    with impatient("before_head") as running:
        serves_again(running)
        amazon.control("connections/freeze")
        try:
            first = ask(running)
            assert first in {(200, ""), (504, "upstream-timeout")}
            running.until(lambda: ask(running) == (200, ""))
        finally:
            amazon.control("connections/thaw")
        serves_again(running)


@pytest.fixture
def unreachable(
    amazon: SimulatedAmazon, tmp_path: Path
) -> Iterator[Callable[[str], contextlib.AbstractContextManager[Serving]]]:
    """A program whose region eu has its API at this address."""

    @contextlib.contextmanager
    def serve(url: str) -> Iterator[Serving]:
        regions = amazon.regions()
        regions["eu"]["api_url"] = url
        with serving(tmp_path, amazon.configuration(regions=regions)) as running:
            running.until_ready()
            yield running

    yield serve


def test_the_apis_name_does_not_resolve(unreachable: Any) -> None:
    """`api-no-name`: one region's name does not resolve; the others are served."""
    with unreachable("http://no-such-name.invalid:9") as running:
        assert ask(running, prefix="/eu") == (502, "upstream-name-unresolved")
        serves_again(running)


BELOW_HTTP = {
    Behaviour.SILENT: (504, "upstream-connect-timeout"),
    Behaviour.NO_TLS: (502, "upstream-unreachable"),
    Behaviour.WRONG: (502, "upstream-certificate-rejected"),
}


@pytest.mark.parametrize("kind", ["api", "mcp"])
@pytest.mark.parametrize("behaviour", BELOW_HTTP)
def test_no_connection_comes_about(amazon: SimulatedAmazon, tmp_path: Path, kind: str, behaviour: Behaviour) -> None:
    """Nothing is sent; other regions are served, and so is this one as soon as it is over."""
    regions, request = amazon.regions(), "POST /mcp" if kind == "mcp" else "GET /v2/profiles"
    address = urlsplit(regions["eu"][f"{kind}_url"])
    assert address.hostname and address.port
    with front(tmp_path, (address.hostname, address.port)) as before:
        regions["eu"][f"{kind}_url"] = f"https://localhost:{before.port}{address.path}"
        upstream: dict[str, Any] = {"ca_file": str(before.ca_file)}
        if behaviour is Behaviour.SILENT:
            upstream["connect_timeout"] = 3
        with serving(tmp_path, amazon.configuration(regions=regions, upstream=upstream)) as running:
            running.until_ready()
            before.behave(behaviour)
            assert ask(running, request, "/eu") == BELOW_HTTP[behaviour]
            running.until(lambda: running.metric("refused_total", reason=BELOW_HTTP[behaviour][1]) >= 1)
            serves_again(running)
            before.behave(Behaviour.PASS)
            running.until(lambda: ask(running, request, "/eu") == (200, ""))


# --- Login with Amazon


def trouble(amazon: SimulatedAmazon, login: Front, fault: Fault | Behaviour) -> None:
    if isinstance(fault, Behaviour):
        login.behave(fault)
    else:
        amazon.fault(fault, target="lwa")
        login.behave(Behaviour.PASS)  # connections that are open end: a fault meets requests on new ones as well


def renewed(running: Serving) -> bool:
    """Whether a token comes that the operator asks for."""
    return fetch(f"{running.admin}/console/accounts/acme/refresh", b"", {"X-Ads-Proxy-Console": "1"})[0] == 200


@pytest.mark.parametrize("fault", LWA.values(), ids=[f"lwa-{name}-live" for name in LWA])
def test_lwa_fails_while_a_token_lives(
    amazon: SimulatedAmazon, login: Front, live: Serving, fault: Fault | Behaviour
) -> None:
    """No request notices that a renewal failed."""
    live.until(lambda: renewed(live))
    failed = live.metric("token_refreshes_total", result="transient_error")
    trouble(amazon, login, fault)
    assert not renewed(live)
    assert live.metric("token_refreshes_total", result="transient_error") > failed
    assert live.metric("credential_state", state="degraded") == 1
    assert ask(live) == (200, "")
    assert live.admin_get("/readyz")[0] == 200
    heal(amazon, login)
    live.until(lambda: renewed(live))
    live.until(lambda: live.metric("credential_state", state="valid") == 1)


@pytest.mark.parametrize("fault", LWA.values(), ids=[f"lwa-{name}-cold-expired" for name in LWA])
def test_lwa_fails_at_the_start_and_again_until_the_token_is_over(
    amazon: SimulatedAmazon, login: Front, tmp_path: Path, fault: Fault | Behaviour
) -> None:
    """At the start, not ready, and 503 with Retry-After; both are over a few seconds after the trouble.

    Later, served to the last second of the token, then 503; the program stays ready, as others may be served.
    """
    amazon.control("settings", {"access_token_lifetime": 2})
    trouble(amazon, login, fault)
    with serving(tmp_path, configuration(amazon, login, tokens=MEANWHILE)) as running:
        assert ask(running) == (503, "no-usable-token")
        assert running.admin_get("/readyz")[0] == 503
        assert running.admin_get("/livez")[0] == 200
        assert running.metric("credential_state", state="valid") == 0
        heal(amazon, login)
        serves_again(running)
        running.until(lambda: running.metric("credential_state", state="valid") == 1)

        trouble(amazon, login, fault)
        running.until(lambda: running.metric("credential_state", state="expired") == 1)
        assert ask(running) == (503, "no-usable-token")
        assert running.admin_get("/readyz")[0] == 200
        heal(amazon, login)
        serves_again(running)


def test_lwa_is_slow_at_the_start(amazon: SimulatedAmazon, login: Front, tmp_path: Path) -> None:
    """`lwa-slow-cold`: the first request waits for it, and is served."""
    amazon.fault({"delay": 0.5}, target="lwa")
    with serving(tmp_path, configuration(amazon, login)) as running:
        assert ask(running) == (200, "")
        serves_again(running)


def test_lwas_name_does_not_resolve(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """`lwa-no-name-cold`: the name has no address."""
    regions = amazon.regions()
    for region in regions.values():
        region["token_url"] = "https://no-such-name.invalid/auth/o2/token"
    with serving(tmp_path, amazon.configuration(regions=regions, tokens=MEANWHILE)) as running:
        assert ask(running) == (503, "no-usable-token")
        assert running.admin_get("/readyz")[0] == 503
        running.until(lambda: running.metric("token_refreshes_total", reason="network") >= 1)


# --- the page


def test_the_page_has_the_rows_that_are_tried() -> None:
    """Each row that names this file is tried here, and each fault that is tried here is a row."""
    rows = [row for row in page_rows() if "test_faults" in row[-1]]
    told = {name for row in rows for name in re.findall(r"`((?:api|mcp|lwa)-[a-z0-9-]+)`", row[0])}
    told |= set(re.findall(r"`(lwa-[a-z0-9-]+)`", lwa_faults()))
    assert [row[0] for row in rows if "any of them" in row[0]] == [f"any of them, {state}" for state in STATES]
    here = {row.name for row in (*API, *MCP)} | {f"lwa-{name}" for name in LWA}
    here |= {f"{kind}-{behaviour.value}" for kind in ("api", "mcp") for behaviour in BELOW_HTTP}
    here |= set(re.findall(r'^    """`([a-z-]+)`', Path(__file__).read_text(encoding="utf-8"), re.MULTILINE))
    assert told == here


@pytest.mark.parametrize("row", [row for row in API if row.slug], ids=lambda row: row.name)
def test_the_page_says_what_the_tool_gets(row: Row) -> None:
    """The status and the slug that the test holds, in the row's second cell."""
    cell = next(cells[1] for cells in page_rows() if f"`{row.name}`" in cells[0])
    assert f"{row.status} `{row.slug}`" in cell


def test_each_row_of_the_page_names_a_test_that_is_there() -> None:
    """A file, a folder, or a test of it; those of this folder by the file's name alone."""
    for cells in page_rows():
        places = re.findall(r"[\w/]*test\w*(?:/\w+)*(?:\.py)?(?:::\w+)?", cells[-1])
        assert places, cells
        for place in places:
            path, _, name = place.partition("::")
            where = ROOT / (path if "/" in path else f"tests/integration/{path}.py")
            assert where.exists(), place
            assert not name or re.search(
                rf"^(?:async )?def {name}\(", where.read_text(encoding="utf-8"), re.MULTILINE
            ), place


def lwa_faults() -> str:
    """The paragraph of docs/development/faults.md that lists the faults of Login with Amazon, which its rows call `any
    of them`."""
    page = (ROOT / "docs" / "development" / "faults.md").read_text(encoding="utf-8")
    return page.partition("All of these faults have the same effect:")[2].partition("\n\n")[0]


def page_rows() -> list[list[str]]:
    """The cells of the tables of docs/development/faults.md, without their heads."""
    page = (ROOT / "docs" / "development" / "faults.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| fault ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
