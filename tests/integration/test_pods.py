"""The proxy's containers of config/kubernetes run under podman as they are: user, mounts, environment, probes.

They have no network but the pod's loopback, so that nothing reaches Amazon, and a store that is away: the program
starts, lives, and says that it is not ready. No cluster is here; how Kubernetes orders containers is not tried.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.containers import build_image, eventually, podman
from tests.support.programs import ROOT, do_without

pytestmark = [pytest.mark.integration, pytest.mark.podman]

BASES = ROOT / "config" / "kubernetes" / "base"
SECRETS = {"client-id": "amzn1.application-oa2-client.0", "state-url": "redis://:password@127.0.0.1:1/0"}
SECRET = "0123456789abcdef0123456789abcdef"
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
    """The proxy's container, as its manifest has it, and by what name it runs here."""

    base: str
    name: str
    image: str
    manifest: dict[str, Any]
    place: Path
    """A pod's volumes."""

    def answer(self, path: str, port: int) -> str:
        """What another container of the pod is answered on its loopback: a status, and the body."""
        url = f"http://localhost:{port}{path}"
        joined = ("--network", f"container:{self.name}", "--entrypoint", "python")
        return podman("run", "--rm", *joined, self.image, "-c", ASK, url)

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


def _volumes(pod: dict[str, Any], container: dict[str, Any], place: Path) -> Iterator[str]:
    """Directories as the kubelet makes them: root's, and the group's to read."""
    group = pod["securityContext"]["fsGroup"]
    for volume in pod["volumes"]:
        directory = place / volume["name"]
        directory.mkdir()
        files = {item["path"]: SECRET for item in volume.get("secret", {}).get("items", ())}
        if "configMap" in volume:
            files = {"proxy.yaml": (BASES / "shared" / "proxy.yaml").read_text(encoding="utf-8")}
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
            os.chown(directory / name, 0, group)
            (directory / name).chmod(volume.get("secret", {}).get("defaultMode", 0o644))
        [mounted] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == volume["name"]]
        if "persistentVolumeClaim" in volume:
            os.chown(directory, 0, group)
            directory.chmod(0o2770)
            yield from ("--volume", f"{directory}:{mounted}")
        else:
            yield from ("--volume", f"{directory}:{mounted}:ro")


@pytest.fixture(scope="module")
def image() -> str:
    return build_image("ads-proxy-under-test")


@pytest.fixture(scope="module", params=["sidecar", "shared"])
def pod(request: pytest.FixtureRequest, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """The proxy of one of the bases, once its startup probe succeeds."""
    if os.geteuid():
        do_without("only root gives files to a group that it is not in")
    text = (BASES / request.param / "deployment.yaml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    [manifest] = [one for one in (*spec.get("initContainers", ()), *spec["containers"]) if one["name"] == "ads-proxy"]
    context, name = spec["securityContext"], f"pod-{uuid.uuid4().hex}"
    hardened = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    user = ("--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--group-add", str(context["fsGroup"]))
    place = tmp_path_factory.mktemp(request.param)
    given = (*_environment(manifest), *_volumes(spec, manifest, place))
    podman("run", "--detach", "--name", name, "--network", "none", *hardened, *user, *given, image)
    try:
        found = Pod(request.param, name, image, manifest, place)
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
        assert [path.stat().st_mode & 0o777 for path in (pod.place / "ads-proxy-state").iterdir()] == [0o700]


def test_only_the_shared_one_looks_for_a_store(pod: Pod) -> None:
    """The shared one reports that its store is away; with the image's own `memory:` it would not."""

    def is_degraded() -> bool:
        return "\nads_proxy_state_degraded 1" in pod.answer("/metrics", 8081)

    if pod.base == "shared":
        eventually(lambda: is_degraded() or None, "the loss of the store")
    else:
        assert not is_degraded()
