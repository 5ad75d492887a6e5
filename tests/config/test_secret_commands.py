"""Secrets that commands print: what one run gives, and how readings use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config import CommandRun, Config, ReadingMemory, SecretCommand, admin_key, load
from proxy.config.model.expected import WrongValue
from proxy.config.model.secret_command import parse_every
from proxy.config.reading.command_run import command_environment, run_command, shortened, shown_command
from proxy.config.reading.commands import RETRY_SECONDS, CommandOutputs
from proxy.errors import ConfigurationError
from proxy.secret import Secret
from tests.support.patience import PATIENCE
from tests.support.processes import until

ENVIRON = {"PATH": os.environ["PATH"]}
SOON = 0.3
"""Seconds that a command gets which never ends."""
SILENT = "it wrote nothing to its standard error; run it as this user to see why"


def ran(*arguments: str, folder: Path, seconds: float = PATIENCE, environ: Mapping[str, str] = ENVIRON) -> CommandRun:
    return run_command(SecretCommand(arguments, folder), environ, threading.Event(), seconds)


def is_running(pid: int) -> bool:
    """Whether a process has not ended; one that has may stay in the table until its parent reads how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- one run


@pytest.mark.parametrize(
    ("printed", "output"),
    [(b"secret", "secret"), (b"secret\\n", "secret"), (b"secret\\r\\n", "secret"), (b"two\\n\\n", "two\n")],
)
def test_one_newline_at_the_end_is_no_part_of_it(printed: bytes, output: str, tmp_path: Path) -> None:
    """Most programs print one; a second one is not cut without a word."""
    assert ran("printf", printed.decode(), folder=tmp_path).output == Secret(output)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "ended with exit code 3"),
        ("kill -9 $$", r"ended by signal 9 \(SIGKILL\)"),
        ("kill -35 $$", r"ended by signal 35 \(unknown\)"),
        ("printf '\\377'", "no UTF-8 text"),
        ("echo", "printed nothing"),
        ("head -c 65537 /dev/zero", "more than 64 KiB"),
        ("cat /dev/zero", "more than 64 KiB"),
    ],
)
def test_a_command_without_a_secret_is_a_problem(script: str, problem: str, tmp_path: Path) -> None:
    """Each is told by the program's name, and nothing of the output is taken."""
    run = ran("sh", "-c", script, folder=tmp_path)
    assert re.search(f"^the command sh .*{problem}", run.problem)
    assert run.output is None


def test_an_unknown_exit_code_is_a_problem(tmp_path: Path) -> None:
    """The system reaps the children of a program that was started with SIGCHLD ignored (wait(2))."""
    usual = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run = ran("sh", "-c", "echo secret; exit 3", folder=tmp_path)
    finally:
        signal.signal(signal.SIGCHLD, usual)
    assert "unknown exit code" in run.problem
    assert run.output is None


def test_as_much_as_is_permitted_is_taken(tmp_path: Path) -> None:
    """65,536 bytes, by a command that writes as much to its standard error, too."""
    run = ran(
        "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' e >&2; head -c 65536 /dev/zero | tr '\\0' s", folder=tmp_path
    )
    assert run.output == Secret("s" * 65536)


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (None, 0, "./get was not found"),
        ("#!/nosuch/sh\n", 0o700, "./get was not found"),
        ("#!/bin/sh\n", 0o600, "./get cannot be run: permission denied"),
        ("echo secret\n", 0o700, "./get cannot be run: it is no program"),
    ],
)
def test_what_cannot_be_run_is_told(content: str | None, mode: int, problem: str, tmp_path: Path) -> None:
    """The sentence says what to change."""
    if content is not None:
        (tmp_path / "get").write_text(content)
        (tmp_path / "get").chmod(mode)
    assert ran("./get", folder=tmp_path).problem.startswith(f"the command {problem}")


def test_other_reasons_come_from_the_system(tmp_path: Path) -> None:
    """A folder that is a file, for one."""
    (tmp_path / "file").write_text("")
    assert ran("true", folder=tmp_path / "file").problem == "the command true cannot be run: Not a directory"


