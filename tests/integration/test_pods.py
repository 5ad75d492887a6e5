"""The containers of config/kubernetes run under podman as they are: user, mounts, environment, probes.

They are those of the two bases, with interception. They have no network but the pod's loopback, so that nothing reaches
Amazon, and a store that is away: the program starts, lives, and says that it is not ready. No cluster is here; how
Kubernetes orders containers is not tried.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.intercept.authority import Authority
from proxy.intercept.bundle import bundle
from tests.integration.containers import build_image, eventually, podman
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT, do_without, require_program

pytestmark = [pytest.mark.integration, pytest.mark.podman]

KUBERNETES = ROOT / "config" / "kubernetes"
SECRETS = {"client-id": "amzn1.application-oa2-client.0", "state-url": "redis://:password@127.0.0.1:1/0"}
SECRET = "0123456789abcdef0123456789abcdef"
KEY = "adsproxy_a-key-for-the-tests-of-pods"
HARDENED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
AMAZON = "https://advertising-api.amazon.com/v2/profiles"
ASK = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=100)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


@dataclass(frozen=True, slots=True)
class Pod:
    """A Deployment's pod, and by what name the proxy's container runs here."""

    base: str
    name: str
    image: str
    spec: dict[str, Any]
    place: Path
    """Its volumes."""

    def container(self, name: str) -> dict[str, Any]:
        """The manifest of one of its containers."""
        found: dict[str, Any]
        [found] = [each for each in (*self.spec["initContainers"], *self.spec["containers"]) if each["name"] == name]
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        """The proxy's container."""
        return self.container("ads-proxy")

    def options(self, container: dict[str, Any]) -> tuple[str, ...]:
        """The options of `podman run` for one of its containers."""
        context = self.spec["securityContext"]
        user = ("--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--group-add", str(context["fsGroup"]))
        return (*HARDENED, *user, *_environment(container), *_mounts(container, self.place))

    def answer(self, path: str, port: int) -> str:
        """What another container of the pod is answered on its loopback: a status, and the body."""
        return self.run(("--entrypoint", "python"), "-c", ASK, f"http://localhost:{port}{path}")

    def run(self, options: tuple[str, ...], *command: str) -> str:
        """What another container of the pod prints."""
        return podman("run", "--rm", "--network", f"container:{self.name}", *options, self.image, *command)

    def probe(self, name: str) -> str | None:
        """What the kubelet is answered; None before anybody listens."""
        wanted = self.manifest[f"{name}Probe"]["httpGet"]
        [port] = [port["containerPort"] for port in self.manifest["ports"] if port["name"] == wanted["port"]]
        url = f"http://localhost:{port}{wanted['path']}"
        return podman("exec", self.name, "python", "-c", ASK, url, check=False)[:3] or None


def _environment(container: dict[str, Any]) -> Iterator[str]:
    for entry in container["env"]:
        if "value" in entry:
            value = entry["value"].replace("$(NAMESPACE)", "ads-proxy")
        elif "fieldRef" in entry["valueFrom"]:
            value = "ads-proxy"
        else:
            value = SECRETS[entry["valueFrom"]["secretKeyRef"]["key"]]
        yield from ("--env", f"{entry['name']}={value}")


def _make_volumes(pod: dict[str, Any], place: Path) -> None:
    """Directories as the kubelet makes them: root's, and the group's to read. Files are links, which a change moves."""
    group = pod["securityContext"]["fsGroup"]
    for volume in pod["volumes"]:
        directory = place / volume["name"]
        directory.mkdir()
        if not {"secret", "configMap"} & {*volume}:
            os.chown(directory, 0, group)
            directory.chmod(0o2770)
            continue
        (directory / "..first").mkdir()
        (directory / "..data").symlink_to("..first")
        for name, text in _files(volume).items():
            file = directory / "..first" / name
            file.write_text(text, encoding="utf-8")
            os.chown(file, 0, group)
            file.chmod(volume.get("secret", {}).get("defaultMode", 0o644))
            (directory / name).symlink_to(f"..data/{name}")


