"""The container image and the compose file, built and run by podman as a user would."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.containers import (
    Answer,
    Compose,
    Container,
    build_image,
    build_prometheus,
    eventually,
    get,
    podman,
    running_container,
)
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT, require_program

pytestmark = [pytest.mark.integration, pytest.mark.podman]

OPEN = ("-e", "ADS_PROXY_LISTEN=0.0.0.0:8080", "-e", "ADS_PROXY_ADMIN_LISTEN=0.0.0.0:8081")


@pytest.fixture(scope="module")
def image() -> str:
    """The project's image, built once."""
    return build_image("ads-proxy-under-test")


@pytest.fixture(scope="module")
def demo(image: str) -> Iterator[Container]:
    """The demo in a container, once it serves. It would wait long for requests that are under way."""
    options = (*OPEN, "-e", f"ADS_PROXY_DRAIN__TIMEOUT={10 * PATIENCE}")
    with running_container(image, "demo", options=options) as container:
        _serving(container)
        yield container


def _serving(container: Container, path: str = "/v2/profiles") -> Answer:
    """The first good answer; the container's own words if it ends before that. Only that of /v2/profiles needs no
    list of profiles yet."""

    def answered() -> Answer | None:
        assert container.is_running(), container.logs()
        answer = get(container.url(path))
        return answer if answer.status == 200 else None

    return eventually(answered, f"an answer of {path}")


# --- the image ----------------------------------------------------------------------------------------------


