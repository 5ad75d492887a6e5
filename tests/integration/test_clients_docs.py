"""The pages of docs/how-to/clients: each block of code is run, unchanged, in front of a proxy with keys.

Only what every reader has to replace is replaced: the address, the key, and where files lie. Blocks below a heading
*Unchanged* call Amazon's own addresses, with the variables that https-proxy.md sets.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.commands.client_variables import TRUST_VARIABLES
from tests.clients import environments, flows
from tests.integration.rig import Rig, rig
from tests.support.processes import ReadyScript, free_port
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
ADDRESS = "https://advertising-api.amazon.com/v2/profiles"
CALL = f"\ncurl -sS {ADDRESS}"
WITHOUT_KEYS = ("http-libraries", "python-amazon-ad-api")
"""Pages that are tried at a proxy that takes any key, too: one sends its key as it is, one asks for a token with it."""
with_and_without_keys = pytest.mark.parametrize("proxy", ["keyed", "keyless"], indirect=True)


@dataclass
class Proxy(Rig):
    """What the pages are about. Its folder has `proxy.yaml`, the key of its client in `key.txt`, and `bundle.pem`."""

    folder: Path


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that knows the client `reporting` and the account `acme`, as the pages do; or one that takes any key."""
    start = rig if getattr(request, "param", "keyed") == "keyless" else flows.keyed
    folder = tmp_path_factory.mktemp("docs")
    intercept = {"enabled": True, "ca_dir": str(folder / "ca")}
    with start(folder, listen=f"127.0.0.1:{free_port()}", intercept=intercept) as running:
        started = Proxy(**vars(running), folder=folder)
        (folder / "key.txt").write_text(flows.KEY)
        [command] = re.findall(r"`(ads-proxy ca --bundle [^`]+)`", _text("https-proxy"))
        _run(["/bin/sh", "-ec", command], folder)
        yield started


def _text(page: str) -> str:
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")


def _blocks(page: str, language: str, section: str = "") -> list[str]:
    """The blocks of code of a page in that language, or of one of its sections."""
    text = _text(page).partition(f"\n## {section}\n")[2].partition("\n## ")[0] if section else _text(page)
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def _filled(block: str, proxy: Proxy) -> str:
    """The block with this proxy's address and key, and where its files are."""
    address = proxy.proxy_url.removeprefix("http://")
    filled = block.replace("127.0.0.1:8080", address).replace("adsproxy_YOUR-KEY", flows.KEY).replace("$PWD/", "")
    return re.sub(r"\b(bundle\.pem|proxy\.yaml|key\.txt)", rf"{proxy.folder}/\1", filled)


def _through_tunnels(proxy: Proxy) -> dict[str, str]:
    """What an unchanged client is given: the two variables of https-proxy.md, under all names of the second."""
    [block] = [each for each in _blocks("https-proxy", "sh") if "SSL_CERT_FILE" in each]
    exported = dict(re.findall(r"^export (\w+)=(.*)$", _filled(block, proxy), re.MULTILINE))
    return exported | dict.fromkeys(TRUST_VARIABLES, exported["SSL_CERT_FILE"])