def _files(volume: dict[str, Any]) -> dict[str, str]:
    """What a Secret or a ConfigMap holds."""
    if volume["name"] == "authority":
        with tempfile.TemporaryDirectory() as folder:
            Authority.open(Path(folder), time.time())
            return {name: (Path(folder) / name).read_text(encoding="ascii") for name in ("ca.key", "ca.pem")}
    if "configMap" in volume:
        text = (KUBERNETES / "base" / "shared" / "proxy.yaml").read_text(encoding="utf-8")
        return {"proxy.yaml": text.replace("0" * 64, hashlib.sha256(KEY.encode()).hexdigest())}
    return {item["path"]: SECRET for item in volume["secret"]["items"]}


def _mounts(container: dict[str, Any], place: Path) -> Iterator[str]:
    for mount in container["volumeMounts"]:
        only_read = ":ro" if mount.get("readOnly") else ""
        yield from ("--volume", f"{place / mount['name']}:{mount['mountPath']}{only_read}")


def _spec(overlay: str) -> dict[str, Any]:
    """The pod of an overlay's Deployment."""
    command = [require_program("kubectl"), "kustomize", str(KUBERNETES / "overlays" / overlay)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    [found] = [each for each in yaml.safe_load_all(made) if each["kind"] == "Deployment"]
    return {"initContainers": [], **found["spec"]["template"]["spec"]}


@pytest.fixture(scope="module")
def image() -> str:
    return build_image("ads-proxy-under-test")


@pytest.fixture(scope="module", params=["sidecar", "shared"])
def pod(request: pytest.FixtureRequest, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """The proxy of one of the bases, with interception, once its startup probe succeeds."""
    if os.geteuid():
        do_without("only root gives files to a group that it is not in")
    spec, name = _spec(f"{request.param}-intercept"), f"pod-{uuid.uuid4().hex}"
    found = Pod(request.param, name, image, spec, tmp_path_factory.mktemp(request.param))
    _make_volumes(spec, found.place)
    podman("run", "--detach", "--name", name, "--network", "none", *found.options(found.manifest), image)
    try:
        eventually(lambda: found.probe("startup") == "200" or None, f"the start of {name}")
        yield found
    finally:
        podman("rm", "--force", "--time", "0", name)


def test_it_lives_and_waits_for_its_token(pod: Pod) -> None:
    """Liveness succeeds and readiness does not: nothing of the pod keeps the program from running."""
    assert (pod.probe("liveness"), pod.probe("readiness")) == ("200", "503")


def test_a_tool_of_the_pod_is_answered_on_loopback(pod: Pod) -> None:
    """The sidecar asks for no key, and answers that there is no token; the shared proxy asks for a key first."""
    assert pod.answer("/v2/profiles", 8080)[:3] == {"sidecar": "503", "shared": "401"}[pod.base]


def test_the_sidecar_keeps_state_on_its_volume(pod: Pod) -> None:
    """The state is in a directory of its own, which no other user can read."""
    if pod.base == "sidecar":
        assert {path.stat().st_mode & 0o777 for path in (pod.place / "ads-proxy-state").iterdir()} == {0o700}


def test_an_unchanged_client_is_answered(pod: Pod) -> None:
    """The client knows Amazon's address, and verifies the certificate: the answer is that there is no token."""
    if pod.base == "sidecar":
        first, client = pod.container("ads-proxy-bundle"), pod.container("reporting")
        program, *arguments = first["command"]
        pod.run((*pod.options(first), "--entrypoint", program), *arguments)
        options = pod.options(client)
    else:
        file = pod.place / "bundle.pem"
        file.write_bytes(bundle((pod.place / "authority" / "ca.pem").read_bytes()))
        proxy = f"HTTPS_PROXY=http://reporting:{KEY}@localhost:8080"
        options = ("--env", proxy, "--env", "SSL_CERT_FILE=/bundle.pem", "--volume", f"{file}:/bundle.pem:ro")
    assert pod.run((*options, "--entrypoint", "python"), "-c", ASK, AMAZON)[:3] == "503"


def test_only_the_shared_one_looks_for_a_store(pod: Pod) -> None:
    """The shared one reports that its store is away; with the image's own `memory:` it would not."""

    def is_degraded() -> bool:
        return "\nads_proxy_state_degraded 1" in pod.answer("/metrics", 8081)

    if pod.base == "shared":
        eventually(lambda: is_degraded() or None, "the loss of the store")
    else:
        assert not is_degraded()
