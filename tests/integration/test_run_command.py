"""`ads-proxy run -- COMMAND` as processes: the command reaches Amazon's stand-in, and both begin and end together."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.patience import PATIENCE
from tests.support.processes import ReadyProcess, until
from tests.support.programs import ROOT
from tests.support.ready_program import ready
from tests.support.running import SimulatedAmazon, serving

pytestmark = pytest.mark.integration
ASK = """
import json, os, sys, urllib.error, urllib.request
headers = {"Authorization": "Bearer " + os.environ["AMAZON_ADS_ACCESS_TOKEN"], "Content-Type": "application/json"}
data = b"{}" if sys.argv[1] == "POST" else None
request = urllib.request.Request(os.environ["AMAZON_ADS_API_URL"] + sys.argv[2], data, headers)
try:
    status, body = 200, urllib.request.urlopen(request).read()
except urllib.error.HTTPError as error:
    status, body = error.code, error.read()
print(json.dumps({"status": status, "body": json.loads(body), "environ": dict(os.environ)}))
sys.exit(int(sys.argv[3]))
"""


PROGRAM = (sys.executable, "-u", "-m", "proxy")


def configured(folder: Path, amazon: SimulatedAmazon, **changes: Any) -> tuple[str, ...]:
    """The arguments up to `run --config FILE`."""
    file = folder / "proxy.yaml"
    file.write_text(yaml.safe_dump(amazon.configuration(**changes)))
    return ("run", "--config", str(file))


def ended(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What the program said, once it ended; standard output and standard error apart."""
    return ended_process(*ready(*map(str, arguments)))


