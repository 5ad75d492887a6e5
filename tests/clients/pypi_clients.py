"""The twelve clients from PyPI that run unchanged, with what their scripts of tests/clients/unchanged print.

docs/how-to/clients/unchanged.md says the same to people; tests/clients/test_unchanged_page.py compares both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import environments

HTTPX, REQUESTS = "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"
"""The variable in which each library looks for a file of trusted authorities."""
CERTIFI = "certifi"
"""Stands for the file of this package, which a client trusts that looks in no variable."""
COPY_TO_CERTIFI = 'cp "$SSL_CERT_FILE" "$(python -m certifi)"'
"""How such a client comes to trust what the variable names."""
REMOVED = "operation-unknown"
"""The simulator's word for a path that Amazon's specifications do not have, or no longer."""
ALL = {"profiles": 3, "campaigns": 25}


@dataclass(frozen=True)
class Environment:
    """An environment that several clients share, and the versions of Python that they run on."""

    name: str
    versions: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter; the environment is made at need."""
        return environments.python_environment(self.name, *self.versions)

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        return next(self.python.parent.parent.glob("lib/python3*/site-packages"))

    def version_of(self, package: str) -> str:
        """The version that the lock files name."""
        locks = (environments.CLIENTS / self.name).glob("*.lock")
        found = re.findall(
            rf"^{package}==(\S+)", "\n".join(lock.read_text(encoding="utf-8") for lock in locks), re.MULTILINE
        )
        assert len(found) == 1, (package, found)
        return str(found[0])


CURRENT = Environment("pypi_current", ("3.13", "3.14"))
AMAZON_AD = Environment("pypi_amazon_ad", ("3.11", "3.10"))
AMAZON_AD_SDK = Environment("pypi_amazon_ad_sdk", ("3.11", "3.10"))
SINGER = Environment("pypi_singer", ("3.11", "3.10"))


@dataclass(frozen=True)
class Client:
    """A client: its name on PyPI, where it is installed, and how it calls.

    `said` is what its script prints. `refused` is what the simulator refuses in the course of that.
    """

    name: str
    environment: Environment
    trust: str
    said: Mapping[str, Any]
    refused: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        return self.environment.version_of(self.name)

    @property
    def library(self) -> str:
        """The library that sends its requests."""
        return "httpx" if self.trust == HTTPX else f"requests {self.environment.version_of('requests')}"

    @property
    def script(self) -> Path:
        return environments.CLIENTS / "unchanged" / f"{self.name}.py"


CLIENTS = (
    Client("async-amazon-ads-api-v1", CURRENT, HTTPX, ALL),
    Client("amazon-ads-api-connector", CURRENT, HTTPX, {"campaigns": 25, "ad_groups": 40}),
    Client(
        "python-amazon-advertising-api",
        AMAZON_AD_SDK,
        REQUESTS,
        {"profiles": 3, "display_campaigns": 25, "/v2/sp/campaigns": 404},
        refused=(f"{REMOVED} /v2/sp/campaigns",),
    ),
    Client(
        "amazon-advertising",
        CURRENT,
        CERTIFI,
        {"profiles": 3, "keywords": 200, "/v2/sp/campaigns": 404},
        refused=(f"{REMOVED} /v2/sp/campaigns",),
    ),
    Client("amazon-ads-api", CURRENT, HTTPX, ALL),
    Client("airbyte-agent-amazon-ads", CURRENT, HTTPX, ALL),
    Client("amazon-ads-cli", CURRENT, REQUESTS, {"profile": True, "campaigns": 25}),
    Client(
        "amazon-ad-sdk",
        AMAZON_AD_SDK,
        REQUESTS,
        {"profiles": 3, "report": "COMPLETED", "download": 400, "/sb/campaigns": 404},
        refused=("s3-authorization", f"{REMOVED} /sb/campaigns"),
    ),
    Client("amazon-ad", AMAZON_AD, REQUESTS, {"profiles": 3, "report": True}),
    Client(
        "tap-amazon-ads-dsp",
        SINGER,
        REQUESTS,
        {"streams": 1, "/dsp/reports": 404},
        refused=(f"{REMOVED} /dsp/reports",),
    ),
    Client(
        "amazonadapi",
        CURRENT,
        REQUESTS,
        {"token": True, "profiles": 3, "get_profiles": "KeyError('error')", "get_advertisers": "KeyError('error')"},
        refused=(f"{REMOVED} /v1/profiles", f"{REMOVED} /da/v1/advertisers"),
    ),
    Client("python-amazon-ad-api", CURRENT, REQUESTS, ALL),
)
BY_NAME = {client.name: client for client in CLIENTS}
