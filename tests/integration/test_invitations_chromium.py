"""A person who has never seen the program follows an invitation in a real browser, and the account serves."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.integration.rig import rig
from tests.integration.test_console_chromium import Console
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port, until
from tests.support.programs import require_program
from tests.support.ready_program import ready

pytestmark = [pytest.mark.integration, pytest.mark.chromium]


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the running proxy."""
    command = ready(*arguments, "--config", str(tmp_path / "proxy.yaml"))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_an_invited_person_connects_the_account(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The person goes from the link over Amazon's page to "Done"; clients are served, the link is used, nothing else
    was reachable."""
    port = free_port()
    url = f"http://localhost:{port}"
    invites = {"listen": f"127.0.0.1:{port}", "url": url, "sender": "Example Ltd"}
    state = {"url": f"file:{tmp_path / 'state'}"}
    with rig(tmp_path, signed_in=False, invites=invites, state=state) as running:
        assert running.get("/v2/profiles")[0] == 503
        link = run(tmp_path, "invite", "acme").stdout.strip()
        assert link.startswith(f"{url}/invite/")
        person = Console(browser, running)
        browser.get(link)
        person.see("p", "Example Ltd asks you")
        person.picture("invitation-1-asking")
        person.press("button", "Go on to Amazon")
        person.press("#allow")
        person.see("h1", "Done")
        person.picture("invitation-2-done")
        assert browser.find_elements(By.TAG_NAME, "a") == []
        assert running.get("/v2/profiles")[0] == 200
        browser.get(link)
        person.see("h1", "This link was used already")
        for path in ("/", "/status", "/login/acme", "/metrics"):
            browser.get(url + path)
            person.see("h1", "Unknown link")
        assert "used" in run(tmp_path, "invite", "--list").stdout
        event = running.log.wait_for(lambda line: line.get("event") == "invitation_used")
        assert event["account"] == "acme"
        consent = running.account("acme")["consent"]
        assert (consent["known_by"], consent["phase"]) == ("sign-in", "holding")


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /invite/ {{ proxy_pass http://127.0.0.1:{admin}; proxy_set_header Host $http_host; }}
  }}
}}
"""


@contextlib.contextmanager
def exposed(folder: Path, port: int, admin: str) -> Iterator[None]:
    """nginx on this port, which passes on what docs/how-to/load-balancer.md says: the prefix of the admin listener, and
    no more."""
    program, configuration = require_program("nginx"), folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    given = {"folder": folder, "user": user, "port": port, "admin": urlsplit(admin).port}
    configuration.write_text(NGINX.format(**given))
    child = subprocess.Popen([program, "-c", str(configuration), "-p", str(folder), "-e", str(folder / "error.log")])
    try:
        until(lambda: answers(f"http://localhost:{port}/"))
        yield
    finally:
        child.terminate()
        child.wait(PATIENCE)


def answers(url: str) -> bool:
    """Whether anything is said there."""
    try:
        return fetch(url)[0] > 0
    except OSError:
        return False


@pytest.mark.nginx
def test_an_invited_person_comes_by_the_prefix(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Without a listener of its own: below /invite/ of the admin listener, which has a key, and behind nginx."""
    port = free_port()
    url = f"http://localhost:{port}"
    state, key = {"url": f"file:{tmp_path / 'state'}"}, {"key": "an-admin-key-of-some-length"}
    with (
        rig(tmp_path, signed_in=False, invites={"url": url}, state=state, admin=key) as running,
        exposed(tmp_path, port, running.admin),
    ):
        link = run(tmp_path, "invite", "acme").stdout.strip()
        assert link.startswith(f"{url}/invite/")
        person = Console(browser, running)
        browser.get(link)
        person.see("p", "localhost asks you")
        person.press("button", "Go on to Amazon")
        person.press("#allow")
        person.see("h1", "Done")
        assert running.get("/v2/profiles")[0] == 200
        for path in ("/", "/status", "/console/state", "/login/acme"):
            assert fetch(url + path)[0] == 404
        assert running.admin_get("/status")[0] == 401


def test_the_consoles_button_makes_a_link_that_can_be_taken_back(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A notice has the link; revoked at a terminal, it leads nowhere at once."""
    port = free_port()
    invites = {"listen": f"127.0.0.1:{port}", "url": f"http://localhost:{port}"}
    with rig(tmp_path, invites=invites, state={"url": f"file:{tmp_path / 'state'}"}) as running:
        console = Console(browser, running)
        console.open()
        console.press("[data-account=acme] .invite", "Invite")
        notice = console.see("#notices p", "Send this link to the advertiser of acme").text
        link = notice.rpartition(" ")[2]
        assert urlsplit(link).port == port
        console.see("#invitations-rows tr", "acme")
        browser.get(link)
        console.see("p", "localhost asks you")
        revoked = run(tmp_path, "invite", "--revoke", "acme")
        assert (revoked.returncode, "(acme) is revoked" in revoked.stdout) == (0, True)
        console.press("button", "Go on to Amazon")
        console.see("h1", "This link was revoked")
        assert run(tmp_path, "invite", "--revoke", "acme").returncode == 1
