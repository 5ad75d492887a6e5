"""docker-compose.yml and its page: who may log in to Grafana, and which images run."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from proxy.config.model.reports import KeepSection
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

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
