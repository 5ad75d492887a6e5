"""The console while news come in by themselves: what a person reads, types or has selected stays where it is.

News is asked for every two seconds. `refreshed` waits until that has happened so often: no test waits for a time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.integration.rig import Rig, rig
from tests.integration.test_console_chromium import Console
from tests.integration.test_console_requests import CLIENTS, by, scoped
from tests.support.processes import until

pytestmark = [pytest.mark.integration, pytest.mark.chromium]
ASKED = """
performance.setResourceTimingBufferSize(100000);  // it forgets all after 250, a page has that many in some minutes
return performance.getEntriesByType('resource').filter(e => e.name.includes(arguments[0])).length;
"""
SELECTED = "return getSelection().toString()"
SAID = "return window.said"
LISTEN = """
window.said = [];
window.live = [...document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]')];
for (const place of window.live) {
  new MutationObserver(() => window.said.push(place.textContent))
    .observe(place, {childList: true, characterData: true, subtree: true});
}
return window.live.map(place => place.id);
"""
SELECT = """
const range = document.createRange();
range.selectNodeContents(document.querySelector(arguments[0]));
getSelection().removeAllRanges();
getSelection().addRange(range);
"""


def refreshed(browser: webdriver.Chrome, times: int = 2) -> None:
    """Waits until state and requests have been asked for, answered and shown so many times more."""
    paths = ("/console/state", "/console/requests")
    before = {path: browser.execute_script(ASKED, path) for path in paths}
    until(lambda: all(browser.execute_script(ASKED, path) >= before[path] + times for path in paths))


def opened(browser: webdriver.Chrome, running: Rig) -> Console:
    """The console, with some requests in it, and all lists."""
    running.until_listed()
    for number in range(40):
        assert running.get(f"/v2/profiles?number={number}", by("reporting"))[0] == 200
    console = Console(browser, running)
    console.open()
    console.see("#client-rows tr", "reporting")
    console.see("#profile-rows tr")
    console.see("#ads-rows tr")
    until(lambda: browser.execute_script("return document.querySelectorAll('#request-rows tr').length") == 40)
    return console


def test_what_is_typed_chosen_and_focused_stays(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Filters and searches keep their text, the focus its element, and the keyboard goes on typing."""
    with rig(tmp_path, clients=CLIENTS) as running:
        console = opened(browser, running)
        console.see("#filter-client").send_keys("reporting")
        console.see("#words").send_keys(running.simulator["profiles"]["na"][0])
        console.see("#found", "1 found")
        operation = console.see("#filter-operation")
        operation.send_keys("list")
        console.see("#requests-found", "40 of the last")
        running.get("/v2/profiles", by("reporting"))
        console.see("#requests-found", "41 of the last")
        refreshed(browser)
        assert browser.switch_to.active_element == operation
        browser.switch_to.active_element.send_keys("Profiles")
        assert operation.get_attribute("value") == "listProfiles"
        assert console.see("#filter-client").get_attribute("value") == "reporting"
        copy = console.see("#profile-rows button", "curl")
        copy.send_keys(Keys.SHIFT)
        refreshed(browser)
        assert browser.switch_to.active_element == copy


SELECTORS = (
    "#client-rows th",
    "#account-rows th",
    "#key-rows code",
    "#request-rows code",
    "#failures .asked",
    "[data-account=acme] .profiles",
    "#profile-rows code",
)


