"""What a changed configuration means, and reading it so that no change is missed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.app.reload import RESTART_ONLY, compare, read, stamps_of
from proxy.config import Config, load
from proxy.errors import ConfigurationError
from tests.support.programs import ROOT

ENVIRONMENT = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "amzn1.oa2-cs.v1.x",
    "ADS_PROXY_STATE__URL": "memory:",
}


def configured(**variables: str) -> Config:
    return load(None, {**ENVIRONMENT, **{f"ADS_PROXY_{name.upper()}": value for name, value in variables.items()}})


def test_nothing_changed_is_nothing_to_tell() -> None:
    """The same configuration, read again."""
    change = compare(configured(), configured())
    assert (change.changed, change.needs_restart) == ((), ())


@pytest.mark.parametrize(
    ("variables", "changed", "waiting"),
    [
        ({"listen": "127.0.0.1:9999"}, ("listen",), ("listen",)),
        ({"admin_listen": "127.0.0.1:9998"}, ("admin_listen", "accounts"), ("admin_listen",)),
        ({"state__url": "file:/var/lib/x"}, ("state",), ("state",)),
        ({"telemetry__trust_traceparent": "true"}, ("telemetry",), ("telemetry",)),
        ({"log__format": "json"}, ("log",), ("log.format",)),
        ({"log__level": "debug"}, ("log",), ()),
        ({"drain__timeout": "5"}, ("drain",), ()),
        ({"limits__max_header_fields": "50"}, ("limits",), ()),
        ({"upstream__retry_wait": "5"}, ("upstream",), ()),
    ],
)
def test_each_change_is_named_and_kept_back_where_it_must_be(
    variables: dict[str, str], changed: tuple[str, ...], waiting: tuple[str, ...]
) -> None:
    """What needs a restart is named and stays as it was; the rest is put in force."""
    running, new = configured(), configured(**variables)
    change = compare(running, new)
    assert set(change.changed) == set(changed)
    assert change.needs_restart == waiting
    for name in set(changed) - {"log"}:
        assert getattr(change.config, name) == getattr(running if name in waiting else new, name)
    assert change.config.log.format == running.log.format
    assert change.config.log.level == new.log.level


def test_what_waits_keeps_waiting_through_further_changes() -> None:
    """A second change does not make the first one forgotten; taking it back does."""
    running = configured()
    first = compare(running, configured(listen="127.0.0.1:9999"))
    second = compare(first.config, configured(listen="127.0.0.1:9999", drain__delay="1"))
    assert (second.needs_restart, second.config.drain.delay) == (("listen",), 1)
    assert compare(second.config, configured(drain__delay="1")).needs_restart == ()


class Files:
    """A `load` over real files, which does something each time it is called."""

    def __init__(self, *files: Path, meanwhile: Callable[[int], Any] = lambda _count: None) -> None:
        self.files = files
        self.calls = 0
        self._meanwhile = meanwhile

    def __call__(self) -> Config:
        self.calls += 1
        config = configured().model_copy(update={"sources": self.files})
        self._meanwhile(self.calls)
        return config


def test_known_files_are_read_once(tmp_path: Path) -> None:
    """Where nothing changes meanwhile, one reading is enough."""
    file = tmp_path / "a"
    file.write_text("1")
    files = Files(file)
    reading = read(files, (file,))
    assert (files.calls, reading.stamps) == (1, stamps_of((file,)))


def test_a_change_while_reading_is_read_again(tmp_path: Path) -> None:
    """A file that was written between reading and remembering is not missed."""
    file = tmp_path / "a"
    file.write_text("1")
    files = Files(file, meanwhile=lambda call: file.write_text("22") if call == 1 else None)
    reading = read(files, (file,))
    assert (files.calls, reading.stamps) == (2, stamps_of((file,)))


def test_a_file_that_never_rests_does_not_hold_up_for_ever(tmp_path: Path) -> None:
    """After a few attempts the last reading counts; its stamps tell that there is more to come."""
    file = tmp_path / "a"
    file.write_text("1")
    files = Files(file, meanwhile=lambda call: file.write_text("1" * call * 3))
    reading = read(files, (file,))
    assert files.calls == 4
    assert reading.stamps == stamps_of((file,))


def test_what_load_raises_comes_through() -> None:
    """Reading does not judge."""

    def fail() -> Config:
        raise ConfigurationError(("listen: no",))

    with pytest.raises(ConfigurationError, match="listen: no"):
        read(fail)


def test_stamps_tell_replaced_touched_and_missing_files_apart(tmp_path: Path) -> None:
    """Same size and time, but another file; or the same file made readable; or none."""
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    before = stamps_of((file, other))
    assert set(before) == {file}
    file.chmod(0o600)
    touched = stamps_of((file, other))
    assert touched != before
    other.write_text("1")
    other.replace(file)
    assert stamps_of((file, other)) != touched


def test_the_page_names_what_waits_for_a_restart() -> None:
    """All of it, in docs/configuration.md: who changes such a key and waits would wait for ever."""
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    found = re.search(r"(`listen`, [^.]*`log\.format`) wait for a restart, and so does turning TLS on or off", page)
    assert found is not None
    assert set(re.findall(r"`([a-z_.]+)`", found[1])) == {*RESTART_ONLY, "log.format"}
