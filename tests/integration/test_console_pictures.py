"""The pictures of the console in docs/: taken of the running program, and still what the page looks like.

`make screenshots` takes them again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.integration.browsing import open_parts
from tests.integration.pictures import Look, differing, look_at, small
from tests.support.processes import fetch, free_port, until
from tests.support.programs import ROOT
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = [pytest.mark.integration, pytest.mark.chromium]

IMAGES = ROOT / "docs" / "images"
STEADY = Path(__file__).with_name("steady.js")
LOOKS = {
    "console-light": Look(1400, 1350, "light"),
    "console-dark": Look(1400, 1350, "dark"),
    "console-narrow-light": Look(360, 1000, "light", 2),
    "console-narrow-dark": Look(360, 1000, "dark", 2),
}
HEADINGS = [
    *("Is everything working?", "What expires next?", "Who was refused?", "What changed?"),
    *("Which invitations are open?", "Accounts", "Are writes frozen?", "Clients in the last 15 minutes"),
    "Accounts in the last 15 minutes",
    *("Writes since the start", "Traffic in the last 15 minutes", "What failed?", "Last requests", "Keys of clients"),
    *("Profiles", "Ads accounts"),
]
MOST_BYTES = 150_000
MOST_DIFFERING = 0.03
"""The share of pixels that may differ: two runs differ in 0.001 of them, a page without one of its lists in 0.07."""
SHOPS = ("aurora-lamps", "birch-baby", "cedar-desk", "delta-audio", "ember-grill", "fjord-knits", "garnet-pets")
REVOKED, UNCONNECTED = "harbor-coffee", "indigo-yoga"
VERDICT = (
    "2 of 9 accounts do not serve: 1 needs a new sign-in (harbor-coffee) and 1 is not connected yet (indigo-yoga)."
)
CAMPAIGN = "application/vnd.spCampaign.v3+json"


def key_of(client: str) -> str:
    return f"key-of-{client}"


def client(name: str, days: int | None = None, **changes: Any) -> dict[str, Any]:
    """A client whose key expires in so many days."""
    key: dict[str, Any] = {"sha256": hashlib.sha256(key_of(name).encode()).hexdigest()}
    if days is not None:
        key["expires"] = str(datetime.now(UTC).date() + timedelta(days=days))
    return {"name": name, "keys": [key], **changes}


@contextlib.contextmanager
def agency(folder: Path) -> Iterator[tuple[Serving, SimulatedAmazon, dict[str, Any]]]:
    """A proxy with the accounts of an agency's customers; what was made of each user of Amazon's."""
    with simulated_amazon() as amazon:
        users = {name: amazon.control("users", {"user": name, "profiles_per_region": 2}) for name in (*SHOPS, REVOKED)}
        accounts = {name: amazon.account(refresh_token=user["refresh_token"]) for name, user in users.items()}
        accounts["cedar-desk"]["consented_on"] = str(datetime.now(UTC).date() - timedelta(days=140))
        accounts[UNCONNECTED] = {**amazon.account()}
        del accounts[UNCONNECTED]["refresh_token"]
        invites = {"listen": f"127.0.0.1:{free_port()}", "url": "https://consent.example.com"}
        clients = [client("reporting", 90), client("bids", 6), client("dashboard", None, access="read")]
        settings = amazon.configuration(
            accounts=accounts,
            clients=clients,
            invites=invites,
            audit={"file": str(folder / "audit.jsonl")},
            state={"url": f"file:{folder / 'state'}"},
        )
        with serving(folder, settings) as running:
            for name in users:
                running.until_listed(name)
            yield running, amazon, users


def ask(running: Serving, name: str, path: str, body: bytes | None = None, profile: str = "") -> int:
    """A client's request; the status of its response."""
    headers = {"X-Ads-Proxy-Key": key_of(name), "Content-Type": CAMPAIGN, "Accept": CAMPAIGN}
    return fetch(running.proxy_url + path, body, {**headers, "Amazon-Advertising-API-Scope": profile})[0]


def happen(running: Serving, amazon: SimulatedAmazon, users: dict[str, Any]) -> None:
    """A day in the life of the agency, in a second."""
    profiles = {name: user["profiles"]["na"][0] for name, user in users.items()}
    amazon.fault({"status": 429, "headers": {"Retry-After": "1"}}, times=1, path="/sd/campaigns")
    assert ask(running, "reporting", "/sd/campaigns", profile=profiles["fjord-knits"]) == 429
    for name in SHOPS:
        for _ in range(4):
            assert ask(running, "reporting", f"/@{name}/v2/profiles") == 200
    spring = {"name": "Spring", "state": "PAUSED", "targetingType": "MANUAL", "startDate": "2027-03-01"}
    new = json.dumps({"campaigns": [spring | {"budget": {"budget": 10, "budgetType": "DAILY"}}]}).encode()
    for name in ("birch-baby", "birch-baby", "birch-baby", "delta-audio"):
        assert ask(running, "bids", "/sp/campaigns", new, profiles[name]) == 207
    for _ in range(3):
        assert ask(running, "dashboard", "/sp/campaigns", new, profiles["ember-grill"]) == 403
    assert ask(running, "unknown", "/v2/profiles") == 401
    control = {"X-Ads-Proxy-Console": "1"}
    assert fetch(f"{running.admin}/console/accounts/{UNCONNECTED}/invite", b"", control)[0] == 200
    revoked = {"refresh_token": users[REVOKED]["refresh_token"], "access_tokens": True}
    amazon.control("credentials/revoke", revoked)
    assert ask(running, "reporting", "/sd/campaigns", profile=profiles[REVOKED]) in (401, 503)
    running.until(lambda: running.account(REVOKED)["state"] == "revoked")
    running.until(lambda: not running.account(REVOKED)["serving"])
    running.until(lambda: has_counted(json.loads(running.admin_get("/console/state")[1])))