def test_a_command_that_hangs_is_killed_with_all_that_it_began(tmp_path: Path) -> None:
    """A background process of its group, too, which ignores polite signals."""
    script = "trap '' TERM; sleep 1000 & echo $! > pid; wait"
    run = ran("sh", "-c", script, folder=tmp_path, seconds=SOON)
    assert run.problem == f"the command sh did not end within 0.3 s, and was killed with all that it began; {SILENT}"
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not is_running(pid))


def test_a_program_that_is_left_behind_is_killed(tmp_path: Path) -> None:
    """One that holds the output open delays the secret, which is told; another one does not."""
    run = ran("sh", "-c", "sleep 1000 & echo $! > pid; echo secret", folder=tmp_path, seconds=SOON)
    assert "left a program behind" in run.problem
    until(lambda: not is_running(int((tmp_path / "pid").read_text())))
    script = "sleep 1000 > /dev/null 2>&1 & echo $! > pid; echo secret"
    assert ran("sh", "-c", script, folder=tmp_path).output == Secret("secret")
    until(lambda: not is_running(int((tmp_path / "pid").read_text())))


def test_a_command_that_closes_its_streams_and_stays_is_killed(tmp_path: Path) -> None:
    """The end of the output is not the end of the command."""
    run = ran("sh", "-c", "echo secret; exec >&- 2>&-; sleep 1000", folder=tmp_path, seconds=SOON)
    assert "did not end within" in run.problem


def test_a_command_ends_with_the_program(tmp_path: Path) -> None:
    """Nothing is known of it then."""
    stop = threading.Event()
    stop.set()
    run = run_command(SecretCommand(("sleep", "1000"), tmp_path), ENVIRON, stop)
    assert (run.stopped, run.output) == (True, None)


def test_it_reads_nothing_from_a_terminal(tmp_path: Path) -> None:
    """A program that asks for a password gets the end of a file, in a session without a terminal."""
    assert ran("sh", "-c", "cat; echo secret", folder=tmp_path).output == Secret("secret")
    (tmp_path / "session").write_text("import os; print(os.getsid(0) == os.getpid())")
    assert ran(sys.executable, "session", folder=tmp_path).output == Secret("True")


def test_no_zombies_stay(tmp_path: Path) -> None:
    """Nor in a container's first process, whose children orphans become (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    program = tmp_path / "reaper.py"
    program.write_text(
        "import ctypes, os, threading, pathlib\n"
        "from proxy.config import SecretCommand\n"
        "from proxy.config.reading.command_run import run_command\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "script = '(sleep 1000 & sleep 1000) & sleep 1000 & sleep 1000'\n"
        f"command = SecretCommand(('sh', '-c', script), pathlib.Path({str(tmp_path)!r}))\n"
        "run = run_command(command, dict(os.environ), threading.Event(), 0.3)\n"
        "print(run.problem)\n"
        "try:\n"
        "    print(os.waitpid(-1, os.WNOHANG))\n"
        "except ChildProcessError:\n"
        "    print('no child')\n"
    )
    told = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout
    assert told.splitlines()[1:] == ["no child"]


def test_the_end_of_a_complaint_is_kept(tmp_path: Path) -> None:
    """In one line, without control characters, and not beginning within a word that was cut."""
    script = "head -c 70000 /dev/zero | tr '\\0' s >&2; printf ' one\\n\\033[31mtwo\\033[0m' >&2; exit 1"
    assert ran("sh", "-c", script, folder=tmp_path).stderr == "one \ufffd[31mtwo\ufffd[0m"
    assert shortened("x" * 1001) == "..." + "x" * 1000
    assert shortened("x" * 1000) == "x" * 1000


def test_a_command_is_shown_by_its_first_word(tmp_path: Path) -> None:
    """A secret in its place is not shown, nor is any argument."""
    command = SecretCommand(("/usr/local/bin/vault", "canary"), tmp_path)
    assert shown_command(command) == "the command /usr/local/bin/vault"
    assert "canary" not in repr(command)
    assert shown_command(SecretCommand(("c4n4ry8d1f2a7b3c9e",), tmp_path)) == "the command"


def test_a_command_gets_the_environment_without_the_secrets_of_the_proxy() -> None:
    """`VAULT_ADDR` and `HOME` are what people expect; what configures the proxy is nobody else's."""
    environ = {"VAULT_ADDR": "x", "ADS_PROXY_ADMIN__KEY": "x", "AMAZON_ADS_REFRESH_TOKEN": "x", "MY": "x", "PATH": "x"}
    assert set(command_environment(environ, {"MY"})) == {"VAULT_ADDR", "PATH"}


