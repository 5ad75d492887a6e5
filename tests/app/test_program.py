"""The whole program in this process: what start opens, stop closes; a start that fails leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import socket
import ssl
import threading
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import pytest

from proxy.admin.view import AdminView
from proxy.app.audit import RunOutputs
from proxy.app.process import StopSignals
from proxy.app.program import Program
from proxy.app.run import LoadedConfig, Reloader, compare
from proxy.audit import stream as audit_stream
from proxy.audit.file import AuditFile
from proxy.config import Config, ReadingMemory, load
from proxy.config.account_files import AccountFileReader
from proxy.errors import ConfigurationError, ListenError, StartupError, StateError
from proxy.intercept.authority import Authority
from proxy.intercept.capability import Interception
from proxy.secret import Secret
from proxy.spend.capability import Spend
from proxy.tokens.invitation import USED
from tests.support import certificates
from tests.support.patience import PATIENCE, settled
from tests.support.scraping import scraped

ENVIRONMENT = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.canary",
    "AMAZON_ADS_CLIENT_SECRET": "canary-client-secret",
    "ADS_PROXY_LISTEN": "127.0.0.1:0",
    "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:0",
    "ADS_PROXY_STATE__URL": "memory:",
    "ADS_PROXY_LOG__LEVEL": "error",
}


def configured(**variables: str) -> Config:
    return load(None, {**ENVIRONMENT, **{f"ADS_PROXY_{name.upper()}": value for name, value in variables.items()}})


def can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def test_what_start_opens_stop_closes() -> None:
    """Both listeners answer while the program runs; afterwards their ports are free and no task is left."""
    before = asyncio.all_tasks()
    program = Program(configured())
    await program.start()
    ports = program.listening.port, program.admin_listening.port
    for port in ports:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    await program.stop()
    assert all(can_be_bound(port) for port in ports)
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()


async def test_a_start_that_fails_leaves_nothing_open() -> None:
    """The admin listener's port is taken: the clients' port, bound before it, is given back."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
        probe.close()
        program = Program(configured(listen=f"127.0.0.1:{free}", admin_listen=f"127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(ListenError, match="admin_listen"):
            await program.start()
        assert not can_be_bound(free)
        await program.stop()
        assert can_be_bound(free)


async def test_a_refused_reload_leaves_the_authorities_in_force(tmp_path: Path) -> None:
    """Although those of the new configuration are in order: a row of `operations` is not."""
    (tmp_path / "older").mkdir()
    older, newer = certificates.Authority(tmp_path / "older").ca_file, certificates.Authority(tmp_path).ca_file
    program = Program(configured(upstream__ca_file=str(older)))
    try:
        await program.start()
        refused = configured(
            upstream__ca_file=str(newer),
            operations="[{method: GET, path: /v2/profiles, account_header: Amazon-Ads-AccountId}]",
        )
        with pytest.raises(ConfigurationError, match="operations"):
            await program.apply(refused)
        assert program._tls.authorities.pem == older.read_bytes()
    finally:
        await program.stop()


async def test_a_reload_changes_what_a_client_may_spend() -> None:
    """At once, without a restart."""
    client = {"name": "a", "key_sha256": "ab" * 32}
    program = Program(configured(clients=json.dumps([client])))
    try:
        await program.start()
        assert not any(isinstance(each, Spend) for each in program.forwarder.rules.capabilities)
        for budget in ("200", "2.50"):
            limited = {**client, "spend": {"budget": {"USD": budget}}}
            change = compare(program.config, configured(clients=json.dumps([limited])))
            assert change.needs_restart == ()
            await program.apply(change.config)
            [spend] = [each for each in program.forwarder.rules.capabilities if isinstance(each, Spend)]
            assert spend._limits["a"].budget == {"USD": Decimal(budget)}
    finally:
        await program.stop()


async def test_a_reload_with_hours_that_cannot_be_read_changes_nothing() -> None:
    """The time zone in a client's `spend` does not exist: the configuration of before stays in force."""
    client = {"name": "a", "key_sha256": "ab" * 32}
    program = Program(configured(clients=json.dumps([client])))
    try:
        await program.start()
        before = program.config
        limited = {**client, "spend": {"hours": "mon 08:00-18:00 Europe/Nowhere"}}
        with pytest.raises(ConfigurationError, match=r"clients\[0\].spend.hours"):
            await program.apply(configured(clients=json.dumps([limited])))
        assert program.config is before
    finally:
        await program.stop()


async def test_a_stop_writes_the_use_of_an_invitation_that_the_store_did_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next program knows it."""

    async def refuse(*_: object) -> None:
        raise StateError("The disk is full.")

    state = f"file:{tmp_path / 'state'}"
    program = Program(configured(state__url=state))
    try:
        await program.start()
        with monkeypatch.context() as broken:
            broken.setattr(program.parts.store, "write_document", refuse)
            with pytest.raises(StateError):
                await program.invitations.use("id-1")
    finally:
        await program.stop()
    restarted = Program(configured(state__url=state))
    try:
        await restarted.start()
        assert await restarted.parts.store.read_document(USED) == {"id-1": pytest.approx(time.time(), abs=3600)}
    finally:
        await restarted.stop()


async def test_a_reload_refused_for_a_stored_token_leaves_the_authorities_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store has of a new account is read last."""

    async def fail(_account: str) -> NoReturn:
        raise StateError("The state file cannot be read.")

    new = configured(upstream__ca_file=str(certificates.Authority(tmp_path).ca_file))
    new = new.model_copy(update={"accounts": {**new.accounts, "other": new.accounts["default"]}})
    program = Program(configured())
    try:
        await program.start()
        monkeypatch.setattr(program.parts.store, "read", fail)
        with pytest.raises(StateError):
            await program.apply(new)
        assert program.trusted is None
    finally:
        await program.stop()


async def test_an_account_that_returns_is_shown_with_the_end_of_its_consent() -> None:
    """The end is reported while the tokens take the reload, as the account's state is and perhaps its first token."""
    alone = configured(regions__na__token_url="http://127.0.0.1:9/auth/o2/token")
    account, consent = alone.accounts["default"], {"refresh_token": Secret("r"), "consented_on": date(2026, 7, 1)}
    both = alone.model_copy(update={"accounts": {**alone.accounts, "other": account.model_copy(update=consent)}})
    program, shown = Program(both), 'ads_proxy_consent_expiry_timestamp_seconds{account="other"}'
    try:
        await program.start()
        assert shown in scraped(program.metrics, "").decode()
        await program.apply(alone)
        assert shown not in scraped(program.metrics, "").decode()
        await program.apply(both)
        assert shown in scraped(program.metrics, "").decode()
    finally:
        await program.stop()


async def test_a_program_that_never_started_can_be_stopped() -> None:
    """Twice, even."""
    program = Program(configured())
    await program.stop()
    await program.stop()


async def test_records_that_cannot_be_written_are_reported_once_at_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is closed by one registration."""

    def full(_file: AuditFile, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(AuditFile, "write", full)
    output = io.StringIO()
    program = Program(configured(audit__file=str(tmp_path / "audit.jsonl")), run_outputs=RunOutputs(output))
    await program.start()
    await program.stop()
    assert output.getvalue().count("the program stops") == 1


async def test_no_write_leaves_while_the_audit_stream_is_full(tmp_path: Path) -> None:
    """The program asks its own stream, and counts writes whose record waits until their bodies are read;
    `audit.required: false` lets writes go on."""
    said = []
    for required in ("true", "false"):
        path = str(tmp_path / f"audit-{required}.jsonl")
        program = Program(configured(audit__file=path, audit__required=required))
        await program.start()
        gate = program.accounting.write_gate
        for gate.unrecorded in (0, audit_stream.MAX_WAITING):
            said.append(gate.takes_writes())
        await program.stop()
    assert said == [True, False, True, True]


async def test_a_disk_that_hangs_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program looks now and then: a disk that hangs reports nothing itself."""
    released = threading.Event()

    def hang(_file: AuditFile, data: bytes) -> int:
        assert released.wait(PATIENCE)
        return len(data)

    monkeypatch.setattr(AuditFile, "write", hang)
    monkeypatch.setattr(audit_stream, "STALL_SECONDS", 0.0)
    monkeypatch.setattr("proxy.app.audit.LOOK_SECONDS", 0.0)
    output = io.StringIO()
    program = Program(configured(audit__file=str(tmp_path / "audit.jsonl")), run_outputs=RunOutputs(output))
    try:
        await program.start()
        await settled(lambda: "the disk has taken no record" in output.getvalue())
    finally:
        released.set()
        await program.stop()


async def test_what_is_logged_of_the_program_says_how_it_is() -> None:
    """Where it listens, how many accounts, how much is wrong: no name, no secret."""
    program = Program(configured())
    assert repr(program) == "<Program not started, 1 accounts, 0 problems>"
    await program.start()
    where = str(program.listening)
    program.config_problems = ("accounts.canary: is missing",)
    assert repr(program) == f"<Program on {where}, 1 accounts, 1 problems>"
    assert repr(AdminView(program)) == f"<AdminView of {program!r}>"
    reloader = Reloader(program, lambda *_: configured(), LoadedConfig(program.config, {}, ReadingMemory()))
    assert repr(reloader) == "<Reloader of 0 files>"
    await program.stop()


async def test_a_reload_on_request_reads_all_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP, where a file changed without another stamp; a reload for another reason reads what changed."""
    monkeypatch.setattr("proxy.app.run.POLL", 0.0)
    (tmp_path / "proxy.yaml").write_text("accounts_from: [a.yaml]\n")
    (tmp_path / "a.yaml").write_text("accounts: {acme: {client_id: x, client_secret: canary}}\n")
    memory = ReadingMemory(AccountFileReader(lambda: time.time() + 3600))
    load(tmp_path / "proxy.yaml", {}, memory=memory)
    given: list[str] = []

    def note(running: Config | None, memory: ReadingMemory) -> Config:
        given.append(repr(memory.account_files))
        return configured()

    async def until_loaded(times: int) -> None:
        await settled(lambda: len(given) >= times)

    program = Program(configured())
    try:
        await program.start()
        reloader = Reloader(program, note, LoadedConfig(program.config, {tmp_path: (0,) * 5}, memory))
        reloader.start()
        await until_loaded(1)
        reloader.request()
        await until_loaded(2)
        await reloader.stop()
    finally:
        await program.stop()
    assert given == [f"<AccountFileReader: {known} files known>" for known in (1, 0)]


def test_what_is_logged_of_the_signals_counts_them() -> None:
    """How many came."""
    signals = StopSignals()
    assert repr(signals) == "<StopSignals 0 came>"
    signals.note()
    signals.note()
    assert repr(signals) == "<StopSignals 2 came>"


def intercepting(folder: Path, **variables: str) -> Config:
    """A configuration with a listener for clients that have Amazon's names."""
    section = {"enabled": "true", "ca_dir": str(folder), "listen": "127.0.0.1:0"}
    return configured(**{f"intercept__{key}": value for key, value in section.items()}, **variables)


async def certified(port: int, authority: Path, name: str) -> str:
    """The name in the certificate that a client gets who trusts this authority alone, and asks for this name."""
    context = ssl.create_default_context(cafile=str(authority))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.close()
    return str(writer.get_extra_info("peercert")["subjectAltName"][0][1])


async def test_a_start_makes_the_authority_and_answers_by_name(tmp_path: Path) -> None:
    """Its end is in the metrics."""
    program = Program(intercepting(tmp_path / "ca"))
    try:
        await program.start()
        assert program.by_name_listening is not None
        port, roots = program.by_name_listening.port, tmp_path / "ca" / "ca.pem"
        assert await certified(port, roots, "api.amazon.com") == "api.amazon.com"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await certified(port, roots, "example.com")
        assert b"\nads_proxy_intercept_authority_expiry_timestamp_seconds 2" in scraped(program.metrics)
    finally:
        await program.stop()
    with pytest.raises(ConnectionRefusedError):
        await certified(port, roots, "api.amazon.com")


async def test_a_start_without_a_usable_authority_serves_nobody(tmp_path: Path) -> None:
    """The error names the key, and the ports are free again."""
    (tmp_path / "ca").write_text("a file")
    program = Program(intercepting(tmp_path / "ca"))
    with pytest.raises(StartupError, match=r"intercept\.ca_dir: the authority in "):
        await program.start()
    await program.stop()
    assert can_be_bound(program.listening.port)


async def test_interception_without_a_folder_is_refused() -> None:
    """The checks of the configuration do not see what a command puts together."""
    config = configured()
    config = config.model_copy(update={"intercept": config.intercept.model_copy(update={"enabled": True})})
    program = Program(config)
    with pytest.raises(ConfigurationError, match=r"intercept\.ca_dir: is missing"):
        await program.start()
    await program.stop()


async def test_an_authority_that_is_given_needs_no_folder() -> None:
    """`ads-proxy run` has one for one command alone."""
    config = configured()
    config = config.model_copy(update={"intercept": config.intercept.model_copy(update={"enabled": True})})
    program = Program(config)
    program.use_authority(Authority.temporary(time.time()))
    await program.start()
    await program.stop()


async def test_a_reload_changes_the_hosts_that_are_passed(tmp_path: Path) -> None:
    """At once; the authority and its listener stay."""
    program = Program(intercepting(tmp_path / "ca"))
    try:
        await program.start()
        changed = intercepting(tmp_path / "other", intercept__pass="files.example.com")
        change = compare(program.config, changed)
        assert change.needs_restart == ("intercept.ca_dir",)
        await program.apply(change.config)
        [interception] = [each for each in program.forwarder.rules.capabilities if isinstance(each, Interception)]
        assert interception._passed == ("files.example.com",)
        assert not (tmp_path / "other").exists()
    finally:
        await program.stop()