def has_counted(state: dict[str, Any]) -> bool:
    """Whether the console counts all of it: a busy program counts again only after up to ten seconds."""
    requests = {client["name"]: client["requests"] for client in state["clients"]}
    return bool(state["verdict"]["sentence"] == VERDICT and requests["reporting"] == 30)


def open_console(browser: webdriver.Chrome, running: Serving, look: Look) -> None:
    """Open the console at a certain moment, for a reader in Berlin."""
    look_at(browser, look)
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    browser.execute_cdp_cmd("Emulation.setLocaleOverride", {"locale": "en-GB"})
    browser.get(running.admin)
    tables = ("invitations", "request", "profile", "ads")
    until(lambda: all(browser.find_elements(By.CSS_SELECTOR, f"#{table}-rows tr") for table in tables))


def shot(browser: webdriver.Chrome, look: Look) -> bytes:
    size = {"x": 0, "y": 0, "width": look.width, "height": look.height, "scale": 1}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": size})
    return base64.b64decode(taken["data"])


def shown(browser: webdriver.Chrome, selector: str) -> list[str]:
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]


def test_the_pictures_in_docs_show_the_console(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Light and dark, wide and narrow: the same size, the same sections, and hardly a pixel that differs."""
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": STEADY.read_text(encoding="utf-8")})
    with agency(tmp_path) as (running, amazon, users):
        happen(running, amazon, users)
        for name, look in LOOKS.items():
            open_console(browser, running, look)
            assert shown(browser, "h2") == HEADINGS
            taken = shot(browser, look)
            browser.execute_script("document.querySelector('#expiring-section').remove()")
            without = shot(browser, look)
            image = IMAGES / f"{name}.png"
            (tmp_path / image.name).write_bytes(small(browser, taken))
            if os.environ.get("WRITE_SCREENSHOTS"):
                image.parent.mkdir(exist_ok=True)
                image.write_bytes((tmp_path / image.name).read_bytes())
            assert image.stat().st_size < MOST_BYTES
            assert differing(browser, image.read_bytes(), taken) < MOST_DIFFERING, (
                f"run `make screenshots` and look: {name}"
            )
            assert differing(browser, image.read_bytes(), without) > MOST_DIFFERING


def test_an_owner_sees_first_what_needs_them(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Each question has its answer, in words and in the reader's time zone."""
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": STEADY.read_text(encoding="utf-8")})
    with agency(tmp_path) as (running, amazon, users):
        happen(running, amazon, users)
        open_console(browser, running, LOOKS["console-light"])
        assert shown(browser, "#verdict") == [VERDICT]
        assert shown(browser, "#expiring-rows tr")[0].startswith("Key of bids")
        assert "ads-proxy keys new bids" in shown(browser, "#expiring-rows tr")[0]
        assert any(
            "Consent of cedar-desk" in line and "in 224 days" in line for line in shown(browser, "#expiring-rows tr")
        )
        refused = [line for line in shown(browser, "#refused-rows tr") if line.startswith("dashboard")]
        assert "403 not-permitted" in refused[0]
        assert refused[0].split()[-4:] == ["3", "5", "min", "ago"]
        changed = shown(browser, "#changes-rows tr")
        assert changed[0].startswith("Account revoked")
        assert any(
            "CreateSponsoredProductsCampaigns by bids, birch-baby, 1" in line.replace("\n", " ") for line in changed
        )
        open_parts(browser)
        titles = ["Client", "Requests", "4xx", "429", "5xx", "No answer", "p99", "Last request", "Writes"]
        assert shown(browser, "#client-box thead th") == titles
        assert "reporting 30 0 1 1 0 312 ms 13 min ago\nFreeze" in shown(browser, "#client-rows tr")
        assert [UNCONNECTED in line for line in shown(browser, "#invitations-rows tr")] == [True]
        time = browser.find_element(By.CSS_SELECTOR, "#changes-rows time")
        assert (time.text, time.get_attribute("title")) == ("11:29:00 CET", "2027-01-15 10:29:00 UTC")
        assert shown(browser, "#cards .name")[:2] == [REVOKED, UNCONNECTED]


def test_an_empty_console_says_what_will_appear(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Each list that has nothing yet says what it is for, and never shows an empty table."""
    with simulated_amazon() as amazon, serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        browser.get(running.admin)
        until(lambda: shown(browser, "#verdict") == ["Everything works. The only account serves."])
        for name, words in {
            "refused": "appears here within two seconds",
            "changes": "Set audit.file to see here who changed what",
            "invitations": "Set invites.url",
        }.items():
            assert words in shown(browser, f"#{name}-words")[0]
            assert not browser.find_element(By.ID, f"{name}-box").is_displayed()
        open_parts(browser)
        assert "Each bar will be the requests of ten seconds" in shown(browser, "#traffic-words")[0]
        assert json.loads(running.admin_get("/console/state")[1])["changes"] is None
