"""The command line: help, versions, keys, the health check, and the parts of `login` and `demo` that decide."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from aiohttp import web
from rich.text import Text
from typer.testing import CliRunner

from proxy import __version__
from proxy.commands.cli import GROUPS, UNGROUPED, app, find_commands, group_of, load_command
from proxy.commands.demo import banner, demo_environment, running_simulator
from proxy.commands.demo_folder import PreparedDemo, configuration
from proxy.commands.entry import ServeRequest
from proxy.commands.healthcheck import check_health, healthcheck
from proxy.config import DEFAULT_ADMIN, Address, Config, TlsSection, load
from proxy.config.reference import json_schema, tables
from proxy.simulator import SimulatorSettings
from tests.support.ready_program import run_ready

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = tuple(find_commands())
CLIENTS = f"""
accounts:
  acme: {{client_id: x, client_secret: s}}
  other: {{client_id: x, client_secret: s, default_profile: first}}
clients:
  - {{name: reporting, key_sha256: {"ab" * 32}, accounts: [acme], methods: [GET], paths: ["/reporting/*"]}}
  - {{name: free, key_sha256: {"cd" * 32}}}
  - {{name: other, key_sha256: {"ef" * 32}, accounts: [other]}}
  - {{name: narrow, key_sha256: {"01" * 32}, accounts: [other], profiles: ["7"]}}
  - {{name: agent, key_sha256: {"02" * 32}, accounts: [acme], account_ids: [ads.1], unscoped_paths: [/mcp]}}
  - {{name: looker, key_sha256: {"03" * 32}, accounts: [acme], access: read}}
reports: {{named: {{sp-daily: {{account: acme, order: {{preset: spCampaigns}}, every: 6h}}}}}}
"""


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_ready(folder, arguments, {"COLUMNS": "200", **environ})


def test_help_tells_a_stranger_where_to_begin(tmp_path: Path) -> None:
    """The first page has the demo, the variables, every command and the exit codes."""
    page = run(tmp_path, "--help")
    assert page.returncode == 0
    for word in ("ads-proxy demo", "AMAZON_ADS_REFRESH_TOKEN", "Exit codes", *COMMANDS):
        assert word in page.stdout


SUBCOMMANDS = tuple(f"{name} {sub}" for name in COMMANDS for sub in getattr(load_command(name), "commands", ()))


def test_help_lists_the_commands_in_groups(tmp_path: Path) -> None:
    """Each command takes one line of a terminal of 80 columns, below its group's title."""
    page = run(tmp_path, "--help", COLUMNS="80").stdout
    panels = re.findall(r"^╭─ (.+?) ─+╮\n(.*?)^╰", page, re.MULTILINE | re.DOTALL)
    listed = {title: [line.strip("│ ").split(maxsplit=1) for line in panel.splitlines()] for title, panel in panels}
    del listed["Options"]
    other = tuple(name for name in COMMANDS if group_of(name) == UNGROUPED)
    named = {title: tuple(name for name, _ in rows) for title, rows in listed.items()}
    assert named == {**GROUPS, **({UNGROUPED: other} if other else {})}
    lines = {name: line for rows in listed.values() for name, line in rows}
    assert lines == {name: text.partition("\n\n")[0] for name, text in find_commands().items()}
    assert [line for line in lines.values() if len(line) > 60] == []


def test_a_command_without_a_group_is_listed() -> None:
    """A new file is a command before it has a place in `GROUPS`."""
    assert group_of("brand-new") == UNGROUPED


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_every_help_ends_with_an_example_that_works(command: str) -> None:
    """The command line takes the example's options and arguments."""
    name, *sub = command.split()
    found: Any = load_command(name)
    text = (found.commands[sub[0]] if sub else found).help
    program, *arguments = shlex.split(text.rsplit("\n\n", maxsplit=1)[1].removeprefix("Example: "))
    assert (program, arguments[: 1 + len(sub)]) == ("ads-proxy", command.split())
    rest = arguments[1:]
    parsed = found.commands[rest.pop(0)] if hasattr(found, "commands") else found
    parsed.make_context(name, rest)