@pytest.mark.parametrize(("value", "seconds"), [(None, None), ("15m", 900), ("2H", 7200), (90, 90), (1.5, 1.5)])
def test_an_interval_is_seconds_or_has_a_unit(value: object, seconds: float | None) -> None:
    """Intervals are written like those of reports, and as all other durations."""
    assert parse_every(value) == seconds


@pytest.mark.parametrize("value", [0, 0.5, 2_678_401, "15", "", True, [], "0s", float("nan")])
def test_other_intervals_are_refused(value: object) -> None:
    """From a second to 31 days."""
    with pytest.raises(WrongValue, match="every"):
        parse_every(value)


# --- in a configuration

ACCOUNT = """
accounts:
  acme:
    client_id: x
    client_secret: {secret}
    refresh_token: Atzr|canary
"""


def command(script: str) -> str:
    return json.dumps({"command": ["sh", "-c", script]})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration whose client secret comes from a command."""

    def write(script: str, more: str = "") -> Path:
        path = tmp_path / "proxy.yaml"
        path.write_text(ACCOUNT.replace("{secret}", command(script)) + more)
        return path

    return write


def secret_of(config: Config) -> str:
    return config.accounts["acme"].secrets[0].reveal()


def problems_of(path: Path, environ: Mapping[str, str] = ENVIRON) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ)
    return str(caught.value)


def test_every_secret_may_come_from_a_command(tmp_path: Path) -> None:
    """Wherever a file may; also what is no secret and may be referred to."""
    path = tmp_path / "proxy.yaml"
    path.write_text(
        """
admin: {key: {command: [printf, admin-key-0123456789]}}
state: {url: {command: [printf, "redis://:pw@127.0.0.1/1"]}, key: [{command: [printf, "state key with spaces"]}]}
notify:
  webhook: {command: [printf, "https://hooks.example.com/x"]}
  secret: {command: [printf, notify-key-0123456789]}
upstream: {proxy: {command: [printf, "http://u:p@proxy.internal:3128"]}}
accounts:
  acme:
    client_id: {command: [printf, an-id]}
    client_secret: [{command: [printf, newer]}, {command: [printf, older]}]
    refresh_token: {command: [printf, "Atzr|canary"], every: 15m}