def _run(command: list[str], place: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; it must succeed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {"PATH": path, "HOME": str(place), **(environment or {})}
    result = subprocess.run(
        command, cwd=place, env=given, capture_output=True, text=True, check=False, timeout=flows.LONGEST
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _printed(page: str, block: str, place: Path, given: Mapping[str, str] | None = None) -> str:
    """What a block of Python prints with these variables; it must succeed."""
    environment, modules = PYTHON[page]
    script = place / "block.py"
    script.write_text(block, encoding="utf-8")
    python = Interpreter(str(environments.python_environment(*environment)), modules)
    process = ReadyScript(python, script, HOME=str(place), **(given or {}))
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
def test_python_blocks(proxy: Proxy, tmp_path: Path, page: str) -> None:
    """Each prints profiles, or the tools of the MCP server."""
    blocks = _blocks(page, "python")
    assert blocks
    unchanged = _blocks(page, "python", "Unchanged")
    for block in blocks:
        given = _through_tunnels(proxy) if block in unchanged else {}
        printed = _printed(page, _filled(block, proxy), tmp_path, given)
        assert flows.FIRST_PROFILE in printed or "list_profiles" in printed


@with_and_without_keys
def test_curl_blocks(proxy: Proxy, tmp_path: Path) -> None:
    """Each prints profiles or campaigns."""
    require_program("curl")
    blocks = _blocks("curl", "sh")
    assert blocks
    for block in blocks:
        printed = _run(["/bin/sh", "-ec", _filled(block, proxy)], tmp_path)
        assert flows.FIRST_PROFILE in printed or json.loads(printed)["campaigns"]


@with_and_without_keys
def test_the_two_variables_lead_a_client_to_the_proxy(proxy: Proxy, tmp_path: Path) -> None:
    """curl, which reads the second one too, with Amazon's address alone."""
    require_program("curl")
    [block] = [each for each in _blocks("https-proxy", "sh") if "SSL_CERT_FILE" in each]
    assert flows.FIRST_PROFILE in _run(["/bin/sh", "-ec", f"{_filled(block, proxy)}{CALL}"], tmp_path)


def test_the_lines_of_env_lead_a_client_to_the_proxy(proxy: Proxy, tmp_path: Path) -> None:
    """In the shell that evaluates them."""
    require_program("curl")
    [block] = [each for each in _blocks("https-proxy", "sh") if "ads-proxy env" in each]
    assert flows.FIRST_PROFILE in _run(["/bin/sh", "-ec", f"{_filled(block, proxy)}{CALL}"], tmp_path)


def test_run_starts_an_unchanged_client(proxy: Proxy, tmp_path: Path) -> None:
    """A script with Amazon's address, and nothing but Python's own library."""
    [block] = [each for each in _blocks("https-proxy", "sh") if "ads-proxy run" in each]
    script = f"import urllib.request\nprint(urllib.request.urlopen('{ADDRESS}').read().decode())\n"
    (tmp_path / "report.py").write_text(script, encoding="utf-8")
    assert flows.FIRST_PROFILE in _run(["/bin/sh", "-ec", _filled(block, proxy)], tmp_path)


@with_and_without_keys
def test_curl_as_a_tool_with_nothing_but_a_proxy_setting(proxy: Proxy, tmp_path: Path) -> None:
    """The command of the overview: Amazon's host by plain HTTP, through the proxy."""
    found = re.search(r"^    curl -s --proxy .*\\\n.*$", _text("README"), re.MULTILINE)
    assert found is not None
    assert flows.FIRST_PROFILE in _run(["/bin/sh", "-ec", _filled(found[0], proxy)], tmp_path)


def test_amazon_ads_api_v1_with_the_key_as_its_token(proxy: Proxy, tmp_path: Path) -> None:
    """What its page says of `access_token` holds."""
    (block,) = _blocks("amazon-ads-api-v1", "python", "By base URL")
    lines = [line for line in block.splitlines() if "refresh_token" not in line and "token_url" not in line]
    changed = "\n".join(lines).replace("client_secret=", "access_token=")
    assert flows.FIRST_PROFILE in _printed("amazon-ads-api-v1", _filled(changed, proxy), tmp_path)


@pytest.mark.newman
def test_scaleleap_block(proxy: Proxy, tmp_path: Path) -> None:
    """The block prints profiles."""
    node = require_program("node")
    modules = environments.node_environment("scaleleap") / "node_modules"
    (block,) = _blocks("scaleleap", "js")
    printed = _run([node, "-e", _filled(block, proxy)], tmp_path, {"NODE_PATH": str(modules)})
    assert flows.FIRST_PROFILE in printed


def test_airbyte_blocks(proxy: Proxy, tmp_path: Path) -> None:
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
@pytest.mark.parametrize("section", ["With Amazon's addresses", "By base URL"])
def test_newman_block(proxy: Proxy, tmp_path: Path, section: str) -> None:
    """Amazon's own files, unprepared, with the variables that the page sets."""
    require_program("newman")
    require_file(COLLECTION)
    (block,) = _blocks("postman", "sh", section)
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
    table = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|$", _text("postman"), re.MULTILINE))
    [block] = _blocks("postman", "sh", "By base URL")
    words = shlex.split(block.replace("\\\n", " "))
    given = dict(words[index + 1].split("=", 1) for index, word in enumerate(words) if word == "--env-var")
    assert table == given
    assert len(given) == 5
