"""What a start loads: each module costs time before the first request, and memory in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

NOT_TO_SERVE = {
    "typer": "a plain `serve` is read without it",
    "rich": "draws tables and progress of other commands",
    "pygments": "rich brings it along",
    "cryptography": "seals the state that a memory store does not keep, and reads a certificate that is not configured",
    "redis": "`state.url` is unset",
    "opentelemetry": "`telemetry.otlp` is not set",
    "requests": "what traces are sent with",
    "jsonschema": "for the tests alone",
    "jwt": "`identity_providers` is unset",
    "proxy.access.token_verification": "`identity_providers` is unset",
    "proxy.app.jwks_keeper": "`identity_providers` is unset",
    "proxy.simulator": "for `demo` and `simulate`",
    "proxy.commands.cli": "reads the other commands",
    "proxy.config.reference": "writes the pages about keys",
    "proxy.tokens.file_store": "`state.url` is `memory:`",
    "proxy.tokens.redis_store": "`state.url` is unset",
    "proxy.observability.traces": "`telemetry.otlp` is not set",
}
"""What a configuration that is as small as can be has no use for, and why."""

STORED_IN_FILES = ("cryptography", "proxy.tokens.file_store")
"""Modules for `state.url: file:`."""

NOT_BEFORE_CLIENTS_ARE_SERVED = {
    **NOT_TO_SERVE,
    "aiohttp": "a quarter of a start; imported once clients are served",
    "prometheus_client": "for scrapes",
    "proxy.admin.application": "imports aiohttp's server",
    "proxy.admin.listener": "imports aiohttp's server",
}
"""What the start does without until clients can connect."""

ACCEPTING = """
import os, sys
from proxy.app import request_path

class Accepting(request_path.Acceptor):
    def __init__(self, *given):
        super().__init__(*given)
        print(*sys.modules, file=sys.stderr, flush=True)
        os._exit(0)

request_path.Acceptor = Accepting
sys.argv = ["ads-proxy", "serve"]
from proxy.commands.entry import main
main()
"""
"""Ends as soon as clients can connect."""

SERVED = """
import gc, sys
from proxy.app import process

async def served(self):
    print("collects" if gc.isenabled() else "collects nothing", file=sys.stderr)
    print(*sys.modules, file=sys.stderr)
    return 0

process.StopSignals.stop_asked = served
sys.argv = ["ads-proxy", "serve"]
from proxy.commands.entry import main
main()
"""
"""Serves, and stops at once."""

VARIABLES = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "a-secret-of-some-length",
    "AMAZON_ADS_REFRESH_TOKEN": "Atzr|x",
    "AMAZON_ADS_REGION": "na",
    "ADS_PROXY_LISTEN": "127.0.0.1:0",
    "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:0",
    "ADS_PROXY_STATE__URL": "memory:",
    "ADS_PROXY_REGIONS__NA__TOKEN_URL": "http://127.0.0.1:9/auth/o2/token",
    "ADS_PROXY_REGIONS__NA__API_URL": "http://127.0.0.1:9",
}


def told(folder: Path, code: str) -> list[str]:
    """The lines that some code wrote to standard error; the last one names the modules."""
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), **VARIABLES}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(
        command, cwd=folder, env=needed, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr.splitlines()


def loaded_needlessly(modules: str, needless: dict[str, str]) -> list[str]:
    """The loaded modules that are, or lie in, one that is not needed."""
    return [name for name in modules.split() if any(f"{name}.".startswith(f"{each}.") for each in needless)]


def test_serving_loads_nothing_that_it_has_no_use_for(tmp_path: Path) -> None:
    """From the command line to the listeners; and garbage is looked for from then on."""
    collects, modules = told(tmp_path, SERVED)
    assert {"aiohttp", "pydantic", "proxy.app.program", "proxy.commands.entry"} <= set(modules.split())
    assert loaded_needlessly(modules, NOT_TO_SERVE) == []
    assert collects == "collects"


def test_clients_are_served_before_the_admin_listener_is_imported(tmp_path: Path) -> None:
    """The state store is a directory here, so that the start waits for its threads, as it usually does."""
    (modules,) = told(tmp_path, f"import os; os.environ['ADS_PROXY_STATE__URL'] = 'file:{tmp_path}/state'{ACCEPTING}")
    needless = {name: why for name, why in NOT_BEFORE_CLIENTS_ARE_SERVED.items() if name not in STORED_IN_FILES}
    assert {"proxy.app.program", "proxy.tokens.file_store"} <= set(modules.split())
    assert loaded_needlessly(modules, needless) == []


@pytest.mark.parametrize("name", sorted(NOT_BEFORE_CLIENTS_ARE_SERVED))
def test_what_is_not_loaded_exists(name: str) -> None:
    """A module that got another name would never be found loaded."""
    assert find_spec(name) is not None