"""
    )
    config = load(path, ENVIRON)
    assert config.accounts["acme"].client_id == "an-id"
    revealed = {secret.reveal() for secret in config.secrets()}
    assert {"admin-key-0123456789", "redis://:pw@127.0.0.1/1", "state key with spaces", "Atzr|canary"} <= revealed
    assert {"https://hooks.example.com/x", "notify-key-0123456789", "http://u:p@proxy.internal:3128"} <= revealed
    assert {"newer", "older"} <= revealed
    key = admin_key(path, ENVIRON)
    assert key is not None
    assert key.reveal() == "admin-key-0123456789"


def test_the_same_command_runs_once_for_each_load(written: Callable[..., Path], tmp_path: Path) -> None:
    """However often it is named, and however often files are read meanwhile."""
    script = "echo run >> runs; echo secret"
    path = written(script, f"  globex: {{client_id: x, client_secret: {command(script)}}}\n")
    assert secret_of(load(path, ENVIRON)) == "secret"
    assert (tmp_path / "runs").read_text() == "run\n"


def test_commands_run_at_the_same_time(written: Callable[..., Path], tmp_path: Path) -> None:
    """Each of two waits for the other one."""
    os.mkfifo(tmp_path / "one")
    os.mkfifo(tmp_path / "other")
    other = command("cat other; echo first > one")
    path = written("echo second > other; cat one", f"  globex: {{client_id: x, client_secret: {other}}}\n")
    assert secret_of(load(path, ENVIRON)) == "first"


def test_relative_programs_are_next_to_the_file_that_names_them(written: Callable[..., Path], tmp_path: Path) -> None:
    """Relative paths are found as for other files, also for a file of accounts in another folder."""
    (tmp_path / "accounts.d").mkdir()
    (tmp_path / "accounts.d" / "secret").write_text("theirs")
    (tmp_path / "secret").write_text("ours")
    account = "accounts: {globex: {client_id: x, client_secret: {command: [cat, secret]}}}"
    (tmp_path / "accounts.d" / "a.yaml").write_text(account)
    config = load(written("cat secret", "accounts_from: [accounts.d/*.yaml]\n"), ENVIRON)
    assert (secret_of(config), config.accounts["globex"].secrets[0].reveal()) == ("ours", "theirs")


def test_a_failure_names_the_key_the_command_the_code_and_the_complaint(written: Callable[..., Path]) -> None:
    """With the line of the file, next to every other problem."""
    told = problems_of(written("echo permission denied >&2; exit 2", "listen: nowhere\n"))
    expected = (
        'accounts.acme.client_secret: the command sh ended with exit code 2; it wrote: "permission denied" (line 5)'
    )
    assert expected in told.splitlines()
    assert "listen: is not an address" in told
    told = problems_of(written("exit 2"))
    assert f"ended with exit code 2; {SILENT}" in told


@pytest.mark.parametrize("script", ["true", "head -c 65537 /dev/zero"])
def test_a_problem_that_says_what_to_do_has_no_further_advice(written: Callable[..., Path], script: str) -> None:
    """The command did what the sentence says, so that running it by hand shows nothing new."""
    assert SILENT not in problems_of(written(script))


def test_no_secret_is_in_a_complaint(written: Callable[..., Path], tmp_path: Path) -> None:
    """Nor what the command printed, what others are, the variables that only commands use, or what looks like one."""
    (tmp_path / "file").write_text("canary-of-a-file")
    complaint = "canary-printed canary-of-a-file canary-literal $VAULT_TOKEN 'Atza|canary-1' over"
    more = "  globex: {client_id: x, client_secret: {file: file}, refresh_token: canary-literal}\n"
    path = written(f"echo canary-printed; echo {complaint} >&2; false", more)
    told = problems_of(path, {**ENVIRON, "VAULT_TOKEN": "hvs.canary-token"})
    assert 'it wrote: "*** *** *** *** *** over"' in told
    assert "canary" not in told


def test_values_of_variables_that_are_referred_to_stay_with_the_proxy(written: Callable[..., Path]) -> None:
    """`{env: NAME}` makes the variable the proxy's own."""
    more = "  globex: {client_id: x, client_secret: {env: MINE}, refresh_token: y}\n"
    path = written('echo "$MINE-$OTHER"', more)
    assert secret_of(load(path, {**ENVIRON, "MINE": "canary", "OTHER": "visible"})) == "-visible"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{command: vault}", "is not a command; write a list"),
        ("{command: []}", "is not a command; write a list"),
        ("{command: ['']}", "is not a command; write a list"),
        ("{command: [sleep, 5]}", "is not a command; write a list"),
        ('{command: ["a\\0b"]}', "is not a command; write a list"),
        ("{command: [printf, x], every: soon}", "has an `every` that is no interval"),
        ("{command: [printf, x], file: x}", "must be exactly one of"),
        ("{every: 15m}", "must be exactly one of"),
        ('{command: [printf, "two words"]}', "the output of its command holds white space"),
        ("{command: [printf, CHANGE_ME]}", "the output of its command is a placeholder"),
    ],
)
def test_mistakes_are_explained(value: str, problem: str, tmp_path: Path) -> None:
    """By the key, without what was written there."""
    path = tmp_path / "proxy.yaml"
    path.write_text(ACCOUNT.replace("{secret}", value))
    assert f"accounts.acme.client_secret: {problem}" in problems_of(path)


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """What holds for a value does not depend on where it is from."""
    path = tmp_path / "proxy.yaml"
    path.write_text(ACCOUNT.replace("{secret}", "x") + "admin: {key: {command: [printf, short]}}\n")
    assert "admin.key: is shorter than 16 bytes" in problems_of(path)
    assert admin_key(path, ENVIRON) is None


