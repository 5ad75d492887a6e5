"""The pages of docs/how-to/clients: each block of code is run, unchanged, in front of a proxy with keys.

Only what every reader has to replace is replaced: the address, and the key.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients import environments, flows
from tests.integration.rig import Rig, rig
from tests.support.processes import ReadyScript
from tests.support.programs import ROOT, require_file, require_program
from tests.support.ready_program import Interpreter

pytestmark = pytest.mark.integration

PAGES = ROOT / "docs" / "how-to" / "clients"
COLLECTION = ROOT.parent / "shared" / "postman"
PYTHON = {
    "http-libraries": (("plain_http",), ("httpx", "requests")),
    "python-amazon-ad-api": (("python_amazon_ad_api",), ("ad_api.api",)),
    "amazon-ads-api-v1": (("amazon_ads_api_v1", "3.13", "3.14"), ("ads_api",)),
    "mcp": (("mcp_sdk",), ("httpx2", "mcp.client.streamable_http")),
}
"""By page: the environment with versions of Python, and what all processes of a block have imported."""
WITHOUT_KEYS = ("http-libraries", "python-amazon-ad-api")
"""Pages that are tried at a proxy that takes any key, too: one sends its key as it is, one asks for a token with it."""
with_and_without_keys = pytest.mark.parametrize("proxy", ["keyed", "keyless"], indirect=True)


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A proxy that knows the client `reporting` and the account `acme`, as the pages do; or one that takes any key."""
    start = rig if getattr(request, "param", "keyed") == "keyless" else flows.keyed
    with start(tmp_path_factory.mktemp("docs")) as running:
        yield running


def _blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a page in that language."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _filled(block: str, proxy: Rig) -> str:
    """The block with this proxy's address and key."""
    address = proxy.proxy_url.removeprefix("http://")
    return block.replace("127.0.0.1:8080", address).replace("adsproxy_YOUR-KEY", flows.KEY)


def _run(command: list[str], place: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; it must succeed."""
    given = {"PATH": os.environ["PATH"], "HOME": str(place), **(environment or {})}
    result = subprocess.run(
        command, cwd=place, env=given, capture_output=True, text=True, check=False, timeout=flows.LONGEST
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _printed(page: str, block: str, place: Path) -> str:
    """What a block of Python prints; it must succeed."""
    environment, modules = PYTHON[page]
    script = place / "block.py"
    script.write_text(block, encoding="utf-8")
    python = Interpreter(str(environments.python_environment(*environment)), modules)
    process = ReadyScript(python, script, HOME=str(place))
    try:
        assert process.wait(flows.LONGEST) == 0, process.text
    finally:
        process.end()
    return process.text


@pytest.mark.parametrize(
    ("proxy", "page"),
    [*(("keyed", page) for page in PYTHON), *(("keyless", page) for page in WITHOUT_KEYS)],
    indirect=["proxy"],
)
def test_python_blocks(proxy: Rig, tmp_path: Path, page: str) -> None:
    """Each prints profiles, or the tools of the MCP server."""
    blocks = _blocks(page, "python")
    assert blocks
    for block in blocks:
        printed = _printed(page, _filled(block, proxy), tmp_path)
        assert flows.FIRST_PROFILE in printed or "list_profiles" in printed


@with_and_without_keys
def test_curl_blocks(proxy: Rig, tmp_path: Path) -> None:
    """Each prints profiles or campaigns."""
    require_program("curl")
    blocks = _blocks("curl", "sh")
    assert blocks
    for block in blocks:
        printed = _run(["/bin/sh", "-ec", _filled(block, proxy)], tmp_path)
        assert flows.FIRST_PROFILE in printed or json.loads(printed)["campaigns"]


@with_and_without_keys
def test_curl_as_a_tool_with_nothing_but_a_proxy_setting(proxy: Rig, tmp_path: Path) -> None:
    """The command of the overview: Amazon's host by plain HTTP, through the proxy."""
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^    curl -s --proxy .*\\\n.*$", text, re.MULTILINE)
    assert found is not None
    assert flows.FIRST_PROFILE in _run(["/bin/sh", "-ec", _filled(found[0], proxy)], tmp_path)


def test_amazon_ads_api_v1_with_the_key_as_its_token(proxy: Rig, tmp_path: Path) -> None:
    """What its page says of `access_token` holds."""
    (block,) = _blocks("amazon-ads-api-v1", "python")
    lines = [line for line in block.splitlines() if "refresh_token" not in line and "token_url" not in line]
    changed = "\n".join(lines).replace("client_secret=", "access_token=")
    assert flows.FIRST_PROFILE in _printed("amazon-ads-api-v1", _filled(changed, proxy), tmp_path)


@pytest.mark.newman
def test_scaleleap_block(proxy: Rig, tmp_path: Path) -> None:
    """The block prints profiles."""
    node = require_program("node")
    modules = environments.node_environment("scaleleap") / "node_modules"
    (block,) = _blocks("scaleleap", "js")
    printed = _run([node, "-e", _filled(block, proxy)], tmp_path, {"NODE_PATH": str(modules)})
    assert flows.FIRST_PROFILE in printed


def test_airbyte_blocks(proxy: Rig, tmp_path: Path) -> None:
    """The manifest is edited as the page says, in a copy of the package, and `check` succeeds."""
    python = environments.python_environment("airbyte", "3.11", "3.10")
    find = "from importlib.util import find_spec; print(*find_spec('source_amazon_ads').submodule_search_locations)"
    shutil.copytree(_run([str(python), "-c", find], tmp_path).strip(), tmp_path / "source_amazon_ads")
    environment = {"PYTHONPATH": str(tmp_path), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    (edit,), (config,) = _blocks("airbyte", "sh"), _blocks("airbyte", "json")
    _run(["/bin/sh", "-ec", _filled(edit, proxy)], tmp_path, environment)
    assert "amazon.com/" not in re.sub(r"docs\S*", "", (tmp_path / "source_amazon_ads" / "manifest.yaml").read_text())
    (tmp_path / "config.json").write_text(_filled(config, proxy))
    before = flows.refusals(proxy)
    run = [str(python), "-c", "from source_amazon_ads.run import run; run()", "check", "--config", "config.json"]
    assert '"SUCCEEDED"' in _run(run, tmp_path, environment)
    assert flows.refusals(proxy) == before


@pytest.mark.newman
def test_newman_block(proxy: Rig, tmp_path: Path) -> None:
    """Amazon's own files, unprepared, with the variables that the page sets."""
    require_program("newman")
    require_file(COLLECTION)
    (block,) = _blocks("postman", "sh")
    for file in COLLECTION.glob("*.json"):
        shutil.copy(file, tmp_path)
    newman = str(Path(require_program("newman")).parent)
    report = "--reporters json --reporter-json-export report.json"
    command = f"{_filled(block, proxy).rstrip()} {report}"
    _run(["/bin/sh", "-ec", command], tmp_path, {"PATH": f"{newman}:{os.environ['PATH']}"})
    run = json.loads((tmp_path / "report.json").read_text())["run"]
    assert {each["response"]["code"] for each in run["executions"]} == {200}
    assert run["failures"] == []


def test_the_table_of_variables_is_what_newman_is_given() -> None:
    """The page's table and its command set the same five variables to the same values."""
    text = (PAGES / "postman.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|$", text, re.MULTILINE))
    words = shlex.split(_blocks("postman", "sh")[0].replace("\\\n", " "))
    given = dict(words[index + 1].split("=", 1) for index, word in enumerate(words) if word == "--env-var")
    assert table == given
    assert len(given) == 5
