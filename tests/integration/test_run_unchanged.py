"""Clients with Amazon's own addresses in their code, unchanged: under `ads-proxy run`, and in a shell that has the
variables of `ads-proxy env`."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_run_command import configured, ended
from tests.support.patience import PATIENCE
from tests.support.processes import ReadyProcess, until
from tests.support.programs import ROOT, require_program
from tests.support.ready_program import run_ready
from tests.support.running import Serving, SimulatedAmazon

pytestmark = pytest.mark.integration

PROFILES = "https://advertising-api.amazon.com/v2/profiles"
TOKEN = "https://api.amazon.com/auth/o2/token"
CURL = f"""
token=$(curl -sS --fail-with-body {TOKEN} -d grant_type=refresh_token -d client_id=$AMAZON_ADS_CLIENT_ID \\
  -d client_secret=$AMAZON_ADS_CLIENT_SECRET -d refresh_token=$AMAZON_ADS_REFRESH_TOKEN \\
  | sed 's/.*access_token": *"//; s/".*//')
curl -sS {PROFILES} -H "Authorization: Bearer $token" -H "Amazon-Advertising-API-ClientId: anything"
"""
LOGIN = f"""
import asyncio, json, os
form = {{"grant_type": "refresh_token"}}
form |= {{name: os.environ["AMAZON_ADS_" + name.upper()] for name in ("client_id", "client_secret", "refresh_token")}}
TOKEN, PROFILES = {TOKEN!r}, {PROFILES!r}
def headers(answer):
    return {{"Authorization": "Bearer " + answer["access_token"], "Amazon-Advertising-API-ClientId": "anything"}}
"""
REQUESTS = """
import requests
print(requests.get(PROFILES, headers=headers(requests.post(TOKEN, data=form).json())).text)
"""
URLLIB = """
from urllib.parse import urlencode
from urllib.request import Request, urlopen
answer = json.load(urlopen(TOKEN, urlencode(form).encode()))
print(urlopen(Request(PROFILES, headers=headers(answer))).read().decode())
"""
AIOHTTP = """
import aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.post(TOKEN, data=form) as response:
            answer = await response.json(content_type=None)
        async with session.get(PROFILES, headers=headers(answer)) as response:
            print(await response.text())
asyncio.run(main())
"""
WGET = f"""
token=$(wget -qO- {TOKEN} --post-data "grant_type=refresh_token&client_id=$AMAZON_ADS_CLIENT_ID&\\
client_secret=$AMAZON_ADS_CLIENT_SECRET&refresh_token=$AMAZON_ADS_REFRESH_TOKEN" \\
  | sed 's/.*access_token": *"//; s/".*//')
wget -qO- {PROFILES} --header "Authorization: Bearer $token" --header "Amazon-Advertising-API-ClientId: anything"
"""
PHP = f"""
function ask($url, $options) {{
    $curl = curl_init($url);
    curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true] + $options);
    $answer = curl_exec($curl);
    if ($answer === false) {{ fwrite(STDERR, curl_error($curl)); exit(1); }}
    return $answer;
}}
$form = ["grant_type" => "refresh_token"];
foreach (["client_id", "client_secret", "refresh_token"] as $name)
    $form[$name] = getenv("AMAZON_ADS_" . strtoupper($name));
$token = json_decode(ask("{TOKEN}", [CURLOPT_POSTFIELDS => http_build_query($form)]))->access_token;
$headers = ["Authorization: Bearer $token", "Amazon-Advertising-API-ClientId: anything"];
echo ask("{PROFILES}", [CURLOPT_HTTPHEADER => $headers]);
"""
CLIENTS = {
    "wget": ("bash", "-c", WGET),
    "php": ("php", "-r", PHP),
    "curl": ("bash", "-c", CURL),
    "requests": (sys.executable, "-c", LOGIN + REQUESTS),
    "urllib": (sys.executable, "-c", LOGIN + URLLIB),
    "aiohttp": (sys.executable, "-c", LOGIN + AIOHTTP),
}
KEY = "a-key-of-16-bytes"
LOOKER = {"name": "looker", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "access": "read"}
SHOW = 'echo "$HTTPS_PROXY $SSL_CERT_FILE $JAVA_TOOL_OPTIONS"; ls -ld "$(dirname "$SSL_CERT_FILE")"; '


def _require(client: str) -> None:
    """Skip a test of a program that is not here, where that is permitted."""
    if client in ("wget", "php"):
        require_program(client)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("options", [(), ("--client", "looker")], ids=["no clients", "a client"])
def test_a_client_with_amazons_addresses_needs_no_change(
    client: str, options: tuple[str, ...], tmp_path: Path, amazon: SimulatedAmazon
) -> None:
    """The command logs in and lists the profiles, with placeholders, whether or not the proxy asks for a key."""
    _require(client)
    run = configured(tmp_path, amazon, clients=[LOOKER] if options else [])
    before = amazon.counts()
    result = ended(*run, *options, "--", *CLIENTS[client])
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)) == 3, result.stdout
    assert amazon.counts() != before
    assert result.stderr == ""


def test_a_base_url_is_still_reached_directly(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """NO_PROXY has the proxy's own address."""
    result = ended(*configured(tmp_path, amazon), "--", "bash", "-c", 'curl -sS "$AMAZON_ADS_API_URL/v2/profiles"')
    assert len(json.loads(result.stdout)) == 3, result.stderr


