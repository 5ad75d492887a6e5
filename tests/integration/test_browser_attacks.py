"""Pages of other origins, in a real browser, try everything they can against both listeners, and get nowhere.

What counts is what Amazon's side saw, and that the proxy, not the browser's good will, refused.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.browsing import chromium
from tests.integration.rig import Rig, rig
from tests.support.processes import until

pytestmark = [pytest.mark.integration, pytest.mark.chromium]
REBOUND = "rebound.test"

ATTACKS = """<!doctype html><title>busy</title><body><script>
const wait = (element) => new Promise((done) => { element.onload = element.onerror = done; setTimeout(done, 3000); });
const put = async (name, set) => {
  const element = document.createElement(name);
  Object.assign(element, set);
  const over = wait(element);
  document.body.append(element);
  await over;
};
const sent = async (url, options) => {
  try {
    const answer = await fetch(url, options);
    return answer.type === "opaque" ? "opaque" : await answer.text();
  } catch (error) {
    return "blocked";
  }
};
const form = async (url, type) => {
  const frame = Object.assign(document.createElement("iframe"), { name: "f" + Math.random() });
  document.body.append(frame);
  const element = Object.assign(document.createElement("form"), { action: url, method: "post", target: frame.name });
  element.enctype = type;
  element.append(Object.assign(document.createElement("input"), { name: '{"a":"', value: '"}' }));
  document.body.append(element);
  const over = wait(frame);
  element.submit();
  await over;
};
(async () => {
  const read = [];
  for (const url of TARGETS) {
    read.push(await sent(url));
    read.push(await sent(url, { mode: "no-cors" }));
    read.push(await sent(url, { method: "POST", mode: "no-cors", body: "{}" }));
    read.push(await sent(url, { method: "POST", headers: { "X-Ads-Proxy-Console": "1" } }));
    read.push(await sent(url, { method: "DELETE" }));
    await put("img", { src: url });
    await put("script", { src: url });
    await put("iframe", { src: url });
    const events = new EventSource(url);
    await wait(events);
    events.close();
    await form(url, "application/x-www-form-urlencoded");
    await form(url, "text/plain");
  }
  window.read = read;
  document.title = "done";
})();
</script>"""


class Attacker(http.server.BaseHTTPRequestHandler):
    """Serves the attack page at every path."""

    page = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Says nothing."""


@pytest.fixture(scope="module")
def kept_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser for which the attacker's name leads to this machine, and which does not stop local requests itself."""
    arguments = (
        f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades",
    )
    with chromium(tmp_path_factory.mktemp("chromium"), *arguments) as driver:
        yield driver


@contextlib.contextmanager
def attackers_page(page: str) -> Iterator[str]:
    """The address of a page of another origin."""
    handler = type("Page", (Attacker,), {"page": page.encode()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{REBOUND}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def attack(browser: webdriver.Chrome, targets: list[str]) -> list[str]:
    """Lets the page of another origin do its worst, and gives what its scripts could read."""
    with attackers_page(ATTACKS.replace("TARGETS", json.dumps(targets))) as address:
        browser.get(address)
        until(lambda: browser.title == "done")
        read: list[str] = browser.execute_script("return window.read")
        return read


def seen_by_amazon(running: Rig) -> int:
    """How many requests reached the simulator's API."""
    _, body = running.get_control("/control/requests")
    return len(json.loads(body))


def refused(running: Rig, reason: str) -> int:
    """How often the proxy refused for a reason."""
    lines = running.admin_get("/metrics")[1].decode().splitlines()
    line = next(line for line in lines if line.startswith(f'ads_proxy_refused_total{{reason="{reason}"}}'))
    return int(float(line.split()[-1]))


def settled(running: Rig) -> int:
    """The number of requests at Amazon's side once profiles and ads accounts are listed in every region."""
    running.until_listed()
    return seen_by_amazon(running)


def test_another_origins_page_gets_nothing_from_the_tools_listener(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """fetch, forms, images, scripts, frames and event streams are all refused before Amazon sees them."""
    with rig(tmp_path) as running:
        before = settled(running)
        read = attack(browser, [f"{running.proxy_url}/v2/profiles", f"{running.proxy_url}/sp/campaigns/list"])
        assert set(read) <= {"blocked", "opaque"}
        until(lambda: refused(running, "cross-origin") >= 10)
        assert seen_by_amazon(running) == before


def test_another_origins_page_gets_nothing_from_the_admin_listener(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Nothing is read, no token is refreshed, and no session begins or ends."""
    with rig(tmp_path) as running:
        before = settled(running)
        paths = ("/status", "/console/accounts/acme/refresh", "/console/session/end", "/login/acme")
        read = attack(browser, [running.admin + path for path in paths])
        assert set(read) <= {"blocked", "opaque"}
        assert seen_by_amazon(running) == before
        assert running.account("acme")["generation"] == 1


def test_a_rebound_name_is_answered_by_nobody(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A name of the attacker's that leads to this machine gets 421 from both listeners, from its own pages too."""
    with rig(tmp_path) as running:
        before = settled(running)
        for origin in (running.proxy_url, running.admin):
            port = origin.rpartition(":")[2]
            for path in ("/v2/profiles", "/status", "/login/acme", "/"):
                browser.get(f"http://{REBOUND}:{port}{path}")
                body = browser.find_element(By.TAG_NAME, "body").text
                assert "This host name is not served here" in body
                script = "return fetch(arguments[0]).then(a => a.status)"
                assert browser.execute_script(script, path) == 421
        assert seen_by_amazon(running) == before


@pytest.mark.parametrize("how", ["a link", "a script", "a form", "a refresh"])
def test_another_site_cannot_begin_a_sign_in(browser: webdriver.Chrome, tmp_path: Path, how: str) -> None:
    """Whatever leads there, the person reads which account it is about; only their own click goes on to Amazon."""
    with rig(tmp_path) as running:
        target = running.admin.replace("127.0.0.1", "localhost") + "/login/acme"
        pages = {
            "a link": f"<a id=go href='{target}'>go</a><script>document.getElementById('go').click()</script>",
            "a script": f"<script>location = '{target}'</script>",
            "a form": f"<form id=go action='{target}'></form><script>document.getElementById('go').submit()</script>",
            "a refresh": f"<meta http-equiv=refresh content='0; url={target}'>",
        }
        with attackers_page(f"<!doctype html><body>{pages[how]}") as address:
            browser.get(address)
            until(lambda: browser.current_url.startswith(target))
            heading = until(lambda: browser.find_elements(By.TAG_NAME, "h1"))
        assert heading[0].text == "Connect acme?"
        assert [cookie["name"] for cookie in browser.get_cookies() if "sign_in" in cookie["name"]] == []
        browser.find_element(By.CSS_SELECTOR, "main button").click()
        until(lambda: browser.find_elements(By.ID, "allow"))
        assert running.account("acme")["generation"] == 1


def test_the_question_is_asked_behind_the_key_too(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Another site leads to 127.0.0.1: the key is asked for once, then the person reads which account it is about."""
    key = "an-admin-key-of-some-length"
    with rig(tmp_path, admin={"key": key}) as running:
        target = f"{running.admin}/login/acme"
        with attackers_page(f"<!doctype html><body><script>location = '{target}'</script>") as address:
            browser.get(address)
            until(lambda: browser.find_elements(By.ID, "key"))[0].send_keys(key, Keys.ENTER)
            until(lambda: "Connect acme?" in browser.title)
        browser.find_element(By.CSS_SELECTOR, "main button").click()
        until(lambda: browser.find_elements(By.ID, "allow"))
