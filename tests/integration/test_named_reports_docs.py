"""The pages about named reports: their code is run in front of a proxy that has the report which they read.

Only what every reader has to replace is replaced: the address, and the key.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from proxy.app.report_orders import read_order_file
from proxy.config import load
from proxy.reports.templates import Version1Template
from tests.clients import environments, flows
from tests.integration.rig import Rig
from tests.integration.test_named_reports_live import reports_of
from tests.support.named_reports import ROWS
from tests.support.programs import ROOT, require_program
from tests.support.ready_program import run_ready

pytestmark = pytest.mark.integration

HOW_TO = ROOT / "docs" / "how-to"
GOOGLE = """
const { execFileSync } = require("node:child_process");
const cells = new Map();
const column = (index) => ({ setNumberFormat: (format) => cells.set(`format ${index}`, format) });
const table = { setValues: (rows) => cells.set("rows", rows) };
const sheet = {
  clear: () => cells.clear(),
  getRange: (_, index, rows, columns) => (columns === 1 ? column(index) : table),
};
global.PropertiesService = { getScriptProperties: () => ({ getProperty: () => "KEY" }) };
global.SpreadsheetApp = { getActive: () => ({ getSheetByName: () => sheet }) };
global.UrlFetchApp = { fetch: (url, { headers }) => {
  const body = execFileSync("curl", ["-sSf", "-H", `Authorization: ${headers.Authorization}`, url]).toString();
  return { getContentText: () => body };
} };
global.Utilities = { parseCsv: (text) => text.trim().split(/\\r?\\n/).map((line) => line.split(",")) };
"""
"""What a script of Google's finds, as far as the page uses it."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("docs")
    with flows.keyed(folder, reports=reports_of(folder / "kept")) as running:
        yield running


def blocks(page: str, language: str, proxy: Rig | None = None) -> list[str]:
    """The blocks of code of a page in that language, with this proxy's address and key."""
    text = (HOW_TO / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    filled = [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]
    if proxy is None:
        return filled
    address = proxy.proxy_url.removeprefix("http://")
    return [block.replace("127.0.0.1:8080", address).replace("adsproxy_YOUR-KEY", flows.KEY) for block in filled]


def shell(text: str, place: Path) -> str:
    return subprocess.run(["/bin/sh", "-ec", text], cwd=place, capture_output=True, text=True, check=True).stdout


def test_the_order_of_the_page_is_one(tmp_path: Path) -> None:
    """The page has an order of version 1."""
    (block,) = blocks("named-reports", "json")
    (tmp_path / "order.json").write_text(block)
    assert isinstance(read_order_file(tmp_path / "order.json"), Version1Template)


def test_the_configuration_of_the_page_is_valid(tmp_path: Path) -> None:
    """With the account that it names, and a digest."""
    (block,) = blocks("named-reports", "yaml")
    accounts = "accounts: {acme: {client_id: x, client_secret: s}}\n"
    (tmp_path / "proxy.yaml").write_text(accounts + block.replace("…", "ab" * 32))
    config = load(tmp_path / "proxy.yaml", {})
    assert config.reports is not None
    assert config.reports.named["sp-daily"].account == "acme"
    assert config.clients[0].reports == ("sp-*",)


def test_curl_reads_the_table(proxy: Rig, tmp_path: Path) -> None:
    """The command is the page's first."""
    require_program("curl")
    command = blocks("named-reports", "sh", proxy)[1]
    rows = [*csv.DictReader(io.StringIO(shell(command, tmp_path)))]
    assert [row["campaignId"] for row in rows] == [row["campaignId"] for row in ROWS]


def test_the_commands_of_the_page_print_the_report(tmp_path: Path) -> None:
    """Run where the configuration lies."""
    section = reports_of(tmp_path / "kept")
    accounts = {"acme": {"client_id": "x", "client_secret": "s"}}
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump({"accounts": accounts, "reports": section}))
    printed = []
    for line in blocks("named-reports", "sh")[2].splitlines():
        ended = run_ready(tmp_path, line.removeprefix("ads-proxy ").split(), {"COLUMNS": "200"})
        assert ended.returncode == 0, ended.stderr
        printed.append(ended.stdout)
    assert "sp-daily" in printed[0]
    assert json.loads(printed[1]) == [*ROWS]


def test_pandas_reads_it(proxy: Rig, tmp_path: Path) -> None:
    """Ids stay text, amounts are numbers."""
    python = environments.python_environment("pandas")
    (block,) = blocks("clients/pandas", "python", proxy)
    checked = f"{block}\nassert [*rows.campaignId] == ['1', '2'], rows.dtypes\nassert rows.cost.sum() == 5\n"
    ended = subprocess.run([str(python), "-c", checked], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "DE" in ended.stdout


def test_the_seed_of_dbt_is_downloaded_and_survives_an_error(proxy: Rig, tmp_path: Path) -> None:
    """A proxy without a result leaves the seed of the day before."""
    require_program("curl")
    (tmp_path / "seeds").mkdir()
    (block,) = blocks("clients/dbt", "sh", proxy)
    shell(block, tmp_path)
    seed = tmp_path / "seeds" / "sp_daily.csv"
    rows = [*csv.DictReader(io.StringIO(seed.read_text()))]
    (properties,) = blocks("clients/dbt", "yaml")
    typed = yaml.safe_load(properties)["seeds"][0]["config"]["column_types"]
    assert typed.keys() <= rows[0].keys()
    with pytest.raises(subprocess.CalledProcessError):
        shell(block.replace("sp-daily", "unknown"), tmp_path)
    assert [*csv.DictReader(io.StringIO(seed.read_text()))] == rows


def test_the_script_of_google_sheets_fills_the_sheet(proxy: Rig, tmp_path: Path) -> None:
    """The sheet has ids as text; the script's surroundings are replaced, the request is real."""
    node = require_program("node")
    require_program("curl")
    (block,) = blocks("clients/google-sheets", "js", proxy)
    script = f"{GOOGLE.replace('KEY', flows.KEY)}{block}\nrefresh();\nconsole.log(JSON.stringify([...cells]));"
    ended = subprocess.run([node, "-e", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    cells = dict(json.loads(ended.stdout))
    header, *rows = cells["rows"]
    assert [row[header.index("campaignId")] for row in rows] == ["1", "2"]
    assert cells[f"format {header.index('campaignId') + 1}"] == "@"
    assert cells[f"format {header.index('cost') + 1}"] == "0.##"


def test_the_client_of_a_sheet_is_valid(tmp_path: Path) -> None:
    """The client reads one report and nothing else."""
    (block,) = blocks("clients/google-sheets", "yaml")
    accounts = "accounts: {acme: {client_id: x, client_secret: s}}\n"
    (tmp_path / "proxy.yaml").write_text(accounts + block.replace("…", "ab" * 32))
    (client,) = load(tmp_path / "proxy.yaml", {}).clients
    assert (client.reports, client.access) == (("sp-daily",), "read")
