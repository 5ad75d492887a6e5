"""The state store under the running program: sign-ins that arrive, restarts, wrong keys, and disks that fail."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import ReadyProcess
from tests.support.programs import ROOT, do_without
from tests.support.ready_program import ready
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

SCOPE = "Amazon-Advertising-API-Scope"


class Terminal:
    """A command on a pseudo-terminal, as a person uses it."""

    def __init__(self, *command: str | Path) -> None:
        self._master, slave = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ADS_PROXY_")}
        self.child = subprocess.Popen(
            [str(part) for part in command], stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment
        )
        os.close(slave)
        self.shown = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        """What is shown, as soon as it matches; the end of the program counts as the end of what is shown."""
        while not (found := re.search(pattern, self.shown)):
            try:
                piece = os.read(self._master, 4096)
            except OSError:
                piece = b""
            assert piece, f"the program ended: {self.shown}"
            self.shown += piece.decode().replace("\r\n", "\n")
        return found

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def finish(self) -> int:
        with contextlib.suppress(OSError):
            while piece := os.read(self._master, 4096):
                self.shown += piece.decode().replace("\r\n", "\n")
        os.close(self._master)
        return self.child.wait(PATIENCE)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def allow(url: str, user: str = "default") -> str:
    """Press "Allow" on the simulator's sign-in page; gives the address where the browser lands."""
    given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    form = urlencode({**given, "decision": "allow", "user": user}).encode()
    try:
        urllib.request.build_opener(_Stay).open(url.partition("?")[0], form, timeout=PATIENCE)
    except urllib.error.HTTPError as answer:
        with answer:
            return str(answer.headers["Location"])
    raise AssertionError("the sign-in page did not lead anywhere")


def sign_in(running_from: Path, user: str = "default", *options: str) -> str:
    """`ads-proxy login acme` from beginning to end; what it showed."""
    terminal = Terminal(*ready("login", "acme", "--no-browser", "--config", str(running_from), *options))
    url = terminal.read_until(r"(http://\S+/ap/oa\?\S+)")[1]
    terminal.read_until("press Enter")
    terminal.type(allow(url, user))
    assert terminal.finish() == 0, terminal.shown
    return terminal.shown


def configuration(amazon: SimulatedAmazon, directory: Path, **changes: Any) -> dict[str, Any]:
    """The account `acme` with a state on disk, and without a refresh token."""
    account = {key: value for key, value in amazon.account().items() if key != "refresh_token"}
    return amazon.configuration(accounts={"acme": account}, state={"url": f"file:{directory}"}, **changes)