def test_a_selection_stays_while_numbers_change(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The selected text is still selected after requests have come in, wherever on the page it is."""
    with rig(tmp_path, clients=CLIENTS) as running:
        running.until_listed()
        running.get("/v2/profiles")
        console = Console(browser, running)
        assert running.get("/v2/profiles", by("reporting"))[0] == 200
        console.open()
        console.see("#request-rows tr", "reporting")
        console.see("#profile-rows tr")
        console.see("#failures .failure")
        selected, kept = {}, {}
        for number, selector in enumerate(SELECTORS, 2):
            browser.execute_script(SELECT, selector)
            selected[selector] = browser.execute_script(SELECTED)
            assert selected[selector]
            assert running.get("/v2/profiles", by("reporting"))[0] == 200
            console.see("#client-rows tr", f"reporting {number} ")
            console.see("#requests-found", f"{number + 1} of the last")
            refreshed(browser, 1)
            kept[selector] = browser.execute_script(SELECTED)
        assert kept == selected


def test_what_is_read_does_not_move(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """In a scrolled list of requests, the row being read stays where it is as others come in."""
    with rig(tmp_path, clients=CLIENTS) as running:
        console = opened(browser, running)
        place = """
        const box = document.getElementById('requests-box'), row = document.querySelectorAll('#request-rows tr')[20];
        window.read ??= (box.scrollIntoView(), box.scrollTop = row.offsetTop, row);
        return [Math.round(window.read.getBoundingClientRect().top - box.getBoundingClientRect().top), box.scrollTop];
        """
        before, scrolled = browser.execute_script(place)
        assert scrolled > 0
        for _ in range(3):
            running.get("/v2/profiles", by("reporting"))
        console.see("#requests-found", "43 of the last")
        refreshed(browser)
        after, _ = browser.execute_script(place)
        assert abs(after - before) <= 1


def test_nobody_is_asked_while_nobody_looks(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Behind another tab the page asks for nothing, and at once when it is looked at again."""
    note = """
    window.times = {};
    const note = () => window.times[document.visibilityState] = performance.now();
    document.addEventListener('visibilitychange', note, true);  // before the page's own listener
    """
    with rig(tmp_path, clients=CLIENTS) as running:
        console = opened(browser, running)
        browser.execute_script(note)
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        console.open()
        console.see("#client-rows tr", "reporting")
        refreshed(browser, times=3)
        browser.switch_to.window(first)
        until(lambda: browser.execute_script("return window.times.visible !== undefined"))
        times: dict[str, float] = browser.execute_script("return window.times")
        assert times["visible"] - times["hidden"] > 4000
        begun = "return performance.getEntriesByType('resource').map(e => [e.name, e.startTime])"
        entries: list[tuple[str, float]] = browser.execute_script(begun)
        assert [name for name, at in entries if times["hidden"] < at < times["visible"]] == []
        until(lambda: any("/console/state" in name and at >= times["visible"] for name, at in asked(browser, begun)))


def asked(browser: webdriver.Chrome, script: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = browser.execute_script(script)
    return found


def test_a_screen_reader_is_told_news_and_nothing_else(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Requests and numbers that come in are silent, and so is a kind of failure that comes again."""
    with rig(tmp_path, clients=CLIENTS) as running:
        console = opened(browser, running)
        live: list[str] = browser.execute_script(LISTEN)
        assert live == ["said", "notices", "account-found", "found", "ads-found"]
        for _ in range(2):
            running.control("/control/faults", {"match": {"path": "/sd/campaigns"}, "fault": {"status": 500}})
            running.get("/sd/campaigns", scoped(running, "reporting"))
            running.get("/v2/profiles", by("reporting"))
            console.see("#failures .failure", "500 ")
            refreshed(browser)
        console.see("#failures .failure", "2 times")
        assert browser.execute_script(SAID) == ["New failures: 500 failed-at-amazon · acme."]


PAGES = """
const real = window.fetch;
window.fetch = async (path, options) => {
  const answer = await real(path, options);
  if (!path.startsWith('/console/state')) return answer;
  const page = Number(new URL(path, location).searchParams.get('page'));
  const state = {...await answer.json(), page, pages: 3};
  await window.held;
  return new Response(JSON.stringify(state));
};
"""
HOLD = "window.held = new Promise(release => window.release = release)"
IS_ASKING = "return polling !== null"


def test_a_page_turned_while_news_are_on_their_way_is_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The answer that was asked for before the click shows the page before; it does not undo the click."""
    with rig(tmp_path, clients=CLIENTS) as running:
        console = opened(browser, running)
        browser.execute_script(PAGES)
        console.see("#account-page", "Page 1 of 3")
        browser.execute_script(HOLD)
        until(lambda: browser.execute_script(IS_ASKING))
        console.see("#next-accounts").click()
        browser.execute_script("window.release(); window.held = null")
        console.see("#account-page", "Page 2 of 3")


CHANGES = """
const change = (account, outcome) => ({
  at: '2027-01-15T10:30:00.000Z', what: 'Account pending', detail: '', who: '', account, place: '', outcome, count: 1,
});
const table = TABLES.find(each => each.id === 'changes');
const shown = () => [...document.querySelectorAll('#changes-rows .line')].map(line => line.textContent);
const found = [];
for (let times = 0; times < 3; times += 1) {
  showTable(table, {...state, changes: ['c', 'b', 'a'].map(name => change(name, 'success'))});
  found.push(shown().join());
}
const request = (path) => ({...arguments[0], path});
const paths = () => [...document.querySelectorAll('#request-rows code')].map(code => code.textContent).join();
for (let times = 0; times < 3; times += 1) {
  showRequests({known: 3, total: 3, requests: ['/c', '/b', '/a'].map(request)});
  found.push(paths());
}
return found;
"""


def test_changes_of_one_moment_keep_their_rows(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A reload that repairs several accounts changes all of them at once; each stays in the table."""
    with rig(tmp_path, clients=CLIENTS) as running:
        opened(browser, running)
        request = json.loads(running.admin_get("/console/requests")[1])["requests"][0]
        assert browser.execute_script(CHANGES, request) == ["c,b,a"] * 3 + ["GET /c,GET /b,GET /a"] * 3


LATE = """
const done = arguments[0], real = window.fetch, release = [];
const words = (typed) => { document.getElementById('words').value = typed; };
window.fetch = (path) => new Promise(resolve => release.push(() => {
  const found = path.includes('search=new') ? {total: 1, profiles: []} : {total: 9, profiles: []};
  resolve(new Response(JSON.stringify(found)));
}));
words('old');
const first = findProfiles();
words('new');
const second = findProfiles();
release[1]();
second.then(() => release[0]());
first.then(() => { window.fetch = real; done(document.getElementById('found').textContent); });
"""


def test_a_late_answer_to_a_search_shows_nothing(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The results belong to the words in the field, also if an earlier answer comes last."""
    with rig(tmp_path, clients=CLIENTS) as running:
        opened(browser, running)
        assert browser.execute_async_script(LATE) == "1 found, the first 0 shown."


SILENCE = """
AbortSignal.timeout = () => {
  const ended = new AbortController();
  setTimeout(() => ended.abort(), 0);  // the time is over at once
  return ended.signal;
};
window.fetch = (path, {signal}) => new Promise((_, reject) => signal?.addEventListener('abort', reject));
"""


def test_a_proxy_that_is_silent_is_told(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A connection that is lost without a word, as by the sleep of a laptop, is not waited for without end."""
    with rig(tmp_path, clients=CLIENTS) as running:
        console = opened(browser, running)
        browser.execute_script(SILENCE)
        console.see("#notices", "The proxy does not answer.")


AGAIN = """
const done = arguments[0], real = window.fetch;
let searches = 0;
window.fetch = async (path, options) => {
  if (path.startsWith('/console/profiles')) {
    searches += 1;
    if (searches === 1) throw new TypeError('the connection was lost');
  }
  const answer = await real(path, options);
  if (!path.startsWith('/console/state')) return answer;
  const state = await answer.json();
  state.accounts[0].profiles.fe = 99;
  return new Response(JSON.stringify(state));
};
(async () => {
  await polling;
  await poll();
  await poll();
  done(searches);
})();
"""


def test_lists_are_asked_for_again_after_a_lost_connection(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The lists follow the state; where they could not be asked for, the next look at the state does."""
    with rig(tmp_path, clients=CLIENTS) as running:
        opened(browser, running)
        assert browser.execute_async_script(AGAIN) == 2