def ended_process(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a whole command line to its end."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ADS_PROXY_", "AMAZON_ADS_"))
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_command_reaches_amazon_and_its_exit_code_is_ours(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The command starts once the proxy is ready, finds it, and writes to its own standard output alone."""
    asking = (sys.executable, "-c", ASK, "GET", "/v2/profiles", "7")
    result = ended_process(*PROGRAM, *configured(tmp_path, amazon), "--", *asking)
    told = json.loads(result.stdout)
    assert (result.returncode, told["status"], len(told["body"])) == (7, 200, 3)
    assert amazon.facts["refresh_token"] not in result.stdout
    assert amazon.facts["client_secret"] not in result.stdout
    assert told["environ"]["AMAZON_ADS_REFRESH_TOKEN"] == "acme"
    assert "Traceback" not in result.stderr


def test_a_client_may_what_its_rules_say(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """With --client the command reads, and may not write."""
    clients = [{"name": "looker", "key_sha256": "ab" * 32, "access": "read"}]
    run = (*configured(tmp_path, amazon, clients=clients), "--client", "looker", "--", sys.executable, "-c", ASK)
    reading, writing = (
        json.loads(ended(*run, *words, "0").stdout) for words in (("GET", "/v2/profiles"), ("POST", "/sp/campaigns"))
    )
    assert (reading["status"], writing["status"]) == (200, 403)
    assert writing["body"]["type"].endswith("not-permitted")


def written_by_init(folder: Path, amazon: SimulatedAmazon) -> dict[str, Any]:
    """What `init` writes, with the simulator as Amazon, ports of the system's choice, and a state of the test's own."""
    for kind in ("client_secret", "refresh_token"):
        (folder / kind).write_text(amazon.facts[kind])
    given = ("--client-secret-file", folder / "client_secret", "--refresh-token-file", folder / "refresh_token")
    made = ended("init", folder, "--no-ask", "--client-id", amazon.facts["client_id"], *given)
    assert made.returncode == 0, made.stderr
    here = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "state": {"url": "file:state"}}
    return {**yaml.safe_load((folder / "proxy.yaml").read_text()), **here, "regions": amazon.regions()}


def test_runs_next_to_a_running_proxy_have_audit_files_of_their_own(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """With the configuration that `init` writes, two at a time; a line names each file, and a later run goes on with
    the first of them. No file is damaged."""
    write = (sys.executable, "-c", ASK, "POST", "/sp/campaigns", "0")
    staying = '"$@"; trap "exit 0" TERM; echo begun; while :; do sleep 0.05; done'
    with serving(tmp_path, written_by_init(tmp_path, amazon)) as running:
        running.until_ready()
        run = ("run", "--config", str(running.path), "--")
        first = ReadyProcess("proxy", *run, "bash", "-c", staying, "bash", *write)
        try:
            until(lambda: "begun\n" in first.output.lines, lambda: first.text)
            second = ended(*run, *write)
            first.signal(signal.SIGTERM)
            assert first.wait() == 0
        finally:
            first.end()
        third = ended(*run, *write)
        assert running.get("/v2/profiles")[0] == 200
    for said, name in ((first.text, "audit-run"), (second.stderr, "audit-run-2"), (third.stderr, "audit-run")):
        assert f"the changes of this run are recorded in {tmp_path / name}.jsonl\n" in said
    assert (second.returncode, third.returncode) == (0, 0)
    assert {each.name for each in tmp_path.glob("audit*.jsonl")} == {
        *("audit.jsonl", "audit-run.jsonl", "audit-run-2.jsonl")
    }
    for name, writes in (("audit.jsonl", 0), ("audit-run.jsonl", 2), ("audit-run-2.jsonl", 1)):
        actions = [json.loads(line)["event"]["action"] for line in (tmp_path / name).read_text().splitlines()]
        assert actions.count("amazon-write") == writes
        assert ended("audit", "verify", tmp_path / name).returncode == 0


def test_a_run_alone_writes_the_audit_file_of_the_configuration(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """As no other program writes it, and without a word."""
    run = configured(tmp_path, amazon, audit={"file": "audit.jsonl"})
    result = ended(*run, "--", sys.executable, "-c", ASK, "POST", "/sp/campaigns", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert '"amazon-write"' in (tmp_path / "audit.jsonl").read_text()
    assert [each.name for each in tmp_path.glob("audit*.jsonl")] == ["audit.jsonl"]


WITHOUT_POWERS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Root may read everything; without its capabilities it is a user like any other."""
READ_BOTH = "cat /proc/$$/environ > /dev/null; echo $?; cat /proc/$PPID/environ > /dev/null; echo $?"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_command_cannot_read_the_proxys_memory(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The command reads its own environment, and not that of the proxy, which holds secrets; both have the same
    user."""
    result = ended_process(*WITHOUT_POWERS, *PROGRAM, *configured(tmp_path, amazon), "--", "bash", "-c", READ_BOTH)
    assert (result.returncode, result.stdout) == (0, "0\n1\n"), result.stderr


ASK_ADMIN = """
import os, re, sys, urllib.error, urllib.request
from pathlib import Path
def status(path):
    try:
        return urllib.request.urlopen(os.environ["ADMIN"] + path).status
    except urllib.error.HTTPError as error:
        return error.code
while not (found := re.search(r'"admin_listen":"([0-9.:]+)"', Path(sys.argv[1]).read_text())):
    pass  # a thread writes the log
os.environ["ADMIN"] = "http://" + found[1]
print(status("/status"), status("/readyz"))
"""


def test_a_command_cannot_use_the_admin_listener(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The listener has a key of this run that is never shown, even without one in the configuration; health needs no
    key."""
    log = tmp_path / "proxy.log"
    result = ended(*configured(tmp_path, amazon), "--log", log, "--", sys.executable, "-c", ASK_ADMIN, log)
    assert (result.returncode, result.stdout) == (0, "401 200\n"), result.stderr


def test_the_log_goes_where_it_is_asked_to(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """Whole, and nothing of it in the terminal."""
    log = tmp_path / "proxy.log"
    result = ended(*configured(tmp_path, amazon), "--log", log, "--", "true")
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert {"server_started", "token_refreshed", "server_stopped"} <= {*events}


@pytest.mark.parametrize(
    ("command", "code"), [("nothing-of-this-name", 127), ("/etc/passwd", 126)], ids=["unknown", "no program"]
)
def test_a_command_that_cannot_be_run_is_told(tmp_path: Path, amazon: SimulatedAmazon, command: str, code: int) -> None:
    """With a shell's exit codes and one line."""
    result = ended(*configured(tmp_path, amazon), "--", command)
    assert result.returncode == code
    assert f"ads-proxy: run: {command}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_account_that_cannot_serve_starts_no_command(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The line has the reason, without waiting for what only a person can fix."""
    account = amazon.account(refresh_token="Atzr|nobody-knows-this-one")
    result = ended(*configured(tmp_path, amazon, accounts={"acme": account}), "--", "echo", "started")
    assert (result.returncode, result.stdout) == (1, "")
    assert "ads-proxy: run: acme cannot serve (revoked): " in result.stderr


def test_a_signal_reaches_the_command_and_its_answer_comes_back(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """SIGTERM: the command may finish its work; the proxy serves until then, and ends after it."""
    script = 'trap "echo told; exit 9" TERM; echo begun; while :; do sleep 0.05; done'
    process = ReadyProcess("proxy", *configured(tmp_path, amazon), "--", "bash", "-c", script)
    try:
        until(lambda: "begun\n" in process.output.lines, lambda: process.text)
        process.signal(signal.SIGTERM)
        assert process.wait() == 9
        assert "told\n" in process.output.lines
    finally:
        process.end()


def test_a_command_that_a_signal_ended_gives_a_shells_exit_code(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """128 and the signal's number."""
    assert ended(*configured(tmp_path, amazon), "--", "bash", "-c", "kill -9 $$").returncode == 137


def test_nothing_is_left_when_the_program_is_killed(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """SIGKILL ends the command as well, where the system can tell it."""
    process = ReadyProcess("proxy", *configured(tmp_path, amazon), "--", "bash", "-c", "echo pid $$; exec sleep 600")
    try:
        line: str = until(lambda: next((each for each in process.output.lines if each.startswith("pid ")), ""))
        process.signal(signal.SIGKILL)
        process.wait()
        until(lambda: not Path(f"/proc/{line.split()[1]}").exists())
    finally:
        process.end()


def test_ctrl_c_reaches_the_command_once(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The terminal tells the whole foreground group; passing it on too would make two of it."""
    script = (
        'n=0; trap "n=\\$((n+1))" INT; echo begun; while ! read -t 0.2 line; do :; done; echo "told $n times"; exit 5'
    )
    command = [*PROGRAM, *configured(tmp_path, amazon), "--", "bash", "-c", script]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(command[0], command)
    said = ""

    def read_until(words: str) -> None:
        nonlocal said
        while words not in said:
            said += os.read(terminal, 4096).decode()

    try:
        read_until("begun")
        os.write(terminal, b"\x03")
        read_until("^C")
        os.write(terminal, b"go\n")
        read_until("times")
        assert "told 1 times" in said
        rest = b"".join(iter(lambda: _read_terminal(terminal), b""))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5, said + rest.decode()
    finally:
        os.close(terminal)


def _read_terminal(terminal: int) -> bytes:
    """What a terminal's other side writes; nothing after it ended."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
