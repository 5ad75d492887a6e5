"""The manifests of config/kubernetes: what kustomize makes of them is valid, and the program starts with what they set.

Nothing is applied to a cluster. That mounted files are followed through the kubelet's symlink swaps is tried with a
running proxy, in tests/integration/test_mounted_files.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from proxy.commands.client_variables import TRUST_VARIABLES
from proxy.config import Config, load
from proxy.config.model.reports import KeepSection
from proxy.observability import request_metrics
from proxy.secret import Secret
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT, require_program

KUBERNETES = ROOT / "config" / "kubernetes"
PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
SIDECAR, SHARED = "base/sidecar/deployment.yaml", "base/shared/deployment.yaml"
KUSTOMIZATIONS = (
    "base/sidecar",
    "base/shared",
    "overlays/sidecar",
    "overlays/shared",
    "overlays/shared-external-secrets",
    "overlays/shared-secrets-store",
    "overlays/shared-valkey",
    "overlays/shared-ingress",
    "overlays/shared-gateway",
    "overlays/shared-reports",
    "overlays/sidecar-intercept",
    "overlays/shared-intercept",
)
VERSIONS = ("1.29", "1.37")
"""The oldest version that the manifests are for, and the newest whose schemas are here."""
OPERATORS = {
    *("monitoring.coreos.com/v1", "external-secrets.io/v1", "gateway.networking.k8s.io/v1"),
    "secrets-store.csi.x-k8s.io/v1",
}
"""What operators bring along, of which Kubernetes has no schema."""
NAMESPACE = "some-namespace"
SECRET = "0123456789abcdef0123456789abcdef"


def _manifest(name: str) -> Any:
    return yaml.safe_load((KUBERNETES / name).read_text(encoding="utf-8"))


@cache
def _rendered(name: str) -> tuple[dict[str, Any], ...]:
    """The resources that kustomize makes of a directory."""
    command = [require_program("kubectl"), "kustomize", str(KUBERNETES / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(yaml.safe_load_all(done.stdout))


def _only(kind: str, name: str = "overlays/shared") -> dict[str, Any]:
    [found] = [resource for resource in _rendered(name) if resource["kind"] == kind]
    return found


def _proxy_pod(manifest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Deployment's pod, and the container in it that is the proxy."""
    pod = _manifest(manifest)["spec"]["template"]["spec"]
    containers = (*pod.get("initContainers", ()), *pod["containers"])
    [proxy] = [container for container in containers if container["name"] == "ads-proxy"]
    return pod, proxy


def _mounted(pod: dict[str, Any]) -> set[str]:
    """The keys of the Secret that become files."""
    [items] = [volume["secret"]["items"] for volume in pod["volumes"] if "secret" in volume]
    return {item["path"] for item in items}


def _loaded(manifest: str, tmp_path: Path) -> Config:
    """The configuration as the program reads it in that pod; the files are where `tmp_path` says."""
    pod, proxy = _proxy_pod(manifest)
    for name in _mounted(pod):
        (tmp_path / name).write_text(SECRET, encoding="utf-8")
    secrets = {"client-id": "amzn1.application-oa2-client.0", "state-url": "redis://:password@valkey:6379/0"}
    environ = {"ADS_PROXY_STATE__URL": "memory:"}  # the image's
    for entry in proxy["env"]:
        source = entry.get("valueFrom", {})
        if source.get("fieldRef") == {"fieldPath": "metadata.namespace"}:
            value = NAMESPACE
        else:
            value = entry.get("value") or secrets[source["secretKeyRef"]["key"]]
        value = str(value).replace("/run/secrets/ads-proxy", str(tmp_path)).replace("$(NAMESPACE)", NAMESPACE)
        environ[entry["name"]] = value
    if "ADS_PROXY_CONFIG" not in environ:
        return load(None, environ)
    text = (KUBERNETES / "base" / "shared" / "proxy.yaml").read_text(encoding="utf-8")
    file = tmp_path / Path(environ["ADS_PROXY_CONFIG"]).name
    file.write_text(text.replace("/run/secrets/ads-proxy", str(tmp_path)), encoding="utf-8")
    return load(file, environ)