def test_nothing_can_be_built_or_installed_in_it(image: str) -> None:
    """The image has neither pip nor a compiler, by no name and in no interpreter."""
    modules = "; ".join(f"python -c 'import {name}' 2>/dev/null && echo {name}" for name in ("pip", "ensurepip"))
    script = f"command -v pip pip3 uv gcc cc make; {modules}; true"
    assert podman("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script) == ""


def test_it_runs_as_nobody(image: str) -> None:
    """The uid and gid are 65532."""
    assert podman("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "id -u; id -g").split() == ["65532", "65532"]


def test_it_knows_its_version(image: str) -> None:
    """The entry point is the program."""
    from proxy import __version__

    assert podman("run", "--rm", image, "version") == f"ads-proxy {__version__}"


def test_its_labels_say_what_it_is(image: str) -> None:
    """Title, licence, version and commit, under the names of the OCI's annotations."""
    from proxy import __version__

    labels = json.loads(podman("image", "inspect", "--format", "{{json .Labels}}", image))
    prefix = "org.opencontainers.image."
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert labels[f"{prefix}title"] == "ads-proxy"
    assert labels[f"{prefix}licenses"] == "MIT"
    assert labels[f"{prefix}version"] == __version__
    assert labels[f"{prefix}revision"] == commit.strip()


def test_it_holds_no_address_of_a_registry(image: str) -> None:
    """Nothing of the building machine's pip configuration is left behind."""
    script = "cat /etc/pip.conf /root/.config/pip/pip.conf 2>/dev/null; env | grep -i pip_; true"
    assert podman("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", script) == ""


def test_serve_without_an_account_says_what_to_do(image: str) -> None:
    """Exit code 2 and a message that names the variable and the demo, not a traceback."""
    with running_container(image) as container:
        assert podman("wait", container.name) == "2"
        said = container.logs()
    assert "AMAZON_ADS_CLIENT_ID" in said
    assert "demo" in said
    assert "Traceback" not in said


def test_serve_does_not_listen_to_every_host_by_accident(image: str) -> None:
    """A listener beyond loopback, and nothing that says who may call: exit code 2."""
    credentials = {
        "CLIENT_ID": "amzn1.application-oa2-client.x",
        "CLIENT_SECRET": "secret-one",
        "REFRESH_TOKEN": "Atzr|x",
    }
    options = [word for name, value in credentials.items() for word in ("-e", f"AMAZON_ADS_{name}={value}")]
    with running_container(image, options=(*options, "-e", "ADS_PROXY_LISTEN=0.0.0.0:8080")) as container:
        assert podman("wait", container.name) == "2"
        said = container.logs()
    assert "allow_unauthenticated" in said
    assert "secret-one" not in said


# --- a running container ------------------------------------------------------------------------------------


def test_the_demo_serves_and_says_that_it_is_one(demo: Container) -> None:
    """A request without any login gets profiles, and the header of the demo."""
    answer = get(demo.url("/v2/profiles"))
    assert answer.status == 200
    assert json.loads(answer.body)
    assert answer.headers["X-Ads-Proxy-Demo"]


def test_the_command_in_the_dockerfile_needs_no_temporary_folder(image: str) -> None:
    """Pasted as it is, but for the name and the ports. Podman mounts a /tmp that Docker does not: not here."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    [written] = [line.removeprefix("#").split() for line in lines if line.startswith("#   docker run")]
    assert written[:4] == ["docker", "run", "--rm", "--read-only"]
    assert written[-2:] == ["ads-proxy", "demo"]
    options = tuple(word for name, word in pairwise(written) if name == "-e" for word in ("-e", word))
    with running_container(image, "demo", options=("--read-only-tmpfs=false", *options)) as container:
        assert _serving(container).status == 200


def test_its_root_cannot_be_written(demo: Container) -> None:
    """Neither the program's files nor the root can be written: only what podman itself provides."""
    for place in ("/x", "/opt/ads-proxy/x", "/etc/x"):
        assert "Read-only file system" in podman("exec", demo.name, "sh", "-c", f"touch {place} 2>&1 || true")


def test_it_asks_itself_for_its_health(demo: Container) -> None:
    """The image's own health check succeeds while it runs. One that a busy machine cuts short is repeated, as Docker
    does."""
    check = [require_program("podman"), "healthcheck", "run", demo.name]
    eventually(lambda: subprocess.run(check, check=False).returncode == 0 or None, "the health check")


def test_its_admin_listener_answers(demo: Container) -> None:
    """Health is open; the console asks for the key; metrics name the demo's account. It is ready once lists were
    read."""
    assert get(demo.admin_url("/livez")).status == 200
    eventually(lambda: get(demo.admin_url("/readyz")).status == 200 or None, "that it is ready")
    assert get(demo.admin_url("/status")).status == 401
    metrics = get(demo.admin_url("/metrics")).body.decode()
    assert 'ads_proxy_credential_state{account="default",state="valid"} 1' in metrics


def test_an_idle_container_waits_for_nobody(demo: Container) -> None:
    """SIGTERM with nothing to do: it ends with 0, idle connections and all, long before the time limit. It is the last
    test of this container."""
    with closing(http.client.HTTPConnection("127.0.0.1", demo.port, timeout=PATIENCE)) as idle:
        idle.request("GET", "/v2/profiles")
        idle.getresponse().read()
        podman("stop", "--time", f"{PATIENCE:.0f}", demo.name)
    assert demo.exit_code() == 0, demo.logs()


def test_sigterm_lets_a_running_answer_end(image: str) -> None:
    """SIGTERM in the middle of an answer: it is whole, and the program ends with 0 before podman would kill it."""
    with running_container(image, "demo", options=OPEN) as container:
        _serving(container, "/sim/slow?pieces=1&size=1&interval=0")
        with (
            closing(http.client.HTTPConnection("127.0.0.1", container.port, timeout=PATIENCE)) as connection,
            ThreadPoolExecutor(1) as beside,
        ):
            connection.request("GET", "/sim/slow?pieces=6&size=1000&interval=0.4")
            response = connection.getresponse()
            first = response.read(1000)
            stopping = beside.submit(podman, "stop", "--time", f"{PATIENCE:.0f}", container.name)
            body = first + response.read()
            stopping.result()
        assert (response.status, len(body), container.exit_code()) == (200, 6000, 0), container.logs()


# --- compose ------------------------------------------------------------------------------------------------


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """An empty environment file: no credentials, whatever the work tree has."""
    file = tmp_path / "environment"
    file.write_text("", encoding="utf-8")
    return file


def _query(port: int, expression: str) -> float | None:
    """The value of an instant query that has one series, or None."""
    answer = json.loads(get(f"http://127.0.0.1:{port}/api/v1/query?query={quote(expression)}").body)
    found = answer["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def test_compose_brings_the_demo_by_its_profile(image: str, env_file: Path, tmp_path: Path) -> None:
    """`--profile demo` starts profiles without a login, a client that asks for them, and Prometheus with the rules."""
    override = tmp_path / "override.yml"
    prometheus = build_prometheus("ads-proxy-test-prometheus", tmp_path)
    override.write_text(f"services: {{prometheus: {{image: {prometheus}}}}}\n", encoding="utf-8")
    compose = Compose(image, env_file, (override,))
    try:
        compose("up", "--detach", "--no-build", "demo", "prometheus", "proxy", profile="demo")
        assert _serving(compose.proxy).headers["X-Ads-Proxy-Demo"]
        port = compose.prometheus_port
        assert eventually(lambda: _query(port, 'up{job="ads-proxy"}') or None, "a scrape") == 1
        requests = "sum(ads_proxy_requests_total)"
        assert eventually(lambda: _query(port, requests) or None, "a count of requests") > 0
        rules = json.loads(get(f"http://127.0.0.1:{port}/api/v1/rules").body)["data"]["groups"]
        assert sum(len(group["rules"]) for group in rules) >= 8
    finally:
        compose.down()


def test_compose_runs_an_unchanged_client(image: str, env_file: Path) -> None:
    """A container that knows Amazon's address alone gets profiles, by the variables and the bundle of its service. It
    has no file of the authority's but that, and any user may read it.

    Podman repeats no health check without systemd, so the test runs the one that the client waits for.
    """
    compose = Compose(image, env_file, (ROOT / "config" / "compose" / "intercept.yml",))
    try:
        compose("up", "--detach", "--no-build", "demo", "bundle", "proxy", profile="demo")
        _serving(compose.proxy)
        check = [require_program("podman"), "healthcheck", "run", compose.proxy.name]
        eventually(lambda: subprocess.run(check, check=False).returncode == 0 or None, "the health check")
        compose("up", "--detach", "--no-build", "client", profile="demo")
        client = Container(compose.container("client"), 0, 0)
        assert podman("wait", client.name) == "0", f"{client.logs()}{compose.proxy.logs()}"
        podman("wait", compose.container("bundle"))  # `up` has it write the bundle again, while the client may read
        assert json.loads(client.logs().splitlines()[0])[0]["profileId"]
        options = ("--rm", "--user", "1000:1000", "--entrypoint", "/bin/sh", "--volumes-from", client.name)
        listed = podman("run", *options, image, "-c", "cd /run/ads-proxy && ls -A && tail -n 1 bundle.pem")
        assert listed.split("\n") == ["bundle.pem", "-----END CERTIFICATE-----"]
    finally:
        compose.down()


def test_compose_without_credentials_names_the_demo(image: str, env_file: Path) -> None:
    """No credentials and no profile: the proxy ends with 2, and says both ways out."""
    compose = Compose(image, env_file)
    try:
        compose("up", "--detach", "--no-build", "proxy")
        assert podman("wait", compose.proxy.name) == "2"
        said = compose.proxy.logs()
        assert "--profile demo" in said
        assert ".env.example" in said
    finally:
        compose.down()


OVERRIDE = """
services:
  amazon:
    image: {image}
    entrypoint: ["python", "-m", "proxy.simulator", "--host", "0.0.0.0", "--advertised-host", "amazon"]
    healthcheck: {{disable: true}}
  proxy:
    environment:
      - ADS_PROXY_REGIONS__NA__API_URL=http://amazon:9001
      - ADS_PROXY_REGIONS__NA__TOKEN_URL=http://amazon:9001/auth/o2/token
      - ADS_PROXY_REGIONS__EU__API_URL=http://amazon:9002
      - ADS_PROXY_REGIONS__EU__TOKEN_URL=http://amazon:9002/auth/o2/token
      - ADS_PROXY_REGIONS__FE__API_URL=http://amazon:9003
      - ADS_PROXY_REGIONS__FE__TOKEN_URL=http://amazon:9003/auth/o2/token
"""


def test_compose_serves_with_the_credentials_of_the_environment_file(
    image: str, env_file: Path, tmp_path: Path
) -> None:
    """Credentials in .env: the real thing, here before a simulator in Amazon's place; nothing calls it a demo."""
    from proxy.simulator import SimulatorSettings

    settings = SimulatorSettings()
    env_file.write_text(
        f"AMAZON_ADS_CLIENT_ID={settings.client_id}\nAMAZON_ADS_CLIENT_SECRET={settings.client_secret}\n"
        f"AMAZON_ADS_REFRESH_TOKEN={settings.refresh_token}\n",
        encoding="utf-8",
    )
    override = tmp_path / "override.yml"
    override.write_text(OVERRIDE.format(image=image), encoding="utf-8")
    compose = Compose(image, env_file, (override,))
    try:
        compose("up", "--detach", "--no-build", "amazon", "proxy")
        answer = _serving(compose.proxy)
        assert "X-Ads-Proxy-Demo" not in answer.headers
        assert get(compose.proxy.admin_url("/metrics")).status == 200
        assert get(compose.proxy.admin_url("/status")).status == 401
    finally:
        compose.down()


def test_the_demo_does_not_start_with_credentials(image: str, env_file: Path) -> None:
    """`--profile demo` with credentials in .env: the demo's container says how to leave them out, and ends."""
    env_file.write_text("AMAZON_ADS_CLIENT_ID=amzn1.application-oa2-client.x\n", encoding="utf-8")
    compose = Compose(image, env_file)
    try:
        compose("up", "--detach", "--no-build", "demo", profile="demo")
        container = Container(compose.container("demo"), 0, 0)
        assert podman("wait", container.name) == "2"
        assert "ENV_FILE=/dev/null" in container.logs()
    finally:
        compose.down()