# --- from one reading to the next


class Commands:
    """Commands that print what a test says, without processes, and a clock that it sets."""

    def __init__(self) -> None:
        self.prints: dict[str, str] = {}
        self.fails: dict[str, str] = {}
        self.ran: list[str] = []
        self.now = 1000.0
        self.memory = ReadingMemory(commands=CommandOutputs(self._run, lambda: self.now))

    @property
    def outputs(self) -> CommandOutputs:
        return self.memory.commands

    def _run(self, command: SecretCommand, environ: Mapping[str, str], stop: threading.Event) -> CommandRun:
        name = command.arguments[0]
        self.ran.append(name)
        if name in self.fails:
            return CommandRun(problem=f"the command {name} {self.fails[name]}")
        return CommandRun(Secret(self.prints[name]), stderr="a warning" if name == "loud" else "")

    def run(self, name: str) -> bool:
        """Run a command of the last reading as the program does; whether its output is another one now."""
        command = next(each for each in self.outputs.commands() if each.arguments[0] == name)
        return self.outputs.record(command, self.outputs.run(command))

    def due_in(self, name: str) -> float | None:
        command = next(each for each in self.outputs.commands() if each.arguments[0] == name)
        return self.outputs.due_in(command)


@pytest.fixture
def commands() -> Commands:
    return Commands()


def reading(path: Path, commands: Commands, secret: str, more: str = "", running: Config | None = None) -> Config:
    path.write_text(ACCOUNT.replace("{secret}", secret) + more)
    return load(path, ENVIRON, memory=commands.memory, running=running)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "proxy.yaml"


def test_a_reading_does_not_wait_for_what_was_printed_before(commands: Commands, path: Path) -> None:
    """A vault that is slow delays no change of anything else."""
    commands.prints = {"one": "first"}
    reading(path, commands, "{command: [one]}")
    assert secret_of(reading(path, commands, "{command: [one]}", "listen: 127.0.0.1:1\n")) == "first"
    assert commands.ran == ["one"]


def test_a_new_output_is_taken_by_the_next_reading(commands: Commands, path: Path) -> None:
    """The account is another one then."""
    commands.prints = {"one": "first"}
    reading(path, commands, "{command: [one]}")
    assert not commands.run("one")
    commands.prints = {"one": "second"}
    assert commands.run("one")
    assert secret_of(reading(path, commands, "{command: [one]}")) == "second"


def test_a_failure_keeps_the_former_output(commands: Commands, path: Path) -> None:
    """The failure is told with the keys that name the command, until a run succeeds."""
    commands.prints = {"one": "first"}
    reading(path, commands, "{command: [one]}")
    [*commands.outputs.events()]
    commands.fails = {"one": "ended with exit code 1"}
    assert not commands.run("one")
    assert secret_of(reading(path, commands, "{command: [one]}")) == "first"
    told = "accounts.acme.client_secret: the command one ended with exit code 1; the last value stays in use"
    assert commands.outputs.problems() == (told,)
    commands.fails = {}
    commands.run("one")
    assert commands.outputs.problems() == ()
    events = [(event.problem, event.recovered) for event in commands.outputs.events()]
    assert events == [("the command one ended with exit code 1", False), ("", True)]


def test_runs_are_told_with_their_keys_once(commands: Commands, path: Path) -> None:
    """The first ones end before the keys are known."""
    commands.prints = {"loud": "first"}
    reading(path, commands, "{command: [loud]}")
    (event,) = commands.outputs.events()
    assert (event.program, event.keys) == ("loud", ("accounts.acme.client_secret",))
    assert (event.problem, event.stderr) == ("", "a warning")
    assert [*commands.outputs.events()] == []


def test_a_command_that_never_printed_anything_runs_again_on_request(commands: Commands, path: Path) -> None:
    """Until then, attempts to reload do not run it each time."""
    commands.fails = {"one": "ended with exit code 1"}
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            reading(path, commands, "{command: [one]}")
    assert commands.ran == ["one"]
    commands.fails, commands.prints = {}, {"one": "first"}
    commands.outputs.forget_failures()
    assert secret_of(reading(path, commands, "{command: [one]}")) == "first"


