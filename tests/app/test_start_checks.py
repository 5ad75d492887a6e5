"""What would keep the program from starting is found without starting it, and without leaving a trace."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.app.start_checks import StartFindings, check_start
from proxy.config import Stamp, load
from proxy.config.reading.files import stamp_of
from proxy.errors import ConfigurationError
from proxy.intercept.authority import Authority
from tests.support import certificates

Configuration = dict[str, Any]
ACCOUNT = {"client_id": "x", "client_secret": "s", "refresh_token": "r"}


def _file(folder: Path, mode: int = 0o600) -> str:
    path = folder / "a-file"
    path.write_text("")
    path.chmod(mode)
    return str(path)


def _link(folder: Path) -> str:
    (folder / "a-link").symlink_to(folder / "elsewhere")
    return str(folder / "a-link")


def _open_state(folder: Path) -> str:
    (folder / "state").mkdir()
    (folder / "state" / "check").write_text("")
    (folder / "state").chmod(0o755)
    return f"file:{folder}/state"


def _open_authority(folder: Path) -> str:
    Authority.open(folder / "ca", time.time())
    (folder / "ca" / "ca.key").chmod(0o644)
    return str(folder / "ca")


def _foreign_state(folder: Path) -> str:
    """A store whose key is gone."""
    (folder / "state").mkdir(mode=0o700)
    (folder / "state" / "check").write_text("")
    return f"file:{folder}/state"


REFUSED: dict[str, tuple[Callable[[Path], Configuration], str]] = {
    "no folder": (lambda at: {"audit": {"file": f"{at}/gone/a.jsonl"}}, "cannot be used: its directory does not exist"),
    "a link": (lambda at: {"audit": {"file": _link(at)}}, "cannot be used: it is a symbolic link"),
    "a folder": (lambda at: {"audit": {"file": str(at)}}, "cannot be used: it is a directory"),
    "others may write": (lambda at: {"audit": {"file": _file(at, 0o666)}}, "cannot be used: others may write it"),
    "below a file": (lambda at: {"audit": {"file": f"{_file(at)}/a"}}, "cannot be used: Not a directory"),
    "state below a file": (lambda at: {"state": {"url": f"file:{_file(at)}/s"}}, "cannot be used: Not a directory"),
    "state open to others": (lambda at: {"state": {"url": _open_state(at)}}, "close it with: chmod 700"),
    "state without its key": (lambda at: {"state": {"url": _foreign_state(at)}}, "with a key that is not configured"),
    "spill below a file": (
        lambda at: {"state": {"url": "redis://127.0.0.1:9/0", "key": "k" * 16, "spill": f"{_file(at)}/s"}},
        "state.spill: The state directory",
    ),
    "an authority below a file": (
        lambda at: {"intercept": {"enabled": True, "ca_dir": f"{_file(at)}/ca"}},
        "the authority in",
    ),
    "an authority that others can read": (
        lambda at: {"intercept": {"enabled": True, "ca_dir": _open_authority(at)}},
        "ca.key can be read or written by other users",
    ),
    "another machine for Amazon's names": (
        lambda at: {
            "intercept": {"enabled": True, "ca_dir": f"{at}/ca", "listen": "192.0.2.1:0"},
            "allow_unauthenticated": True,
        },
        "intercept.listen: 192.0.2.1:0 is not an address of this machine; set `intercept.listen` "
        "(ADS_PROXY_INTERCEPT__LISTEN) to another address",
    ),
    "another machine": (
        lambda at: {"admin_listen": "192.0.2.1:0", "admin": {"key": "k" * 16}},
        "admin_listen: 192.0.2.1:0 is not an address of this machine",
    ),
    "no such name": (
        lambda at: {"listen": "nowhere.invalid:0", "allow_unauthenticated": True},
        "listen: nowhere.invalid:0 is not an address of this machine",
    ),
}
"""By name: keys of a configuration, and what is refused. `tests/integration/test_serving.py` starts the program so."""


def configuration(folder: Path, **keys: Any) -> Configuration:
    quiet = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0", "state": {"url": "memory:"}}
    return {"accounts": {"acme": ACCOUNT}, **quiet, **keys}


def found(folder: Path, **keys: Any) -> StartFindings:
    """What is found, after which every file is as it was."""
    path = folder / "proxy.yaml"
    path.write_text(yaml.safe_dump(configuration(folder, **keys)))
    before = everything_in(folder)
    findings = check_start(load(path, {}))
    assert everything_in(folder) == before
    return findings


def everything_in(folder: Path) -> dict[Path, Stamp]:
    return {path: stamp_of(path.lstat()) for path in folder.rglob("*")}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_found(tmp_path: Path, case: str) -> None:
    """One sentence, in the words of the start."""
    make, words = REFUSED[case]
    findings = found(tmp_path, **make(tmp_path))
    assert [words in refusal for refusal in findings.refusals] == [True]
    assert findings.notes == ()


def test_all_refusals_are_found_at_once(tmp_path: Path) -> None:
    """In the order of the start's parts."""
    keys = {"audit": {"file": f"{tmp_path}/gone/a"}, "state": {"url": f"file:{_file(tmp_path)}/s"}}
    first, second = found(tmp_path, **keys).refusals
    assert first.startswith("The state directory")
    assert second.startswith("audit.file: ")