def test_other_hosts_are_refused(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The client sends no request and shows the status alone, so the proxy says on standard error what to do."""
    ask = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_connect}", "https://www.example.com/")
    result = ended(*configured(tmp_path, amazon), "--", *ask)
    assert (result.returncode, result.stdout) == (56, "403"), result.stderr
    (told,) = (json.loads(line) for line in result.stderr.splitlines() if line.startswith("{"))
    assert (told["event"], told["host"]) == ("host_refused", "www.example.com")
    assert "Add it to NO_PROXY" in told["detail"]


def test_an_authority_exists_for_one_run_alone(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """Its files are in a folder that only this user may enter, without a private key, and end with the command."""
    script = (
        SHOW
        + 'grep -rl "PRIVATE KEY" "$(dirname "$SSL_CERT_FILE")" "$HOME" "$TMPDIR"; ls "$(dirname "$SSL_CERT_FILE")"'
    )
    home = tmp_path / "home"
    home.mkdir()
    environ = {"TMPDIR": str(home), "HOME": str(home)}
    first, second = (
        run_ready(tmp_path, (*configured(tmp_path, amazon), "--", "bash", "-c", script), environ) for _ in range(2)
    )
    variables, folder, *files = first.stdout.splitlines()
    proxy, bundle, *java = variables.split()
    assert proxy.startswith("http://127.0.0.1:")
    assert folder.startswith("drwx------")
    assert files == ["bundle.pem", "php.d", "truststore.p12", "wgetrc"], first.stdout
    assert f"-Djavax.net.ssl.trustStore={Path(bundle).parent}/truststore.p12" in java
    assert Path(bundle).parent.parent == home
    assert bundle != second.stdout.split()[1]
    assert not [*home.iterdir()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_files_are_gone_after_a_signal(number: signal.Signals, tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """The command ends by the signal, and the folder with it. A shell would not: it drops one that comes while it waits
    for another program."""
    waiting = "import os, signal; print(os.environ['SSL_CERT_FILE'], flush=True); signal.pause()"
    process = ReadyProcess("proxy", *configured(tmp_path, amazon), "--", sys.executable, "-c", waiting)
    try:
        bundle = Path(until(lambda: next((each for each in process.output.lines if "bundle.pem" in each), "")).strip())
        assert bundle.exists()
        process.signal(number)
        assert process.wait() == 128 + number
        assert not bundle.parent.exists()
    finally:
        process.end()


def test_what_the_environment_loses_is_told(tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """Once, and without the password of the other proxy."""
    run = (*configured(tmp_path, amazon), "--", "bash", "-c", 'echo "$https_proxy $HTTPS_PROXY"')
    result = run_ready(tmp_path, run, {"https_proxy": "http://user:canary@proxy.corp:3128"})
    lower, upper = result.stdout.split()
    assert lower == upper
    assert upper.startswith("http://127.0.0.1:")
    (told,) = result.stderr.splitlines()
    assert told.startswith("ads-proxy: run: HTTPS_PROXY named another proxy")
    assert "canary" not in result.stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_a_shell_with_the_variables_needs_no_more(client: str, tmp_path: Path, amazon: SimulatedAmazon) -> None:
    """`env` leads to the program that runs, as a client with its key."""
    _require(client)
    settings = amazon.configuration(clients=[LOOKER], intercept={"enabled": True, "ca_dir": str(tmp_path / "ca")})
    serving = Serving(tmp_path / "proxy.yaml", settings)
    try:
        (tmp_path / "key").write_text(KEY)
        asked = ("env", "--config", str(serving.path), "--listen", serving.netloc)
        printed = run_ready(tmp_path, (*asked, "--client", "looker", "--key-file", str(tmp_path / "key")), {})
        assert (printed.returncode, printed.stderr) == (0, "")
        login = {"AMAZON_ADS_CLIENT_ID": "looker", "AMAZON_ADS_CLIENT_SECRET": KEY, "AMAZON_ADS_REFRESH_TOKEN": "acme"}
        result = subprocess.run(
            ["sh", "-c", 'eval "$VARIABLES"; exec "$@"', "sh", *CLIENTS[client]],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "VARIABLES": printed.stdout, **login},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert len(json.loads(result.stdout)) == 3, result.stderr
    finally:
        serving.process.end()
