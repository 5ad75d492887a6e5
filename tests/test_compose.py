"""docker-compose.yml and its page: who may log in to Grafana, and which images run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from proxy.commands.client_variables import TRUST_VARIABLES
from proxy.config.model.reports import KeepSection
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
OF_OTHERS = {each["image"] for each in SERVICES.values() if not each["image"].startswith("${IMAGE:-")}
PAGE = (ROOT / "docs" / "how-to" / "compose.md").read_text(encoding="utf-8")


def test_grafana_takes_no_password() -> None:
    """The administrator has the well-known default password, so neither the form nor basic auth takes one."""
    environment = dict(each.split("=", 1) for each in SERVICES["grafana"]["environment"])
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


def test_all_replicas_keep_named_reports_in_one_volume() -> None:
    """Where the program looks for them; the image has the folder, so that a new volume belongs to its user."""
    folder = str(KeepSection().dir)
    for name in ("proxy", "proxy-2", "proxy-3"):
        mounted = dict(reversed(each.split(":")[:2]) for each in SERVICES[name]["volumes"])
        assert mounted[folder] == "reports", name
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -m 0700 -o 65532 -g 65532 {folder} " in text


def test_an_unchanged_client_trusts_the_authority_and_cannot_read_its_key() -> None:
    """Its volume has the bundle alone, which `bundle` writes and all of its variables name."""
    intercept = yaml.safe_load((ROOT / "config" / "compose" / "intercept.yml").read_text(encoding="utf-8"))["services"]
    mounted = {
        name: dict(each.split(":")[:2] for each in intercept[name]["volumes"] if not each.startswith("./"))
        for name in ("bundle", "client")
    }
    environment = intercept["client"]["environment"]
    assert intercept["client"]["volumes"] == [f"bundle:{mounted['client']['bundle']}:ro"]
    assert {environment[name] for name in TRUST_VARIABLES} == {f"{mounted['client']['bundle']}/bundle.pem"}
    [command] = intercept["bundle"]["command"]
    assert command.startswith(f"cd {mounted['bundle']['bundle']} && ads-proxy ca --bundle >")
    assert command.endswith(" bundle.pem")
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -m 0755 -o 65532 -g 65532 {mounted['bundle']['bundle']} " in text
    port = SERVICES["proxy"]["environment"]["ADS_PROXY_LISTEN"].rpartition(":")[2]
    assert environment["HTTPS_PROXY"] == f"http://proxy:{port}"


def test_the_proxy_uses_the_authority_of_the_bundle() -> None:
    """On the volume that the proxy alone shares with `bundle`, and only once that has ended."""
    intercept = yaml.safe_load((ROOT / "config" / "compose" / "intercept.yml").read_text(encoding="utf-8"))["services"]
    environment = intercept["proxy"]["environment"]
    assert environment == intercept["bundle"]["environment"]
    assert f"state:{Path(environment['ADS_PROXY_INTERCEPT__CA_DIR']).parent}" in SERVICES["proxy"]["volumes"]
    assert f"state:{Path(environment['ADS_PROXY_INTERCEPT__CA_DIR']).parent}" in intercept["bundle"]["volumes"]
    assert intercept["proxy"]["depends_on"]["bundle"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize(
    "variable",
    [
        "AMAZON_ADS_CLIENT_ID",
        "AMAZON_ADS_CLIENT_ID_FILE",
        "ADS_PROXY_CONFIG",
        "ADS_PROXY_ACCOUNTS",
        "ADS_PROXY_ACCOUNTS__ACME__CLIENT_ID",
    ],
)
def test_credentials_are_served_and_keep_the_demo_away(variable: str, tmp_path: Path) -> None:
    """Whichever variable has them."""
    program = tmp_path / "ads-proxy"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)

    def ran(service: str) -> subprocess.CompletedProcess[str]:
        (command,) = SERVICES[service]["command"]
        environ = {"PATH": f"{tmp_path}:{os.defpath}", "ADS_PROXY_ADMIN__KEY": "x", variable: "x"}
        shell = ["/bin/sh", "-euc", command.replace("$$", "$")]
        return subprocess.run(shell, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert ran("proxy").stdout == "serve\n"
    assert ran("demo").returncode == 2


def test_images_of_others_have_a_version() -> None:
    """No image is `latest`, which is another image tomorrow."""
    assert {image for image in OF_OTHERS if not re.search(r":v?\d+(\.\d+)*(@sha256:[0-9a-f]{64})?$", image)} == set()


def test_the_page_says_how_to_pin_them() -> None:
    """The command asks the registry for each image of compose, and for the base of the Dockerfile."""
    (base,) = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    (command,) = re.findall(r"^    for image in .*?\n    done$", PAGE, re.MULTILINE | re.DOTALL)
    assert "docker compose --profile fleet config --images" in command
    assert f" {base}" in command
    assert "docker buildx imagetools inspect" in command