def help_of(*arguments: str) -> str:
    """What the command line prints for them, in this process."""
    page = CliRunner().invoke(app, arguments)
    assert (page.exit_code, page.stderr) == (0, "")
    return page.stdout


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_every_command_explains_itself(command: str) -> None:
    """`--help` works without any configuration, and docs/reference/cli.md has the command. No flag has a type there:
    `<bool>` says nothing to a reader."""
    page = help_of(*command.split(), "--help")
    assert "bool" not in page
    assert "Usage: " in page
    assert f"ads-proxy {command.split(maxsplit=1)[0]}" in (ROOT / "docs" / "reference" / "cli.md").read_text()


def test_each_file_that_declares_a_command_is_one() -> None:
    """A file with a function of its name, or with an `app`, begins with the words that make it a command."""
    declaring = {
        path.stem.replace("_", "-")
        for path in (ROOT / "proxy" / "commands").glob("*.py")
        if re.search(rf"^def {path.stem}\(|^app = ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert declaring - {"cli"} == set(COMMANDS)


def test_the_command_line_starts_without_what_commands_need(tmp_path: Path) -> None:
    """A health check every few seconds, and `--help`, load no server, no model of the configuration, no tables."""
    command = [sys.executable, "-c", "import sys, proxy.commands.cli; print(*sorted(sys.modules))"]
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=needed, capture_output=True, text=True, check=True)
    loaded, heavy = ended.stdout.split(), {"aiohttp", "cryptography", "pydantic", "uvloop"}
    assert "typer" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in heavy]
    assert {name for name in loaded if name.startswith("proxy.commands.")} == {
        "proxy.commands.cli",
        "proxy.commands.terminal",
    }


def test_the_help_of_no_command_loads_http(tmp_path: Path) -> None:
    """The library for HTTP takes a third of a second, and is needed only when the command runs."""
    script = (
        "import sys; from proxy.commands.cli import load_command\n"
        f"for name in {COMMANDS}:\n"
        "    load_command(name)\n"
        "    print(name, 'aiohttp' in sys.modules)"
    )
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, env=needed, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [f"{name} False" for name in COMMANDS]


def test_the_version_is_told(tmp_path: Path) -> None:
    """Both spellings print the package's version; `--version` goes on with those of its libraries."""
    line = f"ads-proxy {__version__}\n"
    assert run(tmp_path, "version").stdout == line
    longer = run(tmp_path, "--version").stdout
    assert longer.startswith(line)
    for word in (platform.python_version(), "OpenSSL", platform.system(), "aiohttp ", "cryptography ", "pydantic "):
        assert word in longer


@pytest.mark.parametrize("command", ["", "serve", "keys", "keys new", "invite", "status", "run"])
def test_h_is_help(command: str) -> None:
    """Wherever --help is."""
    assert help_of(*command.split(), "-h") == help_of(*command.split(), "--help") != ""