# --- every manifest -----------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_what_kustomize_makes_is_valid(name: str, version: str) -> None:
    """Each resource fits the schema of its kind, without a field that the kind has not."""
    known = [resource for resource in _rendered(name) if resource["apiVersion"] not in OPERATORS]
    assert known
    for resource in known:
        kubernetes_validate.validate(resource, version, strict=True)


def test_every_kustomization_is_tried() -> None:
    """A new one has to be listed above; components are tried through the overlays that use them."""
    there = {str(file.parent.relative_to(KUBERNETES)) for file in KUBERNETES.rglob("kustomization.yaml")}
    assert {name for name in there if not name.startswith("components/")} == set(KUSTOMIZATIONS)


@pytest.mark.parametrize("manifest", [SIDECAR, SHARED])
def test_a_pod_is_as_the_image_wants_it(manifest: str) -> None:
    """The image's user, a root that is read-only, no privilege, no token of the cluster's."""
    [user] = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    pod, _ = _proxy_pod(manifest)
    context = pod["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("manifest", [SIDECAR, SHARED])
def test_a_pod_has_the_time_that_its_drain_takes(manifest: str, tmp_path: Path) -> None:
    """Kubernetes kills no sooner than five seconds after the drain has ended."""
    drain = _loaded(manifest, tmp_path).drain
    assert _proxy_pod(manifest)[0]["terminationGracePeriodSeconds"] >= drain.delay + drain.timeout + 5


@pytest.mark.parametrize("manifest", [SIDECAR, SHARED])
def test_each_probe_asks_its_page_of_the_admin_listener(manifest: str, tmp_path: Path) -> None:
    """Started, alive and ready are three questions, and the port is the one that the program listens on."""
    _, proxy = _proxy_pod(manifest)
    probes = {name: proxy[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    paths = {"startup": "/startup", "liveness": "/livez", "readiness": "/readyz"}
    ports = {port["name"]: port["containerPort"] for port in proxy["ports"]}
    assert probes == {name: {"path": path, "port": "admin"} for name, path in paths.items()}
    assert proxy["readinessProbe"]["failureThreshold"] == 3, "one slow answer must not take a replica out"
    assert ports["admin"] == _loaded(manifest, tmp_path).admin_listen.port


@pytest.mark.parametrize("manifest", [SIDECAR, SHARED])
def test_secrets_are_mounted_as_whole_directories(manifest: str) -> None:
    """A file that is mounted by subPath would never be renewed."""
    _, proxy = _proxy_pod(manifest)
    assert [mount for mount in proxy["volumeMounts"] if "subPath" in mount] == []
    writable = {mount["mountPath"] for mount in proxy["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/ads-proxy"}, "the state, or what a lost store cannot take, and nothing else"
    assert "/run/secrets/ads-proxy" in {mount["mountPath"] for mount in proxy["volumeMounts"]}


# --- the sidecar --------------------------------------------------------------------------------------------


def test_the_sidecar_is_one() -> None:
    """The sidecar starts before the client and outlives it, and listens to it on loopback."""
    [sidecar] = _manifest(SIDECAR)["spec"]["template"]["spec"]["initContainers"]
    environ = {entry["name"]: entry.get("value") for entry in sidecar["env"]}
    assert sidecar["restartPolicy"] == "Always"
    assert environ["ADS_PROXY_LISTEN"] == "127.0.0.1:8080"
    assert environ["ADS_PROXY_ADMIN__KEY_FILE"] is not None


def test_the_sidecar_starts_with_its_own_example(tmp_path: Path) -> None:
    """The program accepts the environment of the manifest once its secret files are there."""
    config = _loaded(SIDECAR, tmp_path)
    assert list(config.accounts) == ["default"]
    assert config.admin.key is not None


def test_the_sidecar_keeps_state_on_a_volume(tmp_path: Path) -> None:
    """In the mounted claim, which one pod at a time has."""
    deployment, claim = _only("Deployment", "base/sidecar")["spec"], _only("PersistentVolumeClaim", "base/sidecar")
    pod, proxy = _proxy_pod(SIDECAR)
    [volume] = [volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    [path] = [mount["mountPath"] for mount in proxy["volumeMounts"] if mount["name"] == volume]
    assert _loaded(SIDECAR, tmp_path).state.url == f"file:{path}"
    assert pod["volumes"][-1]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("kind", ["sidecar", "shared"])
def test_the_network_policy_lets_out_name_resolution_and_https_to_the_public(kind: str) -> None:
    """Egress: port 53, and port 443 outside private ranges; nothing else but the fleet's Valkey."""
    policy = _manifest(f"base/{kind}/networkpolicy.yaml")["spec"]
    ports = [sorted({port["port"] for port in rule["ports"]}) for rule in policy["egress"]]
    excepted = [peer["ipBlock"]["except"] for peer in policy["egress"][-1]["to"]]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert ports == ([[53], [443]] if kind == "sidecar" else [[53], [6379], [443]])
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(excepted[0])
    assert "fc00::/7" in excepted[1]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in policy["egress"][0]["to"], "NodeLocal DNSCache"


# --- the shared one -----------------------------------------------------------------------------------------


def test_the_shared_one_starts_with_its_own_example(tmp_path: Path) -> None:
    """ConfigMap, Secret and environment fit together: clients need keys, and the state is the fleet's, not the
    image's."""
    config = _loaded(SHARED, tmp_path)
    assert isinstance(config.state.url, Secret)  # the image's is none
    assert config.state.key is not None
    assert [client.name for client in config.clients] == ["reporting"]
    assert not config.allow_unauthenticated


def test_the_config_map_is_the_example_under_a_lasting_name() -> None:
    """A changed file changes the ConfigMap that the running replicas have mounted."""
    resource = _only("ConfigMap")
    text = (KUBERNETES / "base" / "shared" / "proxy.yaml").read_text(encoding="utf-8")
    assert (resource["metadata"]["name"], resource["data"]) == ("ads-proxy", {"proxy.yaml": text})


def test_an_overlay_has_its_own_configuration_as_the_page_says(tmp_path: Path) -> None:
    """The example of docs/how-to/kubernetes.md keeps the name that the Deployment mounts."""
    [example] = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "configMapGenerator" in block]
    shared = os.path.relpath(KUBERNETES / "base" / "shared", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(example.replace("../../base/shared", shared), encoding="utf-8")
    (tmp_path / "proxy.yaml").write_text("accounts: {}\n", encoding="utf-8")
    [resource] = [found for found in _rendered(str(tmp_path)) if found["kind"] == "ConfigMap"]
    assert (resource["metadata"]["name"], resource["data"]) == ("ads-proxy", {"proxy.yaml": "accounts: {}\n"})


def test_tools_know_the_service_by_names_that_are_allowed(tmp_path: Path) -> None:
    """Each name that the cluster's resolver knows for the Service is one of `allowed_hosts`, in any namespace."""
    service = next(resource for resource in _rendered("base/shared") if resource["kind"] == "Service")
    name = service["metadata"]["name"]
    names = [name, f"{name}.{NAMESPACE}", f"{name}.{NAMESPACE}.svc", f"{name}.{NAMESPACE}.svc.cluster.local"]
    assert list(_loaded(SHARED, tmp_path).allowed_hosts) == names


def test_replicas_follow_the_requests_in_flight() -> None:
    """The autoscaler reads a metric that the program has, and alone says how many replicas there are."""
    autoscaler, deployment = _only("HorizontalPodAutoscaler")["spec"], _only("Deployment")
    [metric] = autoscaler["metrics"]
    assert metric["pods"]["metric"]["name"] == f"ads_proxy_{request_metrics.IN_FLIGHT.name}"
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    assert autoscaler["minReplicas"] > 1


def test_every_selector_finds_the_replicas() -> None:
    """Services, disruption budget, network policy and spread constraints mean the Deployment's pods."""
    template = _only("Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    spread = [constraint["labelSelector"] for constraint in template["spec"]["topologySpreadConstraints"]]
    selectors = [
        *(
            {"matchLabels": found["spec"]["selector"]}
            for found in _rendered("overlays/shared")
            if found["kind"] == "Service"
        ),
        *spread,
        _only("PodDisruptionBudget")["spec"]["selector"],
        _only("NetworkPolicy")["spec"]["podSelector"],
    ]
    assert len(selectors) == 6
    assert [selector for selector in selectors if not selector["matchLabels"].items() <= labels] == []


# --- Prometheus ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["overlays/sidecar", "overlays/shared"])
def test_the_operators_rules_are_those_of_prometheus(name: str) -> None:
    """The PrometheusRule holds the groups of config/prometheus/alerts.yml, as they are."""
    alerts = yaml.safe_load((ROOT / "config" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    assert _only("PrometheusRule", name)["spec"] == alerts


@pytest.mark.parametrize(("name", "kind"), [("overlays/sidecar", "PodMonitor"), ("overlays/shared", "ServiceMonitor")])
def test_the_operator_scrapes_under_the_name_that_the_alerts_use(name: str, kind: str) -> None:
    """The admin port's metrics, with the job that `up{job=...}` of the alerts asks for."""
    spec = _only(kind, name)["spec"]
    [endpoint] = spec.get("endpoints") or spec["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("admin", "/metrics")
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "ads-proxy"}]
    assert 'up{job="ads-proxy"}' in (ROOT / "config" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")


def test_the_service_monitor_finds_the_replicas_own_addresses() -> None:
    """The monitor selects the Service without an address, whose port leads to each replica's admin listener."""
    wanted = _only("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    services = [found for found in _rendered("overlays/shared") if found["kind"] == "Service"]
    [found] = [service for service in services if wanted <= service["metadata"]["labels"].items()]
    assert found["spec"]["clusterIP"] == "None"
    assert [port["name"] for port in found["spec"]["ports"]] == ["admin"]


# --- from outside the cluster, and the Valkey ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "policy"), [("ingress", "ads-proxy-ingress"), ("gateway", "ads-proxy-gateway")])
def test_a_way_in_from_outside_leads_to_the_tools_port(name: str, policy: str) -> None:
    """With TLS for its own host name, by cert-manager, and past the NetworkPolicy."""
    overlay = f"overlays/shared-{name}"
    service = next(found for found in _rendered(overlay) if found["kind"] == "Service")
    [port] = service["spec"]["ports"]
    if name == "ingress":
        way = _only("Ingress", overlay)
        [rule], [tls] = way["spec"]["rules"], way["spec"]["tls"]
        [path] = rule["http"]["paths"]
        backend = path["backend"]["service"]
        assert (backend["name"], backend["port"]["name"]) == (service["metadata"]["name"], port["name"])
        assert (tls["hosts"], tls["secretName"]) == ([rule["host"]], "ads-proxy-tls")
    else:
        way, route = _only("Gateway", overlay), _only("HTTPRoute", overlay)["spec"]
        [listener] = way["spec"]["listeners"]
        [backend] = route["rules"][0]["backendRefs"]
        assert (backend["name"], backend["port"]) == (service["metadata"]["name"], port["port"])
        assert route["parentRefs"] == [{"name": way["metadata"]["name"], "sectionName": listener["name"]}]
        assert route["hostnames"] == [listener["hostname"]]
        assert listener["tls"]["certificateRefs"] == [{"kind": "Secret", "name": "ads-proxy-tls"}]
    assert "cert-manager.io/cluster-issuer" in way["metadata"]["annotations"]
    [allowed] = [found for found in _rendered(overlay) if found["metadata"]["name"] == policy]
    assert allowed["spec"]["ingress"][0]["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_all_replicas_mount_one_volume_for_named_reports() -> None:
    """Where the program looks for them, unless told otherwise; the pod's group may write there."""
    pod = _only("Deployment", "overlays/shared-reports")["spec"]["template"]["spec"]
    claim = _only("PersistentVolumeClaim", "overlays/shared-reports")
    [volume] = [each for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    assert Path(mount["mountPath"]) == KeepSection().dir
    assert not mount.get("readOnly")
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]


def test_the_driver_writes_the_files_that_the_pod_reads(tmp_path: Path) -> None:
    """All that base/shared mounts from its Secret, and the store's address, which replaces the image's."""
    overlay = "overlays/shared-secrets-store"
    pod, provider = _only("Deployment", overlay)["spec"]["template"]["spec"], _only("SecretProviderClass", overlay)
    [volume] = [each for each in pod["volumes"] if each["name"] == "secrets"]
    attributes = {"secretProviderClass": provider["metadata"]["name"]}
    driver = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    assert volume == {"name": "secrets", "csi": driver}
    written = {each["objectName"] for each in yaml.safe_load(provider["spec"]["parameters"]["objects"])}
    assert written == {*_mounted(_proxy_pod(SHARED)[0]), "state-url"}
    assert pod["serviceAccountName"] == _only("ServiceAccount", overlay)["metadata"]["name"]
    environ = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    [mount] = [each["mountPath"] for each in pod["containers"][0]["volumeMounts"] if each["name"] == "secrets"]
    assert environ["ADS_PROXY_STATE__URL_FILE"] == f"{mount}/state-url"
    (tmp_path / "state-url").write_text("redis://:password@valkey:6379/0")
    (tmp_path / "state-key").write_text(SECRET)
    variables = {
        "ADS_PROXY_STATE__URL": environ["ADS_PROXY_STATE__URL"] or "",
        "ADS_PROXY_STATE__URL_FILE": str(tmp_path / "state-url"),
        "ADS_PROXY_STATE__KEY_FILE": str(tmp_path / "state-key"),
        **dict.fromkeys(("AMAZON_ADS_CLIENT_ID", "AMAZON_ADS_CLIENT_SECRET", "AMAZON_ADS_REFRESH_TOKEN"), SECRET),
    }
    assert isinstance(load(None, variables).state.url, Secret)


# --- clients that run unchanged -----------------------------------------------------------------------------


def test_the_sidecars_client_reaches_the_proxy_and_trusts_its_authority() -> None:
    """By its variables, and by a volume that has the bundle alone, which it cannot write."""
    pod = _only("Deployment", "overlays/sidecar-intercept")["spec"]["template"]["spec"]
    [client] = pod["containers"]
    environ = {entry["name"]: entry["value"] for entry in client["env"]}
    [mount] = client["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == ("ads-proxy-bundle", True)
    assert {environ[name] for name in TRUST_VARIABLES} == {f"{mount['mountPath']}/bundle.pem"}
    sidecar, _ = pod["initContainers"]
    listen = next(entry["value"] for entry in sidecar["env"] if entry["name"] == "ADS_PROXY_LISTEN")
    assert environ["HTTPS_PROXY"] == f"http://{listen.replace('127.0.0.1', 'localhost')}"


def test_the_bundle_is_of_the_authority_that_the_sidecar_uses(tmp_path: Path) -> None:
    """Both have the same folder on the same volume; the command writes where the client's volume is."""
    pod = _only("Deployment", "overlays/sidecar-intercept")["spec"]["template"]["spec"]
    sidecar, bundle = pod["initContainers"]
    folders = set()
    for container in (sidecar, bundle):
        environ = {entry["name"]: entry.get("value", "") for entry in container["env"]}
        [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "ads-proxy-state"]
        config = _loaded(SIDECAR, tmp_path)
        assert environ["ADS_PROXY_INTERCEPT__ENABLED"] == "true"
        assert environ["ADS_PROXY_STATE__URL"] == config.state.url == f"file:{mount['mountPath']}"
        folders.add(config.authority_folder)
    assert len(folders) == 1
    assert sidecar["image"] == bundle["image"]
    [target] = [mount["mountPath"] for mount in bundle["volumeMounts"] if mount["name"] == "ads-proxy-bundle"]
    assert bundle["command"] == ["/bin/sh", "-euc", f"ads-proxy ca --bundle >{target}/bundle.pem"]


def test_all_replicas_mount_one_authority() -> None:
    """Its folder is where the Secret of the page's command is mounted, which no replica can write."""
    pod = _only("Deployment", "overlays/shared-intercept")["spec"]["template"]["spec"]
    [proxy] = pod["containers"]
    environ = {entry["name"]: entry.get("value") for entry in proxy["env"]}
    [volume] = [each for each in pod["volumes"] if each["name"] == "authority"]
    [mount] = [each for each in proxy["volumeMounts"] if each["name"] == "authority"]
    assert environ["ADS_PROXY_INTERCEPT__ENABLED"] == "true"
    assert (environ["ADS_PROXY_INTERCEPT__CA_DIR"], mount["readOnly"]) == (mount["mountPath"], True)
    assert f"kubectl create secret generic {volume['secret']['secretName']} " in PAGE


@pytest.mark.integration
@pytest.mark.parametrize("version", VERSIONS)
def test_the_pages_client_is_valid_and_trusts_the_authority(version: str) -> None:
    """The page's part of a Deployment; its ConfigMap is the one of the page's command."""
    [text] = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "HTTPS_PROXY" in block]
    pod = yaml.safe_load(text)
    [client], [volume] = pod["containers"], pod["volumes"]
    resource = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "reporting"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod},
        },
    }
    kubernetes_validate.validate(resource, version, strict=True)
    [mount] = client["volumeMounts"]
    environ = {entry["name"]: entry.get("value") for entry in client["env"]}
    assert {environ[name] for name in {*TRUST_VARIABLES} & {*environ}} == {f"{mount['mountPath']}/bundle.pem"}
    service = next(found for found in _rendered("overlays/shared") if found["kind"] == "Service")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    assert environ["HTTPS_PROXY"].endswith(f"@{name}.{namespace}.svc:{service['spec']['ports'][0]['port']}")
    assert f"kubectl create configmap {volume['configMap']['name']} " in PAGE


def test_the_replicas_and_their_valkey_reach_each_other() -> None:
    """By the network policies of both, and by the Service whose name the certificate has."""
    overlay = "overlays/shared-valkey"
    policies = {
        found["metadata"]["name"]: found["spec"] for found in _rendered(overlay) if found["kind"] == "NetworkPolicy"
    }
    valkey, proxy = _only("StatefulSet", overlay), _only("Deployment", overlay)
    [egress] = [rule for rule in policies["ads-proxy"]["egress"] if rule["ports"][0]["port"] == 6379]
    [ingress] = policies["valkey"]["ingress"]
    labels = [found["spec"]["template"]["metadata"]["labels"] for found in (valkey, proxy)]
    assert [peer["podSelector"]["matchLabels"] for peer in (*egress["to"], *ingress["from"])] == labels
    assert policies["valkey"]["podSelector"]["matchLabels"] == labels[0]
    assert valkey["metadata"]["namespace"] == proxy["metadata"]["namespace"] == "ads-proxy"
    assert valkey["spec"]["serviceName"] == "valkey"