def test_what_can_be_used_or_made_is_no_refusal(tmp_path: Path) -> None:
    """New files and directories, those of a program before, and links to directories; nothing of it is made."""
    (tmp_path / "own").mkdir(mode=0o700)
    certificates.Authority(tmp_path).context("127.0.0.1")
    pair = str(tmp_path / "127.0.0.1.pem")
    tls = {"cert": pair, "key": pair}
    for state in ("new/state", "own"):
        for name in ("new.jsonl", Path(_file(tmp_path)).name):
            keys = {"audit": {"file": name}, "state": {"url": f"file:{tmp_path / state}", "key": "k" * 16}, "tls": tls}
            assert found(tmp_path, **keys) == StartFindings((), ())


def test_results_of_reports_need_a_folder(tmp_path: Path) -> None:
    """The folder can be made, and no report's own folder in it is open to others."""
    named = {"r": {"account": "acme", "every": "6h", "order": {"preset": "spCampaigns"}}}
    assert found(tmp_path, reports={"keep": {"dir": f"{tmp_path}/new/kept"}, "named": named}).refusals == ()
    (refusal,) = found(tmp_path, reports={"keep": {"dir": f"{_file(tmp_path)}/kept"}, "named": named}).refusals
    assert refusal.startswith("reports.keep.dir: Results cannot be kept: ")
    (tmp_path / "kept" / "r").mkdir(parents=True)
    (tmp_path / "kept" / "r").chmod(0o755)
    (refusal,) = found(tmp_path, reports={"keep": {"dir": f"{tmp_path}/kept"}, "named": named}).refusals
    assert "is open to other users; close it with: chmod 700" in refusal


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
def test_an_address_in_use_is_a_note(tmp_path: Path, key: str) -> None:
    """An address in use is no error: most often the program itself uses it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        findings = found(tmp_path, **{key: address})
    assert findings.refusals == ()
    (note,) = findings.notes
    assert note.startswith(f"{key}: {address} is in use by another program")


def test_a_file_that_a_program_writes_is_no_refusal(tmp_path: Path) -> None:
    """The running program holds its audit file and its state."""
    from proxy.audit.file import AuditFile
    from proxy.tokens.opening import open_store

    open_store(f"file:{tmp_path}/state")
    file = AuditFile(tmp_path / "a.jsonl")
    try:
        keys = {"audit": {"file": "a.jsonl"}, "state": {"url": f"file:{tmp_path}/state"}}
        assert found(tmp_path, **keys) == StartFindings((), ())
    finally:
        file.close()


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that this process may read and not write: root, who may write everywhere, becomes another user."""
    with tempfile.TemporaryDirectory() as name:
        folder, is_root = Path(name), os.geteuid() == 0
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0o500)
        (folder / "closed").chmod(0o555 if is_root else 0o500)
        path = folder / "proxy.yaml"
        keys = {"audit": {"file": "closed/a.jsonl"}, "state": {"url": f"file:{folder}/closed/state"}}
        path.write_text(yaml.safe_dump(configuration(folder, **keys)))
        if is_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)


def test_a_folder_that_may_not_be_written_is_refused(foreign_folder: Path) -> None:
    """The audit file and the state cannot be made in a closed folder."""
    findings = check_start(load(foreign_folder / "proxy.yaml", {}))
    assert [refusal.count("ermission denied") for refusal in findings.refusals] == [1, 1]


def test_a_mistake_in_the_configuration_is_another_failure(tmp_path: Path) -> None:
    """A mistake in the configuration has another exit code."""
    with pytest.raises(ConfigurationError, match=r"operations\[0\]"):
        found(tmp_path, operations=[{"method": "GET", "path": "/nowhere/at/all", "scope": "none"}])