def test_no_word_of_a_help_is_taken_for_markup() -> None:
    """Brackets around a word are read as a style by what prints the help, and vanish."""
    commands: list[Any] = [typer.main.get_command(app), *map(load_command, find_commands())]
    texts: list[str] = []
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        texts += [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
    assert len(texts) > 100
    assert [text for text in texts if Text.from_markup(text).plain != text] == []


@pytest.mark.parametrize(("words", "completed"), [("ads-proxy sta", "status"), ("ads-proxy keys n", "new")])
def test_a_shell_completes_commands(tmp_path: Path, words: str, completed: str) -> None:
    """The script that --show-completion prints sends these variables."""
    asked = {"_ADS_PROXY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert run(tmp_path, **asked).stdout.split() == [completed]


NAMED = """
accounts:
  acme: {client_id: x, client_secret: {file: /missing}}
  brand: {client_id: x}
accounts_from: [more.yaml]
routes: {acme-eu: {account: acme}}
clients: [{name: reporting}, {name: agent}]
reports: {named: {sp-daily: {account: acme}, sb-daily: {}}}
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("login ", "acme brand globex"),
        ("login a", "acme"),
        ("login --config other.yaml ", ""),
        ("invite b", "brand"),
        ("status --account g", "globex"),
        ("check --as r", "reporting"),
        ("run --account a", "acme acme-eu"),
        ("run --client ", "agent reporting"),
        ("keys expire a", "agent"),
        ("logs --client a", "agent"),
        ("report s", "sb-daily show sp-daily"),
        ("report show sb", "sb-daily"),
        ("report add sbC", "sbCampaigns"),
        ("report add spCampaigns --account g", "globex"),
        ("client remove a", "agent"),
        ("client add shop --account ac", "acme"),
    ],
)
def test_a_shell_completes_names_of_the_configuration(tmp_path: Path, words: str, completed: str) -> None:
    """Accounts, routes, clients and reports, even if the configuration has a problem; nothing if there is no file."""
    (tmp_path / "proxy.yaml").write_text(NAMED)
    (tmp_path / "more.yaml").write_text("accounts: {globex: {client_id: x, client_secret: s}}")
    words = f"ads-proxy {words}"
    asked = {"_ADS_PROXY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    answer = run(tmp_path, **asked, ADS_PROXY_CONFIG="proxy.yaml")
    assert (sorted(answer.stdout.split()), answer.stderr) == (completed.split(), "")


def test_the_other_name_of_the_command_is_completed_too(tmp_path: Path) -> None:
    """The other name has its own variable for completion, and its help has its own name."""
    code = "import sys; sys.argv[0] = '/bin/amazon-ads-proxy'; from proxy.commands.cli import main; main()"
    asked = {"_AMAZON_ADS_PROXY_COMPLETE": "complete_bash", "COMP_WORDS": "amazon-ads-proxy sta", "COMP_CWORD": "1"}
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=tmp_path, env=needed | asked, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["status"]


def test_a_file_of_variables_is_read(tmp_path: Path) -> None:
    """The file is enough for an account, the environment overrides it, and the line of a mistake is reported."""
    (tmp_path / ".env").write_text("AMAZON_ADS_CLIENT_ID=x\nAMAZON_ADS_CLIENT_SECRET=s\nADS_PROXY_LISTEN=nonsense\n")
    asked = ("check", "--env-file", ".env", "--as", "x", "GET", "/x")
    assert "listen: is not an address" in run(tmp_path, *asked).stderr
    answer = run(tmp_path, *asked, ADS_PROXY_LISTEN="127.0.0.1:1")
    assert "unknown client" in answer.stderr
    gone = run(tmp_path, "check", "--env-file", "none")
    assert (gone.returncode, gone.stderr) == (
        2,
        "ads-proxy: --env-file: the file none does not exist; create it, or correct the path\n",
    )


def test_the_command_lines_addresses_win(tmp_path: Path) -> None:
    """The command line overrides file and environment; a file of variables is watched as every other source."""
    (tmp_path / "proxy.yaml").write_text("listen: 127.0.0.1:1\nadmin_listen: 127.0.0.1:2\n")
    (tmp_path / ".env").write_text("AMAZON_ADS_CLIENT_ID=x\nAMAZON_ADS_CLIENT_SECRET=s\n")
    asked = ServeRequest(tmp_path / "proxy.yaml", tmp_path / ".env", "127.0.0.1:3", "127.0.0.1:4")
    config = asked.load()
    assert (config.listen.port, config.admin_listen.port) == (3, 4)
    assert set(config.sources) == {tmp_path / "proxy.yaml", tmp_path / ".env"}


def test_files_are_known_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reading is enough; the file that the environment names is among them."""
    (tmp_path / "proxy.yaml").write_text("accounts: {acme: {client_id: x, client_secret: s}}\n")
    (tmp_path / ".env").write_text("")
    monkeypatch.setenv("ADS_PROXY_CONFIG", str(tmp_path / "proxy.yaml"))
    asked = ServeRequest(env_file=tmp_path / ".env")
    assert set(asked.files()) == set(asked.load().sources) == {tmp_path / "proxy.yaml", tmp_path / ".env"}
    monkeypatch.delenv("ADS_PROXY_CONFIG")
    assert ServeRequest().files() == ()


def test_a_new_key_is_printed_with_its_digest(tmp_path: Path) -> None:
    """What goes to standard output is YAML; the digest is that of the key; no two keys are the same."""
    first, second = (yaml.safe_load(run(tmp_path, "keys", "new", "reporting").stdout) for _ in range(2))
    assert first["name"] == "reporting"
    assert hashlib.sha256(first["key"].encode()).hexdigest() == first["key_sha256"]
    assert len(first["key"]) > 40
    assert first["key"] != second["key"]


def test_the_schema_is_printed(tmp_path: Path) -> None:
    """The schema is JSON for editors, and Markdown for the documentation."""
    assert json.loads(run(tmp_path, "schema").stdout) == json_schema()
    assert run(tmp_path, "schema", "--tables").stdout == tables() + "\n"


@pytest.mark.parametrize(
    ("arguments", "code", "answer"),
    [
        ("reporting GET /reporting/reports", 0, "Yes (rule: paths)"),
        ("reporting POST /reporting/reports", 1, "No (rule: methods)"),
        ("reporting GET /v2/profiles", 1, "No (rule: paths)"),
        ("reporting GET /@other/reporting/reports", 1, "No"),
        ("free GET /v2/profiles", 1, "No: "),
        ("free GET /@acme/sp/campaigns/list --profile 12", 0, "Yes (no rule limits it)"),
        ("other POST /sp/campaigns/list", 0, "Yes (rule: accounts)"),
        ("narrow POST /sp/campaigns/list", 1, "Depends: `default_profile: first`"),
        ("narrow POST /sp/campaigns/list --profile 7", 0, "Yes (rule: profiles)"),
        (
            "narrow GET /v2/profiles",
            1,
            "No (rule: profiles): Client narrow is limited, and this operation takes neither",
        ),
        ("narrow POST /sp/%252561 --profile 7", 1, "No (rule: profiles): This client is limited, and the path holds"),
        ("narrow GET /@acme/v2/x --profile 8", 1, "No (rule: profiles): Client narrow may not use profile 8."),
        ("agent POST /reporting/reports", 1, "No (rule: account_ids): Client agent must choose"),
        ("agent POST /reporting/reports --account-id ads.1", 0, "Yes (rule: account_ids)"),
        ("agent POST /reporting/reports --account-id ads.2", 1, "No (rule: account_ids): Client agent may name only"),
        ("agent GET /dsp/streams/subscriptions --account-id ads.1", 0, "Yes (rule: account_ids)"),
        ("agent GET /unheard --account-id ads.1", 0, "Yes (rule: account_ids)"),
        ("agent GET /unheard", 1, "No (rule: account_ids)"),
        ("agent POST /unheard --account-id ads.1", 1, "No (rule: account_ids)"),
        ("agent POST /mcp", 0, "Yes (rule: unscoped_paths)"),
        ("looker POST /sp/campaigns/list", 0, "Yes (rule: access)"),
        ("looker POST /sp/campaigns", 1, "No (rule: access): Client looker has `access: read`"),
        ("free GET /-/reports/sp-daily.csv?refresh=1", 0, "Yes: Client free may read sp-daily."),
        ("looker GET /-/reports", 0, "Yes: Client looker may read the list of its reports."),
        ("looker GET /-/reports/sp-daily.csv?refresh=1", 1, "No: Client looker has `access: read`, and `refresh=1`"),
        ("narrow GET /-/reports/sp-daily.csv", 1, "No: This path leads to no report that the client may read"),
        ("reporting GET /-/reports/sp-daily.csv", 1, "No (rule: paths)"),
        ("looker GET /@other/v2/profiles", 1, "No: This client may not use the account or route 'other'."),
        ("looker GET /@nobody/v2/profiles", 1, "No: This client may not use the account or route 'nobody'."),
    ],
)
def test_a_clients_request_is_judged_beforehand(tmp_path: Path, arguments: str, code: int, answer: str) -> None:
    """`check --as` prints the verdict and the rule, and sends no request."""
    (tmp_path / "proxy.yaml").write_text(CLIENTS)
    result = run(tmp_path, "check", "--config", "proxy.yaml", "--as", *arguments.split())
    assert (result.returncode, result.stderr) == (code, "")
    assert result.stdout.startswith(answer)


def test_an_unknown_client_is_a_mistake(tmp_path: Path) -> None:
    """Exit code 2, with the nearest name."""
    (tmp_path / "proxy.yaml").write_text(CLIENTS)
    result = run(tmp_path, "check", "--config", "proxy.yaml", "--as", "reportin", "GET", "/x")
    assert (result.returncode, result.stdout) == (2, "")
    assert "unknown client; did you mean 'reporting'?" in result.stderr


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_the_health_check_asks_the_admin_listener(status: int, code: int) -> None:
    """0 for a living program, 1 for one that says otherwise; a wildcard address is asked at loopback."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status if request.path == "/livez" else 404)

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        assert await asyncio.to_thread(check_health, Address("0.0.0.0", port)) == code
    finally:
        await runner.cleanup()


def test_the_health_check_fails_where_nobody_listens(tmp_path: Path) -> None:
    """Exit code 1 and one line."""
    result = run(tmp_path, "healthcheck", ADS_PROXY_ADMIN_LISTEN="127.0.0.1:9")
    assert result.returncode == 1
    assert result.stderr.startswith("ads-proxy: 127.0.0.1:9 does not answer")


@pytest.mark.parametrize("environ", [{}, {"ADS_PROXY_ADMIN_LISTEN": "nonsense"}])
def test_the_health_check_of_a_broken_configuration_asks_the_default_address(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was broken after the start must not make a running server look dead."""
    asked = list[Address]()
    monkeypatch.setattr("proxy.commands.healthcheck.check_health", asked.append)
    monkeypatch.setattr("os.environ", environ)
    healthcheck(tmp_path / "none.yaml")
    assert asked == [DEFAULT_ADMIN]


SIMULATOR = {
    "client_id": "amzn1.application-oa2-client.simulator",
    "client_secret": "canary-secret",
    "refresh_token": "Atzr|canary",
    **{
        key: {region: f"http://127.0.0.1:900{number}{path}" for number, region in enumerate(("na", "eu", "fe"))}
        for key, path in (
            ("api_urls", ""),
            ("token_urls", "/auth/o2/token"),
            ("auth_grant_urls", "/ap/oa"),
            ("mcp_urls", "/mcp"),
        )
    },
}
ADDRESSES = {"ADS_PROXY_LISTEN": "127.0.0.1:8080", "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:8081"}


def demo_config(folder: Path, environ: Mapping[str, str], addresses: Mapping[str, str] = ADDRESSES) -> Config:
    """The configuration of a demo whose simulator is said to listen."""
    variables = {**demo_environment(environ), **addresses}
    path = folder / "proxy.yaml"
    tokens = "Atzr|canary", "Atzr|second"
    path.write_text(configuration(SIMULATOR, tokens, "adsproxy_agent", variables, keeps_files=True), encoding="utf-8")
    return load(path, variables)


def test_a_demo_never_meets_amazon(tmp_path: Path) -> None:
    """Every address is the simulator's; real credentials and accounts of the environment are not looked at."""
    environ = {
        "AMAZON_ADS_CLIENT_ID": "real",
        "AMAZON_ADS_CLIENT_SECRET_FILE": "/real",
        "ADS_PROXY_CONFIG": "/real.yaml",
        "ADS_PROXY_ACCOUNTS__REAL__CLIENT_ID": "real",
        "ADS_PROXY_LOG__LEVEL": "debug",
        "ADS_PROXY_STATE__URL": "file:/real",
    }
    config = demo_config(tmp_path, environ)
    assert [*config.accounts] == ["default", "globex"]
    assert {account.client_id for account in config.accounts.values()} == {SIMULATOR["client_id"]}
    assert config.state.url == f"file:{tmp_path / 'state'}"
    assert config.log.level == "debug"
    for region in config.regions.values():
        assert {url.partition("900")[0] for url in region.model_dump().values()} == {"http://127.0.0.1:"}


def test_the_simulator_of_a_demo_ends_with_it() -> None:
    """The simulator listens while the demo runs, prints its addresses, and is gone afterwards."""
    with running_simulator({}) as simulator:
        address = urlsplit(simulator["api_urls"]["na"])
        socket.create_connection((address.hostname, address.port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), 5)


def test_the_banner_can_be_pasted(tmp_path: Path) -> None:
    """A wildcard listener is shown with an address that curl reaches, and the keys that were made are shown."""
    config = demo_config(tmp_path, {}, {**ADDRESSES, "ADS_PROXY_LISTEN": "0.0.0.0:8080"})
    made = PreparedDemo(config, tmp_path / "proxy.yaml", "adsproxy_agent", "/invite/x.y")
    text = banner(config, made, "made-key")
    assert "Authorization: Bearer adsproxy_agent" in text
    assert f"ads-proxy audit show --config {tmp_path / 'proxy.yaml'}" in text
    assert "http://127.0.0.1:8081/invite/x.y" in text
    assert "curl -s http://127.0.0.1:8080/v2/profiles" in text
    assert "made-key" in text
    assert "canary" not in text


def test_the_banner_of_a_demo_with_a_certificate_says_https(tmp_path: Path) -> None:
    """To clients alone: the admin listener has none."""
    config = demo_config(tmp_path, {}).model_copy(
        update={"tls": TlsSection(cert=tmp_path / "cert", key=tmp_path / "key")}
    )
    text = banner(config, PreparedDemo(config, tmp_path, "", ""), "")
    assert "invitation" not in text
    assert "curl -s https://127.0.0.1:8080/v2/profiles" in text
    assert "curl -s http://127.0.0.1:8081/metrics" in text


@pytest.mark.parametrize(
    ("options", "strict", "tools"),
    [((), True, "own"), (("--echo",), False, "own"), (("--mcp-tools", "amazon"), True, "amazon")],
)
def test_simulate_takes_the_echo_and_the_tools(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], strict: bool, tools: str
) -> None:
    """Unknown operations are 404 in `simulate`, unless --echo asks for the mirror; --mcp-tools lists Amazon's tools."""
    given: list[SimulatorSettings] = []

    def start(settings: SimulatorSettings) -> int:
        given.append(settings)
        return 0

    monkeypatch.setattr("proxy.commands.simulate.run_simulator", start)
    assert CliRunner().invoke(app, ["simulate", *options]).exit_code == 0
    assert [(settings.strict_paths, settings.mcp_tools) for settings in given] == [(strict, tools)]


def test_the_simulator_says_that_its_ports_are_taken(tmp_path: Path) -> None:
    """One line that names the option, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(tmp_path, "simulate", "--base-port", str(min(port, 65531)))
    (line,) = result.stderr.splitlines()
    assert result.returncode == 1
    assert line.startswith("ads-proxy: simulate: ")
    assert "--base-port" in line


def test_the_demo_says_that_its_port_is_taken(tmp_path: Path) -> None:
    """The line names the option and the variable, which `make run` needs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(tmp_path, "demo", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.returncode == 1
    assert "--listen HOST:PORT or ADS_PROXY_LISTEN" in result.stderr