def test_when_a_command_runs_again(commands: Commands, path: Path) -> None:
    """At the shortest of its intervals; after a failure, within a minute."""
    commands.prints = {"one": "first", "two": "second", "three": "third"}
    more = "  b: {client_id: x, client_secret: {command: [one], every: 600}, refresh_token: {command: [two]}}\n"
    more += "  c: {client_id: x, client_secret: {command: [three], every: 5s}}\n"
    reading(path, commands, "{command: [one], every: 15m}", more)
    assert [commands.due_in(name) for name in ("one", "two", "three")] == [600.0, None, 5.0]
    commands.fails = dict.fromkeys(commands.prints, "failed")
    commands.now = 2000.0
    for name in commands.prints:
        commands.run(name)
    after = [commands.due_in(name) for name in ("one", "two", "three")]
    assert after == [RETRY_SECONDS, RETRY_SECONDS, 5.0]


def test_commands_that_are_named_no_more_are_forgotten(commands: Commands, path: Path) -> None:
    """Their outputs, too. A configuration that was refused changes nothing of what is in force."""
    commands.prints = {"one": "first", "two": "second"}
    reading(path, commands, "{command: [one]}")
    with pytest.raises(ConfigurationError):
        reading(path, commands, "{command: [two]}", "listen: nowhere\n")
    assert {each.arguments[0] for each in commands.outputs.commands()} == {"one", "two"}
    reading(path, commands, "{command: [two]}")
    assert repr(commands.outputs) == "<CommandOutputs of 1 commands, 0 failing>"
    reading(path, commands, "{command: [one]}")
    assert commands.ran == ["one", "two", "one"]


def test_a_file_of_accounts_is_read_again_for_a_new_output(commands: Commands, path: Path, tmp_path: Path) -> None:
    """A failing command keeps the accounts of its file, and no other."""
    (tmp_path / "a.yaml").write_text("accounts: {globex: {client_id: x, client_secret: {command: [one], every: 1m}}}")
    commands.prints = {"one": "first"}
    more = "accounts_from: [a.yaml]\n"
    config = reading(path, commands, "x", more)
    assert commands.due_in("one") == 60.0
    commands.prints = {"one": "second"}
    commands.run("one")
    config = reading(path, commands, "x", more, running=config)
    assert config.accounts["globex"].secrets[0].reveal() == "second"
    (tmp_path / "a.yaml").write_text("accounts: {globex: {client_id: x, client_secret: {command: [new]}}}")
    commands.fails = {"new": "ended with exit code 1"}
    config = reading(path, commands, "x", more, running=config)
    assert config.accounts["globex"].secrets[0].reveal() == "second"
    assert "accounts.globex.client_secret: the command new ended with exit code 1" in config.refused[0]
    assert commands.due_in("new") == RETRY_SECONDS


def test_nothing_runs_in_a_program_that_stops(commands: Commands, path: Path) -> None:
    """A reading that is under way ends."""
    commands.outputs.stop()
    with pytest.raises(ConfigurationError, match="has not run yet"):
        reading(path, commands, "{command: [one]}")
    assert commands.ran == []
    command = SecretCommand(("one",), path.parent)
    assert not commands.outputs.record(command, CommandRun(stopped=True))
    assert commands.outputs.output(command) is None
    assert commands.outputs.due_in(command) is None


# --- signals


IN_THE_FOREGROUND = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "runpy.run_module('proxy', run_name='__main__', alter_sys=True)"
)
"""Runs the program as a terminal does: a shell has programs in the background ignore SIGINT, nohup SIGHUP."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_the_start_ends_the_command(
    number: signal.Signals, written: Callable[..., Path], tmp_path: Path
) -> None:
    """The program ends as it would without a command, and leaves none behind."""
    path = written("echo $$ > pid.new; mv pid.new pid; sleep 1000")
    arguments = [sys.executable, "-c", IN_THE_FOREGROUND, "check", "--offline", "--config", str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        until((tmp_path / "pid").exists)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode in (-number, 128 + number)
    until(lambda: not is_running(int((tmp_path / "pid").read_text())))