def test_a_terminal_sign_in_is_noticed_at_once_and_outlives_a_restart(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With nothing but client id and secret: 503 that says how to sign in, then 200, and 200 after a restart."""
    settings = configuration(amazon, tmp_path / "state")
    with serving(tmp_path, settings) as running:
        status, body = running.get("/v2/profiles")
        assert status == 503
        assert "ads-proxy login acme" in json.loads(body)["detail"]
        assert running.admin_get("/readyz")[0] == 503
        shown = sign_in(running.path)
        assert "'acme' is connected" in shown
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        assert running.account()["refresh_token_source"] == "sign-in"
        running.until_listed()
        running.stop()
    with serving(tmp_path, settings) as running:
        running.until_ready()
        assert running.get("/v2/profiles")[0] == 200
    assert amazon.counts()["token_by_grant"]["authorization_code"] == 1


def test_another_person_signing_in_brings_that_persons_profiles(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The token changes hands while the program runs: the profiles of the person before are forgotten."""
    mine = amazon.control("users", {"user": "second"})["profiles"]["eu"][0]
    with serving(tmp_path, configuration(amazon, tmp_path / "state")) as running:
        sign_in(running.path)
        running.until_listed()
        assert mine not in {profile["id"] for profile in running.status()["profiles"]}
        sign_in(running.path, "second", "--replace")
        running.until(lambda: {p["id"] for p in running.status()["profiles"] if p["region"] == "eu"} == {mine})
        assert running.get("/sd/campaigns", {SCOPE: mine})[0] == 200


def serve_and_end(tmp_path: Path, running: dict[str, Any]) -> tuple[int, str]:
    """The exit code and the output of a `serve` that ends by itself."""
    process = ReadyProcess("proxy", "serve", "--config", tmp_path / "proxy.yaml", **running)
    try:
        return process.wait(), process.text
    finally:
        process.end()


@pytest.mark.parametrize("second", ["another-key-of-16-bytes-or-more", None])
def test_a_wrong_or_missing_state_key_refuses_to_start(
    amazon: SimulatedAmazon, tmp_path: Path, second: str | None
) -> None:
    """The start ends with one line of advice, and leaves the state as it is, which the right key still opens."""
    directory = tmp_path / "state"
    amazon.control("settings", {"rotation": "at_once"})

    def settings(key: str | None) -> dict[str, Any]:
        state = {"url": f"file:{directory}", **({"key": key} if key else {})}
        return amazon.configuration(state=state)

    with serving(tmp_path, settings("the-right-key-of-16-bytes-or-more")) as running:
        running.until_ready()
        running.stop()
    kept = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    (tmp_path / "proxy.yaml").write_text(json.dumps(settings(second)))
    code, text = serve_and_end(tmp_path, {})
    assert code == 1
    assert text.strip().count("\n") == 0
    assert "state.key" in text
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == kept
    with serving(tmp_path, settings("the-right-key-of-16-bytes-or-more")) as running:
        running.until_ready()
        assert running.account()["refresh_token_source"] == "store"


@contextlib.contextmanager
def tiny_disk(place: Path) -> Iterator[Path]:
    """A file system of 64 KiB in memory, where this user may mount one."""
    place.mkdir()
    options = ("-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(place))
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False) if os.geteuid() == 0 else None
    if mounted is None or mounted.returncode:
        if mounted is not None and b"permission denied" not in mounted.stderr.lower():
            do_without(f"a small file system could not be mounted: {mounted.stderr.decode()}")
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    return filler


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_is_told_and_loses_nothing(
    amazon: SimulatedAmazon, tmp_path: Path, trouble: str
) -> None:
    """Rotated tokens stay in memory, shown as unpersisted, while requests are served; once the disk works, the newest
    is kept."""
    amazon.control("settings", {"rotation": "at_once", "access_token_lifetime": 4})
    with tiny_disk(tmp_path / "disk") as disk:
        settings = amazon.configuration(state={"url": f"file:{disk}"})
        with serving(tmp_path, settings) as running:
            running.until_listed()
            filler = disk / "filler"
            if trouble == "full":
                fill(disk)
            else:
                remount(disk, "ro")
            running.until(lambda: running.metric("token_unpersisted", account="acme") == 1)
            generation = running.account()["generation"]
            assert running.account()["unpersisted"] is True
            assert running.told("token_unpersisted", unpersisted=True)
            assert running.get("/v2/profiles")[0] == 200
            running.until(lambda: running.account()["generation"] > generation)
            assert running.get("/v2/profiles")[0] == 200
            if trouble == "full":
                filler.unlink()
            else:
                remount(disk, "rw")
            running.until(lambda: running.metric("token_unpersisted", account="acme") == 0)
            amazon.control("settings", {"access_token_lifetime": 3600})
            running.stop()
        with serving(tmp_path, settings) as running:
            running.until_ready()
            assert running.account()["refresh_token_source"] == "store"
            assert running.get("/v2/profiles")[0] == 200


def test_a_read_only_disk_at_the_start_is_said_and_served_from(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """What was kept is read; that nothing new can be kept is a note."""
    amazon.control("settings", {"rotation": "grace"})
    with tiny_disk(tmp_path / "disk") as disk:
        settings = amazon.configuration(state={"url": f"file:{disk}"})
        with serving(tmp_path, settings) as running:
            running.until_ready()
            running.stop()
        remount(disk, "ro")
        with serving(tmp_path, settings) as running:
            running.until_ready()
            assert any("read-only" in note for note in running.started["notes"])
            assert running.get("/v2/profiles")[0] == 200
            running.until(lambda: running.account()["unpersisted"])
        remount(disk, "rw")


def served_by(running: Serving) -> str:
    """Where the refresh token in force came from."""
    return str(running.account()["refresh_token_source"])


def test_a_new_secret_file_beats_what_the_store_has(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Rotated tokens win over the configured one, until that changes: then it wins, across a restart too."""
    secret = tmp_path / "refresh"
    secret.write_text(amazon.facts["refresh_token"])
    amazon.control("settings", {"rotation": "at_once"})
    accounts = {"acme": amazon.account(refresh_token={"file": str(secret)})}
    settings = amazon.configuration(accounts=accounts, state={"url": f"file:{tmp_path / 'state'}"})
    with serving(tmp_path, settings) as running:
        running.until_ready()
        assert served_by(running) == "store"
        running.stop()
    second = amazon.control("users", {"user": "second"})
    secret.write_text(second["refresh_token"])
    with serving(tmp_path, settings) as running:
        running.until_ready()
        running.until_listed()
        assert {p["id"] for p in running.status()["profiles"]} == {ids[0] for ids in second["profiles"].values()}


def test_a_damaged_file_stops_no_other_account(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The file is set aside and reported; the other account is served, and its own needs a sign-in."""
    settings = configuration(amazon, tmp_path / "state")
    with serving(tmp_path, settings) as running:
        sign_in(running.path)
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        running.stop()
    damaged = next((tmp_path / "state").glob("account-*"))
    damaged.write_bytes(b"")
    settings["accounts"]["other"] = amazon.account()
    with serving(tmp_path, settings) as running:
        running.until_ready()
        assert any(damaged.name in note for note in running.started["notes"])
        assert running.get("/@other/v2/profiles")[0] == 200
        status, body = running.get("/@acme/v2/profiles")
        assert status == 503
        assert "ads-proxy login acme" in json.loads(body)["detail"]
        assert len(list((tmp_path / "state").glob(f"damaged-*{damaged.name}"))) == 1


def test_a_directory_taken_away_is_there_again_before_a_restart(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """No account needs a sign-in: what the program holds is written again."""
    state = tmp_path / "state"
    settings = configuration(amazon, state)
    with serving(tmp_path, settings) as running:
        sign_in(running.path)
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        shutil.rmtree(state.rename(tmp_path / "away"))  # at once: file by file, one may be there again
        running.until(lambda: any(state.glob("account-*")))
        assert running.told("stored_token_damaged", account="acme", restored=True)
        running.stop()
    with serving(tmp_path, settings) as running:
        running.until_ready()
        assert served_by(running) == "sign-in"


@pytest.mark.parametrize("damaged", [b"", b"damaged"])
def test_a_file_damaged_while_running_is_whole_again_before_a_restart(
    amazon: SimulatedAmazon, tmp_path: Path, damaged: bytes
) -> None:
    """The running program notices by itself, sets the file aside, and writes what it holds; no request is lost."""
    state = tmp_path / "state"
    settings = configuration(amazon, state)
    with serving(tmp_path, settings) as running:
        sign_in(running.path)
        running.until(lambda: running.get("/v2/profiles")[0] == 200)
        path = next(state.glob("account-*"))
        path.write_bytes(damaged)
        assert running.told("stored_token_damaged", account="acme", restored=True)
        running.until(lambda: path.exists() and path.read_bytes() not in (b"", damaged))
        assert running.get("/v2/profiles")[0] == 200
        running.stop()
    with serving(tmp_path, settings) as running:
        running.until_ready()
        assert served_by(running) == "sign-in"


def test_a_refresh_token_that_cannot_be_written_at_a_stop_is_an_error(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The error has advice, and the program stops nevertheless."""
    amazon.control("settings", {"rotation": "at_once", "access_token_lifetime": 4})
    with tiny_disk(tmp_path / "disk") as disk:
        settings = amazon.configuration(state={"url": f"file:{disk}"})
        with serving(tmp_path, settings) as running:
            running.until_listed()
            fill(disk)
            running.until(lambda: running.metric("token_unpersisted", account="acme") == 1)
            assert running.stop()[0] == 0
            (lost,) = running.events("refresh_token_lost")
            assert (lost["level"], lost["account"]) == ("error", "acme")
            assert "No space left" in lost["detail"]
            assert "ads-proxy login acme" in lost["advice"]
